"""AP-BSN."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.dbsn import DBSN
from denoisebench.sampling import in_tiles, mosaic_down, mosaic_up, pad_by_reflection, random_dihedral

PAD = 2
R3_TIMES = 8
R3_PROBABILITY = 0.16
DROPPED_AFTER = (8 / 20, 16 / 20)


class APBSN(DatasetDenoiser):
    """A blind-spot network on pixel-shuffled images: a large stride in training, a small one at inference.

    Lee, Son, Lee: AP-BSN: Self-Supervised Denoising for Real-World Images via Asymmetric PD and Blind-Spot Network,
    CVPR 2022, arXiv 2203.11799. Official code: https://github.com/wooseoklee4/AP-BSN at 210013c.

    Symbols: x -> noisy, f -> network, a -> pd_train, b -> pd, PD -> `mosaic_down`, R3 -> `refined`.

    channels, features, modules, init: of the `DBSN`.
    pd_train, pd: strides of PD in training and at inference; a training patch loses what fills no cell.
    refine: R3, random replacing refinement; without it `denoise` draws nothing.
    lr, lr_decay: Adam's learning rate; `steps`, a tenth after 8 / 20 and again after 16 / 20 of training (the released
        code), or `linear` to zero.

    The network works in [0, 255], as released. Sides that are no multiple of `pd` grow by zeros at the bottom and right.

    Deviations from the released code: with R3 it returns an image of odd size with its padding, which is cut here; an
    image so small that reflection does not fit is reflected more than once.
    """

    stochastic = True
    tiles = True

    def __init__(
        self,
        channels: int = 3,
        features: int = 128,
        modules: int = 9,
        init: Literal["default", "he"] = "default",
        pd_train: int = 5,
        pd: int = 2,
        refine: bool = True,
        lr: float = 1e-4,
        lr_decay: Literal["steps", "linear"] = "steps",
    ) -> None:
        super().__init__()
        if pd_train < 1 or pd < 1:
            raise ValueError(f"method.pd_train and method.pd are 1 or more, got {pd_train} and {pd}")
        self.network = DBSN(channels, features, modules, init=init)
        self.pd_train = pd_train
        self.pd = pd
        self.refine = refine
        self.lr = lr
        self.lr_decay = lr_decay

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        height, width = (side // self.pd_train * self.pd_train for side in noisy.shape[-2:])
        if min(height, width) == 0:
            raise ValueError(f"training.patch is at least method.pd_train={self.pd_train}, got {tuple(noisy.shape[-2:])}")
        x = 255 * random_dihedral(noisy)[..., :height, :width]
        return (self.pd_network(x, self.pd_train) - x).abs().mean()

    def pd_network(self, x: Tensor, stride: int, tile: int | None = None) -> Tensor:
        """PD, the network, PD's inverse: (N, C, H, W) in [0, 255], multiples of `stride` -> the same."""
        return mosaic_up(self._by_tiles(mosaic_down(x, stride, PAD), tile), stride, PAD)

    def _by_tiles(self, x: Tensor, tile: int | None) -> Tensor:
        return in_tiles(self.network, x, tile, self.network.reach)

    def learning_rate(self, progress: float) -> float:
        if self.lr_decay == "linear":
            return self.lr * (1 - progress)
        return self.lr * 0.1 ** sum(progress >= fraction for fraction in DROPPED_AFTER)

    def denoise(self, noisy: Tensor) -> Tensor:
        height, width = noisy.shape[-2:]
        x = F.pad(255 * noisy, (0, -width % self.pd, 0, -height % self.pd))
        denoised = self.pd_network(x, self.pd, self.tile)
        if self.refine:
            denoised = self.refined(x, denoised)
        return denoised[..., :height, :width] / 255

    def refined(self, x: Tensor, denoised: Tensor) -> Tensor:
        """R3: the mean of what f makes of 8 mixtures of the denoised and, at random values, the noisy image."""
        total = torch.zeros_like(x)
        for _ in range(R3_TIMES):
            mixed = torch.where(torch.rand_like(x) < R3_PROBABILITY, x, denoised)
            total += self._by_tiles(pad_by_reflection(mixed, PAD), self.tile)[..., PAD:-PAD, PAD:-PAD]
        return total / R3_TIMES
