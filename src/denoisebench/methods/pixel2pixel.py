"""Pixel2Pixel."""

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.classical import estimated_std
from denoisebench.denoiser import ImageDenoiser
from denoisebench.ranges import Count, NonNegative, Number, Positive
from denoisebench.tiling import pad_by_reflection

WINDOW = 40
PATCH = 7
PIXELS = 2**25  # distances held at a time
HALVED = (1500 / 3000, 2000 / 3000, 2500 / 3000)

Distance = Literal["l1", "l2"]


def pixel_bank(image: Tensor, count: int, distance: Distance = "l1", window: int = WINDOW, patch: int = PATCH) -> Tensor:
    """For each pixel the centres of the `count` most similar patches around it: (1, C, H, W) -> (count, C, H, W).

    Similar patches come first, a pixel's own is the very first. Patches of patch x patch, all channels together, are
    compared at the offsets -window // 2 to window - window // 2 - 1 on both axes, across reflected borders.
    Memory: `count` images and 2 ** 25 distances (or those of one row), a few times over.
    """
    height, width = image.shape[-2:]
    padded = pad_by_reflection(image, window // 2 + patch // 2)[0]
    rows = max(1, PIXELS // (window * window * width))
    tops = range(0, height, rows)
    strips = [_strip(padded, top, min(rows, height - top), count, distance, window, patch) for top in tops]
    return torch.cat(strips, dim=-2)


def _strip(padded: Tensor, top: int, rows: int, count: int, distance: Distance, window: int, patch: int) -> Tensor:
    """The bank of `rows` rows from `top` on."""
    half, around = window // 2, patch - 1
    width = padded.shape[-1] - 2 * half - around
    own = padded[:, top + half : top + half + rows + around, half : half + width + around]
    distances = padded.new_empty(rows, width, window, window)
    for row in range(window):
        band = padded[:, top + row : top + row + rows + around]
        shifted = band.unfold(2, width + around, 1)[:, :, :window]
        difference = shifted - own[:, :, None]
        error = difference.abs_() if distance == "l1" else difference.square_()
        distances[:, :, row] = _box_sum(error.sum(0), patch).transpose(1, 2)
    nearest = distances.flatten(2).topk(count, largest=False).indices
    y = torch.arange(rows, device=padded.device)[:, None, None] + top + patch // 2 + nearest // window
    x = torch.arange(width, device=padded.device)[:, None] + patch // 2 + nearest % window
    return padded[:, y, x].permute(3, 0, 1, 2)


def _box_sum(x: Tensor, side: int) -> Tensor:
    """Sums over side x side windows of the first and the last axis of (H, M, W): -> (H - side + 1, M, W - side + 1)."""
    for axis in (0, 2):
        length = x.shape[axis] - side + 1
        total = x.narrow(axis, 0, length).clone()
        for start in range(1, side):
            total += x.narrow(axis, start, length)
        x = total
    return x


def _network(channels: int, features: int, sigmoid: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before in (channels, *4 * [features]):
        layers += [nn.Conv2d(before, features, 3, padding=1), nn.LeakyReLU(0.2)]
    layers.append(nn.Conv2d(features, channels, 1))
    return nn.Sequential(*layers, nn.Sigmoid()) if sigmoid else nn.Sequential(*layers)


class Pixel2Pixel(ImageDenoiser):
    """A network trained on pairs of images, each pixel of which is drawn from the most similar pixels around it.

    Ma, Jiang, Zhou, Liang, Liu, Ma: Pixel2Pixel: A Pixelwise Approach for Zero-Shot Single Image Denoising, TPAMI 2025
    (no arXiv version found). Official code: https://github.com/qingma2016/Pixel2Pixel at 51d33e5. 149,699 parameters
    at C = 3, features = 64.

    Symbols: m -> neighbours, K is not needed (only the first m of K are used), f -> network.

    channels, features: of five 3 x 3 convolutions and a 1 x 1; zero padding, orthogonal first weights.
    neighbours: m, similar pixels that each pixel is drawn from, itself among them. null: 2, 4 or 8 by the noise level,
        whichever the paper has for the nearest of sigma 10, 25 and 50. Published: real noise 20; 8 for noise that is neither
        real nor Gaussian (2 for Bernoulli noise).
    sigma: standard deviation of the noise on the 0-255 scale, which its row calls `oracle_sigma`; null estimates it from
        each image. Used where neighbours is null only.
    distance: of patches and of the loss; `l1` (the default of the released script for synthetic noise) or `l2` (its
        script for real noise).
    sigmoid: at the end of the network, as for synthetic noise; the script for real noise has none.
    steps: of training, for each image; the learning rate halves after 1/2, 2/3 and 5/6 of them.
    lr: AdamW's first learning rate.

    Deviations from the released code: the level of Gaussian noise is estimated, and the nearest published one chooses m (the
    release is told the level, and has 8 for all but exactly 10 and 25); any size from 24 x 24 is denoised (the release drops
    what fills no block of 64 x 64), gray images too; initial weights follow the run's seed. The script for synthetic noise
    clips Gaussian noise to [0, 1]: here that is the noise model's choice (`noise.clip=true`). The level of clipped noise is
    estimated too low: at sigma 50 set neighbours to 8.
    """

    replayed = True
    family = "similar pixels"
    smallest = 24  # below, the window's border would be reflected more than once

    def __init__(
        self, channels: Count = 3, features: Count = 64, neighbours: Count | None = None, sigma: NonNegative | None = None,
        distance: Distance = "l1", sigmoid: bool = True, steps: Number = 3000, lr: Positive = 1e-3,
    ) -> None:  # fmt: skip
        super().__init__()
        if neighbours is not None and not 2 <= neighbours <= WINDOW**2:
            raise ValueError(f"method.neighbours is null, or 2 to {WINDOW**2}, got {neighbours}")
        if sigma is not None and sigma < 0:
            raise ValueError(f"method.sigma is a standard deviation on the 0-255 scale, or null to estimate it; not {sigma}")
        if distance not in ("l1", "l2"):
            raise ValueError(f"method.distance is l1 or l2, got {distance!r}")
        if features < 1 or steps < 0:
            raise ValueError(f"method.features is 1 or more and method.steps 0 or more, got {features} and {steps}")
        self.network = _network(channels, features, sigmoid)
        self.neighbours = neighbours
        self.sigma = sigma
        self.distance: Distance = distance
        self.num_steps = steps
        self.lr = lr
        self._bank = torch.empty(0)
        self._chosen: dict[str, float | str] = {}

    @property
    def tags(self) -> tuple[str, ...]:
        return ("oracle_sigma",) if self.neighbours is None and self.sigma is not None else ()

    @property
    def chosen(self) -> Mapping[str, float | str]:
        return self._chosen

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=0.01, fused=True)

    def reset(self, noisy: Tensor) -> None:
        if min(noisy.shape[-2:]) < self.smallest:
            height, width = noisy.shape[-2:]
            raise ValueError(f"method=pixel2pixel needs images of at least {self.smallest} x {self.smallest}: {height} x {width}")
        for module in self.network:
            if isinstance(module, nn.Conv2d):
                assert module.bias is not None
                nn.init.orthogonal_(module.weight)
                nn.init.zeros_(module.bias)
        self._bank = torch.empty(0)  # the last image's goes before this one's comes
        self._bank = pixel_bank(noisy, self._choose_neighbours(noisy), self.distance)

    def _choose_neighbours(self, noisy: Tensor) -> int:
        if self.neighbours is not None:
            self._chosen = {"neighbours": self.neighbours}
            return self.neighbours
        sigma = self.sigma
        if sigma is None:
            sigma = 255 * estimated_std(noisy[0].permute(1, 2, 0).double().cpu().numpy())
        neighbours = 2 if sigma < 17.5 else 4 if sigma < 37.5 else 8
        self._chosen = {"neighbours": neighbours, "sigma": sigma}
        return neighbours

    def draw_pair(self) -> tuple[Tensor, Tensor]:
        """Which entries of the bank make the input and the target: two (H, W), nowhere equal."""
        count, _, height, width = self._bank.shape
        first, second = torch.randint(count, (2, height, width), device=self._bank.device)
        return first, torch.where(first == second, (second + 1) % count, second)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        first, second = (self._bank.gather(0, index.expand_as(noisy)) for index in self.draw_pair())
        predicted = self.network(first)
        return F.l1_loss(predicted, second) if self.distance == "l1" else F.mse_loss(predicted, second)

    def learning_rate(self, progress: float) -> float:
        return self.lr * 0.5 ** sum(progress >= at for at in HALVED)

    def predict(self, noisy: Tensor) -> Tensor:
        return self.network(noisy).to(noisy.dtype).clamp(0, 1)
