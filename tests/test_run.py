"""Studies from overrides to rows: done once, resumed, failed, skipped, scored again."""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from denoisebench import config
from denoisebench.datasets.folder import Folder
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.reading import gray_of
from denoisebench.methods.noisy import Noisy
from denoisebench.networks.weight_files import read_file
from denoisebench.scoring.evaluator import Evaluator
from denoisebench.store.cell import Cell
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import Row
from denoisebench.study import cell as study_cell
from denoisebench.study.cell import compute
from jobs import METHODS, computed, one, planned, quicker

SMALL = ("dataset.crop=48", "budget=smoke", "trainer=cpu", "pictures=1")
COSTS = ("seconds", "train_seconds", "peak_mib", "commit")


def study(*overrides: str) -> list[Cell]:
    return computed(*SMALL, *overrides)


def rows_of(cell: Cell) -> list[Row]:
    with (cell.folder / "rows.csv").open() as file:
        return list(csv.DictReader(file))


def without_costs(rows: Sequence[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in COSTS} for row in rows]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_from_overrides_to_rows(method: str) -> None:
    [cell] = study(f"method={method}", *quicker(method))
    assert cell.status() == {"state": "done", "images": 3}
    rows = rows_of(cell)
    assert [row["image"] for row in rows] == ["astronaut", "chelsea", "rocket"]
    assert all(np.isfinite(float(row["psnr_db"])) and -1 < float(row["ssim"]) < 1 for row in rows)
    assert {row["method"].partition("[")[0] for row in rows} == {method}
    assert {path.name for path in (cell.folder / "images").iterdir()} == {"astronaut.png", "chelsea.png", "rocket.png"}
    assert [path.name for path in (cell.folder / "pictures").iterdir()] == ["astronaut.png"]
    manifest = json.loads((cell.folder / "manifest.json").read_text())
    assert {"commit", "versions", "hardware", "durations_s"} <= manifest.keys()
    assert not (cell.folder / "rows.part.jsonl").exists()


def test_rows_say_how_a_method_learned() -> None:
    noisy, learned, bound = study("method=noisy,neighbor2neighbor,noise2clean")
    assert {key: rows_of(noisy)[0][key] for key in ("learns", "trained_on", "selection", "budget", "tags")} == {
        "learns": "nothing", "trained_on": "", "selection": "", "budget": "", "tags": "",
    }  # fmt: skip
    row = rows_of(learned)[0]
    assert (row["learns"], row["trained_on"], row["train_noise"]) == ("dataset", "photos-train", "gaussian25 fresh")
    assert (row["selection"], row["budget"], row["tags"], row["train_steps"]) == ("last", "smoke", "", "3")
    assert rows_of(bound)[0]["tags"] == "supervised"


def test_a_told_sigma_and_an_estimated_one_are_told_apart() -> None:
    [told] = study("method=nlm")
    [estimated] = study("method=nlm", "method.sigma=null")
    assert (told.label, rows_of(told)[0]["tags"]) == ("nlm", "oracle_sigma")
    assert (estimated.label, rows_of(estimated)[0]["tags"]) == ("nlm[sigma=null]", "")


def test_every_method_meets_the_same_noisy_pixels() -> None:
    cells = study("method=noisy,nlm,neighbor2neighbor")
    assert len({tuple(row["noisy_sha"] for row in rows_of(cell)) for cell in cells}) == 1
    [other] = study("method=noisy", "seed=1")
    assert not {row["noisy_sha"] for row in rows_of(other)} & {row["noisy_sha"] for row in rows_of(cells[0])}


def test_a_finished_cell_is_not_computed_again_unless_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    compute = study_cell.computed
    monkeypatch.setattr(study_cell, "computed", lambda *args: computed.append(1) or compute(*args))
    for overrides, count in (((), 1), ((), 1), (("force=true",), 2), (("study=other",), 3)):
        study("method=noisy", *overrides)
        assert len(computed) == count


def test_one_training_serves_all_test_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    study("method=neighbor2neighbor")
    monkeypatch.setattr(torch.Tensor, "backward", lambda *args, **kwargs: pytest.fail("it trained again"))
    first, second = study("method=neighbor2neighbor", "dataset.crop=48,33")
    assert first.train_key == second.train_key
    assert first.key != second.key
    assert [cell.state for cell in (first, second)] == ["done", "done"]


