"""Jobs -> the cells of a study, checked before anything runs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.markup import escape
from rich.table import Table

from denoisebench.config import ConfigError
from denoisebench.job import Job
from denoisebench.progress import output_console
from denoisebench.store.cell import Cell, study_folder
from denoisebench.store.plan import add_to_plan
from denoisebench.store.status import STATES
from denoisebench.study import again
from denoisebench.study.costs import Costs, left_of, study_rows
from denoisebench.study.limits import check, impossible_reason
from denoisebench.study.sets import check_sets
from denoisebench.study.speed import speed_of


def plan(jobs: Sequence[Job], *, keep: bool = True) -> list[Job]:
    """The same jobs with their cells as their study's plan has them, added to it if it is to keep them; those not done are
    checked.

    Raises: ConfigError for what is not valid.
    """
    for job in jobs:
        if job.cell.state != "done" or job.force or again.is_done_again(job):
            check(job, len(jobs))
    check_sets(jobs)
    _check_asked_once(jobs)
    if not keep:
        return list(jobs)
    planned: dict[tuple[str, str, str], Cell] = {}
    for root, study in dict.fromkeys((job.cell.root, job.cell.study) for job in jobs):
        own = [job.cell for job in jobs if (job.cell.root, job.cell.study) == (root, study)]
        planned |= {(root, study, cell.key): cell for cell in add_to_plan(study_folder(root, study), own)}
    found = [replace(job, cell=planned[job.cell.root, job.cell.study, job.cell.key]) for job in jobs]
    again.ask(found)
    return found


def _check_asked_once(jobs: Sequence[Job]) -> None:
    """That one cell is not asked for under several protocols by several jobs: the last alone would count."""
    asked: dict[tuple[str, str, str], set[str]] = {}
    for job in jobs:
        cell, protocols = job.cell, {protocol.name for protocol in job.protocols}
        if protocols != asked.setdefault((cell.root, cell.study, cell.key), protocols):
            both = ",".join(sorted(protocols | asked[cell.root, cell.study, cell.key]))
            raise ConfigError(f"{cell} is asked for under several protocols, one at a time: write protocol=[{both}]")


def print_plan(planned: Sequence[Job]) -> None:
    """Each cell as done, unfinished, missing or impossible, the trainings that they share, and how long what is left takes."""
    out = output_console()
    table = Table("method", "dataset", "noise", "seed", "state", "training")
    for job in planned:
        cell = job.cell
        reason = impossible_reason(job) if cell.state != "done" else None
        state = f"impossible: {reason}" if reason else STATES[cell.state]
        texts = (cell.label, cell.dataset, cell.noise, str(cell.seed), state, cell.train_key or "")
        table.add_row(*map(escape, texts), style="yellow" if reason else None)
    out.print(table)
    for line in _trainings([job.cell for job in planned]):
        out.print(line, markup=False)
    out.print(str(left_of(planned, Costs(study_rows(planned), speed_of))), markup=False)


def plan_plain(planned: Sequence[Job]) -> dict[str, Any]:
    """What `print_plan` says, for programs: docs/json.md describes it."""
    left = left_of(planned, Costs(study_rows(planned), speed_of))
    shared: dict[str, list[Cell]] = {}
    for job in planned:
        if job.cell.train_key:
            shared.setdefault(job.cell.train_key, []).append(job.cell)
    trainings = [
        {"key": key, "done": (own[0].training / "training.json").is_file(), "cells": [cell.key for cell in own]}
        for key, own in shared.items()
    ]
    return {
        "schema": "denoisebench/plan/1", "cells": list(map(_cell_plain, planned)), "trainings": trainings, "left": asdict(left),
    }  # fmt: skip


def _cell_plain(job: Job) -> dict[str, Any]:
    reason = impossible_reason(job) if job.cell.state != "done" else None
    return {**job.cell.plain, "impossible": reason, "training": job.cell.train_key}


def _trainings(cells: Sequence[Cell]) -> Iterator[str]:
    shared: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.train_key:
            shared.setdefault(cell.train_key, []).append(cell)
    for key, own in shared.items():
        state = "done" if (own[0].training / "training.json").is_file() else "missing"
        yield f"training {key}, {state}: {len(own)} cell{'s' * (len(own) > 1)} of {own[0].label}"
