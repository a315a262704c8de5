"""Noise2Self."""

from math import lcm
from typing import Literal

import torch
from torch import Tensor, nn

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.masking import grid_phases, neighbor_mean
from denoisebench.networks import laine_unet
from denoisebench.networks.dncnn import DnCNN
from denoisebench.networks.laine_unet import Init, LaineUNet
from denoisebench.ranges import Count, Positive
from denoisebench.tiling import in_tiles

DNCNN_MODULES = 6


class Noise2Self(DatasetDenoiser):
    """The pixels of a grid are hidden, and the network predicts them from all others.

    Batson, Royer: Noise2Self: Blind Denoising by Self-Supervision, ICML 2019, arXiv 1901.11365. Official code:
    https://github.com/czbiohub/noise2self at b306ca7.

    Symbols: x -> noisy, f -> network, J -> the pixels of one phase of `grid_phases`.

    network: `laine`, the `LaineUNet`, as Noise2Void's; or `dncnn`, the released code's of 8 layers, not residual.
    features: width of the network; None: 48 for `laine`, 64 for `dncnn`. init: of the `LaineUNet` alone.
    cell: side of the cells that the phases number.
    replacement: of hidden pixels, by the weighted mean of their 8 `neighbors` or by `zero`.
    mask_channel: the mask is one more input of the network.
    output: `blind`, each pixel predicted without itself, in cell x cell passes; or `visible`, one pass on the noisy image.
    lr, lr_decay: Adam's learning rate; `constant` or `linear` to zero.

    The mean of neighbours counts pixels outside the image as 0, as released.

    Deviations from the released code: the phase is drawn for each step instead of taken in turn, and the last weights
    count, not those with the least loss on one phase; the released small U-Net is left out.
    """

    family = "masking"
    tiles = True

    def __init__(
        self,
        channels: Count = 3,
        network: Literal["laine", "dncnn"] = "laine",
        features: Count | None = None,
        init: Init = "default",
        cell: Count = 4,
        replacement: Literal["neighbors", "zero"] = "neighbors",
        mask_channel: bool = False,
        output: Literal["blind", "visible"] = "blind",
        lr: Positive = 1e-3,
        lr_decay: Literal["constant", "linear"] = "constant",
    ) -> None:
        super().__init__()
        if cell < 2:
            raise ValueError(f"method.cell is 2 or more, for a pixel that is hidden needs some that are not; got {cell}")
        seen = channels + 1 if mask_channel else channels
        if network == "laine":
            self.network: nn.Module = LaineUNet(seen, features or 48, channels, init=init)
            self.reach, self.multiple = laine_unet.REACH, laine_unet.MULTIPLE
        else:
            self.network = DnCNN(seen, features or 64, DNCNN_MODULES, channels, residual=False, init="default")
            self.reach, self.multiple = DNCNN_MODULES + 2, 1
        self.network.to(memory_format=torch.channels_last)
        self.cell = cell
        self.replacement = replacement
        self.mask_channel = mask_channel
        self.output = output
        self.lr = lr
        self.lr_decay = lr_decay

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        phases = self._phases(noisy)
        hidden = phases == torch.randint(self.cell**2, (), device=noisy.device)
        # The mean over all pixels, as released: the same minimum, whatever the side of a cell.
        return torch.where(hidden, self._predicted(noisy, hidden) - noisy, 0).square().mean()

    def _phases(self, x: Tensor) -> Tensor:
        return grid_phases(x, self.cell, "column")

    def _predicted(self, noisy: Tensor, hidden: Tensor) -> Tensor:
        """What the network says of the images without the pixels of `hidden`, (H, W)."""
        instead = neighbor_mean(noisy) if self.replacement == "neighbors" else torch.zeros_like(noisy)
        x = torch.where(hidden, instead, noisy)
        if self.mask_channel:
            x = torch.cat([x, hidden.to(x.dtype).expand(len(x), 1, -1, -1)], 1)
        return self.network(x)

    def learning_rate(self, progress: float) -> float:
        return self.lr * (1 - progress) if self.lr_decay == "linear" else self.lr

    def denoise(self, noisy: Tensor) -> Tensor:
        denoised = self._blind if self.output == "blind" else self._visible
        # One pixel more for the mean of neighbours; phases are numbered from the top left of a tile.
        return in_tiles(denoised, noisy, self.tile, self.reach + 1, lcm(self.multiple, self.cell))

    def _visible(self, noisy: Tensor) -> Tensor:
        return self._predicted(noisy, torch.zeros_like(noisy[0, 0], dtype=torch.bool))

    def _blind(self, noisy: Tensor) -> Tensor:
        phases, denoised = self._phases(noisy), torch.zeros_like(noisy)
        for phase in range(self.cell**2):
            hidden = phases == phase
            denoised = torch.where(hidden, self._predicted(noisy, hidden), denoised)
        return denoised
