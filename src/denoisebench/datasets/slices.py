"""The images of a folder that are slices of stacks: each a place in a file, and all of one stack one scene."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from denoisebench.datasets.listing import composed, shown
from denoisebench.datasets.reading import Reading, as_asked, image_size, unreadable
from denoisebench.stacks.opening import is_stack_path, stack_of
from denoisebench.stacks.stack import Stack, StackError

TIFF_SUFFIXES = (".tif", ".tiff")


@dataclass(frozen=True)
class Slice:
    """number: from 0."""

    stack: Stack
    number: int

    @property
    def file(self) -> Path:
        return self.stack.path


Place = Path | Slice


def file_of(place: Place) -> Path:
    return place.file if isinstance(place, Slice) else place


def said(place: Place) -> str:
    """Where an image is, for people."""
    if isinstance(place, Slice):
        return f"{shown(place.file)}, slice {place.stack.label(place.number) or place.number}"
    return shown(place)


def size_of(place: Place) -> tuple[int, int]:
    """(H, W), from the header alone. Raises: ValueError, naming the file."""
    return place.stack.size if isinstance(place, Slice) else image_size(place)


def read_slice(place: Slice, how: Reading | int) -> np.ndarray:
    """(H, W, channels) as `read_image` reads a file. Raises: ValueError, naming the file and the slice."""
    try:
        samples = place.stack.read(place.number)
    except Exception as error:  # whatever a decoder raises on a damaged file
        raise unreadable(place.file, error) from error
    return as_asked(samples, how, Path(said(place)))


def expanded(files: Mapping[str, Path], axes: str | None) -> dict[str, Place]:
    """The same images, with each stack's slices in its place, named `stack/t03_z12`.

    Raises: ValueError, naming the file, for a stack that cannot be read.
    """
    result: dict[str, Place] = {}
    for name, path in files.items():
        stack = opened(path, axes)
        if stack is None:
            result[name] = path
        elif stack.count == 1:
            result[name] = Slice(stack, 0)
        else:
            result |= {f"{name}/{stack.label(number)}": Slice(stack, number) for number in range(stack.count)}
    return result


def opened(path: Path, axes: str | None) -> Stack | None:
    """None for what is no stack. Raises: ValueError, naming the file."""
    if path.suffix.lower() not in TIFF_SUFFIXES and not is_stack_path(path):
        return None
    try:
        return stack_of(path, axes)
    except StackError as error:
        raise ValueError(f"{shown(path)}: {error}") from error


def repeated(clean: Mapping[str, Place], noisy: Mapping[str, Place]) -> dict[str, Place]:
    """The clean images by the names of the noisy ones, where one clean image goes with a whole stack of noisy repeats."""
    result: dict[str, Place] = {}
    used = set()
    for name, place in noisy.items():
        own = name if name in clean or not isinstance(place, Slice) else name.rpartition("/")[0]
        if own in clean:
            result[name] = clean[own]
            used.add(own)
    return result | {name: place for name, place in clean.items() if name not in used}


def together(paths: Sequence[Path], name: str, axes: str | None) -> list[dict[str, Place]] | None:
    """The images of sides that are files, one of them a stack, by this name. None for folders of images.

    Raises: ValueError, naming the file.
    """
    if not all(path.is_file() or is_stack_path(path) for path in paths) or all(opened(path, axes) is None for path in paths):
        return None
    return [expanded({composed(name): path}, axes) for path in paths]
