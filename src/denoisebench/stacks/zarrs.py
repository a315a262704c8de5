"""Stacks in OME-Zarr, and in plain Zarr arrays: folders of chunks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench.stacks.mapped import EXTRA
from denoisebench.stacks.stack import Index, Stack, StackError, check_dtype, checked, plain_axes, said_as

MARKS = ("zarr.json", ".zgroup", ".zarray")
BEFORE_AXES = "TCZYX"  # of versions 0.1 and 0.2, which do not say them


@dataclass(frozen=True)
class Chunks:
    """array: the path of the whole images within the folder. smaller: those of copies, each smaller than the one before."""

    array: str
    smaller: tuple[str, ...] = ()

    def read(self, path: Path, index: Index) -> np.ndarray:
        return np.asarray(_array(path, self.array, "r")[index])

    def write(self, path: Path, index: Index, values: np.ndarray) -> None:
        _array(path, self.array, "r+")[index] = values

    def finish(self, path: Path) -> None:
        """The smaller copies are made anew, by means over areas."""
        for upper, lower in pairwise((self.array, *self.smaller)):
            _shrink(_array(path, upper, "r"), _array(path, lower, "r+"))


def is_zarr(path: Path) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in MARKS)


def zarr_stack(path: Path, axes: str | None) -> Stack:
    """Raises: StackError."""
    try:
        import zarr
    except ImportError as error:
        raise StackError(f"it is a Zarr folder, and zarr is not installed: {EXTRA}") from error
    try:
        node: Any = zarr.open(str(path), mode="r")
        planes, own = (Chunks(""), None) if isinstance(node, zarr.Array) else _multiscale(dict(node.attrs))
        array = _array(path, planes.array, "r")
        shape, dtype = tuple(map(int, array.shape)), np.dtype(array.dtype)
    except StackError:
        raise
    except Exception as error:  # whatever zarr raises on a damaged folder
        raise StackError(f"it is no whole Zarr folder ({error}): replace it") from error
    check_dtype(dtype)
    named = checked(axes or own or plain_axes(shape), shape)
    return Stack(path, "OME-Zarr" if own else "Zarr", named, shape, dtype.newbyteorder("="), planes)


def _multiscale(attributes: Mapping[str, Any]) -> tuple[Chunks, str]:
    """Raises: StackError for a folder of several images, or none."""
    found = attributes.get("ome", attributes).get("multiscales", [])
    if len(found) != 1:
        raise StackError("it is no OME-Zarr image: name the image in it, e.g. plate.zarr/A/1/0")
    [one] = found
    paths = [level["path"] for level in one["datasets"]]
    names = [axis if isinstance(axis, str) else axis["name"] for axis in one.get("axes", BEFORE_AXES)]
    if any(len(name) > 1 for name in names):
        raise StackError(f"its axes are {', '.join(names)}: say which of T, Z, C, Y, X they are, {said_as(len(names))}")
    return Chunks(paths[0], tuple(paths[1:])), "".join(names).upper()


def _array(path: Path, name: str, mode: Any) -> Any:
    import zarr

    return zarr.open_array(str(path / name) if name else str(path), mode=mode)


def _shrink(upper: Any, lower: Any) -> None:
    """One slice of the smaller copy at a time: each value the mean of those that lie in its place."""
    for place in np.ndindex(*lower.shape[:-2]):
        block = upper[tuple(_slices(place, upper.shape, lower.shape))].astype(np.float64)
        for axis, length in enumerate((*(1 for _ in place), *lower.shape[-2:])):
            starts = np.arange(length) * block.shape[axis] // length
            counts = np.diff([*starts, block.shape[axis]])
            block = np.add.reduceat(block, starts, axis) / counts.reshape([-1 if one == axis else 1 for one in range(block.ndim)])
        values = block.reshape(block.shape[-2:])
        lower[place] = np.floor(values + 0.5) if np.dtype(lower.dtype).kind in "iu" else values


def _slices(place: tuple[int, ...], upper: tuple[int, ...], lower: tuple[int, ...]) -> Iterator[slice]:
    for at, over, under in zip(place, upper, lower, strict=False):
        yield slice(at * over // under, max((at + 1) * over // under, at * over // under + 1))
    yield from (slice(None), slice(None))
