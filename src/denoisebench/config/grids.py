"""A command line -> the overrides of each job of its sweep."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.types import Glob, Override

from denoisebench.config import hydra_internals
from denoisebench.config.compose import SCOPED, composed, user_errors
from denoisebench.config.composed_cache import ComposedCache
from denoisebench.config.errors import ConfigError, nearest
from denoisebench.config.places import SEARCH_PATH, brought, conf_dir, groups, own_overrides

GRIDS = ("experiment", "hydra.sweeper", "hydra.searchpath")


# Hydra's own flags that print something; its others would compute nothing and say nothing.
PRINTING = ("--cfg", "-c", "--info", "-i", "--package", "-p", "--resolve", "--hydra-help", "--help", "-h")


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
            if argument.partition("=")[0] not in PRINTING:
                raise ConfigError(f"no option {argument}; {nearest(argument, [*PRINTING, '--config-dir', '-m'])}")
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


def expand(overrides: Sequence[str], cache: ComposedCache | None = None, *, multirun: bool) -> list[list[str]]:
    """The overrides of each job of a sweep, in the order in which Hydra's basic sweeper runs them.

    Raises: ConfigError for what cannot be parsed, or for several values without `-m`.
    """
    with user_errors(overrides):
        parsed = hydra_internals.parse(overrides)
        if multirun and any((o.get_key_element() or "") == "experiment" and o.is_sweep_override() for o in parsed):
            raise ConfigError(
                "presets cannot be swept together: each is a grid of its own; run one experiment=NAME after the other"
            )
        named = [o.input_line or "" for o in parsed if (o.get_key_element() or "").startswith(GRIDS)]
        if not multirun:
            if any(line.startswith("experiment=") for line in named) and _grid_of(named, cache):
                raise ConfigError(f"{named[-1]} is a grid of cells: add -m")
            jobs = [list(_of_its_own(overrides, groups(overrides)))]
            _check_meant(parsed, jobs)
            return jobs
        given = {o.get_key_element() for o in parsed}
        grid = [o for o in hydra_internals.parse(_grid_of(named, cache)) if o.get_key_element() not in given]
        names = groups(overrides)
        every = itertools.product(*(_values(override, names) for override in [*grid, *parsed]))
        jobs = [list(job) for job in dict.fromkeys(_of_its_own(job, names) for job in every)]
        _check_meant(parsed, jobs)
        return jobs


def _check_meant(given: Sequence[Override], jobs: Sequence[Sequence[str]]) -> None:
    """That each `method.nlm.key` is of a method that some job has. Raises: ConfigError."""
    names = groups([o.input_line or "" for o in given])
    keys = {line.partition("=")[0] for job in jobs for line in job}
    for override in given:
        key = (override.input_line or "").partition("=")[0]
        if (scope := _scope(key, names)) and key.replace(f"{scope[0]}.{scope[1]}.", f"{scope[0]}.", 1) not in keys:
            raise ConfigError(
                f"{key}: none of these cells has {scope[0]}={scope[1]}; leave it out, or add {scope[1]} to {scope[0]}="
            )


def _of_its_own(job: Sequence[str], names: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The overrides of a job with `method.nlm.strength=1` as `method.strength=1` where its method is nlm, and without it
    elsewhere; the same of noises and data sets. names: the choices of each group."""
    scoped = {line: _scope(line, names) for line in job}
    if not any(scoped.values()):
        return tuple(job)
    chosen = composed([line for line in job if not scoped[line] and _is_choice(line, names)])[1].runtime.choices
    own = []
    for line, scope in scoped.items():
        if scope is None:
            own.append(line)
        elif chosen.get(scope[0]) == scope[1]:
            own.append(line.replace(f"{scope[0]}.{scope[1]}.", f"{scope[0]}.", 1))
    return tuple(own)


def _scope(line: str, names: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """(group, choice) of `group.choice.key=value`."""
    group, _, rest = line.partition("=")[0].partition(".")
    choice, dot, _ = rest.partition(".")
    return (group, choice) if group in SCOPED and dot and choice in names.get(group, ()) else None


def _is_choice(line: str, names: Mapping[str, Sequence[str]]) -> bool:
    return line.partition("=")[0] in names or line in own_overrides([line])


def _grid_of(named: Sequence[str], cache: ComposedCache | None) -> list[str]:
    """The sweep that a named experiment brings (`hydra.sweeper.params`)."""
    kept = cache.get("grid", named) if cache else None
    if isinstance(kept, list):
        return kept
    params = composed(named)[1].sweeper.get("params") or {}
    grid = [f"{name}={value}" for name, value in params.items()]
    if cache:
        cache.put("grid", named, grid)
    return grid


def _values(override: Override, names: Mapping[str, Sequence[str]]) -> list[str]:
    if not override.is_sweep_override():
        return [override.input_line or ""]
    if isinstance(glob := override.value(), Glob):
        return [f"{override.get_key_element()}={name}" for name in glob.filter(list(names.get(override.get_key_element(), [])))]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
