"""What YAML files may write as `${name:...}` beside OmegaConf's own."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from denoisebench.config.errors import ConfigError, nearest


def _true_sigma(noise: Mapping[str, Any]) -> float | None:
    """`${true_sigma:${noise}}`: the standard deviation on the 0-255 scale if the noise is unclipped Gaussian of one level."""
    sigma = noise.get("sigma") if str(noise.get("_target_", "")).endswith(".Gaussian") and not noise.get("clip") else None
    return float(sigma) if isinstance(sigma, int | float) else None


def _levels(noise: Mapping[str, Any]) -> str:
    """`${levels:${train_noise}}`: `range` if each image's sigma or lam is drawn from a range, else `one`."""
    return "range" if any(isinstance(noise.get(name), Sequence) for name in ("sigma", "lam")) else "one"


def _choose(name: str | int, choices: Mapping[Any, Any], refusal: str | None = None) -> Any:
    """`${choose:NAME,{a:1,b:2,else:3}}`: what belongs to a name. refusal: the error's text for all others."""
    if name not in choices and "else" in choices:
        return choices["else"]
    if name not in choices:
        raise ConfigError(refusal or f"nothing is set for {name}; {nearest(str(name), map(str, choices))}")
    return choices[name]


def threads_each(processes: int) -> int:
    """`${threads_each:N}`: processes share the cores; two of two threads on two cores run many times slower."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // processes) if processes > 0 else 1


def register() -> None:
    OmegaConf.register_new_resolver("threads_each", threads_each, replace=True)
    OmegaConf.register_new_resolver("true_sigma", _true_sigma, replace=True)
    OmegaConf.register_new_resolver("levels", _levels, replace=True)
    OmegaConf.register_new_resolver("choose", _choose, replace=True)
