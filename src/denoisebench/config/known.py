"""Configurations that were composed before, kept in the user's cache folder: a sweep that was planned once is read, not composed.

What Hydra and OmegaConf make of overrides follows from the overrides, the files of `conf/`, the environment variables that
these name, the working folder and the home folder, to which paths are relative, and the installed packages. Files of other
folders, named weights and interpolations in overrides may depend on more: what they are part of is composed each time.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from denoisebench.config.places import conf_dir, search_path
from denoisebench.store.memo import Memo

NAME = "composed"
MOST = 2000  # about 4 MB
RESOLVER = re.compile(r"\$\{\s*(oc\.env:\w+|[\w.]+:|\$)")  # of an interpolation: its name, of oc.env with that of the variable
VARIABLE = re.compile(r"oc\.env:(\w+)")
# Whose results follow from their arguments; and threads_each, which only launchers use.
FUNCTIONS = frozenset({"oc.select:", "choose:", "true_sigma:", "threads_each:"})


class Known:
    """The configurations of jobs by their overrides, as plain values, for one command. `keep` writes those that are new."""

    def __init__(self) -> None:
        self._memo = Memo(NAME, MOST)
        self._surroundings = _surroundings()

    def get(self, overrides: Sequence[str]) -> Any:
        """None if it is not known."""
        return self._memo.get([self._surroundings, overrides]) if self._follows_from(overrides) else None

    def put(self, overrides: Sequence[str], composed: Mapping[str, Any]) -> None:
        """Not what JSON would change."""
        if self._follows_from(overrides) and composed["plain"]["weights"] is None and json.loads(json.dumps(composed)) == composed:
            self._memo.put([self._surroundings, overrides], composed)

    def keep(self) -> None:
        self._memo.keep()

    def _follows_from(self, overrides: Sequence[str]) -> bool:
        return self._surroundings is not None and not search_path(overrides) and not any("$" in line for line in overrides)


def _surroundings() -> str | None:
    """A hash of all that a configuration follows from beside its overrides; None if the files ask for more than that."""
    root = Path(conf_dir())
    texts = {str(file.relative_to(root)): file.read_bytes().decode("latin-1") for file in sorted(root.rglob("*.yaml"))}
    asked = {found for text in texts.values() for found in RESOLVER.findall(text)} - FUNCTIONS
    if not all(map(VARIABLE.fullmatch, asked)):
        return None
    variables = {name: os.environ.get(name.partition(":")[2]) for name in sorted(asked)}
    told = [texts, variables, os.getcwd(), os.path.expanduser("~")]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
