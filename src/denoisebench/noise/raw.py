"""Noise of a sensor's raw values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor

from denoisebench.noise.model import Level, NoiseModel, checked_level, normal, shown

# The line that Brooks et al. fitted to the noise levels of DND's cameras: log(read) = SLOPE log(shot) + OFFSET, +- SPREAD.
SLOPE, OFFSET, SPREAD = 2.18, 1.20, 0.26


@dataclass(frozen=True, kw_only=True)
class Raw(NoiseModel):
    """Shot and read noise of linear raw planes, of variance `shot x + read`: a Poisson and a normal part.

    shot: variance at white, 1 / photons; of a range, each image draws one, uniform in its logarithm, as a camera's gain (ISO)
    would. read: variance of the read noise; None: drawn for each image around the cameras' line,
    `log(read) = 2.18 log(shot) + 1.20`, with a standard deviation of 0.26.

    Source: Brooks et al., CVPR 2019, arXiv 1811.11127, section 3.1. Deviation: shot noise is Poisson, not its normal
    approximation.
    """

    shot: Level = (1e-4, 1.2e-2)
    read: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "shot", checked_level("shot", self.shot, positive=True))
        if self.read is not None and isinstance(checked_level("read", self.read), Sequence):
            raise ValueError("noise.read of raw noise is one variance, or null to follow the shot noise; not a range")

    @property
    def kind(self) -> str:
        own = [field for field in fields(Raw) if field.name not in ("clip", "quantise")]
        changed = [(field.name, getattr(self, field.name)) for field in own if getattr(self, field.name) != field.default]
        return "raw" + "".join(f"-{name}{shown(value)}" for name, value in changed)

    def levels(self, like: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """The variances `shot` and `read` of each image: (N, 1, 1, 1) each; the first that is drawn for a batch."""
        shape = len(like), 1, 1, 1
        drawn, spread = (
            draw(shape, generator=generator, dtype=like.dtype, device=like.device) for draw in (torch.rand, torch.randn)
        )
        low, high = self.shot if isinstance(self.shot, Sequence) else (self.shot, self.shot)
        log_shot = math.log(low) + (math.log(high) - math.log(low)) * drawn
        log_read = SLOPE * log_shot + OFFSET + SPREAD * spread
        return log_shot.exp(), log_read.exp() if self.read is None else torch.full_like(log_read, self.read)

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        shot, read = self.levels(clean, generator)
        photons = torch.poisson((clean / shot).clamp(min=0), generator=generator)
        return photons * shot + read.sqrt() * normal(clean, generator)
