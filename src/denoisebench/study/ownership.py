"""Which process is computing a cell, a part of it, or its network."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from denoisebench.store.cell import Cell
from denoisebench.store.files import held, marker

SECONDS_AT_THE_GATE = 60.0


def part_name(shard: str) -> str:
    """`1/4` as a part of a file's name."""
    return shard.replace("/", "of")


@contextmanager
def own(cell: Cell, shard: str | None) -> Iterator[None]:
    """A cell for this process, or a part of it. Raises: BusyError if another has it, or one of its parts."""
    with ExitStack() as locks:
        parts = [] if shard else sorted(cell.folder.glob(".lock.*of*"))
        for lock in (cell.folder / (f".lock.{part_name(shard)}" if shard else ".lock"), *parts):
            locks.enter_context(held(lock))
        yield


@contextmanager
def network_free(cell: Cell) -> Iterator[None]:
    """Raises: BusyError where another process trains this cell's network, before anything of the cell is begun."""
    lock = cell.training / ".lock"
    if cell.train_key and lock.is_file() and not (cell.training / "training.json").is_file():
        with held(lock):
            pass
    yield


def gate(cell: Cell, shard: str | None) -> AbstractContextManager[None]:
    """Shards of one cell begin and end one at a time; without shards the cell is locked anyway."""
    return held(cell.folder / ".lock", wait_s=SECONDS_AT_THE_GATE) if shard else nullcontext()


def holder(cell: Cell) -> str:
    """`, FILE: process 12 on MACHINE`, where a cell or its network is locked on a file system that cannot say whether the
    process still runs; else nothing."""
    locks = [
        cell.folder / ".lock",
        *sorted(cell.folder.glob(".lock.*of*")),
        *([cell.training / ".lock"] if cell.train_key else []),
    ]
    return "".join(f", {lock}: {who}" for lock in locks if (who := marker(lock)))
