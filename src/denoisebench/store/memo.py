"""What was found out of this package's own classes and files, kept in the user's cache folder: planning asks it first.

What is kept holds for one Python, for this package's sources with their content and times (Python itself tells by times whether
it runs older byte code), and for one state of the folders of installed packages, which changes when a package is installed or
removed. Whatever cannot be read counts as not known. A process that imported this package before a source was last written may
have imported the older one: for it nothing is known, and it keeps nothing.
"""

import functools
import hashlib
import json
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from denoisebench.began import BEGAN
from denoisebench.store.files import write_atomic

INSTALLED = ("site-packages", "dist-packages")
CLASSES = "classes"
COARSE_S = 1.0  # a file's time may be this much too early


class Memo:
    """Values that JSON holds, by what they are of. `keep` writes those that are new.

    name: of its file. most: values that it holds, or as many as this process used if these are more; the others are forgotten,
    those unused for longest first.
    """

    def __init__(self, name: str = CLASSES, most: int = 100_000) -> None:
        self._name, self._most = name, most
        self._known = _read(name)
        self._used: dict[str, Any] = {}
        self._has_new = False

    def get(self, of: object) -> Any:
        """None if it is not known."""
        key = _key(of)
        if key in self._known:
            self._used[key] = self._known[key]
        return self._known.get(key)

    def put(self, of: object, value: Any) -> None:
        key = _key(of)
        self._known[key] = self._used[key] = value
        self._has_new = True

    def keep(self) -> None:
        """Beside what other processes have kept meanwhile. Keeps nothing without a home folder that is writable."""
        if not self._has_new or _state() is None or written_since(_sources()):
            return
        others = {key: value for key, value in _read(self._name).items() if key not in self._used}
        known = list({**others, **self._used}.items())[-max(self._most, len(self._used)) :]
        try:
            file(self._name).parent.mkdir(parents=True, exist_ok=True)
            write_atomic(file(self._name), json.dumps({"state": _state(), "known": dict(known)}))
        except OSError:
            return
        self._has_new = False


def cache_folder() -> Path:
    """Raises: FileNotFoundError for a user without a home folder, as in some containers."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "denoisebench"
    try:
        return Path.home() / ".cache" / "denoisebench"
    except RuntimeError as error:
        raise FileNotFoundError("this user has no home folder: set XDG_CACHE_HOME to a folder") from error


def file(name: str = CLASSES) -> Path:
    """Of this installation: several on one machine do not forget for each other."""
    place = hashlib.sha256(f"{sys.prefix} {_package()}".encode()).hexdigest()[:8]
    return cache_folder() / f"{name}-{place}.json"


def _read(name: str) -> dict[str, Any]:
    try:
        kept = json.loads(file(name).read_text(encoding="utf-8"))
        return dict(kept["known"]) if _state() and kept["state"] == _state() else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _key(of: object) -> str:
    return json.dumps(of, sort_keys=True)


def _package() -> Path:
    return Path(__file__).resolve().parents[1]


def written_since(files: Iterable[Path]) -> bool:
    """Whether a file was written, moved here or removed since this process imported this package, or may have been."""
    return any(_written(path) >= BEGAN - COARSE_S for path in files)


def _written(path: Path) -> float:
    """The later of two times: moving a file changes one of them, and whoever sets the other changes that one too."""
    try:
        found = path.stat()
    except OSError:
        return math.inf
    return max(found.st_mtime, found.st_ctime)


@functools.cache
def _state() -> str | None:
    """Of Python, this package's sources and what is installed beside it; None where they are newer than this process.

    Read once: a process runs what it imported.
    """
    files = _sources()
    if written_since(files):
        return None
    content = [(str(path), *_stamp(path), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    installed = [(path, *_stamp(Path(path))) for path in sys.path if Path(path).name in INSTALLED]
    return hashlib.sha256(repr((sys.version, content, installed)).encode()).hexdigest()[:16]


def _sources() -> list[Path]:
    return sorted(_package().rglob("*.py"))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
