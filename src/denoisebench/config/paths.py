"""Paths of a configuration, made absolute: a plan means the same files wherever it is taken up again."""

import os
from typing import Any

from denoisebench.config import hydra_internals
from denoisebench.config.quoting import quoted

SETS = ("dataset", "train_set")
PATHS = ("clean", "noisy", "second", "root")  # of a set of images
OF_METHODS = ("file", "folder", "manifest")
KEYS = frozenset(
    ("checkpoint", "init", *(f"method.{name}" for name in OF_METHODS), *(f"{set_}.{name}" for set_ in SETS for name in PATHS))
)


def make_absolute(plain: dict[str, Any]) -> None:
    """The paths of the sets of images, in place; they are part of no key."""
    for part in SETS:
        node = plain.get(part, {})
        node |= {name: _absolute(node[name]) for name in PATHS if isinstance(node.get(name), str)}


def absolute(override: str) -> str:
    """An override of a path with the absolute one; any other as it is."""
    if override.partition("=")[0].lstrip("+") not in KEYS:
        return override
    value = hydra_internals.parse_one(override).value()
    if not isinstance(value, str) or _absolute(value) == value:
        return override
    return f"{override.partition('=')[0]}={quoted(_absolute(value))}"


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))
