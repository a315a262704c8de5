"""Stacks whose values lie in one piece in their file: NumPy arrays and MRC. They are mapped into memory, never loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench.stacks.stack import Index, Stack, StackError, check_dtype, checked, plain_axes

NUMPY = b"\x93NUMPY"
MRC_SUFFIXES = (".mrc", ".mrcs")
EXTRA = "pip install 'denoisebench[stacks]'"


@dataclass(frozen=True)
class Mapped:
    """offset: of the first value in the file, in bytes. dtype: with its byte order. order: `C`, or `F` for columns first."""

    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]
    order: str = "C"

    def read(self, path: Path, index: Index) -> np.ndarray:
        return self._map(path, "r")[index]

    def write(self, path: Path, index: Index, values: np.ndarray) -> None:
        mapped = self._map(path, "r+")
        mapped[index] = values
        mapped.flush()

    def finish(self, path: Path) -> None:
        pass

    def _map(self, path: Path, mode: Any) -> np.memmap:
        return np.memmap(path, self.dtype, mode, self.offset, self.shape, order=self.order)  # type: ignore[call-overload]


@dataclass(frozen=True)
class MappedMRC(Mapped):
    """An MRC file: its header tells the least, greatest and mean value, and their deviation."""

    def finish(self, path: Path) -> None:
        import mrcfile

        mapped = self._map(path, "r")
        planes = mapped.reshape(-1, *self.shape[-2:])
        low, high, total, squares = np.inf, -np.inf, 0.0, 0.0
        for plane in planes:
            values = plane.astype(np.float64)
            low, high = min(low, values.min()), max(high, values.max())
            total, squares = total + values.sum(), squares + np.square(values).sum()
        mean = total / mapped.size
        with mrcfile.mmap(path, mode="r+") as file:
            header: Any = file.header
            header.dmin, header.dmax, header.dmean = low, high, mean
            header.rms = np.sqrt(max(squares / mapped.size - mean**2, 0.0))


def numpy_stack(path: Path, axes: str | None) -> Stack:
    """Raises: StackError."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:
        if "pickle" in str(error) or "object" in str(error).lower():
            raise StackError("it holds Python objects: save an array of numbers") from error
        raise StackError(f"it is cut off, or no NumPy array ({error}): replace it") from error
    check_dtype(array.dtype)
    order = "C" if array.flags.c_contiguous else "F"
    planes = Mapped(int(array.offset), array.dtype, array.shape, order)
    return _stack(path, "NumPy array", axes or plain_axes(array.shape), planes)


def mrc_stack(path: Path, axes: str | None) -> Stack:
    """Raises: StackError."""
    try:
        import mrcfile
    except ImportError as error:
        raise StackError(f"it is an MRC file, and mrcfile is not installed: {EXTRA}") from error
    try:
        with mrcfile.mmap(path, mode="r") as file:
            data: Any = file.data
            header: Any = file.header
            own = {2: "YX", 3: "IYX" if file.is_image_stack() else "ZYX", 4: "IZYX"}[data.ndim]
            planes = MappedMRC(1024 + int(header.nsymbt), data.dtype, data.shape)
    except StackError:
        raise
    except Exception as error:  # whatever mrcfile raises on a damaged header
        raise StackError(f"it is cut off, or no valid MRC file ({error}): replace it") from error
    check_dtype(planes.dtype)
    return _stack(path, "MRC", axes or own, planes)


def _stack(path: Path, kind: str, axes: str, planes: Mapped) -> Stack:
    named = checked(axes, planes.shape)
    return Stack(path, kind, named, planes.shape, planes.dtype.newbyteorder("="), planes)
