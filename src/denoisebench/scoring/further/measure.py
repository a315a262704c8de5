"""A measure beyond PSNR and SSIM: it says where it comes from, and why it cannot be had where it cannot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from denoisebench.scoring.measures import Measure

DESCRIBED = ("name", "title", "unit", "digits", "higher_is_better", "directed", "range", "licence", "library", "treats")


class UnavailableError(Exception):
    """A measure cannot be had here; the text says why and what mends it."""


@dataclass(frozen=True)
class Further(Measure):
    """directed: whether more or less of it is better at all. range: of its values. licence: of the code, and of weights.
    treats: what it does with values outside [0, 1], with gray and with small images. lacking: why it cannot be had here,
    None if it can: a column stays empty then, and the reason is kept beside the rows.
    """

    directed: bool = True
    range: str = ""
    licence: str = ""
    library: str = ""
    treats: str = ""
    lacking: Callable[[], str | None] = lambda: None

    def described(self) -> dict[str, Any]:
        """What a report on another machine must know of it."""
        return {name: getattr(self, name) for name in DESCRIBED}


def not_here(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
    raise UnavailableError("read from rows: it cannot score")


def from_description(described: Mapping[str, Any]) -> Further:
    """The measure that `described` tells of; it scores nothing."""
    return Further(**{name: described[name] for name in DESCRIBED}, score=not_here)


def in_unit_range(image: Tensor) -> Tensor:
    """Float32 in [0, 1]: what the libraries' measures take."""
    return image.clamp(0, 1).float()


def in_colour(image: Tensor) -> Tensor:
    """(N, 1 or 3, H, W) -> (N, 3, H, W): a gray image as one of three equal channels."""
    return image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image


def each(scores: Tensor, images: int) -> Tensor:
    """A library's answer for a batch as (N,) float64."""
    flat = scores.detach().double().reshape(-1)
    if len(flat) != images:
        raise UnavailableError(f"it gave {len(flat)} values for {images} images")
    return torch.where(flat.isfinite(), flat, torch.nan)
