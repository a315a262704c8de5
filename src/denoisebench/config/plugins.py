"""Installed packages that bring methods: the entry point group `denoisebench.methods`, and classes beside `--config-dir`."""

import functools
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path

GROUP = "denoisebench.methods"


class PluginError(ValueError):
    """An installed package brings something unusable; the text names it."""


def installed(ours: Path) -> tuple[Path, ...]:
    """The folders of groups of all packages that bring methods, in the order of their names.

    Raises: PluginError for a package without groups, or with a file that ours or another package's would hide.
    """
    return _installed(ours, tuple(sys.path))


@functools.cache
def _installed(ours: Path, _path: tuple[str, ...]) -> tuple[Path, ...]:
    points = sorted(set(entry_points(group=GROUP)), key=lambda point: point.name)
    found = {point: _folder(point) for point in points}
    taken = {file.relative_to(ours): "denoisebench" for file in ours.rglob("*.yaml")}
    for point, folder in found.items():
        taken |= _own(point, folder, taken)
    return tuple(dict.fromkeys(found.values()))


def _own(point: EntryPoint, folder: Path, taken: Mapping[Path, str]) -> dict[Path, str]:
    """The configuration files of a package, and which package they belong to."""
    files = [file.relative_to(folder) for file in sorted(folder.glob("*/**/*.yaml"))]
    for file in files:
        if taken.get(file, point.name) != point.name:
            raise PluginError(f"{_said(point)} brings {file}, which {taken[file]} has too: rename it there, or uninstall one")
    return dict.fromkeys(files, point.name)


def _folder(point: EntryPoint) -> Path:
    """The folder of groups of a package: `conf` in it, or the package itself. The package is not imported."""
    try:
        spec = find_spec(point.value)
    except (ImportError, ValueError):
        spec = None
    for place in spec.submodule_search_locations or () if spec else ():
        for folder in (Path(place) / "conf", Path(place)):
            if next(folder.glob("method/*.yaml"), None):
                return folder
    raise PluginError(
        f"{_said(point)} names the package {point.value}, which has no conf/method/*.yaml and no method/*.yaml: "
        "add one there, or uninstall it"
    )


def _said(point: EntryPoint) -> str:
    return f"entry point {point.name} of {GROUP}" + (f" (distribution {point.dist.name})" if point.dist else "")


def find_classes(folders: Iterable[Path]) -> None:
    """Classes that a folder of `--config-dir` names are looked for in it and in the folder above it, after all else."""
    for place in _places(folders):
        if place not in sys.path:
            sys.path.append(place)


def _places(folders: Iterable[Path]) -> Iterator[str]:
    for folder in folders:
        yield str(folder)
        yield str(folder.parent)
