"""Noise of a sensor: the same at one place in every image of a set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from denoisebench.noise.model import Level, checked_level, drawn, normal, shown
from denoisebench.noise.structured import Placed, check_levels, check_seed
from denoisebench.seeding import seed_from

BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class FixedPattern(Placed):
    """Each pixel of the sensor has a gain and an offset of its own, `x (1 + gain_std g) + (offset_sigma o + sigma n) / 255`.

    g and o are normal, independent between pixels and channels, and the same in all images: their upper left corners lie
    on one place of the sensor. n is drawn for each image.
    offset_sigma, sigma: standard deviations in 8-bit grey levels, of the pattern and of the independent noise; gain_std: of the
    gains, whose mean is 1. pattern: seed of the sensor.
    """

    offset_sigma: float = 10.0
    gain_std: float = 0.02
    sigma: Level = 10.0
    pattern: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self, "sigma")
        check_seed(self, "pattern")
        for name in ("offset_sigma", "gain_std"):
            if isinstance(checked_level(name, getattr(self, name)), Sequence):
                raise ValueError(f"noise.{name} of a fixed pattern is one number: it is the same in all images")

    @property
    def kind(self) -> str:
        levels = f"fixed_pattern-offset{shown(self.offset_sigma)}-gain{shown(self.gain_std)}-gaussian{shown(self.sigma)}"
        return levels + f"-pattern{self.pattern}" * bool(self.pattern)

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        gains, offsets = (_sensor((self.pattern, name), clean, torch.randn) for name in ("gains", "offsets"))
        seen = clean * (1 + self.gain_std * gains) + self.offset_sigma / 255 * offsets
        return seen + drawn(self.sigma, clean, generator) / 255 * normal(clean, generator)


@dataclass(frozen=True, kw_only=True)
class DeadPixels(Placed):
    """Pixels that are stuck at 0 or 1, equally likely, at the same places in all images, in all channels at once; and
    independent Gaussian noise at the others.

    amount: share of dead pixels, in [0, 1]. sigma: standard deviation of the noise in 8-bit grey levels. pattern: seed of the
    sensor.
    """

    amount: float = 0.01
    sigma: Level = 10.0
    pattern: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self, "sigma")
        check_seed(self, "pattern")
        if isinstance(checked_level("amount", self.amount), Sequence) or self.amount > 1:
            raise ValueError(f"noise.amount is the share of dead pixels, one number from 0 to 1, not {self.amount!r}")

    @property
    def kind(self) -> str:
        return f"dead_pixels{shown(self.amount)}-gaussian{shown(self.sigma)}" + f"-pattern{self.pattern}" * bool(self.pattern)

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        noisy = clean + drawn(self.sigma, clean, generator) / 255 * normal(clean, generator)
        hit = _sensor((self.pattern, "dead"), clean[:, :1], torch.rand)
        return torch.where(hit < self.amount, (hit < self.amount / 2).to(clean.dtype), noisy)


def _sensor(names: Sequence[object], like: Tensor, draw: Callable[..., Tensor]) -> Tensor:
    """(1, C, H, W) of values that belong to the sensor's places: drawn block by block on the CPU in float64, each seeded by its
    place, so that a smaller image is the upper left corner of a larger one on every device."""
    channels, height, width = like.shape[1:]
    shape = channels, BLOCK, BLOCK
    rows = [
        torch.cat([draw(shape, generator=_seeded(names, top, left), dtype=torch.float64) for left in range(0, width, BLOCK)], 2)
        for top in range(0, height, BLOCK)
    ]
    return torch.cat(rows, 1)[None, :, :height, :width].to(like)


def _seeded(names: Sequence[object], top: int, left: int) -> Generator:
    return Generator().manual_seed(seed_from("sensor", *names, top, left))
