"""The rows of a cell: one for each image, repeat and protocol; those of finished images while others are to come."""

import csv
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Self

from denoisebench.store.files import DamagedError, write_atomic

COLUMNS = (
    "study", "method", "dataset", "noise", "seed", "repeat", "image", "protocol", "psnr_db", "ssim", "scored_by", "seconds",
    "peak_mib", "learns", "trained_on", "train_noise", "train_steps", "train_seconds", "selection", "budget", "tags",
    "precision", "noisy_sha", "clean_sha", "status", "key", "setup", "commit",
    "scene", "chosen", "parameters", "gmacs_per_mpix", "weights_bytes", "family", "averaged",
    "weights", "output_sha", "weights_sha", "dataset_version", "noise_version", "protocol_version",
)  # fmt: skip
RECORD_AGAIN = "delete it and record the server's answers again (`denoisebench submit --result`)"
LATER = {"scored_by", *COLUMNS[COLUMNS.index("scene") :]}  # that the rows of older versions lack
SCORED = {"image", "repeat", "protocol", "psnr_db", "seconds"}  # what the row of a finished image has at the least
FORMULA = re.compile(r"'*[=+\-@\t\r\n]")  # what a spreadsheet takes for one, after any apostrophes
# What a benchmark's server answered to a cell's outputs: beside `rows.csv`, so that no rescoring or new run loses it.
SERVER_ROWS = "server.csv"
SERVER_COLUMNS = (*COLUMNS, "images", "computation")
MEANS = ("server", "results.csv")  # `scored_by` of rows that are means of images, which they do not name
Row = dict[str, Any]


def chosen_text(chosen: Mapping[str, float | str]) -> str:
    """What a method chose for an image as a row has it: `stop_step=1250 ratio=0.4`."""
    texts = {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in chosen.items()}
    return " ".join(f"{name}={'_'.join(text.split())}" for name, text in texts.items())


def read_chosen(text: str) -> dict[str, float | str]:
    """The same, read: what is a number as a float, several numbers as their text, e.g. `380_420_312`."""
    pairs = [pair.partition("=") for pair in text.split()]
    return {name: _number_or_text(value) for name, _, value in pairs}


def _number_or_text(text: str) -> float | str:
    try:
        return text if "_" in text else float(text)  # Python would read 380_420 as one number
    except ValueError:
        return text


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file in one atomic step: `csv_text`."""
    write_atomic(path, csv_text(columns, rows))


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """A CSV; None is written as nothing, floats so that they read back the same.

    A text that a spreadsheet would run as a formula gets an apostrophe in front, which `read_csv` takes away again.
    """
    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: inert(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def inert(value: object) -> object:
    """A cell of a CSV that no spreadsheet runs: text as `=1+1` or `@SUM(A1)` becomes `'=1+1`; numbers stay."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) and not _is_number(value) else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_csv(path: Path) -> list[Row]:
    """The rows of a CSV file as `write_csv` was given them, all values as text.

    Raises: FileNotFoundError; DamagedError for a file that is not whole.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        header, *rows = [row for row in csv.reader(StringIO(text, newline=""), strict=True) if row] or [[]]
    except (ValueError, csv.Error) as error:
        raise DamagedError(f"{path} is damaged ({error})") from error
    if not header or not text.endswith("\n"):
        raise DamagedError(f"{path} is damaged ({'its last line is cut' if header else 'it is empty'})")
    if wrong := next((number for number, row in enumerate(rows, 2) if len(row) != len(header)), None):
        raise DamagedError(f"{path} is damaged (row {wrong} has not the {len(header)} cells of the header)")
    return [dict(zip(header, map(_as_given, row), strict=True)) for row in rows]


def _as_given(text: str) -> str:
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """The rows of a cell: its columns, and after them those of further measures."""
    write_atomic(path, rows_text(list(rows)))


def rows_text(rows: Sequence[Row]) -> str:
    return csv_text(tuple(dict.fromkeys((*COLUMNS, *(name for row in rows for name in row)))), rows)


def read_server_rows(folder: Path) -> list[Row]:
    """The rows of a cell with `scored_by` server: means over `images` that never were on this machine's scales.

    Raises: DamagedError.
    """
    path = folder / SERVER_ROWS
    try:
        rows = read_csv(path)
    except FileNotFoundError:
        return []
    except DamagedError as error:
        raise DamagedError(f"{error}; {RECORD_AGAIN}") from error
    if wrong := next((wrong for row in rows if (wrong := _wrong_answer(row))), None):
        raise DamagedError(f"{path} is damaged ({wrong}); {RECORD_AGAIN}")
    return rows


def _wrong_answer(row: Row) -> str | None:
    if lacking := set(SERVER_COLUMNS) - row.keys() - LATER:
        return f"it has no column {', '.join(sorted(lacking))}"
    numbers = ("psnr_db", "ssim", "seconds", "peak_mib", "images")
    wrong = [name for name in numbers if row[name] and not (_is_number(row[name]) and math.isfinite(float(row[name])))]
    return f"{wrong[0]} is {row[wrong[0]]}" if wrong else None


def computation_of(folder: Path) -> str:
    """Differs from one computation of a cell to the next: a server's answer belongs to one of them."""
    try:
        return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()[:12]
    except FileNotFoundError:
        return ""


