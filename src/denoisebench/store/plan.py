"""The plan of a study: every cell that was ever asked for."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from denoisebench.store.cell import Cell
from denoisebench.store.files import DamagedError, held, read_json, sweep, write_atomic

WAY_OUT = "delete it and give the same `denoisebench run` commands again: finished cells are not computed again"
SECONDS_FOR_A_PLAN = 600.0
REPORT_LOCK = ".report.lock"  # while a report is written into a study's folder
TEXTS = ("label", "dataset", "noise", "key", "setup")


def read_plan(study: Path) -> dict[str, Cell]:
    """All cells ever asked for in a study, by key; empty if there is no plan.

    Raises: DamagedError for a plan that cannot be read, or that a newer version wrote.
    """
    path = study / "plan.json"
    try:
        plan = read_json(path)
    except FileNotFoundError:
        return {}
    except DamagedError as error:
        raise DamagedError(f"{error}; {WAY_OUT}") from error
    # The folder may have been moved since: where it lies now counts.
    place = {"root": str(study.parent), "study": study.name}
    return {key: _cell(key, cell, place, path) for key, cell in plan.items()}


def plan_around(folder: Path) -> dict[str, Cell]:
    """The plan of the study in which the folder of a cell lies; empty for a folder that is in none. Raises: DamagedError."""
    return read_plan(folder.parents[3]) if len(folder.parents) > 3 else {}


def _cell(key: str, planned: Any, place: dict[str, str], path: Path) -> Cell:
    known = {field.name for field in fields(Cell)}
    if isinstance(planned, dict) and (newer := planned.keys() - known):
        raise DamagedError(
            f"{path} was written by a newer denoisebench: cell {key} has {', '.join(sorted(newer))}, which this version does "
            "not know; use the newer version"
        )
    try:
        cell = Cell(**{**planned, **place, "overrides": tuple(planned["overrides"])})
    except (TypeError, KeyError) as error:
        raise DamagedError(f"{path} is damaged (cell {key}: {error}); {WAY_OUT}") from error
    if wrong := [name for name in TEXTS if not isinstance(getattr(cell, name), str)]:
        raise DamagedError(f"{path} is damaged (cell {key}: {', '.join(wrong)} should be text); {WAY_OUT}")
    if cell.key != key or not all(isinstance(one, str) for one in cell.overrides) or not isinstance(cell.seed, int):
        raise DamagedError(f"{path} is damaged (cell {key}: its key, seed or overrides are not valid); {WAY_OUT}")
    return cell


def add_to_plan(study: Path, cells: Sequence[Cell]) -> list[Cell]:
    """Add cells to a study's `plan.json`; safe against another process that does the same.

    Returns them as the plan has them: a cell keeps the folder and label under which it was planned first. What the same
    command line meant before its files changed, and failed, leaves the plan.
    """
    study.mkdir(parents=True, exist_ok=True)
    with held(study / ".plan.lock", wait_s=SECONDS_FOR_A_PLAN):
        sweep(study, study / REPORT_LOCK)
        plan = read_plan(study)
        asked = [replace(plan.get(cell.key, cell), overrides=cell.overrides) for cell in cells]
        now = {cell.overrides: cell.key for cell in asked if cell.overrides}
        plan = {key: old for key, old in plan.items() if now.get(old.overrides, key) == key or old.state != "failed"}
        plan |= {cell.key: cell for cell in asked}
        text = json.dumps({key: asdict(cell) for key, cell in plan.items()}, indent=1)
        write_atomic(study / "plan.json", text)
    return asked
