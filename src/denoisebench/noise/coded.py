"""Noise, and then what storing it in few bits does to it."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from denoisebench.noise.model import Level, NoiseModel, shown
from denoisebench.noise.pixelwise import Gaussian
from denoisebench.noise.structured import Placed, check_levels, refuse_storing

# A value that lies on a rounding boundary comes out a little above or below it, as a machine sums: all round it up.
TIE = 1e-9

# Quantisation tables of ITU-T T.81, annex K, for quality 50; scaled by quality as the IJG's library does.
LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    *(99,) * 32,
)  # fmt: skip
SIDE = 8


@dataclass(frozen=True, kw_only=True)
class Quantised(NoiseModel):
    """Independent Gaussian noise, clipped to [0, 1] and rounded to 2^bits equal steps from 0 to 1.

    Where noise is at least half a step, rounding adds a twelfth of the square of a step to the variance; with less of it, the
    error follows the image. sigma: standard deviation before, in 8-bit grey levels. bits: 1 to 16.
    """

    sigma: Level = 10.0
    bits: int = 4

    def __post_init__(self) -> None:
        refuse_storing(self, "quantisation")
        check_levels(self, "sigma")
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= 16:
            raise ValueError(f"noise.bits is an integer from 1 to 16, not {self.bits!r}")

    @property
    def kind(self) -> str:
        return f"quantised{self.bits}-gaussian{shown(self.sigma)}"

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        steps = 2**self.bits - 1
        return (Gaussian(sigma=self.sigma).corrupt(clean, generator).clamp(0, 1) * steps).round() / steps


@dataclass(frozen=True, kw_only=True)
class JPEG(Placed):
    """Independent Gaussian noise, clipped, rounded to 8 bits and stored as baseline JPEG without chroma subsampling.

    The codec is written out here in float64: transform of 8 x 8 blocks, the standard's tables scaled by quality, rounding.
    Libraries, which transform in integers, differ from it by less than a grey level on average. Three channels are stored
    as luminance and chrominance, any other number each as a gray image. sigma: standard deviation before, in 8-bit grey
    levels. quality: 1 to 100.
    """

    sigma: Level = 25.0
    quality: int = 75

    def __post_init__(self) -> None:
        refuse_storing(self, "JPEG")
        check_levels(self, "sigma")
        if isinstance(self.quality, bool) or not isinstance(self.quality, int) or not 1 <= self.quality <= 100:
            raise ValueError(f"noise.quality is an integer from 1 to 100, not {self.quality!r}")

    @property
    def kind(self) -> str:
        return f"jpeg{self.quality}-gaussian{shown(self.sigma)}"

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        noisy = Gaussian(sigma=self.sigma).corrupt(clean, generator).clamp(0, 1)
        levels = _rounded(noisy.double() * 255)
        if clean.shape[1] != 3:
            return (_coded(levels, LUMINANCE, self.quality) / 255).to(clean.dtype)
        luma, *chroma = _rounded(_to_ycc(levels)).split(1, dim=1)
        tables = LUMINANCE, CHROMINANCE, CHROMINANCE
        planes = [_coded(plane, table, self.quality) for plane, table in zip((luma, *chroma), tables, strict=True)]
        return (_rounded(_to_rgb(torch.cat(planes, dim=1))).clamp(0, 255) / 255).to(clean.dtype)


def _rounded(x: Tensor) -> Tensor:
    return torch.floor(x + (0.5 + TIE))


def _to_ycc(rgb: Tensor) -> Tensor:
    """JFIF's, of levels from 0 to 255."""
    red, green, blue = rgb.split(1, dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.cat([luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128], dim=1).clamp(0, 255)


def _to_rgb(ycc: Tensor) -> Tensor:
    luma, cb, cr = ycc.split(1, dim=1)
    red, blue = luma + 1.402 * (cr - 128), luma + 1.772 * (cb - 128)
    return torch.cat([red, (luma - 0.299 * red - 0.114 * blue) / 0.587, blue], dim=1)


def _coded(levels: Tensor, table: Sequence[int], quality: int) -> Tensor:
    """(N, C, H, W) of integers from 0 to 255 -> what is read back of them; edges are repeated to whole blocks."""
    height, width = levels.shape[-2:]
    padded = F.pad(levels, (0, -width % SIDE, 0, -height % SIDE), mode="replicate") - 128
    blocks = padded.unflatten(-1, (-1, SIDE)).unflatten(-3, (-1, SIDE))  # (N, C, rows, 8, columns, 8)
    basis = levels.new_tensor(_basis())
    steps = levels.new_tensor(_scaled(table, quality)).view(SIDE, SIDE)[:, None]
    coefficients = torch.einsum("ui,ncyixj,vj->ncyuxv", basis, blocks, basis)
    kept = _rounded(coefficients / steps) * steps
    back = torch.einsum("ui,ncyuxv,vj->ncyixj", basis, kept, basis).flatten(-2).flatten(-3, -2)
    return _rounded(back[..., :height, :width] + 128).clamp(0, 255)


def _scaled(table: Sequence[int], quality: int) -> list[int]:
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return [min(255, max(1, (step * percent + 50) // 100)) for step in table]


@functools.cache
def _basis() -> list[list[float]]:
    """Orthonormal DCT-II of 8 values: a row for each frequency."""
    scale = [math.sqrt(1 / SIDE), *(SIDE - 1) * [math.sqrt(2 / SIDE)]]
    return [[scale[u] * math.cos((2 * i + 1) * u * math.pi / (2 * SIDE)) for i in range(SIDE)] for u in range(SIDE)]
