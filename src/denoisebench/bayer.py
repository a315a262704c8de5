"""The Bayer mosaic of a raw image as four channels at half the size, and back."""

import torch.nn.functional as F
from torch import Tensor


def pack(planes: Tensor) -> Tensor:
    """(N, 1, H, W) of even sides -> (N, 4, H / 2, W / 2): the pixels of each 2 x 2 cell in row-major order, whatever colours
    they see."""
    return F.pixel_unshuffle(planes, 2)


def unpack(channels: Tensor) -> Tensor:
    """The inverse of `pack`."""
    return F.pixel_shuffle(channels, 2)
