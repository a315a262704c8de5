"""The standard sets: found in several layouts, named alike everywhere, disjoint where they must be."""

import hashlib
import shutil
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from denoisebench import config
from denoisebench.config.jobs import job_of
from denoisebench.datasets.fitting import impossible
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.standard import BSD68, SET14, SETS, Standard
from denoisebench.datasets.views import NoisyViews
from denoisebench.noise import Gaussian, Real, Stored

INDEXED = [f"{index:04d}" for index in range(68)]
TEST_SETS: tuple[Any, ...] = ("cbsd68", "kodak", "set14", "bsd300")


def make(folder: Path, names: Sequence[str], suffix: str = ".png", seed: int = 0, side: int = 6) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        pixels = np.random.default_rng(seed * 1000 + index).integers(0, 256, (side, side + 1, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}{suffix}")
    return folder


@pytest.mark.parametrize("layout", ["CBSD68/original_png", "CBSD68", "cbsd68", "CBSD68-dataset/CBSD68/original_png"])
def test_cbsd68_is_the_same_set_under_both_namings_and_in_any_layout(tmp_path: Path, layout: str) -> None:
    make(tmp_path / "a" / layout, INDEXED)
    make(tmp_path / "b" / "CBSD68", BSD68)
    first, second = Standard("cbsd68", str(tmp_path / "a")), Standard("cbsd68", str(tmp_path / "b"))
    assert first.name == second.name == "cbsd68"
    assert first.names == second.names == tuple(BSD68)
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(first.clean(5), second.clean(5))
    views = [NoisyViews(images, Gaussian(), 0, 1, ())[3] for images in (first, second)]
    assert torch.equal(views[0].noisy, views[1].noisy)


def test_the_root_is_searched_before_the_data_folder(tmp_path: Path) -> None:  # which is the working folder
    make(tmp_path / "data" / "Set14", SET14, seed=1)
    here = Standard("set14", str(tmp_path / "elsewhere"))
    make(tmp_path / "elsewhere" / "set14", SET14, seed=2)
    there = Standard("set14", str(tmp_path / "elsewhere"))
    assert here.fingerprint != there.fingerprint


@pytest.mark.parametrize("layout", ["Urban100", "Urban100/HR"])
@pytest.mark.parametrize("form", ["img_{:03d}", "img{:03d}"])
def test_urban100_is_read_by_the_numbers_of_its_files(tmp_path: Path, layout: str, form: str) -> None:
    folder = make(tmp_path / layout, [form.format(number) for number in range(1, 101)])
    images = Standard("urban100", str(tmp_path))
    assert (images.name, images.names[0], images.names[-1], len(images.names)) == ("urban100", "img_001", "img_100", 100)
    for index in (0, 41, 99):
        stored = np.asarray(Image.open(folder / f"{form.format(index + 1)}.png"))
        np.testing.assert_array_equal(images.clean(index), stored)


def test_set14_is_its_twelve_colour_images(tmp_path: Path) -> None:
    folder = make(tmp_path / "Set14", [*SET14, "bridge"])
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "man.png")
    images = Standard("set14", str(tmp_path))
    assert images.names == SET14
    assert all(images.clean(index).shape == (6, 7, 3) for index in range(12))


@pytest.mark.parametrize("which", SETS)
def test_a_missing_set_says_where_it_was_looked_for_and_where_it_is_had(tmp_path: Path, which: Any) -> None:
    with pytest.raises(FileNotFoundError) as error:
        Standard(which, str(tmp_path), channels=1 if SETS[which].gray else 3)
    for part in (str(tmp_path), "data/", "http", "DENOISEBENCH_DATA"):
        assert part in str(error.value)


def test_an_incomplete_set_says_what_is_missing(tmp_path: Path) -> None:
    folder = make(tmp_path / "CBSD68" / "original_png", INDEXED)
    (folder / "0007.png").unlink()
    with pytest.raises(ValueError, match="expected 68 images, missing 0007;"):
        Standard("cbsd68", str(tmp_path))
    make(tmp_path / "PolyU" / "CroppedImages", ["a_real", "a_mean"])
    with pytest.raises(ValueError, match="expected 100 images, got 1;"):
        Standard("polyu", str(tmp_path))


def test_gray_sets_are_read_gray_and_are_the_photographs_of_the_colour_ones(tmp_path: Path) -> None:
    folder = tmp_path / "BSD68"
    folder.mkdir()
    for number in range(68):
        Image.fromarray(np.full((5, 6), number, np.uint8)).save(folder / f"test{number + 1:03d}.png")
    make(tmp_path / "CBSD68", BSD68)
    gray, colour = Standard("bsd68", str(tmp_path), channels=1), Standard("cbsd68", str(tmp_path))
    assert (gray.name, gray.names) == ("bsd68", colour.names)
    assert gray.clean(gray.names.index("101085")).shape == (5, 6, 1)
    assert gray.clean(gray.names.index("101085"))[0, 0, 0] == 0  # the first as text
    assert gray.clean(gray.names.index("351093"))[0, 0, 0] == 67
    assert len([source for source in gray.sources & colour.sources if source.startswith("bsd/")]) == 68
    with pytest.raises(
        ValueError,
        match=r"^bsd68 has gray images: dataset\.channels is 1, not 3, and dataset\.pack and dataset\.unprocess are null$",
    ):
        Standard("bsd68", str(tmp_path))


