"""What is kept of a cell that failed."""

import traceback
from pathlib import Path

from denoisebench.progress import console
from denoisebench.store.cell import TRACEBACK, Cell
from denoisebench.store.files import write_atomic
from denoisebench.study.ownership import part_name


def failure_of(cell: Cell, shard: str) -> Path:
    """The file that says that a shard failed."""
    return cell.folder / f"failed.{part_name(shard)}"


def fail(cell: Cell, error: Exception, shard: str | None) -> None:
    """Note that a cell, or a shard of it, failed."""
    console.print(f"failed   {cell}", style="red", markup=False)  # the reason is told at the end of the run
    try:
        write_atomic(cell.folder / TRACEBACK, traceback.format_exc())
        if shard:
            failure_of(cell, shard).touch()
        cell.set_status("failed", reason=f"{type(error).__name__}: {error}")
    except OSError as unwritten:  # as on a full disk: the cell then counts as unfinished
        console.print(f"         and could not note it: {unwritten}", style="red", markup=False)
