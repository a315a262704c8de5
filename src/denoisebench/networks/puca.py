"""The network of PUCA: a U-Net of dilated attention blocks, blind by its masked convolution and by moving 2 x 2 pixels."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.networks.dbsn import MaskedConv, centre_mask, draw_he
from denoisebench.sampling import mosaic_down, mosaic_up

DILATION = 2
MULTIPLE = 8  # two levels, each of cells of 4 x 4 pixels
PAD = 2


def patch_unshuffle(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 4 C, H / 2, W / 2): of each 4 x 4 cell the four 2 x 2 patches become four blocks of channels.

    A patch stays whole, so that a step of two pixels stays one: what is blind under dilation 2 remains so.
    """
    n, channels, height, width = x.shape
    cells = x.reshape(n, channels, height // 4, 2, 2, width // 4, 2, 2)
    return cells.permute(0, 3, 6, 1, 2, 4, 5, 7).reshape(n, 4 * channels, height // 2, width // 2)


def patch_shuffle(x: Tensor) -> Tensor:
    """The inverse of `patch_unshuffle`."""
    n, channels, height, width = x.shape
    blocks = x.reshape(n, 2, 2, channels // 4, height // 2, 2, width // 2, 2)
    return blocks.permute(0, 3, 4, 1, 5, 6, 2, 7).reshape(n, channels // 4, 2 * height, 2 * width)


class _ChannelNorm(nn.Module):
    """Each pixel with mean 0 and variance 1 over its channels, then a gain and an offset for each channel."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features, 1, 1))
        self.offset = nn.Parameter(torch.zeros(features, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
        return (x - mean) * (variance + 1e-6).rsqrt() * self.gain + self.offset


def _gated(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=1)
    return first * second


class DilatedAttentionBlock(nn.Module):
    """NAFNet's block with a depthwise convolution of dilation 2 and residual gains that start at 1.

    `attention` averages over the whole image: the only path by which an output pixel sees the input pixel there.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        wide = 2 * features
        self.norm1 = _ChannelNorm(features)
        self.spread = nn.Sequential(
            nn.Conv2d(features, wide, 1), nn.Conv2d(wide, wide, 3, padding=DILATION, dilation=DILATION, groups=wide)
        )
        self.attention = nn.Conv2d(features, features, 1)
        self.project = nn.Conv2d(features, features, 1)
        self.gain1 = nn.Parameter(torch.ones(features, 1, 1))
        self.norm2 = _ChannelNorm(features)
        self.expand = nn.Conv2d(features, wide, 1)
        self.contract = nn.Conv2d(features, features, 1)
        self.gain2 = nn.Parameter(torch.ones(features, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = _gated(self.spread(self.norm1(x)))
        y = y * self.attention(y.mean(dim=(-2, -1), keepdim=True))
        x = x + self.gain1 * self.project(y)
        return x + self.gain2 * self.contract(_gated(self.expand(self.norm2(x))))


class _Down(nn.Module):
    """(N, F, H, W) -> (N, 2 F, H / 2, W / 2), then blocks."""

    def __init__(self, features: int, count: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(features, features // 2, 1)
        self.blocks = _blocks(2 * features, count)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(patch_unshuffle(self.narrow(x)))


class _Up(nn.Module):
    """(N, 2 F, H, W) and the skip (N, F, 2 H, 2 W) -> the skip's shape."""

    def __init__(self, features: int, count: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(2 * features, 4 * features, 1)
        self.blocks = _blocks(features, count)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.blocks(patch_shuffle(self.widen(x)) + skip)


def _blocks(features: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(DilatedAttentionBlock(features) for _ in range(count)))


class PUCANetwork(nn.Module):
    """(N, C, H, W) -> (N, C, H, W), sides multiples of `stride`: PD takes place on features, inside the network.

    channels: C. features: width F at full resolution, a multiple of 2; 2 F and 4 F below. modules: blocks at each of the
    three inner parts, one fewer at the two outer ones. init: of the `DBSN`.

    Blind but for the channel attention: without it an output pixel sees no input pixel at an even distance in both
    directions, its own included; with it each pixel has a small share in every mean. With random weights, on 56 x 56
    pixels, the derivative by the own pixel is in the order of 1e-4 of the largest one.

    The mosaic grows by zeros at the bottom and the right to multiples of 8. 12,783,491 parameters at C = 3, F = 128.
    Source: Jang et al., arXiv 2310.10088, and its code at HyemiEsme/PUCA 45c3ff0.
    """

    blind_spot: ClassVar[bool] = True

    def __init__(self, channels: int = 3, features: int = 128, modules: int = 4, init: str = "default") -> None:
        super().__init__()
        if features < 2 or features % 2 or modules < 1:
            raise ValueError(f"method.features is a multiple of 2 and method.modules 1 or more, got {features} and {modules}")
        if init not in ("default", "he"):
            raise ValueError(f"method.init is default or he, got {init!r}")
        narrow = features // 2
        self.head = nn.Conv2d(channels, features, 1)
        self.masked = nn.Sequential(
            MaskedConv(features, centre_mask(3)), nn.Conv2d(features, features, 1), nn.Conv2d(features, features, 1)
        )
        self.outer = _blocks(features, modules - 1)
        self.down1 = _Down(features, modules)
        self.down2 = _Down(2 * features, modules)
        self.up2 = _Up(2 * features, modules)
        self.up1 = _Up(features, modules - 1)
        self.last = nn.Conv2d(features, features, 1)
        self.tail = nn.Sequential(
            nn.Conv2d(features, features, 1), nn.Conv2d(features, narrow, 1),
            nn.Conv2d(narrow, narrow, 1), nn.Conv2d(narrow, channels, 1),
        )  # fmt: skip
        if init == "he":
            draw_he(self)

    def forward(self, x: Tensor, stride: int = 1) -> Tensor:
        """stride: of PD; 1 is without."""
        y = self.head(x)
        y = mosaic_up(self._blind(mosaic_down(y, stride, PAD)), stride, PAD) if stride > 1 else self._blind(y)
        return self.tail(y)

    def _blind(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        # Not -side % MULTIPLE: PyTorch's exporter does not follow remainders of sides that it does not know.
        below, right = ((side + MULTIPLE - 1) // MULTIPLE * MULTIPLE - side for side in (height, width))
        x = F.pad(x, (0, right, 0, below))
        full = self.outer(self.masked(x))
        half = self.down1(full)
        quarter = self.down2(half)
        return self.last(self.up1(self.up2(quarter, half), full))[..., :height, :width]
