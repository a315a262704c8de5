"""The U-Net of Laine et al. (NeurIPS 2019) as its authors and later ports have it: plain, and blind by four rotations."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.tiling import pad_to_multiple

LEVELS = 5
MULTIPLE = 2**LEVELS
REACH = 5 * MULTIPLE  # how far an output pixel of the plain network sees, at most, in pixels
SLOPE = 0.1

Init = Literal["default", "he", "leaky_he"]
Head = Literal["deep", "single", "none"]


def blind_reach(hole: int) -> int:
    """How far an output pixel of the blind network sees, at most, in pixels: every convolution looks back two rows."""
    convolutions, pools, alignment = 2 * 126, MULTIPLE - 1, MULTIPLE - 1
    return convolutions + pools + alignment + rows_down(hole)


def rows_down(hole: int) -> int:
    """By how many rows the features of a pixel move away from it for a square hole of this side.

    Raises: ValueError if the side is neither odd nor 0.
    """
    if hole < 0 or (hole % 2 == 0 and hole > 0):
        raise ValueError(f"the side of a blind hole is odd, or 0 for none, got {hole}: set method.hole")
    return (hole + 1) // 2


def shift_down(x: Tensor, rows: int) -> Tensor:
    """Move (N, C, H, W) down: rows of zeros come in on top, as many leave at the bottom."""
    return F.pad(x, (0, 0, rows, 0))[..., : x.shape[-2], :] if rows else x


class _BackwardConv(nn.Conv2d):
    """A 3 x 3 convolution whose output row i sees the rows i - 2, i - 1 and i."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, padding=(2, 1))

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name is Conv2d's
        return super().forward(input)[..., :-2, :]


def _block(widths: Sequence[int], blind: bool, last_activation: bool = True) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [_BackwardConv(before, after) if blind else nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*(layers if last_activation else layers[:-1]))


class Trunk(nn.Module):
    """Encoder and decoder without a head: (N, C, H, W) -> (N, out, H, W), sides multiples of 32.

    channels: C. features: width of the encoder; the decoder is twice as wide. out: None: twice the features too.
    blind: each output pixel sees its own row and the rows above it only. last_activation: of the last convolution.
    """

    def __init__(
        self, channels: int, features: int, out: int | None = None, blind: bool = False, last_activation: bool = True
    ) -> None:
        super().__init__()
        wide, self.blind = 2 * features, blind
        self.encoder = nn.ModuleList(
            [_block((channels, features, features), blind), *(_block((features, features), blind) for _ in range(LEVELS - 1))]
        )
        self.bottom = _block((features, features), blind)
        middle = (_block((wide + features, wide, wide), blind) for _ in range(LEVELS - 2))
        last = _block((wide + channels, wide, wide if out is None else out), blind, last_activation)
        self.decoder = nn.ModuleList([_block((2 * features, wide, wide), blind), *middle, last])

    def forward(self, x: Tensor) -> Tensor:
        skips = [x]
        for block in self.encoder:
            skips.append(F.max_pool2d(shift_down(block(skips[-1]), int(self.blind)), 2))
        y = self.bottom(skips.pop())
        for block in self.decoder:
            y = F.interpolate(y, scale_factor=2.0, mode="nearest")
            # Under autocast the last skip, the input itself, would make float32 of both.
            y = block(torch.cat([y, skips.pop().to(y.dtype)], dim=1))
        return y


def _pointwise(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 1), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def initialise(network: nn.Module, init: Init) -> None:
    """Draw the weights of all convolutions of `network`, whose last one is registered last.

    default: PyTorch's. he: normal, gain sqrt(2) (Laine's code); leaky_he: the gain for slope 0.1 (its PyTorch ports);
    both with gain 1 in the last convolution and biases 0.
    """
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    gain = math.sqrt(2 if init == "he" else 2 / (1 + SLOPE**2))
    for convolution in convolutions:
        if init == "default":
            convolution.reset_parameters()
            continue
        own_gain = 1.0 if convolution is convolutions[-1] else gain
        nn.init.normal_(convolution.weight, std=own_gain / math.sqrt(convolution.weight[0].numel()))
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)


