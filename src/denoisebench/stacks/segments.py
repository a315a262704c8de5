"""The pages of a TIFF file: how their pixels lie in it, and how those of one page are written anew into a copy.

Every tag, every other page, and whatever a camera maker put between them stays as it was, at its place.
"""

import io
import logging
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import tifffile
from PIL import Image

MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS = 1, 5, 8, 32946, 32773
COMPRESSIONS = (NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS)  # those that are read and written
DIFFERENCES, FLOAT_DIFFERENCES = 2, 3
CLASSIC_END = 2**32

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # our errors say what it would log


@dataclass(frozen=True)
class Segment:
    """A strip or tile: which plane it is of, where it begins, and its size as stored, beyond the image's border in tiles."""

    plane: int
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Layout:
    """How the pixels of a page lie in its file. together: samples of a segment; planes: how many segments each place has."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    compression: int
    predictor: int
    planes: int
    segments: tuple[Segment, ...]

    @property
    def together(self) -> int:
        return self.shape[2] // self.planes


@dataclass(frozen=True)
class Tag:
    """Where an entry of a page's directory lies: its own place and its values'. wide: of a BigTIFF."""

    at: int
    values_at: int
    order: str
    dtype: int
    count: int
    wide: bool


@dataclass(frozen=True)
class StoredPage:
    """A page in its file. places: of each segment, its offset and how many bytes it has. offsets, sizes: the tags that say so.
    shared: whether segments share places, with each other or with those of other pages, as equal ones may: then none is written
    over."""

    layout: Layout
    places: tuple[tuple[int, int], ...]
    offsets: Tag
    sizes: Tag
    shared: bool


def stored_page(page: Any) -> StoredPage:
    """page: a TiffPage, of an open file. Raises: ValueError for a page that does not say where its pixels are."""
    places = tuple(zip(page.dataoffsets, page.databytecounts, strict=True))
    shared = len(set(page.dataoffsets)) < len(page.dataoffsets)
    return StoredPage(_layout(page), places, _tag(page, "Offsets"), _tag(page, "ByteCounts"), shared)


def is_cut_off(page: StoredPage, length: int) -> bool:
    """length: of the file in bytes."""
    return any(offset + size > length or not size for offset, size in page.places)


def samples_of(page: StoredPage, file: IO[bytes]) -> np.ndarray:
    """(H, W, samples) in the byte order of this machine. Raises: ValueError or zlib.error for damaged data."""
    return _samples(page.layout, [_at(file, offset, size) for offset, size in page.places])


def _at(file: IO[bytes], offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def write_samples(page: StoredPage, file: IO[bytes], samples: np.ndarray) -> None:
    """Other pixels for a page of an open file: where a segment has grown, it goes to the end, and its old place stays unused.

    Raises: ValueError if the file would become too large for its kind; it is then half-written.
    """
    end = file.seek(0, io.SEEK_END)
    offsets, sizes = [], []
    for (offset, room), data in zip(page.places, _encoded_segments(page.layout, samples), strict=True):
        place = offset if len(data) <= room and not page.shared else end + end % 2
        file.seek(place)
        file.write(data)
        end = max(end, place + len(data))
        offsets.append(place)
        sizes.append(len(data))
    if end >= CLASSIC_END and not page.offsets.wide:
        raise ValueError("with its new pixels it would be larger than 4 GiB: save it as BigTIFF first")
    for tag, values in ((page.offsets, offsets), (page.sizes, sizes)):
        end = _rewritten(file, tag, values, end)


def _layout(page: Any) -> Layout:
    height, width, count = page.imagelength, page.imagewidth, page.samplesperpixel
    planes = count if page.planarconfig == 2 and count > 1 else 1
    if page.is_tiled:
        down, right = page.tilelength, page.tilewidth
        corners = [(top, left, down, right) for top in range(0, height, down) for left in range(0, width, right)]
    else:
        down = min(page.rowsperstrip or height, height)
        corners = [(top, 0, min(down, height - top), width) for top in range(0, height, down)]
    segments = tuple(Segment(plane, *corner) for plane in range(planes) for corner in corners)
    if len(segments) != len(page.dataoffsets):
        raise ValueError(f"it has {len(page.dataoffsets)} strips or tiles, expected {len(segments)}")
    dtype = np.dtype(page.parent.byteorder + page.dtype.str[1:])
    return Layout((height, width, count), dtype, int(page.compression), int(page.predictor), planes, segments)


def _samples(layout: Layout, stored: list[bytes]) -> np.ndarray:
    """Segments as they are stored -> (H, W, samples)."""
    result = np.empty(layout.shape, layout.dtype.newbyteorder("="))
    for segment, data in zip(layout.segments, stored, strict=True):
        shape = segment.height, segment.width, layout.together
        size = int(np.prod(shape)) * layout.dtype.itemsize
        raw = unpacked(data, layout.compression, segment.height, size // segment.height)
        if len(raw) < size:
            raise ValueError("it is cut off")
        values = _undiffered(np.frombuffer(raw[:size], np.uint8), shape, layout)
        target = _place(result, segment, layout)
        target[...] = values[: target.shape[0], : target.shape[1]]
    return result


def _place(image: np.ndarray, segment: Segment, layout: Layout) -> np.ndarray:
    """The part of an image that a segment holds: a view."""
    first = segment.plane * layout.together
    rows, columns = (slice(at, at + size) for at, size in ((segment.top, segment.height), (segment.left, segment.width)))
    return image[rows, columns, first : first + layout.together]


def _encoded_segments(layout: Layout, samples: np.ndarray) -> Iterator[bytes]:
    for segment in layout.segments:
        own = _place(samples, segment, layout)
        missing = ((0, segment.height - own.shape[0]), (0, segment.width - own.shape[1]), (0, 0))
        raw = _differed(np.pad(own, missing, mode="edge"), layout)
        yield packed(raw, layout.compression, segment.height, len(raw) // segment.height)


def _tag(page: Any, kind: str) -> Tag:
    tag = page.tags.get(f"Tile{kind}" if page.is_tiled else f"Strip{kind}")
    if tag is None:
        raise ValueError(f"it does not say its {kind}")
    return Tag(tag.offset, tag.valueoffset, page.parent.byteorder, int(tag.dtype), tag.count, page.parent.is_bigtiff)


def _rewritten(file: IO[bytes], tag: Tag, values: list[int], end: int) -> int:
    """Write the values of a tag in place; at the end of the file and in a wider type where they do not fit. Returns the end."""
    letters = {3: ("H", 2**16), 4: ("I", 2**32), 16: ("Q", 2**64)}
    letter, limit = letters[tag.dtype]
    if max(values) < limit:
        file.seek(tag.values_at)
        file.write(struct.pack(f"{tag.order}{tag.count}{letter}", *values))
        return end
    letter, kind = ("Q", 16) if tag.wide else ("I", 4)
    data = struct.pack(f"{tag.order}{tag.count}{letter}", *values)
    inline = len(data) <= (8 if tag.wide else 4)
    place = tag.at + (12 if tag.wide else 8) if inline else end + end % 2
    file.seek(tag.at + 2)
    file.write(struct.pack(f"{tag.order}H", kind))
    if not inline:
        file.seek(tag.at + (12 if tag.wide else 8))
        file.write(struct.pack(f"{tag.order}{'Q' if tag.wide else 'I'}", place))
    file.seek(place)
    file.write(data)
    return max(end, place + len(data))


# --- Predictors: differences between neighbours ------------------------------------------------------------------------


def _undiffered(raw: np.ndarray, shape: tuple[int, int, int], layout: Layout) -> np.ndarray:
    """Bytes of a segment -> its samples (h, w, together)."""
    if layout.predictor == FLOAT_DIFFERENCES:
        height, width, count = shape
        size = layout.dtype.itemsize
        steps = np.add.accumulate(raw.reshape(height, width * size, count), axis=1, dtype=np.uint8)
        planes = steps.reshape(height, size, width * count)  # bytes of a row, most significant first
        return np.ascontiguousarray(planes.transpose(0, 2, 1)).view(layout.dtype.newbyteorder(">")).reshape(shape)
    values = raw.view(layout.dtype).reshape(shape)
    if layout.predictor == DIFFERENCES:
        unsigned = values.view(f"{layout.dtype.byteorder}u{layout.dtype.itemsize}").astype(f"u{layout.dtype.itemsize}")
        return np.add.accumulate(unsigned, axis=1, dtype=unsigned.dtype).view(layout.dtype.newbyteorder("="))
    return values


def _differed(samples: np.ndarray, layout: Layout) -> bytes:
    """The inverse of `_undiffered`."""
    height, width, count = samples.shape
    if layout.predictor == FLOAT_DIFFERENCES:
        size = layout.dtype.itemsize
        big = np.ascontiguousarray(samples, layout.dtype.newbyteorder(">")).view(np.uint8)
        planes = big.reshape(height, width * count, size).transpose(0, 2, 1).reshape(height, width * size, count)
        return np.concatenate([planes[:, :1], np.diff(planes, axis=1)], axis=1).tobytes()
    values = np.ascontiguousarray(samples, layout.dtype.newbyteorder("="))
    if layout.predictor == DIFFERENCES:
        unsigned = values.view(f"u{layout.dtype.itemsize}")
        values = np.concatenate([unsigned[:, :1], np.diff(unsigned, axis=1)], axis=1)
    return values.astype(values.dtype.newbyteorder(layout.dtype.byteorder)).tobytes()


# --- Compression: bytes to bytes --------------------------------------------------------------------------------------


def unpacked(data: bytes, compression: int, rows: int, row_bytes: int) -> bytes:
    """Raises: ValueError or zlib.error for damaged data."""
    if compression == NONE:
        return data
    if compression in (DEFLATE, OLD_DEFLATE):
        return zlib.decompress(data)
    tags = [(256, row_bytes), (257, rows), (258, 8), (259, compression), (262, 1), (277, 1), (278, rows), (279, len(data))]
    with Image.open(io.BytesIO(_one_strip(tags, data))) as image:
        return image.tobytes()


def packed(raw: bytes, compression: int, rows: int, row_bytes: int) -> bytes:
    if compression == NONE:
        return raw
    if compression in (DEFLATE, OLD_DEFLATE):
        return zlib.compress(raw, 6)
    names = {LZW: "tiff_lzw", PACKBITS: "packbits"}
    buffer = io.BytesIO()
    Image.frombytes("L", (row_bytes, rows), raw).save(buffer, "TIFF", compression=names[compression], tiffinfo={278: rows})
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as file:
        page: Any = file.pages[0]
        [offset], [size] = page.dataoffsets, page.databytecounts
    return buffer.getvalue()[offset : offset + size]


def _one_strip(tags: list[tuple[int, int]], data: bytes) -> bytes:
    """A gray TIFF of one strip around compressed bytes, for libtiff to decode."""
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = sorted([*tags, (273, start)])
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", 0) + data
