"""The U-Net of Noise2Noise, without a final activation (MASH), and with partial convolutions and dropout (Self2Self)."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.sampling import bernoulli_mask
from denoisebench.tiling import pad_to_multiple

Ratio = Literal["usual", "released"]
LEVELS = 5
MULTIPLE = 2**LEVELS
FEATURES = 48
SLOPE = 0.1


def _widths(channels: int, features: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Input and output channels of each convolution: 7 of the encoder, 11 of the decoder."""
    wide, last, head = 2 * features, 4 * features // 3, 2 * features // 3
    encoder = [(channels, features)] + 6 * [(features, features)]
    decoder = [(2 * features, wide), (wide, wide)]
    decoder += 3 * [(wide + features, wide), (wide, wide)]
    return encoder, [*decoder, (wide + channels, last), (last, head), (head, channels)]


def _up(x: Tensor, skip: Tensor) -> Tensor:
    """Twice the size by repetition, beside the skip, which may be the float32 image while autocast is on."""
    return torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skip.to(x.dtype)], dim=1)


class Noise2NoiseUNet(nn.Module):
    """(N, C, H, W) -> (N, C, H, W) for any H, W: padded by reflection to multiples of 32, and cropped back.

    channels: C. features: width of the encoder, a multiple of 3; the decoder is twice as wide.

    Zero padding, LeakyReLU 0.1, PyTorch's default initial weights, no final activation.
    Source: Lehtinen et al., arXiv 1803.04189. 991,203 parameters at C = 3, features = 48; 988,609 at C = 1.
    """

    def __init__(self, channels: int = 3, features: int = FEATURES) -> None:
        super().__init__()
        if features < 3 or features % 3:
            raise ValueError(f"method.features is a multiple of 3, got {features}")
        encoder, decoder = _widths(channels, features)
        self.encoder = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in encoder)
        self.decoder = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in decoder)

    def reset(self) -> None:
        """Draw all weights anew from the global generator."""
        for conv in (*self.encoder, *self.decoder):
            conv.reset_parameters()  # type: ignore[operator]

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = pad_to_multiple(x, MULTIPLE)
        skips = [x]
        y = F.leaky_relu(self.encoder[0](x), SLOPE)
        for conv in self.encoder[1:6]:
            y = F.max_pool2d(F.leaky_relu(conv(y), SLOPE), 2)
            skips.append(y)
        skips.pop()
        y = F.leaky_relu(self.encoder[6](y), SLOPE)
        for first, second in zip(self.decoder[:10:2], self.decoder[1:10:2], strict=True):
            y = F.leaky_relu(first(_up(y, skips.pop())), SLOPE)
            y = F.leaky_relu(second(y), SLOPE)
        return self.decoder[10](y)[..., :height, :width]


class PartialConv(nn.Conv2d):
    """A 3 x 3 convolution of the known values, scaled up by their share in its window; borders are reflected, masks too.

    `forward(x, mask)` takes x (N, C, H, W) and mask, 1 where x is known, (N, C or 1, H, W); it returns the features, and the
    mask (N, 1, H, W) of where any value of the window was known. Elsewhere the features are the bias.

    ratio: `usual`, 9 C / (sum of the mask over window and channels); `released`, 9 / (that sum), as Self2Self's code has it.
    """

    def __init__(self, before: int, after: int, ratio: Ratio = "usual") -> None:
        super().__init__(before, after, 3)
        self.scale = 1 / before if ratio == "released" else 1.0

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        known = F.avg_pool2d(F.pad(mask.mean(1, keepdim=True), (1, 1, 1, 1), mode="reflect"), 3, stride=1)
        seen = known > 0
        ratio = torch.where(seen, self.scale / known, 0.0)
        features = F.conv2d(F.pad(x * mask.to(x.dtype), (1, 1, 1, 1), mode="reflect"), self.weight)
        assert self.bias is not None
        # While autocast is on, the mask is counted in float32 and the features stay in its precision.
        ratio, bias = ratio.to(features.dtype), self.bias.to(features.dtype)
        return features * ratio + bias[:, None, None], seen.to(mask.dtype)