@pytest.mark.parametrize("fail_at", [0, 1, 2])
def test_a_test_resumed_equals_a_test_undisturbed(fail_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    [undisturbed] = study("method=noisy", "study=undisturbed", "repeats=2")
    seen: list[str] = []
    finish = Evaluator._finish_image

    def failing(self: Evaluator, one: Any) -> None:
        seen.append(one.told["image"])
        if len(seen) == fail_at + 1:
            raise RuntimeError("killed")
        finish(self, one)

    monkeypatch.setattr(Evaluator, "_finish_image", failing)
    [cell] = study("method=noisy", "repeats=2")
    assert cell.state == "failed"
    assert "killed" in cell.traceback
    study("method=noisy", "repeats=2")
    assert len(seen) == 6 + 1, "finished images were computed again"
    expected = [{**row, "study": "default"} for row in without_costs(rows_of(undisturbed))]
    assert without_costs(rows_of(cell)) == expected


def test_a_test_resumed_with_another_network_denoises_all_images_with_that_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finish = Evaluator._finish_image

    def failing(self: Evaluator, one: Any) -> None:
        if one.told["image"] == "chelsea":
            raise RuntimeError("killed")
        finish(self, one)

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "_finish_image", failing)
        [cell] = study("method=neighbor2neighbor")
    assert cell.state == "failed"
    weights = cell.training / "weights.safetensors"
    with safe_open(weights, "pt") as file:
        about = file.metadata()
    save_file({name: 1.5 * tensor for name, tensor in load_file(weights).items()}, weights, about)
    [resumed] = study("method=neighbor2neighbor")
    assert "its network was trained again after 1 image had been denoised" in " ".join(capsys.readouterr().err.split())
    rows = rows_of(resumed)
    assert [row["image"] for row in rows] == ["astronaut", "chelsea", "rocket"]
    shutil.rmtree(resumed.folder)
    [anew] = study("method=neighbor2neighbor")
    assert without_costs(rows_of(anew)) == without_costs(rows)


