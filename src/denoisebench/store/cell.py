"""A cell (method x data set x noise x seed): its key and its folder.

The folder is absent, resumable or done at any instant: `rows.csv` and then `status.json` are written last, each in one
atomic step; what is finished of a test is kept in `rows.part.jsonl` until then.
"""

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from denoisebench.store.files import write_atomic
from denoisebench.store.finished import damage_of_done
from denoisebench.store.status import STATES, State, read_status

LONGEST_NAME = 80
TRACEBACK = "traceback.txt"  # of a cell that failed


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


def file_name(text: str) -> str:
    """A readable name that no file system minds; the key beside it keeps it unique."""
    return re.sub(r"[^\w\-.,=\[\]+]", "_", text)[:LONGEST_NAME].strip(".") or "_"


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

    @functools.cached_property
    def folder(self) -> Path:
        parts = map(file_name, (self.study, self.label, self.dataset, self.noise, f"seed{self.seed}-{self.key}"))
        return Path(self.root).joinpath(*parts)

    @property
    def inputs(self) -> Path:
        """Noisy and clean test images, shared by the cells of a study and named by their hash."""
        return Path(self.root) / file_name(self.study) / ".inputs"

    @property
    def training(self) -> Path:
        """The folder of the trained network, shared by all cells of this training."""
        return Path(self.root) / ".trained" / str(self.train_key)

    def __str__(self) -> str:
        return f"{self.label} | {self.dataset} | {self.noise} | seed {self.seed}"

    def status(self) -> dict[str, Any]:
        return read_status(self.folder)

    @property
    def traceback(self) -> str:
        """Of what made it fail; empty if there is none."""
        path = self.folder / TRACEBACK
        return path.read_text(encoding="utf-8") if path.is_file() else str(self.status().get("traceback", ""))

    @property
    def state(self) -> State:
        state = self.status()["state"]
        return "planned" if state == "done" and damage_of_done(self.folder) else state

    @property
    def plain(self) -> dict[str, Any]:
        """For programs: docs/json.md describes it."""
        return {
            "key": self.key, "method": self.label, "dataset": self.dataset, "noise": self.noise, "seed": self.seed,
            "state": STATES[self.state], "reason": self.status().get("reason"), "folder": str(self.folder),
        }  # fmt: skip

    def set_status(self, state: State, **details: Any) -> None:
        if state != "failed":
            (self.folder / TRACEBACK).unlink(missing_ok=True)
        write_atomic(self.folder / "status.json", json.dumps({"state": state, **details}, indent=1))


def study_folder(root: str, study: str) -> Path:
    return Path(root) / file_name(study)
