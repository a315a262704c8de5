"""What of a cell is computed again: what `force=true` asks for, once for each command, and what other code computed."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

from denoisebench.job import Job
from denoisebench.progress import console, duration
from denoisebench.store.cell import Cell
from denoisebench.store.code import differing, keep_code, kept_code, mixed
from denoisebench.store.files import held, read_json, write_atomic
from denoisebench.store.finished import read_finished
from denoisebench.store.rows import PartialRows, Row
from denoisebench.study.ownership import part_name

SECONDS = 60.0  # what took no longer is computed again unasked
FORCED = ".forced"  # in a cell's folder: the command that asked last
ROUND = ".round"  # the command that what there is of the cell was computed for


# --- force=true ---------------------------------------------------------------------------------------------------


def ask(jobs: Sequence[Job]) -> None:
    """Note for the forced cells of a command that it asks for them: all its processes compute them for it, once."""
    command = uuid4().hex
    for job in jobs:
        if job.force:
            write_atomic(job.cell.folder / FORCED, command)


def asked_by(cell: Cell) -> str:
    return _read(cell, FORCED)


def _read(cell: Cell, name: str) -> str:
    try:
        return (cell.folder / name).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def trains_again(job: Job) -> bool:
    """Whether a forced cell's network was trained for another command than the one that asks now."""
    try:
        done = read_json(job.cell.training / "training.json")
    except (OSError, ValueError):
        return False
    return job.force and done.get("forced") != asked_by(job.cell)


def counts_nothing(job: Job) -> bool:
    """Whether nothing that was computed of a cell before counts: it is forced, or seconds suffice for what is stale.

    A shard that is forced by a command of its own joins what others have begun for theirs, unless it had its part in that.
    """
    cell = job.cell
    if is_done_again(job):
        return True
    if not job.force or asked_by(cell) == _read(cell, ROUND):
        return False
    begun = job.shard and cell.state != "done" and _read(cell, ROUND)
    return not begun or bool(PartialRows(cell.folder, job.shard).read())


def begin(job: Job) -> None:
    """Forget what was computed of a cell that `counts_nothing`. Raises: BusyError while another process computes a shard."""
    cell, shard = job.cell, job.shard
    own = f".lock.{part_name(shard)}" if shard else None
    with ExitStack() as others:
        for lock in sorted(cell.folder.glob(".lock.*of*")) if shard else ():
            if lock.name != own:
                others.enter_context(held(lock))
        PartialRows(cell.folder, shard).forget()
        write_atomic(cell.folder / ROUND, asked_by(cell) if job.force else "")


# --- Other code ---------------------------------------------------------------------------------------------------


def stale(job: Job) -> list[str]:
    """The parts of a finished cell whose code has changed since; none where its code is unknown."""
    return differing(kept_code(job.cell.folder), job.code) if job.cell.state == "done" else []


def is_done_again(job: Job) -> bool:
    """Whether a finished cell is stale, and took but seconds."""
    return bool(stale(job)) and _cost(read_finished(job.cell.folder)) <= SECONDS


def _cost(rows: Sequence[Row]) -> float:
    first = [row for row in rows if row["protocol"] == rows[0]["protocol"]]
    return sum(float(row["seconds"]) for row in first) + float((rows[0]["train_seconds"] or 0) if rows else 0)


def tell(job: Job) -> None:
    """Of a finished cell that other code computed, and what becomes of it."""
    if job.force or not (names := stale(job)):
        return
    seconds = _cost(read_finished(job.cell.folder))
    way = "it is computed again" if seconds <= SECONDS else f"it took {duration(seconds)}: force=true computes it again"
    console.print(f"stale    {job.cell}: the code of its {_and(names)} has changed; {way}", style="yellow", markup=False)


def _and(names: Sequence[str]) -> str:
    return " and ".join(names)


def keep_one_code(job: Job) -> None:
    """Note what code computes a cell. What other code has finished of it is forgotten if it took seconds, else told."""
    cell, partial, kept = job.cell, PartialRows(job.cell.folder, job.shard), kept_code(job.cell.folder)
    finished = [row for image in partial.all() for row in image[:1]]
    names = differing(kept, job.code) if finished else []
    seconds = _cost([{**row, "protocol": "", "train_seconds": None} for row in finished])
    if names and seconds <= SECONDS:
        console.print(
            f"stale    {cell}: the code of its {_and(names)} has changed; it starts again", style="yellow", markup=False
        )
        begin(job)
        names = []
    elif names:
        told = f"the code of its {_and(names)} has changed after {duration(seconds)}"
        console.print(f"stale    {cell}: {told}; it goes on, and force=true starts again", style="yellow", markup=False)
    if kept or not finished:
        keep_code(cell.folder, mixed(job.code, names))


def add_code(job: Job) -> None:
    """Further protocols of a finished cell, whose code is known."""
    if kept := kept_code(job.cell.folder):
        further: dict[str, Any] = {name: one for name, one in job.code.items() if name not in kept}
        if further:
            keep_code(job.cell.folder, {**kept, **further})
