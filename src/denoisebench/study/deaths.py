"""Cells whose process died: what it printed as it died; the next start skips them.

While a cell is computed a file waits beside it for what Python writes on a fatal signal, as of a library that writes where it
must not. A process that is killed leaves that file empty: its cell is resumed, after the others.
"""

import faulthandler
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from denoisebench.progress import console
from denoisebench.store.cell import Cell
from denoisebench.study.ownership import part_name

CRASHES = "crash*.txt"


@contextmanager
def watched(cell: Cell, shard: str | None) -> Iterator[None]:
    """Keeps what Python says if this process dies while the block runs."""
    path = cell.folder / (f"crash.{part_name(shard)}.txt" if shard else "crash.txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    was_enabled = faulthandler.is_enabled()
    with path.open("w", encoding="utf-8") as file:
        faulthandler.enable(file)
        try:
            yield
        finally:
            faulthandler.disable()
            path.unlink(missing_ok=True)
            if was_enabled and sys.__stderr__ is not None:
                faulthandler.enable(sys.__stderr__)


def last_words(cell: Cell) -> str:
    """What a process that computed a cell said as it died; empty if none died so."""
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sorted(cell.folder.glob(CRASHES))]
    return next((line for text in texts for line in text.splitlines() if line), "")


def died(cell: Cell) -> bool:
    """Whether the process of a cell died, noted as its failure: only `retry` and force=true compute it again."""
    words = last_words(cell)
    if not words:
        return False
    reason = f"its process died ({words}); denoisebench retry tries it again, as force=true does"
    if cell.status().get("reason") != reason:
        cell.set_status("failed", reason=reason)
    console.print(f"failed   {cell}: {reason}", style="red", markup=False)
    return True


def forget(cell: Cell) -> None:
    for path in cell.folder.glob(CRASHES):
        path.unlink(missing_ok=True)