class LaineUNet(nn.Module):
    """(N, C, H, W) -> (N, out, H, W) for any H, W: padded by reflection to multiples of 32, and cropped back.

    channels: C. out: None: C as well. features: width of the encoder, half that of the decoder. init: see `initialise`.
    head: `deep`, three 1 x 1 convolutions; `single`, one; `none`: the decoder's last convolution gives the output.
    last_activation: LeakyReLU also after the last convolution where there is no head, as in AT-BSN's student.

    Source: arXiv 1901.10277, appendix; Blind2Unblind (deep), SASL (single), AT-BSN (none).
    At C = 3, features = 48: 1,102,371 parameters with the deep head, 1,083,747 single, 1,003,011 without.
    """

    def __init__(
        self,
        channels: int = 3,
        features: int = 48,
        out: int | None = None,
        head: Head = "deep",
        last_activation: bool = True,
        init: Init = "default",
    ) -> None:
        super().__init__()
        out, wide = channels if out is None else out, 2 * features
        if head == "none":
            self.trunk = Trunk(channels, features, out, last_activation=last_activation)
            self.head: nn.Module = nn.Identity()
        else:
            self.trunk = Trunk(channels, features)
            self.head = _pointwise(wide, wide, wide, out) if head == "deep" else _pointwise(wide, out)
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return self.head(self.trunk(pad_to_multiple(x, MULTIPLE)))[..., :height, :width]


class Views(NamedTuple):
    """What the trunk of `BlindLaineUNet` makes of the rotations of images of height x width, still turned."""

    upright: Tensor
    """Of the images turned by 0 and by 180 degrees: (2N, 2 * features, H, W), padded sides."""
    lying: Tensor
    """Of those turned by 90 and by 270 degrees: (2N, 2 * features, W, H)."""
    height: int
    width: int


class BlindLaineUNet(nn.Module):
    """(N, C, H, W) -> (N, out, H, W) for any H, W; no output pixel sees the hole x hole square round itself.

    Four rotations of the image go through one trunk that looks only up; its features are moved `(hole + 1) // 2` rows
    further up, turned back, and joined pixel by pixel. Weights do not depend on the hole: `trunk` once and `at_hole`
    several times give several holes. hole: odd, or 0 to see everything.

    Sides grow to multiples of 32 at the bottom and the right. In training by zeros, which keeps it blind; in evaluation
    by reflection, whose mirrored pixels let the last 31 rows and columns see images of themselves.

    channels: C. out: None: C as well. features: width of the encoder, half that of the decoder. init: see `initialise`.

    Source: arXiv 1901.10277; the rotations are counter-clockwise as there (AT-BSN's are clockwise: its weights fit with
    the second and fourth quarter of the first head layer's inputs exchanged). 1,268,547 parameters at C = 3, features = 48.
    """

    blind_spot: ClassVar[bool] = True

    def __init__(self, channels: int = 3, features: int = 48, out: int | None = None, init: Init = "leaky_he") -> None:
        super().__init__()
        wide = 2 * features
        self.unet = Trunk(channels, features, blind=True)
        self.head = _pointwise(4 * wide, 4 * wide, wide, channels if out is None else out)
        initialise(self, init)

    def forward(self, x: Tensor, hole: int = 1) -> Tensor:
        return self.at_hole(self.trunk(x), hole)

    def trunk(self, x: Tensor) -> Views:
        """The features of the four rotations, which serve every hole."""
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE)) if self.training else pad_to_multiple(x, MULTIPLE)
        # Two batches, not one of four: so the image need be no square.
        upright = self.unet(torch.cat([x, x.rot90(2, (-2, -1))]))
        lying = self.unet(torch.cat([x.rot90(1, (-2, -1)), x.rot90(3, (-2, -1))]))
        return Views(upright, lying, height, width)

    def at_hole(self, views: Views, hole: int) -> Tensor:
        """The output for a hole of this side: (N, out, H, W)."""
        rows = rows_down(hole)
        turned0, turned180 = shift_down(views.upright, rows).chunk(2)
        turned90, turned270 = shift_down(views.lying, rows).chunk(2)
        turned = (turned0, turned90, turned180, turned270)
        joined = torch.cat([view.rot90(-quarter, (-2, -1)) for quarter, view in enumerate(turned)], dim=1)
        return self.head(joined)[..., : views.height, : views.width]
