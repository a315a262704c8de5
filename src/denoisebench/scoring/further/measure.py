"""A measure beyond PSNR and SSIM: it says where it comes from, and why it cannot be had where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisebench.scoring.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

DESCRIBED = ("name", "title", "unit", "digits", "higher_is_better", "directed", "range", "licence", "library", "treats")
KINDS = {"digits": int, "higher_is_better": bool, "directed": bool}  # of these; the others are texts


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


def from_description(column: str, described: Mapping[str, Any]) -> Further:
    """The measure of a column that `described` tells of; it scores nothing.

    Raises: KeyError or ValueError for what tells of none, as somebody else's file can.
    """
    told = {name: described[name] for name in DESCRIBED}
    wrong = [name for name, value in told.items() if type(value) is not KINDS.get(name, str)]
    if wrong or not 0 <= told["digits"] <= 9:
        raise ValueError(f"{column}: {', '.join(wrong) or 'digits'} cannot be")
    found = Further(**told, score=not_here)
    if found.column != column:
        raise ValueError(f"{column} is told to be {found.column}")
    return found


def shown(path: Path) -> str:
    """A place as people and reports read it: `~` stands for the home folder, which is nobody else's business."""
    return f"~/{path.relative_to(Path.home()).as_posix()}" if path.is_relative_to(Path.home()) else str(path)


def in_unit_range(image: Tensor) -> Tensor:
    """Float32 in [0, 1]: what the libraries' measures take."""
    return image.clamp(0, 1).float()


def in_colour(image: Tensor) -> Tensor:
    """(N, 1 or 3, H, W) -> (N, 3, H, W): a gray image as one of three equal channels."""
    return image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image


def each(scores: Tensor, images: int) -> Tensor:
    """A library's answer for a batch as (N,) float64."""
    import torch

    flat = scores.detach().double().reshape(-1)
    if len(flat) != images:
        raise UnavailableError(f"it gave {len(flat)} values for {images} images")
    return torch.where(flat.isfinite(), flat, torch.nan)
