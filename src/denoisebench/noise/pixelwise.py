"""Noise that is drawn for each pixel on its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from denoisebench.noise.model import Level, NoiseModel, checked_level, drawn, normal, shown


@dataclass(frozen=True, kw_only=True)
class Gaussian(NoiseModel):
    """Independent Gaussian noise. sigma: standard deviation in 8-bit grey levels (25 is 25 / 255)."""

    sigma: Level = 25.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sigma", checked_level("sigma", self.sigma))

    @property
    def kind(self) -> str:
        return f"gaussian{shown(self.sigma)}"

    @property
    def true_level(self) -> Mapping[str, Level]:
        return {"sigma": self.sigma}

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        std = drawn(self.sigma, clean, generator) / 255
        return clean + std * normal(clean, generator)


@dataclass(frozen=True, kw_only=True)
class Poisson(NoiseModel):
    """Independent photon noise, `Poisson(lam x) / lam`. lam: expected photons at intensity 1."""

    lam: Level = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "lam", checked_level("lam", self.lam, positive=True))

    @property
    def kind(self) -> str:
        return f"poisson{shown(self.lam)}"

    @property
    def true_level(self) -> Mapping[str, Level]:
        return {"lam": self.lam}

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        lam = drawn(self.lam, clean, generator)
        return torch.poisson((lam * clean).clamp(min=0), generator=generator) / lam


@dataclass(frozen=True, kw_only=True)
class PoissonGaussian(NoiseModel):
    """Independent photon noise and then Gaussian noise, `Poisson(lam x) / lam + sigma / 255 n`: variance x / lam + sigma^2.

    lam: expected photons at intensity 1. sigma: standard deviation of the Gaussian part in 8-bit grey levels.
    """

    lam: Level = 30.0
    sigma: Level = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "lam", checked_level("lam", self.lam, positive=True))
        object.__setattr__(self, "sigma", checked_level("sigma", self.sigma))

    @property
    def kind(self) -> str:
        return f"poisson{shown(self.lam)}-gaussian{shown(self.sigma)}"

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        counted = Poisson(lam=self.lam).corrupt(clean, generator)
        return Gaussian(sigma=self.sigma).corrupt(counted, generator)


@dataclass(frozen=True, kw_only=True)
class Speckle(NoiseModel):
    """Independent multiplicative Gaussian noise, `x + sigma / 255 x n`. sigma: grey levels, at intensity 1."""

    sigma: Level = 25.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sigma", checked_level("sigma", self.sigma))

    @property
    def kind(self) -> str:
        return f"speckle{shown(self.sigma)}"

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        std = drawn(self.sigma, clean, generator) / 255
        return clean + std * clean * normal(clean, generator)


@dataclass(frozen=True, kw_only=True)
class SaltAndPepper(NoiseModel):
    """Impulses: values replaced by 0 or 1, equally likely. amount: the share that is replaced, in [0, 1].

    per_channel: each colour of a pixel is hit on its own; false: all colours at once, a black or white pixel.
    """

    amount: Level = 0.1
    per_channel: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        amount = checked_level("amount", self.amount)
        if max(amount if isinstance(amount, Sequence) else (amount,)) > 1:
            raise ValueError(f"noise.amount is the share of pixels replaced, at most 1, not {self.amount!r}")
        object.__setattr__(self, "amount", amount)

    @property
    def kind(self) -> str:
        return f"salt_and_pepper{shown(self.amount)}" + "-channels" * self.per_channel

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        amount = drawn(self.amount, clean, generator)
        one_for_all = clean if self.per_channel else clean[:, :1]
        hit = torch.rand(one_for_all.shape, generator=generator, dtype=clean.dtype, device=clean.device)
        return torch.where(hit < amount, (hit < amount / 2).to(clean.dtype), clean)
