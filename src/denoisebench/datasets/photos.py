"""The photographs that scikit-image ships: a small data set that is always available."""

import functools
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from denoisebench.datasets.images import ImageSet, fingerprint_of
from denoisebench.datasets.keys import check_selection
from denoisebench.datasets.looks import IN_GRAY, pixel_hash
from denoisebench.datasets.reading import gray_of, middle, read_image
from denoisebench.ranges import Count

PARTS = {
    "test": ("astronaut.png", "chelsea.png", "rocket.jpg"),
    "train": ("coffee.png", "ihc.png", "motorcycle_left.png", "motorcycle_right.png", "retina.jpg"),
}  # fmt: skip


class Photos(ImageSet):
    """Colour photographs out of the scikit-image package, offline.

    part: `test` (astronaut, chelsea, rocket) or `train` (coffee, ihc, motorcycle left and right, retina). crop: side of
    a square cut from the middle of each image, or None for whole images. first: only so many images. channels: 3, or 1:
    converted to gray.

    Licences: public domain or CC0, as scikit-image's data page says of each.
    """

    has_clean = True
    has_noisy = False

    def __init__(
        self, part: Literal["test", "train"] = "test", crop: Count | None = None, channels: Literal[1, 3] = 3,
        first: Count | None = None,
    ) -> None:  # fmt: skip
        check_selection(crop=crop, first=first)
        if channels not in (1, 3):
            raise ValueError(f"dataset.channels of photos is 1 (gray) or 3 (RGB), not {channels}")
        self.part = part
        self.channels = channels
        self.crop = crop
        self._files = PARTS[part][:first]
        chosen = f"-first{first}" if first and first < len(PARTS[part]) else ""
        self.name = (
            "photos"
            + (f"-{part}" if part != "test" else "")
            + "-gray" * (channels == 1)
            + chosen
            + (f"-crop{crop}" if crop else "")
        )
        self.names = tuple(Path(file).stem for file in self._files)

    def clean(self, index: int) -> np.ndarray:
        image = middle(_photograph(self._files[index]), self.crop)
        return image.copy() if self.channels == 3 else gray_of(image)

    def noisy(self, index: int) -> np.ndarray:
        raise ValueError("photos has no noisy images of its own")

    @property
    def fingerprint(self) -> str:
        some = () if self._files == PARTS[self.part] else (self.names,)
        some += ("gray",) if self.channels == 1 else ()
        return fingerprint_of("scikit-image photos", self.part, self.crop, *some)

    @property
    def sources(self) -> frozenset[str]:
        paths = map(_path, self._files)
        kinds = [3, *([IN_GRAY] if self.channels == 1 else [])]
        return frozenset(pixel_hash(path, kind) for path in paths for kind in kinds)


def _path(file: str) -> Path:
    return Path(str(files("skimage") / "data" / file))


@functools.cache
def _photograph(file: str) -> np.ndarray:
    """Decoded once in a process: to be read only."""
    return read_image(_path(file), 3)
