"""The data sets: a folder of anybody's images, and the photographs that come with scikit-image."""

import os
import re
import shutil
from itertools import combinations
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from denoisebench.datasets.folder import Folder
from denoisebench.datasets.photos import Photos

HEX16 = re.compile(r"[0-9a-f]{16}")


def pixels(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(path)


def make(folder: Path, *names: str, channels: int = 3, seed: int = 0) -> str:
    """A folder of small images, each with pixels of its own."""
    for index, name in enumerate(sorted(names)):
        save(folder / name, pixels(6, 7, channels, seed + index))
    return str(folder)


# ----------------------------------------------------------------------------------------------------- folder


def test_a_folder_gives_its_images_in_the_order_of_their_names(tmp_path: Path) -> None:
    names = ["b", "a", "img10", "img2", "Z", "d.e"]
    images = {name: pixels(5 + index, 9, seed=index) for index, name in enumerate(names)}
    for name, image in images.items():
        save(tmp_path / "set" / f"{name}.png", image)
    (tmp_path / "set" / "notes.txt").write_text("x")
    folder = Folder(clean=str(tmp_path / "set"))
    assert folder.names == tuple(sorted(names))
    assert (folder.name, folder.channels, folder.has_clean, folder.has_noisy) == ("set", 3, True, False)
    for index, name in enumerate(folder.names):
        np.testing.assert_array_equal(folder.clean(index), images[name])


def test_names_are_sorted_as_names_not_as_files(tmp_path: Path) -> None:
    # "a-1.png" < "a.png" as files, "a" < "a-1" as names; and the suffix must not decide the order.
    folder = Folder(clean=make(tmp_path / "set", "a.png", "a-1.png", "a b.bmp"))
    assert folder.names == ("a", "a b", "a-1")


def test_a_noisy_folder_has_no_clean_images(tmp_path: Path) -> None:
    folder = Folder(noisy=make(tmp_path / "shots", "a.png", "b.png"))
    assert (folder.name, folder.names, folder.has_clean, folder.has_noisy) == ("shots", ("a", "b"), False, True)
    np.testing.assert_array_equal(folder.noisy(1), pixels(6, 7, seed=1))


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_rows_columns_channels_in_the_stored_type(tmp_path: Path, channels: int) -> None:
    stored = np.random.default_rng(0).integers(0, 65536, (5, 4, channels), dtype=np.uint16)
    (tmp_path / "deep").mkdir()
    assert cv2.imwrite(str(tmp_path / "deep" / "a.png"), stored[:, :, ::-1] if channels == 3 else stored)
    folder = Folder(clean=str(tmp_path / "deep"), channels=channels)
    image = folder.clean(0)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, stored)


def test_pairs_go_by_stem_whatever_the_suffix(tmp_path: Path) -> None:
    clean, noisy = {}, {}
    for index, stem in enumerate(("a", "b", "c")):
        clean[stem] = pixels(6, 7 + index, seed=index)
        noisy[stem] = np.random.default_rng(index).normal(0.5, 0.3, clean[stem].shape).astype(np.float32)
        save(tmp_path / "clean" / f"{stem}.{'png' if index else 'bmp'}", clean[stem])
        (tmp_path / "noisy").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "noisy" / f"{stem}.tif", noisy[stem], photometric="rgb")
    folder = Folder(clean=str(tmp_path / "clean"), noisy=str(tmp_path / "noisy"), name="pairs", white=1)
    assert (folder.name, folder.names, folder.has_clean, folder.has_noisy) == ("pairs", ("a", "b", "c"), True, True)
    for index, stem in enumerate(folder.names):
        np.testing.assert_array_equal(folder.clean(index), clean[stem])
        np.testing.assert_array_equal(folder.noisy(index), noisy[stem])


@pytest.mark.parametrize("kind", ["clean", "noisy"])
@pytest.mark.parametrize("shown", ["{}", "{}/", "{}/.", "{}/../set"])
def test_the_name_is_the_last_part_of_the_path(tmp_path: Path, kind: Literal["clean", "noisy"], shown: str) -> None:
    path = shown.format(make(tmp_path / "set", "a.png"))
    folder = Folder(clean=path) if kind == "clean" else Folder(noisy=path)
    assert folder.name == "set"


def test_the_working_folder_has_a_name_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "set", "a.png")
    monkeypatch.chdir(tmp_path / "set")
    assert Folder(clean=".").name == "set"


def test_a_folder_of_neither_is_refused() -> None:
    with pytest.raises(ValueError):
        Folder()


@pytest.mark.parametrize("kind", ["clean", "noisy"])
def test_a_missing_folder_is_named_with_its_key(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=kind) as error:
        Folder(clean=path) if kind == "clean" else Folder(noisy=path)
    assert path in str(error.value)


