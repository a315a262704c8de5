"""PNG of 8 and 16 bit: the pixels are encoded anew, every other chunk is copied byte for byte."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from denoisebench.photographs.photo import Photo, PhotoError, split_alpha, with_alpha

MARK = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 4: 2, 6: 4}  # by colour type
ROWS_AT_ONCE = 256
COMPRESSION = 6
Chunk = tuple[bytes, bytes]


def read(path: Path, content: bytes) -> Photo:
    """Raises: PhotoError for pixels that cannot be denoised and put back; ValueError or OSError for a damaged file."""
    chunks = _chunks(content)
    width, height, bits, colour = struct.unpack(">IIBB", chunks[0][1][:10])
    _check_kind({name for name, _ in chunks}, bits, colour)
    with Image.open(io.BytesIO(content)) as image:
        image.load()  # a file that is cut off fails here
        samples = np.asarray(image) if bits == 8 else _in_16_bit(content, colour)
    pixels, alpha = split_alpha(samples.reshape(height, width, SAMPLES[colour]))

    def encoded(denoised: np.ndarray) -> bytes:
        return b"".join(_file(chunks, with_alpha(denoised, alpha)))

    return Photo(path, f"{bits}-bit PNG", pixels, alpha, encoded)


def _check_kind(names: set[bytes], bits: int, colour: int) -> None:
    if b"acTL" in names:
        raise PhotoError("it is animated: export its frames as single images")
    if colour == 3:
        raise PhotoError("its colours are a palette, which denoised pixels do not fit: save it as RGB")
    if bits not in (8, 16):
        raise PhotoError(f"its samples have {bits} bit, which denoised pixels do not fit: save it as 8-bit gray")
    if b"tRNS" in names:
        raise PhotoError("it declares one colour transparent, which denoised pixels would miss: save it with an alpha channel")


def _in_16_bit(content: bytes, colour: int) -> np.ndarray:
    """By OpenCV: Pillow cuts 16-bit colour down to 8 bit."""
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        raise ValueError("OpenCV cannot decode it in 16 bit")
    planes = {0: [0], 2: [2, 1, 0], 4: [0, 3], 6: [2, 1, 0, 3]}[colour]
    return stored.reshape(*stored.shape[:2], -1)[..., planes]


def _chunks(content: bytes) -> list[Chunk]:
    """Raises: ValueError for a file that is cut off, or that has a chunk whose checksum is wrong."""
    chunks: list[Chunk] = []
    at = len(MARK)
    while at + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        end = at + 12 + length
        if end > len(content):
            break
        body = content[at + 8 : end - 4]
        if zlib.crc32(name + body) != struct.unpack_from(">I", content, end - 4)[0]:
            raise ValueError(f"the checksum of its chunk {name.decode('latin-1')} is wrong")
        chunks.append((name, body))
        if name == b"IEND":
            return chunks
        at = end
    raise ValueError("it is cut off")


def _file(chunks: list[Chunk], samples: np.ndarray) -> Iterator[bytes]:
    """The chunks of a file with other pixels, in their order; what was interlaced no longer is."""
    yield MARK
    written = False
    for name, body in chunks:
        if name == b"IHDR":
            yield _chunk(name, body[:12] + b"\0")
        elif name != b"IDAT":
            yield _chunk(name, body)
        elif not written:
            written = True
            yield from (_chunk(b"IDAT", part) for part in _deflated(samples) if part)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", zlib.crc32(name + body))


def _deflated(samples: np.ndarray) -> Iterator[bytes]:
    """Scan lines, some at a time, each with the filter whose differences are smallest: none, Sub or Up."""
    pack, (height, width, count) = zlib.compressobj(COMPRESSION), samples.shape
    step = count * samples.dtype.itemsize
    before = np.zeros((1, width, step), np.uint8)
    for start in range(0, height, ROWS_AT_ONCE):
        rows = samples[start : start + ROWS_AT_ONCE]
        lines = np.ascontiguousarray(rows, rows.dtype.newbyteorder(">")).view(np.uint8).reshape(len(rows), width, step)
        up = np.concatenate([before, lines[:-1]])
        left = np.concatenate([np.zeros_like(lines[:, :1]), lines[:, :-1]], axis=1)
        filtered = np.stack([lines, lines - left, lines - up])
        costs = np.abs(filtered.view(np.int8).astype(np.int16)).sum((2, 3), dtype=np.int64)
        best = costs.argmin(0)
        chosen = np.take_along_axis(filtered, best[None, :, None, None], 0)[0].reshape(len(rows), -1)
        yield pack.compress(np.concatenate([best[:, None].astype(np.uint8), chosen], axis=1).tobytes())
        before = lines[-1:]
    yield pack.flush()
