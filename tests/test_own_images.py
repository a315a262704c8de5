"""People's own images: what is read of them, what is refused, and what is said before anything is computed."""

import csv
import os
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from denoisebench.cli import main
from denoisebench.config import ConfigError
from denoisebench.datasets import images as image_files
from denoisebench.datasets.datamodule import DataModule, TrainingData
from denoisebench.datasets.folder import Folder
from denoisebench.datasets.images import ChangedError, file_hash, fingerprint_of
from denoisebench.datasets.listing import list_images, looks_cut
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.reading import Reading, gray_of, image_size, read_image
from denoisebench.datasets.remarks import remarks
from denoisebench.datasets.standard import Standard
from denoisebench.datasets.training import Training
from denoisebench.datasets.verify_folder import shift_of
from denoisebench.job import Work
from denoisebench.noise import Gaussian, NoiseModel, Poisson, PoissonGaussian, Real
from denoisebench.report.results import summarise
from denoisebench.report.rows import read_study
from denoisebench.study import sweep
from jobs import computed, one, planned
from studies import STUDY, add_cell

OWN = ("dataset=folder", "method=noisy", "pictures=0")


def pixels(seed: int = 0, side: int = 24, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8)


def save(path: str, image: np.ndarray) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file)
    return file


def rows_of(cell: Any) -> list[dict[str, str]]:
    with (cell.folder / "rows.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def said(folder: Folder, noise: NoiseModel | None = None) -> str:
    return "\n".join(remarks(folder, noise or Gaussian()))


# ------------------------------------------------------------------------------------------ keys stay what they were


def test_the_fingerprint_of_a_plain_folder_is_what_it_always_was() -> None:
    a, b = save("clean/a.png", pixels(0)), save("clean/b.png", pixels(1))
    x, y = save("noisy/a.png", pixels(2)), save("noisy/b.png", pixels(3))
    clean, noisy = [("a", file_hash(a)), ("b", file_hash(b))], [("a", file_hash(x)), ("b", file_hash(y))]
    assert Folder(clean="clean").fingerprint == fingerprint_of(3, *clean, None)
    assert Folder(noisy="noisy").fingerprint == fingerprint_of(3, None, *noisy)
    assert Folder(clean="clean", noisy="noisy").fingerprint == fingerprint_of(3, *clean, None, *noisy)


def test_each_new_choice_that_changes_pixels_changes_the_fingerprint_and_scene_does_not() -> None:
    for name in "ab":
        for side in ("noisy", "second"):
            save(f"{side}/{name}.png", pixels(ord(name) + len(side)))
    plain = Folder(noisy="noisy")
    choices: list[dict[str, Any]] = [
        {"first": 1}, {"crop": 8}, {"crop": 9}, {"white": 2.0}, {"white": 2.0, "black": 1.0}, {"second": "second"},
    ]  # fmt: skip
    found = {Folder(noisy="noisy", **own).fingerprint for own in choices} | {plain.fingerprint}
    assert len(found) == len(choices) + 1
    assert Folder(noisy="noisy", scene="(.).*").fingerprint == plain.fingerprint


# ------------------------------------------------------------------------------------------- images under a run (15.3)


def test_a_file_replaced_after_the_fingerprint_is_refused_by_name() -> None:
    save("set/a.png", pixels(0))
    folder = Folder(clean="set")
    folder.clean(0)
    save("set/a.png", pixels(1))
    folder.clean(0)  # no key speaks of it yet
    assert folder.fingerprint
    assert folder.files == (Path("set/a.png"),)
    folder.clean(0)
    save("set/a.png", pixels(2))
    with pytest.raises(ChangedError, match=r"set/a\.png changed"):
        folder.clean(0)
    save("set/a.png", pixels(1))
    np.testing.assert_array_equal(folder.clean(0), pixels(1))


def test_a_standard_set_whose_file_is_replaced_is_refused_by_name() -> None:
    for number in range(1, 25):
        save(f"data/Kodak/kodim{number:02d}.png", pixels(number, 8))
    kodak = Standard("kodak")
    assert kodak.fingerprint
    save("data/Kodak/kodim07.png", pixels(99, 8))
    kodak.clean(5)
    with pytest.raises(ChangedError, match="kodim07"):
        kodak.clean(6)


def test_an_image_replaced_during_its_cell_fails_the_cell_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        save(f"set/{name}.png", pixels(ord(name)))
    read = image_files.read_image

    def replacing(path: Path, *given: Any) -> np.ndarray:
        image = read(path, *given)
        if path.stem == "a":
            save("set/b.png", pixels(7))
        return image

    [job] = planned(*OWN, "dataset.clean=set")
    monkeypatch.setattr(image_files, "read_image", replacing)
    cells = computed(*OWN, "dataset.clean=set")
    assert (cells[0].key, cells[0].state) == (job.cell.key, "failed")
    assert "set/b.png changed" in cells[0].status()["reason"]


def test_an_image_replaced_between_plan_and_turn_fails_the_planned_cell_with_its_name() -> None:
    for name in "ab":
        save(f"set/{name}.png", pixels(ord(name)))
    [job] = planned(*OWN, "dataset.clean=set")
    time.sleep(0.05)  # file systems count in ticks
    save("set/b.png", pixels(7))
    sweep.work(Work(job.cell.root, job.cell.study, [job.cell.key], None, None, "continue"))
    assert job.cell.state == "failed"
    assert "set/b.png changed" in job.cell.status()["reason"]


# ---------------------------------------------------------------------------------------------------- values (15.4)


def write_float(path: str, image: np.ndarray, **options: Any) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image, photometric="rgb" if image.ndim == 3 else "minisblack", **options)
    return Path(path)


