"""Pure tensor functions that rearrange pixels: sub-sampling, pixel-shuffle downsampling (PD), turning, padding; masks."""

import functools
import math

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


@functools.cache
def _neighbor_pairs(device: torch.device) -> Tensor:
    """On the device once: a copy at each step would wait for it."""
    with torch.inference_mode(False):
        return torch.tensor(NEIGHBOR_PAIRS, device=device)


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
    pairs = _neighbor_pairs(x.device)[draw]
    index = pairs[:, None, None].expand(n, channels, 1, *draw.shape[1:], 2)
    return cells.gather(2, index[..., 0]).squeeze(2), cells.gather(2, index[..., 1]).squeeze(2)


def bernoulli_mask(x: Tensor, drop: float) -> Tensor:
    """A bool tensor of the shape and memory layout of `x`, False with probability `drop` (to within 2 ** -17).

    Four values come out of each 64-bit random number: on a CPU several times faster than a float for each.
    """
    count = x.numel()
    bits = torch.empty(-(-count // 4), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    kept = bits.view(torch.int16)[:count] >= min(round(drop * 2**16), 2**16 - 1) - 2**15
    if x.ndim == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        n, channels, height, width = x.shape
        return kept.view(n, height, width, channels).permute(0, 3, 1, 2)
    return kept.view(x.shape)


def _cells(x: Tensor, side: int) -> Tensor:
    """The pixels of each cell: (N, C, H, W) -> (N, C, side * side, H // side, W // side), rows of a cell first."""
    height, width = x.shape[-2:]
    if height < side or width < side:
        raise ValueError(f"a {side} x {side} cell does not fit into an image of {height} x {width}")
    whole = x[..., : height // side * side, : width // side * side]
    return F.pixel_unshuffle(whole, side).unflatten(1, (x.shape[1], side * side))


def check_size(x: Tensor, least: int) -> None:
    """Raises: ValueError if a side of the images (N, C, H, W) is shorter than `least`."""
    height, width = x.shape[-2:]
    if min(height, width) < least:
        raise ValueError(f"this method takes images of at least {least} x {least} pixels, and this one has {height} x {width}")


def diagonal_pair(x: Tensor) -> Tensor:
    """The pair down-sampler (D1, D2) of ZS-N2N, arXiv 2303.11253: the means of the two diagonals of each 2 x 2 cell.

    x: (N, C, H, W); an odd last row or column is left out. Returns (2 N, C, H // 2, W // 2): first the N sub-images of the
    diagonal from the top right, then those of the one from the top left.
    """
    cells = _cells(x, 2)
    return torch.cat([cells[:, :, 1:3].mean(2), cells[:, :, ::3].mean(2)])


def chequerboard_halves(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The chequerboard down-samplings of Noise2Fast: each colour of the board, squeezed upwards and squeezed to the left.

    x: (N, C, H, W); an odd last row or column is left out. Returns "up" (h1, h2), (N, C, H // 2, W), and "left" (v1, v2),
    (N, C, H, W // 2): h1 and v1 have the pixels whose row and column add up to an odd number, h2 and v2 the others.
    """
    height, width = (side // 2 * 2 for side in x.shape[-2:])
    even = x[..., :height, :width]
    left = _chequerboard_up(even.mT)
    return *_chequerboard_up(even), left[0].mT.contiguous(), left[1].mT.contiguous()


def _chequerboard_up(x: Tensor) -> tuple[Tensor, Tensor]:
    top, bottom = x[..., ::2, :], x[..., 1::2, :]
    even_column = torch.arange(x.shape[-1], device=x.device) % 2 == 0
    return torch.where(even_column, bottom, top), torch.where(even_column, top, bottom)


def draw_pixels(x: Tensor, side: int) -> Tensor:
    """Draw one pixel of each side x side cell: (N, C, H, W) -> (N, H // side, W // side), values 0 to side * side - 1."""
    n, _, height, width = x.shape
    return torch.randint(side * side, (n, height // side, width // side), device=x.device)


def pixel_subsample(x: Tensor, draw: Tensor, side: int) -> Tensor:
    """The random sub-sampler S_2 (side = 2) of C-BSN, arXiv 2304.09507: of each cell the drawn pixel, for all channels.

    x: (N, C, H, W); rows and columns that fill no cell are left out. draw: from `draw_pixels`.
    Returns (N, C, H // side, W // side).
    """
    cells = _cells(x, side)
    index = draw[:, None, None].expand(-1, x.shape[1], -1, -1, -1)
    return cells.gather(2, index).squeeze(2)


def draw_window_pairs(x: Tensor) -> Tensor:
    """Draw two different pixels of the 3 x 3 window of each pixel: (N, C, H, W) -> (N, H, W), values 0 to 71.

    Value 8 i + j is pixel i of the window first, and second the j-th of the other eight, in rows from the top left.
    """
    n, _, height, width = x.shape
    return torch.randint(72, (n, height, width), device=x.device)


def window_pairs(x: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
    """The adjacent pixel replacer (h1, h2) of APR-RD: (N, C, H, W) -> two of that shape, the drawn pixels in each place.

    draw: from `draw_window_pairs`, the same for all channels. Beyond the border the nearest pixel inside is taken.
    """
    height, width = x.shape[-2:]
    first, other = draw // 8, draw % 8
    second = other + (other >= first)
    rows = torch.arange(height, device=x.device)[:, None]
    columns = torch.arange(width, device=x.device)
    picked = []
    for place in (first, second):
        row = (rows + place // 3 - 1).clamp(0, height - 1)
        column = (columns + place % 3 - 1).clamp(0, width - 1)
        index = (row * width + column).flatten(1)[:, None].expand(-1, x.shape[1], -1)
        picked.append(x.flatten(2).gather(2, index).view_as(x))
    return picked[0], picked[1]


def draw_recharged(targets: Tensor) -> Tensor:
    """Draw which of the targets (T, N, C, H, W) each pixel of an image is put back into: (N, H, W), values 0 to T - 1."""
    count, n, _, height, width = targets.shape
    return torch.randint(count, (n, height, width), device=targets.device)


def recharged(targets: Tensor, noisy: Tensor, draw: Tensor) -> Tensor:
    """Recharging of APR-RD: the targets (T, N, C, H, W) with each pixel of the noisy image (N, C, H, W) in one of them.

    draw: from `draw_recharged`, the same for all channels.
    """
    chosen = torch.arange(len(targets), device=draw.device)[:, None, None, None] == draw
    return torch.where(chosen[:, :, None], noisy, targets)


def draw_permutations(x: Tensor, side: int) -> Tensor:
    """Draw an order of the pixels of each side x side cell: (N, C, H, W) -> (N, side * side, H // side, W // side).

    Each cell of each image gets a permutation of 0 to side * side - 1, uniform and independent.
    """
    n, _, height, width = x.shape
    return torch.rand((n, side * side, height // side, width // side), device=x.device).argsort(1)


def random_subsamples(x: Tensor, draw: Tensor) -> Tensor:
    """Random sub-samples generation (RSG) of SDAP, arXiv 2307.16825: each pixel of a cell goes to one sub-image.

    x: (N, C, H, W); rows and columns that fill no cell are left out. draw: from `draw_permutations`, the same order
    for all channels. Returns (side * side, N, C, H // side, W // side): sub-image j has the j-th pixel of each cell.
    """
    cells = _cells(x, math.isqrt(draw.shape[1]))
    index = draw[:, None].expand(-1, x.shape[1], -1, -1, -1)
    return cells.gather(2, index).permute(2, 0, 1, 3, 4)


def merge_subsamples(subsamples: Tensor, draw: Tensor) -> Tensor:
    """The inverse of `random_subsamples`: puts each pixel back to where it was."""
    index = draw[:, None].expand(-1, subsamples.shape[2], -1, -1, -1)
    by_pixel = subsamples.permute(1, 2, 0, 3, 4)
    cells = torch.empty_like(by_pixel, memory_format=torch.contiguous_format).scatter(2, index, by_pixel)
    return F.pixel_shuffle(cells.flatten(1, 2), math.isqrt(draw.shape[1]))


def pixel_shuffle_down(x: Tensor, stride: int) -> Tensor:
    """PD into a batch: (N, C, H, W) -> (N * stride * stride, C, H / stride, W / stride), an image's sub-images in a row.

    Sub-image i * stride + j has the pixels (i, j), (i + stride, j), ... Raises: ValueError if a side is no multiple.
    """
    return _sublattices(x, stride).flatten(0, 1)


def pixel_shuffle_up(x: Tensor, stride: int) -> Tensor:
    """The inverse of `pixel_shuffle_down`."""
    return F.pixel_shuffle(x.unflatten(0, (-1, stride * stride)).transpose(1, 2).flatten(1, 2), stride)


def _sublattices(x: Tensor, stride: int) -> Tensor:
    height, width = x.shape[-2:]
    if height % stride or width % stride:
        raise ValueError(f"pixel-shuffle downsampling by {stride} needs sides that are multiples of it, got {height} x {width}")
    return _cells(x, stride).transpose(1, 2)


def mosaic_down(x: Tensor, stride: int, pad: int) -> Tensor:
    """PD as AP-BSN does it (arXiv 2203.11799): the sub-images, framed by `pad` zeros each, side by side in one image.

    (N, C, H, W) -> (N, C, H + 2 * stride * pad, W + 2 * stride * pad). Raises: ValueError if a side is no multiple.
    """
    framed = F.pad(_sublattices(x, stride), (pad, pad, pad, pad)).unflatten(1, (stride, stride))
    return framed.permute(0, 3, 1, 4, 2, 5).flatten(2, 3).flatten(3, 4)


def mosaic_up(x: Tensor, stride: int, pad: int) -> Tensor:
    """The inverse of `mosaic_down`; what stands in the frames is left out."""
    n, channels, height, width = x.shape
    tiles = x.reshape(n, channels, stride, height // stride, stride, width // stride)
    tiles = tiles[:, :, :, pad : height // stride - pad, :, pad : width // stride - pad]
    return F.pixel_shuffle(tiles.permute(0, 1, 2, 4, 3, 5).flatten(1, 3), stride)


def random_dihedral(x: Tensor) -> Tensor:
    """Each image of (N, C, H, W) in one of the 8 flips and rotations, uniformly; of the 4 that keep H x W if H is not W."""
    transposed, upside_down, mirrored = (torch.rand(3, len(x), 1, 1, 1, device=x.device) < 0.5).unbind()
    if x.shape[-2] == x.shape[-1]:
        x = torch.where(transposed, x.transpose(-2, -1), x)
    x = torch.where(upside_down, x.flip(-2), x)
    return torch.where(mirrored, x.flip(-1), x)
