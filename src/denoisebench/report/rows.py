"""The rows of a study: the truth that every table and picture is a view of."""

import csv
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from denoisebench.cells import Cell, Row, computation_of, read_server_rows, read_status

LINE = ("dataset", "noise", "protocol", "scored_by", "method", "budget")
NUMBERS = ("psnr_db", "ssim", "seconds", "peak_mib", "train_seconds")


def runs_root() -> Path:
    """Where studies are looked for by name."""
    return Path(os.environ.get("DENOISEBENCH_RUNS", "runs"))


def find_study(name: str) -> Path:
    """The folder of a study, given its name or its path.

    Raises: FileNotFoundError naming the studies that are there.
    """
    root = runs_root()
    for path in (Path(name).expanduser(), root / name):
        if (path / "plan.json").is_file() or any(path.glob("*/*/*/seed*/rows.csv")):
            return path.resolve() if path.name in ("", "..") else path
    there = sorted(path.parent.name for path in root.glob("*/plan.json"))
    found = f"there are: {', '.join(there)}" if there else f"there is none under {root}/ yet"
    raise FileNotFoundError(f"no study {name}, neither as a path nor under {root}/; {found}")


def read_study(study: Path) -> list[Row]:
    """All rows of the finished cells of a study, numbers as floats, empty ones None, `cell` their folder."""
    files = sorted(study.glob("*/*/*/seed*/rows.csv"))
    return [row for path in files if read_status(path.parent)["state"] == "done" for row in _read(path.parent)]


def read_cells(cells: Iterable[Cell]) -> list[Row]:
    """The same of given cells, as far as they are done."""
    return [row for cell in cells if cell.state == "done" for row in _read(cell.folder)]


def read_local(folder: Path) -> list[Row]:
    """The rows that were scored here, of a finished cell."""
    with (folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        return [{"scored_by": "local", **row} for row in csv.DictReader(file)]


def _read(folder: Path) -> list[Row]:
    """The rows of a finished cell, and after them what servers answered to its outputs."""
    rows = [*read_local(folder), *_answers(folder)]
    return [{**row, **_numbers(row), "scored_by": row["scored_by"] or "local", "cell": folder} for row in rows]


def _answers(folder: Path) -> list[Row]:
    """Answers to an earlier computation of the cell stay, and say so."""
    now = computation_of(folder)
    return [
        row if row["computation"] == now else {**row, "tags": f"{row['tags']} computed_again_since".strip()}
        for row in read_server_rows(folder)
    ]


def _numbers(row: Row) -> Row:
    return {name: float(row[name]) if row[name] else None for name in NUMBERS}


@dataclass(frozen=True)
class Result:
    """One method on one data set under one noise and one protocol: means over images, repeats and seeds."""

    method: str
    dataset: str
    noise: str
    protocol: str
    scored_by: str
    psnr_db: float | None
    ssim: float | None
    images: int
    seeds: int
    seconds: float
    train_seconds: float | None
    peak_mib: float
    learns: str
    trained_on: str
    train_noise: str
    train_steps: str
    selection: str
    budget: str
    tags: str
    precision: str
    keys: str
    commits: str
    cell: Path

    @property
    def saw_clean(self) -> bool:
        """Whether clean images trained it or chose its weights: then it is no rival of those that do without."""
        return bool({"supervised", "oracle_selected"} & set(self.tags.split()))

    @property
    def supervised(self) -> bool:
        return "supervised" in self.tags.split()


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is there; infinite if one value is (an image returned without error), None of nothing."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and math.inf not in known else math.inf if known else None


def summarise(rows: Sequence[Row]) -> list[Result]:
    """One result for each method, budget, data set, noise and protocol; different settings never share a label."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in (*LINE, "setup")), []).append(row)
    setups = Counter(group[:-1] for group in groups)
    results = [
        _result(own, label=own[0]["method"] if setups[group[:-1]] == 1 else f"{own[0]['method']} #{group[-1][:6]}")
        for group, own in groups.items()
    ]
    return sorted(results, key=lambda r: (r.dataset, r.noise, r.protocol, _rank(r)))


def _rank(result: Result) -> tuple[int, float, str]:
    """The noisy input, what learns nothing, what learns from noisy images, bounds; the better the later."""
    kind = 3 if result.supervised else 0 if result.method == "noisy" else 1 if result.learns == "nothing" else 2
    return kind, -math.inf if result.psnr_db is None else result.psnr_db, result.method


def _images(rows: Sequence[Row]) -> int:
    """How many images a mean is over: rows of a server are means already, and say of how many."""
    if rows[0]["scored_by"] == "server":
        return max(int(row["images"]) for row in rows)
    return len({(row["image"], row["repeat"]) for row in rows})


def _result(rows: Sequence[Row], label: str) -> Result:
    first = rows[0]
    same = ("learns", "trained_on", "train_noise", "train_steps", "selection", "budget", "tags", "precision", "cell", "scored_by")
    return Result(
        method=label, dataset=first["dataset"], noise=first["noise"], protocol=first["protocol"],
        psnr_db=mean(row["psnr_db"] for row in rows), ssim=mean(row["ssim"] for row in rows),
        images=_images(rows), seeds=len({row["seed"] for row in rows}),
        seconds=mean(row["seconds"] for row in rows) or 0.0, train_seconds=mean(row["train_seconds"] for row in rows),
        peak_mib=max(row["peak_mib"] for row in rows), keys=" ".join(sorted({row["key"] for row in rows})),
        commits=" ".join(sorted({row["commit"] for row in rows})), **{name: first[name] for name in same},
    )  # fmt: skip
