"""A command line -> the overrides of each job of its sweep."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.types import Glob, Override

from denoisebench.config import hydra_internals
from denoisebench.config.compose import composed, user_errors
from denoisebench.config.errors import ConfigError
from denoisebench.config.places import SEARCH_PATH, brought, conf_dir, groups

GRIDS = ("experiment", "hydra.sweeper", "hydra.searchpath")


def split_flags(arguments: Sequence[str]) -> tuple[list[str], bool, bool]:
    """Overrides, whether `-m` was given, and whether flags of Hydra's own were. `--config-dir DIR` becomes an override."""
    overrides: list[str] = []
    multirun = others = False
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-m", "--multirun"):
            multirun = True
        elif argument in ("--config-dir", "-cd") or argument.startswith("--config-dir="):
            overrides.append(_search_path(argument.partition("=")[2] or next(rest, "")))
        elif argument.startswith("-"):
            others = True
        else:
            overrides.append(argument)
    return overrides, multirun, others


def _search_path(text: str) -> str:
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"--config-dir {folder}: no such folder")
    for file in sorted(folder.rglob("*.yaml")):
        if any((place / file.relative_to(folder)).is_file() for place in (Path(conf_dir()), *brought())):
            raise ConfigError(f"--config-dir: {file} would be hidden by denoisebench's own of that name; rename it")
    return f"{folder.resolve()}".join(SEARCH_PATH)


def expand(overrides: Sequence[str], *, multirun: bool) -> list[list[str]]:
    """The overrides of each job of a sweep, in the order in which Hydra's basic sweeper runs them.

    Raises: ConfigError for what cannot be parsed, or for several values without `-m`.
    """
    with user_errors(overrides):
        parsed = hydra_internals.parse(overrides)
        named = [o.input_line or "" for o in parsed if (o.get_key_element() or "").startswith(GRIDS)]
        if not multirun:
            if any(line.startswith("experiment=") for line in named) and _grid_of(named):
                raise ConfigError(f"{named[-1]} is a grid of cells: add -m")
            return [list(overrides)]
        given = {o.get_key_element() for o in parsed}
        grid = [o for o in hydra_internals.parse(_grid_of(named)) if o.get_key_element() not in given]
        return [list(job) for job in itertools.product(*(_values(override) for override in [*grid, *parsed]))]


def _grid_of(named: Sequence[str]) -> list[str]:
    """The sweep that a named experiment brings (`hydra.sweeper.params`)."""
    params = composed(named)[1].sweeper.get("params") or {}
    return [f"{name}={value}" for name, value in params.items()]


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.input_line or ""]
    if isinstance(glob := override.value(), Glob):
        return [f"{override.get_key_element()}={name}" for name in glob.filter(groups().get(override.get_key_element(), []))]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
