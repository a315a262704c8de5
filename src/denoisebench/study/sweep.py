"""A sweep: what of its plan is left, how a launcher gets it, and what one of the launcher's jobs does."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.markup import escape
from rich.table import Table

from denoisebench import config
from denoisebench.config import ConfigError, Job
from denoisebench.progress import console, output_console
from denoisebench.store.cells import STATES, Cell, read_plan, study_folder
from denoisebench.study import run

SECONDS_BETWEEN_LOOKS = (1.0, 30.0)  # the first, the longest
BASIC = "BasicLauncher"
STOP = ".stopped"  # in a study's folder: a cell failed and on_error=stop


class StoppedError(Exception):
    """A cell failed, and the sweep was to end with the first that does."""


# --- In the process that was started ------------------------------------------------------------------------------


def launcher(jobs: Sequence[Job], planned: Sequence[Cell]) -> Callable[[], None]:
    """What hands a sweep's unfinished cells to its launcher, and waits for it.

    A basic launcher gets all cells as one job; others get a job for each training with its test cells, so that no
    process waits for another's network. Raises: ConfigError; the result raises LaunchError.
    """
    settings, launch = config.launcher([*_place(planned[0]), *jobs[0].settings], work)
    if settings.on_error not in ("continue", "stop"):
        raise ConfigError(f"on_error={settings.on_error}; {config.nearest(settings.on_error, ['continue', 'stop'])}")
    alone = str(settings.hydra.launcher._target_).endswith(BASIC)
    items: dict[tuple[object, ...], list[Cell]] = {}
    for job, cell in zip(jobs, planned, strict=True):
        if run.is_left(job, cell):
            key = (cell.root, cell.study, job.shard, None if alone else cell.train_key or cell.key)
            items.setdefault(key, []).append(cell)
    threads = [] if settings.threads is None else [f"threads={settings.threads}"]
    (study_folder(planned[0].root, planned[0].study) / STOP).unlink(missing_ok=True)
    work_items = [[*_item(cells, shard), *threads] for (_, _, shard, _), cells in items.items()]
    return lambda: launch(work_items) if work_items else None


def _place(cell: Cell) -> list[str]:
    return [f"root={config.quoted(cell.root)}", f"study={config.quoted(cell.study)}"]


def _item(cells: Sequence[Cell], shard: object) -> list[str]:
    keys = ",".join(dict.fromkeys(config.quoted(cell.key) for cell in cells))
    return [*_place(cells[0]), f"cells=[{keys}]", f"shard={shard or 'null'}"]


def failed_jobs(study: Path, settings: Sequence[str]) -> list[Job]:
    """The jobs of a study's failed cells, to be tried again."""
    failed = [cell for cell in read_plan(study).values() if cell.state == "failed"]
    return [_job(cell, [*(o for o in cell.overrides if not o.startswith("force=")), *settings]) for cell in failed]


def _job(cell: Cell, overrides: Sequence[str]) -> Job:
    """The job of a planned cell, where its study lies now."""
    job = config.job_of(overrides)
    job.config.root, job.config.study = cell.root, cell.study
    return job


def print_plan(jobs: Sequence[Job], planned: Sequence[Cell]) -> None:
    """Each cell as done, unfinished, missing or impossible, and the trainings that they share."""
    out, made = output_console(), run.Made()
    table = Table("method", "dataset", "noise", "seed", "state", "training")
    for job, cell in zip(jobs, planned, strict=True):
        reason = run.impossible_reason(job, made) if cell.state != "done" else None
        state = f"impossible: {reason}" if reason else STATES[cell.state]
        texts = (cell.label, cell.dataset, cell.noise, str(cell.seed), state, cell.train_key or "")
        table.add_row(*map(escape, texts), style="yellow" if reason else None)
    out.print(table)
    for line in _shared(planned):
        out.print(line, markup=False)


def _shared(planned: Sequence[Cell]) -> Iterator[str]:
    trainings: dict[str, list[Cell]] = {}
    for cell in planned:
        if cell.train_key:
            trainings.setdefault(cell.train_key, []).append(cell)
    for key, cells in trainings.items():
        state = "done" if (cells[0].training / "training.json").is_file() else "missing"
        yield f"training {key}, {state}: {len(cells)} cells of {cells[0].label}"


# --- In the launcher's jobs ---------------------------------------------------------------------------------------


def work(settings: DictConfig) -> None:
    """What one of the launcher's jobs does: its cells, one after another, those that another process has in hand last.

    settings: `conf/work.yaml`. Raises: StoppedError.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    study = study_folder(settings.root, settings.study)
    plan = read_plan(study)
    waiting, busy, pause = deque(_known(plan, settings.cells)), 0, SECONDS_BETWEEN_LOOKS[0]
    while waiting:
        if settings.on_error == "stop" and (study / STOP).is_file():
            raise StoppedError("a cell failed, and on_error=stop; the same command goes on with the others")
        cell = waiting.popleft()
        outcome = run.main(_job(cell, cell.overrides).config, settings.shard, plan)
        if outcome == "failed" and settings.on_error == "stop":
            (study / STOP).touch()
        busy = busy + 1 if outcome == "busy" else 0
        if outcome == "busy":
            waiting.append(cell)
        if busy and busy == len(waiting):
            console.print(f"waiting  {cell}: another process has it in hand", markup=False)
        if waiting and busy >= len(waiting):
            time.sleep(pause)
            pause = min(1.3 * pause, SECONDS_BETWEEN_LOOKS[1])


def _known(plan: Mapping[str, Cell], keys: Sequence[str]) -> Iterator[Cell]:
    """The planned cells of these keys; what has left the plan meanwhile is told."""
    for key in keys:
        if key in plan:
            yield plan[key]
        else:
            console.print(f"cell {key} is no more in the plan: its files have changed; start it again", style="red")
