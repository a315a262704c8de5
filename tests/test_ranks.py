"""One training in several processes: what they learn, what they refuse, and how they end."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from denoisebench import cli, config
from denoisebench.cli import app
from denoisebench.config.jobs import job_of, jobs
from denoisebench.denoiser import DatasetDenoiser
from denoisebench.methods.at_bsn import ATBSN
from denoisebench.methods.sasl import SASL
from denoisebench.methods.tm_bsn import TMBSN
from denoisebench.networks.weight_files import read_file
from denoisebench.scoring.evidence import ReadCount
from denoisebench.store.cell import Cell
from denoisebench.study.cell import compute
from denoisebench.study.engines import engine_of
from denoisebench.study.planning import plan
from denoisebench.training import ranks
from denoisebench.training.callbacks import SeededSteps, TrainingLog
from denoisebench.training.ranks import RankError, led

SMALL = ("method=noise2clean", "budget=smoke", "dataset.crop=48", "pictures=0", "trainer.threads=1")
TWO = (*SMALL, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def computed(*overrides: str) -> Cell:
    [job] = plan(jobs(overrides, multirun=False))
    compute(job)
    return job.cell


def weights_of(cell: Cell) -> dict[str, torch.Tensor]:
    return read_file(cell.training / "weights.safetensors")


def curve_of(cell: Cell) -> list[dict[str, float]]:
    with (cell.training / "curve.csv").open() as file:
        return [{name: float(value) for name, value in point.items()} for point in csv.DictReader(file)]


def test_two_processes_learn_what_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORLD_SIZE", "RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.setenv(name, "7")  # of another
    for module in ("tempfile", "dataclasses", "numpy"):  # of the folder where the command is typed
        Path(f"{module}.py").write_text("raise SystemExit('not this one')")
    before = dict(os.environ), sys.excepthook
    together = computed(*TWO, "validation.every=2", "validation.images=1", "root=together")
    assert (dict(os.environ), sys.excepthook, torch.get_num_threads()) == (*before, 1)
    assert not torch.distributed.is_initialized()
    alone = computed(*SMALL, "trainer=cpu", "validation.every=2", "validation.images=1", "root=alone")
    assert together.status() == {"state": "done", "images": 3}
    assert (together.key, together.train_key) == (alone.key, alone.train_key)
    assert curve_of(together) == [pytest.approx(point) for point in curve_of(alone)]
    ours, theirs = weights_of(together), weights_of(alone)
    assert all(torch.allclose(ours[name], theirs[name], atol=2e-4) for name in theirs)
    for cell, devices in ((together, 2), (alone, 1)):
        about = json.loads((cell.training / "training.json").read_text())
        assert (about["devices"], about["reads"]["batches"]) == (devices, 3)
        assert json.loads((cell.folder / "manifest.json").read_text())["training_devices"] == devices


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("cls", "name", "moving"),
    [
        (SASL, "sasl", [{"blind"}, {"lan"}, {"network"}]),
        (ATBSN, "at_bsn", [{"teacher"}, {"teacher"}, {"student", "student_started"}]),
        (TMBSN, "tm_bsn", [{"teacher"}, {"teacher"}, {"student"}]),
    ],
)
def test_a_network_of_another_stage_stays_bit_equal_on_two_devices(
    cls: type[DatasetDenoiser], name: str, moving: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps through the switch: each trains its stage's network, and rank 0 sees the others as they were."""
    states: list[dict[str, torch.Tensor]] = []
    loss = cls.loss

    def watched(method: DatasetDenoiser, noisy: torch.Tensor, progress: float) -> torch.Tensor:
        states.append({name: value.clone() for name, value in method.state_dict().items()})
        return loss(method, noisy, progress)

    monkeypatch.setattr(cls, "loss", watched)
    switch = () if name == "sasl" else ("method.switch=0.5",)
    words = (word for word in TWO if not word.startswith("method="))
    cell = computed(f"method={name}", *switch, "training.steps=3", *words)
    assert json.loads((cell.training / "training.json").read_text())["devices"] == 2
    states.append(weights_of(cell))
    moved = [
        {name.partition(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
        for before, after in pairwise(states)
    ]
    assert moved == moving


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("trainer.devices=auto",), "trainer=auto, or set how many"),
        (("trainer.devices=0",), "(1 or more) or auto"),
        (("trainer.devices=two",), "(1 or more) or auto"),
        (("trainer.devices=1.5",), "trainer.devices=1.5 is not valid"),
        (("trainer.devices=3",), "set trainer.devices to a divisor"),
        (("trainer.devices=2", "method=nlm"), "nothing is trained here: use trainer=auto"),
        (("trainer.devices=2", "method=self2self_plus"), "shard=1/4"),
        (("trainer.devices=2", "method=self2self_plus", "shard=1/4"), "use trainer=auto, and shard=1/4"),
        (("trainer.devices=2", "shard=1/4"), "leave shard out"),
        (("trainer.devices=2", "checkpoint=weights.pt"), "nothing is trained here"),
        (("-m", "trainer.devices=2"), "without -m"),
        (("-m", "trainer.devices=1,2"), "without -m"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(
    overrides: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("weights.pt").touch()
    settings = {o.partition("=")[0]: o for o in (*TWO, "trainer.devices=2", *overrides)}
    if "self2self_plus" in settings["method"] or "nlm" in settings["method"]:
        settings["budget"] = "budget=paper"
    assert cli.main(["run", *settings.values()]) == 2
    assert expected in capsys.readouterr().err
    assert not Path("runs").exists()


def test_several_cells_of_several_devices_are_refused_however_they_are_asked_for() -> None:
    both = [job_of([*TWO, f"seed={seed}"]) for seed in (0, 1)]
    with pytest.raises(config.ConfigError, match="without -m"):
        plan(both)


def test_more_gpus_than_there_are_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    job = job_of(["method=noise2clean", "trainer=ddp"])
    assert engine_of(job).devices == 2
    with pytest.raises(config.ConfigError, match="at most 2"):
        engine_of(replace(job, trainer=replace(job.trainer, devices=3)))


def test_each_rank_draws_its_own_and_rank_0_what_one_device_does() -> None:
    draws = []
    for rank in (0, 1, 0):
        SeededSteps(0).on_train_batch_start(SimpleNamespace(global_rank=rank, global_step=5), None, None, 0)  # type: ignore[arg-type]
        draws.append(torch.rand(()).item())
    assert draws[0] == draws[2] != draws[1]


def test_rank_0_says_when_to_save() -> None:
    log = TrainingLog(Path(), 0.0, lambda done, note: None)
    log._saved = 0.0
    said = [False]
    trainer: Any = SimpleNamespace(world_size=2, strategy=SimpleNamespace(broadcast=lambda own: said.append(own) or said[0]))
    assert not log._is_due(50, trainer)
    assert said == [False, True]
    assert not log._is_due(51, trainer)
    assert len(said) == 2


def test_a_rank_that_cannot_start_is_told_with_its_last_words() -> None:
    block = led("raise SystemExit('no such network')", {}, 3, "cpu", print)
    with pytest.raises(RankError, match=r"rank \d ended with code 1:\nno such network"), block:
        pytest.fail("began without the others")
    assert "LOCAL_RANK" not in os.environ


def test_a_process_that_waits_for_a_dead_rank_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "SECONDS_TO_NOTICE", 0.1)
    over, told = Event(), []
    monkeypatch.setattr(os, "_exit", lambda code: over.set())
    with ExitStack() as ending:
        done = ranks._started("", 1, "", ending)
        done.process.wait()
        dead = ranks._started("raise SystemExit('out of memory')", 2, "", ending)
        ranks._watch([done, dead], over, told.append)
    assert str(told[0]) == "rank 2 ended with code 1:\nout of memory"


@pytest.mark.slow
def test_a_dead_rank_fails_the_cell_and_the_same_command_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    long = (*TWO, "training.steps=110", "trainer.checkpoint_s=0")
    undisturbed = computed(*long, "root=undisturbed")
    started, save = ranks._started, TrainingLog._save
    children: list[Any] = []

    def killing(log: TrainingLog, trainer: Any) -> None:
        save(log, trainer)
        children[0].process.send_signal(signal.SIGKILL)

    with monkeypatch.context() as patched:
        patched.setattr(ranks, "_started", lambda *own: children.append(started(*own)) or children[-1])
        patched.setattr(TrainingLog, "_save", killing)
        cell = computed(*long)
    assert cell.state == "failed"
    assert cell.status()["reason"].startswith("RankError: rank 1 ended with code -9")
    checkpoint = torch.load(cell.training / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 50
    assert computed(*long).state == "done"
    assert curve_of(cell) == curve_of(undisturbed)
    ours, theirs = weights_of(cell), weights_of(undisturbed)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_told_as_on_one_device() -> None:
    reason = computed(*TWO, "method.lr=1e30").status()["reason"]
    assert reason.startswith("FloatingPointError: the training loss was")
    assert "lower method.lr" in reason


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_train_batch_end"])
def test_a_polite_kill_ends_rank_0_wherever_the_others_are(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = getattr(ReadCount, hook)

    def interrupted(reads: ReadCount, trainer: Any, *of_hook: Any) -> None:
        called(reads, trainer, *of_hook)
        if trainer.global_step == 2:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(ReadCount, hook, interrupted)
    before = signal.signal(signal.SIGTERM, app._terminated)
    try:
        with pytest.raises(KeyboardInterrupt):
            computed(*TWO, "training.steps=50", "trainer.checkpoint_s=0")
        assert signal.getsignal(signal.SIGTERM) is app._terminated
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_no_rank_outlives_the_first(how: signal.Signals) -> None:
    arguments = ["run", *TWO, "training.steps=1000000", "trainer.checkpoint_s=0"]
    code = f"from denoisebench.cli import main; raise SystemExit(main({arguments}))"
    first = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 300
        while not list(Path().glob("runs/.trained/*/last.ckpt")):
            assert first.poll() is None, first.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.1)
        others = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        assert others
        first.send_signal(how)
        assert first.wait(60) == (130 if how == signal.SIGTERM else -how)
        while any(alive(pid) for pid in others):
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        first.kill()
        first.communicate()


def alive(pid: str) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
