"""The noise models. Each is a pure function of clean images and a generator; its name says its parameters.

`model(clean, generator) -> noisy`: (N, C, H, W) floating point in [0, 1] -> the same shape, dtype and device. A level
given as a pair (low, high) is drawn uniformly for each image. Noisy images are not clipped to [0, 1] unless `clip`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

Level = float | Sequence[float]


def _level(name: str, value: Level, *, positive: bool = False) -> Level:
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


def _shown(value: Level) -> str:
    return "_".join(map(_shown, value)) if isinstance(value, Sequence) else f"{value:.12g}"


def _drawn(value: Level, clean: Tensor, generator: Generator) -> Tensor | float:
    """The level of each image: the number itself, or (N, 1, 1, 1) uniform draws from the range."""
    if not isinstance(value, Sequence):
        return float(value)
    low, high = value
    uniform = torch.rand((len(clean), 1, 1, 1), generator=generator, dtype=clean.dtype, device=clean.device)
    return low + (high - low) * uniform


def _normal(like: Tensor, generator: Generator) -> Tensor:
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


@dataclass(frozen=True, kw_only=True)
class Gaussian(NoiseModel):
    """Independent Gaussian noise. sigma: standard deviation in 8-bit grey levels (25 is 25 / 255)."""

    sigma: Level = 25.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sigma", _level("sigma", self.sigma))

    @property
    def kind(self) -> str:
        return f"gaussian{_shown(self.sigma)}"

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        std = _drawn(self.sigma, clean, generator) / 255
        return clean + std * _normal(clean, generator)


@dataclass(frozen=True, kw_only=True)
class Poisson(NoiseModel):
    """Independent photon noise, `Poisson(lam x) / lam`. lam: expected photons at intensity 1."""

    lam: Level = 30.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "lam", _level("lam", self.lam, positive=True))

    @property
    def kind(self) -> str:
        return f"poisson{_shown(self.lam)}"

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        lam = _drawn(self.lam, clean, generator)
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
        object.__setattr__(self, "lam", _level("lam", self.lam, positive=True))
        object.__setattr__(self, "sigma", _level("sigma", self.sigma))

    @property
    def kind(self) -> str:
        return f"poisson{_shown(self.lam)}-gaussian{_shown(self.sigma)}"

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        counted = Poisson(lam=self.lam).corrupt(clean, generator)
        return Gaussian(sigma=self.sigma).corrupt(counted, generator)


@dataclass(frozen=True, kw_only=True)
class Speckle(NoiseModel):
    """Independent multiplicative Gaussian noise, `x + sigma / 255 x n`. sigma: grey levels, at intensity 1."""

    sigma: Level = 25.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "sigma", _level("sigma", self.sigma))

    @property
    def kind(self) -> str:
        return f"speckle{_shown(self.sigma)}"

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        std = _drawn(self.sigma, clean, generator) / 255
        return clean + std * clean * _normal(clean, generator)


@dataclass(frozen=True, kw_only=True)
class SaltAndPepper(NoiseModel):
    """Impulses: values replaced by 0 or 1, equally likely. amount: the share that is replaced, in [0, 1].

    per_channel: each colour of a pixel is hit on its own; false: all colours at once, a black or white pixel.
    """

    amount: Level = 0.1
    per_channel: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        amount = _level("amount", self.amount)
        if max(amount if isinstance(amount, Sequence) else (amount,)) > 1:
            raise ValueError(f"noise.amount is the share of pixels replaced, at most 1, not {self.amount!r}")
        object.__setattr__(self, "amount", amount)

    @property
    def kind(self) -> str:
        return f"salt_and_pepper{_shown(self.amount)}" + "-channels" * self.per_channel

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        amount = _drawn(self.amount, clean, generator)
        one_for_all = clean if self.per_channel else clean[:, :1]
        hit = torch.rand(one_for_all.shape, generator=generator, dtype=clean.dtype, device=clean.device)
        return torch.where(hit < amount, (hit < amount / 2).to(clean.dtype), clean)


# Which colour (0 red, 1 green, 2 blue) a pixel of an RGGB sensor sees, by the parity of its row and column.
BAYER = ((0, 1), (1, 2))


@dataclass(frozen=True, kw_only=True)
class Camera(NoiseModel):
    """Spatially correlated noise as a camera makes it, on sRGB images (C = 3).

    The image goes back to linear light and to the raw values of an RGGB mosaic (white balance undone); there it
    gets photon and read noise; the noise is demosaiced bilinearly, white-balanced, and the sum returns to sRGB.
    Only the noise is demosaiced, not the image: the difference to the clean image is noise alone, without the
    blur and the fringes that demosaicing leaves in the image.

    lam: photons that a green pixel counts at intensity 1. read_std: standard deviation of the read noise, with
    1 the raw value of white. gain_red, gain_blue: white balance, relative to green.

    Sources: the raw noise model of Foi et al., TIP 2008; unprocessing as in Brooks et al., CVPR 2019,
    arXiv 1811.11127, without their colour matrix and tone curve.
    """

    lam: float = 60.0
    read_std: float = 0.005
    gain_red: float = 2.0
    gain_blue: float = 1.6

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lam", "read_std", "gain_red", "gain_blue"):
            if isinstance(_level(name, getattr(self, name), positive=name != "read_std"), Sequence):
                raise ValueError(f"noise.{name} of camera noise is one number, not a range")

    @property
    def kind(self) -> str:
        own = [field for field in fields(Camera) if field.name not in ("clip", "quantise")]
        changed = [f"-{f.name}{_shown(getattr(self, f.name))}" for f in own if getattr(self, f.name) != f.default]
        return "camera" + "".join(changed)

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        if clean.shape[1] != 3:
            raise ValueError(f"camera noise needs RGB images, got {clean.shape[1]} channel(s): choose another noise")
        gains = torch.tensor([self.gain_red, 1.0, self.gain_blue], dtype=clean.dtype, device=clean.device)
        sees = _bayer_masks(clean)
        linear = _srgb_to_linear(clean)
        raw = (linear / gains.view(1, 3, 1, 1) * sees).sum(dim=1, keepdim=True)
        photons = torch.poisson((self.lam * raw).clamp(min=0), generator=generator)
        raw_noise = photons / self.lam - raw + self.read_std * _normal(raw, generator)
        noise = _demosaiced(raw_noise, sees) * gains.view(1, 3, 1, 1)
        return _linear_to_srgb(linear + noise)


def _srgb_to_linear(x: Tensor) -> Tensor:
    """IEC 61966-2-1, its linear part extended below 0."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def _linear_to_srgb(x: Tensor) -> Tensor:
    """The inverse of `_srgb_to_linear`, its linear part extended below 0, its power part above 1."""
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * x.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


