"""Overrides -> a composed configuration, with errors that name the nearest valid choices."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from denoisebench.config import hydra_internals, quoting, resolvers
from denoisebench.config.errors import ConfigError, UnknownKeyError, nearest
from denoisebench.config.places import NO_GROUPS, conf_dir, groups, own_overrides, search_path

SETTINGS = ("launcher", "on_error", "shard")
SCOPED = ("method", "noise", "dataset")  # groups of which one choice can be given a key in a sweep: method.nlm.KEY=VALUE

resolvers.register()


@contextmanager
def user_errors(overrides: Sequence[str]) -> Iterator[None]:
    """Turns what Hydra and OmegaConf raise into a `ConfigError`."""
    try:
        yield
    except ConfigError:
        raise
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(_explained(str(error), overrides)) from error


def _explained(message: str, overrides: Sequence[str]) -> str:
    """Hydra's error in words that name the nearest valid choices."""
    if unread := quoting.unreadable(overrides):
        return unread
    if found := re.search(r"Could not (?:find|load) '([^']+)/([^'/]+)'", message):
        group, name = found.groups()
        return f"no {group}={name}; {nearest(name, groups(overrides).get(group, []))}"
    if found := re.search(r"Could not override '([^']+)'", message):
        return no_such_key(found[1], overrides)
    if found := re.search(r"Ambiguous value for argument '([^']+)'", message):
        return f"{found[1]} names several values: add -m to run them all, write [a,b] for a list, {quoting.or_quote(found[1])}"
    if found := re.match(r"ConfigError raised while resolving interpolation: (.*?)\s+full_key: (\S+)", message, re.DOTALL):
        return f"{found[2]}: {found[1]}"
    if "Config group override must be a string" in message and (odd := _no_name(overrides)):
        return odd
    return " ".join(line.strip() for line in message.splitlines() if "HYDRA_FULL_ERROR" not in line)


def _no_name(overrides: Sequence[str]) -> str | None:
    """What to say of a choice that YAML reads as a number, as true or false, or as nothing; a name may look so."""
    known = groups(overrides)
    for line in overrides:
        key, _, value = line.partition("=")
        if key in known and not isinstance(hydra_internals.parse_one(line).value(), str | list):
            if value not in known[key]:
                return f"no {line}; {nearest(value, known[key])}"
            read = _kind(hydra_internals.parse_one(line).value())
            return f"{line} names no {key}: {value} is read as {read}; quote it: {quoting.typed(key, value)}"
    return None


def _kind(value: object) -> str:
    return "nothing" if value is None else "true or false" if isinstance(value, bool) else "a number"


def no_such_key(key: str, overrides: Sequence[str]) -> str:
    """The keys beside it, or all that are near."""
    if key == "launcher":  # a command's own launcher= does not come here
        return "a preset cannot choose a launcher: take `override /launcher` out of it, and say launcher=NAME in the command"
    known = known_keys(overrides)
    parent, _, _ = key.rpartition(".")
    part = key.partition(".")[0]
    chosen = [override for override in overrides if override.partition("=")[0] == part]
    choice, dot, _ = key.partition(".")[2].partition(".")
    if part in SCOPED and dot and f"{part}.{choice}" not in known:
        return f"no key {key}: no {part}={choice}; {nearest(choice, groups(overrides)[part])}"
    if chosen and part in SCOPED:
        name = chosen[-1].partition("=")[2].strip("'")  # quoted where a program gave it
        beside = [other for other in known if other.startswith(f"{part}.")]
        hint = nearest(key, beside) if beside else f"{part}={name} has no parameters here"
        meant = name if beside else "NAME"
        return f"no key {key} of {part}={name}; {hint}; in a sweep {part}.{meant}.KEY=VALUE is for {meant} alone"
    beside = [other for other in known if parent and other.startswith(f"{parent}.")]
    if parent == "train_noise" and not beside:
        return f"no key {key}: the training noise is the test noise; choose one first, e.g. train_noise=gaussian {key}=..."
    if parent in known and not beside:
        return f"no key {key}: {parent} has no parameters here"
    return f"no key {key}; {nearest(key, beside or known)}"


def known_keys(overrides: Sequence[str]) -> list[str]:
    """The keys that could have been meant: those of the configuration without its own key overrides."""
    known = groups(overrides)
    chosen = [o for o in overrides if o.partition("=")[0] in known] + own_overrides(overrides)
    try:
        config = compose(chosen)
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


def compose(overrides: Sequence[str]) -> DictConfig:
    return composed(overrides)[0]


def composed(overrides: Sequence[str]) -> tuple[DictConfig, DictConfig]:
    """A configuration, and Hydra's own that goes with it. Hydra composes for a tenth of a second: the values that are set on one
    choice of groups are set here."""
    parsed = [hydra_internals.parse_one(line) for line in overrides]
    known = groups(overrides)
    values = [override for override in parsed if _is_value(override, known)]
    if any(o.is_add() or o.is_force_add() or o.is_delete() for o in parsed):
        values = []  # the order of these and the others matters
    lines = [o.input_line or "" for o in parsed if o not in values]
    others = [line for line in lines if line not in own_overrides(lines)]
    config, own = hydra_internals.composed(conf_dir(), (*search_path(lines), *others))
    for override in values:
        try:
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except (ConfigAttributeError, ConfigKeyError):
            key = override.key_or_group
            raise UnknownKeyError(no_such_key(key, overrides), key) from None
    _give_channels(config)
    return config, own


def _give_channels(config: DictConfig) -> None:
    """Packed raw planes have four, which methods and training sets are told by `${dataset.channels}`."""
    images = config.get("dataset") or {}
    if "channels" in images and (images.get("pack") is not None or images.get("unprocess") is not None):
        images["channels"] = 4


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
