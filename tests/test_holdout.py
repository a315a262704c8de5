"""`stop=holdout`: a training that ends by its own loss on noisy images it does not see, and keeps the weights of the lowest."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from denoisebench.config import ConfigError
from denoisebench.datasets.datamodule import DataModule, TrainingData
from denoisebench.datasets.part import held_out
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.training import Holdout, Training
from denoisebench.noise import FixedPattern, Gaussian
from denoisebench.report.audit import audit
from denoisebench.report.charts import curve_plot
from denoisebench.report.health import curves
from denoisebench.report.results import summarise
from denoisebench.report.rows import find_study, read_study
from denoisebench.seeding import isolated_rng, seed_from
from denoisebench.store.pictures import write_png
from denoisebench.store.rows import read_csv
from denoisebench.store.trainings import weights_in
from denoisebench.study.limits import check, impossible_reason
from denoisebench.training.engine import Engine
from denoisebench.training.fit import Course, trained
from jobs import built, computed, one

OF = ("method=neighbor2neighbor", "budget=smoke", "dataset.crop=32", "trainer=cpu", "pictures=0")
STOPS = (*OF, "stop=holdout", "holdout.every=2", "holdout.batches=2", "holdout.patience=3", "training.steps=60", "method.lr=0.05")


class Cuts(Photos):
    """Two cuts of each photograph."""

    def __init__(self, photographs: int) -> None:
        super().__init__("train")
        self.names = tuple(f"{photograph}-{cut}" for photograph in range(photographs) for cut in (1, 2))

    def scene(self, index: int) -> str:
        return self.names[index].split("-")[0]


@pytest.mark.parametrize(
    ("photographs", "share", "taken"), [(2, 0.1, 1), (2, 0.9, 1), (10, 0.1, 1), (10, 0.3, 3), (40, 0.25, 10)]
)
def test_whole_photographs_are_held_out(photographs: int, share: float, taken: int) -> None:
    images = Cuts(photographs)
    kept, out = held_out(images, share)
    assert len(out.scenes) == taken
    assert len(kept.scenes) == photographs - taken
    assert kept.scenes.isdisjoint(out.scenes)
    assert sorted([*kept.names, *out.names]) == sorted(images.names)
    assert [part.names for part in held_out(Cuts(photographs), share)] == [kept.names, out.names]
    with pytest.raises(ValueError, match="one photograph"):
        held_out(Cuts(1), share)


def test_a_part_has_the_images_of_the_whole() -> None:
    whole = Photos("train", channels=1)
    kept, out = held_out(whole, 0.4)
    for part in (kept, out):
        for index, name in enumerate(part.names):
            assert np.array_equal(part.clean(index), whole.clean(whole.names.index(name)))
            assert part.size(index) == whole.size(whole.names.index(name))
    assert (kept.name, kept.channels, kept.has_clean, kept.has_noisy) == (whole.name, 1, True, False)
    assert kept.fingerprint != out.fingerprint


@pytest.mark.parametrize("how", ["fresh", "fixed"])
def test_what_is_held_out_is_noisy_alone_and_always_the_same(how: Any) -> None:
    noise = Gaussian(sigma=25) if how == "fresh" else FixedPattern()
    own = TrainingData(Photos("train"), noise, Training(10, 24, 3, how), None, Holdout(0.2, 2, 4, 2))
    data = DataModule(Photos(crop=32), noise, 0, train=own)
    first, again = data.held_out_batches(), data.held_out_batches()
    assert len(first) == 4
    for one_batch, other in zip(first, again, strict=True):
        assert one_batch.noisy.shape == (3, 3, 24, 24)
        assert torch.equal(one_batch.noisy, other.noisy)
        assert one_batch.clean is None
        assert one_batch.target is None
    assert not torch.equal(first[0].noisy, first[1].noisy)
    assert data.train is not None
    assert data.held_out is not None
    assert set(data.train.images.names).isdisjoint(data.held_out.names)
    whole = DataModule(Photos(crop=32), noise, 0, train=TrainingData(Photos("train"), noise, own.training))
    assert whole.held_out_batches() == []


def loss_of(weights: Path, steps: int) -> float:
    """Of the weights that were kept, on the held-out batches, as at the last step."""
    method = built(*STOPS)
    method.load_state_dict(load_file(weights))
    job = one(*STOPS)
    assert job.learning
    own = job.learning
    data = DataModule(job.test_set, job.noise, 0, train=TrainingData(own.images, own.noise, own.training, None, own.holdout))
    losses = []
    with isolated_rng(seed_from(0, "held out")), torch.no_grad():
        for batch in data.held_out_batches():
            losses.append(method.eval().loss(batch.noisy, (steps - 1) / steps).double().item())
    return float(np.mean(losses))


def test_a_training_ends_and_keeps_the_weights_of_the_lowest_loss() -> None:
    [cell] = computed(*STOPS)
    points = [(int(p["step"]), float(p["loss"])) for p in read_csv(cell.training / "holdout.csv")]
    steps, losses = [step for step, _ in points], [loss for _, loss in points]
    assert steps == list(range(2, steps[-1] + 1, 2))
    assert steps[-1] < 60, "it ended before its last step"
    assert losses.index(min(losses)) == len(losses) - 1 - 3
    for end in range(1, len(losses)):
        assert end - 1 - losses[:end].index(min(losses[:end])) < 3, "and at no step before"
    assert loss_of(weights_in(cell.training), 60) == pytest.approx(min(losses), rel=1e-6)
    about = json.loads((cell.training / "training.json").read_text())
    assert about["steps"] == steps[-1] == int(read_csv(cell.training / "curve.csv")[-1]["step"])
    assert about["reads"]["clean"] == about["reads"]["target"] == about["reads"]["given_clean"] == 0
    with (cell.folder / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["method"], row["selection"]) for row in rows} == {(cell.label, "holdout")}
    assert "stop=holdout" in cell.label
    assert {row["train_steps"] for row in rows} == {str(steps[-1])}
    ticks = {tick.name: tick for tick in audit(summarise(read_study(find_study("default")))[0])}
    assert (ticks["selection"].state, ticks["noisy only"].state) == ("ok", "ok")
    assert "held out" in ticks["selection"].evidence
    [curve] = curves([cell])
    assert curve.held_out == points
    assert f"held-out noisy images, lowest at step {points[losses.index(min(losses))][0]}" in curve_plot(curve)


def test_without_an_end_it_goes_through_all_its_steps() -> None:
    [cell] = computed(*OF, "stop=holdout", "holdout.every=4", "holdout.patience=50", "training.steps=10")
    assert [int(point["step"]) for point in read_csv(cell.training / "holdout.csv")] == [4, 8, 10]
    assert json.loads((cell.training / "training.json").read_text())["steps"] == 10


class KilledError(RuntimeError):
    pass


def run(folder: Path, fail_at: int | None) -> None:
    torch.manual_seed(0)
    method = built(*STOPS).train()
    own = TrainingData(Photos("train"), Gaussian(sigma=25), Training(60, 24, 2, "fresh"), None, Holdout(0.2, 2, 2, 3))
    data = DataModule(Photos(crop=32), Gaussian(sigma=25), 0, train=own)
    step, calls = method.training_step, [0]

    def failing(batch: Any, batch_idx: int) -> Tensor:
        calls[0] += 1
        if calls[0] == fail_at:
            raise KilledError
        return step(batch, batch_idx)

    method.training_step = failing
    trained(method, data, folder, Course(0, Engine(checkpoint_s=0)))


@pytest.mark.parametrize("before_the_end", [0, 3])
def test_a_training_that_was_killed_ends_as_the_undisturbed_one(tmp_path: Path, before_the_end: int) -> None:
    run(tmp_path / "undisturbed", None)
    steps = json.loads((tmp_path / "undisturbed" / "training.json").read_text())["steps"]
    assert 6 < steps < 60
    with pytest.raises(KilledError):
        run(tmp_path / "killed", steps - before_the_end)
    run(tmp_path / "killed", None)
    first, second = (load_file(weights_in(tmp_path / name)) for name in ("undisturbed", "killed"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    for name in ("holdout.csv", "curve.csv"):
        assert (tmp_path / "undisturbed" / name).read_text() == (tmp_path / "killed" / name).read_text()
    assert not (tmp_path / "killed" / "last.ckpt").exists()


def test_it_is_part_of_the_training_and_silent_without_one() -> None:
    plain, stops, later = (one(*OF, *more).cell for more in ((), ("stop=holdout",), ("stop=holdout", "holdout.patience=9")))
    assert len({plain.train_key, stops.train_key, later.train_key}) == 3
    assert "stop=holdout" in stops.label
    assert one(*OF, "holdout.patience=9").cell.key == plain.key, "of no meaning without stop=holdout"
    assert one("method=nlm", "stop=holdout").cell.key == one("method=nlm").cell.key


def test_what_cannot_be_held_out_is_refused(tmp_path: Path) -> None:
    stop = ("budget=smoke", "stop=holdout")
    wrong = {"noise2clean": "learns from targets", "noise2noise": "learns from targets", "at_bsn": "has stages"}
    for method, said in wrong.items():
        assert said in (impossible_reason(one(f"method={method}", *stop)) or "")
    write_png(tmp_path / "a.png", np.random.default_rng(0).random((40, 40, 3)))
    alone = one("method=neighbor2neighbor", *stop, "train_set=folder", f"train_set.clean={tmp_path}")
    assert "has one" in (impossible_reason(alone) or "")
    assert impossible_reason(one("method=neighbor2neighbor", *stop)) is None
    with pytest.raises(ConfigError, match="leave one out"):
        one("method=neighbor2neighbor", *stop, "training.selection=oracle", "validation.every=5")
    with pytest.raises(ConfigError, match="share"):
        one("method=neighbor2neighbor", *stop, "holdout.share=1")
    with pytest.raises(ConfigError, match="one device"):
        check(one("method=neighbor2neighbor", *stop, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"), 1)


def test_photographs_that_are_said_later_hold_out_others() -> None:
    for seed, name in enumerate(("a_1", "a_2", "b_1", "b_2")):
        write_png(Path("cuts") / f"{name}.png", np.random.default_rng(seed).random((40, 40, 3)))
    own = ("method=neighbor2neighbor", "dataset=folder", "dataset.clean=cuts", "noise=gaussian25", "training.noise=fixed")
    scenes = "dataset.scene='(.)_.'"
    assert one(*own, "stop=holdout").cell.train_key != one(*own, "stop=holdout", scenes).cell.train_key
    assert one(*own).cell.train_key == one(*own, scenes).cell.train_key
