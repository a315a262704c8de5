"""The gated autoencoder of Self2Self+."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.sampling import bernoulli_mask
from denoisebench.tiling import pad_to_multiple

Init = Literal["released", "he"]
LEVELS = 5
LEAST_SIDE = 64  # the smallest map is then 2 x 2, which can be padded by reflection


class _Conv(nn.Conv2d):
    """3 x 3 over reflected borders, padded in the precision of its input: autocast on a CPU would do that in float32."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (Conv2d names it so)
        with torch.autocast(input.device.type, enabled=False):
            padded = F.pad(input, (1, 1, 1, 1), mode="reflect")
        return super().forward(padded)


def _dropout(x: Tensor, drop: float) -> Tensor:
    """Always on, whatever a module's mode: the spread over passes is averaged at inference."""
    if x.is_cuda:
        return F.dropout(x, drop, training=True)
    return x * bernoulli_mask(x, drop).to(x.dtype).mul_(1 / (1 - drop))


class _Gated(nn.Module):
    """Features times a gate in (0, 1), both made from the same input: one convolution gives the features, then the gates."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = _Conv(before, 2 * after)

    def forward(self, x: Tensor) -> Tensor:
        feature, gate = self.conv(x).chunk(2, dim=1)
        return F.leaky_relu(feature, 0.2) * torch.sigmoid(gate)


class _Up(nn.Module):
    """Twice the size by repetition, then two convolutions over it and the skip, each behind a dropout."""

    def __init__(self, before: int, skip: int, after: int, drop: float) -> None:
        super().__init__()
        self.first, self.second, self.drop = _Conv(before + skip, after), _Conv(after, after), drop

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip], dim=1)
        for conv in (self.first, self.second):
            x = F.leaky_relu(conv(_dropout(x, self.drop)), 0.2, inplace=True)
        return x


class GatedAutoencoder(nn.Module):
    """(N, inputs, H, W) -> (N, C, H, W), another draw of its dropout at each call.

    Any H, W: padded by reflection to multiples of 32, at least 64, and cropped back.

    channels: C, of the output. inputs: channels of the input. features: width of the encoder, the decoder is twice as
    wide. drop: probability of the decoder's dropout. init: `released`, weights N(0, 0.02), or `he`, which starts
    faster: std sqrt(2 / fan-in) for LeakyReLU 0.2; biases 0.

    Source: arXiv 2307.10695. 1,253,571 parameters at C = 3, inputs = 6, features = 48.
    """

    def __init__(
        self, channels: int = 3, inputs: int = 6, features: int = 48, drop: float = 0.4, init: Init = "released"
    ) -> None:
        super().__init__()
        if features < 1:
            raise ValueError(f"method.features is 1 or more, got {features}")
        if init not in ("released", "he"):
            raise ValueError(f"method.init is released or he, got {init!r}")
        wide = 2 * features
        self.init: Init = init
        self.encoder = nn.ModuleList(
            [
                nn.Sequential(_Gated(inputs, features), _Gated(features, features)),
                *(nn.Sequential(nn.MaxPool2d(2), _Gated(features, features)) for _ in range(LEVELS)),
            ]
        )
        self.decoder = nn.ModuleList(
            [_Up(features, features, wide, drop), *(_Up(wide, features, wide, drop) for _ in range(LEVELS - 1))]
        )
        self.head = _Conv(wide, channels)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Draw all weights anew from the global generator."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                he = math.sqrt(2 / (1 + 0.2**2) / module.weight[0].numel())
                nn.init.normal_(module.weight, std=0.02 if self.init == "released" else he)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, 2**LEVELS, least=LEAST_SIDE)
        skips: list[Tensor] = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        for up in self.decoder:
            x = up(x, skips.pop())
        return self.head(x)[..., :height, :width]
