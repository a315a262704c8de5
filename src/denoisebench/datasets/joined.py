"""Two sets as one: to train on another set and on the noisy test images together."""

from pathlib import Path

import numpy as np

from denoisebench.datasets.images import ImageSet, fingerprint_of


class Joined(ImageSet):
    """The images of `first`, then those of `second`, each named `set/image`; clean only where both are.

    Raises: ValueError for sets of different channels, or of which only one brings its own noise.
    """

    def __init__(self, first: ImageSet, second: ImageSet) -> None:
        if first.channels != second.channels:
            raise ValueError(
                f"{first.name} has {first.channels} channels, {second.name} {second.channels}: they cannot be joined"
            )
        if first.has_noisy != second.has_noisy:
            names = (first.name, second.name) if first.has_noisy else (second.name, first.name)
            raise ValueError(f"{names[0]} brings its own noise and {names[1]} does not: choose another train_set than mixed")
        if first.name == second.name:
            raise ValueError(f"{first.name} joined with itself: choose another train_set than mixed")
        self._sets = (first, second)
        self.channels, self.packed = first.channels, first.packed
        self.name = f"{first.name}+{second.name}"
        self.names = tuple(f"{images.name}/{name}" for images in self._sets for name in images.names)
        self.has_noisy = first.has_noisy
        self.has_clean = first.has_clean and second.has_clean

    def _at(self, index: int) -> tuple[ImageSet, int]:
        own = len(self._sets[0].names)
        return (self._sets[0], index) if index < own else (self._sets[1], index - own)

    def clean(self, index: int) -> np.ndarray:
        images, own = self._at(index)
        return images.clean(own)

    def noisy(self, index: int) -> np.ndarray:
        images, own = self._at(index)
        return images.noisy(own)

    def scene(self, index: int) -> str:
        images, own = self._at(index)
        return f"{images.name}/{images.scene(own)}"

    def size(self, index: int) -> tuple[int, int]:
        images, own = self._at(index)
        return images.size(own)

    def damaged(self) -> list[str]:
        return [*self._sets[0].damaged(), *self._sets[1].damaged()]

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self._sets[0].files, *self._sets[1].files)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(*((images.name, images.fingerprint) for images in self._sets))

    @property
    def sources(self) -> frozenset[str]:
        return self._sets[0].sources | self._sets[1].sources
