"""Pure tensor functions that hide pixels: which ones, and what stands in their place."""

from typing import Literal, NamedTuple

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


class Marks(NamedTuple):
    """One pixel of each box x box box of an image, or none where it fell outside; boxes start at the top left."""

    marked: Tensor
    """(N, C or 1, H, W), bool."""
    rows: Tensor
    """Where the pixel of each box is: (N, C or 1, boxes down, boxes across), moved into the image where it fell outside."""
    columns: Tensor
    box: int

    def spread(self, values: Tensor) -> Tensor:
        """One value for each box -> an image of them, (N, C, H, W)."""
        height, width = self.marked.shape[-2:]
        rows = values.repeat_interleave(self.box, -2)[..., :height, :]
        return rows.repeat_interleave(self.box, -1)[..., :width]


def draw_marks(x: Tensor, box: int, joint_channels: bool) -> Marks:
    """Draw a pixel of each box, uniformly, for each image and channel of (N, C, H, W) or the same for all channels."""
    (images, channels, height, width), device = x.shape, x.device
    down, across = -(-height // box), -(-width // box)
    place = torch.randint(box * box, (images, 1 if joint_channels else channels, down, across), device=device)
    rows = torch.arange(down, device=device)[:, None] * box + place // box
    columns = torch.arange(across, device=device) * box + place % box
    marks = Marks(place.new_zeros(images, 1, height, width), rows.clamp(max=height - 1), columns.clamp(max=width - 1), box)
    return marks._replace(marked=marks.spread(place) == grid_phases(x, box))


def draw_neighbor_values(x: Tensor, marks: Marks, radius: int, itself: bool) -> Tensor:
    """For each marked pixel the value of a pixel in the window of `radius` round it, clipped at the border; drawn uniformly.

    itself: whether the pixel may be drawn. Returns (N, C, boxes down, boxes across).
    """
    height, width = x.shape[-2:]
    top, left = (marks.rows - radius).clamp(min=0), (marks.columns - radius).clamp(min=0)
    down = (marks.rows + radius).clamp(max=height - 1) - top + 1
    across = (marks.columns + radius).clamp(max=width - 1) - left + 1
    choices = down * across if itself else (down * across - 1).clamp(min=1)
    drawn = (torch.rand(top.shape, device=x.device) * choices).long().clamp(max=choices - 1)
    if not itself:
        own = (marks.rows - top) * across + marks.columns - left
        drawn = drawn + (drawn >= own)
    source = (top + drawn // across) * width + left + drawn % across
    source = source.clamp(max=height * width - 1).expand(-1, x.shape[1], -1, -1)
    return x.flatten(2).gather(2, source.flatten(2)).view(source.shape)


def window_statistic(x: Tensor, marks: Marks, radius: int, statistic: Literal["mean", "median"]) -> Tensor:
    """For each marked pixel the mean or median of the window round it, clipped at the border, without the pixel itself.

    Returns (N, C, boxes down, boxes across). The median of an even number of values is the mean of the middle two.
    """
    height, width = x.shape[-2:]
    offsets = torch.arange(-radius, radius + 1, device=x.device)
    rows = marks.rows[..., None] + offsets.repeat_interleave(len(offsets))
    columns = marks.columns[..., None] + offsets.repeat(len(offsets))
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    inside = inside & ((rows != marks.rows[..., None]) | (columns != marks.columns[..., None]))
    source = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).expand(-1, x.shape[1], -1, -1, -1)
    values, count = x.flatten(2).gather(2, source.flatten(2)).view(source.shape), inside.sum(-1, keepdim=True)
    if statistic == "mean":
        return (torch.where(inside, values, 0).sum(-1, keepdim=True) / count).squeeze(-1)
    ordered = torch.where(inside, values, torch.inf).sort(-1).values
    middle = [ordered.gather(-1, at.expand(*ordered.shape[:-1], 1)) for at in ((count - 1) // 2, count // 2)]
    return ((middle[0] + middle[1]) / 2).squeeze(-1)


def beside(marked: Tensor, radius: int, along: Literal["rows", "columns", "both"]) -> Tensor:
    """The pixels within `radius` of a marked one in its row, its column, or both, unless marked themselves; a bool tensor."""
    near, lit = torch.zeros_like(marked), marked.float()
    if along != "columns":
        near = near | (F.max_pool2d(lit, (1, 2 * radius + 1), 1, (0, radius)) > 0)
    if along != "rows":
        near = near | (F.max_pool2d(lit, (2 * radius + 1, 1), 1, (radius, 0)) > 0)
    return near & ~marked
