"""Gaussian noise that neighbouring pixels share."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from denoisebench.noise.model import Level, NoiseModel, drawn, shown
from denoisebench.noise.structured import check_levels

REACH = 4  # lengths, at which the Gaussian kernel ends


@dataclass(frozen=True, kw_only=True)
class Correlated(NoiseModel):
    """Stationary Gaussian noise of standard deviation sigma: independent noise under a kernel of unit norm.

    Its autocorrelation is that of the kernel. sigma: in 8-bit grey levels. length: standard deviation in pixels of a Gaussian
    kernel, which from a length of about 1 on gives pixels d apart a correlation of exp(-d^2 / (4 length^2)). kernel: rows of
    numbers, used instead of the Gaussian one. Channels are independent.
    """

    sigma: Level = 25.0
    length: float = 1.0
    kernel: Sequence[Sequence[float]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self, "sigma")
        if not (isinstance(self.length, int | float) and 0 < self.length < math.inf):
            raise ValueError(f"noise.length is a number of pixels above 0, not {self.length!r}")
        if self.kernel is not None:
            object.__setattr__(self, "kernel", _checked_kernel(self.kernel))

    @property
    def kind(self) -> str:
        if self.kernel is None:
            return f"correlated{shown(self.sigma)}-length{shown(self.length)}"
        digest = hashlib.sha256(json.dumps(self.kernel).encode()).hexdigest()[:6]
        return f"correlated{shown(self.sigma)}-kernel{len(self.kernel)}x{len(self.kernel[0])}-{digest}"

    @property
    def true_level(self) -> Mapping[str, Level]:
        return {"sigma": self.sigma}

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        std = drawn(self.sigma, clean, generator) / 255
        kernels = self._kernels()
        tall, wide = (sum(size - 1 for size in sizes) for sizes in zip(*(_size(one) for one in kernels), strict=True))
        *front, height, width = clean.shape
        shape = (*front, height + tall, width + wide)
        noise = torch.randn(shape, generator=generator, dtype=clean.dtype, device=clean.device)
        for kernel in kernels:
            noise = _filtered(noise, kernel)
        return clean + std * noise

    def _kernels(self) -> list[Sequence[Sequence[float]]]:
        """One after another; a Gaussian is separable."""
        if self.kernel is not None:
            return [self.kernel]
        half = math.ceil(REACH * self.length)
        taps = [math.exp(-(x**2) / (2 * self.length**2)) for x in range(-half, half + 1)]
        return [[taps], [[tap] for tap in taps]]


def _checked_kernel(kernel: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    rows = tuple(tuple(map(float, row)) for row in kernel)
    values = [value for row in rows for value in row]
    if not values or len({len(row) for row in rows}) != 1 or not all(map(math.isfinite, values)) or not any(values):
        raise ValueError(f"noise.kernel is a list of rows of equally many numbers, not all 0, not {kernel!r}")
    return rows


def _size(kernel: Sequence[Sequence[float]]) -> tuple[int, int]:
    return len(kernel), len(kernel[0])


def _filtered(noise: Tensor, kernel: Sequence[Sequence[float]]) -> Tensor:
    """Valid correlation with a kernel scaled to unit norm. Sums of shifted planes in a fixed order: to the last bit the same on
    every machine, which convolutions are not."""
    norm = math.sqrt(math.fsum(value**2 for row in kernel for value in row))
    tall, wide = _size(kernel)
    height, width = noise.shape[-2] - tall + 1, noise.shape[-1] - wide + 1
    total = torch.zeros_like(noise[..., :height, :width])
    for down, row in enumerate(kernel):
        for right, value in enumerate(row):
            total += noise[..., down : down + height, right : right + width] * (value / norm)
    return total
