"""A cell (method x data set x noise x seed): its key, its folder, its status; the plan of a study.

A cell's folder is absent, resumable or done at any instant: `rows.csv` and then `status.json` are written last, each
in one atomic step; what is finished of a test is kept in `rows.part.jsonl` until then.
"""

import csv
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from filelock import FileLock

from denoisebench.store.files import whole_file

COLUMNS = (
    "study", "method", "dataset", "noise", "seed", "repeat", "image", "protocol", "psnr_db", "ssim", "scored_by", "seconds",
    "peak_mib", "learns", "trained_on", "train_noise", "train_steps", "train_seconds", "selection", "budget", "tags",
    "precision", "noisy_sha", "clean_sha", "status", "key", "setup", "commit",
    "scene",
)  # fmt: skip
# What a benchmark's server answered to a cell's outputs: beside `rows.csv`, so that no rescoring or new run loses it.
SERVER_ROWS = "server.csv"
SERVER_COLUMNS = (*COLUMNS, "images", "computation")

State = Literal["planned", "running", "done", "failed", "skipped"]
STATES = {"done": "done", "skipped": "skipped", "failed": "failed", "running": "unfinished", "planned": "missing"}  # for people
Row = dict[str, Any]


def write_atomic(path: Path, text: str) -> None:
    """Write a text file that is there whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file in one atomic step; None is written as nothing, floats so that they read back the same."""
    from io import StringIO

    text = StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


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


def _canonical(value: Any) -> Any:
    """Equal settings as equal JSON: 25 and 25.0 are one number."""
    if isinstance(value, Mapping):
        return {str(name): _canonical(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def key_of(identity: Mapping[str, Any]) -> str:
    """A 12-digit hash of what identifies a cell or a training."""
    return hashlib.sha256(json.dumps(_canonical(identity), sort_keys=True).encode()).hexdigest()[:12]


def _file_name(text: str) -> str:
    """A readable name that no file system minds; the key beside it keeps it unique."""
    return re.sub(r"[^\w\-.,=\[\]+]", "_", text)[:80].strip(".") or "_"


def read_status(folder: Path) -> dict[str, Any]:
    """What a cell's `status.json` says; `planned` without one, or with an unreadable one."""
    try:
        status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        status = None
    return status if isinstance(status, dict) and status.get("state") in get_args(State) else {"state": "planned"}


@dataclass(frozen=True)
class Cell:
    """label: the method and the keys in which it differs from its YAML. key: hash of the identity; setup: without
    the seed, so that seeds of one setup are averaged and nothing else is."""

    root: str
    study: str
    label: str
    dataset: str
    noise: str
    seed: int
    key: str
    setup: str
    train_key: str | None = None
    overrides: tuple[str, ...] = field(default=())

    @property
    def folder(self) -> Path:
        parts = map(_file_name, (self.study, self.label, self.dataset, self.noise, f"seed{self.seed}-{self.key}"))
        return Path(self.root).joinpath(*parts)

    @property
    def inputs(self) -> Path:
        """Noisy and clean test images, shared by the cells of a study and named by their hash."""
        return Path(self.root) / _file_name(self.study) / ".inputs"

    @property
    def training(self) -> Path:
        """The folder of the trained network, shared by all cells of this training."""
        return Path(self.root) / ".trained" / str(self.train_key)

    def __str__(self) -> str:
        return f"{self.label} | {self.dataset} | {self.noise} | seed {self.seed}"

    def status(self) -> dict[str, Any]:
        return read_status(self.folder)

    @property
    def state(self) -> State:
        state = self.status()["state"]
        return "planned" if state == "done" and not (self.folder / "rows.csv").is_file() else state

    def set_status(self, state: State, **details: Any) -> None:
        write_atomic(self.folder / "status.json", json.dumps({"state": state, **details}, indent=1))


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
        write_csv(self.path.with_name("rows.csv"), COLUMNS, rows)

    def forget(self) -> None:
        for path in self.path.parent.glob("rows.part*.jsonl"):
            path.unlink(missing_ok=True)


def study_folder(root: str, study: str) -> Path:
    return Path(root) / _file_name(study)


def read_plan(study: Path) -> dict[str, Cell]:
    """All cells ever asked for in a study, by key; empty if there is no plan."""
    try:
        plan = json.loads((study / "plan.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    # The folder may have been moved since: where it lies now counts.
    place = {"root": str(study.parent), "study": study.name}
    return {key: Cell(**{**cell, **place, "overrides": tuple(cell["overrides"])}) for key, cell in plan.items()}


def add_to_plan(study: Path, cells: Sequence[Cell]) -> list[Cell]:
    """Add cells to a study's `plan.json`; safe against another process that does the same.

    Returns them as the plan has them: a cell keeps the folder and label under which it was planned first. What the same
    command line meant before its files changed, and failed, leaves the plan.
    """
    study.mkdir(parents=True, exist_ok=True)
    with FileLock(study / ".plan.lock"):
        plan = read_plan(study)
        asked = [replace(plan.get(cell.key, cell), overrides=cell.overrides) for cell in cells]
        now = {cell.overrides: cell.key for cell in asked if cell.overrides}
        plan = {key: old for key, old in plan.items() if now.get(old.overrides, key) == key or old.state != "failed"}
        plan |= {cell.key: cell for cell in asked}
        text = json.dumps({key: asdict(cell) for key, cell in plan.items()}, indent=1)
        write_atomic(study / "plan.json", text)
    return asked
