"""Reading image files: what is stored is what comes out, and what cannot be read right is refused by name."""

import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from denoisebench.datasets.listing import list_images
from denoisebench.datasets.reading import Reading, read_image, to_unit

# One pixel, rows and columns of one pixel, and sides of 3 and 4 that could be taken for colour channels.
SIZES = [(1, 1), (1, 47), (33, 1), (3, 3), (5, 3), (3, 5), (5, 4), (4, 5), (33, 47)]
# PNG colour types.
GRAY, RGB, GRAY_ALPHA, RGBA = 0, 2, 4, 6


def pixels(height: int, width: int, channels: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Random values over the whole range of the type: all bytes of a value matter."""
    rng = np.random.default_rng(seed)
    if dtype is np.float32:
        return rng.uniform(0, 1, (height, width, channels)).astype(np.float32)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype=dtype, endpoint=True)


def squeezed(image: np.ndarray) -> np.ndarray:
    """What the writers of the libraries want: a gray image without its channel axis."""
    return image[:, :, 0] if image.shape[2] == 1 else image


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_raw_png(path: Path, image: np.ndarray, colour: int, *, trns: bytes | None = None, depth: int | None = None) -> None:
    """A PNG by the letter of its specification, for what no library here writes (16-bit gray + alpha, 2-bit gray)."""
    height, width = image.shape[:2]
    depth = depth or 8 * image.dtype.itemsize
    if depth < 8:
        bits = np.unpackbits(image.reshape(height, width, 1), axis=2)[:, :, 8 - depth :].reshape(height, -1)
        lines = [np.packbits(line).tobytes() for line in bits]
    else:
        lines = [line.astype(image.dtype.newbyteorder(">")).tobytes() for line in image]
    data = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    if trns is not None:
        data += png_chunk(b"tRNS", trns)
    path.write_bytes(data + png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines))) + png_chunk(b"IEND", b""))


def write_cv2(path: Path, image: np.ndarray) -> None:
    """OpenCV stores BGR(A)."""
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[image.shape[2]]
    assert cv2.imwrite(str(path), np.ascontiguousarray(squeezed(image[:, :, order])))


def write_pillow(path: Path, image: np.ndarray) -> None:
    Image.fromarray(squeezed(image)).save(path)


def write_tiff(path: Path, image: np.ndarray) -> None:
    tifffile.imwrite(path, squeezed(image), photometric="rgb" if image.shape[2] == 3 else "minisblack")


def check_reads(path: Path, expected: np.ndarray) -> None:
    image = read_image(path, expected.shape[2])
    assert image.dtype == expected.dtype
    assert image.shape == expected.shape
    np.testing.assert_array_equal(image, expected)


def image_or_error(path: Path, channels: int) -> np.ndarray | str:
    try:
        return read_image(path, channels)
    except ValueError as error:
        return str(error)


def refuses(path: Path, channels: int, *, match: str = "") -> None:
    with pytest.raises(ValueError, match=re.escape(path.name)) as error:
        read_image(path, channels)
    assert re.search(match, str(error.value))


# ------------------------------------------------------------------------------------------------ exact values


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_8_bit_files_come_back_exactly(tmp_path: Path, size: tuple[int, int], channels: int, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    image = pixels(*size, channels)
    write_pillow(path, image)
    check_reads(path, image)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_keeps_all_16_bits_in_rgb_order(tmp_path: Path, size: tuple[int, int], channels: int) -> None:
    path = tmp_path / "image.png"
    image = pixels(*size, channels, np.uint16)
    write_cv2(path, image)
    check_reads(path, image)


def test_every_16_bit_value_survives_a_png(tmp_path: Path) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    colour = np.stack([ramp, ramp[::-1], ramp.T], axis=2)
    write_cv2(tmp_path / "gray.png", ramp[:, :, None])
    write_cv2(tmp_path / "rgb.png", colour)
    check_reads(tmp_path / "gray.png", ramp[:, :, None])
    check_reads(tmp_path / "rgb.png", colour)


def test_16_bit_gray_png_written_by_pillow(tmp_path: Path) -> None:
    image = pixels(9, 7, 1, np.uint16)
    write_pillow(tmp_path / "image.png", image)
    check_reads(tmp_path / "image.png", image)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_comes_back_exactly(tmp_path: Path, size: tuple[int, int], channels: int, dtype: type) -> None:
    path = tmp_path / "image.tif"
    image = pixels(*size, channels, dtype)
    write_tiff(path, image)
    check_reads(path, image)


@pytest.mark.parametrize(
    "options",
    [
        {"byteorder": ">"},
        {"metadata": None},
        {"tile": (16, 16)},
        {"rowsperstrip": 1},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": 2},
        {"bigtiff": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_layouts_do_not_change_the_values(tmp_path: Path, options: dict, channels: int) -> None:
    path = tmp_path / "image.tif"
    image = pixels(33, 47, channels, np.uint16)
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(path, squeezed(image), photometric=photometric, **options)
    check_reads(path, image)


def test_tiff_with_separate_colour_planes_is_still_one_rgb_image(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    image = pixels(33, 47, 3, np.uint16)
    tifffile.imwrite(path, image.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    check_reads(path, image)


def test_float_tiff_keeps_noise_beyond_the_nominal_range(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    image = (pixels(8, 9, 3, np.float32) * 1.8 - 0.4).astype(np.float32)
    image[0, 0] = [-0.0, 1e-30, 1.0]
    write_tiff(path, image)
    np.testing.assert_array_equal(read_image(path, Reading(3, white=1)), image)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (33, 47)], ids=str)
@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_is_what_pillow_decodes(tmp_path: Path, mode: str, size: tuple[int, int], suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    channels = len(mode)
    Image.fromarray(squeezed(pixels(*size, channels))).save(path, quality=70)
    with Image.open(path) as opened:
        assert opened.mode == mode
        expected = np.asarray(opened).reshape(*size, channels)
    check_reads(path, expected)


@pytest.mark.parametrize("suffix", [".PNG", ".TIF", ".Bmp"])
def test_the_case_of_the_suffix_does_not_matter(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    image = pixels(4, 6, 3)
    write_pillow(path, image)
    check_reads(path, image)


@pytest.mark.parametrize("size", [(1, 1), (9, 13)], ids=str)
def test_1_bit_png_is_black_and_white(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "image.png"
    bits = np.random.default_rng(0).integers(0, 2, size, dtype=np.uint8)
    bits[0, 0] = 1
    Image.fromarray(bits * np.uint8(255)).convert("1").save(path)
    with Image.open(path) as opened:
        assert opened.mode == "1"
    check_reads(path, bits[:, :, None] * np.uint8(255))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_gray_png_of_fewer_bits_spans_black_to_white(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "image.png"
    levels = 2**depth
    codes = np.random.default_rng(0).integers(0, levels, (6, 13), dtype=np.uint8)
    write_raw_png(path, codes, GRAY, depth=depth)
    check_reads(path, codes[:, :, None] * np.uint8(255 // (levels - 1)))


def test_palette_png_is_rgb(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    palette = pixels(1, 16, 3)[0]
    codes = np.random.default_rng(1).integers(0, 16, (33, 47), dtype=np.uint8)
    image = Image.fromarray(codes)
    image.putpalette(palette.tobytes())
    image.save(path)
    with Image.open(path) as opened:
        assert opened.mode == "P"
    check_reads(path, palette[codes])


EXIF = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored[::-1].swapaxes(0, 1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: stored[:, ::-1].swapaxes(0, 1),
}


@pytest.mark.parametrize("orientation", EXIF)
@pytest.mark.parametrize("channels", [1, 3])
def test_exif_orientation_of_a_jpeg_is_applied(tmp_path: Path, orientation: int, channels: int) -> None:
    stored, rotated = tmp_path / "stored.jpg", tmp_path / "rotated.jpg"
    image = Image.fromarray(squeezed(pixels(12, 20, channels)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(stored, quality=90)
    image.save(rotated, quality=90, exif=exif)
    # Both files hold the same coefficients, so the decoded pixels are the same but for their place.
    check_reads(rotated, EXIF[orientation](read_image(stored, channels)))


# ----------------------------------------------------------------------------------------------- transparency


@pytest.mark.parametrize(("colour", "channels"), [(GRAY_ALPHA, 1), (RGBA, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (9, 13)], ids=str)
def test_opaque_alpha_is_dropped(tmp_path: Path, colour: int, channels: int, dtype: type, size: tuple[int, int]) -> None:
    path = tmp_path / "image.png"
    image = pixels(*size, channels, dtype)
    opaque = np.full((*size, 1), np.iinfo(dtype).max, dtype)
    write_raw_png(path, np.concatenate([image, opaque], axis=2), colour)
    check_reads(path, image)


@pytest.mark.parametrize(("colour", "channels"), [(GRAY_ALPHA, 1), (RGBA, 3)])
@pytest.mark.parametrize(
    ("dtype", "alpha"),
    # 0xFFFE: see-through by less than 8 bits can tell.
    [(np.uint8, 0), (np.uint8, 254), (np.uint16, 0), (np.uint16, 0xFFFE), (np.uint16, 0x7FFF)],
)
def test_one_see_through_pixel_is_refused(tmp_path: Path, colour: int, channels: int, dtype: type, alpha: int) -> None:
    path = tmp_path / "image.png"
    image = pixels(9, 13, channels + 1, dtype)
    image[:, :, -1] = np.iinfo(dtype).max
    image[8, 12, -1] = alpha
    write_raw_png(path, image, colour)
    refuses(path, channels)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_written_by_pillow(tmp_path: Path, mode: str) -> None:
    image = pixels(9, 13, len(mode))
    image[:, :, -1] = 255
    for name, alpha in (("opaque", 255), ("clear", 254)):
        image[4, 4, -1] = alpha
        planes = [Image.fromarray(plane) for plane in image.transpose(2, 0, 1)]
        Image.merge(mode, planes).save(tmp_path / f"{name}.png")
    with Image.open(tmp_path / "opaque.png") as opened:
        assert opened.mode == mode
    check_reads(tmp_path / "opaque.png", image[:, :, :-1])
    refuses(tmp_path / "clear.png", len(mode) - 1)


def test_16_bit_rgba_written_by_opencv(tmp_path: Path) -> None:
    image = pixels(9, 13, 4, np.uint16)
    image[:, :, 3] = 65535
    write_cv2(tmp_path / "opaque.png", image)
    check_reads(tmp_path / "opaque.png", image[:, :, :3])
    image[4, 4, 3] = 65534
    write_cv2(tmp_path / "clear.png", image)
    refuses(tmp_path / "clear.png", 3)


@pytest.mark.parametrize("as_bytes", [True, False])
@pytest.mark.parametrize("used", [True, False])
def test_palette_with_a_transparent_colour(tmp_path: Path, as_bytes: bool, used: bool) -> None:
    path = tmp_path / "image.png"
    palette = pixels(1, 8, 3)[0]
    codes = np.random.default_rng(1).integers(0, 8, (9, 13), dtype=np.uint8)
    codes[codes == 3] = 2
    codes[5, 5] = 3 if used else 2
    image = Image.fromarray(codes)
    image.putpalette(palette.tobytes())
    image.save(path, transparency=bytes([255, 255, 255, 128]) if as_bytes else 3)
    with Image.open(path) as opened:
        assert opened.mode == "P"
        assert "transparency" in opened.info
    if used:
        refuses(path, 3)
    else:
        # All its pixels are opaque.
        check_reads(path, palette[codes])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("colour", "channels"), [(GRAY, 1), (RGB, 3)])
@pytest.mark.parametrize("used", [True, False])
def test_one_colour_declared_transparent(tmp_path: Path, dtype: type, colour: int, channels: int, used: bool) -> None:
    path = tmp_path / "image.png"
    image = pixels(9, 13, channels, dtype)
    # A 16-bit value that differs in the low byte only from the one that is used.
    image[2, 3] = 7
    key = [7 if used else 6] * channels
    image[(image == 6).all(axis=2)] = 8
    write_raw_png(path, image, colour, trns=struct.pack(f">{channels}H", *key))
    if used:
        refuses(path, channels)
    else:
        check_reads(path, image)


# ---------------------------------------------------------------------------------------- what must be refused


def write_jpeg(path: Path, image: np.ndarray) -> None:
    Image.fromarray(squeezed(image)).save(path, quality=95)


DAMAGED: list[tuple[str, Callable[[Path, np.ndarray], None], type, int]] = [
    (".png", write_pillow, np.uint8, 1),
    (".png", write_pillow, np.uint8, 3),
    (".png", write_cv2, np.uint16, 1),
    (".png", write_cv2, np.uint16, 3),
    (".jpg", write_jpeg, np.uint8, 1),
    (".jpg", write_jpeg, np.uint8, 3),
    (".tif", write_tiff, np.uint8, 1),
    (".tif", write_tiff, np.uint16, 3),
    (".tif", write_tiff, np.float32, 1),
    (".bmp", write_pillow, np.uint8, 3),
]


@pytest.mark.parametrize(("suffix", "write", "dtype", "channels"), DAMAGED)
@pytest.mark.parametrize("kept", [0.25, 0.5, 0.75, 0.9])
def test_a_truncated_file_is_refused(
    tmp_path: Path, suffix: str, write: Callable[[Path, np.ndarray], None], dtype: type, channels: int, kept: float
) -> None:
    path = tmp_path / f"image{suffix}"
    write(path, pixels(64, 64, channels, dtype))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    refuses(path, channels)


@pytest.mark.parametrize(("suffix", "write", "dtype", "channels"), DAMAGED)
def test_no_cut_anywhere_gives_wrong_pixels(
    tmp_path: Path, suffix: str, write: Callable[[Path, np.ndarray], None], dtype: type, channels: int
) -> None:
    path = tmp_path / f"image{suffix}"
    write(path, pixels(7, 9, channels, dtype))
    expected = read_image(path, channels)
    data = path.read_bytes()
    for kept in {*range(0, len(data), 1 + len(data) // 150), *range(max(0, len(data) - 30), len(data))}:
        path.write_bytes(data[:kept])
        # A file that lacks its end mark alone may be read; one that lacks pixels may not.
        found = image_or_error(path, channels)
        if isinstance(found, str):
            assert path.name in found, f"the error of {kept} of {len(data)} bytes does not name the file"
        else:
            assert np.array_equal(found, expected), f"wrong pixels from {kept} of {len(data)} bytes"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"])
@pytest.mark.parametrize("content", [b"", b"not an image\n" * 40], ids=["empty", "text"])
def test_what_is_no_image_is_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"image{suffix}"
    path.write_bytes(content)
    refuses(path, 3)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_a_missing_file_is_not_found(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        read_image(tmp_path / f"absent{suffix}", 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 3])
def test_float_tiff_that_is_not_finite_is_refused(tmp_path: Path, value: float, channels: int) -> None:
    path = tmp_path / "image.tif"
    image = pixels(8, 9, channels, np.float32)
    image[7, 8, -1] = value
    write_tiff(path, image)
    refuses(path, channels)


def test_float_tiff_of_8_bit_values_is_refused_with_the_range_it_should_have(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    write_tiff(path, pixels(8, 9, 1).astype(np.float32) + np.float32(1))
    refuses(path, 1, match=re.escape("[0, 1]"))
    write_tiff(path, np.array([[[0], [255]]], np.float32))
    refuses(path, 1, match=re.escape("[0, 1]"))


@pytest.mark.parametrize("dtype", [np.int32, np.int16, np.uint32, np.int8])
def test_tiff_of_another_integer_type_is_refused(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.full((8, 9), 5, dtype), photometric="minisblack")
    refuses(path, 1)


@pytest.mark.parametrize("pages", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("metadata", [True, False])
def test_a_stack_of_pages_is_refused(tmp_path: Path, pages: int, channels: int, metadata: bool) -> None:
    # Three gray pages are no RGB image.
    path = tmp_path / "image.tif"
    stack = np.stack([squeezed(pixels(8, 9, channels, seed=page)) for page in range(pages)])
    photometric = "rgb" if channels == 3 else "minisblack"
    if metadata:
        tifffile.imwrite(path, stack, photometric=photometric)
    else:
        tifffile.imwrite(path, stack, photometric=photometric, metadata=None)
    refuses(path, 1)
    refuses(path, 3)


def test_an_animated_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    first, second = (Image.fromarray(pixels(8, 9, 3, seed=seed)) for seed in (0, 1))
    first.save(path, save_all=True, append_images=[second])
    refuses(path, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image{suffix}"
    image = pixels(8, 9, 4)
    Image.merge("CMYK", [Image.fromarray(plane) for plane in image.transpose(2, 0, 1)]).save(path)
    refuses(path, 3)
    refuses(path, 1)


def right_or_refused(path: Path, expected: np.ndarray) -> None:
    """Support may be missing, but nothing may come back that is not the image."""
    for channels in (1, 3):
        found = image_or_error(path, channels)
        if isinstance(found, str):
            assert path.name in found
        else:
            assert found.shape == expected.shape
            np.testing.assert_array_equal(found, expected)


def test_tiff_that_counts_from_white_is_no_negative(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    image = pixels(8, 9, 1)
    tifffile.imwrite(path, 255 - image[:, :, 0], photometric="miniswhite")
    right_or_refused(path, image)


def test_palette_tiff_is_not_read_as_its_codes(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    palette = pixels(1, 16, 3)[0]
    codes = np.random.default_rng(1).integers(0, 16, (8, 9), dtype=np.uint8)
    image = Image.fromarray(codes)
    image.putpalette(palette.tobytes())
    image.save(path)
    with Image.open(path) as opened:
        assert opened.mode == "P"
    right_or_refused(path, palette[codes])


@pytest.mark.parametrize("orientation", [3, 6])
def test_orientation_of_a_tiff_is_not_ignored(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "image.tif"
    image = pixels(8, 9, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(image).save(path, exif=exif)
    right_or_refused(path, EXIF[orientation](image))


@pytest.mark.parametrize("channels", [1, 3])
def test_orientation_of_a_16_bit_png_is_not_ignored(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "image.png"
    image = pixels(8, 9, channels, np.uint16)
    exif = Image.Exif()
    exif[0x0112] = 6
    write_cv2(path, image)
    data = path.read_bytes()
    after_header = 8 + 25
    path.write_bytes(data[:after_header] + png_chunk(b"eXIf", exif.tobytes()[6:]) + data[after_header:])
    right_or_refused(path, EXIF[6](image))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("write", "true", "given"), [(write_tiff, ".tif", ".png"), (write_cv2, ".png", ".jpg"), (write_cv2, ".png", ".tif")]
)
def test_a_wrong_suffix_does_not_cut_16_bits(
    tmp_path: Path, write: Callable[[Path, np.ndarray], None], true: str, given: str, channels: int
) -> None:
    image = pixels(8, 9, channels, np.uint16)
    write(tmp_path / f"image{true}", image)
    path = (tmp_path / f"image{true}").rename(tmp_path / f"image{given}")
    right_or_refused(path, image)


def test_16_bit_gray_and_alpha_is_no_rgb(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    image = pixels(8, 9, 2, np.uint16)
    image[:, :, 1] = 65535
    write_raw_png(path, image, GRAY_ALPHA)
    refuses(path, 3, match="channels=")


KINDS: list[tuple[str, Callable[[Path, np.ndarray], None], type]] = [
    (".png", write_pillow, np.uint8),
    (".png", write_cv2, np.uint16),
    (".jpg", write_jpeg, np.uint8),
    (".tif", write_tiff, np.uint8),
    (".tif", write_tiff, np.float32),
    (".bmp", write_pillow, np.uint8),
]


@pytest.mark.parametrize(("suffix", "write", "dtype"), KINDS)
@pytest.mark.parametrize("stored", [1, 3])
@pytest.mark.parametrize("size", [(8, 9), (3, 3)], ids=str)
def test_colour_and_gray_are_never_converted(
    tmp_path: Path, suffix: str, write: Callable[[Path, np.ndarray], None], dtype: type, stored: int, size: tuple[int, int]
) -> None:
    path = tmp_path / f"image{suffix}"
    write(path, pixels(*size, stored, dtype))
    refuses(path, 4 - stored, match="channels=")
    assert read_image(path, stored).shape == (*size, stored)


# ------------------------------------------------------------------------------------------------- unit range


def test_to_unit_divides_by_the_largest_value_of_the_type() -> None:
    for dtype, largest in ((np.uint8, 255), (np.uint16, 65535)):
        stored = np.arange(largest + 1, dtype=dtype).reshape(16, -1, 1)
        unit = to_unit(stored)
        assert unit.dtype == np.float64
        np.testing.assert_array_equal(unit, stored.astype(np.float64) / largest)
        assert unit.min() == 0
        assert unit.max() == 1


def test_to_unit_leaves_floats_as_they_are() -> None:
    stored = np.array([[[-0.3], [0.1]], [[1.0], [1.7]]], np.float32)
    before = stored.copy()
    unit = to_unit(stored)
    assert unit.dtype == np.float64
    np.testing.assert_array_equal(unit, before.astype(np.float64))
    unit += 1
    np.testing.assert_array_equal(stored, before)


# ---------------------------------------------------------------------------------------------------- folders


def test_list_images_maps_stems_to_paths_in_order(tmp_path: Path) -> None:
    names = ["b.png", "a.jpg", "c.tif", "img10.png", "img2.bmp", "Z.png", "d.e.png", "f.jpeg", "g.tiff"]
    for name in names:
        write_pillow(tmp_path / name, pixels(2, 2, 3))
    found = list_images(tmp_path, "dataset.clean")
    assert dict(found) == {Path(name).stem: tmp_path / name for name in names}
    assert list(found) == sorted(Path(name).stem for name in names)


def test_list_images_ignores_what_is_no_image(tmp_path: Path) -> None:
    write_pillow(tmp_path / "a.png", pixels(2, 2, 3))
    # "._a.png" is what macOS leaves beside a.png on foreign disks.
    for other in (".hidden.png", "._a.png", ".DS_Store", "notes.txt", "a.npz", "README.md", "Thumbs.db", "b.png.part", "png"):
        (tmp_path / other).write_bytes(b"x")
    (tmp_path / "inner").mkdir()
    shutil.copy(tmp_path / "a.png", tmp_path / "inner" / "c.png")
    assert list_images(tmp_path, "dataset.clean") == {"a": tmp_path / "a.png"}


def test_list_images_of_a_missing_folder_names_the_key_and_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"dataset\.noisy") as error:
        list_images(tmp_path / "nowhere", "dataset.noisy")
    assert str(tmp_path / "nowhere") in str(error.value)


def test_list_images_of_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=re.escape(tmp_path.name)):
        list_images(tmp_path, "dataset.clean")


def test_list_images_refuses_two_images_of_one_stem(tmp_path: Path) -> None:
    for name in ("twin.png", "twin.jpg", "other.png"):
        write_pillow(tmp_path / name, pixels(2, 2, 3))
    with pytest.raises(ValueError, match="twin"):
        list_images(tmp_path, "dataset.clean")
