"""Archives from elsewhere, unpacked as if each were out to do harm.

Nothing of an archive is obeyed but names and bytes of plain files: no link, device or place outside the target is made,
and neither owners nor rights are taken over.
"""

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Any

CHUNK = 1 << 20
MAX_MEMBERS = 200_000
READ_TIMES = 5  # as many bytes as a set can have may lie in an archive: what is there beside it is passed over

Place = Callable[[PurePosixPath], str | None]


@dataclass(frozen=True)
class Member:
    """A plain file of an archive."""

    path: PurePosixPath
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, place: Place, to: Path, limit: int, advance: Callable[[float, str], None]) -> list[Path]:
    """Write the files that `place` gives a place below `to` there; returns the places. What is there already is kept.

    limit: bytes in all. advance: told how many files are out. What is below `to` after an error is not to be used.

    Raises: ValueError, naming the archive, if it is damaged, holds a link, a device or a path that leads out, has two
    files for one place, or more than `limit` bytes.
    """
    placed: dict[str, Path] = {}
    try:
        with _members(archive, READ_TIMES * limit) as members:
            for member in members:
                if (where := place(member.path)) is None:
                    continue
                if where.lower() in placed:
                    raise ValueError(f"two files for {where}")
                placed[where.lower()] = target = to / where
                limit -= _copy(member, target, limit)
                advance(len(placed), target.name)
    except (ValueError, tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, LZMAError, RuntimeError) as error:
        raise ValueError(f"{archive}: nothing of it is used: {error}") from error
    return list(placed.values())


class _Bounded:
    """A decompressed stream of which no more than so many bytes are ever made, whether they are read or passed over."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = stream, limit

    def read(self, size: int = -1) -> bytes:
        self._within(self._stream.tell() + max(size, 0))
        try:
            return self._stream.read(size if size >= 0 else self._limit + 1)
        except OSError as error:  # gzip's and bz2's word for damage
            raise ValueError(f"it is damaged: {error}") from error

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        self._within(place if whence == os.SEEK_SET else self._stream.tell() + place)
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def _within(self, place: int) -> None:
        if place > self._limit + tarfile.RECORDSIZE:
            raise ValueError(f"it is larger unpacked than {self._limit} bytes, which this data set and all beside it can be")


@contextmanager
def _members(archive: Path, limit: int) -> Iterator[Iterator[Member]]:
    """limit: bytes that are decompressed of a tar archive at most; of a zip archive, nothing is that is not copied."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            yield _of_zip(file)
        return
    with _decompressed(archive) as stream:
        bounded: Any = _Bounded(stream, limit)
        try:
            file = tarfile.TarFile(fileobj=bounded)
        except tarfile.ReadError as error:
            raise ValueError("it is neither a zip nor a tar archive, or cut off") from error
        with file:
            yield _of_tar(file)
        while bounded.read(CHUNK):  # the checksum of the whole stands at its end
            pass


def _decompressed(archive: Path) -> IO[bytes]:
    with archive.open("rb") as file:
        head = file.read(6)
    for mark, opener in ((b"\x1f\x8b", gzip.GzipFile), (b"BZh", bz2.BZ2File), (b"\xfd7zXZ", lzma.LZMAFile)):
        if head.startswith(mark):
            stream: Any = opener(archive)
            return stream
    return archive.open("rb")


def _of_zip(file: zipfile.ZipFile) -> Iterator[Member]:
    if len(file.infolist()) > MAX_MEMBERS:
        raise ValueError(f"it has more than {MAX_MEMBERS} members")
    for info in file.infolist():
        path = _safe(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if info.flag_bits & 1:
            raise ValueError(f"{info.filename} is encrypted")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{info.filename} is a link or no file")
        if not info.is_dir() and kind != stat.S_IFDIR:
            yield Member(path, lambda info=info: file.open(info))


def _of_tar(file: tarfile.TarFile) -> Iterator[Member]:
    for number, info in enumerate(file):
        if number >= MAX_MEMBERS:
            raise ValueError(f"it has more than {MAX_MEMBERS} members")
        path = _safe(info.name)
        if not (info.isreg() or info.isdir()) or info.issparse():
            raise ValueError(f"{info.name} is a link or no plain file")
        if info.isreg():
            yield Member(path, lambda info=info: _opened(file, info))


def _opened(file: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    opened = file.extractfile(info)
    assert opened is not None
    return opened


def _safe(name: str) -> PurePosixPath:
    """A member's path; as Windows reads it, `\\` parts folders and `C:` is a drive."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise ValueError(f"the path {name!r} leads out of it")
    return path


def _copy(member: Member, target: Path, limit: int) -> int:
    """Bytes written; what an archive says of its sizes is not believed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with member.open() as source, target.open("xb") as out:
        while chunk := source.read(CHUNK):
            written += len(chunk)
            if written > limit:
                raise ValueError(f"{member.path}: larger unpacked than this data set can be")
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    return written


def move_into(folder: Path, root: Path) -> None:
    """Move what a folder holds to the same places below root: whole folders at once where they are new there."""
    for entry in sorted(folder.iterdir()):
        target = root / entry.name
        if entry.is_dir() and target.is_dir():
            move_into(entry, target)
        else:
            os.replace(entry, target)