def test_floats_outside_the_unit_range_are_refused_unless_their_scale_is_said() -> None:
    image = np.random.default_rng(0).uniform(-1.6, 2.0, (8, 9, 3)).astype(np.float32)
    image[0, 0, 0], image[0, 0, 1] = -1.6, 2.0
    path = write_float("set/a.tif", image)
    with pytest.raises(ValueError, match=r"a\.tif.*-1\.6 to 2.*dataset\.white.*dataset\.black"):
        read_image(path, 3)
    scaled = read_image(path, Reading(3, white=2.0, black=-1.6))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, (image.astype(np.float64) + 1.6) / 3.6, atol=1e-6)
    np.testing.assert_array_equal(read_image(path, Reading(3, white=1)), image)
    inside = write_float("set/b.tif", np.linspace(0, 1, 72, dtype=np.float32).reshape(8, 9))
    assert read_image(inside, 1).max() == 1


def test_tags_that_say_the_range_are_told() -> None:
    image = np.random.default_rng(0).uniform(0, 900, (8, 9)).astype(np.float32)
    path = write_float("set/a.tif", image, extratags=[(340, "f", 1, 12.0, False), (341, "f", 1, 1023.0, False)])
    with pytest.raises(ValueError, match=r"its TIFF tags say dataset\.white=1023 dataset\.black=12"):
        read_image(path, 1)


def write_deep(path: str, image: np.ndarray) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image, photometric="rgb")
    return Path(path)


def test_twelve_bits_in_sixteen_are_named_and_scaled_where_it_is_said() -> None:
    rng = np.random.default_rng(0)
    write_deep("set/dark.tif", rng.integers(0, 4096, (8, 9, 3), dtype=np.uint16))
    write_deep("set/full.tif", rng.integers(0, 65536, (8, 9, 3), dtype=np.uint16))
    told = said(Folder(clean="set"))
    assert "dark.tif" in told
    assert "full.tif" not in told
    assert "dataset.white=4095" in told
    (Path("set") / "full.tif").unlink()
    scaled = Folder(clean="set", white=4095)
    assert not said(scaled)
    np.testing.assert_allclose(scaled.clean(0), tifffile.imread("set/dark.tif") / 4095, atol=1e-7)


def test_8_bit_images_keep_their_range_whatever_white_is_said_of_others() -> None:
    path = save("set/a.png", pixels())
    np.testing.assert_array_equal(read_image(path, Reading(3, white=4095)), pixels())
    deep = write_deep("set/b.tif", np.full((4, 5, 3), 40000, np.uint16))
    np.testing.assert_array_equal(read_image(deep, Reading(3, white=1)), 40000)