def test_the_photographs_of_scikit_image_in_gray_are_another_set_of_the_same_photographs() -> None:
    gray, colour = Photos(crop=9, channels=1), Photos(crop=9)
    assert (gray.name, colour.name) == ("photos-gray-crop9", "photos-crop9")
    assert (gray.clean(0).shape, colour.clean(0).shape) == ((9, 9, 1), (9, 9, 3))
    assert gray.fingerprint != colour.fingerprint
    assert gray.sources > colour.sources, "and those of files that hold it in gray"


def test_what_is_chosen_of_a_set_is_part_of_its_name_and_fingerprint(tmp_path: Path) -> None:
    make(tmp_path / "Kodak", [f"kodim{number:02d}" for number in range(1, 25)], side=9)
    root = str(tmp_path)
    own: dict[str, Standard] = {
        "kodak": Standard("kodak", root),
        "kodak-first3": Standard("kodak", root, first=3),
        "kodak-crop4": Standard("kodak", root, crop=4),
        "kodak-gray": Standard("kodak", root, channels=1),
        "kodak-gray-first3-crop4": Standard("kodak", root, first=3, crop=4, channels=1),
    }
    assert [images.name for images in own.values()] == list(own)
    for one, other in combinations(own.values(), 2):
        assert one.fingerprint != other.fingerprint
    assert Standard("kodak", root, first=24).name == "kodak"
    assert own["kodak-first3"].names == ("kodim01", "kodim02", "kodim03")
    whole, cropped = own["kodak"].clean(1), own["kodak-crop4"].clean(1)
    np.testing.assert_array_equal(cropped, whole[2:6, 3:7])
    for images in own.values():
        assert images.size(1) == images.clean(1).shape[:2]


def test_gray_is_the_luma_of_matlab(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 255], [7, 7, 7], [10, 200, 30]]], np.uint8)
    for name in make(tmp_path / "Set14", SET14).iterdir():
        Image.fromarray(colours).save(name)
    gray = Standard("set14", str(tmp_path), channels=1).clean(0)
    assert gray.dtype == np.uint8
    assert gray[..., 0].tolist() == [[76, 150, 29], [255, 7, 124]]


def test_bsds500_has_parts(tmp_path: Path) -> None:
    for part, start in (("train", 1000), ("test", 5000)):
        make(tmp_path / "BSDS500" / "data" / "images" / part, [str(start + i) for i in range(200)], ".jpg", seed=start)
    both = Standard("bsds500", str(tmp_path))
    parts = [Standard("bsds500", str(tmp_path), part="train"), Standard("bsds500", str(tmp_path), part="test")]
    assert [images.name for images in (both, *parts)] == ["bsds500", "bsds500-train", "bsds500-test"]
    assert both.names == parts[0].names + parts[1].names
    with pytest.raises(ValueError, match="part"):
        Standard("kodak", str(tmp_path), part="train")


def test_stored_noise_has_a_name_of_its_own_and_never_mixes_with_awgn(tmp_path: Path) -> None:
    make(tmp_path / "CBSD68" / "original_png", INDEXED, seed=1)
    make(tmp_path / "CBSD68" / "noisy25", INDEXED, seed=2)
    stored, plain = Standard("cbsd68", str(tmp_path), stored=25), Standard("cbsd68", str(tmp_path))
    assert (stored.has_noisy, plain.has_noisy) == (True, False)
    assert stored.fingerprint != plain.fingerprint
    assert Stored(level=25).name == "stored25"
    assert impossible(stored, Stored(level=25)) is None
    for images, noise in (
        (stored, Gaussian()), (stored, Real()), (stored, Stored(level=50)), (plain, Stored(level=25)), (plain, Real()),
    ):  # fmt: skip
        assert "noise" in (impossible(images, noise) or "")
    assert not np.array_equal(stored.noisy(0), stored.clean(0))
    with pytest.raises(FileNotFoundError, match="noisy50"):
        Standard("cbsd68", str(tmp_path), stored=50)


def composed(*overrides: str) -> Any:
    return config.compose_one(overrides).plain


def test_the_configuration_finds_stored_noise_and_its_rows_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISEBENCH_DATA", str(tmp_path))
    make(tmp_path / "CBSD68" / "original_png", INDEXED, seed=1)
    make(tmp_path / "CBSD68" / "noisy25", INDEXED, seed=2)
    keys = set()
    for noise in ("stored25", "gaussian25"):
        job = job_of(["dataset=cbsd68", f"noise={noise}"])
        assert job.noise.name == noise
        assert impossible(job.test_set, job.noise) is None
        keys.add(job.cell.key)
    assert len(keys) == 2


