"""The hourglass network of Deep Image Prior."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALES = 5
SKIP = 4
SMALLEST = 2**SCALES + 1  # the smallest map is then 2 x 2, which can be padded by reflection


class _Layer(nn.Sequential):
    """A convolution over reflected borders, batch normalisation without running statistics, LeakyReLU 0.2."""

    def __init__(self, before: int, after: int, size: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(before, after, size, stride, size // 2, padding_mode="reflect" if size > 1 else "zeros"),
            nn.BatchNorm2d(after, track_running_stats=False),
            nn.LeakyReLU(0.2),
        )


def _joined(skip: Tensor, deep: Tensor) -> Tensor:
    """Beside each other, both cropped to the smaller: half of the excess, rounded down, goes first."""
    height, width = (min(sides) for sides in zip(skip.shape[-2:], deep.shape[-2:], strict=True))
    parts = []
    for x in (skip, deep):
        top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
        parts.append(x[..., top : top + height, left : left + width])
    return torch.cat(parts, dim=1)


class _Scale(nn.Module):
    """A narrow skip beside half the resolution, where the next scale works."""

    def __init__(self, before: int, features: int, inner: nn.Module) -> None:
        super().__init__()
        self.skip = _Layer(before, SKIP, 1)
        self.down = nn.Sequential(_Layer(before, features, 3, stride=2), _Layer(features, features, 3))
        self.inner = inner
        self.joined = nn.Sequential(
            nn.BatchNorm2d(SKIP + features, track_running_stats=False),
            _Layer(SKIP + features, features, 3),
            _Layer(features, features, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        deep = self.inner(self.down(x))
        deep = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        return self.joined(_joined(self.skip(x), deep))


class SkipNet(nn.Module):
    """(N, inputs, H, W) -> (N, C, H, W) in (0, 1), for sides of 33 and more.

    channels: C. inputs: channels of the input. features: width, the same at all five scales.

    PyTorch's default initial weights. Batch normalisation by the batch's own statistics in either mode.
    Source: Ulyanov et al., arXiv 1711.10925. 2,217,831 parameters at C = 3, inputs = 32, features = 128.
    """

    def __init__(self, channels: int = 3, inputs: int = 32, features: int = 128) -> None:
        super().__init__()
        if features < 1:
            raise ValueError(f"method.features is 1 or more, got {features}")
        inner: nn.Module = nn.Identity()
        for scale in reversed(range(SCALES)):
            inner = _Scale(features if scale else inputs, features, inner)
        self.body = inner
        self.head = nn.Conv2d(features, channels, 1)

    def reset(self) -> None:
        """Draw all weights anew from the global generator."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                module.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(self.body(x)))
