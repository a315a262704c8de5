"""Pictures: written whole or not at all, read back to half a step, shown side by side, and named without collisions."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from denoisebench.store.pictures import output_name, read_png, strip, write_png


def uniform(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (height, width, channels))


# -------------------------------------------------------------------------------------------- writing, reading


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 47), (33, 1), (3, 3), (33, 47)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_was_written_comes_back_to_half_a_step(
    tmp_path: Path, bits: int, channels: int, size: tuple[int, int], dtype: type
) -> None:
    image = uniform(*size, channels).astype(dtype)
    before = image.copy()
    write_png(tmp_path / "a.png", image, bits=bits)
    np.testing.assert_array_equal(image, before)
    back = read_png(tmp_path / "a.png")
    assert back.dtype == np.float64
    assert back.shape == image.shape
    assert np.abs(back - image).max() <= 0.5 / (2**bits - 1) + 1e-9


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_level_comes_back_exactly(tmp_path: Path, bits: int, channels: int) -> None:
    largest = 2**bits - 1
    levels = np.arange(largest + 1).reshape(2 ** (bits // 2), -1, 1) / largest
    image = np.concatenate([levels, levels[::-1], levels[:, ::-1]], axis=2)[:, :, :channels]
    write_png(tmp_path / "a.png", image, bits=bits)
    np.testing.assert_array_equal(read_png(tmp_path / "a.png"), image)


@pytest.mark.parametrize("bits", [8, 16])
def test_values_beyond_the_range_are_clipped(tmp_path: Path, bits: int) -> None:
    image = np.array([[[-0.1], [-1e9], [-1e-12]], [[1.1], [1e9], [1 + 1e-12]], [[-0.0], [0.0], [1.0]]])
    write_png(tmp_path / "a.png", image, bits=bits)
    np.testing.assert_array_equal(read_png(tmp_path / "a.png")[:, :, 0], [[0, 0, 0], [1, 1, 1], [0, 0, 1]])


@pytest.mark.parametrize("bits", [8, 16])
def test_halves_are_rounded_up(tmp_path: Path, bits: int) -> None:
    # Half to even would take every second one down.
    largest = 2**bits - 1
    levels = np.arange(0, largest, 257 if bits == 16 else 1)
    halves = (levels + 0.5) / largest
    assert (halves * largest == levels + 0.5).all()
    write_png(tmp_path / "a.png", halves[None, :, None], bits=bits)
    np.testing.assert_array_equal(np.rint(read_png(tmp_path / "a.png")[0, :, 0] * largest), levels + 1)
    below = np.nextafter(halves, 0) - 1e-12
    write_png(tmp_path / "a.png", below[None, :, None], bits=bits)
    np.testing.assert_array_equal(np.rint(read_png(tmp_path / "a.png")[0, :, 0] * largest), levels)


def test_the_file_is_8_bit_rgb_or_gray_to_others(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "rgb.png", codes / 255)
    write_png(tmp_path / "gray.png", codes[:, :, :1] / 255)
    with Image.open(tmp_path / "rgb.png") as rgb, Image.open(tmp_path / "gray.png") as gray:
        assert (rgb.format, rgb.mode, gray.format, gray.mode) == ("PNG", "RGB", "PNG", "L")
        np.testing.assert_array_equal(np.asarray(rgb), codes)
        np.testing.assert_array_equal(np.asarray(gray), codes[:, :, 0])


def test_the_file_is_16_bit_rgb_or_gray_to_others(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
    write_png(tmp_path / "rgb.png", codes / 65535, bits=16)
    write_png(tmp_path / "gray.png", codes[:, :, :1] / 65535, bits=16)
    rgb, gray = (cv2.imread(str(tmp_path / f"{name}.png"), cv2.IMREAD_UNCHANGED) for name in ("rgb", "gray"))
    assert rgb is not None
    assert gray is not None
    # OpenCV reads BGR.
    np.testing.assert_array_equal(rgb[:, :, ::-1], codes)
    np.testing.assert_array_equal(gray, codes[:, :, 0])


def test_files_of_others_are_read_in_rgb(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(codes).save(tmp_path / "rgb.png")
    np.testing.assert_array_equal(read_png(tmp_path / "rgb.png"), codes / 255)


def test_parents_are_created_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "one" / "two" / "a.png"
    for image in (uniform(4, 5), uniform(9, 9, 1)):
        write_png(path, image)
        assert read_png(path).shape == image.shape
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def fail(*_: Any, **__: Any) -> None:
    raise OSError("the disk is full")


def test_a_failing_replace_leaves_the_older_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_png(path, uniform(4, 5))
    older = path.read_bytes()
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, fail)
        monkeypatch.setattr(Path, name, fail)
    with pytest.raises(OSError, match="the disk is full"):
        write_png(path, uniform(4, 5, seed=1))
    monkeypatch.undo()
    assert path.read_bytes() == older
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("image", [np.zeros((4, 5, 2)), np.zeros((0, 5, 3)), np.zeros((2, 4, 5, 3))], ids=lambda i: str(i.shape))
def test_what_is_no_picture_leaves_no_file(tmp_path: Path, image: np.ndarray) -> None:
    path = tmp_path / "a.png"
    write_png(path, uniform(4, 5))
    older = path.read_bytes()
    with pytest.raises(Exception):  # noqa: B017 - whatever it says, the older file must stay
        write_png(path, image)
    assert path.read_bytes() == older
    assert list(tmp_path.iterdir()) == [path]


def test_pictures_written_at_once_in_one_folder_do_not_mix(tmp_path: Path) -> None:
    # More work than the threads' start, so that they overlap: noise does not compress.
    images = [uniform(96, 96, seed=index) for index in range(8)]
    paths = [tmp_path / f"{index}.png" for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(write_png, paths, images))
            assert sorted(tmp_path.iterdir()) == paths
            for path, image in zip(paths, images, strict=True):
                assert np.abs(read_png(path) - image).max() <= 0.51 / 255


# ------------------------------------------------------------------------------------------------------ strips

# Distinct, saturated colours, which neither a label nor a background has.
RED, GREEN, BLUE = np.array([0.9, 0.1, 0.3]), np.array([0.1, 0.8, 0.2]), np.array([0.2, 0.1, 0.7])


def where_is(picture: np.ndarray, colour: np.ndarray) -> tuple[slice, slice]:
    """The box of the pixels of a colour, to the rounding of 8 bits; they must fill it."""
    hits = np.abs(picture - colour).max(axis=2) <= 0.51 / 255
    places = np.argwhere(hits)
    assert len(places), "the colour is not there"
    (top, left), (bottom, right) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    box = slice(top, bottom + 1), slice(left, right + 1)
    assert hits[box].all()
    return box


def check_picture(picture: np.ndarray) -> None:
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert np.isfinite(picture).all()
    assert picture.min() >= 0
    assert picture.max() <= 1


def own_colours(height: int, width: int) -> np.ndarray:
    """Each pixel has a colour of its own, and its neighbours differ by more than rounding."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([2 * rows, 254 - 2 * columns, np.full((height, width), 13)], axis=2) / 255


