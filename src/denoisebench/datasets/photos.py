"""The photographs that scikit-image ships: a small data set that is always there."""

from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from denoisebench.datasets.images import ImageSet, fingerprint_of, pixel_hash
from denoisebench.datasets.reading import middle, read_image

PARTS = {
    "test": ("astronaut.png", "chelsea.png", "rocket.jpg"),
    "train": ("coffee.png", "ihc.png", "motorcycle_left.png", "motorcycle_right.png", "retina.jpg"),
}  # fmt: skip


class Photos(ImageSet):
    """Colour photographs out of the scikit-image package, offline.

    part: `test` (astronaut, chelsea, rocket) or `train` (coffee, ihc, motorcycle left and right, retina). crop: side of
    a square cut from the middle of each image, or None for whole images.

    Licences: public domain or CC0, as scikit-image's data page says of each.
    """

    has_clean = True
    has_noisy = False

    def __init__(self, part: Literal["test", "train"] = "test", crop: int | None = None, channels: Literal[3] = 3) -> None:
        if crop is not None and crop < 1:
            raise ValueError(f"crop is a number of pixels or null, not {crop}")
        self.part = part
        self.channels = channels
        self.crop = crop
        self.name = "photos" + (f"-{part}" if part != "test" else "") + (f"-crop{crop}" if crop else "")
        self.names = tuple(Path(file).stem for file in PARTS[part])

    def clean(self, index: int) -> np.ndarray:
        path = Path(str(files("skimage") / "data" / PARTS[self.part][index]))
        return middle(read_image(path, self.channels), self.crop)

    def noisy(self, index: int) -> np.ndarray:
        raise ValueError("photos has no noisy images of its own")

    @property
    def fingerprint(self) -> str:
        return fingerprint_of("scikit-image photos", self.part, self.crop)

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(pixel_hash(Path(str(files("skimage") / "data" / file)), 3) for file in PARTS[self.part])
