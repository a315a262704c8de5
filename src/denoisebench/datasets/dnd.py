"""The Darmstadt Noise Dataset (Ploetz and Roth, CVPR 2017) in sRGB: 50 photographs, 1000 boxes that are scored."""

from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from denoisebench.datasets.images import Files, ImageSet, fingerprint_of
from denoisebench.datasets.keys import check_selection
from denoisebench.datasets.places import find
from denoisebench.progress import counted
from denoisebench.ranges import Count, Number

PAGE = "https://noise.visinf.tu-darmstadt.de/downloads/"
FOLDERS = ("DND/dnd_2017", "dnd_2017", "DND", "")
IMAGES, BOXES, SIDE = 50, 20, 512
MEND = "denoisebench data download dnd"
VARIABLE = "InoisySRGB"

Box = tuple[int, int, int, int]


class DND(ImageSet):
    """Noisy images only: the online benchmark keeps the clean ones, and `denoisebench submit dnd` writes for it.

    mode: `boxes`, 1000 images `0001_01` of 512 x 512, with up to `margin` more pixels on each side, as far as the
    photograph goes; or `whole`, 50 photographs `0001` of tens of megapixels. `inner` says where the scored boxes lie
    in them, `is_whole` whether it is all of the set as published. Reading a box reads that box. Float32, nominal range
    [0, 1]. The choice is marked in the set's name.

    root: folder of data sets; `data` is searched after it. first: so many images. crop: side of a square from the middle of
    each box, which is all that is scored then.

    Raises: FileNotFoundError or ValueError that name the file and the command that mends it.
    """

    has_clean, has_noisy = False, True

    def __init__(
        self,
        which: Literal["dnd"] = "dnd",
        mode: Literal["boxes", "whole"] = "boxes",
        margin: Number = 0,
        root: str = "data",
        first: Count | None = None,
        channels: Literal[3] = 3,
        crop: Count | None = None,
    ) -> None:
        check_selection(first=first, crop=crop)
        if crop is not None and mode == "whole":
            raise ValueError(f"dataset.crop={crop} cuts boxes: leave it out with dataset.mode=whole")
        if margin < 0 or (margin and mode == "whole"):
            raise ValueError(f"dataset.margin is a number of pixels around boxes, and 0 with dataset.mode=whole, not {margin}")
        self.which, self.mode, self.margin, self.channels, self.crop = which, mode, margin, channels, crop
        self._folder = find("dnd", root, FOLDERS, ["info.mat", "images_srgb"])
        self.boxes = read_boxes(self._folder / "info.mat")
        if crop is not None and crop > min(self._sides()):
            raise ValueError(f"dataset.crop={crop} is larger than a box of {self._folder}, of {min(self._sides())} pixels")
        if mode == "boxes":
            every = [(image, box) for image, boxes in enumerate(self.boxes) for box in range(len(boxes))]
            names = [f"{image + 1:04d}_{box + 1:02d}" for image, box in every]
        else:
            every = [(image, -1) for image in range(len(self.boxes))]
            names = [f"{image + 1:04d}" for image, _ in every]
        self._index = every[:first]
        self.names = tuple(names[:first])
        files = [self._file(image) for image in dict.fromkeys(image for image, _ in self._index)]
        if lacking := [path for path in files if not path.is_file()]:
            listed = ", ".join(map(str, lacking[:3])) + (f" and {len(lacking) - 3} more" if len(lacking) > 3 else "")
            raise FileNotFoundError(f"dnd: missing {listed}; fetch it again: {MEND}")
        self._files, self._known = files, Files()
        self._sizes = {image: _size(self._file(image)) for image, _ in self._index}
        self._in_bounds()
        self.is_whole = self._as_published() and len(self.names) == len(every) and crop is None
        self.name = (
            "dnd"
            + ("" if self._as_published() else f"-{sum(map(len, self.boxes))}boxes")
            + ("-whole" if mode == "whole" else f"-margin{margin}" if margin else "")
            + (f"-first{first}" if first and first < len(every) else "")
            + (f"-crop{crop}" if crop else "")
        )

    def _as_published(self) -> bool:
        return [len(boxes) for boxes in self.boxes] == [BOXES] * IMAGES and self._sides() == {SIDE}

    def _sides(self) -> set[int]:
        return {side for boxes in self.boxes for top, left, bottom, right in boxes for side in (bottom - top, right - left)}

    def _file(self, image: int) -> Path:
        return self._folder / "images_srgb" / f"{image + 1:04d}.mat"

    def _in_bounds(self) -> None:
        for image, (height, width) in self._sizes.items():
            for top, left, bottom, right in self.boxes[image]:
                if not (0 <= top < bottom <= height and 0 <= left < right <= width):
                    raise ValueError(
                        f"{self._file(image)}: {height} x {width}, and a box of info.mat spans rows {top} to {bottom}, "
                        f"columns {left} to {right}; fetch both again: {MEND}"
                    )

    def _outer(self, index: int) -> Box:
        """The part of its photograph that an image shows: top, left, bottom, right."""
        image, box = self._index[index]
        height, width = self._sizes[image]
        if self.mode == "whole":
            return 0, 0, height, width
        top, left, bottom, right = self._scored(image, box)
        grown = self.margin
        return max(top - grown, 0), max(left - grown, 0), min(bottom + grown, height), min(right + grown, width)

    def _scored(self, image: int, box: int) -> Box:
        """A box, or the middle of it."""
        top, left, bottom, right = self.boxes[image][box]
        height, width = (side if self.crop is None else min(side, self.crop) for side in (bottom - top, right - left))
        top, left = top + (bottom - top - height) // 2, left + (right - left - width) // 2
        return top, left, top + height, left + width

    def inner(self, index: int) -> list[tuple[str, slice, slice]]:
        """The scored boxes in an image: their names `0001_01`, rows and columns."""
        image, box = self._index[index]
        top, left, _, _ = self._outer(index)
        return [
            (f"{image + 1:04d}_{number + 1:02d}", slice(b[0] - top, b[2] - top), slice(b[1] - left, b[3] - left))
            for number, b in ((number, self._scored(image, number)) for number in range(len(self.boxes[image])))
            if box in (number, -1)
        ]

    def noisy(self, index: int) -> np.ndarray:
        path = self._file(self._index[index][0])
        top, left, bottom, right = self._outer(index)
        self._known.check(path)
        with h5py.File(path, "r") as file:
            stored = file[VARIABLE]
            assert isinstance(stored, h5py.Dataset)
            try:
                part = stored[:, left:right, top:bottom]  # stored transposed: (3, W, H)
            except OSError as error:
                raise ValueError(f"{path}: cannot be read ({error}); fetch it again: {MEND}") from error
        image = np.ascontiguousarray(part.T, dtype=np.float32)
        if not np.isfinite(image).all():
            raise ValueError(
                f"{path}: {counted(int(np.count_nonzero(~np.isfinite(image))), 'NaN or infinite value')}; fetch it again: {MEND}"
            )
        return image

    def clean(self, index: int) -> np.ndarray:
        raise ValueError("dnd has no clean images: they are not public")

    def scene(self, index: int) -> str:
        return f"{self._index[index][0] + 1:04d}"

    def size(self, index: int) -> tuple[int, int]:
        top, left, bottom, right = self._outer(index)
        return bottom - top, right - left

    @property
    def fingerprint(self) -> str:
        crop = [("crop", self.crop)] if self.crop else []
        return fingerprint_of("dnd", self.mode, self.margin, self.names, self.boxes, *map(self._known.hash, self._files), *crop)

    @property
    def files(self) -> tuple[Path, ...]:
        return self._known.paths

    @property
    def sources(self) -> frozenset[str]:
        # By number alone: they are floats, so that an exported 8-bit crop has other pixels, and 3 GiB to hash.
        return frozenset(f"dnd/{image + 1:04d}" for image, _ in self._index)


