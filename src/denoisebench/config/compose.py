"""Where `conf/` is, how it is composed, checked and instantiated. The only module that imports Hydra.

Whatever a user can mistype ends as a `ConfigError` whose text names the nearest valid choices.
"""

import copy
import difflib
import functools
import itertools
import json
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import hydra
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_repository import ConfigRepository
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

NO_GROUPS = ("hydra", "recipe")
GRIDS = ("experiment", "hydra.sweeper", "hydra.searchpath")
SETTINGS = ("launcher", "on_error", "shard")
EXTRAS = {"submitit": "slurm", "ray": "ray"}
SEARCH_PATH = ("hydra.searchpath=['file://", "']")
_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
LABELLED = ("method", "training", "precision")
# Settings of a method that a recipe (a budget) may choose without another label: length, width, depth, rate, first weights.
RECIPE_KEYS = frozenset({"features", "modules", "init", "init_gain", "lr", "lr_decay", "steps", "passes"})


SEVERAL_DEVICES = (
    "trainer=ddp (or trainer.devices) is for a single run of one cell, without -m: it would take every GPU for each cell, and "
    "start its processes anew for each. In a sweep give each cell a GPU: trainer.devices=1, and launcher=slurm with "
    "hydra.launcher.gpus_per_node=1 for many at once"
)


class ConfigError(ValueError):
    """A setting that cannot be; its text is for the user, without a traceback."""


def conf_dir() -> str:
    """The folder of the configuration: a checkout's own first, else the one in the installed wheel.

    An editable install holds a stale copy beside the package's metadata, so a checkout goes first; it is one only
    with the project file beside it.
    """
    checkout = Path(__file__).resolve().parents[3]
    packaged = Path(__file__).resolve().parents[1] / "conf"
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf" / "config.yaml").is_file():
        return str(checkout / "conf")
    if (packaged / "config.yaml").is_file():
        return str(packaged)
    raise ConfigError(f"found no configuration, neither {checkout / 'conf'} nor {packaged}: install denoisebench again")


def groups(overrides: Sequence[str] = ()) -> dict[str, list[str]]:
    """The choices of each group, as `conf/` and the folders of `--config-dir` have them; without `for_...`, the defaults."""
    found: dict[str, set[str]] = {}
    own = [Path(o[len(SEARCH_PATH[0]) : -len(SEARCH_PATH[1])]) for o in overrides if o.startswith(SEARCH_PATH[0])]
    for root in (Path(conf_dir()), *own):
        for folder in root.iterdir():
            if folder.is_dir() and folder.name not in NO_GROUPS:
                found.setdefault(folder.name, set()).update(_choices(folder, folder.stat().st_mtime_ns))
    return {group: sorted(found[group]) for group in sorted(found) if found[group]}


@functools.cache
def _choices(folder: Path, _written: int) -> frozenset[str]:
    return frozenset(file.stem for file in folder.glob("*.yaml") if not file.stem.startswith("for_"))


def nearest(word: str, choices: Iterable[str]) -> str:
    """`did you mean ...? valid: ...`, for the end of an error."""
    valid = sorted(choices)
    close = difflib.get_close_matches(word, valid, n=3, cutoff=0.5)
    listed = ", ".join(valid[:24]) + (f" and {len(valid) - 24} more" if len(valid) > 24 else "")
    return (f"did you mean {' or '.join(close)}? " if close else "") + f"Valid: {listed}"


# --- From a command line to composed jobs -----------------------------------------------------------------------


class LaunchError(Exception):
    """A sweep ended before all its cells were computed."""


@dataclass(frozen=True)
class Job:
    """One cell's composed configuration, and the overrides that gave it.

    method: YAML name. changed: the settings of method, training and precision in which it differs from YAML and recipe,
    as `regularizer=8`. own_train_set: whether it trains on another set than the data set's default. has_recipe:
    whether its budget says how long it trains. recipe_sets: whether its budget sets anything at all for its method.
    settings: overrides of how it is launched, which change no result.
    shard: `i/n`, the part of its images that this job computes.
    """

    config: DictConfig
    overrides: tuple[str, ...]
    method: str
    changed: tuple[str, ...]
    own_train_set: bool
    has_recipe: bool
    recipe_sets: bool = True
    settings: tuple[str, ...] = ()
    shard: str | None = None


