"""What is known before anything runs: ranges, what is not here, what cannot be."""

import math
import sys
import time
import typing
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from inspect import signature
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from denoisebench import config
from denoisebench.cli.app import main
from denoisebench.config import ConfigError
from denoisebench.config.checks import check_value
from denoisebench.config.jobs import jobs
from denoisebench.config.parts import class_of, instantiate
from denoisebench.datasets.headers import damaged_files
from denoisebench.denoiser import Denoiser
from denoisebench.noise import NoiseModel
from denoisebench.ranges import Between, Count, Fraction, NonNegative, Number, Odd, Positive
from denoisebench.study.planning import plan


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


def classes(group: str, kind: type) -> dict[str, tuple[type, dict[str, Any]]]:
    found: dict[str, tuple[type, dict[str, Any]]] = {}
    for name in config.groups()[group]:
        node = config.compose_one([f"{group}={name}"]).plain[group]
        found.setdefault(node["_target_"], (class_of(node, group, kind), node))
    return found


METHODS = classes("method", Denoiser)
NOISES = classes("noise", NoiseModel)


@pytest.mark.parametrize("target", [*METHODS, *NOISES], ids=lambda target: target.rpartition(".")[2])
def test_every_number_of_every_method_and_noise_has_a_range(target: str) -> None:
    group, kind, (cls, node) = (
        ("method", Denoiser, METHODS[target]) if target in METHODS else ("noise", NoiseModel, NOISES[target])
    )
    for name, number, listed in numeric(cls):
        if (target, name) == ("denoisebench.noise.Stored", "level"):
            continue  # not a setting: which of its folders a data set stores it in; any other is said to be impossible
        for bad in (-1, math.nan) if number is float else (-1,):
            with pytest.raises(ConfigError, match=rf"{group}\.|\b{name}\b") as told:
                instantiate({**node, name: [bad] if listed else bad}, group, kind)
            assert name in str(told.value), f"{name}={bad}: {told.value}"


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
    assert "impossible: " in run("method=noise2clean", f"checkpoint={tmp_path / 'w.pt'}", *own(photos), "--plan")[1]


def test_offending_files_of_a_folder_are_listed_before_anything_runs(run: Any, photos: Path) -> None:
    picture(photos / "gray.png", 40, 48)
    (photos / "text.png").write_text("no image")
    code, said = run("method=noisy", *own(photos))
    assert code == 2
    assert "2 files cannot be used" in said
    assert "gray.png: is gray, and this data set is read as RGB" in said
    assert "text.png: cannot be read as an image" in said


def test_the_pair_of_another_size_is_told_before_anything_runs(run: Any, photos: Path, tmp_path: Path) -> None:
    picture(tmp_path / "noisy" / "a.png", 40, 48, 3)
    picture(tmp_path / "noisy" / "b.png", 41, 48, 3)
    code, said = run(
        "method=noisy", "dataset=folder", f"dataset.clean={photos}", f"dataset.noisy={tmp_path / 'noisy'}", "noise=real"
    )
    assert code == 2
    assert "b.png is 41 x 48, its clean partner" in said


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
    assert damaged_files(files, {}, 3) == []
    assert time.perf_counter() - began < 4