def read_boxes(info: Path) -> list[list[Box]]:
    """The boxes of each image as top, left, bottom, right, from 0 and the last excluded.

    `info.mat` refers to a (20, 4) array for each image, transposed: first and last row and column, from 1 and included.
    Raises: ValueError naming the file.
    """
    try:
        with h5py.File(info, "r") as file:
            references = file["info/boundingboxes"]
            assert isinstance(references, h5py.Dataset)
            arrays = [np.asarray(file[reference]).T for reference in np.ravel(references[()])]
    except (OSError, KeyError, TypeError, AssertionError) as error:
        raise ValueError(f"{info}: no boundingboxes can be read from it ({error}); fetch it again: {MEND}") from error
    for array in arrays:
        if array.ndim != 2 or array.shape[1] != 4 or (array != array.astype(int)).any():
            raise ValueError(f"{info}: expected boxes of (20, 4) whole numbers, got {array.shape}; fetch it again: {MEND}")
    return [[(y1 - 1, x1 - 1, y2, x2) for y1, x1, y2, x2 in array.astype(int).tolist()] for array in arrays]


def _size(path: Path) -> tuple[int, int]:
    """(H, W) of a photograph, from its header alone."""
    try:
        with h5py.File(path, "r") as file:
            stored = file[VARIABLE]
            if not isinstance(stored, h5py.Dataset) or stored.ndim != 3 or stored.shape[0] != 3:
                raise ValueError(f"its {VARIABLE} is not of (3, W, H)")
            return stored.shape[2], stored.shape[1]
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); fetch it again: {MEND}") from error