def test_where_a_set_lies_is_no_part_of_a_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "here" / "Set14", SET14)
    shutil.copytree(tmp_path / "here" / "Set14", tmp_path / "there" / "set14")
    keys = []
    for place in ("here", "there"):
        monkeypatch.setenv("DENOISEBENCH_DATA", str(tmp_path / place))
        keys.append(job_of(["dataset=set14"]).cell.key)
    assert keys[0] == keys[1]


@pytest.mark.parametrize("dataset", [*TEST_SETS, "bsds500"])
def test_the_standard_test_sets_are_trained_for_on_bsds500(dataset: str) -> None:
    job = composed(f"dataset={dataset}", "dataset.channels=1", "dataset.first=2", "method=neighbor2neighbor")
    assert tuple(job["train_set"][key] for key in ("which", "channels", "first")) == ("bsds500", 1, None)
    assert job["method"]["channels"] == 1


def test_gray_sets_are_trained_for_on_gray_images_and_fmdd_on_its_other_fields_of_view() -> None:
    for dataset in ("set12", "bsd68"):
        job = composed(f"dataset={dataset}", "method=neighbor2neighbor")
        assert (job["train_set"]["which"], job["train_set"]["channels"], job["method"]["channels"]) == ("bsds500", 1, 1)
    job = composed("dataset=fmdd", "dataset.kinds=[Confocal_FISH]", "noise=real", "method=neighbor2neighbor")
    own = {"part": "train", "kinds": ["Confocal_FISH"], "channels": 1}
    assert own.items() <= job["train_set"].items()


# ---------------------------------------------------------------------------------------------- the real files


def here(which: Any, root: Path, **options: Any) -> Standard:
    try:
        return Standard(which, str(root), **options)
    except FileNotFoundError:
        pytest.skip(f"{which} is not here")


def upright(image: np.ndarray) -> np.ndarray:
    """A small gray picture of an image, the same for all eight flips and turns of it."""
    small = np.asarray(Image.fromarray(image).convert("L").resize((12, 12), Image.Resampling.BOX), np.float32)
    turned = [np.rot90(flipped, turns) for flipped in (small, small[:, ::-1]) for turns in range(4)]
    return np.sort(np.stack(turned), axis=0)


def contents(images: Standard) -> tuple[set[str], np.ndarray]:
    read = [images.clean(index) for index in range(len(images.names))]
    return {hashlib.sha256(image.tobytes()).hexdigest() for image in read}, np.stack([upright(image).ravel() for image in read])


def test_the_training_set_shares_no_image_with_any_test_set(data_root: Path) -> None:
    hashes, looks = contents(here("bsds500", data_root))
    assert len(hashes) == 400
    for which in TEST_SETS:
        own_hashes, own_looks = contents(here(which, data_root))
        assert not hashes & own_hashes
        nearest = [np.sqrt(((looks - look) ** 2).mean(axis=1)).min() for look in own_looks]
        # Recoded as JPEG an image moves by less than a grey level; other photographs are further away.
        assert min(nearest) > 3, (which, float(min(nearest)))


def test_looks_find_an_image_in_another_format_and_turned(data_root: Path, tmp_path: Path) -> None:
    image = here("kodak", data_root).clean(3)
    Image.fromarray(image[:, ::-1].swapaxes(0, 1)).save(tmp_path / "a.jpg", quality=75)
    again = np.asarray(Image.open(tmp_path / "a.jpg"))
    assert np.sqrt(((upright(image) - upright(again)) ** 2).mean()) < 1


def test_bsd68_is_cbsd68_in_gray(data_root: Path) -> None:
    gray, colour = here("bsd68", data_root, channels=1), here("cbsd68", data_root, channels=1)
    for index in range(0, 68, 9):
        apart = np.abs(gray.clean(index).astype(int) - colour.clean(index))
        assert apart.max() <= 1


def test_cbsd68_is_in_the_test_part_of_bsd300(data_root: Path) -> None:
    small, large = here("cbsd68", data_root), here("bsd300", data_root)
    for name in small.names:
        np.testing.assert_array_equal(small.clean(small.names.index(name)), large.clean(large.names.index(name)))


def test_polyu_is_pairs(data_root: Path) -> None:
    images = here("polyu", data_root)
    assert (len(images.names), images.has_clean, images.has_noisy) == (100, True, True)
    assert impossible(images, Real()) is None
    assert len(images.scenes) == 29
    assert images.scene(0) == "Canon5D2_5_160_3200_chair"
    noise = images.noisy(0) / 255 - images.clean(0) / 255
    assert 0.001 < np.sqrt((noise**2).mean()) < 0.1
