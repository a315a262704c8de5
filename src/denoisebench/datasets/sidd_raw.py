"""SIDD before its development: one Bayer plane of each image, of cameras with different orders of colours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from denoisebench.datasets.images import fingerprint_of
from denoisebench.datasets.keys import check_selection
from denoisebench.datasets.matlab import read_v5
from denoisebench.datasets.matlab73 import Stored, is_v73, read_v73
from denoisebench.datasets.sidd import SIDDBlocks
from denoisebench.datasets.sidd_frames import MediumFrames
from denoisebench.ranges import Count

MEDIUM_FOLDERS = ("SIDD", "SIDD/SIDD_Medium_Raw", "SIDD_Medium_Raw", "")
RAW_FRAMES = "*_NOISY_RAW_0*.MAT"
VARIABLE = "x"
FILES = {
    "validation": ("ValidationNoisyBlocksRaw", "ValidationGtBlocksRaw"),
    "benchmark": ("BenchmarkNoisyBlocksRaw",),
}


def read_planes(file: Path, variable: str, mend: str) -> np.ndarray | Stored:
    """A variable in single of a MATLAB file: of v7.3 read part by part, of v5 mapped or loaded once. Raises: ValueError."""
    return read_v73(file, variable, mend) if is_v73(file) else read_v5(file, variable, mend, np.float32)


def _checked(plane: np.ndarray, where: str) -> np.ndarray:
    """(H, W) -> (H, W, 1) float32, of black at 0 and white at 1, as SIDD's files have it. Raises: ValueError."""
    if not np.isfinite(plane).all() or plane.min() < 0 or plane.max() > 1:
        raise ValueError(
            f"{where}: its values span {plane.min():.4g} to {plane.max():.4g}, expected [0, 1]: black level and white level are "
            "taken into account in SIDD's raw files; fetch it again"
        )
    return np.ascontiguousarray(plane, np.float32)[..., None]


class SIDDRawBlocks(SIDDBlocks):
    """The 40 x 32 Bayer planes of 256 x 256 pixels of `validation` (noisy and clean) or `benchmark` (noisy only).

    Names, selection and scenes as of `SIDDBlocks`, whose photographs these are. Values are float32 in [0, 1], black at 0. The
    files are MATLAB v5, mapped where they are uncompressed, or v7.3, of which one block is read at a time. The five cameras
    order their colours differently; nobody is told how.

    Raises: FileNotFoundError or ValueError that name the file and the command that mends it.
    """

    kind, published, mosaic, colours = "sidd_raw", FILES, True, ()
    of_files, of_packed = 1, " in its files, and 4 where dataset.pack=bayer"

    def _array(self, file: Path) -> np.ndarray | Stored:
        return read_planes(file, file.stem, self._mend)

    def _read(self, file: Path, place: tuple[int, int]) -> np.ndarray:
        plane = np.asarray(self._array(file)[(*place, slice(None), slice(None))])
        return _checked(plane, f"{file}, frame {place[0]}, block {place[1]}")

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(f"sidd_{self.part}/{frame:04d}" for frame, _ in self._index)


class SIDDRawMedium(MediumFrames):
    """Patches of the 320 raw frames of SIDD-Medium and of their clean partners: a training set.

    Patches of `side` pixels, `step` apart, both even; the last of a row or column ends at the border, or one pixel before it
    where it would else begin at an odd place and the colours change their order. They are read one by one from the frames,
    MATLAB v7.3 files of one variable `x` (or v5, mapped). root: folder of data sets; `data` is searched after it. first: so
    many frames, in the order of their names.

    Source: the preparation of Neighbor2Neighbor's release, 512 and 256. Deviation: there the last patch always ends at the
    border.
    Raises: FileNotFoundError or ValueError that name the file and the command that mends it.
    """

    mosaic = True

    def __init__(
        self, which: Literal["sidd"] = "sidd", root: str = "data", side: Count = 512, step: Count = 256,
        first: Count | None = None, channels: Literal[1] = 1,
    ) -> None:  # fmt: skip
        check_selection(first=first, side=side, step=step)
        if channels != 1:
            raise ValueError(f"dataset.channels of sidd_raw are 1 in its files, and 4 where dataset.pack=bayer; not {channels}")
        if side % 2 or step % 2:
            raise ValueError(
                f"dataset.side={side} and dataset.step={step}: even numbers keep the 2 x 2 cells of the sensor whole"
            )
        self.which, self.channels, self._mend = which, 1, "denoisebench data download sidd_raw_medium"
        chosen = self._find("sidd_raw_medium", root, MEDIUM_FOLDERS, RAW_FRAMES, first)
        self._side = side
        self._places = [(file, *place) for file in self._frames for place in self._cut(file, step)]
        self.names = tuple(f"{file.stem}_{top:04d}_{left:04d}" for file, top, left in self._places)
        marks = (f"-side{side}" if side != 512 else "") + (f"-step{step}" if step != 256 else "")
        self.name = f"sidd_raw_medium{marks}{chosen}"

    def _cut(self, file: Path, step: int) -> Iterator[tuple[int, int]]:
        height, width = self._shape(file)
        if min(height, width) < self._side:
            raise ValueError(f"{file}: {height} x {width}, smaller than dataset.side={self._side}; lower it, or fetch it again")
        tops, lefts = (_starts(length, self._side, step) for length in (height, width))
        yield from ((top, left) for top in tops for left in lefts)

    def _shape(self, file: Path) -> tuple[int, ...]:
        shape = read_planes(file, VARIABLE, self._mend).shape
        if len(shape) != 2:
            raise ValueError(f"{file}: {VARIABLE} is {shape}, expected one plane (H, W); fetch it again: {self._mend}")
        return shape

    def noisy(self, index: int) -> np.ndarray:
        return self._patch(self._places[index][0], index)

    def clean(self, index: int) -> np.ndarray:
        noisy = self._places[index][0]
        path = self._partner_of(noisy)
        if self._shape(path) != self._shape(noisy):
            raise ValueError(f"{path}: {self._shape(path)}, and {noisy.name} is {self._shape(noisy)}; fetch both again")
        return self._patch(path, index)

    def _patch(self, file: Path, index: int) -> np.ndarray:
        self._known.check(file)
        _, top, left = self._places[index]
        part = read_planes(file, VARIABLE, self._mend)[slice(top, top + self._side), slice(left, left + self._side)]
        return _checked(np.asarray(part), f"{file}, {top}, {left}")

    def scene(self, index: int) -> str:
        return self._places[index][0].parent.name

    def size(self, index: int) -> tuple[int, int]:
        return self._side, self._side

    @property
    def fingerprint(self) -> str:
        return fingerprint_of("sidd_raw_medium", self.names, *map(self._known.hash, self._with_partners()))


def _starts(length: int, side: int, step: int) -> list[int]:
    last = (length - side) // 2 * 2
    return sorted({*range(0, last + 1, step), last})
