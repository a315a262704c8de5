"""The multi-mask blind-spot network of MM-BSN and AM-BSN."""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.networks.dbsn import DILATIONS, Init, MaskedConv, ResidualModule, centre_mask, draw_he

MODULES_BEFORE = 2  # residual modules of each mask before the masks are joined
MASKS = ("centre", "antidiagonal", "diagonal", "diagonals", "row", "column")


def mask_of(name: str, size: int) -> Tensor:
    """(size, size) of ones, and zeros at the centre or on a line through it; `diagonals` are both."""
    mask, at = centre_mask(size), torch.arange(size)
    if name not in MASKS:
        raise ValueError(f"method.masks_d2 and method.masks_d3 are of {', '.join(MASKS)}, got {name!r}")
    if name in ("antidiagonal", "diagonals"):
        mask[at, size - 1 - at] = 0
    if name in ("diagonal", "diagonals"):
        mask[at, at] = 0
    if name == "row":
        mask[size // 2] = 0
    if name == "column":
        mask[:, size // 2] = 0
    return mask


class _MaskBranch(nn.Module):
    """One mask at one dilation: (N, F, H, W) -> what it sees of its surroundings, near (u) and with two modules more (w)."""

    def __init__(self, features: int, mask: str, dilation: int) -> None:
        super().__init__()
        self.near = nn.Sequential(
            MaskedConv(features, mask_of(mask, 2 * dilation - 1)), nn.ReLU(),
            nn.Conv2d(features, features, 1), nn.ReLU(),
            nn.Conv2d(features, features, 1), nn.ReLU(),
            nn.Conv2d(features, features, 1), nn.ReLU(),
        )  # fmt: skip
        self.far = nn.Sequential(
            *(ResidualModule(features, dilation) for _ in range(MODULES_BEFORE)), nn.Conv2d(features, features, 1), nn.ReLU()
        )
        self.join = nn.Conv2d(2 * features, features, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u = self.near(x)
        return u, F.relu(self.join(torch.cat([u, self.far(u)], dim=1)))


class MultiMaskBSN(nn.Module):
    """(N, C, H, W) -> (N, C, H, W) for any H, W; an output pixel does not depend on the input pixel there.

    channels: C. features: width, F. modules: residual modules of each dilation after the masks are joined.
    masks: names of `MASKS` for the dilations 2 and 3, equally many for both: one layer joins either's.
    init: of the `DBSN`.

    Zero padding. At C = 3, F = 128 and 7 modules 5,297,987 parameters with the masks of MM-BSN, 3,837,251 with AM-BSN's.
    Source: Zhang et al., arXiv 2304.01598, and its code at dannie125/MM-BSN 45f09bd.
    """

    blind_spot: ClassVar[bool] = True

    def __init__(
        self, channels: int = 3, features: int = 128, modules: int = 7, *,
        masks: tuple[Sequence[str], Sequence[str]] = (("centre", "antidiagonal"), ("centre", "antidiagonal")),
        init: Init = "default",
    ) -> None:  # fmt: skip
        super().__init__()
        _check(features, modules, masks, init)
        narrow, count = max(features // 2, 1), len(masks[0])
        self.reach = max(d - 1 + (MODULES_BEFORE + modules) * d for d in DILATIONS)
        """How far an output pixel sees, in pixels."""
        self.head = nn.Conv2d(channels, features, 1)
        self.branches = nn.ModuleList(
            nn.ModuleList(_MaskBranch(features, mask, d) for mask in own) for d, own in zip(DILATIONS, masks, strict=True)
        )
        self.join = nn.Conv2d(count * features, features, 1)
        self.bodies = nn.ModuleList(
            nn.Sequential(*(ResidualModule(features, d) for _ in range(modules)), nn.Conv2d(features, features, 1), nn.ReLU())
            for d in DILATIONS
        )
        self.tail = nn.Sequential(
            nn.Conv2d((2 * count + 2) * features, features, 1), nn.ReLU(),
            nn.Conv2d(features, narrow, 1), nn.ReLU(),
            nn.Conv2d(narrow, narrow, 1), nn.ReLU(),
            nn.Conv2d(narrow, channels, 1),
        )  # fmt: skip
        if init == "he":
            draw_he(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.head(x))
        seen = [[branch(x) for branch in own] for own in self.branches]  # type: ignore[union-attr]
        joined = [F.relu(self.join(torch.cat([w for _, w in own], dim=1))) for own in seen]
        far = [body(y) for body, y in zip(self.bodies, joined, strict=True)]
        # Mask by mask, dilation 2 before 3.
        near = [u for of_mask in zip(*seen, strict=True) for u, _ in of_mask]
        return self.tail(torch.cat([*near, *far], dim=1))


def _check(features: int, modules: int, masks: tuple[Sequence[str], Sequence[str]], init: str) -> None:
    if features < 1 or modules < 0:
        raise ValueError(f"method.features is 1 or more and method.modules 0 or more, got {features} and {modules}")
    if init not in ("default", "he"):
        raise ValueError(f"method.init is default or he, got {init!r}")
    if not len(masks[0]) == len(masks[1]) > 0:
        raise ValueError(
            f"method.masks_d2 and method.masks_d3 name equally many masks, one or more, got {list(masks[0])} and {list(masks[1])}"
        )
