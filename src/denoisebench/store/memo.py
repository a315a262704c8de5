"""What was found out of this package's own classes and files, kept in the user's cache folder: planning asks it first.

What is kept holds for one state of this package's files and of the installed packages, which are told apart as Python tells
byte code that is out of date: by times and sizes of files. Whatever cannot be read counts as not known.
"""

import functools
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from denoisebench.store.files import write_atomic

INSTALLED = ("site-packages", "dist-packages")
CLASSES = "classes"


class Memo:
    """Values that JSON holds, by what they are of. `keep` writes those that are new.

    name: of its file. most: values that it holds; the oldest are forgotten.
    """

    def __init__(self, name: str = CLASSES, most: int = 100_000) -> None:
        self._name, self._most = name, most
        self._known = _read(name)
        self._new: dict[str, Any] = {}

    def get(self, of: object) -> Any:
        """None if it is not known."""
        return self._known.get(_key(of))

    def put(self, of: object, value: Any) -> None:
        self._known[_key(of)] = self._new[_key(of)] = value

    def keep(self) -> None:
        """Beside what other processes have kept meanwhile. Keeps nothing if the home folder is not writable."""
        if not self._new:
            return
        known = list({**_read(self._name), **self._new}.items())[-self._most :]
        try:
            file(self._name).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file(self._name), json.dumps({"state": _state(), "known": dict(known)}))
        except OSError:
            return
        self._new = {}


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "denoisebench"


def file(name: str = CLASSES) -> Path:
    """Of this installation: several on one machine do not forget for each other."""
    place = hashlib.sha256(f"{sys.prefix} {_package()}".encode()).hexdigest()[:8]
    return cache_folder() / f"{name}-{place}.json"


def _read(name: str) -> dict[str, Any]:
    try:
        kept = json.loads(file(name).read_text(encoding="utf-8"))
        return dict(kept["known"]) if kept["state"] == _state() else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _key(of: object) -> str:
    return json.dumps(of, sort_keys=True)


def _package() -> Path:
    return Path(__file__).resolve().parents[1]


@functools.cache
def _state() -> str:
    """Of this package's sources and what is installed beside it. Read once: a process runs what it imported."""
    sources = [(str(path), *_stamp(path)) for path in sorted(_package().rglob("*.py"))]
    installed = [(path, *_stamp(Path(path))) for path in sys.path if Path(path).name in INSTALLED]
    return hashlib.sha256(repr((sys.version, sources, installed)).encode()).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
