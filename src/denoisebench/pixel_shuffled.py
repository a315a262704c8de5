"""What AP-BSN, MM-BSN and PUCA share: a blind-spot network between pixel-shuffle downsampling (PD) and its inverse, and R3."""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.sampling import mosaic_down, mosaic_up, random_dihedral
from denoisebench.tiling import in_tiles, pad_by_reflection

PAD = 2
R3_TIMES = 8
R3_PROBABILITY = 0.16


class PixelShuffledDenoiser(DatasetDenoiser):
    """A blind-spot network in [0, 255] between PD and its inverse, L1, and R3: AP-BSN, MM-BSN, PUCA."""

    stochastic = True
    tiles = True
    dropped_after: ClassVar[tuple[float, ...]] = (8 / 20, 16 / 20)
    """After which parts of training the learning rate falls to a tenth, with `lr_decay=steps`."""
    r3_pad: ClassVar[int] = PAD
    """How many pixels images grow by on all sides in R3, by reflection."""

    def __init__(
        self, network: nn.Module, *, pd_train: int, pd: int, refine: bool, lr: float, lr_decay: Literal["steps", "linear"]
    ) -> None:
        super().__init__()
        if pd_train < 1 or pd < 1:
            raise ValueError(f"method.pd_train and method.pd are 1 or more, got {pd_train} and {pd}")
        self.network = network
        self.pd_train = pd_train
        self.pd = pd
        self.refine = refine
        self.lr = lr
        self.lr_decay = lr_decay

    @property
    def averaged(self) -> int:
        return R3_TIMES if self.refine else 1

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        height, width = (side // self.pd_train * self.pd_train for side in noisy.shape[-2:])
        if min(height, width) == 0:
            raise ValueError(f"training.patch is at least method.pd_train={self.pd_train}, got {tuple(noisy.shape[-2:])}")
        x = 255 * random_dihedral(noisy)[..., :height, :width]
        return (self.pd_network(x, self.pd_train) - x).abs().mean()

    def pd_network(self, x: Tensor, stride: int, tile: int | None = None) -> Tensor:
        """PD, the network, PD's inverse: (N, C, H, W) in [0, 255], multiples of `stride` -> the same."""
        return mosaic_up(self.by_tiles(mosaic_down(x, stride, PAD), tile), stride, PAD)

    def by_tiles(self, x: Tensor, tile: int | None) -> Tensor:
        """The network without PD."""
        return in_tiles(self.network, x, tile, self.network.reach)  # type: ignore[arg-type]

    def learning_rate(self, progress: float) -> float:
        if self.lr_decay == "linear":
            return self.lr * (1 - progress)
        return self.lr * 0.1 ** sum(progress >= fraction for fraction in self.dropped_after)

    def denoise(self, noisy: Tensor) -> Tensor:
        height, width = noisy.shape[-2:]
        x = zeros_to_multiple(255 * noisy, self.pd)
        denoised = self.denoised_once(x)
        if self.refine:
            denoised = self.refined(x, denoised)
        return denoised[..., :height, :width] / 255

    def denoised_once(self, x: Tensor) -> Tensor:
        """Before R3: (N, C, H, W) in [0, 255], multiples of `pd` -> the same."""
        return self.pd_network(x, self.pd, self.tile)

    def refined(self, x: Tensor, denoised: Tensor) -> Tensor:
        """R3: the mean of what f makes of 8 mixtures of the denoised and, at random values, the noisy image."""
        total, pad = torch.zeros_like(x), self.r3_pad
        for _ in range(R3_TIMES):
            mixed = torch.where(torch.rand_like(x) < R3_PROBABILITY, x, denoised)
            total += self.by_tiles(pad_by_reflection(mixed, pad), self.tile)[..., pad:-pad, pad:-pad]
        return total / R3_TIMES


def zeros_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Grow each side of (N, C, H, W) to its next multiple by zeros at the bottom and the right."""
    return F.pad(x, (0, -x.shape[-1] % multiple, 0, -x.shape[-2] % multiple))
