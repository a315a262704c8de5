"""The overrides of one job -> its configuration as plain values, and what in it differs from its YAML and recipe."""

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf, flag_override

from denoisebench.config import named_weights, paths, plugins
from denoisebench.config.checks import check_settings
from denoisebench.config.compose import SCOPED, SETTINGS, compose, composed, known_keys, user_errors
from denoisebench.config.composed_cache import ComposedCache
from denoisebench.config.errors import SEVERAL_DEVICES, ConfigError, UnknownKeyError, nearest
from denoisebench.config.grids import expand
from denoisebench.config.places import brought, groups, own_folders, own_overrides
from denoisebench.config.quoting import quoted

LABELLED = ("method", "training", "precision")
# Settings of a method that a recipe (a budget) may choose without another label: length, width, depth, rate, first weights.
RECIPE_KEYS = frozenset({"features", "modules", "init", "init_gain", "lr", "lr_decay", "steps", "passes"})


@dataclass(frozen=True)
class Composed:
    """One job's configuration as plain values, checked as far as no class must be imported, and the overrides that gave it.

    method: YAML name. changed: the settings of method, training and precision in which it differs from YAML and recipe,
    as `regularizer=8`. own_train_set: whether it trains on another set than the data set's default. has_recipe:
    whether its budget says how long it trains; recipe_sets: whether it sets anything at all for its method.
    dataset, noise: the choices of these groups. launch: overrides of how it is launched, which change no result. shard:
    `i/n`, the part of its images that this job computes.
    """

    plain: Mapping[str, Any]
    overrides: tuple[str, ...]
    method: str
    changed: tuple[str, ...]
    own_train_set: bool
    has_recipe: bool
    recipe_sets: bool
    dataset: str
    noise: str
    launch: tuple[str, ...] = ()
    shard: str | None = None


FIELDS = {one.name for one in fields(Composed)}
TUPLES = ("overrides", "changed", "launch")  # the fields of `Composed` that JSON makes lists


def compose_all(overrides: Sequence[str], *, multirun: bool) -> list[Composed]:
    """Each cell's configuration; nothing heavy is imported.

    Raises: ConfigError, whose text names the nearest valid choices.
    """
    cache = ComposedCache()
    jobs = expand(overrides, cache, multirun=multirun)
    try:
        result = [compose_one(own, cache) for own in jobs]
    except UnknownKeyError as error:
        raise ConfigError(f"{error}{_who_has(error.key, jobs)}") from error
    cache.keep()
    if not result:
        raise ConfigError("this sweep has no cell: one of its lists is empty")
    if multirun and any(one.plain["trainer"]["devices"] != 1 for one in result):
        raise ConfigError(SEVERAL_DEVICES)
    if len({one.launch for one in result}) > 1:
        raise ConfigError(f"one sweep has one launcher: {', '.join(sorted({o for one in result for o in one.launch}))}")
    return result


def _who_has(key: str, jobs: Sequence[Sequence[str]]) -> str:
    """The methods (or noises, or data sets) of a sweep that have the key that another of them lacks."""
    part, _, rest = key.partition(".")
    choices = {line: job for job in jobs for line in job if line.partition("=")[0] == part}
    having = [line.partition("=")[2] for line, job in choices.items() if part in SCOPED and key in known_keys(job)]
    return f"; {' and '.join(having)} of this sweep can be given it: {part}.{having[0]}.{rest}=VALUE" if having else ""


def compose_one(overrides: Sequence[str], cache: ComposedCache | None = None) -> Composed:
    """The configuration of one cell, taken from the cache if it is there. Raises: ConfigError."""
    settings = tuple(o for o in overrides if _setting(o))
    shards = [o.partition("=")[2] for o in settings if _setting(o) == "shard"]
    with user_errors(overrides):
        own = [o for o in overrides if o not in settings]
        one = _cached_or_composed(own, cache) if cache else _compose(own)
        launch = tuple(o for o in settings if _setting(o) != "shard")
        return replace(one, launch=launch, shard=_shard(shards[-1]) if shards else None)


def _cached_or_composed(overrides: Sequence[str], cache: ComposedCache) -> Composed:
    kept = cache.get("job", overrides)
    if isinstance(kept, dict) and kept.keys() == FIELDS:
        return Composed(**{**kept, **{name: tuple(kept[name]) for name in TUPLES}})
    one = _compose(overrides)
    if one.plain["weights"] is None:  # whose card says more
        cache.put("job", overrides, {**asdict(one), **{name: list(getattr(one, name)) for name in TUPLES}})
    return one


def _setting(override: str) -> str | None:
    """The key of what says how a sweep is launched."""
    key = override.partition("=")[0].lstrip("+~")
    hydras = key.startswith(("hydra.", "hydra/")) and not own_overrides([override])
    return key if hydras or key in SETTINGS else None


def _shard(text: str) -> str | None:
    if text == "null":
        return None
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(f"shard={text}: expected i/n with i from 1 to n, e.g. shard=1/4")
    return f"{int(found[1])}/{int(found[2])}"


