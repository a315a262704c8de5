"""What the headers of image files tell before any is read: not an image, gray among colour, another size."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tifffile
from PIL import Image

from denoisebench.datasets.reading import Reading
from denoisebench.datasets.slices import Slice, said, size_of
from denoisebench.datasets.tiff import TIFF_MARKS

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


def header_of(path: Path | Slice) -> Header:
    """Raises: ValueError, naming the file, for what is no image."""
    height, width = size_of(path)  # first: it says what is wrong with a file that is no image
    channels = {1: 1, 2: 1}.get(path.stack.samples, 3) if isinstance(path, Slice) else _channels(path)
    return Header(height, width, channels)


def _channels(path: Path) -> int | None:
    with path.open("rb") as file:
        is_tiff = file.read(4) in TIFF_MARKS
        file.seek(0)
        if is_tiff:
            with tifffile.TiffFile(file) as tiff:
                return {1: 1, 2: 1, 3: 3, 4: 3}.get(tiff.pages.first.samplesperpixel)
        with Image.open(file) as image:
            return 1 if image.mode in GRAY_MODES else 3 if image.mode in COLOUR_MODES else None


def damaged_files(sides: Sequence[Mapping[str, Path | Slice]], how: Reading) -> list[tuple[Path | Slice, str]]:
    """Files, by the names of their images, that cannot be read so, or whose partner has another size: each with a line on it."""
    return list(_damaged(sides, how))


def _damaged(sides: Sequence[Mapping[str, Path | Slice]], how: Reading) -> Iterator[tuple[Path | Slice, str]]:
    first: dict[str, tuple[Path | Slice, Header]] = {}
    readable = (None, 1, 3) if how.to_gray else (None, how.channels)
    for name, path in ((name, path) for side in sides for name, path in side.items()):
        try:
            header = header_of(path)
        except (OSError, ValueError) as error:
            yield path, str(error)
            continue
        if header.channels not in readable:
            yield path, f"{said(path)}: is {KINDS[header.channels or 0]}, and this data set is read as {KINDS[how.channels]}"
        partner, other = first.setdefault(name, (path, header))
        if (header.height, header.width) != (other.height, other.width):
            yield path, f"{said(path)} is {_size(header)}, its partner {said(partner)} {_size(other)}"


def _size(header: Header) -> str:
    return f"{header.height} x {header.width}"