def test_a_white_that_does_not_fit_is_refused() -> None:
    deep = write_deep("set/b.tif", np.full((4, 5, 3), 40000, np.uint16))
    with pytest.raises(ValueError, match=r"b\.tif.*dataset\.white=255"):
        read_image(deep, Reading(3, white=255))
    with pytest.raises(ValueError, match=r"dataset\.white=1.*above dataset\.black=2"):
        Folder(clean="set", white=1, black=2)


def test_integers_of_no_known_range_are_read_with_a_white() -> None:
    path = write_float("set/a.tif", np.arange(72, dtype=np.int32).reshape(8, 9))
    with pytest.raises(ValueError, match=r"int32 has no known range; dataset\.white"):
        read_image(path, 1)
    assert read_image(path, Reading(1, white=71)).max() == 1


# --------------------------------------------------------------------------------------- stacks and formats (25.8, 15.11)


@pytest.mark.parametrize("truncate", [True, False])
def test_an_imagej_stack_is_no_image(truncate: bool) -> None:
    tifffile.imwrite("stack.tif", np.zeros((5, 8, 9), np.uint16), imagej=True, truncate=truncate)
    with pytest.raises(ValueError, match=r"stack\.tif.*it holds 5 images"):
        read_image(Path("stack.tif"), 1)


def test_one_imagej_image_is_read() -> None:
    tifffile.imwrite("one.tif", np.arange(72, dtype=np.uint16).reshape(8, 9), imagej=True)
    assert read_image(Path("one.tif"), 1).max() == 71
    tifffile.imwrite("rgb.tif", pixels(), imagej=True)
    np.testing.assert_array_equal(read_image(Path("rgb.tif"), 3), pixels())


