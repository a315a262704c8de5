"""Downloads data sets: each file is complete and checked, or absent."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pooch
import requests
from filelock import FileLock
from requests import exceptions

from denoisebench.datasets.catalogue import CATALOGUE, Entry, Part
from denoisebench.datasets.places import in_any_case
from denoisebench.datasets.unpack import move_into, unpack
from denoisebench.datasets.verify import file_problem
from denoisebench.progress import Advance, track

PAUSES_S = (1.0, 4.0, 15.0, 60.0)
TIMEOUT_S = (15.0, 60.0)
CHUNK = 1 << 16  # of what came of a chunk when a connection drops, nothing is kept
BUSY = (408, 425, 429, 500, 502, 503, 504)
SLACK = 1 << 20  # bytes that a file may be longer than its whole set is said to be
WAYWARD = (exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError)

Received = Callable[[int, int], None]


class UnusableError(OSError):
    """What a server sends is not the file, and asking again will not help."""


class Resuming:
    """A downloader for pooch that goes on where a dropped connection left it, after growing pauses.

    received: told bytes so far and bytes in all (0: unknown). It only goes on if the server says that the file is still
    the same one; otherwise it begins anew. limit: bytes that the file can have at most.
    """

    def __init__(self, received: Received, limit: int) -> None:
        self.received, self.limit = received, limit
        self._same = ""  # what the server calls this version of the file

    def __call__(self, fname: str, action: Any, pooch: Any, *, check_only: bool | None = None) -> None:
        """As pooch calls it: `fname` is the URL, `action` the file to write."""
        for pause in (*PAUSES_S, None):
            try:
                self._receive(fname, Path(action))
                break
            except WAYWARD:
                if pause is None:
                    raise
                time.sleep(pause)

    def _receive(self, url: str, out: Path) -> None:
        start = out.stat().st_size if self._same else 0
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": self._same}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            if response.status_code in BUSY:
                raise exceptions.ConnectionError(f"{response.status_code} {response.reason}")
            response.raise_for_status()
            goes_on = response.status_code == 206
            self._same = _version(response)
            self._write(response, out, start if goes_on else 0)

    def _write(self, response: requests.Response, out: Path, start: int) -> None:
        total = start + _length(response)
        done = start
        self._bounded(max(total, done))
        with out.open("ab" if start else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                self._bounded(done + len(chunk))
                file.write(chunk)
                file.flush()
                done += len(chunk)
                self.received(done, total if total > start else 0)
        if total > done:
            raise exceptions.ConnectionError(f"{done} of {total} bytes received")

    def _bounded(self, size: int) -> None:
        if size > self.limit:
            raise UnusableError(f"the server sends more than {self.limit} bytes, which no file of this set can have")


def _length(response: requests.Response) -> int:
    """Bytes to come, 0 where the server does not say."""
    said = response.headers.get("Content-Length", "0")
    if not said.isascii() or not said.isdigit():
        raise UnusableError(f"the server says Content-Length: {said}, which is not a number")
    return int(said)


def _version(response: requests.Response) -> str:
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def download(name: str, root: Path) -> list[Path]:
    """Fetch the missing and damaged files of a set below root; returns the files fetched.

    Raises: OSError or ValueError that say what failed and what helps. Files that came before that stay, whole.
    """
    entry = CATALOGUE[name]
    lacking = [
        (part, file, _target(root, part, file)) for part in entry.parts if part.url for file in part.files
        if file_problem(entry, part, _target(root, part, file))
    ]  # fmt: skip
    if not lacking:
        return []
    with _staging(name, root) as staging, track(f"downloading {name}", len(lacking)) as advance:
        _enough_room(root, entry.size * len(lacking) // sum(len(part.files) for part in entry.parts))
        for number, (part, file, target) in enumerate(lacking):
            resuming = Resuming(_told(advance, number, file), entry.size + SLACK)
            came = _fetch(f"{part.url}{file}", part.files[file], staging, resuming, name)
            if problem := file_problem(entry, part, came):
                raise ValueError(f"{part.url}{file}: what came is not the file: {problem}; {by_hand(name, root)}")
            _put(came, target)
            advance(number + 1, file)
    return [target for *_, target in lacking]


def _told(advance: Advance, number: int, file: str) -> Received:
    def received(done: int, total: int) -> None:
        advance(number + (done / total if total else 0), f"{file} {done / 2**20:.1f} MiB")

    return received


def _fetch(url: str, checksum: str | None, staging: Path, resuming: Resuming, name: str) -> Path:
    pooch.get_logger().setLevel("WARNING")
    known = checksum and f"sha256:{checksum}"
    helps = by_hand(name, staging.parent)
    try:
        return Path(pooch.retrieve(url, known, fname=PurePosixPath(url).name, path=staging, downloader=resuming))
    except UnusableError as error:
        raise OSError(f"{url}: {error}; {helps}") from error
    except (exceptions.InvalidSchema, exceptions.InvalidURL) as error:
        raise OSError(f"{url}: the server leads elsewhere: {error}; {helps}") from error
    except exceptions.RequestException as error:
        raise OSError(f"{url}: {error}; the same command goes on later; or {helps}") from error
    except ValueError as error:  # pooch's word for a wrong checksum
        raise ValueError(f"{url}: what came has another SHA-256 than {checksum}: {helps}") from error
    except OSError as error:
        raise OSError(f"{url}: cannot be written below {staging.parent}: {error}; make room, or say --to FOLDER") from error


def _put(file: Path, target: Path) -> None:
    """A fetched file into its place in one step; it has the rights of a plain new file, not those of a temporary one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    plain = file.with_name(f"{file.name}.plain")
    plain.touch()
    file.chmod(plain.stat().st_mode)
    plain.unlink()
    with file.open("rb+") as whole:
        os.fsync(whole.fileno())
    os.replace(file, target)