def magnified(image: np.ndarray, step: int) -> np.ndarray:
    return np.kron(image, np.ones((step, step, 1)))


def step_of(picture: np.ndarray, image: np.ndarray) -> int:
    """How often each pixel of an image of own colours is repeated, in a picture that shows all of it."""
    rows, columns = where_is(picture, image[0, 0])
    step = rows.stop - rows.start
    assert columns.stop - columns.start == step
    height, width = image.shape[:2]
    shown = picture[rows.start : rows.start + height * step, columns.start : columns.start + width * step]
    np.testing.assert_allclose(shown, magnified(image, step), rtol=0, atol=0.51 / 255)
    return step


def shows(picture: np.ndarray, colour: np.ndarray) -> bool:
    return bool((np.abs(picture - colour) <= 0.51 / 255).all(axis=2).any())


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (8, 5), (3, 20), (33, 47), (64, 64), (90, 127)], ids=str)
@pytest.mark.parametrize("side", [128, 512])
def test_small_images_are_magnified_in_whole_steps(size: tuple[int, int], side: int) -> None:
    image = own_colours(*size)
    picture = strip([("small", image)], side=side)
    check_picture(picture)
    step = step_of(picture, image)
    assert step >= 1
    if max(size) <= 8:
        # A stamp of 8 pixels is no picture.
        assert step >= 8


