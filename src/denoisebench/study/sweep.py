"""A sweep: what of its plan is left, how a launcher gets it, and what one of the launcher's jobs does."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from denoisebench.config import Launcher, quoted
from denoisebench.config.composed_cache import ComposedCache
from denoisebench.config.jobs import job_of
from denoisebench.config.parts import Made
from denoisebench.environment import own_environment
from denoisebench.job import Job, Unmade, Work
from denoisebench.progress import console, roughly
from denoisebench.store.cell import Cell, study_folder
from denoisebench.store.plan import read_plan
from denoisebench.streams import steady_output
from denoisebench.study import again
from denoisebench.study.costs import expected_of, seconds_of_little
from denoisebench.study.deaths import died, forget, last_words
from denoisebench.study.failures import fail
from denoisebench.study.finished import is_left
from denoisebench.study.outlook import Outlook
from denoisebench.study.ownership import holder
from denoisebench.study.sets import changed_since_planned
from denoisebench.study.workers import end_with_parent

if TYPE_CHECKING:
    from denoisebench.study.cell import Outcome

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
    left = sorted((job for job in planned if is_left(job) and (job.force or not died(job.cell))), key=_was_begun)
    launch = Launcher([*_place(first), *_settings(planned[0].launch, left)], work)
    items: dict[tuple[object, ...], list[Cell]] = {}
    for job in planned:
        if not job.lacks:
            again.tell(job)
    for job in left:
        own = None if launch.in_this_process else job.cell.train_key or job.cell.key
        items.setdefault((job.cell.root, job.cell.study, job.shard, own), []).append(job.cell)
    expected = dict(zip((job.cell.key for job in left), expected_of(left), strict=True)) if left else {}
    common = [] if launch.threads is None else [f"threads={launch.threads}"]
    common += [f"before={len(planned) - len(left)}"] if launch.in_this_process and len(items) == 1 else []
    (study_folder(first.root, first.study) / STOP).unlink(missing_ok=True)
    work_items = [[*_item(cells, shard, expected), *common] for (_, _, shard, _), cells in items.items()]
    return lambda: launch(work_items) if work_items else None


def _was_begun(job: Job) -> bool:
    """Those come last that a process was computing when it ended: they may end this one too."""
    return job.cell.state == "running"


def _settings(launch: Sequence[str], left: Sequence[Job]) -> list[str]:
    """How work is launched: little of it not by `launcher=joblib`, each of whose processes starts PyTorch anew."""
    if "launcher=joblib" not in launch or any(setting.startswith("hydra.launcher") for setting in launch):
        return list(launch)
    seconds = seconds_of_little(left)
    if not left or seconds is None:
        return list(launch)
    console.print(
        f"about {roughly(seconds)} of work: computed in this process, because launcher=joblib takes longer to start its own; "
        "hydra.launcher.n_jobs=2 starts them all the same",
        markup=False,
    )
    return [setting for setting in launch if setting != "launcher=joblib"]


def _place(cell: Cell) -> list[str]:
    return [f"root={quoted(cell.root)}", f"study={quoted(cell.study)}"]


Expected = Mapping[str, tuple[float | None, float | None]]


def _item(cells: Sequence[Cell], shard: object, expected: Expected) -> list[str]:
    keys = list(dict.fromkeys(cell.key for cell in cells))
    seconds = [",".join(_number(expected[key][stage]) for key in keys) for stage in (0, 1)]
    return [
        *_place(cells[0]), f"cells=[{','.join(map(quoted, keys))}]", f"shard={shard or 'null'}", f"train_s=[{seconds[0]}]",
        f"test_s=[{seconds[1]}]",
    ]  # fmt: skip


def _number(seconds: float | None) -> str:
    return "null" if seconds is None else f"{seconds:.3f}"


def failed_jobs(study: Path, settings: Sequence[str]) -> tuple[list[Job], list[Unmade]]:
    """The jobs of a study's failed cells, to be tried again, and the cells that lack a file, a set of images or their own
    settings: these keep what is noted of their failure."""
    made, jobs, unmade = Made(), [], []
    for cell in read_plan(study).values():
        if cell.state != "failed" and not last_words(cell):
            continue
        overrides = [one for one in cell.overrides if not one.startswith("force=")]
        try:
            jobs.append(job_of([*overrides, *settings], made).at(str(study.parent), study.name))
        except (OSError, ValueError) as error:
            unmade.append(Unmade(cell.label, cell.dataset, cell.noise, cell.seed, error))
        else:
            forget(cell)
    made.memo.keep()
    return jobs, unmade


def _job(cell: Cell, cache: ComposedCache) -> Job:
    """The job of a planned cell, where its study lies now."""
    return job_of(cell.overrides, cache=cache).at(cell.root, cell.study)


# --- In the launcher's jobs ---------------------------------------------------------------------------------------


@steady_output()
@own_environment()
def work(item: Work) -> None:
    """Computes the cells of a work item, one after another, those that another process has in hand last.

    Raises: StoppedError.
    """
    end_with_parent()
    if item.threads:
        import torch

        torch.set_num_threads(item.threads)
    study = study_folder(item.root, item.study)
    plan = read_plan(study)
    waiting, busy, pause = deque(_known(plan, item.cells)), 0, SECONDS_BETWEEN_LOOKS[0]
    outlook, cache = Outlook(item, plan), ComposedCache()
    while waiting:
        if item.on_error == "stop" and (study / STOP).is_file():
            raise StoppedError("a cell failed, and on_error=stop; the same command goes on with the others")
        cell = waiting.popleft()
        began = time.monotonic()
        with outlook.on(cell):
            outcome = _computed(cell, item.shard, plan, cache)
        outlook.ended(cell, outcome, time.monotonic() - began)
        if outcome == "failed" and item.on_error == "stop":
            (study / STOP).touch()
        busy = busy + 1 if outcome == "busy" else 0
        if outcome == "busy":
            waiting.append(cell)
        if busy and busy == len(waiting):
            console.print(f"waiting  {cell}: another process has it in hand{holder(cell)}", markup=False)
        if waiting and busy >= len(waiting):
            time.sleep(pause)
            pause = min(1.3 * pause, SECONDS_BETWEEN_LOOKS[1])


def _computed(cell: Cell, shard: str | None, plan: Mapping[str, Cell], cache: ComposedCache) -> "Outcome":
    """One cell; one whose files or settings are no longer there fails alone."""
    try:
        job = _job(cell, cache)
    except (OSError, ValueError) as error:
        fail(cell, error, shard)
        return "failed"
    if job.cell.key != cell.key:
        fail(cell, changed_since_planned(job), shard)
        return "failed"
    from denoisebench.study.cell import compute  # imports PyTorch and Lightning

    return compute(replace(job, shard=shard), plan)


def _known(plan: Mapping[str, Cell], keys: Sequence[str]) -> Iterator[Cell]:
    """The planned cells of these keys; what has left the plan meanwhile is told."""
    for key in keys:
        if key in plan:
            yield plan[key]
        else:
            console.print(f"cell {key} is no longer in the plan: its files have changed; start it again", style="red")
