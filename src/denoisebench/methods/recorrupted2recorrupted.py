"""Recorrupted-to-Recorrupted (R2R), and Noisier2Noise."""

from typing import Literal

import pywt
import torch
import torch.nn.functional as F
from scipy.stats import norm
from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.dncnn import DnCNN
from denoisebench.ranges import Count, NonNegative, Number, Positive
from denoisebench.tiling import in_tiles, pad_to_multiple

TENTH_AFTER = 30 / 50


class Recorrupted2Recorrupted(DatasetDenoiser):
    """Adding noise turns a noisy image into an input and a target whose noises are independent.

    Pang, Zheng, Quan, Ji: Recorrupted-to-Recorrupted: Unsupervised Deep Learning for Image Denoising, CVPR 2021; and
    Moran, Schmidt, Zhong, Coady: Noisier2Noise: Learning to Denoise from Unpaired Noisy Data, CVPR 2020,
    arXiv 1910.11908. Official code: https://github.com/PangTongyao/Recorrupted-to-Recorrupted-Unsupervised-Deep-Learning-for-Image-Denoising
    at a3a3f34.

    Symbols: y -> noisy, F -> network, alpha -> alpha, z -> z, sigma -> std.

    channels, features, modules, init: of the `DnCNN`, residual.
    target: `recorrupted`, y - z / alpha, R2R; or `noisy`, y itself, Noisier2Noise (alpha = 1 in its paper), whose output
        ((1 + alpha^2) F(y + alpha z) - y - alpha z) / alpha^2 takes the added noise's share away.
    sigma: standard deviation of the noise, in grey levels, which its row calls `oracle_sigma`; None estimates it from each
        image or patch (`estimated_std`).
    alpha: how much more noise the input has: alpha z, z of the noise's own standard deviation.
    passes: draws of z whose outputs are averaged; 0: F(y), once, without more noise.
    lr, lr_decay: Adam's learning rate; `step`, a tenth of it after three fifths of training, or `linear` to zero.

    Deviations from the released code: means instead of half sums in the loss; the patches are those of the training, in
    an order drawn anew; without sigma it is estimated; PyTorch's settings of batch norm. Its camera images are
    recorrupted in raw, which files of rendered images do not allow.
    """

    family = "recorruption"
    tiles = True
    stochastic = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 64,
        modules: Count = 15,
        init: Literal["released", "default"] = "released",
        target: Literal["recorrupted", "noisy"] = "recorrupted",
        sigma: NonNegative | None = None,
        alpha: Positive = 0.5,
        passes: Number = 50,
        lr: Positive = 1e-3,
        lr_decay: Literal["step", "linear"] = "step",
    ) -> None:
        super().__init__()
        if alpha <= 0 or passes < 0 or (sigma is not None and sigma < 0):
            raise ValueError(
                f"method.alpha is above 0, method.passes and method.sigma 0 or more, got {alpha}, {passes} and {sigma}"
            )
        self.network = DnCNN(channels, features, modules, init=init).to(memory_format=torch.channels_last)
        self.recorrupts_target = target == "recorrupted"
        self.sigma = sigma
        self.alpha = alpha
        self.passes = passes
        self.lr = lr
        self.lr_decay = lr_decay

    @property
    def averaged(self) -> int:
        return max(1, self.passes)

    @property
    def tags(self) -> tuple[str, ...]:
        return () if self.sigma is None else ("oracle_sigma",)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        z = self._std(noisy) * torch.randn_like(noisy)
        # The same z on both sides: with another one the noises of input and target would not be independent.
        target = noisy - z / self.alpha if self.recorrupts_target else noisy
        return (self.network(noisy + self.alpha * z) - target).square().mean()

    def _std(self, noisy: Tensor) -> Tensor | float:
        return estimated_std(noisy) if self.sigma is None else self.sigma / 255

    def learning_rate(self, progress: float) -> float:
        if self.lr_decay == "linear":
            return self.lr * (1 - progress)
        return self.lr * (0.1 if progress >= TENTH_AFTER else 1.0)

    def denoise(self, noisy: Tensor) -> Tensor:
        if not self.passes:
            return self._by_tiles(noisy)
        std, total = self._std(noisy), torch.zeros_like(noisy)
        for _ in range(self.passes):
            noisier = noisy + self.alpha * std * torch.randn_like(noisy)
            denoised = self._by_tiles(noisier)
            if not self.recorrupts_target:
                denoised = ((1 + self.alpha**2) * denoised - noisier) / self.alpha**2
            total += denoised
        return total / self.passes

    def _by_tiles(self, x: Tensor) -> Tensor:
        return in_tiles(self.network, x, self.tile, self.network.reach)


def estimated_std(x: Tensor) -> Tensor:
    """The standard deviation of the noise of each image, (N, 1, 1, 1): median of its finest wavelet coefficients, mean over C.

    As `denoisebench.classical.estimated_std` (db2, Donoho and Johnstone 1994), on the device, for a batch; without the
    coefficients at the border.
    """
    high = torch.tensor(pywt.Wavelet("db2").dec_hi, dtype=x.dtype, device=x.device)  # pyright: ignore[reportAttributeAccessIssue]
    kernel = (high[:, None] * high)[None, None]
    grown = pad_to_multiple(x, 1, least=len(high))
    details = F.conv2d(grown.flatten(0, 1)[:, None], kernel, stride=2).flatten(1).abs()
    return (details.median(1).values / float(norm.ppf(0.75))).view(len(x), -1).mean(1).view(-1, 1, 1, 1)
