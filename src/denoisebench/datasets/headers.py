"""What the headers of image files tell, before any of them is read: what is no image, gray among colour, of another size."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tifffile
from PIL import Image

from denoisebench.datasets.reading import TIFF_MARKS, image_size

GRAY_MODES = frozenset(("1", "L", "LA", "I;16", "I;16B", "I", "F"))
COLOUR_MODES = frozenset(("P", "RGB", "RGBA"))
KINDS = {1: "gray", 3: "RGB"}


@dataclass(frozen=True)
class Header:
    """height, width: as it is read, turned as its EXIF says. channels: 1 or 3 without alpha; None where the header leaves it
    open."""

    height: int
    width: int
    channels: int | None


def header_of(path: Path) -> Header:
    """Raises: ValueError, naming the file, for what is no image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Header(*image_size(path), _channels(path))


def _channels(path: Path) -> int | None:
    with path.open("rb") as file:
        is_tiff = file.read(4) in TIFF_MARKS
    if is_tiff:
        with tifffile.TiffFile(path) as file:
            return {1: 1, 2: 1, 3: 3, 4: 3}.get(file.pages.first.samplesperpixel)
    with Image.open(path) as image:
        return 1 if image.mode in GRAY_MODES else 3 if image.mode in COLOUR_MODES else None


def damaged_files(clean: Mapping[str, Path], noisy: Mapping[str, Path], channels: int) -> list[str]:
    """A line for each file that cannot be read as an image of so many channels, or whose partner has another size."""
    return list(_damaged(clean, noisy, channels))


def _damaged(clean: Mapping[str, Path], noisy: Mapping[str, Path], channels: int) -> Iterator[str]:
    sizes: dict[str, tuple[int, int]] = {}
    for side in (clean, noisy):
        for name, path in side.items():
            try:
                header = header_of(path)
            except (OSError, ValueError) as error:
                yield str(error)
                continue
            if header.channels not in (None, channels):
                yield f"{path}: is {KINDS[header.channels or 0]}, and this data set is read as {KINDS[channels]}"
            size = header.height, header.width
            if sizes.setdefault(name, size) != size:
                yield f"{path} is {size[0]} x {size[1]}, its clean partner {clean[name]} {sizes[name][0]} x {sizes[name][1]}"
