"""The files of a folder that is one image or stack, and whether any was written, without reading them."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> Iterator[Path]:
    """All files in a folder, also in those that links lead to, each of these once."""
    return (Path(entry.path) for entry in _entries(folder))


def written(folder: Path) -> str:
    """Of the names, sizes and times of the files in a folder: another one once any is written, added or taken away.

    It is asked for before each slice of a Zarr folder is read, of tens of thousands of chunks.
    """
    digest = hashlib.sha256()
    for entry in _entries(folder):
        status = entry.stat()
        digest.update(f"{entry.path!r} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n".encode())
    return digest.hexdigest()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    folders, linked = [str(folder)], {os.path.realpath(folder)}
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file():
                    yield entry
                elif os.path.isdir(entry.path) and (real := os.path.realpath(entry.path)) not in linked:
                    linked.add(real)
                    folders.append(entry.path)
