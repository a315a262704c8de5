"""Images grown by reflection, and networks run on one tile at a time."""

from collections.abc import Callable

import torch
from torch import Tensor


def _reflected(size: int, start: int, stop: int, device: torch.device) -> Tensor:
    """Source positions of `start` to `stop` when a side of `size` goes on beyond its ends by reflection, however often."""
    last = torch.arange(size, device=device)[-1:]  # a tensor: graphs of ONNX take no remainder by a number that is not known yet
    period = (2 * last).clamp(min=1)
    position = torch.arange(start, stop, device=device) % period
    return torch.minimum(position, period - position)


def _reflect(x: Tensor, rows: tuple[int, int], columns: tuple[int, int]) -> Tensor:
    at = (_reflected(size, *span, x.device) for size, span in zip(x.shape[-2:], (rows, columns), strict=True))
    return x.index_select(-2, next(at)).index_select(-1, next(at))


def pad_to_multiple(x: Tensor, multiple: int, least: int = 1) -> Tensor:
    """Grow each side of (N, C, H, W) to its next multiple, of `least` or more, by reflection at the bottom and the right.

    Unlike `torch.nn.functional.pad` it takes any size from 1 x 1, reflecting more than once where it must.
    """
    # Not -(-side // multiple): graphs of ONNX round a quotient towards zero.
    height, width = ((max(side, least) + multiple - 1) // multiple * multiple for side in x.shape[-2:])
    if (height, width) == tuple(x.shape[-2:]):
        return x
    return _reflect(x, (0, height), (0, width))


def pad_by_reflection(x: Tensor, pad: int) -> Tensor:
    """Grow each side of (N, C, H, W) by `pad` at both ends, by reflection, of any size from 1 x 1."""
    height, width = x.shape[-2:]
    return _reflect(x, (-pad, height + pad), (-pad, width + pad))


def in_tiles(function: Callable[[Tensor], Tensor], x: Tensor, tile: int | None, reach: int, multiple: int = 1) -> Tensor:
    """What `function` makes of (N, C, H, W), computed for a tile at a time with the surroundings that it needs.

    function: keeps the shape; moves with its input by multiples of `multiple`, and sees no further than `reach` pixels:
    then this is what it makes of the whole image, but for rounding. tile: side of a tile, in pixels, rounded up to a
    multiple; None: the whole image at once.
    """
    if tile is None:
        return function(x)
    side, around = (-(-pixels // multiple) * multiple for pixels in (tile, reach))
    result = torch.empty_like(x, memory_format=torch.contiguous_format)
    for rows, seen_rows in _windows(x.shape[-2], side, around):
        for columns, seen_columns in _windows(x.shape[-1], side, around):
            part = function(x[..., seen_rows, seen_columns])
            own = part[..., slice(rows.start - seen_rows.start, rows.stop - seen_rows.start), :]
            result[..., rows, columns] = own[..., columns.start - seen_columns.start : columns.stop - seen_columns.start]
    return result


def _windows(size: int, side: int, around: int) -> list[tuple[slice, slice]]:
    """Where each tile lies along one axis, and it with its surroundings."""
    ends = ((start, min(start + side, size)) for start in range(0, size, side))
    return [(slice(start, stop), slice(max(0, start - around), min(size, stop + around))) for start, stop in ends]
