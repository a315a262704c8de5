"""Images to PNG files, and labelled strips of images."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np

from denoisebench.store.files import whole_file

LABEL_HEIGHT = 22
MAGNIFIED = 256  # small images are shown about this high or wide
GAP = 4
MAX_NAME_BYTES = 255
MAX_SIDE = 512
ROWS_AT_ONCE = 256
PNG_MARK = b"\x89PNG\r\n\x1a\n"
PLAIN_CHUNKS = (b"IDAT", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"tIME")


def output_name(image: str, repeat: int) -> str:
    """The file of an image: unique for each name and repeat, and safe on every file system.

    Letters of any script stay; other signs are percent-encoded, `+` among them, which parts the name and the repeat.
    """
    name = "".join(
        sign if sign.isalnum() or sign in " ._-()[],=@" else quote(sign, safe="", errors="surrogateescape") for sign in image
    )
    if name.startswith("."):
        name = "%2E" + name[1:]
    end = (f"+r{repeat}" if repeat else "") + ".png"
    if len(os.fsencode(name + end)) > MAX_NAME_BYTES:
        name = name[:50] + "+" + hashlib.sha256(os.fsencode(image)).hexdigest()
    return name + end


def write_png(path: Path, image: np.ndarray, *, bits: int = 8) -> str:
    """Write (H, W, C) in [0, 1], C of 1 or 3 (RGB), clipped and rounded, as a PNG that is there whole or not at all.

    Returns the `stored_sha` of what it holds.
    """
    white = 2**bits - 1
    stored: np.ndarray = np.empty(image.shape, np.uint8 if bits == 8 else np.uint16)
    for start in range(0, len(image), ROWS_AT_ONCE):  # in float64, a large photograph would take gigabytes
        rows = slice(start, start + ROWS_AT_ONCE)
        levels = np.multiply(image[rows], white, dtype=np.float64)
        levels += 0.5
        stored[rows] = np.clip(levels, 0, white, out=levels)
    done, encoded = cv2.imencode(".png", stored if stored.shape[2] == 1 else stored[..., ::-1])
    if not done:
        raise OSError(f"{path}: OpenCV could not encode an image of {image.shape}")
    with whole_file(path) as part:
        part.write_bytes(encoded.tobytes())
    return stored_sha(stored)


def stored_sha(stored: np.ndarray) -> str:
    """SHA-256 of an image's size and integer levels (H, W, C), however its file is compressed."""
    little = np.ascontiguousarray(stored).astype(stored.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(f"{stored.shape} {stored.dtype.name}".encode() + little.tobytes()).hexdigest()


def read_png(path: Path) -> np.ndarray:
    """What `write_png` wrote: (H, W, C) float64 in [0, 1]."""
    return from_levels(read_stored(path))


def read_stored(path: Path) -> np.ndarray:
    """The same as its integer levels."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: this kept image is gone; compute its cell again with force=true")
    return decoded(path.read_bytes(), str(path))


def decoded(content: bytes, name: str) -> np.ndarray:
    """The integer levels (H, W, C) of a PNG file's content. Raises: ValueError naming the file."""
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if stored is None or stored.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{name}: not a whole PNG file")
    return stored[..., None] if stored.ndim == 2 else stored[..., ::-1]


def holds_levels(path: Path, channels: int) -> bool:
    """Whether a file is a PNG of 8 bit whose stored levels are its pixels: no palette, no alpha, and nothing in it that could
    make a reader turn it or see through it."""
    with path.open("rb") as file:
        if file.read(8) != PNG_MARK:
            return False
        while len(start := file.read(8)) == 8:
            length, kind = int.from_bytes(start[:4], "big"), start[4:]
            if kind == b"IHDR":
                if file.read(length + 4)[8:10] != bytes((8, 2 if channels == 3 else 0)):
                    return False
            elif kind == b"IEND":
                return True
            elif kind not in PLAIN_CHUNKS:
                return False
            else:
                file.seek(length + 4, os.SEEK_CUR)
    return False


def from_levels(stored: np.ndarray) -> np.ndarray:
    """Integer levels as float64 in [0, 1]."""
    return stored / np.float64(65535 if stored.dtype == np.uint16 else 255)


def middle(image: np.ndarray, side: int = MAX_SIDE) -> np.ndarray:
    """The middle of (H, W, C), at most `side` pixels high and wide: a picture shows pixels, it does not shrink them."""
    top, left = (max(length - side, 0) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def strip(panels: Sequence[tuple[str, np.ndarray]], side: int = MAX_SIDE) -> np.ndarray:
    """Labelled images (H, W, C) of one size beside each other, small ones magnified in whole steps: (H', W', 3).

    Raises: ValueError for images of several sizes.
    """
    if len({image.shape[:2] for _, image in panels}) != 1:
        raise ValueError(f"a strip shows images of one size, got {', '.join(str(image.shape[:2]) for _, image in panels)}")
    columns = [_panel(label, middle(image, side)) for label, image in panels]
    gap = np.ones((columns[0].shape[0], GAP, 3))
    return np.concatenate([part for column in columns for part in (gap, column)][1:], axis=1)


def _panel(label: str, image: np.ndarray) -> np.ndarray:
    rgb = np.clip(np.broadcast_to(image, (*image.shape[:2], 3)), 0, 1)
    zoom = max(1, MAGNIFIED // max(rgb.shape[:2]))
    rgb = rgb.repeat(zoom, axis=0).repeat(zoom, axis=1)
    bar = np.full((LABEL_HEIGHT, rgb.shape[1], 3), 255, np.uint8)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    while scale > 0.1 and cv2.getTextSize(label, font, scale, 1)[0][0] > rgb.shape[1] - 8:
        scale *= 0.95  # widths are not proportional to the scale
    cv2.putText(bar, label, (2, LABEL_HEIGHT - 7), font, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([bar / 255, rgb])
