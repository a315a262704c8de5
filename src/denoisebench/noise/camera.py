"""Noise as a camera makes it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from denoisebench.noise.model import NoiseModel, checked_level, normal, shown

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
            if isinstance(checked_level(name, getattr(self, name), positive=name != "read_std"), Sequence):
                raise ValueError(f"noise.{name} of camera noise is one number, not a range")

    @property
    def kind(self) -> str:
        own = [field for field in fields(Camera) if field.name not in ("clip", "quantise")]
        changed = [f"-{f.name}{shown(getattr(self, f.name))}" for f in own if getattr(self, f.name) != f.default]
        return "camera" + "".join(changed)

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        if clean.shape[1] != 3:
            raise ValueError(f"camera noise needs RGB images, got {clean.shape[1]} channel(s): choose another noise")
        gains = torch.tensor([self.gain_red, 1.0, self.gain_blue], dtype=clean.dtype, device=clean.device)
        sees = _bayer_masks(clean)
        linear = _srgb_to_linear(clean)
        raw = (linear / gains.view(1, 3, 1, 1) * sees).sum(dim=1, keepdim=True)
        photons = torch.poisson((self.lam * raw).clamp(min=0), generator=generator)
        raw_noise = photons / self.lam - raw + self.read_std * normal(raw, generator)
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