def _target(root: Path, part: Part, file: str) -> Path:
    folder = root / part.folder
    return (in_any_case(folder) or folder) / file


@contextmanager
def _staging(name: str, root: Path) -> Iterator[Path]:
    """A folder below root, on the same disk, for what is not whole yet; what a killed process left in it is removed."""
    _make(root)
    with FileLock(root / f".{name}.lock"):
        folder = root / f".{name}.unfinished"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _make(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise PermissionError(f"{root} is read-only")
    except OSError as error:
        raise OSError(f"{error}: say --to FOLDER, as --to data, which is always searched") from error


def _enough_room(root: Path, needed: int) -> None:
    if (free := shutil.disk_usage(root).free) < needed:
        short = f"{needed / 2**20:.0f} MiB are needed and {free / 2**20:.0f} MiB free"
        raise OSError(f"{root}: {short}; make room, or say --to FOLDER")


def take(name: str, archive: Path, root: Path) -> list[Path]:
    """The files of a set out of an archive that was fetched by hand, below root.

    Raises: OSError or ValueError, naming the archive; nothing of it is there then.
    """
    entry = CATALOGUE[name]
    if not archive.is_file():
        raise FileNotFoundError(f"{archive}: no such file")
    count = sum(len(part.files) for part in entry.parts)
    with _staging(name, root) as staging, track(f"unpacking {archive.name}", count) as advance:
        _enough_room(root, entry.size)
        out = unpack(archive, entry.place, staging, 2 * entry.size + 2**20, advance)
        if not out:
            raise ValueError(f"{archive}: no file of {name} in it; {by_hand(name, root)}")
        _check(entry, out, archive, staging)
        move_into(staging, root)
    return [root / path.relative_to(staging) for path in out]


def _check(entry: Entry, out: list[Path], archive: Path, staging: Path) -> None:
    """Files with known checksums have them; of the others, those that are read quickly are read."""
    parts = {part.folder: part for part in entry.parts}
    for path in out:
        part = parts.get(str(PurePosixPath(path.relative_to(staging).parent)))
        if part and part.files and (problem := file_problem(entry, part, path)):
            raise ValueError(f"{archive}: nothing of it is used: {path.name}: {problem}")


def by_hand(name: str, root: Path) -> str:
    """How to get a set by hand: page, files, and where to put them."""
    entry = CATALOGUE[name]
    places = [f"{root / part.folder}/: {_listed(list(part.files))}" for part in entry.parts if part.files]
    if entry.trees:
        places = [f"{root / entry.parts[0].folder}/: {' and '.join(entry.trees)}"]
    how = entry.by_hand or "fetch its files"
    return (
        f"by hand from {entry.page}: {how}, and put them into {'; '.join(places)}. "
        f"An archive of them is unpacked by `denoisebench data download {name} --from ARCHIVE`"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} to {names[-1]} ({len(names)} files)"