def _dropout(x: Tensor, drop: float) -> Tensor:
    """Always on, whatever a module's mode: the spread over passes is averaged at inference."""
    if x.is_cuda:
        return F.dropout(x, drop, training=True)
    return x * bernoulli_mask(x, drop).to(x.dtype).mul_(1 / (1 - drop))


class _ReflectedConv(nn.Conv2d):
    """3 x 3 over reflected borders, padded in the precision of its input: autocast on a CPU would do that in float32."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (Conv2d names it so)
        with torch.autocast(input.device.type, enabled=False):
            padded = F.pad(input, (1, 1, 1, 1), mode="reflect")
        return super().forward(padded)


class PartialUNet(nn.Module):
    """`forward(x, mask)`: what the values of x where the mask is 1 say of all, both (N, C, H, W); in (0, 1).

    Any H, W: padded by reflection to multiples of 32, at least 64, and cropped back. Another draw of the dropout at each call.

    channels: C. features: width of the encoder, a multiple of 3. drop: probability of the decoder's dropout. ratio: of
    `PartialConv`.

    The shapes of `Noise2NoiseUNet` with partial convolutions in the encoder, dropout before each convolution of the decoder,
    reflection for zero padding, and a sigmoid. Encoder Glorot uniform; decoder normal, std sqrt(2 / fan-in), 1 / sqrt(fan-in)
    in the last; biases 0. Source: Quan et al., CVPR 2020.
    """

    def __init__(self, channels: int = 3, features: int = FEATURES, drop: float = 0.3, ratio: Ratio = "usual") -> None:
        super().__init__()
        if features < 3 or features % 3:
            raise ValueError(f"method.features is a multiple of 3, got {features}")
        if ratio not in ("usual", "released"):
            raise ValueError(f"method.ratio is usual or released, got {ratio!r}")
        encoder, decoder = _widths(channels, features)
        self.drop = drop
        self.encoder = nn.ModuleList(PartialConv(*widths, ratio) for widths in encoder)
        self.decoder = nn.ModuleList(_ReflectedConv(*widths) for widths in decoder)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Draw all weights anew from the global generator."""
        for conv in (*self.encoder, *self.decoder):
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            if isinstance(conv, PartialConv):
                nn.init.xavier_uniform_(conv.weight)
            else:
                gain = 1 if conv is self.decoder[-1] else 2
                nn.init.normal_(conv.weight, std=math.sqrt(gain / conv.weight[0].numel()))
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        # The smallest map is then 2 x 2, which can be padded by reflection.
        x, mask = (pad_to_multiple(part, MULTIPLE, least=2 * MULTIPLE) for part in (x * mask, mask))
        y, skips = self._encode(x, mask)
        for first, second in zip(self.decoder[:10:2], self.decoder[1:10:2], strict=True):
            y = F.leaky_relu(first(_dropout(_up(y, skips.pop()), self.drop)), SLOPE)
            y = F.leaky_relu(second(_dropout(y, self.drop)), SLOPE)
        return torch.sigmoid(self.decoder[10](_dropout(y, self.drop)))[..., :height, :width]

    def _encode(self, x: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The smallest map, and what the decoder's levels take in, the largest first."""
        skips = [x]
        y, mask = self._known(self.encoder[0], x, mask)
        for conv in self.encoder[1:6]:
            y, mask = self._known(conv, y, mask)
            y, mask = F.max_pool2d(y, 2), F.max_pool2d(mask, 2)
            skips.append(y)
        skips.pop()
        return self._known(self.encoder[6], y, mask)[0], skips

    @staticmethod
    def _known(conv: nn.Module, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        y, mask = conv(x, mask)
        return F.leaky_relu(y, SLOPE), mask
