"""TIFF of 8 and 16 bit and float: the file is copied whole, and of the copy only the pixels of one page are written anew.

So every tag, every other page, and whatever a camera maker put between them stays as it was, at its place.
"""

import io
import logging
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from denoisebench.photographs.photo import Photo, PhotoError, split_alpha, with_alpha
from denoisebench.progress import counted

MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS = 1, 5, 8, 32946, 32773
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


def read(path: Path, content: bytes, page: int | None) -> Photo:
    """page: counted from 1; None: the first.

    Raises: PhotoError for pixels that cannot be denoised and put back; whatever tifffile raises on a damaged file.
    """
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        count, number = len(file.pages), page or 1
        if not count:
            raise ValueError("it is cut off")
        if number > count:
            raise PhotoError(f"it has {counted(count, 'page')}: --page {number} is not there")
        own: Any = file.pages[number - 1]
        _check_kind(own, file)
        layout, inverted = _layout(own), own.photometric == WHITE_IS_ZERO
        places = list(zip(own.dataoffsets, own.databytecounts, strict=True))
    if any(offset + size > len(content) or not size for offset, size in places):
        raise ValueError("it is cut off")
    samples = _samples(layout, [content[offset : offset + size] for offset, size in places])
    pixels, alpha = split_alpha(samples)
    pixels = _flipped(pixels) if inverted else pixels
    notes = (f"has {count} pages: page {number} is denoised, the others stay as they are (--page N)",) if count > 1 else ()

    def encoded(denoised: np.ndarray) -> bytes:
        return _file(content, number, layout, with_alpha(_flipped(denoised) if inverted else denoised, alpha))

    bits = "float" if layout.dtype.kind == "f" else f"{8 * layout.dtype.itemsize}-bit"
    return Photo(path, f"{bits} TIFF", pixels, alpha, encoded, notes)


def _flipped(pixels: np.ndarray) -> np.ndarray:
    """Gray where white is stored as 0."""
    return np.iinfo(pixels.dtype).max - pixels


def _check_kind(page: Any, file: tifffile.TiffFile) -> None:
    """Raises: PhotoError."""
    dtype = page.dtype
    if page.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
        kinds = {3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "CIE Lab"}
        raise PhotoError(f"its colours are stored as {kinds.get(page.photometric, page.photometric)}: convert it to gray or RGB")
    if dtype is None or dtype.name not in ("uint8", "uint16", "float16", "float32", "float64") or page.bitspersample % 8:
        raise PhotoError(f"its samples are {_samples_of(page)}: save it in 8 or 16 bit, or as float")
    if page.fillorder != 1 or 50706 in page.tags:  # DNGVersion
        raise PhotoError("it is a raw file, or stores its bits in reverse: export it as a 16-bit TIFF")
    if page.photometric == WHITE_IS_ZERO and dtype.kind == "f":
        raise PhotoError("its floats have white as 0: invert it first")
    if page.compression not in (NONE, LZW, DEFLATE, OLD_DEFLATE, PACKBITS):
        raise PhotoError(f"its compression {_name(page.compression)} is not supported: save it with LZW or Deflate, or without")
    if page.samplesperpixel > 4 or page.imagedepth > 1 or page.samplesperpixel < (3 if page.photometric == RGB else 1):
        raise PhotoError(f"it has {page.samplesperpixel} samples in a pixel: save it as gray or RGB, with or without alpha")
    if page.photometric != RGB and page.samplesperpixel > 2:
        raise PhotoError(f"it is gray with {page.samplesperpixel} samples in a pixel: save it as gray, with or without alpha")
    if file.is_imagej and (file.imagej_metadata or {}).get("images", 1) > 1:
        raise PhotoError("it is a stack of ImageJ: save its images one by one")


def _samples_of(page: Any) -> str:
    bits = page.bitspersample
    return f"{bits}-bit" if page.dtype is None or bits % 8 or bits == 1 else str(page.dtype)


def _name(compression: Any) -> str:
    return getattr(compression, "name", str(compression))


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


def _file(content: bytes, number: int, layout: Layout, samples: np.ndarray) -> bytes:
    """The file with other pixels: where a segment has grown, it goes to the end, and its old place stays unused."""
    buffer = io.BytesIO(content)
    with tifffile.TiffFile(buffer) as file:
        own: Any = file.pages[number - 1]
        shared = len(set(own.dataoffsets)) < len(own.dataoffsets)
        offsets, sizes, end = [], [], len(content)
        for (offset, room), data in zip(
            zip(own.dataoffsets, own.databytecounts, strict=True), _encoded_segments(layout, samples), strict=True
        ):
            place = offset if len(data) <= room and not shared else end + end % 2
            buffer.seek(place)
            buffer.write(data)
            end = max(end, place + len(data))
            offsets.append(place)
            sizes.append(len(data))
        tags = [_tag(own, "Offsets"), _tag(own, "ByteCounts")]
        is_big = file.is_bigtiff
    if end >= CLASSIC_END and not is_big:
        raise PhotoError("with its new pixels it would be larger than 4 GiB: save it as BigTIFF first")
    for tag, values in zip(tags, (offsets, sizes), strict=True):
        end = _rewritten(buffer, tag, values, end)
    return buffer.getvalue()


@dataclass(frozen=True)
class Tag:
    """Where an entry of a page's directory lies: its own place and its values'. wide: of a BigTIFF."""

    at: int
    values_at: int
    order: str
    dtype: int
    count: int
    wide: bool


def _tag(page: Any, kind: str) -> Tag:
    tag = page.tags.get(f"Tile{kind}" if page.is_tiled else f"Strip{kind}")
    if tag is None:
        raise ValueError(f"it does not say its {kind}")
    return Tag(tag.offset, tag.valueoffset, page.parent.byteorder, int(tag.dtype), tag.count, page.parent.is_bigtiff)


def _rewritten(buffer: io.BytesIO, tag: Tag, values: list[int], end: int) -> int:
    """Write the values of a tag in place; at the end of the file and in a wider type where they do not fit. Returns the end."""
    letters = {3: ("H", 2**16), 4: ("I", 2**32), 16: ("Q", 2**64)}
    letter, limit = letters[tag.dtype]
    if max(values) < limit:
        buffer.seek(tag.values_at)
        buffer.write(struct.pack(f"{tag.order}{tag.count}{letter}", *values))
        return end
    letter, kind = ("Q", 16) if tag.wide else ("I", 4)
    data = struct.pack(f"{tag.order}{tag.count}{letter}", *values)
    inline = len(data) <= (8 if tag.wide else 4)
    place = tag.at + (12 if tag.wide else 8) if inline else end + end % 2
    buffer.seek(tag.at + 2)
    buffer.write(struct.pack(f"{tag.order}H", kind))
    if not inline:
        buffer.seek(tag.at + (12 if tag.wide else 8))
        buffer.write(struct.pack(f"{tag.order}{'Q' if tag.wide else 'I'}", place))
    buffer.seek(place)
    buffer.write(data)
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
