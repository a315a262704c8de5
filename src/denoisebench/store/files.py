"""Files that are there whole or not at all, and locks."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout


class BusyError(Exception):
    """Another process has the lock."""


class DamagedError(ValueError):
    """A file does not hold what was written; the text names it, what is wrong with it, and the way out."""


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises: FileNotFoundError; DamagedError for anything else than an object."""
    try:
        value = json.loads(path.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged ({error})") from error
    if not isinstance(value, dict):
        raise DamagedError(f"{path} is damaged (expected a JSON object, got {type(value).__name__})")
    return value


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; on leaving without an error, it takes the place of `path` in one step.

    What it holds is on the disk by then: neither a killed process nor a power cut leaves half a file of that name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid4().hex}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_atomic(path: Path, text: str) -> None:
    """Write a text file that is there whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The same of a folder of files: yields an empty one beside `path`. A folder that was there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part, old = (path.with_name(f".{uuid4().hex}.part") for _ in range(2))
    part.mkdir()
    try:
        yield part
        for file in part.iterdir():
            with file.open("rb+") as written:
                os.fsync(written.fileno())
        if path.is_dir():
            path.rename(old)
        part.rename(path)
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


def remove_orphans(folder: Path) -> None:
    """Delete what killed processes left half-written under `folder`; only while no other process writes there."""
    for part in folder.rglob(".*.part"):
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


@contextmanager
def held(lock: Path, wait_s: float = 0.0) -> Iterator[None]:
    """A lock that dies with its owner. Raises: BusyError if another process has it for longer than that."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    own = FileLock(lock, timeout=wait_s)
    try:
        own.acquire()
    except Timeout as error:
        raise BusyError(f"another process has {lock}") from error
    try:
        yield
    finally:
        own.release()