class PartialRows:
    """The rows of the images finished so far, one JSON line for each image; a torn last line does not count.

    A shard of a cell keeps its own, so that several processes can finish images of one cell.
    """

    def __init__(self, folder: Path, shard: str | None = None) -> None:
        self.shard = shard
        self.path = folder / (f"rows.part.{shard.replace('/', 'of')}.jsonl" if shard else "rows.part.jsonl")

    def all(self) -> list[list[Row]]:
        """The rows of each image that any shard has finished, each image once."""
        every = [PartialRows.at(path) for path in sorted(self.path.parent.glob("rows.part*.jsonl"))]
        return list({(rows[0]["image"], rows[0]["repeat"]): rows for one in every for rows in one.read()}.values())

    @classmethod
    def at(cls, path: Path) -> Self:
        one = cls(path.parent)
        one.path = path
        return one

    def read(self) -> list[list[Row]]:
        """The rows of each finished image."""
        if not self.path.is_file():
            return []
        lines = self.path.read_bytes().splitlines(keepends=True)
        return [rows for line in lines if line.endswith(b"\n") and (rows := _whole(line)) is not None]

    def begin(self) -> list[list[Row]]:
        """The rows of each finished image, with a torn last line taken out of the file."""
        images = self.read()
        self._write(images)
        return images

    def change(self, changed: Callable[[Row], Row]) -> None:
        """Write each row of each shard anew."""
        for path in self.path.parent.glob("rows.part*.jsonl"):
            one = PartialRows.at(path)
            one._write([[changed(row) for row in rows] for rows in one.read()])

    def _write(self, images: Sequence[Sequence[Row]]) -> None:
        write_atomic(self.path, "".join(json.dumps(rows) + "\n" for rows in images))

    def append(self, rows: Sequence[Row]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def finish(self, rows: Iterable[Row]) -> None:
        """Write `rows.csv`; `forget` what it was made of once the cell is said done."""
        write_rows(self.path.with_name("rows.csv"), rows)

    def forget(self) -> None:
        for path in self.path.parent.glob("rows.part*.jsonl"):
            path.unlink(missing_ok=True)


def _whole(line: bytes) -> list[Row] | None:
    """The rows of one image; None for a line that holds none, as one that was torn."""
    try:
        rows = json.loads(line)
        valid = bool(rows) and isinstance(rows, list) and all({*row} >= SCORED for row in rows)
    except (ValueError, TypeError, RecursionError):
        return None
    return rows if valid else None
