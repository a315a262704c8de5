"""The student U-Net of TM-BSN and of APR-RD."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.networks.layout import Layout, layers
from denoisebench.tiling import pad_to_multiple

LEVELS = 5
MULTIPLE = 2**LEVELS
REACH = 5 * MULTIPLE  # how far an output pixel sees, at most, in pixels
SLOPE = 0.1
RELEASED = Layout(
    "the student of TM-BSN, and APR-RD's of 1.02M",
    layers(
        {f"enc{level + 1}.conv": f"encoder.{level}" for level in range(LEVELS)}
        | {f"enc{LEVELS + 1}.conv": "bottom"}
        | {f"dec{LEVELS - step}_2.conv": f"decoder.{step}.0" for step in range(LEVELS)}
        | {f"dec{LEVELS - step}_1.conv": f"decoder.{step}.1" for step in range(LEVELS - 1)}
        | {"dec1_1": f"decoder.{LEVELS - 1}.1"}
    ),
)


def _conv(before: int, after: int) -> nn.Conv2d:
    conv = nn.Conv2d(before, after, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, a=SLOPE, nonlinearity="leaky_relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


class SkipUNet(nn.Module):
    """(N, C, H, W) -> (N, C, H, W) for any H, W: padded by reflection to multiples of 32, and cropped back.

    channels: C. features: width of the encoder, one convolution a level; the decoder, two a level, is twice as wide.
    Skips are the encoder's maps before they are pooled; nothing follows the last convolution.

    He initialisation, biases 0. 1,021,107 parameters at C = 3, features = 48. Source: arXiv 2604.04484.
    """

    def __init__(self, channels: int = 3, features: int = 48) -> None:
        super().__init__()
        if features < 1:
            raise ValueError(f"method.features is 1 or more, got {features}")
        wide = 2 * features
        self.encoder = nn.ModuleList(_conv(channels if level == 0 else features, features) for level in range(LEVELS))
        self.bottom = _conv(features, features)
        self.decoder = nn.ModuleList(
            nn.ModuleList(
                [
                    _conv(wide if level == 0 else wide + features, wide),
                    _conv(wide, channels if level == LEVELS - 1 else wide),
                ]
            )
            for level in range(LEVELS)
        )

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        y = pad_to_multiple(x, MULTIPLE)
        skips = []
        for conv in self.encoder:
            skips.append(F.leaky_relu(conv(y), SLOPE))
            y = F.max_pool2d(skips[-1], 2)
        y = F.leaky_relu(self.bottom(y), SLOPE)
        for level, (first, second) in enumerate(self.decoder):  # type: ignore[misc]
            y = torch.cat([F.interpolate(y, scale_factor=2), skips.pop()], dim=1)
            y = second(F.leaky_relu(first(y), SLOPE))
            if level < LEVELS - 1:
                y = F.leaky_relu(y, SLOPE)
        return y[..., :height, :width]
