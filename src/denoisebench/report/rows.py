"""The rows of a study: the truth that every table and picture is a view of."""

import csv
import math
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from denoisebench.store.cells import Cell, Row, computation_of, read_server_rows, read_status

LINE = ("dataset", "noise", "protocol", "scored_by", "method", "budget")
VIEW = ("key", "image", "repeat", "protocol", "scored_by")
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
    return [row for path in files if read_status(path.parent)["state"] == "done" for row in read_rows(path.parent)]


def read_studies(studies: Sequence[Path]) -> tuple[list[Row], list[str]]:
    """The rows of several studies, a cell that lies in two of them once; and what a reader must know of that.

    The first study named wins. Where a later one scored the same view of the same cell differently, a note says so.
    """
    seen: dict[tuple[str, ...], Row] = {}
    differing: Counter[str] = Counter()
    for study in studies:
        for row in read_study(study):
            first = seen.setdefault(tuple(row[name] for name in VIEW), row)
            differing[f"{row['method']} on {row['dataset']}, {row['noise']} (key {row['key']})"] += (
                first["psnr_db"] != row["psnr_db"] or first["noisy_sha"] != row["noisy_sha"]
            )
    notes = [f"{cell}: {count} scores differ between the studies; the first study's count" for cell, count in differing.items()]
    return list(seen.values()), [note for note, count in zip(notes, differing.values(), strict=True) if count]


def read_cells(cells: Iterable[Cell]) -> list[Row]:
    """The same of given cells, as far as they are done."""
    return [row for cell in cells if cell.state == "done" for row in read_rows(cell.folder)]


def read_local(folder: Path) -> list[Row]:
    """The rows that were scored here, of a finished cell."""
    with (folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        return [{"scored_by": "local", **row} for row in csv.DictReader(file)]


def read_rows(folder: Path) -> list[Row]:
    """The rows of a finished cell, and after them what servers answered to its outputs: numbers as floats, empty ones None,
    `cell` its folder."""
    rows = [*read_local(folder), *_answers(folder)]
    return [{**row, **_numbers(row), **_told(row), "cell": folder} for row in rows]


def _told(row: Row) -> Row:
    """Columns that older rows lack or leave empty: without a scene, an image is its own."""
    return {"scored_by": row["scored_by"] or "local", "scene": row.get("scene") or row["image"]}


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
    """One method on one data set under one noise and one protocol: means over images, repeats and seeds.

    images: distinct ones, each seen under `repeats` draws of noise and `seeds`. photographs: that they were cut from, 0
    where a server does not say. *_sd_images: standard deviation over the images of each image's mean. *_sd_seeds: over
    the seeds of each seed's mean, None of one seed: what drawing weights, patches and noise anew changes. rows: what all
    of it was made of.
    """

    method: str
    dataset: str
    noise: str
    protocol: str
    scored_by: str
    psnr_db: float | None
    ssim: float | None
    images: int
    photographs: int
    repeats: int
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
    setup: str
    psnr_sd_images: float | None
    psnr_sd_seeds: float | None
    ssim_sd_images: float | None
    ssim_sd_seeds: float | None
    rows: tuple[Row, ...] = field(repr=False, compare=False)

    @property
    def id(self) -> str:
        """Names this result among all others, also where two studies gave one setup two labels."""
        return " | ".join((self.method, self.budget, self.dataset, self.noise, self.protocol, self.setup))

    @property
    def names(self) -> frozenset[str]:
        """The images it is over; of a server's answer, which names none, their numbers."""
        if self.scored_by == "server":
            return frozenset(map(str, range(self.images)))
        return frozenset(row["image"] for row in self.rows)

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


def spread(values: Iterable[float | None]) -> float | None:
    """The sample standard deviation; None of fewer than two values, or with an infinite one."""
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 and math.inf not in known else None


def spread_over(rows: Sequence[Row], metric: str, unit: str) -> float | None:
    """The spread of the means of a metric over each image (`unit="image"`) or each seed (`unit="seed"`)."""
    groups: dict[str, list[float | None]] = {}
    for row in rows:
        groups.setdefault(row[unit], []).append(row[metric])
    return spread(mean(values) for values in groups.values())


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


def all_images(results: Iterable[Result]) -> frozenset[str]:
    """The images that any of these results is over: what each must be over to be compared."""
    return frozenset().union(*(result.names for result in results))


def _rank(result: Result) -> tuple[int, float, str]:
    """The noisy input, what learns nothing, what learns from noisy images, bounds; the better the later."""
    kind = 3 if result.supervised else 0 if result.method == "noisy" else 1 if result.learns == "nothing" else 2
    return kind, -math.inf if result.psnr_db is None else result.psnr_db, result.method


def _images(rows: Sequence[Row]) -> int:
    """How many distinct images a mean is over: rows of a server are means already, and say of how many."""
    if rows[0]["scored_by"] == "server":
        return max(int(row["images"]) for row in rows)
    return len(_distinct(rows, "image"))


def _photographs(rows: Sequence[Row]) -> int:
    return 0 if rows[0]["scored_by"] == "server" else len(_distinct(rows, "scene"))


def _distinct(rows: Sequence[Row], column: str) -> set[str]:
    return {row[column] for row in rows}


def _result(rows: Sequence[Row], label: str) -> Result:
    first = rows[0]
    same = (
        "learns",
        "trained_on",
        "train_noise",
        "train_steps",
        "selection",
        "budget",
        "precision",
        "cell",
        "scored_by",
        "setup",
    )
    return Result(
        method=label, dataset=first["dataset"], noise=first["noise"], protocol=first["protocol"],
        psnr_db=mean(row["psnr_db"] for row in rows), ssim=mean(row["ssim"] for row in rows),
        images=_images(rows), photographs=_photographs(rows), repeats=len(_distinct(rows, "repeat")),
        seeds=len(_distinct(rows, "seed")), tags=" ".join(dict.fromkeys(tag for row in rows for tag in row["tags"].split())),
        seconds=mean(row["seconds"] for row in rows) or 0.0, train_seconds=mean(row["train_seconds"] for row in rows),
        peak_mib=max(row["peak_mib"] for row in rows), keys=" ".join(sorted(_distinct(rows, "key"))),
        commits=" ".join(sorted(_distinct(rows, "commit"))), rows=tuple(rows), **{name: first[name] for name in same},
        psnr_sd_images=spread_over(rows, "psnr_db", "image"), psnr_sd_seeds=spread_over(rows, "psnr_db", "seed"),
        ssim_sd_images=spread_over(rows, "ssim", "image"), ssim_sd_seeds=spread_over(rows, "ssim", "seed"),
    )  # fmt: skip
