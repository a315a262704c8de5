"""`weights=NAME`: the method and the settings that named weights were trained with."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from denoisebench.config.compose import compose
from denoisebench.config.errors import ConfigError
from denoisebench.config.places import own_overrides
from denoisebench.config.quoting import quoted, settings
from denoisebench.store.named import NamedWeights, named


def overrides_of(config: DictConfig, method: str, overrides: Sequence[str]) -> list[str]:
    """What the weights of a configuration add to its overrides; nothing without weights.

    method: that is chosen. Raises: ConfigError for weights of another method or number of channels, or an unknown name.
    """
    name = config.get("weights")
    if name is None:
        return []
    if config.checkpoint is not None:
        raise ConfigError("checkpoint=FILE and weights=NAME both say what is tested: give one of the two")
    card = _card(str(name))
    typed = any(line.partition("=")[0] == "method" for line in overrides)
    if typed and method != card["method"]:
        raise ConfigError(f"weights={name} are of method={card['method']}, not of {method}")
    channels = config.dataset.get("channels", card["channels"])
    if channels != card["channels"]:
        raise ConfigError(f"weights={name} are for images of {card['channels']} channels, and dataset.channels={channels}")
    return [f"method={quoted(card['method'])}", "recipe=none", *settings("method", card["settings"])]


def whole(name: str) -> NamedWeights:
    """Raises: ConfigError for weights that are not those of their card."""
    weights = _named(name)
    if damage := weights.damage():
        raise ConfigError(f"weights={name}: {damage}")
    return weights


def settings_of(overrides: Sequence[str], method: str) -> dict[str, Any]:
    """What a recipe and overrides set of a method; without what its YAML takes from elsewhere, e.g. from the noise.

    Values as they were at the training, also where a recipe lets the data set choose them.
    """
    given = compose([line for line in overrides if not line.startswith("shard=")]).method
    bare = _written(compose([*own_overrides(overrides), f"method={quoted(method)}", "recipe=none"]).method)
    own = [
        name for name, value in _written(given).items() if not name.startswith("_") and (name not in bare or bare[name] != value)
    ]
    return {
        name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value := given[name]) else value for name in own
    }


def _written(method: DictConfig) -> Mapping[str, Any]:
    return OmegaConf.to_container(method, resolve=False)  # type: ignore[return-value]


def _card(name: str) -> Mapping[str, Any]:
    return _named(name).card


def _named(name: str) -> NamedWeights:
    try:
        return named(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
