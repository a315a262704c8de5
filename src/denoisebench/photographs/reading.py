"""Reads any photograph: its format is recognised by content, and what cannot be read is refused with a way out."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from denoisebench.datasets.reading import MAX_FLOAT
from denoisebench.photographs import jpeg, png, raw, tiff
from denoisebench.photographs.photo import WHITES, Photo, PhotoError
from denoisebench.stacks.segments import MARKS

RAW = (".dng", ".arw", ".cr2", ".cr3", ".nef", ".orf", ".raf", ".rw2", ".pef", ".srw")
OTHERS = {b"GIF8": "GIF", b"BM": "BMP", b"8BPS": "PSD", b"\0\0\0\x0cjP  ": "JPEG 2000", b"\xff\x0a": "JPEG XL"}


@dataclass(frozen=True)
class Reading:
    """quality: of JPEG output, 1 to 100, None for the input's own tables. page: of a TIFF, from 1, None for the first.
    white: the value that is white, None for the largest of the type, and 1 for floats. axes: of stacks that do not say them."""

    quality: int | None = None
    page: int | None = None
    white: float | None = None
    axes: str | None = None


def read_photo(path: Path, how: Reading = Reading()) -> Photo:
    """Raises: PhotoError for what cannot be denoised and written back; OSError for a file that cannot be opened."""
    content = path.read_bytes()
    try:
        photo = replace(_decoded(path, content, how), white_level=how.white)
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError("it is too large for the memory there is: cut it into parts") from error
    except Exception as error:  # whatever a decoder raises on a damaged file
        raise PhotoError(f"it cannot be read as an image ({error}): replace it") from error
    check_values(photo)
    return photo


def _decoded(path: Path, content: bytes, how: Reading) -> Photo:
    if not content:
        raise PhotoError("it is empty: replace it")
    if path.suffix.lower() in RAW:
        return raw.read(path, content)
    if content.startswith(png.MARK):
        return png.read(path, content)
    if content.startswith(jpeg.MARK):
        return jpeg.read(path, content, how.quality)
    if content.startswith(MARKS):
        return tiff.read(path, content, how.page)
    raise PhotoError(f"it is {_kind(content)}: save it as PNG, TIFF or JPEG")


def _kind(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "a WebP file"
    if content[4:8] == b"ftyp":
        return "a HEIC or AVIF file"
    name = next((name for mark, name in OTHERS.items() if content.startswith(mark)), None)
    return f"a {name} file" if name else "no image of a known kind"


def check_values(photo: Photo) -> None:
    """Raises: PhotoError for values whose meaning is not known."""
    pixels = photo.pixels
    if pixels.dtype.kind != "f":
        if photo.white_level is None and pixels.dtype.name not in WHITES:
            raise PhotoError(f"its values are {pixels.dtype}, which have no white: give the value of white, e.g. --white 4095")
        return
    if wrong := np.count_nonzero(~np.isfinite(pixels)):
        raise PhotoError(f"{wrong} of its values are NaN or infinite: replace them first")
    if (reach := float(np.abs(pixels).max()) / photo.white) > MAX_FLOAT:
        raise PhotoError(f"its floats reach {reach * photo.white:g}, and white is {photo.white:g}: give the white level, --white")
