"""Files that are there whole or not at all, and locks."""

import errno
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

SECONDS_FOR_A_SIGN = 3600.0  # after that, the owner of a lock that cannot die with it may be gone
_seen: dict[tuple[Path, str], float] = {}  # since when a marker of another process is known here


class BusyError(Exception):
    """Another process has the lock."""


class LostOwnerError(Exception):
    """A process on another machine holds a lock, and it is unknown whether it still runs."""


class DamagedError(ValueError):
    """A file does not hold what was written; the text names it, what is wrong and how to fix it."""


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
    except OSError as error:
        if error.filename != str(part):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def whole_copy(source: Path, path: Path) -> Iterator[Path]:
    """Yields a copy of a file or folder beside `path`, to be changed; on leaving without an error it takes that place."""
    if source.is_dir():
        with whole_folder(path) as part:
            shutil.copytree(source, part, dirs_exist_ok=True)
            yield part
    else:
        with whole_file(path) as part:
            shutil.copyfile(source, part)
            yield part


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
        for file in (one for one in part.rglob("*") if one.is_file()):
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


def sweep(folder: Path, *locks: Path) -> None:
    """Delete what killed processes left half-written in `folder` itself; nothing while another process has one of the locks."""
    with suppress(BusyError), ExitStack() as stack:
        for lock in locks:
            if lock.exists():
                stack.enter_context(held(lock))
        for part in folder.glob(".*.part"):
            part.unlink(missing_ok=True)


@contextmanager
def held(lock: Path, wait_s: float = 0.0) -> Iterator[None]:
    """A lock that dies with its owner, where the file system can (flock).

    Raises: BusyError if another process has it for longer than that; LostOwnerError if a process of another machine has had
    it for so long, on a file system without flock, that it may be gone; OSError in words for one that cannot be had.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    own = FileLock(lock, timeout=wait_s)
    try:
        own.acquire()
    except Timeout as error:
        raise _busy(lock) from error
    except OSError as error:
        raise _in_words(error, lock) from error
    try:
        yield
    finally:
        own.release()


def marker(lock: Path) -> str | None:
    """`process 12 on MACHINE`: who wrote a lock file, where locks are files that outlive their owner; None elsewhere."""
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None
    return f"process {lines[0]} on {lines[1]}" if len(lines) in (2, 3) and lines[0].isdecimal() else None


def _busy(lock: Path) -> BusyError | LostOwnerError:
    who = marker(lock)
    if who is None:
        return BusyError(f"another process has {lock}")
    first = _seen.setdefault((lock, who), monotonic())
    if who.endswith(f" on {socket.gethostname()}") or monotonic() - first < SECONDS_FOR_A_SIGN:
        return BusyError(f"another process has {lock}: {who}")
    return LostOwnerError(
        f"{who} has had {lock} for {SECONDS_FOR_A_SIGN / 60:.0f} min, and this file system (without flock) does not tell whether "
        f"it still runs: if it does not, delete {lock} and start again"
    )


def _in_words(error: OSError, lock: Path) -> OSError:
    if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL):
        told = "this file system offers no locks: start its lock service (NFS: lockd), or put results elsewhere with root=FOLDER"
    elif error.errno in (errno.EACCES, errno.EPERM):
        told = "this lock file belongs to another user, or its folder cannot be written to: allow the group to write " \
               "(chmod -R g+w, and umask 002 for all who share it), or use another study="  # fmt: skip
    elif error.errno == errno.EROFS:
        told = "this file system is read-only"
    else:
        return error
    return type(error)(error.errno, f"{lock}: {told} ({os.strerror(error.errno or 0)})")
