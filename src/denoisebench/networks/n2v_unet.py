"""The U-Nets of Noise2Void and N2V2."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.tiling import pad_to_multiple

MULTIPLE = 4
REACH = 36  # how far an output pixel sees, at most, in pixels
MEAN, STD = 0.5, 0.25


def _block(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        # As in Keras: eps 1e-3, and momentum 0.99 in its sense.
        norm = nn.BatchNorm2d(after, eps=1e-3, momentum=0.01)
        layers += [nn.Conv2d(before, after, 3, padding=1), norm, nn.ReLU()]
    return nn.Sequential(*layers)


class _BlurPool(nn.Module):
    """Half the size: the maximum of 2 x 2 pixels at each pixel, blurred by [1 2 1] both ways, every second one kept."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 2, stride=1)
        x = F.pad(x, (0, 1, 0, 1))
        x = (x[..., :-2:2, :] + 2 * x[..., 1:-1:2, :] + x[..., 2::2, :]) / 4
        return (x[..., :-2:2] + 2 * x[..., 1:-1:2] + x[..., 2::2]) / 4


class N2VUNet(nn.Module):
    """(N, C, H, W) -> the same shape for any H, W: padded by reflection to multiples of 4, and cropped back.

    channels: C. features: width of the first level. residual: add the input. n2v2: blurred pooling, no outermost skip.
    Values are normalised with mean 0.5 and standard deviation 0.25 inside.

    Source: arXiv 1811.10980 and 2211.08512, juglab/n2v at c61b3b4. At features = 96: 2,576,833 parameters for C = 1,
    2,578,755 for C = 3, 2,910,819 as N2V2.
    """

    def __init__(self, channels: int = 3, features: int = 96, residual: bool = False, n2v2: bool = False) -> None:
        super().__init__()
        wide, middle = 2 * features, 2 * features if n2v2 else features
        self.residual, self.outer_skip = residual, not n2v2
        self.pool: nn.Module = _BlurPool() if n2v2 else nn.MaxPool2d(2)
        self.level0 = _block(channels, features, features)
        self.level1 = _block(features, wide, wide)
        self.bottom = _block(wide, 2 * wide, wide)
        self.up1 = _block(2 * wide, middle, features)
        self.up0 = _block(features if n2v2 else wide, features, features)
        self.head = nn.Conv2d(features, channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = (pad_to_multiple(x, MULTIPLE) - MEAN) / STD
        fine = self.level0(x)
        coarse = self.level1(self.pool(fine))
        y = F.interpolate(self.bottom(self.pool(coarse)), scale_factor=2.0, mode="nearest")
        y = F.interpolate(self.up1(torch.cat([y, coarse], 1)), scale_factor=2.0, mode="nearest")
        y = self.head(self.up0(torch.cat([y, fine], 1) if self.outer_skip else y))
        return ((y + x if self.residual else y) * STD + MEAN)[..., :height, :width]
