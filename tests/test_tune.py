"""`denoisebench tune`: trials that are cells, judged without ground truth, and the recipe that they end in."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from denoisebench import cli
from denoisebench.config.jobs import job_of
from denoisebench.config.search import Choices, Interval, search_of
from denoisebench.methods import tv
from denoisebench.store.finished import read_finished
from denoisebench.store.pictures import write_png
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import Row
from denoisebench.store.trainings import weights_in
from denoisebench.study.cell import compute
from denoisebench.study.planning import plan
from denoisebench.tuning import objective, trials

SMALL = ("dataset.crop=64", "dataset.first=2", "trainer=cpu", "noise=gaussian25", "images=1")
TV = ("tune", "method=tv", *SMALL, "method.strength=interval(0.05,1.5)")
LEARNED = (
    "tune", "method=neighbor2neighbor", *SMALL, "budget=smoke", "training.steps=2", "method.lr=tag(log,interval(1e-4,1e-2))",
    "method.features=choice(4,8)",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def main(*arguments: str) -> int:
    return cli.main(arguments)


def rows_of(study: str) -> list[Row]:
    return [row for cell in read_plan(Path("runs") / study).values() for row in read_finished(cell.folder)]


def tried(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith(("trial ", "best: "))]


# --- Ranges -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(1e-4,1e-2)", Interval(1e-4, 1e-2)),
        ("tag(log,interval(1e-4,1e-2))", Interval(1e-4, 1e-2, log=True)),
        ("int(interval(8,64))", Interval(8, 64, whole=True)),
        ("tag(int,log,interval(8,64))", Interval(8, 64, whole=True, log=True)),
        ("range(1,5)", Interval(1, 4, whole=True, step=1)),
        ("range(1,9,2)", Interval(1, 7, whole=True, step=2)),
        ("range(0,1,0.25)", Interval(0, 0.75, step=0.25)),
        ("choice(a,b)", Choices(("a", "b"))),
        ("a,b", Choices(("a", "b"))),
    ],
)
def test_ranges_are_those_of_hydras_sweepers(text: str, expected: object) -> None:
    found = search_of(["method=tv", f"method.lr={text}"])
    assert (found.ranges, found.fixed) == ({"method.lr": expected}, ("method=tv",))


def test_numbers_have_four_digits_and_stay_in_their_range() -> None:
    one = Interval(0.123456, 0.234567)
    values = (0.2, 0.1999999, 0.123456, 0.234567, 0.15004)
    assert [one.text(value) for value in values] == ["0.2", "0.2", "0.1235", "0.234567", "0.15"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("method=tv",), "nothing to tune: give at least one setting of the method a range"),
        (("method=tv", "method.strenght=interval(0,1)"), "did you mean method.strength"),
        (("method=tv", "noise.sigma=interval(5,50)"), "noise.sigma is no setting of the method"),
        (("method=tv,nlm", "method.strength=interval(0,1)"), "method is no setting of the method"),
        (("method=tv", "training.steps=range(1,5)"), "training.steps makes no difference: method=tv is not trained"),
        (("method=tv", "training.selection=last,oracle"), "training.selection is no setting of the method"),
        (("method=tv", "method.strength=interval(1,1)"), "low below high"),
        (("method=tv", "method.strength=tag(log,interval(0,1))"), "begins above 0"),
        (("method=tv", "method.strength=tag(lg,interval(0,1))"), "no tag lg; valid: log, int"),
        (("method=tv", "method.max_iterations=interval(1.5,9.5)"), "method.max_iterations=1.5 is not valid; expected an integer"),
        (("method=tv", "method.strength=interval(0.1,1)", "trials=0"), "trials=0 is not valid; expected an integer from 1"),
        (("method=tv", "method.strength=interval(0.1,1)", "objective=sure_diagnose"), "did you mean sure_diagnosed"),
        (("method.strength=interval(0,1)",), "tune needs a method"),
        (("-m", "method=tv", "method.strength=interval(0,1)"), "every trial is one cell"),
    ],
)
def test_what_cannot_be_tuned_is_told_before_anything_runs(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main("tune", *arguments) == 2
    assert said in capsys.readouterr().err
    assert not Path("runs").exists()


def test_an_oracle_needs_clean_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(tmp_path / "own" / "a.png", np.random.default_rng(0).random((40, 40, 3)))
    own = ("dataset=folder", "dataset.noisy=own", "noise=real")
    assert main("tune", "method=tv", *own, "method.strength=interval(0.1,1)", "objective=oracle") == 2
    assert "has no clean images: leave it out, and sure_diagnosed judges by the noisy images alone" in capsys.readouterr().err


def test_optuna_is_an_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(*TV) == 2
    assert "tune needs Optuna: pip install 'denoisebench[tune]'" in capsys.readouterr().err


# --- Trials -------------------------------------------------------------------------------------------------------------


def test_trials_are_cells_made_once_and_continued(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command computes nothing again and says the same; more trials go on from those that are there."""
    pytest.importorskip("optuna")
    assert main(*TV, "trials=3") == 0
    first = tried(capsys)
    cells = {cell.folder: (cell.folder / "rows.csv").stat().st_mtime_ns for cell in read_plan(Path("runs/tune-tv")).values()}
    assert len(first) == 4
    assert len(cells) == 3
    proxies: list[str] = []
    monkeypatch.setitem(objective.PROXIES, "sure_diagnosed", lambda of: proxies.append("computed") or 1.0)  # type: ignore[index]
    assert main(*TV, "trials=4") == 0
    second = tried(capsys)
    assert [line.partition(": ")[2] for line in second[:3]] == [line.partition(": ")[2] for line in first[:3]]
    assert proxies == ["computed"]
    assert all((folder / "rows.csv").stat().st_mtime_ns == written for folder, written in cells.items())
    assert len(read_plan(Path("runs/tune-tv"))) == 4


