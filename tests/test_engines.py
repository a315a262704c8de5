"""Engines that people run: how Slurm's jobs are waited for, and a sweep as tasks of Ray."""

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from denoisebench import cli, config
from denoisebench.config import LaunchError, ray_launcher, slurm_jobs, submitit_launcher
from denoisebench.config.launching import work_of
from denoisebench.config.ray_launcher import RayLauncher
from denoisebench.job import Work
from denoisebench.store.plan import read_plan
from test_run import SMALL, rows_of, without_costs

# --- Slurm -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a false `squeue` prints; it notes each call beside it. `sacct` complains, as without accounting."""
    printed, folder = tmp_path / "queue", tmp_path / "bin"
    folder.mkdir()
    for name, script in (
        ("squeue", f'echo "$@" >> {tmp_path / "calls"}; cat {printed} || exit 1'),
        ("sacct", "echo Slurm accounting storage is disabled >&2; exit 1"),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    return printed


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A job of an array, as the launcher waits for it."""
    submitit = pytest.importorskip("submitit")
    monkeypatch.setattr(submitit.SlurmJob, "watcher", submitit.SlurmJob.watcher)
    monkeypatch.setattr(submitit.SlurmJob, "_results_timeout_s", 0)
    slurm_jobs.watch()
    return submitit.SlurmJob(tmp_path / "%j", "7_1", tasks=[0])


def test_a_queue_is_read_with_each_job_of_an_array() -> None:
    found = slurm_jobs.states("7_0|RUNNING\n7_1|PENDING\n\n8|COMPLETING\n")
    assert found == {"7_0": "RUNNING", "7_1": "PENDING", "8": "COMPLETING"}
    assert [slurm_jobs.state_of(one, found) for one in ("7_0", "8", "9")] == ["RUNNING", "RUNNING", "COMPLETED"]


def test_a_job_that_left_the_queue_without_a_result_is_over_within_seconds_and_quietly(
    queue: Path, job: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(slurm_jobs, "SECONDS_BETWEEN_QUESTIONS", 0)
    queue.write_text("7_0|RUNNING\n7_1|RUNNING\n")
    assert not job.done()
    queue.write_text("7_0|RUNNING\n")
    time.sleep(0.01)
    assert job.done()
    assert capfd.readouterr() == ("", "")
    (job.paths.folder).mkdir()
    with pytest.raises(Exception, match="has not produced any output"):
        job.results()


def test_a_result_is_taken_whatever_the_queue_says(queue: Path, job: Any) -> None:
    queue.write_text("7_1|RUNNING\n")
    job.paths.folder.mkdir()
    job.paths.result_pickle.write_bytes(pickle.dumps(("success", 5)))
    assert job.results() == [5]


def test_the_queue_is_asked_at_even_intervals_however_long_jobs_run(
    queue: Path, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.write_text("7_1|RUNNING\n")
    now = time.time()
    with monkeypatch.context() as patch:
        for second in range(0, 100, 2):
            patch.setattr(time, "time", lambda later=second: now + 5000 + later)
            assert not job.done()
    assert len((queue.parent / "calls").read_text().splitlines()) == pytest.approx(100 / 12, abs=2)


def test_without_a_queue_a_job_counts_as_running(queue: Path, job: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert not job.done()
    assert capfd.readouterr() == ("", "")


class Ended(SimpleNamespace):
    """A job of submitit that is done when it was asked so often."""

    def done(self) -> bool:
        self.looks -= 1
        return self.looks < 0

    def results(self) -> list[Any]:
        if isinstance(self.result, Exception):
            raise self.result
        return [self.result]


def test_results_of_jobs_come_as_they_end_and_a_failure_waits_for_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(submitit_launcher, "SECONDS_BETWEEN_LOOKS", 0)
    trace = f"Job (task=0) failed during processing with trace:\n{'-' * 22}\nTraceback\nValueError: boom\n{'-' * 22}\nlogs:\n - a"
    paths = SimpleNamespace(stderr="7_1.err")
    jobs = [
        Ended(job_id=f"7_{number}", looks=looks, result=result, paths=paths)
        for number, (looks, result) in enumerate([(2, "slow"), (0, RuntimeError(trace)), (1, "quick")])
    ]
    results = submitit_launcher._results(jobs)
    assert [next(results), next(results)] == ["quick", "slow"]
    with pytest.raises(LaunchError, match=r"^job 7_1: ValueError: boom \(its output: 7_1\.err\)$"):
        next(results)
    assert capsys.readouterr().err == "job 7_1: ValueError: boom; 2 others left\n"


@pytest.mark.parametrize("requeued", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_a_job_whose_time_is_over_stops_what_it_computes_politely(training: bool, requeued: bool) -> None:
    asked: list[str] = []

    def theirs(*_: object) -> None:  # submitit's
        asked.append("theirs")
        if requeued:
            raise SystemExit
        raise ValueError("Job not requeued because: timed-out too many times.")

    def run(item: Sequence[str]) -> None:
        if not training:
            signal.raise_signal(signal.SIGUSR2)
        signal.signal(signal.SIGUSR1, lambda *_: asked.append("checkpoint"))
        signal.raise_signal(signal.SIGUSR2)
        raise KeyboardInterrupt  # as a training does once its checkpoint is written

    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    try:
        signal.signal(signal.SIGUSR2, theirs)
        with pytest.raises(SystemExit if requeued else ValueError):
            slurm_jobs.Limited(run)(["item"])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert asked == (["checkpoint", "theirs"] if training else ["theirs"])


def test_a_launcher_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitit_launcher, "find_spec", lambda name: None)
    for name in ("slurm", "local"):
        with pytest.raises(config.ConfigError, match=rf"launcher={name} is not installed: pip install 'denoisebench\[slurm\]'"):
            config.Launcher(["root=runs", "study=s", f"launcher={name}"], lambda work: None)


def test_without_slurm_the_launcher_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    launch = config.Launcher(["root=runs", "study=s", "launcher=slurm"], print)
    with pytest.raises(LaunchError, match=r"launcher=slurm: .*srun"):
        launch([["cells=['a']"]])


# --- Ray, a false one ------------------------------------------------------------------------------------------------


class Ray(SimpleNamespace):
    """Runs tasks when they are waited for, the last one first; what they are given is pickled."""

    def __init__(self) -> None:
        super().__init__(started=None, options=None, stopped=0)

    def is_initialized(self) -> bool:
        return False

    def init(self, **settings: Any) -> None:
        self.started = settings

    def shutdown(self) -> None:
        self.stopped += 1

    def remote(self, **options: Any) -> Callable[..., Any]:
        self.options = options
        return lambda act: SimpleNamespace(remote=lambda *given: (act, pickle.dumps(given)))

    def wait(self, waiting: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        return waiting[-1:], waiting[:-1]

    def get(self, task: Any) -> Any:
        act, given = task
        return act(*pickle.loads(given))


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    false = Ray()
    monkeypatch.setitem(sys.modules, "ray", false)  # type: ignore[arg-type]
    monkeypatch.setattr(ray_launcher, "find_spec", lambda name: name)
    return false


def denoisebench(*arguments: str) -> int:
    return cli.main(["run", "-m", *SMALL, *arguments])


def test_a_sweep_by_ray_gives_the_rows_of_one_without(ray: Ray) -> None:
    grid = ("method=noisy,nlm", "noise=gaussian25,camera")
    assert denoisebench(*grid, "launcher=ray", "hydra.launcher.address=head:6379", "hydra.launcher.num_cpus=2") == 0
    assert ray.started["address"] == "head:6379"
    assert "num_cpus" not in ray.started, "a cluster has the cores that it has"
    assert ray.options["num_cpus"] == 2
    assert ray.stopped == 1
    assert denoisebench(*grid, "study=plain") == 0
    by_ray, plain = (read_plan(Path("runs") / study) for study in ("default", "plain"))
    assert by_ray.keys() == plain.keys()
    for key, cell in by_ray.items():
        theirs = [{**row, "study": "default"} for row in without_costs(rows_of(plain[key]))]
        assert without_costs(rows_of(cell)) == theirs


def test_without_an_address_ray_runs_here(ray: Ray) -> None:
    assert denoisebench("method=noisy", "launcher=ray") == 0
    assert ray.started["address"] == "local"


def test_one_key_of_the_launcher_that_is_not_there_is_refused(ray: Ray, capsys: pytest.CaptureFixture[str]) -> None:
    assert denoisebench("method=noisy", "launcher=ray", "hydra.launcher.adress=auto") == 2
    assert "hydra.launcher.adress" in capsys.readouterr().err


def test_results_come_as_they_finish_and_a_failure_waits_for_the_others(ray: Ray, capsys: pytest.CaptureFixture[str]) -> None:
    results = RayLauncher().launch([["1"], ["2"], ["boom"], ["4"]], returned)
    assert next(results) == "4"
    assert (next(results), next(results)) == ("2", "1")
    with pytest.raises(ValueError, match="boom"):
        next(results)
    assert "a Ray task failed, 2 others left: boom" in capsys.readouterr().err


def returned(item: Sequence[str]) -> str:
    if item[0] == "boom":
        raise ValueError("boom")
    return item[0]


def test_a_node_without_the_runs_folder_is_told_so(ray: Ray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = work_of([f"root={tmp_path}", "study=s", "cells=['a']", "train_s=[null]", "test_s=[1.5]", "before=3"])
    assert work == Work(str(tmp_path), "s", ["a"], None, None, "continue", 3, [None], [1.5])
    with pytest.raises(LaunchError, match=r"does not see .*: set root to a folder that all nodes share"):
        ray_launcher.check_shared(work)
    with pytest.raises(LaunchError, match=r"has no folder .*nowhere"):
        ray_launcher._at(returned, ["1"], str(tmp_path / "nowhere"))
