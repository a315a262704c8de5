"""A stack: many images of one size in a file, each at a place along axes like time and depth."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

AXES = {"T": "time", "Z": "depth", "C": "channel", "I": "image", "Y": "rows", "X": "columns", "S": "samples of a pixel"}
UNNAMED = "IQR"  # how tifffile calls an axis of which a file says nothing
Index = tuple[int | slice, ...]


class StackError(ValueError):
    """What is no stack that can be read and written; its text says why, and the way out. It does not name the file."""


class Planes(Protocol):
    """Where the values of a stack lie. Nothing stays open, and nothing but the slice that is asked for is read."""

    def read(self, path: Path, index: Index) -> np.ndarray:
        """The axes without a number, in their order."""
        ...

    def write(self, path: Path, index: Index, values: np.ndarray) -> None:
        """path: a copy of the stack."""
        ...

    def finish(self, path: Path) -> None:
        """Renew what a copy says of all its values, once every slice is written."""
        ...


@dataclass(frozen=True)
class Stack:
    """kind: of file, for people. axes: a letter of AXES for each dimension of `shape`. dtype: in the order of this machine."""

    path: Path
    kind: str
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype
    planes: Planes

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of a slice."""
        return self._length("Y"), self._length("X")

    @property
    def samples(self) -> int:
        """Of a pixel: 1 gray, 3 RGB; 2 and 4 with alpha, where the file says so."""
        return self._length("S") if "S" in self.axes else 1

    @property
    def count(self) -> int:
        return math.prod(length for _, length in self._others)

    def label(self, number: int) -> str:
        """The place of a slice, counted from 0 along each axis, as `t03_z7`; empty where there is but one slice."""
        place = zip(self._others, self._place(number), strict=True)
        return "_".join(f"{axis.lower()}{at:0{len(str(length - 1))}d}" for (axis, length), at in place if length > 1)

    def read(self, number: int) -> np.ndarray:
        """A slice (H, W, samples), in memory of its own."""
        values = self.planes.read(self.path, self._index(number))
        own = np.array(values.transpose(self._turned), self.dtype, order="C")
        return own.reshape(*self.size, self.samples)

    def write(self, copy: Path, number: int, samples: np.ndarray) -> None:
        """Put other values (H, W, samples) into a copy of the stack."""
        shaped = samples if "S" in self.axes else samples[..., 0]
        self.planes.write(copy, self._index(number), shaped.transpose(np.argsort(self._turned)))

    def finish(self, copy: Path) -> None:
        self.planes.finish(copy)

    @property
    def _others(self) -> list[tuple[str, int]]:
        """The axes along which slices lie, with their lengths."""
        return [(axis, length) for axis, length in zip(self.axes, self.shape, strict=True) if axis not in "YXS"]

    @property
    def _turned(self) -> list[int]:
        """Which of a slice's axes, as they are stored, are rows, columns and samples."""
        stored = [axis for axis in self.axes if axis in "YXS"]
        return [stored.index(axis) for axis in "YXS" if axis in stored]

    def _length(self, axis: str) -> int:
        return self.shape[self.axes.index(axis)]

    def _place(self, number: int) -> tuple[int, ...]:
        if not 0 <= number < self.count:
            raise IndexError(f"slice {number} of {self.count}")
        return tuple(map(int, np.unravel_index(number, [length for _, length in self._others]))) if self._others else ()

    def _index(self, number: int) -> Index:
        places = iter(self._place(number))
        return tuple(slice(None) if axis in "YXS" else next(places) for axis in self.axes)


def checked(axes: str, shape: tuple[int, ...], has_alpha: bool = False, *, apart: bool = True) -> str:
    """Axes in the letters of AXES. has_alpha: whether the file says that the last of 2 or 4 samples is alpha. apart: whether
    each sample can be a slice where they are stored.

    Raises: StackError for others, for those that do not fit, for a stack without a slice, and for samples of no known meaning.
    """
    letters = axes.upper()
    if len([axis for axis in letters if axis in UNNAMED]) == 1:
        letters = "".join("I" if axis in UNNAMED else axis for axis in letters)
    lengths = " x ".join(map(str, shape))
    if len(letters) != len(shape):
        raise StackError(f"it has {len(shape)} dimensions ({lengths}), and the axes {axes} name {len(letters)}: name each once")
    if not {*letters} <= {*AXES} or len({*letters}) < len(letters) or not {*"YX"} <= {*letters}:
        raise StackError(
            f"its axes are {letters} ({lengths}), expected T, Z, C, Y, X each at most once, and S for the samples of RGB: "
            f"say which they are, {said_as(len(shape))}"
        )
    if 0 in shape:
        raise StackError(f"it holds no image ({lengths}): replace it")
    samples = shape[letters.index("S")] if "S" in letters else 1
    if samples not in ((1, 2, 3, 4) if has_alpha else (1, 3)):
        alpha = ", and does not say that the last is alpha" if samples in (2, 4) else ""
        as_channels = letters.replace("S", "C") if apart and "C" not in letters else ""
        way = (
            f"name their axis C, --axes {as_channels} (in a data set dataset.axes={as_channels})"
            if as_channels
            else "save each as a slice of its own"
        )
        raise StackError(f"it has {samples} samples in a pixel{alpha}: {way}")
    return letters


def plain_axes(shape: tuple[int, ...]) -> str:
    """Of an array that does not say its axes: one image, or images one after the other; the last axis holds samples of a pixel
    if it is 3 or 4 long. Raises: StackError."""
    ending = "YXS" if len(shape) > 2 and shape[-1] in (3, 4) else "YX"
    leading = len(shape) - len(ending)
    if leading > 1 or len(shape) < 2:
        raise StackError(unsaid(shape))
    return "I" * leading + ending


def check_dtype(dtype: np.dtype) -> None:
    """Raises: StackError for values that no method can take, or that could not be given back."""
    if dtype.kind == "c":
        raise StackError(f"its values are complex ({dtype}): save the magnitude, or each part on its own, as float32")
    if dtype.kind in "iu" and dtype.itemsize == 8:
        raise StackError(f"its values are 64-bit integers ({dtype}): save it as uint16 or float32")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise StackError(f"its values are {dtype}, expected integers of 8 to 32 bits or floats: save it as uint16 or float32")


def said_as(dimensions: int) -> str:
    """How axes are given, by example."""
    example = {3: "ZYX", 4: "TZYX", 5: "TZCYX"}.get(dimensions, "ZYX")
    return f"e.g. --axes {example} (in a data set dataset.axes={example})"


def unsaid(shape: tuple[int, ...]) -> str:
    """What to say of an array that does not say its axes."""
    lengths = " x ".join(map(str, shape))
    return f"it has {len(shape)} dimensions ({lengths}) and does not say which they are: say so, {said_as(len(shape))}"
