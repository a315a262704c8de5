"""Whether anything in a folder was written, without reading its files."""

import hashlib
import os
from pathlib import Path


def written(folder: Path) -> str:
    """Of the names, sizes and times of the files in a folder: another one once any is written, added or taken away.

    It is asked for before each slice of a Zarr folder is read, of tens of thousands of chunks.
    """
    digest, folders = hashlib.sha256(), [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file():
                    status = entry.stat()
                    digest.update(f"{entry.path!r} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\n".encode())
    return digest.hexdigest()