@pytest.mark.parametrize("size", [(101, 120), (64, 120), (120, 64), (31, 101)], ids=str)
def test_large_images_are_cut_to_the_middle(size: tuple[int, int]) -> None:
    side = 64
    image = own_colours(*size)
    picture = strip([("large", image)], side=side)
    check_picture(picture)
    height, width = min(size[0], side), min(size[1], side)
    # Of an odd remainder either half may be the longer one.
    tops = {(size[0] - height) // 2, -(-(size[0] - height) // 2)}
    lefts = {(size[1] - width) // 2, -(-(size[1] - width) // 2)}
    corners = [(top, left) for top in tops for left in lefts if shows(picture, image[top, left])]
    assert not shows(picture, image[0, 0])
    assert not shows(picture, image[-1, -1])
    # The first of the corners that is shown is the first pixel of what is shown.
    top, left = min(corners)
    step_of(picture, image[top : top + height, left : left + width])


def test_an_image_larger_than_the_side_is_shown_pixel_by_pixel() -> None:
    # Neither magnified nor shrunk: noise could not be judged.
    image = np.tile(own_colours(120, 120), (5, 6, 1))
    picture = strip([("large", image)], side=512)
    top, left = (600 - 512) // 2, (720 - 512) // 2
    middle = image[top : top + 512, left : left + 512]
    starts = np.argwhere((np.abs(picture - middle[0, 0]) <= 0.51 / 255).all(axis=2)).tolist()
    shown = [picture[y : y + 512, x : x + 512] for y, x in starts]
    assert any(part.shape == middle.shape and np.allclose(part, middle, rtol=0, atol=0.51 / 255) for part in shown)


def test_panels_are_shown_in_their_order_side_by_side() -> None:
    colours = [RED, GREEN, BLUE]
    picture = strip([(f"panel {i}", np.broadcast_to(colour, (8, 8, 3))) for i, colour in enumerate(colours)], side=32)
    check_picture(picture)
    boxes = [where_is(picture, colour) for colour in colours]
    assert boxes[0][1].stop <= boxes[1][1].start
    assert boxes[1][1].stop <= boxes[2][1].start
    for rows, columns in boxes:
        assert (rows.start, rows.stop) == (boxes[0][0].start, boxes[0][0].stop)
        assert columns.stop - columns.start == rows.stop - rows.start


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (100, 90)], ids=str)
def test_gray_panels_are_shown_as_gray_colours_beside_rgb_ones(size: tuple[int, int]) -> None:
    gray, colour = uniform(*size, 1), uniform(*size, 3, seed=1)
    mixed = strip([("gray", gray), ("rgb", colour)], side=64)
    check_picture(mixed)
    np.testing.assert_array_equal(mixed, strip([("gray", np.repeat(gray, 3, axis=2)), ("rgb", colour)], side=64))


def test_noise_beyond_the_range_is_clipped_in_a_strip() -> None:
    image = np.concatenate([np.full((8, 4, 3), 1.7), np.full((8, 4, 3), -0.6)], axis=1)
    picture = strip([("noisy", image)], side=64)
    check_picture(picture)
    np.testing.assert_array_equal(picture, strip([("noisy", image.clip(0, 1))], side=64))


