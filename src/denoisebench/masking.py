"""Pure tensor functions that hide pixels: which ones, and what stands in their place."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Order = Literal["row", "column"]


def neighbor_mean(x: Tensor) -> Tensor:
    """The weighted mean of each pixel's 8 neighbours, side 1 and corner 0.5 of 6; those outside the image count as 0.

    So it darkens the border, as the released code of Blind2Unblind does: by 2 / 3 at sides, 5 / 12 at corners.
    """
    framed = F.pad(x, (1, 1, 1, 1))
    beside = framed[..., 1:-1, :-2] + framed[..., 1:-1, 2:]
    vertical = framed[..., :-2, :] + framed[..., 2:, :]
    return (beside + vertical[..., 1:-1] + 0.5 * (vertical[..., :-2] + vertical[..., 2:])) / 6


def grid_phases(x: Tensor, side: int, order: Order = "row") -> Tensor:
    """The number of each pixel within its side x side cell, (H, W): 0 to side * side - 1, counted along rows or columns."""
    height, width = x.shape[-2:]
    row, column = (torch.arange(length, device=x.device) % side for length in (height, width))
    return row[:, None] * side + column if order == "row" else column * side + row[:, None]


def collected(copies: Tensor, phases: Tensor) -> Tensor:
    """Of each pixel the copy that has its phase: (side * side, N, C, H, W) -> (N, C, H, W)."""
    return copies.gather(0, phases.expand(1, *copies.shape[1:])).squeeze(0)
