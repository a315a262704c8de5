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
    """A training's loss over its steps, and the PSNR of validation images where it was validated."""

    label: str
    loss: list[tuple[float, float]]
    psnr_db: list[tuple[float, float]]
    on: str


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
    loss = [(float(point["step"]), float(point["loss"])) for point in _read(cell.training / "curve.csv", "step", "loss")]
    psnr_db = [(float(point["step"]), float(point["psnr_db"])) for point in validation]
    label = f"{cell.label}, {cell.dataset}, {cell.noise}, seed {cell.seed}"
    finite = [[(x, y) for x, y in points if math.isfinite(y)] for points in (loss, psnr_db)]
    return Curve(label, finite[0], finite[1], validation[0].get("on", "") if validation else "")


def _read(path: Path, *columns: str) -> list[dict[str, str]]:
    """The points of a curve; none where the file is not there or damaged."""
    try:
        points = read_csv(path)
        return [point for point in points if all(float(point[name]) or True for name in columns)]
    except (OSError, ValueError, KeyError):
        return []
