"""Blind2Unblind."""

from typing import Literal

import torch
from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.masking import collected, grid_phases, neighbor_mean
from denoisebench.networks.laine_unet import MULTIPLE, REACH, Init, LaineUNet
from denoisebench.ranges import Count, NonNegative, Positive
from denoisebench.schedules import EPOCHS, HALVED_AFTER, finished_epochs
from denoisebench.tiling import in_tiles

CELL = 4
MASKS = CELL * CELL


class Blind2Unblind(DatasetDenoiser):
    """Masked pixels are predicted from the others, and the unmasked prediction joins the loss as a constant.

    Wang, Liu, Li, Han: Blind2Unblind: Self-Supervised Image Denoising with Visible Blind Spots, CVPR 2022,
    arXiv 2203.06967. Official code: https://github.com/zejinwang/Blind2Unblind at efb6f82.

    Symbols: y -> noisy, f -> network, Omega -> `grid_phases` (4 x 4 cells, 16 masks), h -> `collected`, lambda (beta in the
    code) -> `visibility`, eta -> blind_weight.

    channels, features, init: of the `LaineUNet`.
    visibility_start, visibility_end: weight of the visible term, at first and at the end of training.
    ramp_start: the trained fraction from which it grows, in 100 stairs: 0.8 for Gaussian noise of 25 and Poisson
        noise of 30, 0.4 for ranges of levels and for raw images.
    blind_weight: weight of the blind term.
    output: `visible`, one pass; `blind`, h of 16 masked passes; `mid`, (blind + lambda visible) / (1 + lambda).
    lr, lr_decay: Adam's learning rate; `halving` after 19, 39, 59 and 79 % of training, or `linear` to zero.

    The mean of neighbours counts pixels outside the image as 0, as released.

    Deviations from the released code: an epoch is a hundredth of training; inference pads each side to its own
    multiple of 32, after masking, not to a common square before it.
    """

    family = "masking"
    tiles = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 48,
        init: Init = "default",
        visibility_start: NonNegative = 2.0,
        visibility_end: NonNegative = 20.0,
        ramp_start: NonNegative = 0.8,
        blind_weight: NonNegative = 1.0,
        output: Literal["visible", "mid", "blind"] = "visible",
        lr: Positive = 3e-4,
        lr_decay: Literal["halving", "linear"] = "halving",
    ) -> None:
        super().__init__()
        if not 0 <= ramp_start < 1:
            raise ValueError(f"method.ramp_start is a fraction of training, 0 or more and below 1, got {ramp_start}")
        self.network = LaineUNet(channels, features, init=init).to(memory_format=torch.channels_last)
        self.visibility_start = visibility_start
        self.visibility_end = visibility_end
        self.ramp_start = ramp_start
        self.blind_weight = blind_weight
        self.output = output
        self.lr = lr
        self.lr_decay = lr_decay

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        with torch.no_grad():
            visible_error = self.network(noisy) - noisy  # with a gradient the identity would be a minimum
        blind_error = self._blind_at_once(noisy) - noisy
        revisible = blind_error + self.visibility(progress) * visible_error
        return revisible.square().mean() + self.blind_weight * blind_error.square().mean()

    def _blind_at_once(self, noisy: Tensor) -> Tensor:
        phases = grid_phases(noisy, CELL)
        marked = phases == torch.arange(MASKS, device=noisy.device).view(-1, 1, 1, 1, 1)
        masked = torch.where(marked, neighbor_mean(noisy), noisy)
        denoised = self.network(masked.flatten(0, 1)).unflatten(0, (MASKS, -1))
        return collected(denoised, phases)

    def visibility(self, progress: float) -> float:
        """The weight of the visible term at `progress`: by default 2, and over the last fifth 2.9, 3.8, ... 20."""
        ramp = (_epoch(progress) / EPOCHS - self.ramp_start) / (1 - self.ramp_start)
        return self.visibility_start + max(ramp, 0.0) * (self.visibility_end - self.visibility_start)

    def learning_rate(self, progress: float) -> float:
        if self.lr_decay == "linear":
            return self.lr * (1 - progress)
        return self.lr * 0.5 ** sum(_epoch(progress) > epoch for epoch in HALVED_AFTER)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate(0.0), weight_decay=1e-8, fused=True)

    def denoise(self, noisy: Tensor) -> Tensor:
        if self.output == "visible":
            return in_tiles(self.network, noisy, self.tile, REACH, MULTIPLE)
        blind = in_tiles(self._blind, noisy, self.tile, REACH + 1, MULTIPLE)
        if self.output == "blind":
            return blind
        visible = in_tiles(self.network, noisy, self.tile, REACH, MULTIPLE)
        return (blind + self.visibility_end * visible) / (1 + self.visibility_end)

    def _blind(self, noisy: Tensor) -> Tensor:
        """As `_blind_at_once`, one mask at a time: whole images in 16 copies would need much memory."""
        phases, mean = grid_phases(noisy, CELL), neighbor_mean(noisy)
        denoised = torch.zeros_like(noisy)
        for phase in range(MASKS):
            marked = phases == phase
            denoised = torch.where(marked, self.network(torch.where(marked, mean, noisy)), denoised)
        return denoised


def _epoch(progress: float) -> int:
    """From 1 to 100, so many equal parts of training."""
    return min(finished_epochs(progress), EPOCHS - 1) + 1
