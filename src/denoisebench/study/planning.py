"""Jobs -> the cells of a study, checked before anything runs."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.markup import escape
from rich.table import Table

from denoisebench.config import ConfigError
from denoisebench.job import Job, Unmade
from denoisebench.progress import console, counted, output_console
from denoisebench.store.cell import LONGEST_NAME, Cell, file_name, study_folder
from denoisebench.store.plan import add_to_plan
from denoisebench.store.status import STATES
from denoisebench.study import again
from denoisebench.study.costs import Costs, Left, left_of, study_rows
from denoisebench.study.lacking import Here
from denoisebench.study.limits import check, impossible_reason
from denoisebench.study.sets import check_sets
from denoisebench.study.speed import speed_of


def plan(jobs: Sequence[Job], *, keep: bool = True) -> list[Job]:
    """The same jobs with their cells as their study's plan has them, added to it if it is to keep them; those not done are
    checked, and what they lack here is noted.

    Raises: ConfigError for what is not valid, and where every job lacks something and the plan is to be kept.
    """
    for study in dict.fromkeys(job.cell.study for job in jobs):
        _check_name(study)
    for job in filter(_is_to_do, jobs):
        check(job, len(jobs))
    _check_asked_once(jobs)
    here = Here()
    jobs = [replace(job, lacks=here.lacks(job)) if _is_to_do(job) else job for job in _once(jobs)]
    here.memo.keep()
    check_sets([job for job in jobs if not job.lacks])
    if not keep:
        return jobs
    if jobs and all(job.lacks for job in jobs):
        raise ConfigError("; ".join(dict.fromkeys(str(job.lacks) for job in jobs)))
    planned: dict[tuple[str, str, str], Cell] = {}
    for root, study in dict.fromkeys((job.cell.root, job.cell.study) for job in jobs):
        own = [job.cell for job in jobs if (job.cell.root, job.cell.study) == (root, study)]
        planned |= {(root, study, cell.key): cell for cell in add_to_plan(study_folder(root, study), own)}
    jobs = [replace(job, cell=planned[job.cell.root, job.cell.study, job.cell.key]) for job in jobs]
    _tell_lacking(job for job in jobs if job.lacks)
    again.ask([job for job in jobs if not job.lacks])
    return jobs


def _is_to_do(job: Job) -> bool:
    return job.cell.state != "done" or job.force or again.is_done_again(job)


def _once(jobs: Sequence[Job]) -> list[Job]:
    """Each cell of a command once, and what made several of them one."""
    same: dict[object, list[Job]] = {}
    for job in jobs:
        same.setdefault((job.cell.root, job.cell.study, job.cell.key, job.shard), []).append(job)
    for own in same.values():
        if len(own) > 1:
            common = set.intersection(*(set(job.overrides) for job in own))
            differ = list(dict.fromkeys(o for job in own for o in job.overrides if o not in common))
            by = f": {', '.join(differ)} make no difference to it" if differ else ""
            console.print(f"{own[0].cell} was asked for {len(own)} times, and is one cell{by}", style="yellow", markup=False)
    return [own[0] for own in same.values()]


def _check_name(study: str) -> None:
    """That a study's name is its folder's, so that no two share one and `report` finds it by what was typed."""
    if (folder := file_name(study)) != study:
        shown = study if len(study) <= LONGEST_NAME else f"{study[:LONGEST_NAME]}... ({len(study)} characters)"
        raise ConfigError(
            f"study={shown} is not a plain name of a folder: at most {LONGEST_NAME} letters, digits and - _ . , = [ ] +, no . at "
            f"either end; did you mean study={folder.lstrip('_') or 'default'}?"
        )


def _tell_lacking(jobs: Iterable[Job]) -> None:
    for job in jobs:
        if job.cell.state != "done":  # what is there of a finished cell stays
            job.cell.set_status("skipped", reason=job.lacks)
        console.print(f"skipped  {job.cell}: {job.lacks}", style="yellow", markup=False)


def _check_asked_once(jobs: Sequence[Job]) -> None:
    """That one cell is not asked for under several protocols by several jobs: the last alone would count."""
    asked: dict[tuple[str, str, str], set[str]] = {}
    for job in jobs:
        cell, protocols = job.cell, set(job.protocol_names)
        if protocols != asked.setdefault((cell.root, cell.study, cell.key), protocols):
            both = ",".join(sorted(protocols | asked[cell.root, cell.study, cell.key]))
            raise ConfigError(f"{cell} is asked for under several protocols, one at a time: write protocol=[{both}]")


def refuse_if_none(jobs: Sequence[Job], unmade: Sequence[Unmade]) -> None:
    """Raises: what no job could be made for, where that is all there was."""
    if unmade and not jobs:
        reasons = list(dict.fromkeys(str(one.error) for one in unmade))
        raise unmade[0].error if len(reasons) == 1 else ConfigError("; ".join(reasons))


def tell_unmade(unmade: Sequence[Unmade]) -> None:
    for one in unmade:
        console.print(f"impossible  {one}: {one.error}", style="yellow", markup=False)


def print_plan(planned: Sequence[Job], unmade: Sequence[Unmade] = ()) -> None:
    """Each cell as done, unfinished, missing or impossible, the trainings that they share, and how long what is left takes."""
    out = output_console()
    table = Table("method", "dataset", "noise", "seed", "state", "training")
    for job in planned:
        cell = job.cell
        reason = impossible_reason(job) if cell.state != "done" else None
        state = f"impossible: {reason}" if reason else STATES[cell.state]
        texts = (cell.label, cell.dataset, cell.noise, str(cell.seed), state, cell.train_key or "")
        table.add_row(*map(escape, texts), style="yellow" if reason else None)
    for one in unmade:
        texts = (one.label, one.dataset, one.noise, str(one.seed), f"impossible: {one.error}", "")
        table.add_row(*map(escape, texts), style="yellow")
    out.print(table)
    for key, own in _sharing(planned).items():
        state = "done" if _is_trained(own[0]) else "missing"
        out.print(f"training {key}, {state}: {counted(len(own), 'cell')} of {own[0].label}", markup=False)
    out.print(str(_left(planned, unmade)), markup=False)


def _left(planned: Sequence[Job], unmade: Sequence[Unmade]) -> Left:
    left = left_of(planned, Costs(study_rows(planned), speed_of))
    return replace(left, cells=left.cells + len(unmade), impossible=left.impossible + len(unmade))


def plan_plain(planned: Sequence[Job], unmade: Sequence[Unmade] = ()) -> dict[str, Any]:
    """What `print_plan` says, for programs: docs/json.md describes it."""
    left = _left(planned, unmade)
    trainings = [
        {"key": key, "done": _is_trained(own[0]), "cells": [cell.key for cell in own]} for key, own in _sharing(planned).items()
    ]
    return {
        "schema": "denoisebench/plan/1", "cells": list(map(_cell_plain, planned)), "trainings": trainings, "left": asdict(left),
    }  # fmt: skip


def _cell_plain(job: Job) -> dict[str, Any]:
    reason = impossible_reason(job) if job.cell.state != "done" else None
    return {**job.cell.plain, "impossible": reason, "training": job.cell.train_key}


def _sharing(planned: Sequence[Job]) -> dict[str, list[Cell]]:
    """The cells of each training, by its key."""
    shared: dict[str, list[Cell]] = {}
    for job in planned:
        if job.cell.train_key:
            shared.setdefault(job.cell.train_key, []).append(job.cell)
    return shared


def _is_trained(cell: Cell) -> bool:
    return (cell.training / "training.json").is_file()
