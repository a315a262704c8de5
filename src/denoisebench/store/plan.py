"""The plan of a study: every cell that was ever asked for."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from filelock import FileLock

from denoisebench.store.cell import Cell
from denoisebench.store.files import write_atomic


def read_plan(study: Path) -> dict[str, Cell]:
    """All cells ever asked for in a study, by key; empty if there is no plan."""
    try:
        plan = json.loads((study / "plan.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    # The folder may have been moved since: where it lies now counts.
    place = {"root": str(study.parent), "study": study.name}
    return {key: Cell(**{**cell, **place, "overrides": tuple(cell["overrides"])}) for key, cell in plan.items()}


def add_to_plan(study: Path, cells: Sequence[Cell]) -> list[Cell]:
    """Add cells to a study's `plan.json`; safe against another process that does the same.

    Returns them as the plan has them: a cell keeps the folder and label under which it was planned first. What the same
    command line meant before its files changed, and failed, leaves the plan.
    """
    study.mkdir(parents=True, exist_ok=True)
    with FileLock(study / ".plan.lock"):
        plan = read_plan(study)
        asked = [replace(plan.get(cell.key, cell), overrides=cell.overrides) for cell in cells]
        now = {cell.overrides: cell.key for cell in asked if cell.overrides}
        plan = {key: old for key, old in plan.items() if now.get(old.overrides, key) == key or old.state != "failed"}
        plan |= {cell.key: cell for cell in asked}
        text = json.dumps({key: asdict(cell) for key, cell in plan.items()}, indent=1)
        write_atomic(study / "plan.json", text)
    return asked