def test_a_trial_that_fails_is_told_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    denoise, seen = tv.TV.denoise, []

    def second_fails(self: Any, noisy: torch.Tensor) -> torch.Tensor:
        seen.append(self.strength)
        if len(set(seen)) == 2:
            raise ValueError("of this strength")
        return denoise(self, noisy)

    monkeypatch.setattr(tv.TV, "denoise", second_fails)
    assert main(*TV, "trials=3") == 1
    first, second, third, best = tried(capsys)
    assert second.startswith("trial 2/3: failed")
    assert "sure_diagnosed" in first
    assert "sure_diagnosed" in third
    assert best.startswith(("best: trial 1,", "best: trial 3,"))


def test_the_recipe_is_the_best_trial(capsys: pytest.CaptureFixture[str]) -> None:
    """A run with it has the settings of that trial, those of the budget beneath, and the same pixels."""
    pytest.importorskip("optuna")
    assert main(*LEARNED, "trials=2") == 0
    best = tried(capsys)[-1]
    study = Path("runs/tune-neighbor2neighbor")
    job = job_of([
        "method=neighbor2neighbor", *SMALL[:4], "budget=tuned", f"hydra.searchpath=['file://{(study / 'conf').resolve()}']",
    ])  # fmt: skip
    values = dict(part.split("=") for part in best.split() if part.startswith("method."))
    assert {f"method.{key}": float(job.method.settings[key]) for key in ("lr", "features")} == {
        key: float(value) for key, value in values.items()
    }
    assert job.learning
    assert job.learning.training.steps == 2
    assert job.plain["tuned_by"] == "sure_diagnosed"
    assert job.cell.label == "neighbor2neighbor"
    assert compute(plan([job])[0]) == "done"
    of_trials = [float(row["psnr_db"]) for row in rows_of("tune-neighbor2neighbor") if row["image"] == job.test_set.names[0]]
    assert any(abs(float(read_finished(job.cell.folder)[0]["psnr_db"]) - one) < 1e-3 for one in of_trials)