def _bayer_masks(like: Tensor) -> Tensor:
    """(1, 3, H, W): 1 where the sensor sees that colour."""
    height, width = like.shape[-2:]
    colour = torch.tensor(BAYER, device=like.device).repeat(-(-height // 2), -(-width // 2))[:height, :width]
    return (colour == torch.arange(3, device=like.device).view(3, 1, 1)).to(like.dtype)[None]


def _demosaiced(raw: Tensor, sees: Tensor) -> Tensor:
    """Bilinear demosaicing of (N, 1, H, W) to (N, 3, H, W): each colour the weighted mean of its 3 x 3 samples."""
    kernel = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], dtype=raw.dtype, device=raw.device)
    green = torch.tensor([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]], dtype=raw.dtype, device=raw.device)
    kernels = torch.stack([kernel, green, kernel])[:, None]
    total = F.conv2d(raw * sees, kernels, padding=1, groups=3)
    weight = F.conv2d(sees, kernels, padding=1, groups=3)
    # A side of one pixel has no sample of some colours near it: no noise there.
    return total / torch.where(weight == 0, torch.ones_like(weight), weight)


@dataclass(frozen=True, kw_only=True)
class Real(NoiseModel):
    """No noise is added: the data set brings its own noisy images."""

    @property
    def kind(self) -> str:
        return "real"

    def __post_init__(self) -> None:
        if self.clip or self.quantise:
            raise ValueError("noise=real is what the data set brings: clip and quantise do not apply")

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        raise ValueError("noise=real adds nothing: this data set has no noisy images of its own, choose a noise model")


@dataclass(frozen=True, kw_only=True)
class Stored(Real):
    """Noise that a data set stores at this level, already clipped and rounded to 8 bit: not `gaussian` of that sigma.

    level: as its folder says, standard deviation in grey levels before clipping.
    """

    level: int = 25

    @property
    def kind(self) -> str:
        return f"stored{self.level}"
