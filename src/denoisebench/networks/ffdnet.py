"""The network of FFDNet."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FFDNetwork(nn.Module):
    """Denoises (N, C, H, W) of even H, W, given the noise's standard deviation: `forward(x, std)` with std (N,) in [0, 1].

    3 x 3 convolutions with ReLU between them, on the four sub-images of each channel and a constant plane of the level.

    channels: C. features: width. layers: convolutions. 852,108 parameters at C = 3, features = 96, layers = 12; 485,316 at
    C = 1, 64, 15. Zero padding; orthogonal initial weights of gain `init_gain`, biases 0. 0.2 is the released gain, 1.4
    starts faster.

    Source: Zhang, Zuo, Zhang, arXiv 1710.04026.
    """

    def __init__(self, channels: int, features: int, layers: int, init_gain: float = 0.2) -> None:
        super().__init__()
        widths = [4 * channels + 1] + [features] * (layers - 1) + [4 * channels]
        convs: list[nn.Module] = []
        for before, after in pairwise(widths):
            convs += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(inplace=True)]
        self.model = nn.Sequential(*convs[:-1])
        for conv in self.model[::2]:
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            nn.init.orthogonal_(conv.weight, gain=init_gain)
            nn.init.zeros_(conv.bias)
        self.reach = 2 * layers + 2
        """How far an output pixel sees, at most, in pixels."""

    def forward(self, x: Tensor, std: Tensor) -> Tensor:
        sub_images = F.pixel_unshuffle(x, 2)
        level = std.to(x.dtype).view(-1, 1, 1, 1).expand(len(x), 1, *sub_images.shape[-2:])
        return F.pixel_shuffle(self.model(torch.cat([sub_images, level], dim=1)), 2)
