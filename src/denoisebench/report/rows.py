"""The rows of a study: the truth that every table and picture is a view of."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from denoisebench.packs.read import opened_study
from denoisebench.report.labs import lab_of, read_means, told_apart_by_lab
from denoisebench.scoring.further import columns_in
from denoisebench.store.cell import Cell
from denoisebench.store.code import changed_since
from denoisebench.store.files import DamagedError
from denoisebench.store.finished import damage, read_finished
from denoisebench.store.rows import Row, computation_of, read_server_rows
from denoisebench.store.status import read_status

VIEW = ("lab", "key", "image", "repeat", "protocol", "scored_by")
COSTS = ("seconds", "peak_mib", "train_seconds")


def runs_root() -> Path:
    """Where studies are looked for by name."""
    return Path(os.environ.get("DENOISEBENCH_RUNS", "runs"))


def find_study(name: str) -> Path:
    """The folder of a study, given its name or its path, or the path of a pack, which is unpacked below `runs/.packs`; or a
    `results.csv` as it is.

    Raises: FileNotFoundError naming the studies that are there; ValueError for what is no pack.
    """
    root = runs_root()
    if Path(name).suffix == ".zip":
        return opened_study(Path(name).expanduser(), root)
    if Path(name).suffix == ".csv" and Path(name).is_file():
        return Path(name)
    for path in (Path(name).expanduser(), root / name):
        if (path / "plan.json").is_file() or any(path.glob("*/*/*/seed*/rows.csv")):
            return path.resolve() if path.name in ("", "..") else path
    there = sorted(path.parent.name for path in root.glob("*/plan.json"))
    found = f"there are: {', '.join(there)}" if there else f"there is none under {root}/ yet"
    raise FileNotFoundError(f"no study {name}, neither as a path nor under {root}/; {found}")


def read_study(study: Path) -> list[Row]:
    """All rows of the finished cells of a study, or of a `results.csv`: numbers as floats, empty ones None, `cell` their
    folder, `lab` who made them, if that was somebody else."""
    if study.suffix == ".csv":
        return read_means(study)
    lab = lab_of(study)
    return [{**row, "lab": lab} for folder in _finished(study) if not damage(folder) for row in read_rows(folder)]


def _finished(study: Path) -> list[Path]:
    """The folders of the cells that say they are done."""
    return [path.parent for path in sorted(study.glob("*/*/*/seed*/status.json")) if read_status(path.parent)["state"] == "done"]


def damaged(study: Path) -> list[str]:
    """What is wrong with files of a study: the cells, and the servers' answers, that its report leaves out."""
    folders = sorted({path.parent for name in ("status.json", "rows.csv") for path in study.glob(f"*/*/*/seed*/{name}")})
    cells = {folder: told for folder in folders if (told := damage(folder))}
    answers = [told for folder in folders if folder not in cells and (told := _damaged_answers(folder))]
    return [f"left out: {told}" for told in (*cells.values(), *answers)]


def _damaged_answers(folder: Path) -> str | None:
    try:
        _answers(folder)
    except DamagedError as error:
        return str(error)
    return None


def read_studies(studies: Sequence[Path]) -> tuple[list[Row], list[str]]:
    """The rows of several studies, a cell that lies in two of one lab's once; and what a reader must know of that.

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
    left_out = [note for study in studies for note in damaged(study)]
    notes = [f"{cell}: {count} scores differ between the studies; the first study's count" for cell, count in differing.items()]
    return told_apart_by_lab(list(seen.values())), left_out + [
        note for note, count in zip(notes, differing.values(), strict=True) if count
    ]


def read_cells(cells: Iterable[Cell]) -> list[Row]:
    """The same of given cells, as far as they are done."""
    return [row for cell in cells if cell.state == "done" for row in read_rows(cell.folder)]


def read_local(folder: Path) -> list[Row]:
    """The rows that were scored here, of a finished cell. Raises: DamagedError."""
    return [{"scored_by": "local", **row} for row in read_finished(folder)]


def read_rows(folder: Path) -> list[Row]:
    """The rows of a finished cell, and after them what servers answered to its outputs: numbers as floats, empty ones None,
    `cell` its folder. Raises: DamagedError for its own rows; answers that are damaged are left out."""
    rows = [*read_local(folder), *([] if _damaged_answers(folder) else _answers(folder))]
    if changed_since(folder):
        rows = [{**row, "tags": f"{row['tags']} stale_code".strip()} for row in rows]
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
    return {name: float(row[name]) if row.get(name) else None for name in (*columns_in(row), *COSTS)}
