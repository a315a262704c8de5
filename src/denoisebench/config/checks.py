"""Checks that a composed configuration holds the expected keys, with values of the right kind."""

import math
import types
import typing
from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from typing import Annotated, Any, Literal, get_args, get_origin

from denoisebench.config import quoting
from denoisebench.config.errors import ConfigError, nearest
from denoisebench.ranges import Between, Count, NonNegative, Number, Range

_VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
PARTS = frozenset(
    (
        "method",
        "dataset",
        "train_set",
        "noise",
        "train_noise",
        "protocols",
        "loggers",
        "trainer",
        "budget",
        "training",
        "validation",
        "holdout",
    )
)


class _Settings(typing.TypedDict):
    study: str
    seed: int
    precision: Literal[32, "tf32", "bf16-mixed"]
    tile: Count | None
    ensemble: Literal["dihedral"] | None
    learn: Literal["stack"] | None
    stop: Literal["holdout"] | None
    pictures: Number
    repeats: Count
    measures: list[str]
    tuned_by: str | None
    force: bool
    root: str
    checkpoint: str | None
    weights: str | None
    init: str | None


class _Trainer(typing.TypedDict):
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: Count | Literal["auto"]
    threads: Count | None
    checkpoint_s: NonNegative
    compile: bool


class _Training(typing.TypedDict):
    steps: Number
    patch: Count
    batch: Count
    noise: Literal["fresh", "fixed"]
    selection: Literal["last", "oracle"]


class _Validation(typing.TypedDict):
    every: Number
    images: Count


class _Holdout(typing.TypedDict):
    share: Between
    every: Count
    batches: Count
    patience: Count


def check_settings(plain: Mapping[str, Any], typed: Mapping[str, str] | None = None) -> None:
    """Check the values of the top level and of `training`, and that every key is used.

    typed: values as they were given, which says how to quote them. Raises: ConfigError.
    """
    settings = typing.get_type_hints(_Settings, include_extras=True)
    for key in plain:
        if key not in {*settings, *PARTS}:
            raise ConfigError(f"no key {key}; {nearest(key, {*settings, *PARTS})}")
    for key, hint in settings.items():
        check_value(key, plain[key], hint, (typed or {}).get(key))
    for part, declared in (("training", _Training), ("validation", _Validation), ("holdout", _Holdout), ("trainer", _Trainer)):
        hints = typing.get_type_hints(declared, include_extras=True)
        for key, value in plain[part].items():
            if key not in hints:
                raise ConfigError(f"no key {part}.{key}; {nearest(key, hints)}")
            check_value(f"{part}.{key}", value, hints[key])
    _check_ranges(plain)


def _check_ranges(plain: Mapping[str, Any]) -> None:
    if not plain.get("protocols"):
        raise ConfigError("at least one protocol scores: protocol=[default]")
    if plain["training"]["selection"] == "oracle" and not plain["validation"]["every"]:
        raise ConfigError("training.selection=oracle needs scores to select by: set validation.every to a number of steps")
    if plain["training"]["selection"] == "oracle" and plain["stop"]:
        raise ConfigError("stop=holdout chooses weights without clean images, training.selection=oracle by them: leave one out")


def check_arguments(cls: type, values: Mapping[str, Any], key: str) -> None:
    """Check that every value belongs to a parameter of the class and fits its annotation.

    Raises: ConfigError naming the key, what was expected and the nearest valid choices.
    """
    parameters = {p.name: p for p in signature(cls).parameters.values() if p.kind not in _VARIADIC}
    hints = _hints_of(cls)
    for name, value in values.items():
        if name not in parameters:
            hint = nearest(name, parameters) if parameters else f"{cls.__name__} has no parameters"
            raise ConfigError(f"no key {key}.{name}; {hint}")
        if name in hints:
            check_value(f"{key}.{name}", value, hints[name])
    missing = [p.name for p in parameters.values() if p.default is Parameter.empty and p.name not in values]
    if missing:
        raise ConfigError(f"{key} needs {', '.join(f'{key}.{name}' for name in missing)}")


def _hints_of(cls: type) -> dict[str, Any]:
    """The annotations of a constructor; none where they name what is imported for type checkers alone."""
    try:
        return typing.get_type_hints(cls.__init__, include_extras=True)
    except NameError:
        return {}


def check_value(key: str, value: Any, hint: Any, typed: str | None = None) -> None:
    """typed: the value as it was given. Raises: ConfigError if it does not fit an annotation."""
    if not _fits(value, hint):
        choices = [str(choice) for part in _alternatives(hint) if get_origin(part) is Literal for choice in get_args(part)]
        named = all(get_origin(part) is Literal or part is types.NoneType for part in _alternatives(hint))
        expected = nearest(str(value), choices) if named and choices else f"expected {_spelled(hint)}"
        shown = (typed or quoting.as_written(value)) if isinstance(value, bool | int | float | None) else value
        if str in _alternatives(hint) and isinstance(value, bool | int | float | None):
            expected += f", {quoting.or_quote(f'{key}={shown}')}"
        raise ConfigError(f"{key}={shown} is not valid; {expected}")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    return any(_fits_one(value, part) for part in _alternatives(hint))


def _fits_one(value: Any, hint: Any) -> bool:
    origin = get_origin(hint) or hint
    if origin is Annotated:
        base, *others = get_args(hint)
        return _fits_one(value, base) and all(other.has(value) for other in others if isinstance(other, Range))
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in get_args(hint))
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
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


_NAMES = {float: "a number", int: "an integer", str: "a text", bool: "true or false", types.NoneType: "null"}


def _spelled(hint: Any) -> str:
    return " or ".join(dict.fromkeys(_spelled_one(part) for part in _alternatives(hint)))


def _spelled_one(hint: Any) -> str:
    if get_origin(hint) is Annotated:
        base, *others = get_args(hint)
        return " ".join([_spelled_one(base), *(f"({other})" for other in others if isinstance(other, Range))])
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint):
        return f"a list, each {_spelled(get_args(hint)[0])}" if get_args(hint) else "a list"
    return _NAMES.get(hint) or str(hint)
