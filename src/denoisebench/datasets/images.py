"""The interface of a data set, and how to tell whether two sets are the same."""

import functools
import hashlib
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from denoisebench.datasets.listing import shown
from denoisebench.datasets.reading import Reading, read_image
from denoisebench.datasets.slices import Slice, read_slice
from denoisebench.datasets.written import files_below, written


class ImageSet(ABC):
    """Named images, each clean, noisy or both. Reads when asked, keeps nothing.

    name: what rows call it. names: unique names of its images, in a fixed order. channels: that a method is
    given: 1 or 3, or 4 of a set of Bayer planes (H, W, 1) of even sides, which are `packed` for it.
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

    packed = False
    has_second = False

    def second(self, index: int) -> np.ndarray:
        """(H, W, C): a second noisy image of the same scene, independent of the first; only where `has_second`."""
        raise ValueError(f"{self.name} has no second noisy images")

    def files_of(self, index: int) -> tuple[Path | None, Path | None]:
        """The files whose pixels, unchanged, are the noisy and the clean image; None for one that is cut or converted."""
        return None, None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that its fingerprint was taken of, where it reads any."""
        return ()

    def size(self, index: int) -> tuple[int, int]:
        """(H, W) of an image; a set that can tell without reading all of it does."""
        height, width = (self.clean if self.has_clean else self.noisy)(index).shape[:2]
        return height, width

    def damaged(self) -> list[str]:
        """What is wrong with its files, as far as their headers tell: a line for each, naming it."""
        return []

    def scene(self, index: int) -> str:
        """The photograph that an image was cut from, if the set knows it. Images of one photograph are not independent
        samples."""
        return self.names[index]

    def stack(self, index: int) -> str | None:
        """The stack that an image is a slice of, if it is one of several."""
        return None

    @property
    def stacks(self) -> dict[str, str]:
        """The stack of each image that is a slice of one; the other images are not in it."""
        found = {name: self.stack(index) for index, name in enumerate(self.names)}
        return {name: stack for name, stack in found.items() if stack is not None}

    @property
    def scenes(self) -> frozenset[str]:
        return frozenset(map(self.scene, range(len(self.names))))

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Differs if the images differ; does not depend on where they are stored."""

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
    """SHA-256 of a file, or of the names and contents of a folder; read once in a process as long as it is not written."""
    if path.is_dir():
        return _folder_hash(path, written(path))
    status = path.stat()
    return _hashed(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@functools.cache
def _folder_hash(path: Path, _written: str) -> str:
    inside = sorted(files_below(path))
    return hashlib.sha256(repr([(one.relative_to(path).as_posix(), file_hash(one)) for one in inside]).encode()).hexdigest()


@functools.cache
def _hashed(path: Path, *_written: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ChangedError(ValueError):
    """An image file has changed since its set was planned."""


class Files:
    """The files of a set as they were when its fingerprint was taken: what is read later has to be the same."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(self._known)

    def hash(self, path: Path) -> str:
        """SHA-256 of a file, remembered."""
        self._known[path] = file_hash(path)
        return self._known[path]

    def image(self, path: Path | Slice, how: Reading | int) -> np.ndarray:
        """An image file, as `read_image` gives it, or a slice of a stack. Raises: ChangedError, ValueError."""
        if isinstance(path, Slice):
            self.check(path.file)
            return read_slice(path, how)
        content = path.read_bytes()
        known = self._known.get(path)
        if known is not None and hashlib.sha256(content).hexdigest() != known:
            raise changed(path)
        return read_image(path, how, content)

    def check(self, path: Path) -> None:
        """That a file too large to be read for each image is as it was; it is read again only if it was written to.

        Raises: ChangedError.
        """
        known = self._known.get(path)
        if known is not None and file_hash(path) != known:
            raise changed(path)


def changed(path: Path) -> ChangedError:
    return ChangedError(
        f"{shown(path)} changed after this was planned: what is computed now would stand under the key of the old file; "
        "start the same command again, or put the old file back"
    )
