"""What is known before anything runs: ranges, what is not here, what cannot be."""

import csv
import io
import math
import re
import signal
import subprocess
import sys
import time
import typing
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from inspect import signature
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from denoisebench import config
from denoisebench.cli.app import main
from denoisebench.config import ConfigError
from denoisebench.config.checks import check_value
from denoisebench.config.jobs import jobs
from denoisebench.config.parts import class_of, instantiate
from denoisebench.datasets.headers import damaged_files
from denoisebench.datasets.images import file_hash
from denoisebench.datasets.reading import Reading
from denoisebench.denoiser import Denoiser
from denoisebench.networks.weight_files import as_safetensors, read_file
from denoisebench.noise import NoiseModel
from denoisebench.ranges import Between, Count, Fraction, NonNegative, Number, Odd, Positive
from denoisebench.store.cell import Cell
from denoisebench.study import deaths
from denoisebench.study.columns import identity_columns
from denoisebench.study.planning import plan
from denoisebench.study.sweep import failed_jobs
from denoisebench.weights.released import convert
from jobs import METHODS as RUN_AS_THEY_ARE
from jobs import computed, written


def refusal(*overrides: str) -> str:
    with pytest.raises((ConfigError, OSError)) as caught:
        plan(jobs(list(overrides), multirun=False))
    return str(caught.value)


# --- Ranges ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "good", "bad"),
    [
        (Count, [1, 7], [0, -1, 1.5, True]),
        (Number, [0, 7], [-1, 0.5]),
        (Odd, [1, 5], [0, 4, -3]),
        (Positive, [1e-9, 3], [0, -1.0, math.nan, math.inf]),
        (NonNegative, [0, 3.5], [-1e-9, math.nan]),
        (Fraction, [0, 0.5, 1], [-0.1, 1.1]),
        (Between, [0.5], [0, 1, math.nan]),
        (Count | None, [None, 1], [0]),
        (typing.Sequence[Between], [[0.5, 0.25]], [[0.5, 1.0], 0.5]),
        (float, [-1e300], [math.nan, -math.inf]),
    ],
)
def test_a_range_holds(hint: Any, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        check_value("method.x", value, hint)
    for value in bad:
        with pytest.raises(ConfigError, match=r"method\.x="):
            check_value("method.x", value, hint)


def numeric(cls: type) -> Iterator[tuple[str, type, bool]]:
    """The parameters that hold numbers: name, int or float, whether in a list."""

    def base(hint: Any) -> Iterator[tuple[type, bool]]:
        if hint in (int, float):
            yield hint, False
        listed = typing.get_origin(hint) not in (None, typing.Union, typing.Annotated) and "Sequence" in str(hint)
        for part in typing.get_args(hint) if typing.get_origin(hint) is not typing.Literal else ():
            yield from ((kind, inside or listed) for kind, inside in base(part))

    hints = typing.get_type_hints(cls.__init__, include_extras=True)
    for name in signature(cls).parameters:
        for kind, listed in dict.fromkeys(base(hints.get(name))):
            yield name, kind, listed


def one_of_each_class(group: str) -> list[str]:
    """A file for each class of a group; those that change another file's settings name none."""
    found: dict[str, str] = {}
    for name in config.groups()[group]:
        if target := written(group, name).get("_target_"):
            found.setdefault(target, name)
    return list(found.values())


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in ("method", "noise") for name in one_of_each_class(group)])
def test_every_number_of_every_method_and_noise_has_a_range(group: str, name: str) -> None:
    kind = Denoiser if group == "method" else NoiseModel
    node = config.compose_one([f"{group}={name}"]).plain[group]
    target, cls = node["_target_"], class_of(node, group, kind)
    for key, number, listed in numeric(cls):
        if (target, key) == ("denoisebench.noise.Stored", "level"):
            continue  # not a setting: which of its folders a data set stores it in; any other is said to be impossible
        for bad in (-1, math.nan) if number is float else (-1,):
            with pytest.raises(ConfigError, match=rf"{group}\.|\b{key}\b") as told:
                instantiate({**node, key: [bad] if listed else bad}, group, kind)
            assert key in str(told.value), f"{key}={bad}: {told.value}"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("method=nlm", "method.patch_size=-3"), "method.patch_size=-3 is not valid; expected an integer (odd and 1 or more)"),
        (("method=nlm", "method.patch_size=4"), "method.patch_size=4"),
        (("method=tv", "method.strength=-1"), "method.strength=-1 is not valid; expected a number (above 0)"),
        (("method=wavelet", "method.wavelet=db999"), "method.wavelet"),
        (("method=sasl", "method.flat=6"), "method.flat"),
        (("method=noise2self", "method.cell=1"), "method.cell is 2 or more"),
        (("noise=gaussian", "noise.sigma=-1"), "noise.sigma"),
        (("method=nlm", "noise=gaussian", "noise.sigma=-1"), "noise.sigma is a number 0 or above"),
        (("dataset.first=-1",), "dataset.first=-1 is not valid; expected an integer (1 or more) or null"),
        (("dataset.crop=0",), "dataset.crop=0 is not valid"),
        (("dataset=kodak", "dataset.first=0"), "dataset.first=0 is not valid"),
        (("dataset=folder", "dataset.clean=.", "dataset.crop=-5"), "dataset.crop=-5 is not valid"),
        (("dataset=folder", "dataset.clean=.", "dataset.white=0"), "dataset.white=0 is not valid; expected a number (above 0)"),
        (("dataset=dnd", "dataset.margin=-1"), "dataset.margin=-1 is not valid"),
        (("dataset=sidd_validation", "dataset.blocks=0"), "dataset.blocks=0 is not valid"),
        (("method=noise2clean", "train_set.crop=-2"), "train_set.crop=-2 is not valid"),
        (("logger=wandb", "loggers.wandb.timeout_s=-1"), "loggers.wandb.timeout_s=-1 is not valid; expected a number (above 0)"),
        (("method=noise2clean", "train_noise=gaussian", "train_noise.sigma=-1"), "train_noise.sigma"),
        (("method=noise2clean", "method.channels=1"), "method.channels=1"),
    ],
)
def test_a_value_out_of_range_is_refused_when_it_is_planned(overrides: tuple[str, ...], said: str) -> None:
    assert said in refusal(*overrides)


