"""What was written into a folder, and from what: so that a second start does nothing, and no other file is replaced."""

import json
import re
import shutil
from pathlib import Path

from denoisebench.datasets.images import file_hash
from denoisebench.store.files import write_atomic

FOLDER = ".denoisebench"
LEFT_OVER = re.compile(r"\.[0-9a-f]{32}\.part")


class Record:
    """The outputs in a folder: for each name, the key of what it was made of, and the hash of its bytes, or of a folder's.

    `before` is the hash of the output that it replaces: what is there still after a kill, or on a full disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / FOLDER / "written.json"
        self.entries: dict[str, dict[str, str]] = _entries(self.file)

    def is_done(self, name: str, key: str) -> bool:
        """Whether an output is there as it was written from the same input in the same way."""
        entry = self.entries.get(name, {})
        return entry.get("key") == key and self._hash(name) == entry["sha256"]

    def is_ours(self, name: str) -> bool:
        """Whether a file is there as this command left it."""
        entry = self.entries.get(name)
        return entry is not None and self._hash(name) in (entry["sha256"], entry.get("before", entry["sha256"]))

    def add(self, name: str, key: str, part: Path) -> None:
        """Before a file takes its place: a kill between the two leaves no file that nobody knows. part: where it is so far."""
        before = {"before": file_hash(self.folder / name)} if self.is_ours(name) else {}
        self.entries[name] = {"key": key, "sha256": file_hash(part), **before}
        write_atomic(self.file, json.dumps(self.entries, indent=1, ensure_ascii=False))

    def _hash(self, name: str) -> str | None:
        """None where no file is."""
        path = self.folder / name
        return file_hash(path) if path.exists() else None

    def remove_left_over(self) -> None:
        """Delete what killed processes left half-written here; only while no other process writes here."""
        for path in self.folder.iterdir():
            if LEFT_OVER.fullmatch(path.name) and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif LEFT_OVER.fullmatch(path.name):
                path.unlink(missing_ok=True)


def _entries(file: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: own for name, own in found.items() if {"key", "sha256"} <= own.keys()} if isinstance(found, dict) else {}
