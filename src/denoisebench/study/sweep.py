"""A sweep: what of its plan is left, how a launcher gets it, and what one of the launcher's jobs does."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from denoisebench.config import Launcher, compose_one, quoted
from denoisebench.config.jobs import job_of, made_or_not
from denoisebench.job import Job, Unmade, Work
from denoisebench.progress import console
from denoisebench.store.cell import Cell, study_folder
from denoisebench.store.plan import read_plan
from denoisebench.streams import steady_output
from denoisebench.study.cell import Outcome, compute
from denoisebench.study.deaths import died, forget, last_words
from denoisebench.study.failures import fail
from denoisebench.study.finished import is_left

SECONDS_BETWEEN_LOOKS = (1.0, 30.0)  # the first, the longest
STOP = ".stopped"  # in a study's folder: a cell failed and on_error=stop


class StoppedError(Exception):
    """A cell failed, and the sweep was to end with the first that does."""


# --- In the process that was started ------------------------------------------------------------------------------


def launcher(planned: Sequence[Job]) -> Callable[[], None]:
    """What hands a sweep's unfinished cells to its launcher, and waits for it.

    A basic launcher gets all cells as one work item; others get one for each training with its test cells, so that no
    process waits for another's network. Raises: ConfigError; the result raises LaunchError.
    """
    first = planned[0].cell
    launch = Launcher([*_place(first), *planned[0].launch], work)
    items: dict[tuple[object, ...], list[Cell]] = {}
    for job in sorted(filter(is_left, planned), key=_was_begun):
        if job.force or not died(job.cell):
            own = None if launch.in_this_process else job.cell.train_key or job.cell.key
            items.setdefault((job.cell.root, job.cell.study, job.shard, own), []).append(job.cell)
    threads = [] if launch.threads is None else [f"threads={launch.threads}"]
    (study_folder(first.root, first.study) / STOP).unlink(missing_ok=True)
    work_items = [[*_item(cells, shard), *threads] for (_, _, shard, _), cells in items.items()]
    return lambda: launch(work_items) if work_items else None


def _was_begun(job: Job) -> bool:
    """Those come last that a process was computing when it ended: they may end this one too."""
    return job.cell.state == "running"


def _place(cell: Cell) -> list[str]:
    return [f"root={quoted(cell.root)}", f"study={quoted(cell.study)}"]


def _item(cells: Sequence[Cell], shard: object) -> list[str]:
    keys = ",".join(dict.fromkeys(quoted(cell.key) for cell in cells))
    return [*_place(cells[0]), f"cells=[{keys}]", f"shard={shard or 'null'}"]


def failed_jobs(study: Path, settings: Sequence[str]) -> tuple[list[Job], list[Unmade]]:
    """The jobs of a study's failed cells, to be tried again, and the cells that lack a file or a set of images."""
    failed = [cell for cell in read_plan(study).values() if cell.state == "failed" or last_words(cell)]
    for cell in failed:
        forget(cell)
    composed = [compose_one([*(o for o in cell.overrides if not o.startswith("force=")), *settings]) for cell in failed]
    jobs, unmade = made_or_not(composed)
    return [job.at(str(study.parent), study.name) for job in jobs], unmade


def _job(cell: Cell, overrides: Sequence[str]) -> Job:
    """The job of a planned cell, where its study lies now."""
    return job_of(overrides).at(cell.root, cell.study)


# --- In the launcher's jobs ---------------------------------------------------------------------------------------


@steady_output()
def work(item: Work) -> None:
    """Computes the cells of a work item, one after another, those that another process has in hand last.

    Raises: StoppedError.
    """
    if item.threads:
        torch.set_num_threads(item.threads)
    study = study_folder(item.root, item.study)
    plan = read_plan(study)
    waiting, busy, pause = deque(_known(plan, item.cells)), 0, SECONDS_BETWEEN_LOOKS[0]
    while waiting:
        if item.on_error == "stop" and (study / STOP).is_file():
            raise StoppedError("a cell failed, and on_error=stop; the same command goes on with the others")
        cell = waiting.popleft()
        outcome = _computed(cell, item.shard, plan)
        if outcome == "failed" and item.on_error == "stop":
            (study / STOP).touch()
        busy = busy + 1 if outcome == "busy" else 0
        if outcome == "busy":
            waiting.append(cell)
        if busy and busy == len(waiting):
            console.print(f"waiting  {cell}: another process has it in hand", markup=False)
        if waiting and busy >= len(waiting):
            time.sleep(pause)
            pause = min(1.3 * pause, SECONDS_BETWEEN_LOOKS[1])


def _computed(cell: Cell, shard: str | None, plan: Mapping[str, Cell]) -> Outcome:
    """One cell; one whose files or settings are no longer there fails alone."""
    try:
        job = _job(cell, cell.overrides)
    except (OSError, ValueError) as error:
        fail(cell, error, shard)
        return "failed"
    return compute(replace(job, shard=shard), plan)


def _known(plan: Mapping[str, Cell], keys: Sequence[str]) -> Iterator[Cell]:
    """The planned cells of these keys; what has left the plan meanwhile is told."""
    for key in keys:
        if key in plan:
            yield plan[key]
        else:
            console.print(f"cell {key} is no more in the plan: its files have changed; start it again", style="red")
