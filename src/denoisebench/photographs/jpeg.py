"""JPEG: the pixels are encoded anew, metadata segments (EXIF, ICC, XMP, IPTC, comments) are copied byte for byte."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from denoisebench.photographs.photo import Photo, PhotoError

MARK = b"\xff\xd8\xff"
APP0, APP2, APP14, APP15, COMMENT = 0xE0, 0xE2, 0xEE, 0xEF, 0xFE
START_OF_SCAN, END = 0xDA, 0xD9
ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
NO_SAMPLING, FULL_COLOUR = -1, 0  # as Pillow numbers chroma subsamplings: one that it does not know, and 4:4:4
Segment = tuple[int, bytes]


def read(path: Path, content: bytes, quality: int | None) -> Photo:
    """quality: of the output, 1 to 100; None: the quantisation tables of the input.

    Raises: PhotoError for CMYK; OSError or ValueError for a damaged file.
    """
    with Image.open(io.BytesIO(content)) as image:
        if image.mode not in ("L", "RGB"):
            raise PhotoError(f"its colours are stored as {image.mode}: convert it to RGB first")
        image.load()  # a file that is cut off fails here
        pixels = np.asarray(image).reshape(image.height, image.width, -1)
        settings = _settings(image, quality)
        notes = tuple(_notes(image))
    kept = [segment for segment in _segments(content) if _is_metadata(segment)]

    def encoded(denoised: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(denoised if denoised.shape[2] == 3 else denoised[..., 0]).save(buffer, "JPEG", **settings)
        return b"".join(_file(kept, buffer.getvalue()))

    return Photo(path, "JPEG", pixels, None, encoded, notes)


def _notes(image: Any) -> Iterator[str]:
    if (frames := getattr(image, "n_frames", 1)) > 1:
        yield f"holds {frames} images: the first is denoised, the others are left out"
    if image.mode == "RGB" and _sampling(image) == NO_SAMPLING:
        yield "its chroma subsampling cannot be kept: it is written as 4:4:4, which loses no colour"


def _sampling(image: Any) -> int:
    from PIL import JpegImagePlugin

    return JpegImagePlugin.get_sampling(image)


def _settings(image: Any, quality: int | None) -> dict[str, Any]:
    """Colours of a sampling that Pillow does not know are stored whole: by itself it would halve them in both directions."""
    tables = {"quality": quality} if quality else {"qtables": image.quantization}
    sampling = max(_sampling(image), FULL_COLOUR) if image.mode == "RGB" else NO_SAMPLING
    progressive = bool(image.info.get("progressive") or image.info.get("progression"))
    return {**tables, "subsampling": sampling, "progressive": progressive, "optimize": True}


def _is_metadata(segment: Segment) -> bool:
    """Adobe's APP14 says how colours are coded, which is the encoder's to say; MPF gives places of images that are left out."""
    marker, body = segment
    return ((APP0 <= marker <= APP15 and marker != APP14) or marker == COMMENT) and not (
        marker == APP2 and body.startswith(b"MPF\0")
    )


def _segments(content: bytes) -> Iterator[Segment]:
    """Those before the first scan. Raises: ValueError."""
    for marker, start, end in _places(content):
        yield marker, content[start + 4 : end]


def _places(content: bytes) -> Iterator[tuple[int, int, int]]:
    at = 2
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            raise ValueError(f"no marker where one is expected, at byte {at}")
        marker = content[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in ALONE:
            at += 2
            continue
        if marker in (START_OF_SCAN, END):
            return
        end = at + 2 + struct.unpack_from(">H", content, at + 2)[0]
        yield marker, at, end
        at = end
    raise ValueError("it is cut off")


def _file(kept: list[Segment], fresh: bytes) -> Iterator[bytes]:
    """A fresh file with the metadata of another: its own is left out, the JFIF header too where the other had none."""
    yield fresh[:2]
    for marker, body in kept:
        yield struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
    end_of_last = 2
    for marker, start, end in _places(fresh):
        if not (APP0 <= marker <= APP15 or marker == COMMENT):
            yield fresh[start:end]
        end_of_last = end
    yield fresh[end_of_last:]