# --- What is not here --------------------------------------------------------------------------------------------


def picture(path: Path, *shape: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(int(path.stem.encode().hex(), 16) % 2**32)
    Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        picture(tmp_path / "photos" / f"{name}.png", 40, 48, 3)
    return tmp_path / "photos"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """`denoisebench run` in this process: its exit code and what it printed."""
    monkeypatch.setenv("DENOISEBENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "400")

    def called(*arguments: str) -> tuple[int, str]:
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(["run", *arguments])
        return code, out.getvalue() + err.getvalue()

    return called


def own(photos: Path) -> list[str]:
    return ["dataset=folder", f"dataset.clean={photos}", "noise=gaussian25"]


def test_a_missing_data_set_makes_its_cells_impossible_and_the_others_run(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENOISEBENCH_DATA", str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)
    sweep = ["-m", "method=noisy", "dataset=kodak,photos", "study=s", "dataset.crop=32"]
    code, said = run(*sweep, "--plan")
    assert code == 0
    assert "impossible: kodak" in said
    assert said.count("missing") >= 1
    code, said = run(*sweep)
    assert code == 0
    assert "impossible  noisy | kodak | gaussian25 | seed 0: kodak" in said
    assert "1 done" in said
    code, said = run("method=noisy", "dataset=kodak", "study=t")
    assert code == 2
    assert "kodak" in said
    assert not (tmp_path / "runs" / "t").exists()


def test_a_missing_extra_is_told_when_it_is_planned(run: Any, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    code, said = run("-m", "method=bm3d,noisy", *own(photos), "--plan")
    assert code == 0
    assert "impossible: method=bm3d needs the package bm3d" in said
    code, said = run("-m", "method=bm3d,noisy", *own(photos))
    assert code == 0
    assert "1 done, 1 skipped" in said
    assert "skipped: bm3d" in said or "skipped  bm3d" in said
    code, said = run("method=bm3d", *own(photos), "study=alone")
    assert code == 2
    assert "pip install 'denoisebench[bm3d]'" in said


def test_the_weights_of_a_term_are_looked_for_when_it_is_planned(
    run: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    code, said = run("method=self2self_plus", *own(photos))
    assert code == 2
    assert "denoisebench[iqa]" in said
    assert run("-m", "method=self2self_plus", "method.iqa=null", *own(photos), "--plan")[0] == 0


def test_a_checkpoint_that_does_not_fit_is_told_when_it_is_planned(run: Any, photos: Path, tmp_path: Path) -> None:
    torch.save({"network.x": torch.zeros(2)}, tmp_path / "w.pt")
    code, said = run("method=noise2clean", f"checkpoint={tmp_path / 'w.pt'}", *own(photos))
    assert code == 2
    assert "does not fit Noise2Clean" in said
    weights = jobs(["method=noise2clean", "training.steps=2", *own(photos)], multirun=False)[0].method.make().state_dict()
    torch.save({name: torch.full_like(values, torch.nan) for name, values in weights.items()}, tmp_path / "nan.pt")
    code, said = run("method=noise2clean", f"checkpoint={tmp_path / 'nan.pt'}", *own(photos))
    assert code == 2
    assert "nan.pt does not fit Noise2Clean with these settings: it has NaN or infinite numbers in network" in said
    assert "impossible: " in run("method=noise2clean", f"checkpoint={tmp_path / 'w.pt'}", *own(photos), "--plan")[1]


def test_offending_files_of_a_folder_are_listed_before_anything_runs(run: Any, photos: Path) -> None:
    picture(photos / "gray.png", 40, 48)
    (photos / "text.png").write_text("no image")
    picture(photos / "cut.png", 40, 48, 3)
    (photos / "cut.png").write_bytes((photos / "cut.png").read_bytes()[:2000])
    tifffile.imwrite(photos / "z.tif", np.linspace(-1.6, 2, 40 * 48 * 3, dtype=np.float32).reshape(40, 48, 3), photometric="rgb")
    code, said = run("method=noisy", *own(photos))
    assert code == 2
    assert "4 files cannot be used" in said
    assert "gray.png: is gray, and this data set is read as RGB" in said
    assert "text.png: cannot be read as an image (cannot identify image file)" in said
    assert "cut.png: cannot be read as an image (" in said
    assert "z.tif: its float values span -1.6 to 2, expected [0, 1]: dataset.white and dataset.black say" in said
    code, said = run("-m", "method=noisy", *own(photos), "--plan")
    assert code == 0
    assert "impossible: dataset photos: 4 files cannot be used" in said


def test_offending_files_of_a_standard_set_are_listed_before_anything_runs(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DENOISEBENCH_DATA", str(tmp_path))
    for number in range(1, 25):
        picture(tmp_path / "Kodak24" / f"kodim{number:02d}.png", 33, 40, 3)
    assert "impossible" not in run("-m", "method=noisy", "dataset=kodak", "--plan")[1]
    picture(tmp_path / "Kodak24" / "kodim03.png", 33, 40)
    (tmp_path / "Kodak24" / "kodim05.png").write_bytes(b"")
    assert "impossible: dataset kodak: 2 files cannot be used" in run("-m", "method=noisy", "dataset=kodak", "--plan")[1]
    code, said = run("method=noisy", "dataset=kodak")
    assert code == 2
    assert "kodim03.png: is gray" in said
    assert "kodim05.png: cannot be read as an image" in said


def test_the_pair_of_another_size_is_told_before_anything_runs(run: Any, photos: Path, tmp_path: Path) -> None:
    picture(tmp_path / "noisy" / "a.png", 40, 48, 3)
    picture(tmp_path / "noisy" / "b.png", 41, 48, 3)
    code, said = run(
        "method=noisy", "dataset=folder", f"dataset.clean={photos}", f"dataset.noisy={tmp_path / 'noisy'}", "noise=real"
    )
    assert code == 2
    assert "b.png is 41 x 48, its partner" in said


def test_a_patch_larger_than_a_training_image_is_told_before_anything_runs(run: Any, photos: Path, tmp_path: Path) -> None:
    picture(tmp_path / "train" / "c.png", 20, 64, 3)
    train = ["train_set=folder", f"train_set.clean={tmp_path / 'train'}", "training.patch=32", "training.steps=2"]
    code, said = run("method=neighbor2neighbor", *own(photos), *train)
    assert code == 2
    assert "c: 20 x 64 is smaller than training.patch=32" in said


def test_a_gray_training_set_for_colour_is_told_before_anything_runs(run: Any, photos: Path, tmp_path: Path) -> None:
    picture(tmp_path / "train" / "c.png", 64, 64)
    train = ["train_set=folder", f"train_set.clean={tmp_path / 'train'}", "train_set.channels=1", "training.steps=2"]
    code, said = run("method=neighbor2neighbor", *own(photos), *train)
    assert code == 2
    assert "train is gray, and photos RGB" in said


def test_an_image_too_small_for_a_method_makes_its_cell_impossible(run: Any, photos: Path) -> None:
    code, said = run("-m", "method=dip,noisy", "budget=quick", *own(photos), "--plan")
    assert (code, said.count("impossible")) == (0, 0)
    picture(photos / "c.png", 32, 48, 3)
    code, said = run("-m", "method=dip,noisy", "budget=quick", *own(photos), "--plan")
    assert code == 0
    assert "impossible: dip takes images of at least 33 x 33, and photos, c: 32 x 48" in said


def test_headers_of_many_files_are_looked_at_in_a_moment(tmp_path: Path) -> None:
    picture(tmp_path / "one.png", 40, 48, 3)
    files = {f"{number}": tmp_path / f"{number}.png" for number in range(2000)}
    for path in files.values():
        path.symlink_to(tmp_path / "one.png")
    began = time.perf_counter()
    assert damaged_files([files], Reading(3)) == []
    assert time.perf_counter() - began < 4


# --- A cell whose process died -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_goes_on_past_a_cell_whose_process_died(
    run: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own" / "method").mkdir(parents=True)
    (tmp_path / "own" / "method" / "dying.yaml").write_text("_target_: dying_method.Dying\n")
    (tmp_path / "own" / "dying_method.py").write_text(
        "import os\nfrom denoisebench.methods.noisy import Noisy\n"
        "class Dying(Noisy):\n    def denoise(self, noisy):\n        os.abort()\n"
    )
    sweep = ["-m", "method=dying,noisy", *own(photos), "--config-dir", str(tmp_path / "own"), "study=s"]
    died = subprocess.run([sys.executable, "-m", "denoisebench", "run", *sweep], capture_output=True, check=False)
    assert died.returncode == -signal.SIGABRT
    monkeypatch.syspath_prepend(str(tmp_path / "own"))
    for _ in range(2):  # it is not tried again at each start
        code, said = run(*sweep)
        assert code == 1
        assert "failed   dying | photos | gaussian25 | seed 0: its process died (Fatal Python error: Aborted)" in said
        assert "1 done, 1 failed" in said
    jobs, unmade = failed_jobs(tmp_path / "runs" / "s", ())
    assert [job.method.name for job in jobs] == ["dying"]
    assert unmade == []
    assert not deaths.died(jobs[0].cell)


def test_a_cell_that_ends_leaves_no_note_of_a_death(run: Any, photos: Path, tmp_path: Path) -> None:
    assert run("-m", "method=noisy", *own(photos), "study=s")[0] == 0
    assert not list((tmp_path / "runs").rglob("crash*"))


# --- Told levels, given weights ----------------------------------------------------------------------------------


SIGMA_METHODS = [name for name in RUN_AS_THEY_ARE if "sigma" in written("method", name)]


def tags_of(*overrides: str) -> set[str]:
    [job] = jobs(list(overrides), multirun=False)
    return set(identity_columns(job, job.method.make(), None)["tags"].split())


@pytest.mark.parametrize("method", SIGMA_METHODS)
def test_a_told_level_is_an_oracle_only_where_it_is_the_true_one(method: str) -> None:
    given = [f"method={method}", "budget=smoke", *(["method.neighbours=null"] if method == "pixel2pixel" else [])]
    levels = {"oracle_sigma", "sigma_given"}
    assert tags_of(*given, "method.sigma=25") & levels == {"oracle_sigma"}
    assert tags_of(*given, "method.sigma=0.1") & levels == {"sigma_given"}
    assert tags_of(*given, "method.sigma=25", "noise=speckle25") & levels == {"sigma_given"}
    assert tags_of(*given, "method.sigma=25", "noise=gaussian5_50") & levels == {"sigma_given"}
    assert not tags_of(*given, "method.sigma=null") & levels


def test_a_told_photon_count_is_an_oracle_only_where_it_is_the_true_one() -> None:
    assert "oracle_sigma" in tags_of("method=laine", "noise=poisson30")
    assert "sigma_given" in tags_of("method=laine", "noise=poisson30", "method.lam=20")
    assert "sigma_given" in tags_of("method=laine", "noise=poisson30", "method.noise_model=gaussian", "method.sigma=20")


TINY = ["budget=smoke", "dataset.crop=48", "trainer.accelerator=cpu", "pictures=0", "method=neighbor2neighbor"]


def trained(*overrides: str) -> Cell:
    [cell] = computed(*TINY, *overrides)
    assert cell.state == "done", cell.status()
    return cell


def row_of(cell: Cell) -> dict[str, str]:
    with (cell.folder / "rows.csv").open(encoding="utf-8") as file:
        return next(csv.DictReader(file))


def test_weights_of_ours_keep_what_is_known_of_their_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISEBENCH_RUNS", str(tmp_path / "runs"))
    first = trained("train_noise=gaussian50")
    weights = first.training / "weights.safetensors"
    known, given = row_of(first), row_of(trained(f"checkpoint={weights}"))
    for column in ("trained_on", "train_noise", "train_steps", "train_seconds", "budget"):
        assert given[column] == known[column], column
    assert given["selection"] == "given"
    assert given["tags"] == known["tags"]
    assert given["weights"] == f"weights.safetensors {file_hash(weights)[:12]}"
    (tmp_path / "foreign.pt").write_bytes(weights.read_bytes())
    foreign = row_of(trained(f"checkpoint={tmp_path / 'foreign.pt'}", "study=foreign"))
    assert (foreign["trained_on"], foreign["budget"]) == ("unknown: weights given", "")
    assert "weights_given" in foreign["tags"].split()
    other = {name: 1.001 * tensor for name, tensor in read_file(weights).items()}
    weights.write_bytes(as_safetensors(other))  # no longer those that training.json tells of
    assert "weights_given" in row_of(trained(f"checkpoint={weights}", "force=true"))["tags"].split()


def test_weights_trained_on_the_test_photographs_stay_transductive(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISEBENCH_RUNS", str(photos.parent / "runs"))
    folder = [part for part in TINY if "crop" not in part] + own(photos)
    [first] = computed(*folder, "training.noise=fixed")
    [given] = computed(*folder, f"checkpoint={first.training / 'weights.safetensors'}")
    assert "transductive" in row_of(first)["tags"].split()
    assert "transductive" in row_of(given)["tags"].split()


@pytest.mark.parametrize(
    "setting", ["training.steps=5000", "train_set=bsds500", "train_noise=camera", "validation.every=5", "method.lr=1e-5"]
)
def test_given_weights_and_a_training_are_refused_together(setting: str, tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(b"w")
    with pytest.raises((ConfigError, OSError), match=r"init=.*w\.pt|bsds500"):
        plan(jobs([*TINY, f"checkpoint={tmp_path / 'w.pt'}", setting], multirun=False))


def test_fine_tuning_starts_from_the_given_weights_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISEBENCH_RUNS", str(tmp_path / "runs"))
    first = trained()
    weights = first.training / "weights.safetensors"
    tuned = trained(f"init={weights}", "training.steps=1", "method.lr=1e-12")
    assert tuned.label == "neighbor2neighbor[lr=1e-12,training.steps=1,init=weights.safetensors]"
    assert row_of(tuned)["weights"] == f"weights.safetensors {file_hash(weights)[:12]}"
    fresh = trained("training.steps=1", "method.lr=1e-12")
    assert tuned.key != fresh.key
    assert tuned.train_key != fresh.train_key
    told, ours = (read_file(path) for path in (weights, tuned.training / "weights.safetensors"))
    assert all(torch.allclose(told[name], ours[name], atol=1e-9) for name in told)
    with pytest.raises(ConfigError, match="give one of the two"):
        plan(jobs([*TINY, f"init={weights}", f"checkpoint={weights}"], multirun=False))
    with pytest.raises(ConfigError, match="starts from no weights"):
        plan(jobs(["method=nlm", f"init={weights}"], multirun=False))


# --- Files of weights --------------------------------------------------------------------------------------------


class _Code:
    def __reduce__(self) -> Any:
        return (print, ("run",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": 5}, "it holds no state dict"),
        ({"x": torch.zeros(2, dtype=torch.complex64)}, "complex"),
        ({"x": _Code()}, "it would run code when it is loaded"),
        (b"half", "it is cut off, damaged, or no file of PyTorch's"),
        (b"PK\x03\x04 half", "it is cut off, damaged, or no file of PyTorch's"),
        (b"", "it is cut off, damaged, or no file of PyTorch's"),
        ([1, 2], "it holds no state dict"),
    ],
)
def test_files_of_weights_are_refused_in_our_words(
    content: Any, said: str, run: Any, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    code, told = run("method=neighbor2neighbor", f"checkpoint={file}", *own(photos))
    assert code == 2
    with pytest.raises(ValueError, match=re.escape(str(file))) as caught:
        convert("neighbor2neighbor", file)
    for text in (told, str(caught.value)):
        assert said in text
        assert str(file) in text
        assert len(text.strip().splitlines()) == 1
        assert not re.search(r"weights_only|\x1b|trust|safe_globals", text)


def test_an_array_larger_than_memory_is_one_clear_line(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**43,)})
    with zipfile.ZipFile(tmp_path / "big.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue() + b"\0" * 16)
    with pytest.raises(ValueError, match=r"big\.npz is not an \.npz of C-BSN's variables"):
        convert("cbsn", tmp_path / "big.npz")