@contextmanager
def _user_errors(overrides: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except ConfigError:
        raise
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(_explained(str(error), overrides)) from error


def _explained(message: str, overrides: Sequence[str]) -> str:
    """Hydra's error in words that name the nearest valid choices."""
    if found := re.search(r"Could not (?:find|load) '([^']+)/([^'/]+)'", message):
        group, name = found.groups()
        if group == "hydra/launcher" and (extra := EXTRAS.get(name.partition("_")[0])):
            return f"{group}={name} is not installed: pip install 'denoisebench[{extra}]'"
        return f"no {group}={name}; {nearest(name, groups(overrides).get(group, []))}"
    if found := re.search(r"Could not override '([^']+)'", message):
        return _no_such_key(found[1], overrides)
    if found := re.search(r"Ambiguous value for argument '([^']+)'", message):
        return f"{found[1]} names several values: add -m to run them all, or write [a,b] for a list"
    if found := re.search(r"Error parsing override '([^']+)'", message):
        return f"{found[1]!r} is not key=value: {message.splitlines()[1] if chr(10) in message else message}"
    return " ".join(line.strip() for line in message.splitlines() if "HYDRA_FULL_ERROR" not in line)


def _no_such_key(key: str, overrides: Sequence[str]) -> str:
    """The keys beside it, or all that are near."""
    known = _known_keys(overrides)
    parent, _, _ = key.rpartition(".")
    beside = [other for other in known if parent and other.startswith(f"{parent}.")]
    if parent == "train_noise" and not beside:
        return f"no key {key}: the training noise is the test noise; choose one first, as train_noise=gaussian {key}=..."
    if parent in known and not beside:
        return f"no key {key}: {parent} has no parameters here"
    return f"no key {key}; {nearest(key, beside or known)}"


def _known_keys(overrides: Sequence[str]) -> list[str]:
    """The keys that could have been meant: those of the configuration without its own key overrides."""
    known = groups(overrides)
    chosen = [o for o in overrides if o.partition("=")[0] in known or o.startswith(SEARCH_PATH[0])]
    try:
        config = _compose(chosen)
    except (HydraException, OmegaConfBaseException):
        return list(known)
    return list(dict.fromkeys([*known, *SETTINGS, *_dotted(OmegaConf.to_container(config))]))


def _dotted(tree: Any, prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if str(name).startswith("_"):
            continue
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{name}.")


def _compose(overrides: Sequence[str]) -> DictConfig:
    return _composed(overrides)[0]


def _composed(overrides: Sequence[str]) -> tuple[DictConfig, DictConfig]:
    """A configuration, and Hydra's own that goes with it. Hydra composes for a tenth of a second: the values that are set on one
    choice of groups are set here, on a copy."""
    parsed = [_parsed(line) for line in overrides]
    known = groups(overrides)
    values = [override for override in parsed if _is_value(override, known)]
    if any(o.is_add() or o.is_force_add() or o.is_delete() for o in parsed):
        values = []  # the order of these and the others matters
    config, own = _composed_groups(tuple(o.input_line or "" for o in parsed if o not in values))
    config = copy.deepcopy(config)
    for override in values:
        try:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except (ConfigAttributeError, ConfigKeyError):
            raise ConfigError(_no_such_key(override.key_or_group, overrides)) from None
    return config, own


@functools.cache
def _parsed(line: str) -> Override:
    return OverridesParser.create().parse_override(line)


def _is_value(override: Override, known: Mapping[str, Any]) -> bool:
    """Whether it is `key=value` of a key that is no group's, and not Hydra's own."""
    key = override.key_or_group
    return (
        key not in known
        and key not in NO_GROUPS
        and override.package is None
        and not key.startswith("hydra")
        and not override.is_sweep_override()
    )


@functools.cache
def _read_below(_search_path: tuple[str, ...]) -> dict[str, ConfigResult | None]:
    """What was read so far with a search path."""
    return {}


class _ReadOnce(ConfigRepository):
    """Hydra's and our files, each read once in a process: a composition would read and parse two dozen."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_ReadOnce":
        return copy.copy(self)  # Hydra copies it for each composition: what was read is for all of them

    def initialize_sources(self, config_search_path: ConfigSearchPath) -> None:
        super().initialize_sources(config_search_path)
        self._read = _read_below(tuple(str(part.path) for part in config_search_path.get_path()))

    def load_config(self, config_path: str) -> ConfigResult | None:
        if config_path not in self._read:
            self._read[config_path] = super().load_config(config_path)
        return copy.deepcopy(self._read[config_path])  # Hydra merges into it


@functools.cache
def _files(_conf_dir: str) -> _ReadOnce:
    return _ReadOnce(_loader().config_search_path)


def _loader() -> Any:
    """Hydra's, while it is initialised."""
    return GlobalHydra.instance().config_loader()


@functools.cache
def _composed_groups(overrides: tuple[str, ...]) -> tuple[DictConfig, DictConfig]:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        _loader().repository = _files(conf_dir())
        config = compose("config", list(overrides), return_hydra_config=True)
    with flag_override(config, "struct", False):
        own = config.pop("hydra")
    return config, own


def split_flags(arguments: Sequence[str]) -> tuple[list[str], bool, bool]:
    """Overrides, whether `-m` was given, and whether flags of Hydra's own were. `--config-dir DIR` becomes an override."""
    overrides: list[str] = []
    multirun = others = False
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-m", "--multirun"):
            multirun = True
        elif argument in ("--config-dir", "-cd") or argument.startswith("--config-dir="):
            folder = str(Path(argument.partition("=")[2] or next(rest, "")).expanduser())
            if not Path(folder).is_dir():
                raise ConfigError(f"--config-dir {folder}: no such folder")
            for file in sorted(Path(folder).rglob("*.yaml")):
                if (Path(conf_dir()) / file.relative_to(folder)).is_file():
                    raise ConfigError(f"--config-dir: {file} would be hidden by denoisebench's own of that name; rename it")
            overrides.append(f"{Path(folder).resolve()}".join(SEARCH_PATH))
        elif argument.startswith("-"):
            others = True
        else:
            overrides.append(argument)
    return overrides, multirun, others


def expand(overrides: Sequence[str], *, multirun: bool) -> list[list[str]]:
    """The overrides of each job of a sweep, in the order in which Hydra's basic sweeper runs them.

    Raises: ConfigError for what cannot be parsed, or for several values without `-m`.
    """
    with _user_errors(overrides):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        named = [o.input_line or "" for o in parsed if (o.get_key_element() or "").startswith(GRIDS)]
        if not multirun:
            if any(line.startswith("experiment=") for line in named) and _grid_of(named):
                raise ConfigError(f"{named[-1]} is a grid of cells: add -m")
            return [list(overrides)]
        given = {o.get_key_element() for o in parsed}
        grid = [o for o in OverridesParser.create().parse_overrides(_grid_of(named)) if o.get_key_element() not in given]
        return [list(job) for job in itertools.product(*(_values(override) for override in [*grid, *parsed]))]


def _grid_of(named: Sequence[str]) -> list[str]:
    """The sweep that a named experiment brings (`hydra.sweeper.params`)."""
    params = _composed(named)[1].sweeper.get("params") or {}
    return [f"{name}={value}" for name, value in params.items()]


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.input_line or ""]
    if isinstance(glob := override.value(), Glob):
        return [f"{override.get_key_element()}={name}" for name in glob.filter(groups().get(override.get_key_element(), []))]
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def jobs(overrides: Sequence[str], *, multirun: bool) -> list[Job]:
    """Each cell's configuration, composed and with its label; nothing heavy is imported.

    Raises: ConfigError, whose text names the nearest valid choices.
    """
    result = [job_of(own) for own in expand(overrides, multirun=multirun)]
    if not result:
        raise ConfigError("this sweep has no cell: one of its lists is empty")
    if multirun and any(job.config.trainer.devices != 1 for job in result):
        raise ConfigError(SEVERAL_DEVICES)
    if len({job.settings for job in result}) > 1:
        raise ConfigError(f"one sweep has one launcher: {', '.join(sorted({o for job in result for o in job.settings}))}")
    return result


def job_of(overrides: Sequence[str]) -> Job:
    """The job of one cell. Raises: ConfigError."""
    settings = tuple(o for o in overrides if _setting(o))
    shards = [o.partition("=")[2] for o in settings if _setting(o) == "shard"]
    with _user_errors(overrides):
        job = _job([o for o in overrides if o not in settings])
        launch = tuple(o for o in settings if _setting(o) != "shard")
        return replace(job, settings=launch, shard=_shard(shards[-1]) if shards else None)


def _setting(override: str) -> str | None:
    """The key of what says how a sweep is launched."""
    key = override.partition("=")[0].lstrip("+~")
    hydras = key.startswith(("hydra.", "hydra/")) and not override.startswith(SEARCH_PATH[0])
    return key if hydras or key in SETTINGS else None


def _shard(text: str) -> str | None:
    if text == "null":
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(f"shard={text}: expected i/n with i from 1 to n, as shard=1/4")
    return f"{int(found[1])}/{int(found[2])}"


def _job(overrides: Sequence[str]) -> Job:
    """What a job changes is found by composing again with its choices of groups alone, on its data and noise.

    A recipe's own changes do not count, as long as they are of what a recipe may change.
    """
    if deleted := [o for o in overrides if o.startswith("~")]:
        raise ConfigError(f"{deleted[0]}: a setting can be changed, not deleted; null says what has no value")
    config, hydra_own = _composed(overrides)
    choices = dict(hydra_own.runtime.choices)
    _check_settings(config)
    own = tuple(o for o in overrides if o.startswith(SEARCH_PATH[0]))
    named = tuple(f"{group}={choices[group]}" for group in ("method", "dataset", "budget"))
    plain = _plain((*own, *named, f"protocol=[{','.join(map(str, config.protocols))}]"), (*own, named[0], "recipe=none"),
                   *(json.dumps(_resolved(config[part])) for part in ("dataset", "noise")))  # fmt: skip
    _same_protocols(config, plain.protocols)
    changed = [change for part in LABELLED for change in _differences(_resolved(config[part]), plain.labelled[part], part)]
    own_train_set = _resolved(config.get("train_set")) != plain.train_set
    if "train_set" not in config and not choices["train_set"].startswith("for_"):
        raise ConfigError(f"no train_set={choices['train_set']}; {nearest(choices['train_set'], groups(overrides)['train_set'])}")
    return Job(config, tuple(overrides), choices["method"], tuple(changed), own_train_set, plain.has_recipe,
               plain.recipe_sets)  # fmt: skip


@dataclass(frozen=True)
class _Plain:
    """What a job's choices of groups alone give, on its data and noise. labelled: by part."""

    labelled: dict[str, Any]
    train_set: Any
    protocols: dict[str, Any]
    has_recipe: bool
    recipe_sets: bool


@functools.cache
def _plain(named: tuple[str, ...], without_recipe: tuple[str, ...], dataset: str, noise: str) -> _Plain:
    """dataset, noise: as JSON. Jobs that differ in other settings share it."""
    plain, bare = _compose(named), _compose(without_recipe)
    has_recipe = plain.training.steps > 0
    recipe_sets = has_recipe or OmegaConf.to_container(plain.method) != OmegaConf.to_container(bare.method)
    for reference in (plain, bare):
        reference.dataset, reference.noise = json.loads(dataset), json.loads(noise)
    with flag_override(plain, "struct", False):
        for key in (bare.method.keys() | plain.method.keys()) - RECIPE_KEYS:
            if key in bare.method:
                plain.method[key] = bare.method[key]
            else:
                del plain.method[key]
    labelled = {part: _resolved(plain[part]) for part in LABELLED}
    return _Plain(labelled, _resolved(plain.get("train_set")), _resolved(plain.protocols), has_recipe, recipe_sets)


def _same_protocols(config: DictConfig, plain: Mapping[str, Any]) -> None:
    """A protocol's name stands in every row: whoever changes one gives it another name."""
    for name, node in _resolved(config.protocols).items():
        if node != plain[name] or node.get("name") != name:
            changed = ", ".join(_differences(node, {**plain[name], "name": name}, str(name)))
            raise ConfigError(
                f"protocols.{changed}: what protocol={name} means is fixed; write one of another name, as "
                "DIR/protocol/mine.yaml with `# @package protocols.mine` and `name: mine`, and add --config-dir DIR "
                "protocol=[mine]"
            )


def _resolved(node: Any) -> Any:
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def _whole(value: Any) -> Any:
    """8 for 8.0: equal settings have one label."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _differences(ours: Any, plain: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(plain, dict):
        for name in sorted({*ours, *plain}):
            yield from _differences(ours.get(name), plain.get(name), f"{path}.{name}")
    elif ours != plain:
        shown = "null" if ours is None else str(ours).lower() if isinstance(ours, bool) else str(_whole(ours)).replace(" ", "")
        yield f"{path.removeprefix('method.')}={shown}"


# --- Checks ------------------------------------------------------------------------------------------------------


class _Settings(typing.TypedDict):
    study: str
    seed: int
    precision: Literal[32, "bf16-mixed"]
    tile: int | None
    pictures: int
    repeats: int
    force: bool
    root: str
    checkpoint: str | None


class _TrainerSettings(typing.TypedDict):
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: int | str
    threads: int | None
    checkpoint_s: float


class _TrainingSettings(typing.TypedDict):
    steps: int
    patch: int
    batch: int
    noise: Literal["fresh", "fixed"]
    selection: Literal["last", "oracle"]


class _ValidationSettings(typing.TypedDict):
    every: int
    images: int


def _check_settings(config: DictConfig) -> None:
    """The values of the top level and of `training`, and that no key was added that nothing reads."""
    settings, training = typing.get_type_hints(_Settings), typing.get_type_hints(_TrainingSettings)
    parts = {"method", "dataset", "train_set", "noise", "train_noise", "protocols", "loggers", "trainer", "budget", "training"}
    parts.add("validation")
    for key in config:
        if str(key) not in {*settings, *parts}:
            raise ConfigError(f"no key {key}; {nearest(str(key), {*settings, *parts})}")
    for key, hint in settings.items():
        _check_value(key, config[key], hint)
    validation, trainer = typing.get_type_hints(_ValidationSettings), typing.get_type_hints(_TrainerSettings)
    for part, hints in (("training", training), ("validation", validation), ("trainer", trainer)):
        for key, value in config[part].items():
            if str(key) not in hints:
                raise ConfigError(f"no key {part}.{key}; {nearest(str(key), hints)}")
            _check_value(f"{part}.{key}", value, hints[str(key)])
    devices = config.trainer.devices
    if devices != "auto" and (isinstance(devices, str) or devices < 1):
        raise ConfigError(f"trainer.devices={devices} cannot be; 1 or more, or auto for all GPUs")
    if config.trainer.threads is not None and config.trainer.threads < 1:
        raise ConfigError(f"trainer.threads={config.trainer.threads} cannot be; 1 or more, or null for PyTorch's own choice")
    if config.tile is not None and config.tile < 1:
        raise ConfigError(f"tile={config.tile} cannot be; pixels, 1 or more, or null for whole images")
    if config.repeats < 1 or not config.get("protocols"):
        raise ConfigError("repeats is 1 or more, and at least one protocol scores: protocol=[default]")
    if config.validation.every < 0 or config.validation.images < 1:
        raise ConfigError("validation.every is 0 (never) or a number of steps, validation.images 1 or more")
    if config.training.selection == "oracle" and not config.validation.every:
        raise ConfigError("training.selection=oracle needs scores to select by: set validation.every to a number of steps")
    if config.training.steps < 0 or config.training.batch < 1 or config.training.patch < 1:
        raise ConfigError("training.steps is 0 or more, training.patch and training.batch are 1 or more")


def check(node: DictConfig, key: str) -> None:
    """That every key of a `_target_` node is a parameter of its class, and every value fits its annotation.

    Raises: ConfigError naming the key, what was expected and the nearest valid choices.
    """
    cls = class_of(node, key)
    parameters = {p.name: p for p in signature(cls).parameters.values() if p.kind not in _VARIADIC}
    hints = _hints_of(cls)
    values: Mapping[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    for name, value in values.items():
        if name.startswith("_"):
            continue
        if name not in parameters:
            hint = nearest(name, parameters) if parameters else f"{cls.__name__} has no parameters"
            raise ConfigError(f"no key {key}.{name}; {hint}")
        if name in hints:
            _check_value(f"{key}.{name}", value, hints[name])
    missing = [p.name for p in parameters.values() if p.default is Parameter.empty and p.name not in values]
    if missing:
        raise ConfigError(f"{key} needs {', '.join(f'{key}.{name}' for name in missing)}")


def _hints_of(cls: type) -> dict[str, Any]:
    """The annotations of a constructor; none where they name what is imported for type checkers alone."""
    try:
        return typing.get_type_hints(cls.__init__)
    except NameError:
        return {}


def class_of(node: DictConfig, key: str) -> type:
    try:
        return hydra.utils.get_class(node._target_)
    except Exception as error:  # whatever its import does
        raise ConfigError(f"{key}: cannot import {node._target_} ({error})") from error


def _check_value(key: str, value: Any, hint: Any) -> None:
    if not _fits(value, hint):
        choices = [str(choice) for part in _alternatives(hint) if get_origin(part) is Literal for choice in get_args(part)]
        expected = nearest(str(value), choices) if choices else f"expected {_spelled(hint)}"
        raise ConfigError(f"{key}={value!s} cannot be; {expected}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    return any(_fits_one(value, part) for part in _alternatives(hint))


def _fits_one(value: Any, hint: Any) -> bool:
    origin = get_origin(hint) or hint
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (str, bool):
        return isinstance(value, hint)
    if hint in (None, types.NoneType):
        return value is None
    if origin in (list, tuple, Sequence):
        item = next((part for part in get_args(hint) if part is not Ellipsis), Any)
        return isinstance(value, list) and all(_fits(part, item) for part in value)
    return True  # an annotation that no YAML value is checked against


def _spelled(hint: Any) -> str:
    names = {float: "a number", int: "a whole number", str: "a text", bool: "true or false", types.NoneType: "null"}
    parts = [names.get(part) or ("a list of numbers" if get_origin(part) else str(part)) for part in _alternatives(hint)]
    return " or ".join(dict.fromkeys(parts))


def instantiate(node: DictConfig, key: str) -> Any:
    """The object of a checked `_target_` node, and of those in it.

    Raises: ConfigError for keys and values that cannot be; FileNotFoundError for folders that are not there.
    """
    check(node, key)
    values: Mapping[str, Any] = OmegaConf.to_container(node, resolve=True)  # type: ignore[assignment]
    arguments = {name: value for name, value in values.items() if not name.startswith("_")}
    for name, value in arguments.items():
        if isinstance(value, dict) and "_target_" in value:
            arguments[name] = instantiate(OmegaConf.create(value), f"{key}.{name}")
    try:
        return class_of(node, key)(**arguments)
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).replace("dataset.", f"{key}.") if key == "train_set" else str(error)) from error
    except ValueError as error:
        raise ConfigError(str(error).replace("dataset.", f"{key}.") if key == "train_set" else str(error)) from error


# --- Running -----------------------------------------------------------------------------------------------------


def launcher(
    settings: Sequence[str], task: Callable[[DictConfig], Any]
) -> tuple[DictConfig, Callable[[Sequence[Sequence[str]]], None]]:
    """`conf/work.yaml` with these settings, and the chosen Hydra launcher: called with the overrides of each job's
    configuration, it runs `task` on them all. Raises: ConfigError; launched: LaunchError for what a job raised."""
    with _user_errors(settings), initialize_config_dir(conf_dir(), version_base="1.3", job_name="denoisebench"):
        loader = GlobalHydra.instance().config_loader()
        chosen = loader.load_configuration("work", list(settings), run_mode=RunMode.MULTIRUN)
        context = HydraContext(config_loader=loader, callbacks=Callbacks(chosen))
        plugin = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=chosen)

    own = [o for o in settings if not o.lstrip("+~").startswith("hydra")]  # Hydra gives its own to each job itself

    def launch(jobs: Sequence[Sequence[str]]) -> None:
        try:
            for job in plugin.launch([[*own, *overrides] for overrides in jobs], initial_job_idx=0):
                _ = job.return_value  # raises what the job raised
        except Exception as error:
            raise LaunchError(str(error) or type(error).__name__) from error

    return chosen, launch


def quoted(text: str) -> str:
    """A text as a value of an override, whatever signs are in it."""
    return "'" + re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text) + "'"


def hydra_flags(arguments: Sequence[str]) -> None:
    """What Hydra's own flags print, as `--cfg job`."""
    argv = sys.argv
    sys.argv = ["denoisebench run", *arguments]
    try:
        hydra.main(config_path=conf_dir(), config_name="config", version_base="1.3")(_nothing)()
    finally:
        sys.argv = argv


def _nothing(_: object) -> None:
    """A task that Hydra's flags do not run."""


def _true_sigma(noise: Mapping[str, Any]) -> float | None:
    """`${true_sigma:${noise}}`: the standard deviation in grey levels if the noise is Gaussian of one level, unclipped."""
    sigma = noise.get("sigma") if str(noise.get("_target_", "")).endswith(".Gaussian") and not noise.get("clip") else None
    return float(sigma) if isinstance(sigma, int | float) else None


def _choose(name: str, choices: Mapping[str, Any]) -> Any:
    """`${choose:NAME,{a:1,b:2,else:3}}`: what belongs to a name."""
    if name not in choices and "else" in choices:
        return choices["else"]
    if name not in choices:
        raise ConfigError(f"nothing is said for {name}; {nearest(name, choices)}")
    return choices[name]


def _threads_each(processes: int) -> int:
    """`${threads_each:N}`: processes share the cores; two of two threads on two cores run many times slower."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes) if processes > 0 else 1


OmegaConf.register_new_resolver("threads_each", _threads_each, replace=True)
OmegaConf.register_new_resolver("true_sigma", _true_sigma, replace=True)
OmegaConf.register_new_resolver("choose", _choose, replace=True)


# --- Shell completion --------------------------------------------------------------------------------------------


def complete(line: str, verbs: Iterable[str]) -> list[str]:
    """What the last word of `line` (without the program's name) can become: verbs, groups, choices or keys."""
    words = line.split(" ")
    word, before = words[-1], words[:-1]
    if not before:
        return sorted(verb for verb in verbs if verb.startswith(word))
    if before[0] != "run":
        return []
    known = groups()
    if word.partition("=")[0] in known and "=" in word:
        group, _, value = word.partition("=")
        done, comma, last = value.rpartition(",")
        return [f"{group}={done}{comma}{choice}" for choice in known[group] if choice.startswith(last)]
    keys = [f"{group}=" for group in known] + [f"{key}=" for key in _known_keys(before[1:]) if key not in known]
    return sorted(key for key in dict.fromkeys(keys) if key.startswith(word))
