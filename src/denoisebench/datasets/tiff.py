"""TIFF files: one image of a file, whole, in the values that it stores."""

import math
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO

import numpy as np
import tifffile
from PIL import Image

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WHOLE_BITS = (1, 8, 16, 32, 64)
WHITE_TAGS = ("SMaxSampleValue", "MaxSampleValue", "WhiteLevel")
BLACK_TAGS = ("SMinSampleValue", "MinSampleValue", "BlackLevel")
EXTRA = "pip install 'denoisebench[tiff]' reads it, or save it uncompressed"


def read_tiff(content: bytes, *, scaled: bool) -> np.ndarray:
    """(H, W, C) as stored. scaled: whether it is said what its values mean.

    Raises: ValueError if it is cut off, holds several images, or is stored in a way that is not read.
    """
    with tifffile.TiffFile(BytesIO(content)) as file:
        page = file.pages.first
        _one_image(file)
        jpeg = page.compression == tifffile.COMPRESSION.JPEG
        colours = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB, *((tifffile.PHOTOMETRIC.YCBCR,) if jpeg else ()))
        if page.photometric not in colours:
            raise ValueError(
                f"its colours are stored as TIFF photometric {page.photometric}, expected gray with black as 0, or RGB"
            )
        if (orientation := page.tags.get("Orientation")) is not None and orientation.value != 1:
            raise ValueError("it is stored turned: save it upright")
        if any(offset + size > len(content) for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True)):
            raise ValueError("it is cut off")
        bits = page.bitspersample
        if bits not in WHOLE_BITS and not scaled:
            raise ValueError(f"it stores {bits} bits of a value: set dataset.white={2**bits - 1}")
        # Decoders of JPEG differ in the last bit: always the same one, whatever else is installed.
        image = _with_pillow(content) if jpeg and bits == 8 else _decoded(page, content)
        if page.axes == "SYX" and image.ndim == 3 and not jpeg:
            image = np.moveaxis(image, 0, -1)
    return image[..., None] if image.ndim == 2 else image


def tiff_size(content: IO[bytes]) -> tuple[int, int]:
    """(height, width) from the header alone."""
    with tifffile.TiffFile(content) as file:
        return file.pages.first.imagelength, file.pages.first.imagewidth


def range_said(content: bytes | Path) -> str:
    """What the tags of a TIFF file say of its black and white, as settings; empty where they say nothing."""
    said: list[str] = []
    with suppress(Exception), tifffile.TiffFile(content if isinstance(content, Path) else BytesIO(content)) as file:
        tags, ours = file.pages.first.tags, (("white", WHITE_TAGS, "max"), ("black", BLACK_TAGS, "min"))
        own = file.imagej_metadata or {}
        for key, names, shown in ours:
            values = [np.ravel(tags[name].value) for name in names if name in tags]
            values += [np.ravel(own[shown])] if shown in own else []
            if values and float(values[0].max()) != (0 if key == "black" else math.nan):
                said.append(f"dataset.{key}={float(values[0].max()):g}")
    return " ".join(said)


def _one_image(file: tifffile.TiffFile) -> None:
    """ImageJ writes a whole stack behind one directory entry: then the series is larger than the page."""
    page, series = file.pages.first, file.series
    held = max(len(file.pages), len(series), round(math.prod(series[0].shape) / max(math.prod(page.shape), 1)) if series else 1)
    if held != 1:
        kind = " (an ImageJ stack)" if file.is_imagej else ""
        raise ValueError(f"it holds {held} images{kind}: save each in a file of its own")


def _decoded(page: tifffile.TiffPage, content: bytes) -> np.ndarray:
    try:
        return page.asarray()
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        if page.bitspersample == 8 and page.planarconfig == tifffile.PLANARCONFIG.CONTIG:
            with suppress(OSError):
                return _with_pillow(content)
        raise ValueError(
            f"its compression {tifffile.COMPRESSION(page.compression).name} needs a further package: {EXTRA}"
        ) from error


def _with_pillow(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content)) as image:
        image.load()
        if image.mode not in ("L", "RGB", "RGBA", "LA"):
            image = image.convert("RGB")
        return np.asarray(image)
