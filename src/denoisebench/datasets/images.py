"""The interface of a data set, and what tells whether two are the same."""

import functools
import hashlib
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from denoisebench.datasets.reading import read_image


class ImageSet(ABC):
    """Named images, each clean, noisy or both. Reads when asked, keeps nothing.

    name: what rows call it. names: unique names of its images, in a fixed order. channels: 1 or 3.
    """

    name: str
    names: tuple[str, ...]
    channels: int
    has_clean: bool
    has_noisy: bool

    @abstractmethod
    def clean(self, index: int) -> np.ndarray:
        """(H, W, C) in its stored type; only where `has_clean`."""

    @abstractmethod
    def noisy(self, index: int) -> np.ndarray:
        """(H, W, C) in its stored type; only where `has_noisy`."""

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) of an image; a set that can tell without reading all of it does."""
        height, width = (self.clean if self.has_clean else self.noisy)(index).shape[:2]
        return height, width

    def damaged(self) -> list[str]:
        """What is wrong with its files, as far as their headers tell: a line for each, naming it."""
        return []

    def scene(self, index: int) -> str:
        """The photograph that an image was cut from, as far as the set tells: what one image says of a method, another of
        the same photograph says again."""
        return self.names[index]

    @property
    def scenes(self) -> frozenset[str]:
        return frozenset(map(self.scene, range(len(self.names))))

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Differs where the images differ; does not depend on where they lie."""

    @property
    @abstractmethod
    def sources(self) -> frozenset[str]:
        """Of the photographs that its images come from: equal pixels give an equal one, whatever file holds them, and so do
        cuts of one file. Sets that share one share a scene. (A recompressed copy is another photograph.)"""


def photographs_shared(first: ImageSet, second: ImageSet) -> int:
    """How many photographs two sets share: by name where their names tell, else by equal pixels."""
    shared = first.sources & second.sources
    named = sum("/" in source for source in shared)
    return min(named or len(shared), len(first.scenes), len(second.scenes))


def fingerprint_of(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file; read once in a process as long as the file is not written."""
    status = path.stat()
    return _hashed(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@functools.cache
def _hashed(path: Path, *_written: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pixel_hash(path: Path, channels: int) -> str:
    """SHA-256 of the pixels of an image file; read once in a process as long as the file is not written."""
    status = path.stat()
    return _pixels_hashed(path, channels, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@functools.cache
def _pixels_hashed(path: Path, channels: int, *_written: int) -> str:
    return hash_of(read_image(path, channels))


def hash_of(image: np.ndarray) -> str:
    """SHA-256 of the pixels of an image (H, W, C) in its stored type: what `pixel_hash` says of a file that holds them."""
    return hashlib.sha256(f"{image.shape} {image.dtype}".encode() + image.tobytes()).hexdigest()
