"""TIFF of 8 and 16 bit and float: the file is copied whole, and of the copy only the pixels of one page are written anew.

So every tag, every other page, and whatever a camera maker put between them stays as it was, at its place.
"""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from denoisebench.photographs.photo import Photo, PhotoError, split_alpha, with_alpha
from denoisebench.progress import counted
from denoisebench.stacks.segments import COMPRESSIONS, StoredPage, is_cut_off, samples_of, stored_page, write_samples

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2


def read(path: Path, content: bytes, page: int | None) -> Photo:
    """page: counted from 1; None: the first.

    Raises: PhotoError for pixels that cannot be denoised and put back; whatever tifffile raises on a damaged file.
    """
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        count, number = len(file.pages), page or 1
        if not count:
            raise ValueError("it is cut off")
        if number > count:
            raise PhotoError(f"it has {counted(count, 'page')}: --page {number} is not there")
        own: Any = file.pages[number - 1]
        _check_kind(own, file)
        stored, inverted = _apart(stored_page(own), file, number), own.photometric == WHITE_IS_ZERO
    if is_cut_off(stored, len(content)):
        raise ValueError("it is cut off")
    samples = samples_of(stored, io.BytesIO(content))
    pixels, alpha = split_alpha(samples)
    pixels = _flipped(pixels) if inverted else pixels
    notes = (f"has {count} pages: page {number} is denoised, the others stay as they are (--page N)",) if count > 1 else ()

    def encoded(denoised: np.ndarray) -> bytes:
        buffer = io.BytesIO(content)
        write_samples(stored, buffer, with_alpha(_flipped(denoised) if inverted else denoised, alpha))
        return buffer.getvalue()

    dtype = stored.layout.dtype
    bits = "float" if dtype.kind == "f" else f"{8 * dtype.itemsize}-bit"
    return Photo(path, f"{bits} TIFF", pixels, alpha, encoded, notes)


def _apart(stored: StoredPage, file: tifffile.TiffFile, number: int) -> StoredPage:
    """The page as `shared` also where another page has a segment at one of its places: that page stays as it is."""
    own = {offset for offset, _ in stored.places}
    others = (page for other, page in enumerate(file.pages, start=1) if other != number)
    return replace(stored, shared=stored.shared or any(not own.isdisjoint(page.dataoffsets) for page in others))


def _flipped(pixels: np.ndarray) -> np.ndarray:
    """Gray where white is stored as 0."""
    return np.iinfo(pixels.dtype).max - pixels


def _check_kind(page: Any, file: tifffile.TiffFile) -> None:
    """Raises: PhotoError."""
    dtype = page.dtype
    if page.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        kinds = {3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "CIE Lab"}
        raise PhotoError(f"its colours are stored as {kinds.get(page.photometric, page.photometric)}: convert it to gray or RGB")
    if dtype is None or dtype.name not in ("uint8", "uint16", "float16", "float32", "float64") or page.bitspersample % 8:
        raise PhotoError(f"its samples are {_samples_of(page)}: save it in 8 or 16 bit, or as float")
    if page.fillorder != 1 or 50706 in page.tags:  # DNGVersion
        raise PhotoError("it is a raw file, or stores its bits in reverse: export it as a 16-bit TIFF")
    if page.photometric == WHITE_IS_ZERO and dtype.kind == "f":
        raise PhotoError("its floats have white as 0: invert it first")
    if page.compression not in COMPRESSIONS:
        raise PhotoError(f"its compression {_name(page.compression)} is not supported: save it with LZW or Deflate, or without")
    if page.samplesperpixel > 4 or page.imagedepth > 1 or page.samplesperpixel < (3 if page.photometric == RGB else 1):
        raise PhotoError(f"it has {page.samplesperpixel} samples in a pixel: save it as gray or RGB, with or without alpha")
    if page.photometric != RGB and page.samplesperpixel > 2:
        raise PhotoError(f"it is gray with {page.samplesperpixel} samples in a pixel: save it as gray, with or without alpha")
    if file.is_imagej and (file.imagej_metadata or {}).get("images", 1) > 1:
        raise PhotoError("it is a stack of ImageJ: without --page, all its slices are denoised")


def _samples_of(page: Any) -> str:
    bits = page.bitspersample
    return f"{bits}-bit" if page.dtype is None or bits % 8 or bits == 1 else str(page.dtype)


def _name(compression: Any) -> str:
    return getattr(compression, "name", str(compression))