@pytest.mark.parametrize("alone", ["clean", "noisy"])
def test_images_without_partner_are_listed(tmp_path: Path, alone: str) -> None:
    make(tmp_path / "clean", "a.png", "b.png")
    make(tmp_path / "noisy", "a.png", "b.png")
    make(tmp_path / alone, "lonely.png", "single.png")
    with pytest.raises(ValueError, match=r"lonely.*single"):
        Folder(clean=str(tmp_path / "clean"), noisy=str(tmp_path / "noisy"))


def test_a_pair_of_two_sizes_is_refused_when_read(tmp_path: Path) -> None:
    make(tmp_path / "clean", "a.png", "b.png")
    make(tmp_path / "noisy", "a.png")
    # Turned by a quarter: as many pixels, another size.
    save(tmp_path / "noisy" / "b.png", pixels(7, 6))
    folder = Folder(clean=str(tmp_path / "clean"), noisy=str(tmp_path / "noisy"))
    folder.noisy(0)
    with pytest.raises(ValueError) as error:
        folder.noisy(1)
    assert str(tmp_path / "clean" / "b.png") in str(error.value)
    assert str(tmp_path / "noisy" / "b.png") in str(error.value)


def test_an_image_of_the_wrong_kind_is_refused_when_read(tmp_path: Path) -> None:
    folder = Folder(clean=make(tmp_path / "gray", "a.png", channels=1))
    with pytest.raises(ValueError, match="channels="):
        folder.clean(0)


# ----------------------------------------------------------------------------------------- folder: fingerprint


def test_a_copy_of_a_folder_has_its_fingerprint(tmp_path: Path) -> None:
    original = Folder(clean=make(tmp_path / "here" / "set", "a.png", "b.png"))
    shutil.copytree(tmp_path / "here" / "set", tmp_path / "there" / "set", copy_function=shutil.copyfile)
    copy = Folder(clean=str(tmp_path / "there" / "set"))
    assert HEX16.fullmatch(original.fingerprint)
    assert copy.fingerprint == original.fingerprint == original.fingerprint


def test_what_is_no_image_does_not_change_the_fingerprint(tmp_path: Path) -> None:
    path = make(tmp_path / "set", "a.png", "b.png")
    before = Folder(clean=path).fingerprint
    (tmp_path / "set" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "set" / ".a.png").write_bytes(b"x")
    assert Folder(clean=path).fingerprint == before


def test_each_difference_changes_the_fingerprint(tmp_path: Path) -> None:
    path = make(tmp_path / "set", "a.png", "b.png")
    for name in ("a.png", "b.png"):
        save(tmp_path / "other" / name, pixels(12, 14))
    other = str(tmp_path / "other")
    found = [
        Folder(clean=path).fingerprint,
        Folder(noisy=path).fingerprint,
        Folder(clean=other).fingerprint,
        Folder(clean=path, noisy=other).fingerprint,
        Folder(clean=other, noisy=path).fingerprint,
        Folder(clean=path, channels=1).fingerprint,
    ]
    make(tmp_path / "set", "a.png", "b.png", "c.png")
    found.append(Folder(clean=path).fingerprint)
    (tmp_path / "set" / "c.png").rename(tmp_path / "set" / "d.png")
    found.append(Folder(clean=path).fingerprint)
    (tmp_path / "set" / "a.png").unlink()
    found.append(Folder(clean=path).fingerprint)
    assert len(set(found)) == len(found)


def test_other_pixels_in_a_file_of_the_same_size_and_date_change_the_fingerprint(tmp_path: Path) -> None:
    # An uncompressed file: its length says nothing of its pixels. Rows must not be reused after such an edit.
    path = make(tmp_path / "set", "a.bmp", "b.bmp")
    file = tmp_path / "set" / "b.bmp"
    before, stat = Folder(clean=path).fingerprint, file.stat()
    image = pixels(6, 7, seed=1)
    image[3, 3, 1] ^= 1
    save(file, image)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_size == stat.st_size
    assert Folder(clean=path).fingerprint != before


def test_images_that_changed_names_with_each_other_change_the_fingerprint(tmp_path: Path) -> None:
    path = make(tmp_path / "set", "a.bmp", "b.bmp")
    before = Folder(clean=path).fingerprint
    (tmp_path / "set" / "a.bmp").rename(tmp_path / "set" / "c")
    (tmp_path / "set" / "b.bmp").rename(tmp_path / "set" / "a.bmp")
    (tmp_path / "set" / "c").rename(tmp_path / "set" / "b.bmp")
    assert Folder(clean=path).fingerprint != before


# ------------------------------------------------------------------------------------------------ photographs


@pytest.fixture(scope="module")
def photos() -> dict[str, list[np.ndarray]]:
    sets = {"test": Photos(), "train": Photos(part="train")}
    return {part: [images.clean(index) for index in range(len(images.names))] for part, images in sets.items()}


