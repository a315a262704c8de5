"""Named networks: kept from a finished cell with a card, tested by name, used on photographs."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from denoisebench import api, cli
from denoisebench.config.jobs import job_of
from denoisebench.config.named_weights import settings_of
from denoisebench.photographs import how, work
from denoisebench.photographs.reading import read_photo
from denoisebench.ranking import Ranked, rank
from denoisebench.store.cell import Cell
from denoisebench.store.finished import read_finished
from denoisebench.store.named import every_name, named
from denoisebench.store.pictures import write_png
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import Row
from denoisebench.store.trainings import weights_in
from denoisebench.study import naming

TRAINED = (
    "run", "-m", "method=neighbor2neighbor", "budget=smoke", "training.steps=2", "dataset.crop=64", "dataset.first=2",
    "trainer=cpu", "noise=gaussian25,gaussian50", "train_noise=gaussian25", "study=taught",
)  # fmt: skip
TESTED = ("dataset.crop=64", "dataset.first=2", "trainer=cpu", "noise=gaussian25", "study=tested")
ABOUT = ("--about", "for tests", "--not-for", "anything else", "--data-licence", "public domain")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a study of one training and two cells, and its network under the name `desk`."""
    place = tmp_path_factory.mktemp("named")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("DENOISEBENCH_NETWORKS", str(place / "networks"))
        assert main(*TRAINED) == 0
        cell = next(iter(read_plan(Path("runs/taught")).values()))
        assert main("weights", "add", "desk", str(cell.folder), *ABOUT) == 0
        yield place


@pytest.fixture(autouse=True)
def _there(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept)
    monkeypatch.setenv("DENOISEBENCH_NETWORKS", str(kept / "networks"))


def main(*arguments: str) -> int:
    return cli.main(arguments)


def rows(study: str) -> list[Row]:
    return [row for cell in read_plan(Path("runs") / study).values() for row in read_finished(cell.folder)]


def said(capsys: Any, *arguments: str) -> str:
    """What a command that is refused says."""
    capsys.readouterr()
    assert main(*arguments) == 2
    return capsys.readouterr().err


def test_weights_are_stored_in_half_precision_and_nothing_else_of_them_changes() -> None:
    whole = load_file(weights_in(next(iter(read_plan(Path("runs/taught")).values())).training))
    halved = load_file(named("desk").file)
    assert whole.keys() == halved.keys()
    for name, value in whole.items():
        assert np.array_equal(halved[name].numpy(), value.numpy().astype(np.float16))
    assert named("desk").file.stat().st_size < 0.6 * sum(4 * value.numel() for value in whole.values()) + 20_000


def test_the_card_tells_what_the_rows_tell() -> None:
    card, own = named("desk").card, rows("taught")
    assert (card["method"], card["channels"], card["steps"]) == ("neighbor2neighbor", 3, 2)
    assert card["settings"]["features"] == 8
    assert (card["trained_on"], card["data_licence"], card["not_for"]) == (own[0]["trained_on"], "public domain", "anything else")
    assert 0 <= card["storage_difference_db"] < 0.01
    for score in card["scores"]:
        same = [float(row["psnr_db"]) for row in own if (row["noise"], row["protocol"]) == (score["noise"], score["protocol"])]
        assert score["psnr_db"]["mean"] == pytest.approx(np.mean(same))
        assert score["psnr_db"]["low"] is None  # two photographs hold no interval
    assert {score["noise"] for score in card["scores"]} == {"gaussian25", "gaussian50"}


def test_rows_by_name_are_those_of_the_training_up_to_rounding() -> None:
    assert main("run", "weights=desk", *TESTED) == 0
    found = rows("tested")
    expected = {row["image"]: float(row["psnr_db"]) for row in rows("taught") if row["noise"] == "gaussian25"}
    assert {row["image"]: float(row["psnr_db"]) for row in found} == pytest.approx(expected, abs=0.02)
    row = found[0]
    assert row["method"] == "neighbor2neighbor[weights=desk]"
    assert row["weights"] == f"desk {named('desk').card['sha256'][:12]}"
    assert (row["trained_on"], row["train_steps"]) == (named("desk").card["trained_on"], "2")
    assert "weights_given" not in row["tags"]
    assert main("run", "weights=desk", "method=neighbor2neighbor", *TESTED) == 0
    assert len(read_plan(Path("runs/tested"))) == 1


@pytest.mark.parametrize(("channels", "lr"), [(3, 3e-4), (4, 1e-4)])
def test_settings_that_the_data_set_chooses_are_kept_as_numbers(channels: int, lr: float) -> None:
    own = ["method=neighbor2neighbor", "budget=paper", f"dataset.channels={channels}", "dataset=folder", "noise=real"]
    assert settings_of(own, "neighbor2neighbor") == {"lr": lr}
    assert settings_of([*own, "method.features=8"], "neighbor2neighbor") == {"lr": lr, "features": 8}