def test_a_network_chosen_by_another_draw_of_validation_noise_is_another() -> None:
    own = ("method=neighbor2neighbor", "dataset=folder", "noise=gaussian25", "train_set=photos", "dataset.clean=set")
    Path("set").mkdir()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save("set/a.png")
    oracle = ("training.selection=oracle", "validation.every=100")
    keys = [[one(*own, *more, f"dataset.name={name}").cell.train_key for name in ("a", "b")] for more in ((), oracle)]
    assert keys[0][0] == keys[0][1]
    assert keys[1][0] != keys[1][1], "its noise is drawn by the name of the set"


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("[psnr,ssim]", "[psnr,ssim,ciede2000]"),
        ("[psnr,ssim,ciede2000]", "[psnr,ssim]"),
        ("[psnr,ssim]", "[psnr,ssim,residual_std]"),
    ],
)
def test_a_test_resumed_by_other_measures_has_them_of_all_images(
    first: str, then: str, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    [undisturbed] = study("method=noisy", "study=undisturbed", f"measures={then}")
    finish, seen = Evaluator._finish_image, []

    def failing(self: Evaluator, one: Any) -> None:
        seen.append(one.told["image"])
        if len(seen) == 3:
            raise RuntimeError("killed")
        finish(self, one)

    monkeypatch.setattr(Evaluator, "_finish_image", failing)
    [cell] = study("method=noisy", f"measures={first}")
    assert cell.state == "failed"
    if gone:
        for kept in cell.folder.glob("images/*.png"):
            kept.unlink()
    study("method=noisy", f"measures={then}")
    assert len(seen) == (6 if gone or "residual" in then else 4), "finished images were computed again"
    expected = [{**row, "study": "default"} for row in without_costs(rows_of(undisturbed))]
    found = without_costs(rows_of(cell))
    measured = [[float(row.pop(name, 0)) for name in ("ciede2000", "residual_std")] for row in [*found, *expected]]
    assert measured[:3] == [pytest.approx(values) for values in measured[3:]]
    assert found == expected


def test_a_torn_last_line_of_an_interrupted_test_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    [undisturbed] = study("method=noisy", "study=undisturbed")
    [job] = planned(*SMALL, "method=noisy")
    cell = job.cell
    lines = [
        "[" + json.dumps({**row, "study": "default", "repeat": 0, "psnr_db": 1.0, "seconds": 1.0}) + "]"
        for row in rows_of(undisturbed)
    ]
    cell.folder.mkdir(parents=True)
    (cell.folder / "rows.part.jsonl").write_text(lines[0] + "\n" + lines[1][:100])
    compute(job)
    assert [row["image"] for row in rows_of(cell)] == ["astronaut", "chelsea", "rocket"]


def photos_in(folder: Path, *names: str, size: tuple[int, int] = (40, 30), channels: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        rng = np.random.default_rng(len(name))
        pixels = rng.integers(0, 256, (*size, channels), dtype=np.uint8)
        Image.fromarray(pixels.squeeze()).save(folder / f"{name}.png")
    return folder


FOLDER = ("budget=smoke", "trainer=cpu", "dataset=folder", "noise=real")


def folder_study(*overrides: str) -> list[Cell]:
    return computed(*FOLDER, *overrides)


def test_own_noisy_photos_are_denoised_without_a_score(tmp_path: Path) -> None:
    folder = photos_in(tmp_path / "holiday", "a", "bb", "ccc", size=(64, 64))
    cells = folder_study("method=noisy,nlm,neighbor2neighbor", f"dataset.noisy={folder}")
    for cell in cells:
        rows = rows_of(cell)
        assert (cell.state, cell.dataset, len(rows)) == ("done", "holiday", 3)
        assert {(row["psnr_db"], row["ssim"], row["status"]) for row in rows} == {("", "", "unscored")}
        assert len(list((cell.folder / "images").iterdir())) == 3
    assert "transductive" in rows_of(cells[2])[0]["tags"]


def test_pairs_are_scored_and_their_noise_is_theirs(tmp_path: Path) -> None:
    clean, noisy = photos_in(tmp_path / "clean", "a"), photos_in(tmp_path / "noisy", "a")
    [cell] = folder_study("method=noisy", f"dataset.noisy={noisy}", f"dataset.clean={clean}")
    assert rows_of(cell)[0]["psnr_db"] == "inf"
    assert float(rows_of(cell)[0]["ssim"]) == 1


def test_gray_images_train_a_gray_network(tmp_path: Path) -> None:
    folder = photos_in(tmp_path / "gray", "a", "bb", channels=1, size=(48, 48))
    [cell] = folder_study(
        "method=neighbor2neighbor", f"dataset.clean={folder}", "dataset.channels=1", "noise=gaussian25", "training.noise=fixed"
    )
    assert cell.state == "done"
    with pytest.raises(config.ConfigError, match=r"is gray, and this data set is read as RGB.*dataset\.channels"):
        folder_study("method=noisy", f"dataset.clean={folder}", "noise=gaussian25")


def test_nlm_takes_gray_images(tmp_path: Path) -> None:
    folder = photos_in(tmp_path / "gray", "a", channels=1, size=(48, 48))
    [cell] = folder_study("method=nlm", f"dataset.clean={folder}", "dataset.channels=1", "noise=gaussian25")
    assert cell.state == "done"


def test_a_bound_is_not_trained_on_the_clean_test_images(tmp_path: Path) -> None:
    folder = photos_in(tmp_path / "own", "a", size=(48, 48))
    [cell] = folder_study("method=noise2clean", f"dataset.clean={folder}", "noise=gaussian25")
    assert (cell.state, cell.label) == ("skipped", "noise2clean")


def test_scoring_again_uses_the_clean_images_of_its_own_cell(tmp_path: Path) -> None:
    noisy = photos_in(tmp_path / "noisy", "a", size=(32, 32))
    first = photos_in(tmp_path / "first", "a", size=(32, 32))
    second = photos_in(tmp_path / "second", "a", size=(32, 32))
    with Image.open(first / "a.png") as image:
        Image.fromarray(255 - np.asarray(image)).save(second / "a.png")
    for clean in (first, second):
        folder_study("method=noisy", f"dataset.noisy={noisy}", f"dataset.clean={clean}")
    [cell] = folder_study(
        "method=noisy", f"dataset.noisy={noisy}", f"dataset.clean={second}", "protocol=[default,neighbor2neighbor]"
    )
    scores = {row["protocol"]: float(row["psnr_db"]) for row in rows_of(cell)}
    assert scores["neighbor2neighbor"] == pytest.approx(scores["default"], abs=1e-3)


def test_force_trains_again() -> None:
    [cell] = study("method=neighbor2neighbor", "validation.every=2")
    before = (cell.training / "weights.safetensors").stat().st_mtime_ns
    assert (cell.training / "validation.csv").is_file()
    study("method=neighbor2neighbor", "force=true")
    assert (cell.training / "weights.safetensors").stat().st_mtime_ns > before
    assert not (cell.training / "validation.csv").exists(), "a curve of the training before"


def test_impossible_cells_are_skipped_with_the_way_out(tmp_path: Path) -> None:
    folder = photos_in(tmp_path / "noisy", "a", size=(48, 48))
    [synthetic, supervised] = [
        folder_study("method=noisy", f"dataset.noisy={folder}", "noise=gaussian25")[0],
        folder_study("method=noise2clean", f"dataset.noisy={folder}")[0],
    ]
    assert synthetic.state == supervised.state == "skipped"
    assert "noise=real" in synthetic.status()["reason"]
    assert "train_set" in supervised.status()["reason"]
    [unreal] = study("method=noisy", "noise=real")
    assert "gaussian25" in unreal.status()["reason"]


def test_an_image_that_tears_after_planning_fails_its_cell_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos_in(tmp_path / "pictures", "a", "bb")
    whole = (folder / "bb.png").read_bytes()
    (folder / "bb.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(config.ConfigError, match=r"1 file cannot be used: .*bb\.png"):
        folder_study("method=noisy", f"dataset.noisy={folder}")
    monkeypatch.setattr(Folder, "damaged", lambda self: [])
    broken = folder_study("method=noisy", f"dataset.noisy={folder}")
    fine = study("method=noisy")
    assert (broken[0].state, fine[0].state) == ("failed", "done")
    status = broken[0].status()
    assert "bb.png" in status["reason"]
    assert "Traceback" in broken[0].traceback
    (folder / "bb.png").write_bytes(whole)
    [mended] = folder_study("method=noisy", f"dataset.noisy={folder}")
    assert mended.state == "done"


def test_too_small_training_images_name_the_image_and_the_key(tmp_path: Path) -> None:
    folder = photos_in(tmp_path / "tiny", "speck", size=(20, 20))
    with pytest.raises(config.ConfigError, match=r"speck: 20 x 20 is smaller than training\.patch"):
        folder_study("method=neighbor2neighbor", f"dataset.noisy={folder}")


def test_a_disk_that_is_full_leaves_no_half_result(monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    written = []

    def full(self: Path, data: bytes) -> int:
        written.append(self)
        if len(written) == 4:  # the second image: its output goes first
            write(self, data[:10])
            raise OSError(28, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        patch.setattr("denoisebench.scoring.keeper.THREADS", 1)  # one file after another
        [cell] = study("method=noisy")
    assert cell.state == "failed"
    assert "No space left" in cell.status()["reason"]
    assert not [path for path in cell.folder.rglob("*") if "chelsea" in path.name]
    assert not (cell.folder / "rows.csv").exists()
    study("method=noisy")
    assert cell.state == "done"


def test_the_task_says_what_became_of_a_cell() -> None:
    [job] = planned(*SMALL, "method=noisy")
    with FileLock(job.cell.folder / ".lock"):
        assert compute(job) == "busy"
    assert compute(job) == "done"
    assert compute(job) == "done"
    [impossible] = planned(*SMALL, "method=noisy", "noise=real")
    assert compute(impossible) == "skipped"


def test_the_plan_holds_every_cell_ever_asked_for() -> None:
    first = study("method=noisy", "noise=gaussian25,camera")
    second = study("method=nlm")
    plan = read_plan(Path("runs/default"))
    assert set(plan) == {cell.key for cell in [*first, *second]}
    assert all(plan[cell.key].folder == cell.folder for cell in first)


def test_noisy_is_the_identity() -> None:
    noisy = torch.randn(2, 3, 5, 7)
    assert torch.equal(Noisy().denoise(noisy), noisy)


def test_an_equal_setting_said_in_another_way_is_the_same_cell() -> None:
    [first] = study("method=nlm")
    [second] = study("method=nlm", "method.sigma=25")
    assert (second.key, second.folder, second.label) == (first.key, first.folder, first.label)
    assert len(read_plan(Path("runs/default"))) == 1


def test_a_protocol_asked_for_later_gives_what_it_would_have_given_at_once(tmp_path: Path) -> None:
    """To the last bit, on clean images in 8 bit, and in float beyond [0, 1]."""
    import tifffile

    rng = np.random.default_rng(0)
    (tmp_path / "clean").mkdir()
    tifffile.imwrite(tmp_path / "clean" / "a.tif", rng.uniform(-0.2, 1.3, (24, 20, 3)).astype(np.float32), photometric="rgb")
    Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8)).save(tmp_path / "clean" / "b.png")
    own = ("method=nlm", "dataset=folder", f"dataset.clean={tmp_path / 'clean'}", "trainer=cpu", "dataset.white=1")
    [at_once] = computed(*own, "study=once", "protocol=[default,neighbor2neighbor]")
    [later] = computed(*own, "study=later")
    computed(*own, "study=later", "protocol=[neighbor2neighbor]")
    key = lambda row: (row["image"], row["protocol"])  # noqa: E731
    ours, theirs = (sorted(without_costs(rows_of(cell)), key=key) for cell in (later, at_once))
    assert [{**row, "study": "once"} for row in ours] == theirs
    assert len(ours) == 4


def test_a_protocol_without_clipping_is_scored_at_once_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "protocol").mkdir()
    (tmp_path / "protocol" / "raw.yaml").write_text(
        "# @package protocols.raw\n_target_: denoisebench.scoring.protocol.Protocol\nname: raw\nclip: false\n"
    )
    own, _, _ = config.split_flags(["--config-dir", str(tmp_path), "method=noisy", "protocol=[default,raw]", *SMALL])
    [at_once] = computed(*own, "study=once")
    clipped, raw = (float(row["psnr_db"]) for row in rows_of(at_once)[:2])
    assert clipped > raw + 0.1
    [later] = study("method=noisy")
    capsys.readouterr()
    computed(*own)
    assert "outputs are kept clipped" in capsys.readouterr().err
    assert later.state == "done"
    assert {row["protocol"] for row in rows_of(later)} == {"default"}


def test_kept_images_that_are_gone_do_not_end_the_study(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = study("method=noisy,nlm")
    (first.folder / "images" / "chelsea.png").unlink()
    capsys.readouterr()
    study("method=noisy,nlm", "protocol=[neighbor2neighbor]")
    assert "chelsea.png: this kept image is gone; compute its cell again with force=true" in capsys.readouterr().err
    assert {row["protocol"] for row in rows_of(first)} == {"default"}
    assert {row["protocol"] for row in rows_of(second)} == {"default", "neighbor2neighbor"}


def test_a_status_that_cannot_be_written_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patched:
        patched.setattr(Cell, "set_status", lambda *args, **kwargs: (_ for _ in ()).throw(full))
        cells = study("method=noisy,nlm")
        assert {cell.state for cell in cells} == {"planned"}
    assert capsys.readouterr().err.count("could not note it") == 2
    assert {cell.state for cell in study("method=noisy,nlm")} == {"done"}


def test_a_damaged_checkpoint_is_dropped_and_damaged_weights_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    [cell] = study("method=neighbor2neighbor")
    expected = without_costs(rows_of(cell))
    weights = cell.training / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    (cell.folder / "status.json").unlink()
    study("method=neighbor2neighbor")
    assert cell.state == "failed"
    assert f"{weights} is not a valid file of weights" in cell.status()["reason"]
    (cell.training / "training.json").unlink()
    (cell.training / "last.ckpt").write_bytes(b"PK half a checkpoint")
    (cell.training / ".0123.part").write_bytes(b"orphan")
    capsys.readouterr()
    study("method=neighbor2neighbor")
    assert "last.ckpt is damaged" in capsys.readouterr().err
    assert without_costs(rows_of(cell)) == expected
    assert not list(cell.training.glob("*.part"))


def test_a_change_of_a_method_s_code_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    [cell] = study("method=neighbor2neighbor")
    about = json.loads((cell.training / "training.json").read_text())
    (cell.training / "training.json").write_text(json.dumps({**about, "source": "another"}))
    (cell.training / "code.json").unlink()  # as older versions trained it
    capsys.readouterr()
    study("method=neighbor2neighbor", "dataset.crop=33")
    assert "its code has changed since; force=true trains it again" in capsys.readouterr().err


def test_a_cell_killed_before_it_was_said_done_computes_no_image_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        said = Cell.set_status

        def killed(self: Cell, state: str, **details: object) -> None:
            if state == "done":
                raise KeyboardInterrupt
            said(self, state, **details)  # type: ignore[arg-type]

        patched.setattr(Cell, "set_status", killed)
        with pytest.raises(KeyboardInterrupt):
            study("method=noisy")
    monkeypatch.setattr(Noisy, "denoise", lambda *args: pytest.fail("it was tested again"))
    [cell] = study("method=noisy")
    assert cell.state == "done"
    assert len(rows_of(cell)) == 3


def test_given_weights_are_scored_without_a_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [trained] = study("method=neighbor2neighbor")
    (tmp_path / "mine.pt").write_bytes((trained.training / "weights.safetensors").read_bytes())
    monkeypatch.setattr(torch.Tensor, "backward", lambda *args, **kwargs: pytest.fail("it trained"))
    [given] = study("method=neighbor2neighbor", f"checkpoint={tmp_path / 'mine.pt'}")
    assert given.label == "neighbor2neighbor[checkpoint=mine.pt]"
    assert given.key != trained.key
    assert [row["psnr_db"] for row in rows_of(given)] == [row["psnr_db"] for row in rows_of(trained)]
    row = rows_of(given)[0]
    assert (row["selection"], row["trained_on"], row["budget"]) == ("given", "unknown: weights given", "")
    torch.save({"state_dict": read_file(tmp_path / "mine.pt")}, tmp_path / "lightning.ckpt")
    [other] = study("method=neighbor2neighbor", f"checkpoint={tmp_path / 'lightning.ckpt'}")
    assert other.key != given.key
    assert [row["psnr_db"] for row in rows_of(other)] == [row["psnr_db"] for row in rows_of(given)]


def test_weights_that_do_not_fit_name_the_file_and_what_is_wrong(tmp_path: Path) -> None:
    [trained] = study("method=neighbor2neighbor")
    with pytest.raises(config.ConfigError, match=r"weights\.safetensors does not fit Neighbor2Neighbor .* of another shape"):
        study("method=neighbor2neighbor", "method.features=16", f"checkpoint={trained.training / 'weights.safetensors'}")
    (tmp_path / "half.pt").write_bytes(b"half")
    with pytest.raises(config.ConfigError, match=r"half\.pt is not a valid file of weights"):
        study("method=neighbor2neighbor", f"checkpoint={tmp_path / 'half.pt'}")
    with pytest.raises(FileNotFoundError, match=r"none\.pt: no such file"):
        study("method=neighbor2neighbor", "checkpoint=none.pt")
    with pytest.raises(config.ConfigError, match="nlm has no weights to load"):
        study("method=nlm", f"checkpoint={tmp_path / 'half.pt'}")


def test_validation_changes_no_weight_and_an_oracle_says_so() -> None:
    own = ("method=neighbor2neighbor", "training.steps=12", "method.lr=5e-3", "method.init_gain=0.1", "validation.images=2")
    [plain] = study(*own)
    [watched] = study(*own, "validation.every=2", "root=elsewhere")
    assert watched.train_key == plain.train_key
    assert without_costs(rows_of(watched)) == without_costs(rows_of(plain))
    with (watched.training / "validation.csv").open() as file:
        curve = [(int(row["step"]), float(row["psnr_db"])) for row in csv.DictReader(file)]
    assert [step for step, _ in curve] == [2, 4, 6, 8, 10, 12]
    [chosen] = study(*own, "validation.every=2", "training.selection=oracle")
    rows = rows_of(chosen)
    assert chosen.train_key != plain.train_key
    assert (rows[0]["selection"], rows[0]["tags"]) == ("oracle", "oracle_selected")
    best = max(psnr_db for _, psnr_db in curve)
    assert np.mean([float(row["psnr_db"]) for row in rows[:2]]) == pytest.approx(best, abs=1e-4)
    assert best > curve[-1][1], "the last weights were the best: this test shows nothing"


def test_an_oracle_without_clean_images_or_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"set validation\.every"):
        study("method=neighbor2neighbor", "training.selection=oracle")
    folder = photos_in(tmp_path / "own", "a", size=(40, 40))
    own = (f"dataset.noisy={folder}", "training.selection=oracle", "validation.every=1")
    [cell] = folder_study("method=neighbor2neighbor", *own)
    assert cell.state == "skipped"
    assert "needs clean images" in cell.status()["reason"]


def test_training_on_cuts_of_the_test_photographs_is_transductive() -> None:
    fresh, bound = study("method=neighbor2neighbor,noise2clean", "train_set.part=test", "dataset.crop=40")
    [cut] = study("method=neighbor2neighbor", "train_set.part=test", "dataset.crop=40", "training.noise=fixed")
    assert "transductive" in rows_of(cut)[0]["tags"]
    assert (fresh.state, bound.state) == ("skipped", "skipped")
    assert "set training.noise=fixed" in fresh.status()["reason"]
    assert "memorise the clean test images" in bound.status()["reason"]


def test_gray_files_of_the_test_photographs_are_known(tmp_path: Path) -> None:
    for folder, mode in (("colour", "RGB"), ("gray", "L")):
        (tmp_path / folder).mkdir()
        for name in ("astronaut", "chelsea"):
            photo = Photos().clean(Photos().names.index(name))
            pixels = photo if mode == "RGB" else gray_of(photo)[..., 0]
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
        gray = ("dataset.channels=1", "train_set=folder", "train_set.channels=1", f"train_set.clean={tmp_path / folder}")
        [bound] = study("method=noise2clean", *gray, f"study={folder}")
        assert bound.state == "skipped", folder
        assert "memorise the clean test images" in bound.status()["reason"]


def test_noise2noise_has_no_second_view_of_a_real_photograph(tmp_path: Path) -> None:
    folder = photos_in(tmp_path / "own", "a", size=(40, 40))
    [cell] = folder_study("method=noise2noise", f"dataset.noisy={folder}")
    assert cell.state == "skipped"
    assert "two independent noisy views" in cell.status()["reason"]


def test_the_same_berkeley_photograph_is_known_in_every_set(data_root: Path) -> None:
    sets = {name: one(f"dataset={name}").test_set for name in
            ("cbsd68", "bsd300", "bsds500", "kodak", "set14")}  # fmt: skip
    assert len([each for each in sets["cbsd68"].sources & sets["bsd300"].sources if each.startswith("bsd/")]) == 68
    for name in ("cbsd68", "bsd300", "kodak", "set14"):
        assert not sets["bsds500"].sources & sets[name].sources


@pytest.mark.parametrize(
    ("overrides", "helps"),
    [
        (("method=self2self_plus",), ("method.passes_per_batch=1", "method.features below 4")),
        (
            ("method=neighbor2neighbor",),
            ("training.batch below 2, training.patch below 32", "method.features below 8", "tile=512"),
        ),
        (("method=noisy", "precision=bf16-mixed"), ("needs less memory: dataset.crop=256, trainer=cpu",)),
    ],
)
def test_a_gpu_too_small_fails_its_cell_and_says_what_helps(
    overrides: Sequence[str], helps: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(self: object, batch: object, index: int) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr("denoisebench.denoiser.Denoiser.test_step", too_much)
    [cell] = study(*overrides)
    status = cell.status()
    assert status["state"] == "failed"
    assert status["reason"].startswith("OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB; what needs less")
    assert all(help_ in status["reason"] for help_ in helps)
