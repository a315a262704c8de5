"""A part of a set: some of its images, under the same names."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from denoisebench.datasets.images import ImageSet, fingerprint_of
from denoisebench.seeding import seed_from


class Part(ImageSet):
    """The images at these indices of a set. Its name is the set's, so that their noise is the same."""

    def __init__(self, whole: ImageSet, indices: Sequence[int]) -> None:
        self._whole, self._indices = whole, tuple(indices)
        self.name, self.channels = whole.name, whole.channels
        self.names = tuple(whole.names[index] for index in self._indices)
        self.has_clean, self.has_noisy, self.has_second = whole.has_clean, whole.has_noisy, whole.has_second
        self.packed = whole.packed

    def clean(self, index: int) -> np.ndarray:
        return self._whole.clean(self._indices[index])

    def noisy(self, index: int) -> np.ndarray:
        return self._whole.noisy(self._indices[index])

    def second(self, index: int) -> np.ndarray:
        return self._whole.second(self._indices[index])

    def scene(self, index: int) -> str:
        return self._whole.scene(self._indices[index])

    def stack(self, index: int) -> str | None:
        return self._whole.stack(self._indices[index])

    def size(self, index: int) -> tuple[int, int]:
        return self._whole.size(self._indices[index])

    @property
    def files(self) -> tuple[Path, ...]:
        return self._whole.files

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self._whole.fingerprint, *self._indices)

    @property
    def sources(self) -> frozenset[str]:
        return self._whole.sources


def held_out(images: ImageSet, share: float) -> tuple[Part, Part]:
    """A set without a share of its photographs, at least one, and these; all images of one photograph are on one side.

    Which ones depends on the set's name alone. Raises: ValueError for a set of one photograph.
    """
    scenes = [images.scene(index) for index in range(len(images.names))]
    every = list(dict.fromkeys(scenes))
    if len(every) < 2:
        raise ValueError(f"{images.name} has one photograph, none of which can be held out: use stop=null")
    order = np.random.default_rng(seed_from("held out", images.name)).permutation(len(every))
    count = min(max(1, round(share * len(every))), len(every) - 1)
    out = {every[place] for place in order[:count]}
    sides = ([i for i, scene in enumerate(scenes) if (scene in out) is side] for side in (False, True))
    kept, taken = (Part(images, side) for side in sides)
    return kept, taken