def test_what_a_name_cannot_be_given_with(capsys: Any) -> None:
    assert "did you mean desk" in said(capsys, "run", "weights=dsk", *TESTED)
    assert "weights=desk are of method=neighbor2neighbor, not of nlm" in said(
        capsys, "run", "weights=desk", "method=nlm", *TESTED
    )
    assert "are for images of 3 channels" in said(capsys, "run", "weights=desk", "dataset.channels=1", *TESTED)
    assert "give one of the two" in said(capsys, "run", "weights=desk", "checkpoint=x", *TESTED)
    assert "would be of a training" in said(capsys, "run", "weights=desk", "training.steps=3", *TESTED, "study=refused")
    assert "give one of the two" in said(capsys, "denoise", "x.png", "--weights", "desk", "--checkpoint", "x")


def test_what_cannot_be_kept(capsys: Any) -> None:
    taught = next(iter(read_plan(Path("runs/taught")).values()))
    assert "is there already" in said(capsys, "weights", "add", "desk", str(taught.folder), *ABOUT)
    assert "is no name" in said(capsys, "weights", "add", "../desk", str(taught.folder), *ABOUT)
    assert "is no cell of a study" in said(capsys, "weights", "add", "other", "runs/taught", *ABOUT)
    assert main("run", "method=noisy", *TESTED, "study=untaught") == 0
    other = next(iter(read_plan(Path("runs/untaught")).values()))
    assert "trained no network" in said(capsys, "weights", "add", "other", str(other.folder), *ABOUT)
    assert every_name() == ["desk"]