def _compose(overrides: Sequence[str]) -> Composed:
    """What a job changes is found by composing again with its choices of groups alone, on its data and noise.

    A recipe's own changes do not count, as long as they are of what a recipe may change.
    """
    if deleted := [o for o in overrides if o.startswith("~")]:
        raise ConfigError(f"{deleted[0]}: a setting can be changed, not deleted; null says what has no value")
    config, hydra_own = composed(overrides)
    choices = dict(hydra_own.runtime.choices)
    of_weights = named_weights.overrides_of(config, choices["method"], overrides)
    if of_weights:
        config, hydra_own = composed([*of_weights, *overrides])
        choices = dict(hydra_own.runtime.choices)
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    check_settings(plain, {key: value for key, _, value in (override.partition("=") for override in overrides)})
    if plain["budget"] != choices["budget"]:
        raise ConfigError(
            f"budget: {plain['budget']} in a preset names the budget and leaves the recipe of {choices['budget']}: write "
            f"`- override /budget: {plain['budget']}` into its defaults"
        )
    paths.make_absolute(plain)
    own = own_overrides(overrides)
    plugins.find_classes(own_folders(own))
    named = tuple(f"{group}={quoted(choices[group])}" for group in ("method", "dataset", "budget"))
    protocols = f"protocol=[{','.join(plain['protocols'])}]"
    data = (json.dumps(plain[part]) for part in ("dataset", "noise", "train_noise"))
    unchanged = _unchanged(brought(), (*own, *named, protocols, *of_weights), (*own, named[0], "recipe=none", *of_weights), *data)
    _same_protocols(plain["protocols"], unchanged.protocols)
    changed = [change for part in LABELLED for change in _differences(plain[part], unchanged.labelled[part], part)]
    if "train_set" not in plain and not choices["train_set"].startswith("for_"):
        raise ConfigError(f"no train_set={choices['train_set']}; {nearest(choices['train_set'], groups(overrides)['train_set'])}")
    own_train_set = plain.get("train_set") != unchanged.train_set
    budget = unchanged.has_recipe, unchanged.recipe_sets
    chosen = choices["dataset"], choices["noise"]
    return Composed(
        plain, tuple(map(paths.absolute, overrides)), choices["method"], tuple(changed), own_train_set, *budget, *chosen
    )


@dataclass(frozen=True)
class _Unchanged:
    """What a job's choices of groups alone give, on its data and noise. labelled: by part."""

    labelled: Mapping[str, Any]
    train_set: Any
    protocols: Mapping[str, Any]
    has_recipe: bool
    recipe_sets: bool


@functools.cache
def _unchanged(
    _brought: tuple[Path, ...],
    named: tuple[str, ...],
    without_recipe: tuple[str, ...],
    dataset: str,
    noise: str,
    train_noise: str,
) -> _Unchanged:
    """dataset, noise, train_noise: as JSON. Jobs that differ in other settings share it while the same packages bring methods."""
    with_recipe, bare = compose(named), compose(without_recipe)
    has_recipe = with_recipe.training.steps > 0
    recipe_sets = has_recipe or OmegaConf.to_container(with_recipe.method) != OmegaConf.to_container(bare.method)
    for reference in (with_recipe, bare):
        reference.dataset, reference.noise = json.loads(dataset), json.loads(noise)
        reference.train_noise = json.loads(train_noise)
    with flag_override(with_recipe, "struct", False):
        for key in (bare.method.keys() | with_recipe.method.keys()) - RECIPE_KEYS:
            if key in bare.method:
                with_recipe.method[key] = bare.method[key]
            else:
                del with_recipe.method[key]
    plain: Any = OmegaConf.to_container(with_recipe, resolve=True)
    return _Unchanged(
        {part: plain[part] for part in LABELLED}, plain.get("train_set"), plain["protocols"], has_recipe, recipe_sets
    )


def _same_protocols(protocols: Mapping[str, Any], unchanged: Mapping[str, Any]) -> None:
    """A protocol's name stands in every row: whoever changes one gives it another name."""
    for name, node in protocols.items():
        if node != unchanged[name] or node.get("name") != name:
            changed = ", ".join(_differences(node, {**unchanged[name], "name": name}, name))
            raise ConfigError(
                f"protocols.{changed}: what protocol={name} means is fixed; write one of another name, as "
                "DIR/protocol/mine.yaml with `# @package protocols.mine` and `name: mine`, and add --config-dir DIR "
                "protocol=[mine]"
            )


def _whole(value: Any) -> Any:
    """8 for 8.0: equal settings have one label."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _differences(ours: Any, unchanged: Any, path: str) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(unchanged, dict):
        for name in sorted({*ours, *unchanged}):
            yield from _differences(ours.get(name), unchanged.get(name), f"{path}.{name}")
    elif ours != unchanged:
        shown = "null" if ours is None else str(ours).lower() if isinstance(ours, bool) else str(_whole(ours)).replace(" ", "")
        yield f"{path.removeprefix('method.')}={shown}"
