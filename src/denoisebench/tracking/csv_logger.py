"""CSV: a file that grows."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from denoisebench.store.rows import Row, inert
from denoisebench.tracking.about import About


class Csv:
    """One growing file for each run, `<study>/.csv/<run>.csv`: step, name, value; its summary has no step."""

    name = "csv"

    def start(self, about: About) -> "CsvRun":
        return CsvRun(about.folder / ".csv" / f"{about.id}.csv")

    def note(self, study: Path) -> str | None:
        return None


class CsvRun:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", newline="", buffering=1)
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(("step", "name", "value"))

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        self._writer.writerows((step, name, value) for name, value in values.items())

    def table(self, rows: Sequence[Row], pictures: Mapping[tuple[str, int], Path]) -> None:
        """Its rows are in rows.csv."""

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        with self._file:
            self._writer.writerows(("", name, inert(value)) for name, value in {**summary, "exit_code": exit_code}.items())
