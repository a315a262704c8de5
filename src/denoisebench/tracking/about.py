"""What a run of a logger is about, and what every logger does."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from denoisebench.scoring.measures import columns
from denoisebench.store.cell import Cell, study_folder
from denoisebench.store.rows import COLUMNS, Row

TRAINING = (
    "study", "seed", "method", "budget", "training", "train_set", "train_noise", "validation", "stop", "holdout", "precision",
)  # fmt: skip
LONGEST_ID, LONGEST_TAG = 128, 64
KNOWN = {*COLUMNS, "cell"}  # no measures, but for those that every row has
Point = Mapping[str, Any]
Live = Callable[[str, Sequence[Point]], None]
"""Called with a part (`train`, `validation`) and its whole curve so far, as often as that grows."""


@dataclass(frozen=True)
class About:
    """What a run is about. id: the same whenever this cell or training is taken up again. folder: the study's."""

    id: str
    name: str
    study: str
    kind: Literal["cell", "training"]
    tags: tuple[str, ...]
    config: dict[str, Any]
    folder: Path


def metrics(row: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The columns of rows that are logged as numbers, with the further measures of a row."""
    return (*measured(row), "seconds")


def measured(row: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """The columns of measures, with the further ones of a row: they stand after all that every row has."""
    return tuple(dict.fromkeys((*columns(), *(name for name in row or () if name not in KNOWN))))


def table_columns(rows: Sequence[Mapping[str, Any]] = ()) -> tuple[str, ...]:
    """The columns of the table of a cell's images."""
    return ("image", "repeat", "protocol", *metrics(rows[0] if rows else None))


class Run(Protocol):
    """One cell's or training's run of a logger."""

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None: ...

    def table(self, rows: Sequence[Row], pictures: Mapping[tuple[str, int], Path]) -> None:
        """All rows of a cell, and its kept pictures by image and repeat."""

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None: ...


class Logger(Protocol):
    name: str

    def start(self, about: About) -> Run: ...

    def note(self, study: Path) -> str | None:
        """What a user should know at the end of a command; None for nothing."""


def run_id(study: str, key: str) -> str:
    """An id of letters, digits, `_` and `-`, another for each study and key."""
    key = key.replace("/", "of")
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", study)[: LONGEST_ID // 2]
    if safe != study:
        safe += "_" + hashlib.sha256(study.encode()).hexdigest()[:6]
    return f"{safe}-{key}"


def _training_id(cell: Cell) -> str:
    return run_id(cell.study, f"training-{cell.train_key}")


def _tags(*texts: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text[:LONGEST_TAG] for text in texts if text))


def about_cell(cell: Cell, job: Mapping[str, Any], learns: str, shard: str | None = None) -> About:
    """job: its resolved configuration. learns: from what. A shard's run is one of its own."""
    method = cell.label.partition("[")[0]
    line = f"{cell.label} | {cell.dataset} | {cell.noise}"
    names = {
        "line": line, "method": cell.label, "dataset": cell.dataset, "noise": cell.noise, "key": cell.key, "setup": cell.setup,
    }  # fmt: skip
    link = {"train_run": _training_id(cell)} if cell.train_key else {}
    budget = None if learns == "nothing" else job["budget"]
    return About(
        id=run_id(cell.study, cell.key if shard is None else f"{cell.key}-{shard}"),
        name=str(cell) + (f" | shard {shard}" if shard else ""), study=cell.study, kind="cell",
        tags=_tags(method, cell.dataset, cell.noise, budget), config={**job, "cell": names, **link},
        folder=study_folder(cell.root, cell.study),
    )  # fmt: skip


def about_training(cell: Cell, job: Mapping[str, Any], train_set: str, train_noise: str) -> About:
    """Of the training that a cell shares with others: nothing here is of the cell's own."""
    method = cell.label.partition("[")[0]
    config = {name: job[name] for name in TRAINING if name in job}
    names = {"method": method, "train_set": train_set, "train_noise": train_noise, "key": cell.train_key}
    return About(
        id=_training_id(cell), name=f"training {method} | {train_set} | {train_noise} | seed {cell.seed}",
        study=cell.study, kind="training", tags=_tags(method, train_set, train_noise, job["budget"]),
        config={**config, "train": names}, folder=study_folder(cell.root, cell.study),
    )  # fmt: skip
