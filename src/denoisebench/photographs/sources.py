"""The images that a file holds: itself, or every slice of a stack."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from denoisebench.datasets.images import ImageSet, file_hash, fingerprint_of
from denoisebench.photographs.photo import Photo, PhotoError, split_alpha, with_alpha
from denoisebench.photographs.reading import RAW, Reading, check_values, read_photo
from denoisebench.stacks.opening import stack_of
from denoisebench.stacks.stack import Stack, StackError


@dataclass(frozen=True)
class Source:
    """An image. stack, number: where it is a slice of one."""

    path: Path
    stack: Stack | None = None
    number: int = 0

    @property
    def place(self) -> str:
        return self.stack.label(self.number) if self.stack else ""

    def __str__(self) -> str:
        return f"{self.path} {self.place}".rstrip()

    def photo(self, how: Reading) -> Photo:
        """Raises: PhotoError, OSError."""
        return read_photo(self.path, how) if self.stack is None else _slice(self.stack, self.number, how)


def sources_of(path: Path, how: Reading) -> list[Source]:
    """One for a photograph, and where a page is asked for; for a stack all its slices, of which none is read yet.

    Raises: PhotoError, OSError.
    """
    if (how.page is not None and not path.is_dir()) or path.suffix.lower() in RAW:
        return [Source(path)]
    try:
        stack = stack_of(path, how.axes)
    except StackError as error:
        raise PhotoError(str(error)) from error
    return [Source(path)] if stack is None else [Source(path, stack, number) for number in range(stack.count)]


def _slice(stack: Stack, number: int, how: Reading) -> Photo:
    try:
        pixels, alpha = split_alpha(stack.read(number))
    except Exception as error:  # whatever a decoder raises on a damaged file
        raise PhotoError(f"slice {_told(stack, number)} cannot be read ({error}): replace it") from error

    def encoded(denoised: np.ndarray) -> bytes:
        return with_alpha(denoised, alpha).tobytes()

    photo = Photo(stack.path, stack.kind, pixels, alpha, encoded, white_level=how.white, place=stack.label(number))
    try:
        check_values(photo)
    except PhotoError as error:
        raise PhotoError(f"slice {_told(stack, number)}: {error}") from error
    return photo


def _told(stack: Stack, number: int) -> str:
    return stack.label(number) or str(number)


class Photographs(ImageSet):
    """Files and slices as a set of noisy images to train on, all gray or all RGB. Raises: PhotoError when one is read."""

    name = "photographs"
    has_clean, has_noisy = False, True

    def __init__(self, sources: Sequence[Source], channels: int, how: Reading) -> None:
        self._sources, self.channels, self._how = sources, channels, how
        self.names = tuple(map(str, sources))

    def clean(self, index: int) -> np.ndarray:
        raise ValueError("photographs have no ground truth")

    def noisy(self, index: int) -> np.ndarray:
        return self._sources[index].photo(self._how).unit

    @property
    def fingerprint(self) -> str:
        return fingerprint_of("photographs", self.channels, *self._hashes)

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(self._hashes)

    @functools.cached_property
    def _hashes(self) -> list[str]:
        files = {source.path: file_hash(source.path) for source in self._sources}
        return [files[source.path] + source.place for source in self._sources]