@pytest.mark.parametrize("part", ["test", "train"])
def test_photos_are_clean_rgb_of_unique_names(photos: dict[str, list[np.ndarray]], part: Literal["test", "train"]) -> None:
    images = Photos(part=part)
    assert (images.channels, images.has_clean, images.has_noisy) == (3, True, False)
    assert len(set(images.names)) == len(images.names) == len(photos[part]) > 0
    for image in photos[part]:
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] == 3
        # A photograph in colour, not a gray one repeated, and not a blank.
        assert (image[:, :, 0] != image[:, :, 1]).any()
        assert image.std() > 1


def test_no_photo_is_in_both_parts(photos: dict[str, list[np.ndarray]]) -> None:
    assert not set(Photos().names) & set(Photos(part="train").names)
    # Small copies, so that a cut, a rescaled or another exposure of the same scene is found too.
    thumbs = {
        part: [cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA).astype(float).ravel() for image in images]
        for part, images in photos.items()
    }
    for test in thumbs["test"]:
        for train in thumbs["train"]:
            assert np.corrcoef(test, train)[0, 1] < 0.95


def test_photos_differ_from_each_other(photos: dict[str, list[np.ndarray]]) -> None:
    contents = {(image.shape, image.tobytes()) for images in photos.values() for image in images}
    assert len(contents) == len(photos["test"]) + len(photos["train"])


@pytest.mark.parametrize("crop", [1, 64, 161, 500, 100_000])
def test_crop_is_the_middle(photos: dict[str, list[np.ndarray]], crop: int) -> None:
    images = Photos(crop=crop)
    assert images.names == Photos().names
    for index, whole in enumerate(photos["test"]):
        height, width = whole.shape[:2]
        expected = (min(crop, height), min(crop, width))
        cut = images.clean(index)
        assert cut.shape == (*expected, 3)
        # Of an odd remainder either half may be the longer one.
        tops = {(height - expected[0]) // 2, -(-(height - expected[0]) // 2)}
        lefts = {(width - expected[1]) // 2, -(-(width - expected[1]) // 2)}
        middles = [whole[top : top + expected[0], left : left + expected[1]] for top in tops for left in lefts]
        assert any(np.array_equal(cut, middle) for middle in middles)


def test_photos_are_named_by_part_and_crop() -> None:
    assert Photos().name == "photos"
    assert Photos(part="train").name == "photos-train"
    assert Photos(crop=160).name == "photos-crop160"
    names = {Photos(part=part, crop=crop).name for part in ("test", "train") for crop in (None, 64, 160)}
    assert len(names) == 6


def test_fingerprints_of_photos_tell_part_and_crop_apart() -> None:
    def all_of_them() -> list[str]:
        return [Photos(part=part, crop=crop).fingerprint for part in ("test", "train") for crop in (None, 64, 160)]

    first = all_of_them()
    assert first == all_of_them()
    assert all(HEX16.fullmatch(fingerprint) for fingerprint in first)
    assert all(one != other for one, other in combinations(first, 2))


def test_pairs_in_one_folder_go_by_suffix(tmp_path: Path) -> None:
    path = make(tmp_path / "crops", "a_mean.jpg", "a_real.jpg", "b_real.jpg", "b_mean.jpg", "notes.png")
    folder = Folder(clean=path, noisy=path, clean_suffix="_mean", noisy_suffix="_real")
    assert (folder.name, folder.names, folder.size(0)) == ("crops", ("a", "b"), (6, 7))
    assert not np.array_equal(folder.clean(0), folder.noisy(0))
    with pytest.raises(ValueError, match="ends in _gt"):
        Folder(clean=path, clean_suffix="_gt")


def test_a_pair_of_folders_is_named_by_what_holds_both(tmp_path: Path) -> None:
    noisy, clean = make(tmp_path / "x" / "noisy", "a.png"), make(tmp_path / "x" / "clean", "a.png", seed=1)
    assert Folder(clean=clean, noisy=noisy).name == "x"
    assert Folder(noisy=noisy).name == "noisy"
    elsewhere = make(tmp_path / "y" / "clean", "a.png", seed=1)
    assert Folder(clean=elsewhere, noisy=noisy).name == "noisy"


def test_sizes_are_those_of_the_images_read(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    turned = Image.fromarray(pixels(6, 9))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "set" / "a.jpg", exif=exif)
    save(tmp_path / "set" / "b.png", pixels(5, 8))
    tifffile.imwrite(tmp_path / "set" / "c.tif", pixels(4, 7), photometric="rgb")
    folder = Folder(clean=str(tmp_path / "set"))
    assert [folder.size(index) for index in range(3)] == [(9, 6), (5, 8), (4, 7)]
    assert all(folder.size(index) == folder.clean(index).shape[:2] for index in range(3))


def test_the_small_real_sets_are_read_as_folders(data_root: Path) -> None:
    sidd = Folder(clean=str(data_root / "SIDD_val_5" / "clean"), noisy=str(data_root / "SIDD_val_5" / "noisy"))
    assert (sidd.name, len(sidd.names), sidd.noisy(0).shape) == ("SIDD_val_5", 5, sidd.clean(0).shape)
    assert len(Folder(noisy=str(data_root / "DND_patches")).names) == 33
