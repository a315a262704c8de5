"""What of the studies is done and what went wrong, what it was made with, and how the trainings went."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from denoisebench.report.results import Result
from denoisebench.store.cell import Cell
from denoisebench.store.files import read_json
from denoisebench.store.rows import read_csv


@dataclass(frozen=True)
class Curve:
    """A training's loss over its steps, the PSNR of validation images where it was validated, and the loss of the noisy images
    that were held out where they ended it."""

    label: str
    loss: list[tuple[float, float]]
    psnr_db: list[tuple[float, float]]
    on: str
    held_out: Sequence[tuple[float, float]] = ()


def recorded(path: Path) -> dict[str, Any]:
    """A JSON object; empty if the file is not there or damaged."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return {}


def cells_of(result: Result) -> list[Path]:
    """The folders of a result's cells, one for each seed."""
    return list(dict.fromkeys(row["cell"] for row in result.rows))


def manifests(results: Iterable[Result]) -> list[tuple[dict[str, Any], list[str]]]:
    """Each distinct environment (commit, versions, hardware), and the methods that ran in it."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for result in results:
        for cell in cells_of(result):
            about = recorded(cell / "manifest.json")
            place = {name: about.get(name, "not recorded") for name in ("commit", "versions", "hardware")}
            methods = found.setdefault(json.dumps(place, sort_keys=True), (place, []))[1]
            if result.method not in methods:
                methods.append(result.method)
    return list(found.values())


def curves(cells: Sequence[Cell]) -> list[Curve]:
    """The learning curves of the trainings of these cells, each training once."""
    trainings = {cell.train_key: cell for cell in reversed(cells) if cell.train_key}
    found = [_curve(cell) for cell in reversed(trainings.values())]
    return [curve for curve in found if curve.loss]


def _curve(cell: Cell) -> Curve:
    validation = _read(cell.training / "validation.csv", "step", "psnr_db")
    loss, held_out = (_points(_read(cell.training / name, "step", "loss"), "loss") for name in ("curve.csv", "holdout.csv"))
    label = f"{cell.label}, {cell.dataset}, {cell.noise}, seed {cell.seed}"
    on = validation[0].get("on", "") if validation else ""
    return Curve(label, loss, _points(validation, "psnr_db"), on, held_out)


def _points(rows: Iterable[dict[str, str]], column: str) -> list[tuple[float, float]]:
    """Step and value, where that is finite."""
    points = ((float(row["step"]), float(row[column])) for row in rows)
    return [(step, value) for step, value in points if math.isfinite(value)]


def _read(path: Path, *columns: str) -> list[dict[str, str]]:
    """The points of a curve; none where the file is not there or damaged."""
    try:
        points = read_csv(path)
        return [point for point in points if all(float(point[name]) or True for name in columns)]
    except (OSError, ValueError, KeyError):
        return []
