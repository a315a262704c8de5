"""Finds out whether a file is a stack, and of what kind."""

from pathlib import Path

from denoisebench.stacks.mapped import MRC_SUFFIXES, NUMPY, mrc_stack, numpy_stack
from denoisebench.stacks.segments import MARKS
from denoisebench.stacks.stack import Stack, StackError
from denoisebench.stacks.tiff import tiff_stack
from denoisebench.stacks.zarrs import is_zarr, zarr_stack

SUFFIXES = (".npy", *MRC_SUFFIXES)  # of stacks alone; TIFF files may be either
MRC_MARK, MRC_MARK_AT = b"MAP", 208


def stack_of(path: Path, axes: str | None = None) -> Stack | None:
    """A stack, of which no slice is read yet; None for any other file. axes: where the file does not say them, or says others.

    A TIFF file of one image is none; a NumPy array, an MRC file or a Zarr folder of one image is one.
    Raises: StackError for a stack that cannot be read and written; OSError.
    """
    if path.is_dir():
        return zarr_stack(path, axes) if is_zarr(path) else None
    with path.open("rb") as file:
        head = file.read(MRC_MARK_AT + len(MRC_MARK))
    if head.startswith(MARKS):
        try:
            return tiff_stack(path, axes)
        except StackError:
            raise
        except Exception:
            return None  # who reads it as an image says what is wrong
    if head.startswith(NUMPY):
        return numpy_stack(path, axes)
    if head[MRC_MARK_AT:] == MRC_MARK or path.suffix.lower() in MRC_SUFFIXES:
        return mrc_stack(path, axes)
    if path.suffix.lower() in SUFFIXES:
        raise StackError("it is empty: replace it" if not head else "it is no NumPy array: replace it")
    return None


def is_stack_path(path: Path) -> bool:
    """Whether a name, or the mark of a folder, tells that this is a stack; TIFF files do not tell."""
    return is_zarr(path) or (path.suffix.lower() in SUFFIXES and path.is_file())
