"""Pure tensor functions that rearrange pixels: sub-sampling and padding."""

import torch
import torch.nn.functional as F
from torch import Tensor

# The 8 ordered pairs of 4-adjacent positions in a 2 x 2 cell, numbered 0 1 / 2 3. Diagonals are left out.
NEIGHBOR_PAIRS = ((0, 1), (1, 0), (0, 2), (2, 0), (1, 3), (3, 1), (2, 3), (3, 2))


def draw_neighbors(x: Tensor) -> Tensor:
    """Draw which neighbours each 2 x 2 cell gives: (N, C, H, W) -> (N, H // 2, W // 2), values 0 to 7.

    Uniform and independent for each cell and image. Uses the global generator of the device of `x`.
    """
    n, _, height, width = x.shape
    return torch.randint(len(NEIGHBOR_PAIRS), (n, height // 2, width // 2), device=x.device)


def neighbor_subsample(x: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
    """The random neighbour sub-sampler (g1, g2) of Neighbor2Neighbor, section 3.2 of arXiv 2101.02824.

    x: (N, C, H, W); an odd last row or column is left out. draw: from `draw_neighbors`.
    Returns two (N, C, H // 2, W // 2): in each cell the first and the second pixel of the drawn pair,
    the same pair for all channels.
    """
    n, channels, height, width = x.shape
    if height < 2 or width < 2:
        raise ValueError(f"a 2 x 2 cell does not fit into an image of {height} x {width}")
    even = x[..., : height // 2 * 2, : width // 2 * 2]
    cells = F.pixel_unshuffle(even, 2).unflatten(1, (channels, 4))
    pairs = torch.tensor(NEIGHBOR_PAIRS, device=x.device)[draw]
    index = pairs[:, None, None].expand(n, channels, 1, *draw.shape[1:], 2)
    return cells.gather(2, index[..., 0]).squeeze(2), cells.gather(2, index[..., 1]).squeeze(2)


def _reflected(size: int, total: int, device: torch.device) -> Tensor:
    """Source positions when a side of `size` grows at its end to `total` by reflection, however often."""
    period = max(2 * (size - 1), 1)
    position = torch.arange(total, device=device) % period
    return torch.where(position < size, position, period - position)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Grow each side of (N, C, H, W) to its next multiple by reflection at the bottom and the right.

    Unlike `torch.nn.functional.pad` it takes any size from 1 x 1, reflecting more than once where it must.
    """
    height, width = (-(-side // multiple) * multiple for side in x.shape[-2:])
    if (height, width) == tuple(x.shape[-2:]):
        return x
    rows = _reflected(x.shape[-2], height, x.device)
    columns = _reflected(x.shape[-1], width, x.device)
    return x.index_select(-2, rows).index_select(-1, columns)
