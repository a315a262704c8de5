"""The rows of a finished cell, trusted only if they match what its `status.json` recorded."""

import functools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from denoisebench.progress import counted
from denoisebench.store.files import DamagedError, read_json
from denoisebench.store.rows import COLUMNS, LATER, Row, read_csv
from denoisebench.store.status import read_status

AGAIN = "the command that planned it computes it again"
# What numbers can be; PSNR is infinite where an image came back without error.
RANGES = {
    "psnr_db": (-1e4, math.inf),
    "ssim": (-1.01, 1.01),
    "seconds": (0, 1e9),
    "peak_mib": (-1e9, 1e9),
    "train_seconds": (0, 1e12),
}
MAY_BE_EMPTY = {"psnr_db", "ssim", "train_seconds"}


def read_finished(folder: Path) -> list[Row]:
    """The rows of a finished cell, scored here: all values as text.

    Raises: DamagedError where they are not all there, each once, with numbers that can be.
    """
    path = folder / "rows.csv"
    try:
        rows = read_csv(path)
    except FileNotFoundError as error:
        raise DamagedError(f"{path} is missing; {AGAIN}") from error
    except DamagedError as error:
        raise DamagedError(f"{error}; {AGAIN}") from error
    wrong = next(_faults(rows, read_status(folder).get("images"), folder.name), None)
    if wrong:
        raise DamagedError(f"{path} is damaged ({wrong}); {AGAIN}")
    return rows


def damage(folder: Path) -> str | None:
    """What is wrong with a cell that says it is done, or that has rows and no valid status; None if nothing is."""
    status, rows = folder / "status.json", folder / "rows.csv"
    try:
        said = read_json(status).get("state")
    except FileNotFoundError:
        return f"{status} is missing; {AGAIN}" if rows.is_file() else None
    except (OSError, DamagedError) as error:
        return f"{error}; {AGAIN}"
    return damage_of_done(folder) if said == "done" else None


def damage_of_done(folder: Path) -> str | None:
    """The same of a cell whose `status.json` was read, and says that it is done."""
    try:
        protocols_of(folder)
    except (OSError, DamagedError) as error:
        return str(error)
    return None


def protocols_of(folder: Path) -> frozenset[str]:
    """Under which a finished cell was scored. Raises: as `read_finished`."""
    return _protocols(folder, _version(folder / "status.json"), _version(folder / "rows.csv"))


def _version(path: Path) -> tuple[int, ...]:
    """Differs where a file was written again."""
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_ino, about.st_size, about.st_mtime_ns


@functools.lru_cache(maxsize=16384)
def _protocols(folder: Path, _status: tuple[int, ...], _rows: tuple[int, ...]) -> frozenset[str]:
    return frozenset(row["protocol"] for row in read_finished(folder))


def _faults(rows: Sequence[Row], images: object, name: str) -> Iterator[str]:
    if lacking := [column for column in COLUMNS if column not in LATER and not (rows and column in rows[0])]:
        yield "it has no rows" if not rows else f"it has no column {', '.join(lacking)}"
        return
    yield from (fault for row in rows if (fault := _fault_of(row)))
    if len({row["key"] for row in rows}) > 1 or rows[0]["key"] != name.rpartition("-")[2]:
        yield "it has rows of another cell"
    views = {(row["image"], int(row["repeat"])) for row in rows}
    protocols = dict.fromkeys(row["protocol"] for row in rows)
    if twice := [
        view for view, count in Counter((row["image"], int(row["repeat"]), row["protocol"]) for row in rows).items() if count > 1
    ]:
        yield f"it has a row twice: image {twice[0][0]}, repeat {twice[0][1]}, protocol {twice[0][2]}"
    if len(rows) != len(views) * len(protocols):
        expected = f"{counted(len(views), 'image')} under {counted(len(protocols), 'protocol')}"
        yield f"it has {counted(len(rows), 'row')}, expected {expected}"
    if images is not None and images != len(views):
        yield f"it has {counted(len(views), 'image')}, and status.json says {images}"


def _fault_of(row: Row) -> str | None:
    """What cannot be in a row."""
    where = f"image {row['image']}"
    if row.get("scored_by", "local") not in ("local", "") or row["status"] not in ("done", "unscored"):
        return f"{where}: scored_by {row.get('scored_by')}, status {row['status']}"
    if not row["repeat"].isdecimal() or not row["protocol"]:
        return f"{where}: repeat {row['repeat']!r}, protocol {row['protocol']!r}"
    further = [name for name in row if name not in COLUMNS]
    wrong = [name for name in RANGES if not _can_be(name, row[name])] + [name for name in further if not _is_score(row[name])]
    return f"{where}: {wrong[0]} is {row[wrong[0]] or 'empty'}" if wrong else None


def _is_score(text: str) -> bool:
    """Of a further measure: a number, or nothing."""
    try:
        return not text or not math.isnan(float(text))
    except ValueError:
        return False


def _can_be(name: str, text: str) -> bool:
    if not text:
        return name in MAY_BE_EMPTY
    try:
        value = float(text)
    except ValueError:
        return False
    low, high = RANGES[name]
    return low <= value <= high
