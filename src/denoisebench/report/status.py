"""What of a study is done, skipped, failed, missing."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from denoisebench.progress import counted, output_console
from denoisebench.report.rows import runs_root
from denoisebench.store.cell import TRACEBACK, Cell, study_folder
from denoisebench.store.code import changed_since
from denoisebench.store.finished import damage
from denoisebench.store.plan import read_plan
from denoisebench.store.status import STATES

STYLES = {"failed": "red", "skipped": "yellow", "done": "green"}


def counts(cells: Sequence[Cell]) -> str:
    """`5 done, 1 failed` of cells."""
    found = Counter(STATES[cell.state] for cell in cells)
    return f"{counted(len(cells), 'cell')}: " + ", ".join(f"{found[name]} {name}" for name in STATES.values() if found[name])


def explained(cells: Sequence[Cell]) -> list[str]:
    """A line for each failed, skipped or damaged cell, with its reason."""
    damaged = [f"damaged: {cell}: {told}" for cell in cells if (told := damage(cell.folder))]
    return (
        damaged
        + list(_stale(cells))
        + [
            f"{STATES[cell.state]}: {cell}: {cell.status().get('reason', '')}"
            for cell in cells
            if cell.state in ("failed", "skipped")
        ]
    )


def _stale(cells: Sequence[Cell]) -> Iterator[str]:
    """What other code computed, and how many cells do not say which code did."""
    done = [cell for cell in cells if cell.state == "done"]
    changed = {cell: changed_since(cell.folder) for cell in done}
    for cell, names in changed.items():
        if names:
            yield f"stale_code: {cell}: the code of its {' and '.join(names)} has changed since it was computed"
    if unknown := sum(names is None for names in changed.values()):
        yield f"code unknown: {unknown} of {len(done)} finished cells do not record the code that computed them"


def exit_code(cells: Sequence[Cell]) -> int:
    return 0 if all(cell.state in ("done", "skipped") for cell in cells) else 1


def print_counts(cells: Sequence[Cell], console: Console) -> int:
    """The end of a run: counts, reasons, and what comes next. Returns the exit code."""
    for cell in cells:
        if cell.state == "failed":
            console.print(f"failed {cell}: {cell.status().get('reason', '')}", style="red", markup=False)
            if (cell.folder / TRACEBACK).is_file():
                console.print(f"       traceback: {cell.folder / TRACEBACK}", markup=False)
    study = study_folder(cells[0].root, cells[0].study)
    known = study.name if study.parent == runs_root() else str(study)
    console.print(f"{counts(cells)}. Next: denoisebench report {shlex.quote(known)}", markup=False)
    return exit_code(cells)


def print_status(study: Path) -> int:
    """Every planned cell and its state. Returns the exit code."""
    console = output_console()
    cells = list(read_plan(study).values())
    table = Table("method", "dataset", "noise", "seed", "state")
    for cell in cells:
        state = STATES[cell.state]
        texts = [escape(text) for text in (cell.label, cell.dataset, cell.noise, str(cell.seed), state)]
        table.add_row(*texts, style=STYLES.get(state))
    console.print(table)
    for line in explained(cells):
        console.print(line, markup=False)
    console.print(counts(cells), markup=False)
    return exit_code(cells)
