"""C-BSN."""

from functools import partial
from math import floor
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.dbsn import DBSN
from denoisebench.ranges import Count, NonNegative, Positive
from denoisebench.sampling import draw_pixels, pixel_shuffle_down, pixel_shuffle_up, pixel_subsample, random_dihedral
from denoisebench.tiling import in_tiles

RAMP = 200_000 / 500_000
HALVED_EVERY = 100_000 / 500_000
PAD = 32
TAIL = 64


class CBSN(DatasetDenoiser):
    """One network: blind in training, to remove correlated noise; not blind at inference, to keep the details.

    Jang, Lee, Park, Kim, Cho: Self-Supervised Image Denoising with Downsampled Invariance Loss and Conditional
    Blind-Spot Network, ICCV 2023, arXiv 2304.09507. Official code: https://github.com/jyicu/CBSN at 37da7aa.

    Symbols: x -> noisy, f_b -> `network(x)`, f_u -> `network(x, blind=False)`, D_5 -> `pixel_shuffle_down`,
    S_2 -> `pixel_subsample`, t -> `ramp`, lambda -> invariance.

    channels, features, modules, init: of the `DBSN`, here with one more ReLU in each module and a tail of 64 features,
        whatever `features`.
    stride_blind, stride_invariance: of D_5 and S_2; a training patch loses what fills no cell of D_5.
    invariance: weight of the downsampled invariance loss.
    lr, lr_decay: Adam's learning rate; `halving` after each fifth of training (the released code), or `linear` to zero.

    Any size from 1 x 1: each image is normalised as a whole, then grows by 32 on all sides by reflection, or by one
    less than its side where it is smaller than 33.

    Deviations from the released code: its schedules of 500,000 steps are fractions of training.
    """

    family = "blind spot"
    tiles = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 128,
        modules: Count = 9,
        init: Literal["default", "he"] = "he",
        stride_blind: Count = 5,
        stride_invariance: Count = 2,
        invariance: NonNegative = 2.0,
        lr: Positive = 1e-4,
        lr_decay: Literal["halving", "linear"] = "halving",
    ) -> None:
        super().__init__()
        if stride_blind < 1 or stride_invariance < 1:
            raise ValueError(
                f"method.stride_blind and method.stride_invariance are 1 or more, got {stride_blind} and {stride_invariance}"
            )
        self.network = DBSN(channels, features, modules, module_relu=True, tail_features=TAIL, init=init)
        self.stride_blind = stride_blind
        self.stride_invariance = stride_invariance
        self.invariance = invariance
        self.lr = lr
        self.lr_decay = lr_decay

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        height, width = (side // self.stride_blind * self.stride_blind for side in noisy.shape[-2:])
        if min(height, width) < max(self.stride_blind, self.stride_invariance):
            raise ValueError(
                f"training.patch={min(noisy.shape[-2:])} is too small for method.stride_blind={self.stride_blind} "
                f"and method.stride_invariance={self.stride_invariance}"
            )
        x, _, _ = normalised(random_dihedral(noisy)[..., :height, :width])
        f_b = pixel_shuffle_up(self.network(pixel_shuffle_down(x, self.stride_blind)), self.stride_blind)
        f_u = self.network(x, blind=False)
        draw, side = draw_pixels(x, self.stride_invariance), self.stride_invariance
        with torch.no_grad():
            f_b_sub = self.network(pixel_subsample(x, draw, side))
        blind = (f_b - x).abs().mean()
        unblind = (f_u - x).abs().mean()
        invariance = (pixel_subsample(f_u, draw, side) - f_b_sub).abs().mean()
        return blind + ramp(progress) * (unblind + self.invariance * invariance)

    def learning_rate(self, progress: float) -> float:
        if self.lr_decay == "linear":
            return self.lr * (1 - progress)
        return self.lr * 0.5 ** floor(progress / HALVED_EVERY + 1e-9)

    def denoise(self, noisy: Tensor) -> Tensor:
        x, mean, std = normalised(noisy)
        rows, columns = (min(PAD, side - 1) for side in noisy.shape[-2:])
        padded = F.pad(x, (columns, columns, rows, rows), mode="reflect")
        f_u = in_tiles(partial(self.network, blind=False), padded, self.tile, self.network.reach)
        return f_u[..., rows : rows + x.shape[-2], columns : columns + x.shape[-1]] * std + mean


def ramp(progress: float) -> float:
    """The weight t of the terms without blind spot: from 0 at the first step to 1 at two fifths of training."""
    return min(progress / RAMP, 1.0)


def normalised(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each image and channel with mean 0 and population std 1, that std taken as 1 / sqrt(H W) at least; mean and std."""
    std, mean = torch.std_mean(x, dim=(-2, -1), correction=0, keepdim=True)
    std = std.clamp(min=(x.shape[-2] * x.shape[-1]) ** -0.5)
    return (x - mean) / std, mean, std
