"""How long what is left of a study takes: from its rows, else from a short measurement that is kept."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from denoisebench import cli, config
from denoisebench.denoiser import ImageDenoiser
from denoisebench.job import Job
from denoisebench.progress import counted, duration, roughly
from denoisebench.store.rows import PartialRows
from denoisebench.study import costs, speed, timing
from denoisebench.study.costs import DAY, Costs, left_of, study_rows, warn_of_days
from denoisebench.study.speed import Speed, speed_of
from jobs import computed, planned
from test_run import SMALL

GRID = ("dataset.crop=48", "budget=smoke", "trainer=cpu", "pictures=0")


def row(**changed: Any) -> dict[str, Any]:
    plain = {"method": "nlm", "budget": "", "dataset": "photos-crop48", "seconds": "0.5", "train_steps": "", "train_seconds": ""}
    return {**plain, **changed}


def always(found: Speed) -> Any:
    return lambda job: found


# --- In words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "exact", "rough"),
    [
        (0.2, "0 s", "a second"), (12, "12 s", "12 s"), (59.7, "1 min 00 s", "60 s"), (200, "3 min 20 s", "3 min"),
        (3599.8, "1 h 00 min", "60 min"), (7500, "2 h 05 min", "2 h"), (35 * 3600, "1 d 11 h", "1.5 days"),
        (86399, "1 d 00 h", "24 h"), (708 * 3600, "29 d 12 h", "30 days"), (1.04 * DAY, "1 d 01 h", "1 day"),
        (234 * DAY, "234 d 00 h", "230 days"),
    ],
)  # fmt: skip
def test_times_in_words(seconds: float, exact: str, rough: str) -> None:
    assert (duration(seconds), roughly(seconds)) == (exact, rough)


def test_counts_in_words() -> None:
    assert [counted(n, "cell") for n in (0, 1, 2)] == ["0 cells", "1 cell", "2 cells"]


# --- From rows -------------------------------------------------------------------------------------------------------


def test_rows_of_the_same_method_budget_and_data_set_count_before_a_measurement() -> None:
    [nlm] = planned(*GRID, "method=nlm")
    measured = always(Speed(image=(7.0, 0.0)))
    assert Costs([row(seconds="0.5"), row(seconds="1.5")], measured).testing(nlm) == pytest.approx(3 * 1.0)
    assert Costs([row(dataset="kodak")], measured).testing(nlm) == pytest.approx(3 * 7.0)
    assert Costs([row(method="nlm[patch_size=3]")]).testing(nlm) is None


def test_a_training_counts_by_its_steps() -> None:
    [job] = planned(*GRID, "method=neighbor2neighbor", "training.steps=40")
    seen = row(method=job.cell.label, budget="smoke", train_steps="10", train_seconds="5.0")
    assert Costs([seen]).training(job) == pytest.approx(20.0)
    assert Costs([{**seen, "budget": "paper"}], always(Speed(step=2.0))).training(job) == pytest.approx(80.0)


def test_images_that_are_done_or_left_to_others_are_not_counted() -> None:
    [whole] = planned(*GRID, "method=nlm", "repeats=2")
    partial = PartialRows(whole.cell.folder)
    whole.cell.folder.mkdir(parents=True)
    partial.append([{"image": "a", "repeat": 0, "protocol": "default", "psnr_db": 30.0, "seconds": 0.1}])
    assert costs.images_left(whole) == 5
    [part] = planned(*GRID, "method=noisy", "repeats=2", "shard=1/3")
    assert costs.images_left(part) == 2


def test_images_that_cannot_be_read_take_an_unknown_time(monkeypatch: pytest.MonkeyPatch) -> None:
    [job] = planned(*GRID, "method=nlm")
    monkeypatch.setattr(type(job.test_set), "size", lambda self, index: int("damaged"))
    assert Costs([], always(Speed(image=(1.0, 1.0)))).testing(job) is None


def test_with_one_network_for_a_stack_its_training_counts_once(tmp_path: Path) -> None:
    (tmp_path / "noisy").mkdir()
    for name, slices in (("a", 5), ("b", 3)):
        np.save(tmp_path / "noisy" / f"{name}.npy", np.zeros((slices, 32, 32), np.uint8))
    cv2.imwrite(str(tmp_path / "noisy" / "c.png"), np.zeros((32, 32), np.uint8))
    data = ("dataset=folder", f"dataset.noisy={tmp_path / 'noisy'}", "dataset.channels=1", "noise=real", "repeats=1")
    own = ("method=zsn2n", "method.steps=700", "learn=stack", "trainer=cpu", *data)
    [job] = planned(*own)
    measured = always(Speed(image=(10.0, 0.0)))
    assert Costs([], measured).testing(job) == 30
    assert costs._steps(job) == 3 * 700
    [both] = planned(*own, "ensemble=dihedral")
    assert Costs([], measured).testing(both) == 30
    [part] = planned(*own, "shard=2/2")  # a/t1, a/t3, b/t0, b/t2
    assert Costs([], measured).testing(part) == 20
    seen = [row(method=job.cell.label, budget="paper", dataset=job.cell.dataset, seconds=text) for text in ("9.0", "1.0")]
    assert Costs(seen, measured).testing(job) == 9 * 5
    job.cell.folder.mkdir(parents=True)
    partial = PartialRows(job.cell.folder)
    for name in job.test_set.names[:5]:
        partial.append([{"image": name, "repeat": 0, "protocol": "default", "psnr_db": None, "seconds": 0.1}])
    assert Costs([], measured).testing(job) == 20


# --- The sum ---------------------------------------------------------------------------------------------------------


def test_a_plan_ends_with_its_sum(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "-m", *SMALL, "method=noisy"]) == 0
    capsys.readouterr()
    assert cli.main(["run", "-m", *SMALL, "method=noisy,noise2clean", "noise=gaussian25,real", "--plan"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("4 cells: 1 done, 2 impossible, 1 to compute, 1 training, about ")
    assert last.endswith(" on this machine")


def test_the_sum_counts_each_training_once_and_what_is_not_known_by_name() -> None:
    grid = planned(*GRID, "method=nlm,neighbor2neighbor", "training.steps=10", "dataset.crop=48,64", "train_noise=gaussian25")
    told = left_of(grid, Costs([], lambda job: Speed(step=6.0, image=(1.0, 0.0)) if job.learning else Speed()))
    assert (told.cells, told.trainings, told.seconds) == (4, 1, 60.0 + 2 * 3)
    assert str(told) == "4 cells: 4 to compute, 1 training, about 66 s on this machine without nlm"
    assert "time not known" in str(left_of(grid, Costs([])))


def test_a_finished_command_has_nothing_left() -> None:
    computed(*GRID, "method=noisy")
    [job] = planned(*GRID, "method=noisy")
    assert str(left_of([job], Costs(study_rows([job])))) == "1 cell: 1 done"
    assert Costs(study_rows([job])).image(job) is not None


# --- Days ------------------------------------------------------------------------------------------------------------


def warned(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: Speed, *overrides: str) -> str:
    asked: list[Job] = []
    monkeypatch.setattr(costs, "speed_of", lambda job: asked.append(job) or found)
    warn_of_days(planned(*overrides))
    told = capsys.readouterr().err
    return told if asked else "not measured"


def test_what_takes_days_says_so_and_names_the_shorter_budgets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = Speed(step=1.0, image=(2e5, 0.0))
    told = warned(monkeypatch, capsys, slow, "method=neighbor2neighbor", "dataset.crop=48")
    assert "takes about 20 days on this machine; shorter: budget=hour, budget=quick, budget=smoke" in " ".join(told.split())
    told = warned(monkeypatch, capsys, slow, "method=self2self", "dataset.crop=48")
    assert "shorter: budget=quick, budget=smoke" in " ".join(told.split())
    assert warned(monkeypatch, capsys, Speed(step=1e-6, image=(0.1, 0.0)), "method=neighbor2neighbor", "dataset.crop=48") == ""


def test_little_work_is_not_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for overrides in (("method=nlm",), ("method=neighbor2neighbor", "budget=quick"), ("method=zsn2n", "budget=smoke")):
        assert warned(monkeypatch, capsys, Speed(), "dataset.crop=48", *overrides) == "not measured"


def test_every_budget_has_its_place() -> None:
    assert sorted(costs.BUDGETS) == config.groups()["budget"]


# --- The measurement -------------------------------------------------------------------------------------------------


def one(*overrides: str) -> Job:
    [job] = planned(*GRID, *overrides)
    return job


@pytest.mark.parametrize("method", ["nlm", "neighbor2neighbor", "noise2clean", "self2self_plus", "dip", "noise2fast", "mash"])
def test_each_kind_of_method_is_measured(method: str) -> None:
    job = one(f"method={method}")
    found = speed_of(job)
    assert (found.step is not None) == (job.learning is not None)
    seconds = found.of_image(48 * 48)
    assert seconds is not None
    assert 0 < seconds < 60


def test_a_measurement_is_kept_and_belongs_to_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    monkeypatch.setattr(timing, "measured", lambda job: measured.append(job.cell.label) or Speed(1.0, (2.0, 3.0)))
    for _ in range(2):
        assert speed_of(one("method=neighbor2neighbor")) == Speed(1.0, (2.0, 3.0))
    speed_of(one("method=neighbor2neighbor", "seed=5"))
    speed_of(one("method=neighbor2neighbor", "training.batch=3"))
    assert measured == ["neighbor2neighbor", "neighbor2neighbor[training.batch=3]"]


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 3}'])
def test_a_damaged_or_unwritable_file_of_speeds_is_no_fault(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "measured", lambda job: Speed(1.0))
    speed._file().parent.mkdir(parents=True)
    speed._file().write_text(text)
    assert speed_of(one("method=nlm")) == Speed(1.0)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert speed_of(one("method=nlm")) == Speed(1.0)


def test_a_method_that_raises_has_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    job = one("method=nlm")
    monkeypatch.setattr(job.method.cls, "denoise", lambda self, noisy: {}["missing"])
    assert speed_of(job) == Speed()


def test_measuring_leaves_the_generators_and_the_threads_alone() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    timing.measured(one("method=neighbor2neighbor", "trainer.threads=1"))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("times", "expected"), [((0.10, 0.16), (0.04, 0.06)), ((0.1, 0.1), (0.095, 0.005)), ((2.5, None), (0.0, 2.5))]
)
def test_a_line_through_two_times(times: Sequence[float], expected: tuple[float, float]) -> None:
    assert timing._line(lambda n: times[n - 1], 1, 2) == pytest.approx(expected)


class Counts(ImageDenoiser):
    """Predicts as often as it has passes."""

    def __init__(self) -> None:
        super().__init__()
        self.num_steps, self.lr, self.passes, self.predicted = 100, 1e-3, 500, 0
        self.weight = torch.nn.Parameter(torch.ones(()))

    def reset(self, noisy: Tensor) -> None:
        """Nothing to draw."""

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        return self.weight * noisy.mean()

    def predict(self, noisy: Tensor) -> Tensor:
        self.predicted += self.passes
        return noisy


def test_of_many_passes_and_steps_few_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "_timed", lambda act: [act(), 0.01][1])
    method, noisy = Counts(), torch.rand(1, 3, 8, 8)
    found = timing._of_learning(method, lambda seconds: (seconds(noisy), 0.0))
    assert found == pytest.approx((100 * 0.01 + 500 * 0.01, 0.0))
    assert method.predicted == 1 + timing.REPEATS
    assert method.passes == 500
    assert Path("runs").exists() is False


class Timed(Counts):
    """Its cost is known. A step of any image takes 1 ms and 1 us for each of its pixels, a result 2 ms and 3 us; each kind takes
    `first` more when it is asked for the first time, and `busy` more at every second call."""

    def __init__(self, clock: list[float], first: float = 0.0, busy: float = 0.0) -> None:
        super().__init__()
        self.clock, self.first, self.busy = clock, first, busy
        self.num_steps, self.passes = 2000, 8
        self.calls = {"loss": 0, "predict": 0}

    def _take(self, kind: str, noisy: Tensor, fixed: float, each: float) -> None:
        self.clock[0] += fixed + each * noisy.shape[-1] * noisy.shape[-2]
        self.clock[0] += self.first if self.calls[kind] == 0 else self.busy * (self.calls[kind] % 2)
        self.calls[kind] += 1

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        self._take("loss", noisy, 1e-3, 1e-6)
        return super().loss(noisy, progress)

    def predict(self, noisy: Tensor) -> Tensor:
        self._take("predict", noisy, 2e-3, 3e-6)
        return noisy

    def seconds(self, pixels: int) -> float:
        """What an image takes where nothing disturbs it."""
        return 2000 * (1e-3 + 1e-6 * pixels) + 8 * (2e-3 + 3e-6 * pixels)


@pytest.mark.parametrize("first", [0.0, 0.3, 30.0])
@pytest.mark.parametrize("busy", [0.0, 0.1])
def test_an_image_s_learning_takes_what_it_costs_whatever_the_first_step_took(
    first: float, busy: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    method = Timed(clock, first, busy)
    found = Speed(image=timing._image(one("method=noisy"), method))
    for side in (48, 256, 1024):
        assert found.of_image(side**2) == pytest.approx(method.seconds(side**2), rel=1e-6)
