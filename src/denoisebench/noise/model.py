"""What every noise model shares.

`model(clean, generator) -> noisy`: (N, C, H, W) floating point in [0, 1] -> the same shape, dtype and device. A level
given as a pair (low, high) is drawn uniformly for each image. Noisy images are not clipped to [0, 1] unless `clip`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

Level = float | Sequence[float]


def checked_level(name: str, value: Level, *, positive: bool = False) -> Level:
    """A checked level: a number, or an increasing pair of numbers."""
    bounds = tuple(value) if isinstance(value, Sequence) else (value,)
    lowest = "above 0" if positive else "0 or above"
    if (
        len(bounds) not in (1, 2)
        or not all(0 <= bound < math.inf and (bound > 0 or not positive) for bound in bounds)
        or list(bounds) != sorted(bounds)
    ):
        raise ValueError(f"noise.{name} is a number {lowest}, or a range [low, high] of them; not {value!r}")
    return bounds[0] if len(bounds) == 1 else bounds


def shown(value: Level) -> str:
    return "_".join(map(shown, value)) if isinstance(value, Sequence) else f"{value:.12g}"


def drawn(value: Level, clean: Tensor, generator: Generator) -> Tensor | float:
    """The level of each image: the number itself, or (N, 1, 1, 1) uniform draws from the range."""
    if not isinstance(value, Sequence):
        return float(value)
    low, high = value
    uniform = torch.rand((len(clean), 1, 1, 1), generator=generator, dtype=clean.dtype, device=clean.device)
    return low + (high - low) * uniform


def normal(like: Tensor, generator: Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


@dataclass(frozen=True, kw_only=True)
class NoiseModel(ABC):
    """clip: to [0, 1]. quantise: round to the 256 levels of an 8-bit file, which needs `clip`."""

    clip: bool = False
    quantise: bool = False

    def __post_init__(self) -> None:
        if self.quantise and not self.clip:
            raise ValueError(
                "noise.quantise=true rounds to the 256 levels of an 8-bit file, from 0 to 1: set noise.clip=true too"
            )

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name, but for clipping and quantisation."""

    @property
    def true_level(self) -> Mapping[str, Level]:
        """What a method can be told of it that says all of its strength, by the key it is told with; empty: no one number."""
        return {}

    @abstractmethod
    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor: ...

    @property
    def name(self) -> str:
        return self.kind + "-clip" * self.clip + "-8bit" * self.quantise

    def __call__(self, clean: Tensor, generator: Generator) -> Tensor:
        noisy = self.corrupt(clean, generator)
        if self.clip:
            noisy = noisy.clamp(0, 1)
        return (noisy * 255).round() / 255 if self.quantise else noisy