def test_of_a_phone_s_jpeg_the_photograph_is_read() -> None:
    photo, preview = Image.fromarray(pixels(0, 48)), Image.fromarray(pixels(1, 16))
    photo.save("phone.jpg", format="MPO", save_all=True, append_images=[preview], quality=95)
    with Image.open("phone.jpg") as file:
        assert (file.format, getattr(file, "n_frames", 1)) == ("MPO", 2)
        expected = np.asarray(file.convert("RGB"))
    np.testing.assert_array_equal(read_image(Path("phone.jpg"), 3), expected)
    assert image_size(Path("phone.jpg")) == (48, 48)
    frames = [Image.fromarray(pixels(seed)) for seed in (0, 1)]
    frames[0].save("anim.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="it holds 2 images"):
        read_image(Path("anim.webp"), 3)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("channels", [1, 3])
def test_compressed_8_bit_tiff_comes_back_exactly(compression: str, channels: int) -> None:
    image = pixels(0, 40, channels)
    Image.fromarray(image[..., 0] if channels == 1 else image).save("a.tif", compression=compression)
    np.testing.assert_array_equal(read_image(Path("a.tif"), channels), image)


def test_jpeg_in_tiff_is_what_pillow_decodes() -> None:
    smooth = np.add.outer(np.arange(48), np.arange(48))[..., None].astype(np.uint8) * np.ones(3, np.uint8)
    Image.fromarray(smooth).save("a.tif", compression="jpeg")
    found = read_image(Path("a.tif"), 3)
    assert np.abs(found.astype(int) - smooth).max() <= 8


def test_a_compression_that_is_not_read_names_the_extra_or_is_read_with_it() -> None:
    Image.fromarray(np.arange(1024, dtype=np.uint16).reshape(32, 32)).save("deep.tif", compression="tiff_lzw")
    try:
        import imagecodecs  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(ValueError, match=r"deep\.tif.*LZW.*denoisebench\[tiff\]"):
            read_image(Path("deep.tif"), 1)
    else:
        np.testing.assert_array_equal(read_image(Path("deep.tif"), 1)[..., 0], np.arange(1024).reshape(32, 32))


def test_a_photograph_of_200_megapixels_is_read() -> None:
    Image.new("1", (20000, 10000), 1).save("large.png")
    assert image_size(Path("large.png")) == (10000, 20000)
    image = read_image(Path("large.png"), 1)
    assert (image.shape, image.min()) == ((10000, 20000, 1), 255)


def test_a_git_lfs_pointer_says_what_it_is() -> None:
    Path("a.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ValueError, match=r"a\.png.*Git LFS pointer"):
        read_image(Path("a.png"), 3)


# -------------------------------------------------------------------------------------------------- names (15.10, 25.14)


def save_bytes(name: bytes, image: np.ndarray) -> None:
    save("tmp.png", image)
    os.makedirs(b"set", exist_ok=True)
    os.replace(b"tmp.png", b"set/" + name)


def test_a_name_that_is_no_utf_8_is_read_and_written_escaped() -> None:
    save_bytes(b"caf\xe9.png", pixels(0))
    deep = np.arange(24 * 24, dtype=np.uint16).reshape(24, 24) * 100
    Image.fromarray(deep).save("tmp.png")
    os.makedirs(b"deep", exist_ok=True)
    os.replace(b"tmp.png", b"deep/caf\xe9.png")
    assert Folder(clean="set").names == ("caf\\xe9",)
    np.testing.assert_array_equal(Folder(clean="deep", channels=1).clean(0)[..., 0], deep)
    cells = computed(*OWN, "dataset.clean=set")
    assert cells[0].state == "done", cells[0].status()
    assert [row["image"] for row in rows_of(cells[0])] == ["caf\\xe9"]
    Path("set").joinpath(os.fsdecode(b"caf\xe9.png")).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"caf\\xe9") as error:
        Folder(clean="set").clean(0)
    str(error.value).encode()


def test_composed_and_decomposed_names_are_one_name_with_one_noise() -> None:
    for form in ("NFC", "NFD"):
        save(f"{form}/{unicodedata.normalize(form, 'café')}.png", pixels())
    composed, decomposed = Folder(clean="NFC"), Folder(clean="NFD")
    assert composed.names == decomposed.names == (unicodedata.normalize("NFC", "café"),)
    assert composed.fingerprint == decomposed.fingerprint
    assert Folder(clean="NFC", noisy="NFD").names == composed.names
    names = dict.fromkeys(unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    for name in names:
        save(f"both/{name}.png", pixels())
    with pytest.raises(ValueError, match="share a stem"):
        Folder(clean="both")


def test_sets_and_patterns_are_composed_too() -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    save(f"{decomposed}/{composed}_1.png", pixels())
    images = Folder(clean=decomposed, scene=f"({decomposed})_.")
    assert (images.name, images.scene(0)) == (composed, composed)
    assert Folder(clean=decomposed, name=decomposed).name == composed
    [first] = computed(*OWN, f"dataset.clean='{decomposed}'")
    Path(decomposed).rename(composed)
    [second] = computed(*OWN, f"dataset.clean='{composed}'")
    assert first.key == second.key


# ---------------------------------------------------------------------------------------- passed over, crop, selection


def test_what_is_passed_over_is_counted_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    save("set/a.png", pixels())
    Path("set/annexed.png").symlink_to("/nowhere/at/all.png")
    for name in ("b.ppm", "c.gif", "d.heic", "notes.txt", ".e.gif"):
        (Path("set") / name).write_bytes(b"x")
    folder = Folder(clean="set")
    assert folder.names == ("a",)
    told = said(folder)
    assert "4 files passed over" in told
    for name in ("annexed.png: a link to nothing", "b.ppm", "c.gif", "d.heic"):
        assert name in told
    assert "notes" not in told
    assert main(["run", *OWN, "dataset.clean=set"]) == 0
    assert "note: set: 4 files passed over" in capsys.readouterr().err
    assert main(["data", "verify", "set"]) == 1
    verified = capsys.readouterr().out
    assert "annexed.png" in verified
    assert "c.gif" in verified


def test_a_crop_larger_than_an_image_is_refused_when_planned() -> None:
    save("set/a.png", pixels(0, 40))
    save("set/b.png", pixels(1, 24))
    with pytest.raises(ConfigError, match=r"dataset\.crop=100000 is larger than a of set-crop100000.*40 pixels"):
        planned(*OWN, "dataset.clean=set", "dataset.crop=100000")
    with pytest.raises(ConfigError, match=r"dataset\.crop=25 is larger than b"):
        planned(*OWN, "dataset.clean=set", "dataset.crop=25")
    with pytest.raises(ConfigError, match=r"dataset\.crop=301 is larger than chelsea"):
        planned("method=noisy", "dataset.crop=301")
    assert planned("method=noisy", "dataset.crop=300")
    assert planned(*OWN, "dataset.clean=set", "dataset.crop=24")


def test_a_folder_is_chosen_from_like_a_standard_set() -> None:
    for name in "abc":
        save(f"set/{name}.png", pixels(ord(name), 20))
    folder = Folder(clean="set", first=2, crop=8)
    assert (folder.name, folder.names, folder.size(0)) == ("set-first2-crop8", ("a", "b"), (8, 8))
    np.testing.assert_array_equal(folder.clean(1), pixels(ord("b"), 20)[6:14, 6:14])
    assert Folder(clean="set", first=3).name == Folder(clean="set", first=9).name == "set"
    with pytest.raises(ValueError, match=r"dataset\.first.*above 0"):
        Folder(clean="set", first=0)
    with pytest.raises(ValueError, match=r"dataset\.crop.*above 0"):
        Folder(clean="set", crop=0)
    own = one("method=neighbor2neighbor", "budget=smoke", "dataset=folder", "dataset.clean=set", "dataset.first=2")
    assert own.learning
    assert own.learning.images.names == ("a", "b")


def test_the_photographs_are_chosen_from_too_and_whole_they_are_what_they_were() -> None:
    some = Photos(first=2, crop=48)
    assert (some.name, some.names) == ("photos-first2-crop48", ("astronaut", "chelsea"))
    assert len(some.sources) == 2
    assert (
        Photos(crop=48).fingerprint == fingerprint_of("scikit-image photos", "test", 48) == Photos(first=3, crop=48).fingerprint
    )
    assert some.fingerprint != Photos(crop=48).fingerprint
    with pytest.raises(ValueError, match=r"dataset\.first"):
        Photos(first=0)


def test_a_file_in_the_place_of_a_folder_says_so() -> None:
    save("photo.jpg", pixels())
    with pytest.raises(ValueError, match=r"dataset\.noisy=photo\.jpg is a file: name the folder"):
        list_images(Path("photo.jpg"), "dataset.noisy")


# ------------------------------------------------------------------------------------------- one name, one set (25.3)


def two_folders() -> None:
    for name in "ab":
        save(f"setA/clean/{name}.png", pixels(ord(name)))
        save(f"setB/clean/{name}.png", pixels(ord(name) + 9))


def test_two_sets_of_one_name_in_a_sweep_are_asked_for_names() -> None:
    two_folders()
    with pytest.raises(ConfigError, match=r"called clean.*setA/clean and .*setB/clean.*dataset\.name=NAME"):
        planned(*OWN, "dataset.clean=setA/clean,setB/clean")
    assert planned(*OWN, "dataset.clean=setA/clean,setA/../setA/clean")  # one set, at two paths


def test_two_training_sets_of_one_name_are_asked_for_names() -> None:
    two_folders()
    sweep = (
        "method=noise2clean",
        "budget=smoke",
        "train_set=folder",
        "train_set.channels=3",
        "dataset.crop=48",
        "training.patch=16",
    )
    with pytest.raises(ConfigError, match=r"called clean.*train_set\.name=NAME"):
        planned(*sweep, "train_set.clean=setA/clean,setB/clean")


def test_two_sets_of_one_name_never_share_a_table() -> None:
    two_folders()
    computed(*OWN, "dataset.clean=setA/clean")
    computed(*OWN, "dataset.clean=setB/clean")
    computed(*OWN, "method=nlm", "dataset.clean=setB/clean")
    tables = {(result.method, result.dataset) for result in summarise(read_study(Path("runs/default")))}
    names = {name for _, name in tables}
    assert len(names) == 2
    assert all(name.startswith("clean #") for name in names)
    [of_nlm] = [name for method, name in tables if method == "nlm"]
    assert ("noisy", of_nlm) in tables


def test_two_noisy_sides_of_one_clean_set_never_share_a_table() -> None:
    two_folders()
    for iso in ("iso100", "iso3200"):
        for name in "ab":
            save(f"{iso}/noisy/{name}.png", pixels(ord(name) + len(iso)))
    pairs = (*OWN, "noise=real", "dataset.clean=setA/clean")
    with pytest.raises(ConfigError, match=r"called noisy.*dataset\.name=NAME"):
        planned(*pairs, "dataset.noisy=iso100/noisy,iso3200/noisy")
    computed(*pairs, "dataset.noisy=iso100/noisy")
    computed(*pairs, "dataset.noisy=iso100/noisy", "seed=1", "method=tv")
    assert {result.dataset for result in summarise(read_study(Path("runs/default")))} == {"noisy"}, "a seed is no other set"
    computed(*pairs, "dataset.noisy=iso3200/noisy", "method=nlm", "method.sigma=40")
    tables = {result.method.partition("[")[0]: result.dataset for result in summarise(read_study(Path("runs/default")))}
    assert tables["noisy"] == tables["tv"] != tables["nlm"]
    assert all(name.startswith("noisy #") for name in tables.values())


def test_one_set_keeps_its_plain_name_in_tables() -> None:
    add_cell("noisy", {"a": 20.0, "b": 21.0})
    add_cell("nlm", {"a": 25.0})  # fewer images of the same set
    assert {result.dataset for result in summarise(read_study(STUDY))} == {"set"}
    add_cell("nlm", {"x": 25.0}, setup="other")
    assert len({result.dataset for result in summarise(read_study(STUDY))}) == 2


# --------------------------------------------------------------------------------------------------- scenes (25.4)


def test_scenes_come_from_a_pattern_and_from_equal_pixels() -> None:
    for seed, name in enumerate(("p_1", "p_2", "q_1", "q_2")):
        save(f"set/{name}.png", pixels(seed))
    plain, told = Folder(clean="set"), Folder(clean="set", scene="([^_]+)_.*")
    assert [plain.scene(index) for index in range(4)] == ["p_1", "p_2", "q_1", "q_2"]
    assert [told.scene(index) for index in range(4)] == ["p", "p", "q", "q"]
    save("set/q_2.png", pixels(0))
    assert [Folder(clean="set").scene(index) for index in range(4)] == ["p_1", "p_2", "q_1", "p_1"]
    with pytest.raises(ValueError, match=r"dataset\.scene=x\(\.\) does not fit.*p_1"):
        Folder(clean="set", scene="x(.)").scene(0)
    for wrong in ("([", "abc"):
        with pytest.raises(ValueError, match=r"dataset\.scene"):
            Folder(clean="set", scene=wrong)


def test_names_like_cuts_are_remarked_until_a_scene_is_said() -> None:
    for seed, name in enumerate(("p_1", "p_2", "q_1", "q_2")):
        save(f"set/{name}.png", pixels(seed))
    assert "p_1, p_2 look like cuts of one photograph" in said(Folder(clean="set"))
    assert "cuts" not in said(Folder(clean="set", scene="(.)_."))


def test_images_of_one_folder_each_are_remarked_until_a_scene_is_said() -> None:
    for seed, name in enumerate(("s1/0001", "s1/0002", "s2/0001")):
        save(f"set/{name}.png", pixels(seed))
    told = said(Folder(clean="set", recursive=True))
    assert "s1/0001, s1/0002 lie in one folder" in told
    assert "dataset.scene='(.*)/.*'" in told
    assert "folder" not in said(Folder(clean="set", recursive=True, scene="(.*)/.*"))
    assert "folder" not in said(Folder(clean="set/s1"))


@pytest.mark.parametrize(
    ("stems", "cut"),
    [
        (["a_1", "a_2", "b_1"], ["a_1", "a_2"]),
        (["scene-01", "scene-02"], ["scene-01", "scene-02"]),
        (["photo_1", "photo_2"], ["photo_1", "photo_2"]),
        (["IMG_0001", "IMG_0002"], []),
        (["kodim01", "kodim02"], []),
        (["a_1", "b_1"], []),
        (["0001_01", "0001_02", "0002_01"], ["0001_01", "0001_02"]),
    ],
)
def test_what_looks_like_cuts(stems: list[str], cut: list[str]) -> None:
    assert looks_cut(stems) == cut


def test_a_scene_said_later_reaches_rows_that_are_done_and_changes_nothing_else() -> None:
    for seed, name in enumerate(("p_1", "p_2", "q_1")):
        save(f"set/{name}.png", pixels(seed))
    [before] = computed(*OWN, "dataset.clean=set")
    first = rows_of(before)
    [job] = planned(*OWN, "dataset.clean=set", "dataset.scene='(.)_.'")
    assert job.cell.key == before.key
    assert sweep.is_left(job)
    [after] = computed(*OWN, "dataset.clean=set", "dataset.scene='(.)_.'")
    rows = rows_of(after)
    assert [row["scene"] for row in first] == ["p_1", "p_2", "q_1"]
    assert [row["scene"] for row in rows] == ["p", "p", "q"]
    assert [{**row, "scene": ""} for row in rows] == [{**row, "scene": ""} for row in first]
    [job] = planned(*OWN, "dataset.clean=set", "dataset.scene='(.)_.'")
    assert not sweep.is_left(job)


# ---------------------------------------------------------------------------------------------- absurd inputs (25.10)


def test_a_clean_folder_given_as_noisy_is_remarked() -> None:
    for name in "ab":
        save(f"set/{name}.png", pixels(ord(name)))
    assert "every noisy image equals its clean one" in said(Folder(clean="set", noisy="set"), Real())


def test_one_equal_pair_is_named() -> None:
    for name in "ab":
        save(f"x/clean/{name}.png", pixels(ord(name)))
        save(f"x/noisy/{name}.png", pixels(ord(name) + (name == "a")))
    told = said(Folder(clean="x/clean", noisy="x/noisy"), Real())
    assert "noisy and clean are equal" in told
    assert told.endswith("every mean: b")


@pytest.mark.parametrize("noise", [Poisson(lam=30.0), PoissonGaussian(lam=30.0, sigma=0.0)])
def test_a_black_photograph_under_photon_noise_is_named(noise: NoiseModel) -> None:
    save("set/night.png", np.zeros((24, 24, 3), np.uint8))
    save("set/day.png", pixels())
    assert "night" in said(Folder(clean="set"), noise)
    assert "day" not in said(Folder(clean="set"), noise)
    assert "night" not in said(Folder(clean="set"), PoissonGaussian(lam=30.0, sigma=5.0))


def test_a_sigma_meant_for_the_unit_range_is_remarked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--plan", "method=noisy", "noise=gaussian", "noise.sigma=0.1"]) == 0
    assert "0.1 of [0, 1] is 25.5" in capsys.readouterr().err
    assert main(["run", "--plan", "method=noisy", "noise=gaussian", "noise.sigma=1"]) == 0
    assert "note" not in capsys.readouterr().err


def test_an_image_that_cannot_be_used_is_named_before_anything_is_computed() -> None:
    save("set/a.png", pixels())
    save("set/gray.png", pixels(0, 24, 1))
    (Path("set") / "broken.png").write_bytes(b"x")
    told = said(Folder(clean="set"))
    assert "2 files cannot be used" in told
    assert "broken.png" in told
    assert "gray.png" in told


# ------------------------------------------------------------------------------------- second, recursive, gray (25.16)


def noisy_pairs() -> dict[str, np.ndarray]:
    stored = {}
    for name in "ab":
        for side, seed in (("noisy", 0), ("second", 1)):
            stored[f"{side}/{name}"] = pixels(ord(name) + 50 * seed, 32)
            save(f"{side}/{name}.png", stored[f"{side}/{name}"])
    return stored


def test_noise2noise_is_trained_on_second_images_of_one_s_own() -> None:
    stored = noisy_pairs()
    images = Folder(noisy="noisy", second="second")
    data = DataModule(images, Real(), 0, train=TrainingData(images, Real(), Training(2, 8, 4, "fixed"), "noisy"))
    steps = data.train_dataloader().dataset
    batch = data._training_batch(steps.step(0))  # type: ignore[attr-defined]
    assert batch.target is not None
    planes = {name: torch.from_numpy(image).permute(2, 0, 1) / 255 for name, image in stored.items()}

    def places(patch: torch.Tensor, side: str) -> set[tuple[str, int, int]]:
        found = set()
        for name, plane in planes.items():
            windows = plane.unfold(1, 8, 1).unfold(2, 8, 1)
            same = (windows - patch[:, None, None]).abs().amax(dim=(0, 3, 4)) < 1e-6
            found |= {(name.removeprefix(side), int(top), int(left)) for top, left in same.nonzero() if name.startswith(side)}
        return found

    for noisy, target in zip(batch.noisy, batch.target, strict=True):
        assert places(noisy, "noisy") == places(target, "second") != set()


def test_second_images_train_noise2noise_from_the_command_line() -> None:
    noisy_pairs()
    own = ("method=noise2noise", "budget=smoke", "dataset=folder", "dataset.noisy=noisy", "noise=real", "training.patch=16")
    without = computed(*own)
    assert without[0].state == "skipped"
    assert "train_set.second=FOLDER" in without[0].status()["reason"]
    [cell] = computed(*own, "dataset.second=second")
    assert cell.state == "done", cell.status()


def test_second_images_pair_with_noisy_ones() -> None:
    noisy_pairs()
    with pytest.raises(ValueError, match=r"dataset\.second=second goes with dataset\.noisy"):
        Folder(clean="noisy", second="second")
    save("second/c.png", pixels())
    with pytest.raises(ValueError, match=r"dataset\.second=second pair by stem; without a partner: c"):
        Folder(noisy="noisy", second="second")


def test_folders_of_scenes_are_read_where_it_is_asked() -> None:
    for scene in ("s1", "s2"):
        save(f"set/{scene}/a.png", pixels(int(scene[1])))
    with pytest.raises(ValueError, match=r"dataset\.recursive=true.*s1"):
        Folder(clean="set")
    folder = Folder(clean="set", recursive=True)
    assert folder.names == ("s1/a", "s2/a")
    [cell] = computed(*OWN, "dataset.clean=set", "dataset.recursive=true", "dataset.scene='(.*)/.*'")
    assert cell.state == "done", cell.status()
    assert [(row["image"], row["scene"]) for row in rows_of(cell)] == [("s1/a", "s1"), ("s2/a", "s2")]


def test_colour_photographs_become_gray_where_one_channel_is_asked() -> None:
    save("set/a.png", pixels(0))
    save("set/b.png", pixels(1, 24, 1))
    folder = Folder(clean="set", channels=1)
    np.testing.assert_array_equal(folder.clean(0), gray_of(pixels(0)))
    np.testing.assert_array_equal(folder.clean(1), pixels(1, 24, 1))


# --------------------------------------------------------------------------------------- looked through (25.16)


def smooth(seed: int, side: int = 64) -> np.ndarray:
    """An image with structure of all sizes, as photographs have."""
    rng = np.random.default_rng(seed)
    layers = [np.kron(rng.uniform(0, 1, (size, size)), np.ones((side // size, side // size))) for size in (4, 8, 16, 32)]
    return (255 * np.mean(layers, axis=0)[..., None] * np.ones(3)).astype(np.uint8)


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -2), (3, 5)])
@pytest.mark.parametrize("sigma", [5, 40])
def test_a_pair_s_shift_is_found_under_noise(shift: tuple[int, int], sigma: int) -> None:
    large = smooth(0, 128).astype(float)
    clean = large[16:112, 16:112]
    moved = large[16 - shift[0] : 112 - shift[0], 16 - shift[1] : 112 - shift[1]]
    noisy = moved + np.random.default_rng(1).normal(0, sigma, moved.shape)
    assert shift_of(noisy / 255, clean / 255) == shift


def test_data_verify_tells_what_makes_a_set_worse_than_it_looks(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 40, 3, dtype=np.uint8)
    for name, seed in (("fine", 0), ("moved", 1), ("lossy", 2)):
        clean = smooth(seed) // 2 + colour
        noisy = np.roll(clean, 2, axis=0) if name == "moved" else clean
        save(f"x/clean/{name}.{'jpg' if name == 'lossy' else 'png'}", clean)
        save(f"x/noisy/{name}.png", np.clip(noisy + rng.normal(0, 5, noisy.shape), 0, 255).astype(np.uint8))
    gray = smooth(3) // 2
    save("x/clean/gray.png", gray)
    save("x/noisy/gray.png", gray + rng.integers(0, 9, (64, 64, 1), dtype=np.uint8))
    assert main(["data", "verify", "x"]) == 0
    told = capsys.readouterr().out
    assert "clean images stored as JPEG, whose losses every method is measured against: lossy\n" in told
    assert "gray stored as colour, three equal channels: gray;" in told
    assert "shifted against each other, noisy against clean in rows and columns: moved by 2, 0\n" in told


def test_no_pair_of_the_real_sets_is_called_shifted(data_root: Path) -> None:
    images = Standard("polyu", str(data_root), crop=256)
    found = [images.names[i] for i in range(0, 100, 5) if shift_of(images.noisy(i) / 255, images.clean(i) / 255) != (0, 0)]
    assert not found