def test_labels_are_shown() -> None:
    image = uniform(8, 8)
    one, other = (strip([(label, image)], side=64) for label in ("a", "mm"))
    assert one.shape != other.shape or not np.array_equal(one, other)


@pytest.mark.parametrize("label", ["", "much longer than its panel is wide " * 5, "\u00fcn\u00efc\u00f6de \u5199\u771f", "a\nb"])
def test_any_label_can_be_shown(label: str) -> None:
    panels = [(label, np.broadcast_to(RED, (8, 8, 3))), ("other", np.broadcast_to(GREEN, (8, 8, 3)))]
    picture = strip(panels, side=64)
    check_picture(picture)
    assert where_is(picture, RED)[1].stop <= where_is(picture, GREEN)[1].start


# ------------------------------------------------------------------------------------------------------- names

HOSTILE = ["", ".", "..", "a", "a.r1", "a.r1.r1", "a/b", "a%2Fb", "a%252Fb", "a b", "a+b", "a_b", "%", "%00", "\0", "../a", ".r1"]
HOSTILE += ["r1", "/", "//", "\\", ":", "~", "%20", "a.png", "a.r1.png", "\u00e9", "e\u0301", "\u5199", "A", ".hidden"]
# Names of few pieces meet each other often; those of any text show what else is in a name.
pieces = st.lists(st.sampled_from(["a", ".", ".r0", ".r1", ".r2", ".png", "/", "%", "%2F", " ", "\0"]), max_size=3).map("".join)
names = pieces | st.text(max_size=12) | st.sampled_from(HOSTILE)


def check_name(name: str) -> None:
    assert name
    assert name not in (".", "..")
    assert "/" not in name
    assert "\0" not in name


@settings(max_examples=100, deadline=None)
@given(name=names, tail=pieces, other=names)
def test_no_two_outputs_share_a_name(name: str, tail: str, other: str) -> None:
    pairs = {(each, repeat) for each in (name, name + tail, tail + name, other) for repeat in range(4)}
    found = {pair: output_name(*pair) for pair in pairs}
    for pair, output in found.items():
        check_name(output)
        assert output_name(*pair) == output
    assert len(set(found.values())) == len(pairs)


def test_hostile_names_do_not_collide() -> None:
    tails = ["", ".r0", ".r1", ".r2", ".r1.r1", "r1", "_1", "-1", "/1", "%1", ".png", ".r1.png"]
    pairs = sorted({(stem + tail, repeat) for stem in HOSTILE for tail in tails for repeat in range(4)})
    found = [output_name(*pair) for pair in pairs]
    for name in found:
        check_name(name)
    assert len(set(found)) == len(pairs) > 1000


@pytest.mark.parametrize("image", ["kodim01", "IMG_2034", "00001-2"])
def test_plain_names_stay_as_they_are(image: str) -> None:
    assert output_name(image, 0).startswith(image)
    assert output_name(image, 1).startswith(image)


LONG = {"ascii": "x" * 200, "accents": "\u00e9" * 100, "cjk": "\u5199" * 70}


@pytest.mark.parametrize("image", LONG.values(), ids=LONG.keys())
def test_the_name_of_a_file_makes_the_name_of_an_output_file(tmp_path: Path, image: str) -> None:
    # Each is a file name that file systems take: at most 214 of 255 bytes.
    (tmp_path / f"{image}.png").touch()
    write_png(tmp_path / "out" / output_name(image, 1), uniform(2, 2))


def test_a_file_name_that_is_no_unicode_makes_the_name_of_an_output_file(tmp_path: Path) -> None:
    # Latin-1 bytes from an old archive; Python reads them as a lone surrogate.
    image = Path(os.fsdecode(b"caf\xe9.png")).stem
    check_name(output_name(image, 0))
    assert output_name(image, 0) != output_name("caf%E9", 0)
    write_png(tmp_path / output_name(image, 0), uniform(2, 2))
