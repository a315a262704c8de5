"""Neighbor2Neighbor."""

from typing import Literal

import torch
from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.unet import MULTIPLE, REACH, UNet
from denoisebench.ranges import Count, NonNegative, Positive
from denoisebench.sampling import draw_neighbors, neighbor_subsample
from denoisebench.schedules import EPOCHS, HALVED_AFTER, finished_epochs
from denoisebench.tiling import in_tiles


class Neighbor2Neighbor(DatasetDenoiser):
    """Two neighbouring sub-images of one noisy image serve as input and target.

    Huang, Li, Jia, Lu, Liu: Neighbor2Neighbor: Self-Supervised Denoising from Single Noisy Images, CVPR 2021,
    arXiv 2101.02824. Official code: https://github.com/TaoHuang2018/Neighbor2Neighbor at e66389e.

    Symbols: y -> noisy, f -> network, (g1, g2) -> `neighbor_subsample`, gamma -> regularizer.

    channels, features, init_gain: of the `UNet`.
    regularizer: weight of the regularisation term (equation 6), at the end of training.
    regularizer_ramp: grow that weight in 100 equal stairs (the released code) or keep it constant (the paper).
    lr, lr_decay: Adam's learning rate; `halving` after 19, 39, 59 and 79 % of training (the released code:
        after epochs 19, 39, 59, 79 of 100), or `linear` to zero.

    Deviations from the released code: an epoch is a hundredth of training, whatever its length; odd sides lose
    their last row or column in training instead of failing; inference pads each side to its own multiple of 32,
    not to a common square.
    """

    family = "sub-sampling"
    tiles = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 48,
        init_gain: Positive = 0.1,
        regularizer: NonNegative = 2.0,
        regularizer_ramp: bool = True,
        lr: Positive = 3e-4,
        lr_decay: Literal["halving", "linear"] = "halving",
    ) -> None:
        super().__init__()
        self.network = UNet(channels, features, init_gain).to(memory_format=torch.channels_last)
        self.regularizer = regularizer
        self.regularizer_ramp = regularizer_ramp
        self.lr = lr
        self.lr_decay = lr_decay

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        draw = draw_neighbors(noisy)
        with torch.no_grad():
            denoised = self.network(noisy)
        g1_noisy, g2_noisy = neighbor_subsample(noisy, draw)
        g1_denoised, g2_denoised = neighbor_subsample(denoised, draw)
        reconstruction = self.network(g1_noisy) - g2_noisy
        regularization = reconstruction - (g1_denoised - g2_denoised)
        return reconstruction.square().mean() + self.gamma(progress) * regularization.square().mean()

    def gamma(self, progress: float) -> float:
        """The weight of the regularisation term at `progress`: by default 0.02, 0.04, ... 2."""
        if not self.regularizer_ramp:
            return self.regularizer
        return self.regularizer * (finished_epochs(progress) + 1) / EPOCHS

    def learning_rate(self, progress: float) -> float:
        if self.lr_decay == "linear":
            return self.lr * (1 - progress)
        return self.lr * 0.5 ** sum(finished_epochs(progress) >= epoch for epoch in HALVED_AFTER)

    def denoise(self, noisy: Tensor) -> Tensor:
        return in_tiles(self.network, noisy, self.tile, REACH, MULTIPLE)
