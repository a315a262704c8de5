"""What was composed before, kept in the user's cache folder: a sweep that was planned once is read, not composed.

What Hydra and OmegaConf make of overrides follows from the overrides, the files of `conf/`, the environment variables that these
name, the working folder and the home folder, to which paths are relative, the number of cores, the versions of both, Hydra's
plugins, and all that `store.memo` goes by. Files of other folders and interpolations in overrides may depend on more: with them
everything is composed each time, and so it is where a file of `conf/` asks for anything that is not listed here.
"""

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import hydra
import omegaconf

from denoisebench.config import hydra_internals
from denoisebench.config.places import conf_dir, search_path
from denoisebench.config.resolvers import threads_each
from denoisebench.store.memo import Memo, written_since

NAME = "composed"
MOST = 3000  # about 8 MB; a larger sweep is kept whole
What = Literal["job", "grid"]
# Interpolations whose values follow from their arguments, other keys, an environment variable or the number of cores.
INTERPOLATION = re.compile(r"\$\{(?:[\w.]*\}|(?:oc\.select|choose|levels|true_sigma|threads_each):|oc\.env:(\w+)[,}])")
# In an override: an interpolation, another user's home folder, folders that are not ours.
FURTHER = re.compile(r"\$|~\w|searchpath")


class ComposedCache:
    """What overrides gave, as plain values: a job's configuration or a preset's grid.

    One is made for each command: it reads the file once, and `keep` writes what is new.
    """

    def __init__(self) -> None:
        self._memo = Memo(NAME, MOST)
        self._surroundings = _surroundings()

    def get(self, what: What, overrides: Sequence[str]) -> Any:
        """None if it is not known."""
        text = self._memo.get(self._key(what, overrides)) if self._follows_from(overrides) else None
        with suppress(ValueError):
            return json.loads(text) if isinstance(text, str) else None
        return None

    def put(self, what: What, overrides: Sequence[str], value: Any) -> None:
        """Nothing that JSON would change."""
        if self._follows_from(overrides) and hydra_internals.searches_only(conf_dir()) and (text := _text(value)):
            self._memo.put(self._key(what, overrides), text)

    def keep(self) -> None:
        """Keeps nothing where a file was written since this process may have read it."""
        if not written_since([Path(conf_dir()), *_below(Path(conf_dir()))]):
            self._memo.keep()

    def _key(self, what: What, overrides: Sequence[str]) -> list[Any]:
        return [what, self._surroundings, *overrides]

    def _follows_from(self, overrides: Sequence[str]) -> bool:
        return self._surroundings is not None and not search_path(overrides) and not any(map(FURTHER.search, overrides))


def _text(value: Any) -> str | None:
    try:
        text = json.dumps(value)
        return text if json.loads(text) == value else None
    except (TypeError, ValueError):
        return None


def _surroundings() -> str | None:
    """A hash of all that a configuration follows from beside its overrides; None where it cannot be told."""
    root = Path(conf_dir())
    try:
        files = {str(file.relative_to(root)): file.read_bytes().decode("latin-1") for file in _below(root) if file.is_file()}
        places = os.getcwd(), os.path.expanduser("~"), _plugins()
    except (OSError, ValueError):
        return None
    asked = [INTERPOLATION.findall(text) for text in files.values()]
    if sum(map(len, asked)) != sum(text.count("${") for text in files.values()):
        return None
    variables = {name: os.environ.get(name) for name in sorted({name for found in asked for name in found if name})}
    if any(FURTHER.search(value) for value in variables.values() if value):
        return None
    told = [files, variables, places, threads_each(1), hydra.__version__, omegaconf.__version__]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def _plugins() -> list[tuple[str, list[str]]]:
    """Where Hydra looks for plugins, which may add folders, and what lies there."""
    found = importlib.util.find_spec("hydra_plugins")
    places = (found.submodule_search_locations if found else None) or ()
    return [(place, sorted(os.listdir(place)) if os.path.isdir(place) else []) for place in places]


def _below(root: Path) -> Iterator[Path]:
    """All files and folders in a folder, also those that links lead to."""
    for folder, folders, files in os.walk(root, followlinks=True):
        yield from (Path(folder, name) for name in (*folders, *sorted(files)))
