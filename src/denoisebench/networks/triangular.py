"""The triangular-masked blind-spot network of TM-BSN: its hole is a diamond."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = 5
TURNS = (0, 1, 2, 3)  # clockwise quarter turns, in the order of the head's input


class _Triangular(nn.Conv2d):
    """A 3 x 3 convolution over offsets (dy, dx) with dx >= dy: 6 of 9 weights. The mask acts in the forward alone."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=1)
        self.mask: Tensor
        self.register_buffer("mask", torch.ones(3, 3).triu(), persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  the name that torch gave it
        return F.conv2d(input, self.weight * self.mask, self.bias, padding=1)


class _Residual(nn.Module):
    """x + what a chain of layers makes of it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _group(features: int) -> _Residual:
    blocks = (_Residual(_Triangular(features, features), nn.ReLU(), _Triangular(features, features)) for _ in range(BLOCKS))
    return _Residual(*blocks, _Triangular(features, features))


class TriangularBSN(nn.Module):
    """(N, C, H, W) -> (N, C, H, W) for any H, W; an output pixel does not depend on the diamond of input pixels round it.

    channels: C. features: width, F. modules: groups of five residual blocks.

    The excluded diamond is |dy| + |dx| <= hole - 1; with hole 0 everything is seen. One set of weights serves all holes:
    the trunk sees dx >= dy in each of four orientations, and shifting its output down or left by `hole` pixels leaves
    dx >= dy + hole. Zero padding, PyTorch's initialisation.
    1,350,339 parameters at C = 3, F = 48, 5 modules, a third of the trunk's weights masked.
    Source: arXiv 2604.04484.
    """

    blind_spot: ClassVar[bool] = True

    def __init__(self, channels: int = 3, features: int = 48, modules: int = 5) -> None:
        super().__init__()
        if features < 1 or modules < 0:
            raise ValueError(f"method.features is 1 or more and method.modules 0 or more, got {features} and {modules}")
        self.trunk_reach = 2 + modules * (2 * BLOCKS + 1)
        self.first = _Triangular(channels, features)
        self.body = _Residual(*(_group(features) for _ in range(modules)), _Triangular(features, features))
        self.head = nn.Sequential(
            nn.Conv2d(8 * features, 8 * features, 1), nn.ReLU(),
            nn.Conv2d(8 * features, 2 * features, 1), nn.ReLU(),
            nn.Conv2d(2 * features, channels, 1),
        )  # fmt: skip

    def reach(self, hole: int) -> int:
        """How far an output pixel sees, in pixels."""
        return self.trunk_reach + hole

    def forward(self, x: Tensor, hole: int) -> Tensor:
        return self.predictions(x, [hole])[0]

    def predictions(self, x: Tensor, holes: Sequence[int]) -> Tensor:
        """The outputs with each of `holes`, (len(holes), N, C, H, W), for one pass of the trunk."""
        if min(holes) < 0:
            raise ValueError(f"a hole is 0 or more pixels, got {min(holes)}")
        features = self._trunk(x)
        return torch.stack([self._seen_beyond(features, hole) for hole in holes])

    def _trunk(self, x: Tensor) -> list[Tensor]:
        """The trunk's output for the image in each of its four orientations: two batches of two, so no square is needed."""
        upright, flat = (self._body(torch.cat([_turned(x, turn), _turned(x, turn + 2)])) for turn in (0, 1))
        first, third = upright.chunk(2)
        second, fourth = flat.chunk(2)
        return [first, second, third, fourth]

    def _body(self, x: Tensor) -> Tensor:
        return self.body(self.first(x))

    def _seen_beyond(self, features: Sequence[Tensor], hole: int) -> Tensor:
        parts = []
        for turn, own in zip(TURNS, features, strict=True):
            down = F.pad(own, (0, 0, hole, 0))[..., : own.shape[-2], :]
            left = F.pad(own, (0, hole, 0, 0))[..., hole:]
            parts.append(_turned(torch.cat([down, left], dim=1), -turn))
        return self.head(torch.cat(parts, dim=1))


def _turned(x: Tensor, turns: int) -> Tensor:
    """(N, C, H, W) by clockwise quarter turns."""
    return x.rot90(-turns, (-2, -1))
