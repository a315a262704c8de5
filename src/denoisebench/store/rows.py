"""The rows of a cell: one for each image, repeat and protocol; those of finished images while others are to come."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from denoisebench.store.files import write_atomic

COLUMNS = (
    "study", "method", "dataset", "noise", "seed", "repeat", "image", "protocol", "psnr_db", "ssim", "scored_by", "seconds",
    "peak_mib", "learns", "trained_on", "train_noise", "train_steps", "train_seconds", "selection", "budget", "tags",
    "precision", "noisy_sha", "clean_sha", "status", "key", "setup", "commit",
    "scene", "chosen", "weights",
)  # fmt: skip
# What a benchmark's server answered to a cell's outputs: beside `rows.csv`, so that no rescoring or new run loses it.
SERVER_ROWS = "server.csv"
SERVER_COLUMNS = (*COLUMNS, "images", "computation")
Row = dict[str, Any]


def chosen_text(chosen: Mapping[str, float | str]) -> str:
    """What a method chose for an image as a row has it: `stop_step=1250 ratio=0.4`."""
    texts = {name: f"{value:.6g}" if isinstance(value, float) else str(value) for name, value in chosen.items()}
    return " ".join(f"{name}={'_'.join(text.split())}" for name, text in texts.items())


def read_chosen(text: str) -> dict[str, float | str]:
    """The same, read: what is a number as a float."""
    pairs = [pair.partition("=") for pair in text.split()]
    return {name: _number_or_text(value) for name, _, value in pairs}


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file in one atomic step; None is written as nothing, floats so that they read back the same."""
    from io import StringIO

    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """The rows of a cell: its columns, and after them those of further measures."""
    rows = list(rows)
    write_csv(path, tuple(dict.fromkeys((*COLUMNS, *(name for row in rows for name in row)))), rows)


def read_server_rows(folder: Path) -> list[Row]:
    """The rows of a cell with `scored_by` server: means over `images` that never were on this machine's scales."""
    try:
        with (folder / SERVER_ROWS).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


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
        images: list[list[Row]] = []
        for line in self.path.read_text(encoding="utf-8").splitlines(keepends=True):
            try:
                if line.endswith("\n"):
                    images.append(json.loads(line))
            except ValueError:
                continue
        return images

    def begin(self) -> list[list[Row]]:
        """The rows of each finished image, with a torn last line taken out of the file."""
        images = self.read()
        write_atomic(self.path, "".join(json.dumps(rows) + "\n" for rows in images))
        return images

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
