"""What is found in an image file: the hash of its pixels, its range, its depth."""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from denoisebench.datasets.reading import Reading, read_image
from denoisebench.datasets.slices import Slice, file_of, read_slice
from denoisebench.datasets.written import written

IN_GRAY = Reading(1, to_gray=True)  # as gray sets have a file in colour


def pixel_hash(path: Path, how: Reading | int) -> str:
    """SHA-256 of the pixels of an image file."""
    return look_at(path, how).pixels


def as_stored(path: Path) -> str:
    """The same of a file that is in colour or gray: of the channels that it has."""
    status = path.stat()
    return _as_stored(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@functools.cache
def _as_stored(path: Path, *_written: int) -> str:
    try:
        return pixel_hash(path, 3)
    except ValueError:
        return pixel_hash(path, 1)


@dataclass(frozen=True)
class Look:
    """What was found in an image file. pixels: their SHA-256. low, high: the least and the greatest value, as read. deep:
    whether it is in 16 bit."""

    pixels: str
    low: float
    high: float
    deep: bool


def look_at(path: Path | Slice, how: Reading | int) -> Look:
    """Reads an image file, or a slice, once in a process as long as its file or folder is not written.

    Raises: ValueError, naming the file.
    """
    file = file_of(path)
    if file.is_dir():
        return _looked_at(path, how, written(file))
    status = file.stat()
    return _looked_at(path, how, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@functools.cache
def _looked_at(path: Path | Slice, how: Reading | int, *_written: int | str) -> Look:
    image = read_slice(path, how) if isinstance(path, Slice) else read_image(path, how)
    return Look(hash_of(image), float(image.min()), float(image.max()), image.dtype == np.uint16)


def hash_of(image: np.ndarray) -> str:
    """SHA-256 of the pixels of an image (H, W, C) in its stored type: what `pixel_hash` says of a file that holds them."""
    return hashlib.sha256(f"{image.shape} {image.dtype}".encode() + image.tobytes()).hexdigest()
