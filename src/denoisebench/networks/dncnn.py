"""DnCNN."""

import math
from typing import Literal

import torch
from torch import Tensor, nn


class DnCNN(nn.Module):
    """(N, C, H, W) -> (N, out, H, W): 3 x 3 convolutions in a row, without biases, batch norm after all but the outer two.

    channels: C. out: None: C as well. features: width. modules: inner ones, of convolution, batch norm and ReLU.
    residual: the convolutions give what is taken from the input.
    init: `released`, Kaiming-normal, with the gains of batch norm from N(0, 2 / (9 features)), clamped to +-0.025; or `default`,
        PyTorch's, where gains of 1 start faster.

    Source: arXiv 1608.03981. At features = 64, modules = 15: 556,032 parameters for C = 1, 558,336 for C = 3.
    """

    def __init__(
        self,
        channels: int = 3,
        features: int = 64,
        modules: int = 15,
        out: int | None = None,
        residual: bool = True,
        init: Literal["released", "default"] = "released",
    ) -> None:
        super().__init__()
        self.residual = residual
        self.reach = modules + 2  # pixels
        layers: list[nn.Module] = [nn.Conv2d(channels, features, 3, padding=1, bias=False), nn.ReLU()]
        for _ in range(modules):
            layers += [nn.Conv2d(features, features, 3, padding=1, bias=False), nn.BatchNorm2d(features), nn.ReLU()]
        layers.append(nn.Conv2d(features, channels if out is None else out, 3, padding=1, bias=False))
        self.layers = nn.Sequential(*layers)
        if init == "released":
            self._released_init(math.sqrt(2 / (9 * features)))

    @torch.no_grad()
    def _released_init(self, gain_std: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, std=gain_std).clamp_(-0.025, 0.025)

    def forward(self, x: Tensor) -> Tensor:
        said = self.layers(x)
        return x - said if self.residual else said
