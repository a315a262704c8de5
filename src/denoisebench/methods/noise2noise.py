"""Noise2Noise: trained on pairs of noisy views."""

from typing import Literal

import torch
from torch import Tensor

from denoisebench.denoiser import SupervisedDenoiser
from denoisebench.networks.unet import MULTIPLE, REACH, UNet
from denoisebench.ranges import Count, Positive
from denoisebench.tiling import in_tiles


class Noise2Noise(SupervisedDenoiser):
    """The network of Neighbor2Neighbor trained, by squared error, on a second independent noisy realisation.

    Lehtinen et al.: Noise2Noise: learning image restoration without clean data, ICML 2018, arXiv 1803.04189. It needs no
    clean image, but two views of the same scene, which self-supervised methods do without: `N2N` in their tables.

    channels, features, init_gain: of the `UNet`.
    lr, lr_decay: Adam's learning rate; `halving` after 20, 40, 60 and 80 % of training, or `linear` to zero.

    Deviations: network and schedule are those of Neighbor2Neighbor, not of Lehtinen et al., so that tables compare
    training alone.
    """

    family = "noisy pairs"
    target = "noisy"
    tiles = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 48,
        init_gain: Positive = 0.1,
        lr: Positive = 3e-4,
        lr_decay: Literal["halving", "linear"] = "halving",
    ) -> None:
        super().__init__()
        self.network = UNet(channels, features, init_gain).to(memory_format=torch.channels_last)
        self.lr = lr
        self.lr_decay = lr_decay

    @property
    def tags(self) -> tuple[str, ...]:
        return ("supervised", "second_view")

    def loss(self, noisy: Tensor, target: Tensor, progress: float) -> Tensor:
        return (self.network(noisy) - target).square().mean()

    def learning_rate(self, progress: float) -> float:
        if self.lr_decay == "linear":
            return self.lr * (1 - progress)
        return self.lr * 0.5 ** sum(progress >= fraction for fraction in (0.2, 0.4, 0.6, 0.8))

    def denoise(self, noisy: Tensor) -> Tensor:
        return in_tiles(self.network, noisy, self.tile, REACH, MULTIPLE)
