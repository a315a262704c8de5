"""FMDD (Zhang et al., CVPR 2019, arXiv 1812.10366): fluorescence microscopy, many noisy shots of each field of view."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from denoisebench.datasets.images import Files, ImageSet, fingerprint_of
from denoisebench.datasets.keys import check_gray
from denoisebench.datasets.looks import pixel_hash
from denoisebench.datasets.places import find
from denoisebench.datasets.reading import image_size, middle
from denoisebench.ranges import Count

FMDD_FOLDERS = ("FMDD", "FMDD/dataset", "denoising-fluorescence/dataset")
KINDS = (
    "Confocal_BPAE_B", "Confocal_BPAE_G", "Confocal_BPAE_R", "Confocal_FISH", "Confocal_MICE",
    "TwoPhoton_BPAE_B", "TwoPhoton_BPAE_G", "TwoPhoton_BPAE_R", "TwoPhoton_MICE",
    "WideField_BPAE_B", "WideField_BPAE_G", "WideField_BPAE_R",
)  # fmt: skip
TEST_VIEW, VIEWS, SHOTS = 19, 20, 50
CLEAN = "avg50.png"
MIX, OF_MIX = "test_mix", 48


@dataclass(frozen=True)
class _Image:
    """view: its kind and field of view; in the mix, whose files do not say it, empty."""

    name: str
    noisy: Path
    clean: Path
    view: str


class FMDD(ImageSet):
    """Gray images of 12 kinds, each of 20 fields of view in 50 noisy shots; the mean of the 50 is the clean image.

    Files are `KIND/raw/VIEW/*.png` and `KIND/gt/VIEW/avg50.png`. The published test part is field of view 19 of each kind, the
    others train. `test_mix` is the published mix of 48 shots, `test_mix/raw/*.png` with `test_mix/gt/*.png`, on which papers
    compare. A field of view is a scene. `second` is the next shot of the same field of view.

    kinds: which of the 12, by default all that are there. average: 1 reads single shots; 2, 4, 8 and 16 the published
    means of so many, `KIND/avgN`. shots: how many of each field of view, by default one in the test part and all in the
    other. root: folder of data sets; `data` is searched after it. first: so many images. crop: side of a square from the
    middle of each image. A choice is part of the set's name.

    Raises: FileNotFoundError or ValueError that name what is missing.
    """

    has_clean = has_noisy = True

    def __init__(
        self, part: Literal["test", "test_mix", "train"] = "test", root: str = "data", kinds: Sequence[str] | None = None,
        average: int = 1, shots: Count | None = None, first: Count | None = None, crop: Count | None = None,
        channels: Literal[1] = 1,
    ) -> None:  # fmt: skip
        for key, value in (("first", first), ("crop", crop), ("shots", shots)):
            if value is not None and value < 1:
                raise ValueError(f"dataset.{key} is a number above 0, or null, not {value}")
        check_gray("fmdd", channels)
        if average not in (1, 2, 4, 8, 16):
            raise ValueError(f"dataset.average of fmdd is 1, 2, 4, 8 or 16 shots, not {average}")
        if unknown := sorted({*(kinds or ())} - {*KINDS}):
            raise ValueError(f"dataset.kinds: no {', '.join(unknown)}; they are {', '.join(KINDS)}")
        if part == MIX and (kinds or shots):
            raise ValueError(f"dataset.part={MIX} is {OF_MIX} images; dataset.kinds and dataset.shots choose from part=test")
        self.channels, self.crop, self._known = 1, crop, Files()
        self.folder = find("fmdd", root, FMDD_FOLDERS, [])
        where = "raw" if average == 1 else f"avg{average}"
        if part == MIX:
            every, found = list(KINDS), _mixed(self.folder / MIX, where)
        else:
            every = [kind for kind in kinds or KINDS if (self.folder / kind).is_dir()]
            if lost := sorted({*(kinds or ())} - {*every}) or ([] if every else list(KINDS)):
                raise FileNotFoundError(f"{self.folder}: no folder {', '.join(lost)}; see `denoisebench data download fmdd`")
            views = [TEST_VIEW] if part == "test" else [view for view in range(1, VIEWS + 1) if view != TEST_VIEW]
            of_each = shots or (1 if part == "test" else SHOTS)
            found = [one for kind in every for view in views for one in _of_view(self.folder / kind, where, view, of_each)]
        self._images = found[:first]
        self.names = tuple(image.name for image in self._images)
        shown = Counter(image.view for image in self._images)
        self.has_second = part != MIX and average == 1 and min(shown.values()) > 1  # published means share shots
        self.name = (
            {"test": "fmdd", MIX: "fmdd-mix", "train": "fmdd-train"}[part]
            + (f"-{'+'.join(every)}" if len(every) < len(KINDS) else "")
            + (f"-avg{average}" if average > 1 else "")
            + (f"-shots{shots}" if shots else "")
            + (f"-first{first}" if first else "")
            + (f"-crop{crop}" if crop else "")
        )

    def noisy(self, index: int) -> np.ndarray:
        return self._read(self._images[index].noisy)

    def clean(self, index: int) -> np.ndarray:
        return self._read(self._clean_path(index))

    def second(self, index: int) -> np.ndarray:
        """The next shot of the same field of view, after the last the first."""
        same = [at for at, image in enumerate(self._images) if image.view == self._images[index].view]
        return self.noisy(same[(same.index(index) + 1) % len(same)])

    def _clean_path(self, index: int) -> Path:
        path = self._images[index].clean
        if not path.is_file():
            raise FileNotFoundError(f"{path}: the mean of {SHOTS} shots is missing")
        return path

    def _read(self, path: Path) -> np.ndarray:
        return middle(self._known.image(path, 1), self.crop)

    def scene(self, index: int) -> str:
        return self._images[index].view or pixel_hash(self._clean_path(index), 1)[:12]

    def size(self, index: int) -> tuple[int, int]:
        height, width = image_size(self._images[index].noisy)
        return (height, width) if self.crop is None else (min(height, self.crop), min(width, self.crop))

    @property
    def fingerprint(self) -> str:
        return fingerprint_of("fmdd", self.names, self.crop, *map(self._known.hash, self._paths))

    @property
    def _paths(self) -> list[Path]:
        """The noisy and the clean file of each image."""
        return [path for index, image in enumerate(self._images) for path in (image.noisy, self._clean_path(index))]

    @property
    def files(self) -> tuple[Path, ...]:
        return self._known.paths

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(pixel_hash(path, 1) for path in {*self._paths})  # shots share a clean file


def _of_view(folder: Path, where: str, view: int, count: int) -> list[_Image]:
    """The first shots of one field of view of a kind."""
    shots = folder / where / str(view)
    paths = sorted(shots.glob("*.png"))
    if len(paths) < count:
        raise ValueError(f"{shots}: {len(paths)} shots, expected {count} or more; dataset.shots={len(paths) or 1} takes fewer")
    name, clean = f"{folder.name}_{view:02d}", folder / "gt" / str(view) / CLEAN
    return [_Image(f"{name}_{path.stem}", path, clean, name) for path in paths[:count]]


def _mixed(folder: Path, where: str) -> list[_Image]:
    paths = sorted((folder / where).glob("*.png"))
    if len(paths) != OF_MIX:
        raise FileNotFoundError(
            f"{folder / where}: {len(paths)} images, expected {OF_MIX} of {MIX}.tar; see `denoisebench data download fmdd`"
        )
    return [_Image(path.stem, path, folder / "gt" / path.name, "") for path in paths]
