"""The U-Net of Laine et al. (NeurIPS 2019), as Neighbor2Neighbor and its comparisons use it."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from denoisebench.tiling import pad_to_multiple

LEVELS = 5
MULTIPLE = 2**LEVELS
REACH = 5 * MULTIPLE  # how far an output pixel sees, at most, in pixels


def _block(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


class _Up(nn.Module):
    """Twice the size by a transposed convolution, then two convolutions over it and the skip."""

    def __init__(self, before: int, skip: int, after: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(before, before, 2, stride=2)
        self.block = _block(before + skip, after, after)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.up(x)
        # Under autocast the last skip, the input itself, would make float32 of both.
        return self.block(torch.cat([x, skip.to(x.dtype)], dim=1))


class UNet(nn.Module):
    """(N, C, H, W) -> (N, C, H, W) for any H, W: padded by reflection to multiples of 32, and cropped back.

    channels: C. features: width of the encoder; the decoder is twice as wide, its last block 2 * 48 whatever
    `features` (as released). init_gain: weights are Kaiming-normal (fan-in, a = 0) times this, biases 0;
    0.1 is the released value, 1 starts faster.

    Source: arXiv 1901.10277, appendix; arXiv 2101.02824. 1,259,475 parameters at C = 3, features = 48.
    """

    def __init__(self, channels: int = 3, features: int = 48, init_gain: float = 0.1) -> None:
        super().__init__()
        wide, head = 2 * features, 96
        self.encoder = nn.ModuleList(
            [_block(channels, features, features), *(_block(features, features) for _ in range(LEVELS - 1))]
        )
        self.bottom = _block(features, features)
        self.decoder = nn.ModuleList(
            [
                _Up(features, features, wide),
                *(_Up(wide, features, wide) for _ in range(LEVELS - 2)),
                _Up(wide, channels, head),
            ]
        )
        self.head = nn.Sequential(
            nn.Conv2d(head, head, 1), nn.LeakyReLU(0.2), nn.Conv2d(head, head, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(head, channels, 1),
        )  # fmt: skip
        self.reset(init_gain)

    @torch.no_grad()
    def reset(self, init_gain: float) -> None:
        """Draw all weights anew from the global generator."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                # nn.init's fan-in: the second dimension times the receptive field, also for transposed convolutions.
                fan_in = module.weight[0].numel()
                nn.init.normal_(module.weight, std=init_gain * math.sqrt(2 / fan_in))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, MULTIPLE)
        skips = [x]
        for block in self.encoder:
            skips.append(nn.functional.max_pool2d(block(skips[-1]), 2))
        y = self.bottom(skips.pop())
        for up in self.decoder:
            y = up(y, skips.pop())
        return self.head(y)[..., :height, :width]
