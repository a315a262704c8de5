"""Sets of Bayer planes, which methods are given as four channels: raw images, and sRGB images taken back to raw."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from denoisebench.datasets.images import ImageSet, fingerprint_of
from denoisebench.datasets.unprocessing import Camera, unprocessed
from denoisebench.seeding import seed_from

Pack = Literal["bayer"]


class _Planes(ImageSet):
    """What both share: the images of another set under their names, as planes."""

    packed, channels = True, 4

    def __init__(self, images: ImageSet) -> None:
        self.images, self.names = images, images.names
        self.scene_is_said = getattr(images, "scene_is_said", False)

    def scene(self, index: int) -> str:
        return self.images.scene(index)

    def stack(self, index: int) -> str | None:
        return self.images.stack(index)

    def damaged(self) -> list[str]:
        return self.images.damaged()

    @property
    def files(self) -> tuple[Path, ...]:
        return self.images.files

    @property
    def sources(self) -> frozenset[str]:
        return self.images.sources


class Packed(_Planes):
    """The planes of a set with one channel.

    crop: side of a square from the middle of each plane, which begins at an even row and column, so that the colours of its
    pixels keep their order. Where the set does not hold Bayer planes by its nature (`mosaic`), its name says `-bayer`.

    Raises: ValueError for images with several channels, and for odd sides, which no whole cells fill.
    """

    def __init__(self, images: ImageSet, crop: int | None = None) -> None:
        super().__init__(images)
        if images.channels != 1:
            raise ValueError(
                f"dataset.pack=bayer packs planes of one channel, and {images.name} has {images.channels}: dataset.unprocess=0 "
                "makes raw planes of sRGB images; dataset.pack=null takes them as they are"
            )
        if crop is not None and (crop < 2 or crop % 2):
            raise ValueError(f"dataset.crop={crop}: a crop of Bayer planes has an even side, so that it holds whole 2 x 2 cells")
        self.has_clean, self.has_noisy, self.has_second = images.has_clean, images.has_noisy, images.has_second
        self.crop = crop
        for index, name in enumerate(self.names):
            height, width = images.size(index)
            if height % 2 or width % 2:
                raise ValueError(
                    f"{images.name}, {name}: {height} x {width} is no plane of whole 2 x 2 Bayer cells: dataset.pack=bayer needs "
                    "even sides. Take it out, or cut it where its file is made, at even rows and columns"
                )
        own = "" if getattr(images, "mosaic", False) else "-bayer"
        self.name = images.name + own + (f"-crop{crop}" if crop else "")

    def clean(self, index: int) -> np.ndarray:
        return self._middle(self.images.clean(index))

    def noisy(self, index: int) -> np.ndarray:
        return self._middle(self.images.noisy(index))

    def second(self, index: int) -> np.ndarray:
        return self._middle(self.images.second(index))

    def _middle(self, plane: np.ndarray) -> np.ndarray:
        if self.crop is None:
            return plane
        top, left = (max(length - self.crop, 0) // 4 * 2 for length in plane.shape[:2])
        return plane[top : top + self.crop, left : left + self.crop]

    def size(self, index: int) -> tuple[int, int]:
        height, width = self.images.size(index)
        return (height, width) if self.crop is None else (min(height, self.crop), min(width, self.crop))

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.images.fingerprint, "bayer", self.crop)


class Unprocessed(_Planes):
    """The clean sRGB images of a set as the raw planes that a camera would have measured; see `unprocessed`.

    Each image has a camera of its own, drawn by (seed, set, image); `about` tells it. Odd sides lose their last row or
    column. Planes have 16 bits.

    Raises: ValueError for images that are noisy already, or not RGB.
    """

    has_clean, has_noisy = True, False

    def __init__(self, images: ImageSet, seed: int) -> None:
        super().__init__(images)
        if images.has_noisy or images.channels != 3:
            what = "brings noisy images" if images.has_noisy else "is not RGB"
            raise ValueError(f"dataset.unprocess takes clean sRGB images back to raw, and {images.name} {what}: set it to null")
        self.seed, self.crop = seed, getattr(images, "crop", None)
        if self.crop is not None and self.crop % 2:
            raise ValueError(f"dataset.crop={self.crop}: raw planes have even sides, of whole 2 x 2 Bayer cells")
        self.name = f"{images.name}-raw{seed or ''}"
        self._plane = lru_cache(maxsize=2)(self._made)  # the test and its evidence ask for one image several times

    def clean(self, index: int) -> np.ndarray:
        return self._plane(index)

    def noisy(self, index: int) -> np.ndarray:
        raise ValueError(f"{self.name} has no noisy images of its own")

    def camera(self, index: int) -> Camera:
        return Camera.drawn(seed_from(self.seed, "unprocess", self.images.name, self.names[index]))

    def about(self) -> dict[str, Mapping[str, object]]:
        """The camera of each image, by its name."""
        return {name: self.camera(index).about for index, name in enumerate(self.names)}

    def _made(self, index: int) -> np.ndarray:
        return unprocessed(self.images.clean(index), self.camera(index))

    def size(self, index: int) -> tuple[int, int]:
        height, width = self.images.size(index)
        return height // 2 * 2, width // 2 * 2

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.images.fingerprint, "unprocessed", self.seed)
