"""The dilated blind-spot network of AP-BSN, SDAP and C-BSN."""

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Init = Literal["default", "he"]
DILATIONS = (2, 3)
# scipy.stats.truncnorm.std(-2, 2): what cutting a normal law at two deviations leaves of its deviation.
TRUNCATED_STD = 0.87962566103423978


class MaskedConv(nn.Conv2d):
    """A convolution that, when blind, does not see the places where its mask is zero. The mask acts in the forward alone.

    mask: (size, size) of zeros and ones, `size` odd.
    """

    def __init__(self, features: int, mask: Tensor) -> None:
        super().__init__(features, features, len(mask), padding=len(mask) // 2)
        self.mask: Tensor
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor, blind: bool = True) -> Tensor:  # noqa: A002  the name that torch gave it
        weight = self.weight * self.mask if blind else self.weight
        return F.conv2d(input, weight, self.bias, padding=self.padding)  # type: ignore[arg-type]


def centre_mask(size: int) -> Tensor:
    """Ones, and a zero at the centre: (size, size)."""
    mask = torch.ones(size, size)
    mask[size // 2, size // 2] = 0
    return mask


class ResidualModule(nn.Module):
    """x + a dilated 3 x 3 and a 1 x 1 convolution of it, the latter with a ReLU in C-BSN."""

    def __init__(self, features: int, dilation: int, relu: bool = False) -> None:
        super().__init__()
        self.dilated = nn.Conv2d(features, features, 3, padding=dilation, dilation=dilation)
        self.pointwise = nn.Conv2d(features, features, 1)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.pointwise(F.relu(self.dilated(x)))
        return x + (F.relu(y) if self.relu else y)


class _Branch(nn.Module):
    """A masked convolution of size 2d - 1, then convolutions that only see multiples of d: the centre stays unseen."""

    def __init__(self, features: int, modules: int, dilation: int, relu: bool) -> None:
        super().__init__()
        self.masked = MaskedConv(features, centre_mask(2 * dilation - 1))
        self.body = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(features, features, 1), nn.ReLU(),
            nn.Conv2d(features, features, 1), nn.ReLU(),
            *(ResidualModule(features, dilation, relu) for _ in range(modules)),
            nn.Conv2d(features, features, 1), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor, blind: bool) -> Tensor:
        return self.body(self.masked(x, blind))


class DBSN(nn.Module):
    """(N, C, H, W) -> (N, C, H, W) for any H, W; when blind, an output pixel does not depend on the input pixel there.

    channels: C. features: width, F. modules: residual modules in each branch.
    module_relu: one more ReLU in each module (C-BSN). tail_features: width of the last hidden layers, by default F // 2.
    init: `default` is PyTorch's; `he` is C-BSN's: std sqrt(2 / fan-in), truncated normal, but plain normal in the masked
    convolutions, whose fan-in counts the centre; biases 0.

    Parameters are registered in forward order. Zero padding. 3,656,131 parameters at C = 3, F = 128, 9 modules.
    Source: Wu et al., ECCV 2020, arXiv 2008.13711, as changed by Lee et al., arXiv 2203.11799.
    """

    blind_spot: ClassVar[bool] = True
    """Whether a run measures how much an output pixel depends on the input pixel there."""

    def __init__(
        self, channels: int = 3, features: int = 128, modules: int = 9, *, module_relu: bool = False,
        tail_features: int | None = None, init: Init = "default",
    ) -> None:  # fmt: skip
        super().__init__()
        if features < 1 or modules < 0:
            raise ValueError(f"method.features is 1 or more and method.modules 0 or more, got {features} and {modules}")
        if init not in ("default", "he"):
            raise ValueError(f"method.init is default or he, got {init!r}")
        narrow = tail_features or max(features // 2, 1)
        self.reach = max(d - 1 + modules * d for d in DILATIONS)
        """How far an output pixel sees, in pixels."""
        self.head = nn.Sequential(nn.Conv2d(channels, features, 1), nn.ReLU())
        self.branches = nn.ModuleList(_Branch(features, modules, dilation, module_relu) for dilation in DILATIONS)
        self.tail = nn.Sequential(
            nn.Conv2d(2 * features, features, 1), nn.ReLU(),
            nn.Conv2d(features, narrow, 1), nn.ReLU(),
            nn.Conv2d(narrow, narrow, 1), nn.ReLU(),
            nn.Conv2d(narrow, channels, 1),
        )  # fmt: skip
        if init == "he":
            draw_he(self)

    def forward(self, x: Tensor, blind: bool = True) -> Tensor:
        x = self.head(x)
        return self.tail(torch.cat([branch(x, blind) for branch in self.branches], dim=1))


@torch.no_grad()
def draw_he(network: nn.Module) -> None:
    """Draw the weights of all convolutions as C-BSN does, see `DBSN`."""
    for module in network.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        std = math.sqrt(2 / module.weight[0].numel())
        if isinstance(module, MaskedConv):
            nn.init.normal_(module.weight, std=std)
        else:
            std /= TRUNCATED_STD
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