def test_what_an_oracle_tuned_is_another_cell_than_the_same_settings_by_hand() -> None:
    keys = [
        job_of(["method=tv", *SMALL[:4], "method.strength=0.5", *tuned]).cell.key
        for tuned in ((), ("tuned_by=oracle",), ("tuned_by=sure_diagnosed",))
    ]
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]


def test_what_an_oracle_tuned_says_so_in_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Of its trials, of a run with its recipe; and no study holds trials of both kinds."""
    pytest.importorskip("optuna")
    assert main(*TV, "trials=2", "objective=oracle") == 0
    out = capsys.readouterr().out
    assert "rows of this recipe are tagged oracle_tuned" in out
    assert {row["tags"] for row in rows_of("tune-tv-oracle")} == {"oracle_sigma oracle_tuned"}
    means = {float(line.split(": ")[1].split(" dB")[0]) for line in out.splitlines() if line.startswith("trial ")}
    assert f"{max(means):.2f} dB" in next(line for line in out.splitlines() if line.startswith("best: "))
    assert main("run", "method=tv", *SMALL[:4], "budget=tuned_oracle", "--config-dir", "runs/tune-tv-oracle/conf") == 0
    assert {row["tags"] for row in rows_of("default")} == {"oracle_sigma oracle_tuned"}
    assert main(*TV, "trials=2", "study=tune-tv-oracle") == 2
    assert "holds cells that are no trials of objective=sure_diagnosed" in capsys.readouterr().err


def test_the_objective_sees_no_clean_image_and_finds_what_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Gaussian noise, the estimate prefers a fitting strength to none and to far too much; it is that of the weights
    that were tested, with noisy images alone."""
    jobs = plan([
        job_of(["method=tv", *SMALL[:4], "dataset.crop=128", f"method.strength={one}", "tuned_by=sure_diagnosed"])
        for one in (0.01, 0.7, 6.0)
    ])  # fmt: skip
    assert [compute(job) for job in jobs] == ["done"] * 3
    subjects: list[Any] = []
    proxy = objective.PROXIES["sure_diagnosed"]
    monkeypatch.setitem(objective.PROXIES, "sure_diagnosed", lambda of: subjects.append(of) or proxy(of))  # type: ignore[index]
    little, fitting, much = (objective.value_of("sure_diagnosed", job, 2) for job in jobs)
    assert fitting < min(little, much)
    assert len(subjects) == 6
    assert not any(hasattr(one, "clean") for one in subjects)
    kept = json.loads((jobs[1].cell.folder / "objective.json").read_text())
    assert kept["value"] == fitting
    os.utime(jobs[1].cell.folder / "rows.csv")
    assert objective.value_of("sure_diagnosed", jobs[1], 2) == fitting
    assert len(subjects) == 6
    assert objective.value_of("sure_diagnosed", jobs[1], 1) != fitting


def test_a_trained_network_is_judged_with_its_own_weights() -> None:
    """Not with its first ones."""
    [job] = plan([job_of([*LEARNED[1:2], *SMALL[:4], "budget=smoke", "training.steps=2", "method.features=4"])])
    assert compute(job) == "done"
    weights = load_file(weights_in(job.cell.training))
    judged = objective._denoiser(job).state_dict()
    assert all(torch.equal(judged[name], values) for name, values in weights.items())
    first = job.method.make().state_dict()
    assert any(not torch.equal(first[name], values) for name, values in weights.items())


def test_the_best_is_the_first_of_the_smallest() -> None:
    job: Any = None
    three = [trials.Trial(number, {}, job, value) for number, value in enumerate((None, 0.5, 0.0, 0.0))]
    best = trials.best_of(three)
    assert best is not None
    assert best.number == 2
    assert trials.best_of(three[:1]) is None
