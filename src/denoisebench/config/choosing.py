"""A method by its name, as `import denoisebench` and the commands for photographs choose one: no test set, no noise model."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError, safe_load

from denoisebench.config import quoting
from denoisebench.config.checks import check_arguments
from denoisebench.config.composed import compose_one
from denoisebench.config.errors import ConfigError, nearest
from denoisebench.config.parts import TARGET, arguments_of, class_of, instantiate
from denoisebench.config.places import brought, conf_dir, groups
from denoisebench.config.yaml_files import readable
from denoisebench.denoiser import Denoiser
from denoisebench.seeding import isolated_rng, seed_from

TRAINING = "training"


@dataclass(frozen=True)
class Chosen:
    """name: of its YAML. budget: which recipe set it. node: its `_target_` and settings. training: what a training of it is
    made of, for methods that learn from a set. given: the settings that the caller chose."""

    name: str
    budget: str
    channels: int
    cls: type[Denoiser]
    node: Mapping[str, Any]
    training: Mapping[str, Any]
    given: Mapping[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        return arguments_of(self.node)

    def make(self, seed: int) -> Denoiser:
        """The method with its first weights. Raises: ConfigError; ImportError for a package that is not installed."""
        with isolated_rng(seed_from(seed, "weights")):
            return instantiate(self.node, "method", Denoiser)


def choose(name: str, channels: int, *, budget: str = "paper", settings: Mapping[str, Any] | None = None) -> Chosen:
    """The method of this name for images of 1 or 3 channels, noise unknown.

    settings: keys of the method's YAML with values, and `training` with a mapping of its keys (steps, patch, batch).
    Raises: ConfigError naming the nearest valid choices.
    """
    given = dict(settings or {})
    for kind, word in (("method", name), ("budget", budget)):
        if word not in groups()[kind]:
            raise ConfigError(f"no {kind} {word}; {nearest(word, groups()[kind])}")
    training = given.pop(TRAINING, None) or {}
    if not isinstance(training, Mapping):
        raise ConfigError(f"training={training!r} is not valid; expected a mapping, e.g. {{'patch': 64, 'batch': 4}}")
    own = [*quoting.settings("method", given), *quoting.settings(TRAINING, training)]
    plain = json.loads(_composed((f"method={quoting.quoted(name)}", f"budget={budget}", f"dataset.channels={channels}", *own)))
    node = plain["method"]
    cls = class_of(node, "method", Denoiser)
    check_arguments(cls, arguments_of(node), "method")
    return Chosen(name, budget, channels, cls, node, plain[TRAINING], dict(settings or {}))


def class_named(name: str) -> type[Denoiser]:
    """The class of the method of this name, from its file alone; composed only where that takes its class from another file."""
    for root in (Path(conf_dir()), *brought()):
        file = root / "method" / f"{name}.yaml"
        if file.is_file():
            with readable(str(file)):
                node = safe_load(file.read_text(encoding="utf-8"))
            if isinstance(node, dict) and "defaults" not in node and "${" not in str(node.get(TARGET, "${")):
                return class_of(node, "method", Denoiser)
            break
    return choose(name, 3).cls


def from_text(settings: Sequence[str]) -> dict[str, Any]:
    """`key=value` as typed, the values as YAML reads them. Raises: ConfigError."""
    found = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"{text} is not valid; expected KEY=VALUE, e.g. steps=500")
        try:
            found[key] = OmegaConf.to_container(OmegaConf.create(f"value: {value}"))["value"]  # type: ignore[index,call-overload]
        except (YAMLError, OmegaConfBaseException) as error:
            raise ConfigError(f"{text} is not valid YAML: {' '.join(str(error).split())}") from error
    return found


@functools.lru_cache(maxsize=64)
def _composed(overrides: tuple[str, ...]) -> str:
    """As JSON, so that no caller changes what another is given."""
    data = ("dataset=folder", "dataset.noisy=.", "noise=real")
    return json.dumps(compose_one([*data, *overrides]).plain)
