"""Files of photographs as cameras and programs write them, with everything in them that must survive."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms

RNG = np.random.default_rng(11)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
TEXT = b"Author\0Ren\xe9e"
OURS = {"StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts"}


def noisy(dtype: str, channels: int, height: int = 45, width: int = 61) -> np.ndarray:
    """(H, W, channels): a ramp with noise."""
    ramp = np.linspace(0.1, 0.9, height)[:, None, None] * np.linspace(0.6, 1, width)[:, None] * np.linspace(1, 0.7, channels)
    image = np.clip(ramp + 0.06 * RNG.standard_normal(ramp.shape), 0, 1)
    white = {"uint8": 255, "uint16": 65535}.get(dtype, 1)
    return (image * white + (white > 1) * 0.5).astype(dtype)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", zlib.crc32(name + body))


def png_bytes(samples: np.ndarray, *, extra: bool = True, before: bytes = b"") -> bytes:
    """A PNG of (H, W, 1 to 4), all filters 0, with an ICC profile, EXIF, resolution, text, and a chunk that nobody knows."""
    height, width, count = samples.shape
    colour, bits = {1: 0, 2: 4, 3: 2, 4: 6}[count], 8 * samples.itemsize
    lines = samples.astype(samples.dtype.newbyteorder(">")).tobytes()
    size = len(lines) // height
    data = zlib.compress(b"".join(b"\0" + lines[i * size : (i + 1) * size] for i in range(height)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    middle = b"".join([
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(ICC)), chunk(b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
        chunk(b"eXIf", exif.tobytes()[6:]), chunk(b"tEXt", TEXT), chunk(b"prVt", b"private"),
    ]) if extra else b""  # fmt: skip
    after = chunk(b"tIME", struct.pack(">HBBBBB", 2024, 5, 6, 7, 8, 9)) if extra else b""
    cut = len(data) // 2
    body = chunk(b"IDAT", data[:cut]) + chunk(b"IDAT", data[cut:])
    return b"\x89PNG\r\n\x1a\n" + head + before + middle + body + after + chunk(b"IEND", b"")


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 8, []
    while at < len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        found.append((name, content[at + 8 : at + 8 + length]))
        assert zlib.crc32(name + found[-1][1]) == struct.unpack_from(">I", content, at + 8 + length)[0]
        at += 12 + length
    return found


def jpeg_bytes(pixels: np.ndarray, *, orientation: int = 6, **settings: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x8298] = orientation, "Maker", "Somebody"
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8825)[1] = "N"
    buffer = io.BytesIO()
    image = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0])
    image.save(buffer, "JPEG", exif=exif, icc_profile=ICC, comment=b"a comment", dpi=(300, 300), **{"quality": 93, **settings})
    content = buffer.getvalue()
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp + content[2:]


def jpeg_metadata(content: bytes) -> list[tuple[int, bytes]]:
    """APPn and comment segments, in their order."""
    at, found = 2, []
    while content[at + 1] != 0xDA:
        marker, length = content[at + 1], struct.unpack_from(">H", content, at + 2)[0]
        if 0xE0 <= marker <= 0xEF or marker == 0xFE:
            found.append((marker, content[at + 4 : at + 2 + length]))
        at += 2 + length
    return found


def write_sharing_pages(path: Path, images: list[np.ndarray], compression: str | None) -> None:
    """As a writer that stores equal pages once: the second has its pixels where the first has them."""
    with tifffile.TiffWriter(path) as file:
        for image in images:
            file.write(image, metadata=None, contiguous=False, compression=compression)
    with tifffile.TiffFile(path) as file:
        first, second = (file.pages[key].aspage().tags for key in (0, 1))
        places = {name: (second[name].valueoffset, first[name].value[0]) for name in ("StripOffsets", "StripByteCounts")}
    with path.open("r+b") as file:
        for place, value in places.values():
            file.seek(place)
            file.write(int(value).to_bytes(4, "little"))


def write_tiff(path: Path, samples: np.ndarray, **settings: Any) -> None:
    """By tifffile, with tags of every kind. settings: of `tifffile.imwrite`."""
    count = samples.shape[2]
    extra = {2: ["unassalpha"], 4: ["unassalpha"]}.get(count)
    tags = [(274, "H", 1, 6, True), (315, "s", 0, "Ren\xe9e".encode(), True), (65000, "d", 2, (1.5, 2.5), True),
            (700, "B", 8, b"<x:xmp/>", True)]  # fmt: skip
    tifffile.imwrite(
        path, samples[..., 0] if count == 1 else samples, photometric="rgb" if count > 2 else "minisblack",
        extrasamples=extra, resolution=(300, 300), resolutionunit=2, software="Editor", datetime="2024:05:06 07:08:09",
        description="a photograph", iccprofile=ICC, extratags=tags, metadata=None, **settings,
    )  # fmt: skip


def write_lzw_tiff(path: Path, samples: np.ndarray, predictor: int) -> None:
    """By Pillow's libtiff, 8 bit; upright, since Pillow turns what it reads."""
    image = Image.fromarray(samples if samples.shape[2] > 1 else samples[..., 0])
    image.save(path, compression="tiff_lzw", tiffinfo={317: predictor, 278: 7, 270: "a photograph", 274: 1}, dpi=(300, 300))


def tiff_tags(path: Path, page: int = 0) -> dict[str, tuple[int, Any]]:
    """Every tag but where the pixels lie: its type and value."""
    with tifffile.TiffFile(path) as file:
        own: Any = file.pages[page]
        return {tag.name: (int(tag.dtype), tag.value) for tag in own.tags if tag.name not in OURS}