def test_listed_shown_and_verified(capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main("weights", "list") == 0
    assert "neighbor2neighbor" in capsys.readouterr().out
    assert main("weights", "card", "desk") == 0
    printed = capsys.readouterr().out
    assert "anything else" in printed
    assert "gaussian50" in printed
    assert main("weights", "verify") == 0
    monkeypatch.setenv("DENOISEBENCH_NETWORKS", str(shutil.copytree("networks", tmp_path / "other").resolve()))
    with named("desk").file.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\1")
    assert main("weights", "verify", "desk") == 1
    assert "is not the file of its card" in capsys.readouterr().out
    assert "is not the file of its card" in said(capsys, "run", "weights=desk", *TESTED, "study=damaged")
    (named("desk").folder / "card.json").write_text('{"method": 3}')
    assert "is damaged" in said(capsys, "weights", "card", "desk")
    monkeypatch.setenv("DENOISEBENCH_NETWORKS", str(tmp_path / "none"))
    assert main("weights", "list") == 0
    assert "weights add" in capsys.readouterr().out


def test_photographs_are_denoised_by_name(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (72, 64, 3), np.uint8)
    write_png(tmp_path / "photo.png", pixels / np.float32(255), bits=8)
    assert main("denoise", str(tmp_path / "photo.png"), "--weights", "desk") == 0
    expected = api.load(named("desk").file)(pixels)
    assert np.array_equal(read_photo(tmp_path / "photo_denoised.png").pixels, expected)
    monkeypatch.setattr(how, "CANDIDATES", ("noisy",))
    monkeypatch.setattr(work, "rank", lambda image, methods, seed: [Ranked(name, 0) for name in reversed(methods)])
    assert main("denoise", str(tmp_path / "photo.png"), "--method", "auto", "--suffix", "_auto") == 0
    assert "by weights=desk" in capsys.readouterr().err
    assert np.array_equal(read_photo(tmp_path / "photo_auto.png").pixels, expected)


def test_a_named_network_is_ranked_beside_methods() -> None:
    image = np.random.default_rng(1).random((64, 64, 3), np.float32)
    ranked = rank(image, ["noisy", "weights=desk"])
    assert {one.method for one in ranked} == {"noisy", "weights=desk"}
    assert all(np.isfinite(one.value) for one in ranked)


# --- What a cell may be tested on, and how it may be named ---------------------------------------------------------


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another shelf, so that `desk` stays the only network on the shared one."""
    monkeypatch.setenv("DENOISEBENCH_NETWORKS", str(tmp_path / "shelf"))
    return tmp_path / "shelf"


def pictures(folder: Path, first: int = 0) -> Path:
    """A folder of two images of 72 x 72, named by their numbers from `first` on."""
    folder.mkdir()
    for number in (first, first + 1):
        write_png(folder / f"{number}.png", np.random.default_rng(number).random((72, 72, 3), np.float32), bits=8)
    return folder


def cells(study: str) -> list[Cell]:
    return list(read_plan(Path("runs") / study).values())


LEARNS = ("method=neighbor2neighbor", "budget=smoke", "training.steps=2", "trainer=cpu")


@pytest.mark.usefixtures("shelf")
def test_a_sibling_without_clean_images_is_not_compared_and_no_hindrance(tmp_path: Path, capsys: Any) -> None:
    learns = (*LEARNS, "dataset.crop=64", "train_set=photos", "train_set.part=train", "train_noise=gaussian25", "study=mixed")
    noisy = pictures(tmp_path / "noisy")
    assert main("run", *learns, "dataset=photos", "dataset.first=2", "noise=gaussian25") == 0
    assert main("run", *learns, "dataset=folder", f"dataset.noisy={noisy}", "noise=real") == 0
    scored, unscored = cells("mixed")
    assert scored.train_key == unscored.train_key
    assert main("weights", "add", "mixed", str(scored.folder), *ABOUT) == 0
    card = named("mixed").card
    assert 0 <= card["storage_difference_db"] < 0.01
    assert {score["dataset"] for score in card["scores"] if score["psnr_db"]["mean"] is None} == {unscored.dataset}
    assert {score["dataset"] for score in card["scores"]} == {scored.dataset, unscored.dataset}
    assert f"{unscored.dataset} has no clean images" in said(capsys, "weights", "add", "other", str(unscored.folder), *ABOUT)
    assert every_name() == ["mixed"]


@pytest.mark.usefixtures("shelf")
def test_a_network_of_raw_planes_is_compared_as_its_rows_are_scored(tmp_path: Path) -> None:
    tested, taught = pictures(tmp_path / "tested"), pictures(tmp_path / "taught", first=2)
    own = ("dataset=folder", f"dataset.clean={tested}", "dataset.unprocess=0", "noise=raw", "protocol=[developed]")
    learns = (*LEARNS, "method.features=4", "train_set=folder", f"train_set.clean={taught}", "training.patch=32")
    assert main("run", *own, *learns, "study=raw") == 0
    [cell] = cells("raw")
    assert main("weights", "add", "raw", str(cell.folder), *ABOUT) == 0
    assert named("raw").card["channels"] == 4
    found = list(naming._psnr(job_of(cell.overrides), weights_in(cell.training)))
    assert found == pytest.approx([float(row["psnr_db"]) for row in rows("raw")], abs=1e-3)


def test_a_mean_is_over_photographs_as_its_interval_is() -> None:
    """The mean over all rows is above 39 here, far outside the interval."""
    psnrs = {f"{number}": [20.0 + number / 100] for number in range(24)} | {"cut": [40.0] * 500}
    found: Any = naming._mean([{"scene": scene, "psnr_db": one} for scene, own in psnrs.items() for one in own], "psnr_db")
    assert found["mean"] == pytest.approx(np.mean([own[0] for own in psnrs.values()]))
    assert found["low"] <= found["mean"] <= found["high"]
    two = [{"scene": scene, "psnr_db": one} for scene, one in (("a", 1.0), ("a", 1.0), ("b", 3.0), ("c", None))]
    assert naming._mean(two, "psnr_db") == {"mean": 2.0, "low": None, "high": None}


@pytest.mark.parametrize("up", [0, 1, 4])
def test_a_cell_is_found_from_any_folder(up: int, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cells("taught")[0].folder.resolve()
    here = [folder, *folder.parents][up]
    monkeypatch.chdir(here)
    assert main("weights", "add", "near", str(folder.relative_to(here)), *ABOUT) == 0
    assert (shelf / "near").is_dir()


@pytest.mark.usefixtures("shelf")
def test_a_link_to_a_cell_or_to_its_study_is_followed(tmp_path: Path) -> None:
    cell = cells("taught")[0]
    (tmp_path / "cell").symlink_to(cell.folder.resolve())
    assert main("weights", "add", "cell", str(tmp_path / "cell"), *ABOUT) == 0
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree("runs/taught", tmp_path / "elsewhere" / "kept")
    Path("runs/linked").symlink_to(tmp_path / "elsewhere" / "kept")
    assert main("weights", "add", "study", str(Path("runs/linked") / cell.folder.relative_to("runs/taught")), *ABOUT) == 0


@pytest.mark.parametrize("place", [".", "..", "/"])
def test_a_folder_that_is_no_cell_is_refused(place: str, capsys: Any) -> None:
    assert "is no cell of a study" in said(capsys, "weights", "add", "other", place, *ABOUT)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (("method=noisy",), "noisy learns nothing"),
        (("method=zsn2n", "method.steps=2", "budget=smoke"), "zsn2n learns anew from each image"),
        (("weights=desk",), "its weights were given"),
    ],
)
def test_why_a_cell_has_no_network_to_keep(settings: tuple[str, ...], why: str, tmp_path: Path, capsys: Any) -> None:
    own = f"study={tmp_path.name}"
    assert main("run", *settings, *TESTED[:-1], own) == 0
    [cell] = cells(tmp_path.name)
    found = said(capsys, "weights", "add", "other", str(cell.folder), *ABOUT)
    assert "trained no network" in found
    assert why in found
