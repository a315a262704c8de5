"""Noise that whole rows or columns share."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from denoisebench.noise.model import Level, NoiseModel, drawn, normal, shown
from denoisebench.noise.structured import check_levels


@dataclass(frozen=True, kw_only=True)
class RowColumn(NoiseModel):
    """Read-out noise: one offset for each row, one for each column, and independent noise of each pixel.

    row_sigma, column_sigma, sigma: standard deviations in 8-bit grey levels; variances add. Two pixels of one row are
    correlated by the share of the rows' variance, two of one column by that of the columns', all others by nothing.
    per_channel: each channel has offsets of its own; false: all channels share them.
    """

    row_sigma: Level = 10.0
    column_sigma: Level = 5.0
    sigma: Level = 10.0
    per_channel: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self, "row_sigma", "column_sigma", "sigma")

    @property
    def kind(self) -> str:
        levels = f"row_column-rows{shown(self.row_sigma)}-columns{shown(self.column_sigma)}-gaussian{shown(self.sigma)}"
        return levels + "-channels" * self.per_channel

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        shared = clean if self.per_channel else clean[:, :1]
        rows = drawn(self.row_sigma, clean, generator) / 255 * normal(shared[..., :1], generator)
        columns = drawn(self.column_sigma, clean, generator) / 255 * normal(shared[..., :1, :], generator)
        return clean + rows + columns + drawn(self.sigma, clean, generator) / 255 * normal(clean, generator)


@dataclass(frozen=True, kw_only=True)
class Stripes(NoiseModel):
    """Stripes of a scanner whose detectors differ in gain and offset, `x (1 + gain_std g) + (offset_sigma o + sigma n) / 255`.

    detectors: how many there are; each sees every so-many-th line, with the same g and o all along it, which are drawn for
    each image and channel. The stripes' spectrum is that of a function of so long a period. 0: a detector for each line.
    along: whether a detector's lines are `rows` or `columns`.
    offset_sigma, sigma: standard deviations in 8-bit grey levels, of the offsets and of the independent noise.
    gain_std: standard deviation of the gains, whose mean is 1.
    """

    detectors: int = 16
    along: Literal["rows", "columns"] = "columns"
    offset_sigma: Level = 10.0
    gain_std: Level = 0.02
    sigma: Level = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_levels(self, "offset_sigma", "gain_std", "sigma")
        if isinstance(self.detectors, bool) or not isinstance(self.detectors, int) or self.detectors < 0:
            raise ValueError(f"noise.detectors is how many detectors a scanner has, or 0, not {self.detectors!r}")
        if self.along not in ("rows", "columns"):
            raise ValueError(f"noise.along is rows or columns, not {self.along!r}")

    @property
    def kind(self) -> str:
        scanner = f"stripes{self.detectors}-{self.along}-offset{shown(self.offset_sigma)}-gain{shown(self.gain_std)}"
        return f"{scanner}-gaussian{shown(self.sigma)}"

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        lines = clean[..., :1] if self.along == "rows" else clean[..., :1, :]
        gain = 1 + drawn(self.gain_std, clean, generator) * self._by_line(lines, generator)
        offset = drawn(self.offset_sigma, clean, generator) / 255 * self._by_line(lines, generator)
        return clean * gain + offset + drawn(self.sigma, clean, generator) / 255 * normal(clean, generator)

    def _by_line(self, lines: Tensor, generator: Generator) -> Tensor:
        """Of the shape of `lines`, (N, C, H, 1) or (N, C, 1, W): a normal value for each detector."""
        axis = 2 if self.along == "rows" else 3
        count = self.detectors or lines.shape[axis]
        shape = (*lines.shape[:2], count)
        values = torch.randn(shape, generator=generator, dtype=lines.dtype, device=lines.device)
        return values[..., torch.arange(lines.shape[axis], device=lines.device) % count].reshape(lines.shape)
