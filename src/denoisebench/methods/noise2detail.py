"""Noise2Detail."""

import torch
from torch import Tensor

from denoisebench.denoiser import ImageDenoiser
from denoisebench.networks.conv_stack import ConvStack
from denoisebench.networks.pair_loss import pair_loss
from denoisebench.ranges import Count, Number, Positive
from denoisebench.sampling import check_size, diagonal_pair, pixel_shuffle_down, pixel_shuffle_up
from denoisebench.tiling import pad_to_multiple

STRIDES = (2, 4)


class Noise2Detail(ImageDenoiser):
    """ZS-N2N, then the same network on pixel-shuffled sub-images, then a second one that restores detail from the noisy image.

    Chobola, Schnabel, Peng: Lightweight Data-Free Denoising for Detail-Preserving Biomedical Image Restoration, MICCAI 2025,
    arXiv 2510.15611. Official code: https://github.com/ctom2/noise2detail at c8c7a36.

    Symbols: y -> noisy, f -> first (predicts the noise), f2 -> second (predicts the image), g -> guide, (D1, D2) ->
    `diagonal_pair`, s -> stride of the pixel-shuffle downsampling.

    channels, features: of both `ConvStack`s; two layers, LeakyReLU 0.2.
    steps: of training of each network, for each image: twice as many in all.
    lr: Adam's learning rate, for each network; halved after half of its steps.

    Deviations from the released code: initial weights follow the run's seed; sides that are no multiple of 4 grow by
    reflection for the pixel-shuffled passes, and are cut back. The script clips the noisy image to [0, 1]: here that is the
    noise model's choice (`noise.clip=true`).
    """

    family = "sub-sampling"
    smallest = 2
    replayed = True

    def __init__(self, channels: Count = 3, features: Count = 48, steps: Number = 2000, lr: Positive = 1e-3) -> None:
        super().__init__()
        if steps < 0:
            raise ValueError(f"method.steps must be 0 or more, got {steps}")
        self.first = ConvStack(channels, features, layers=2, slope=0.2)
        self.second = ConvStack(channels, features, layers=2, slope=0.2)
        self.num_steps = 2 * steps
        self.lr = lr
        self._pair = self._guide_pair = torch.empty(0)
        self._guide: Tensor | None = None

    def reset(self, noisy: Tensor) -> None:
        check_size(noisy, self.smallest)
        self.first.reset()
        self.second.reset()
        self._pair = diagonal_pair(noisy)
        self._guide = None

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        if progress < 0.5:
            predicted = self._pair - self.first(self._pair)
            return pair_loss(self._pair, predicted, noisy - self.first(noisy))
        guide = self.guide(noisy)
        return pair_loss(self._pair, self.second(self._guide_pair), self.second(guide))

    def phase(self, progress: float) -> int:
        return int(progress >= 0.5)

    def guide(self, noisy: Tensor) -> Tensor:
        """g, the input of the second network: made once, when the first is trained."""
        if self._guide is None:
            with torch.no_grad():
                views = [self._denoised(noisy), *(self._shuffled(noisy, stride) for stride in STRIDES)]
            self._guide = torch.stack(views).mean(0)
            self._guide_pair = diagonal_pair(self._guide)
        return self._guide

    def _denoised(self, x: Tensor) -> Tensor:
        return (x - self.first(x)).clamp(0, 1)

    def _shuffled(self, noisy: Tensor, stride: int) -> Tensor:
        """Denoised as sub-images, whose noise is less correlated, and once more put together."""
        height, width = noisy.shape[-2:]
        sub_images = pixel_shuffle_down(pad_to_multiple(noisy, stride), stride)
        together = pixel_shuffle_up(self._denoised(sub_images), stride)
        return self._denoised(together[..., :height, :width])

    def learning_rate(self, progress: float) -> float:
        return self.lr * (0.5 if 2 * progress % 1 >= 0.5 else 1.0)

    def predict(self, noisy: Tensor) -> Tensor:
        return self.second(self.guide(noisy)).clamp(0, 1)
