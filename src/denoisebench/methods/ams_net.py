"""AMSNet."""

from typing import Literal

import torch
from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.unet import MULTIPLE, REACH, UNet
from denoisebench.ranges import Count, Positive
from denoisebench.sampling import pixel_shuffle_down, pixel_shuffle_up, random_dihedral
from denoisebench.tiling import in_tiles, pad_to_multiple

MASKED = 0.5
R3_TIMES = 8
R3_PROBABILITY = 0.16


class AMSNet(DatasetDenoiser):
    """Half of the pixels, drawn at random, are set to zero and predicted from the other half, so any network will do.

    Liao, Zheng, Zhong, Zhang, Ren: Asymmetric Mask Scheme for Self-Supervised Real Image Denoising, ECCV 2024,
    arXiv 2407.06514. Official code: https://github.com/lll143653/amsnet at 07e1e59.

    Symbols: x -> noisy, f -> network, D_s -> `pixel_shuffle_down`, M -> `draw_mask`.

    channels, features, init_gain: of the `UNet`, one of the four networks of the paper. It has 7,935,555 parameters at
        features = 128.
    pd_train, pd: strides of the pixel-shuffle downsampling in training and at inference; a training patch loses what
        does not fill a cell. At inference, sides that are not multiples of `pd` grow by reflection.
    refine: R3, random replacing refinement. The released code uses it with its NAFNet and DeamNet, not with the U-Net.
    lr, lr_decay: Adam's learning rate; `constant` (the released code, whose cosine is stepped once per epoch of 25,000)
        or `linear` to zero.

    The network has no mask channel: a masked pixel looks like a black one.

    Deviations from the released code: all 8 flips and rotations instead of the 4 flips; Adam instead of AdamW, which is
    the same at its weight decay of 0; the last weights are kept, not the best ones on clean validation images.
    """

    family = "masking"
    stochastic = True
    tiles = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 128,
        init_gain: Positive = 0.1,
        pd_train: Count = 5,
        pd: Count = 2,
        refine: bool = False,
        lr: Positive = 1e-4,
        lr_decay: Literal["constant", "linear"] = "constant",
    ) -> None:
        super().__init__()
        if pd_train < 1 or pd < 1:
            raise ValueError(f"method.pd_train and method.pd are 1 or more, got {pd_train} and {pd}")
        self.network = UNet(channels, features, init_gain).to(memory_format=torch.channels_last)
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
        x = pixel_shuffle_down(random_dihedral(noisy)[..., :height, :width], self.pd_train)
        masked = draw_mask(x)
        error = (self.network(x.masked_fill(masked, 0)) - x).abs() * masked
        # A sub-image of very few pixels may have none that is masked.
        return error.sum() / (masked.sum() * x.shape[1]).clamp(min=1)

    def learning_rate(self, progress: float) -> float:
        return self.lr * (1 - progress) if self.lr_decay == "linear" else self.lr

    def denoise(self, noisy: Tensor) -> Tensor:
        height, width = noisy.shape[-2:]
        x = pad_to_multiple(noisy, self.pd)
        denoised = pixel_shuffle_up(self.in_two_passes(pixel_shuffle_down(x, self.pd)), self.pd)
        return (self.refined(x, denoised) if self.refine else denoised)[..., :height, :width]

    def in_two_passes(self, x: Tensor) -> Tensor:
        """Each pixel as predicted where it was masked: two complementary masks, drawn anew at each call."""
        masked = draw_mask(x)
        return torch.where(masked, self._by_tiles(x.masked_fill(masked, 0)), self._by_tiles(x.masked_fill(~masked, 0)))

    def _by_tiles(self, x: Tensor) -> Tensor:
        return in_tiles(self.network, x, self.tile, REACH, MULTIPLE)

    def refined(self, x: Tensor, denoised: Tensor) -> Tensor:
        """R3: the mean over 8 mixtures of the denoised and, at random pixels, the noisy image, at full resolution."""
        total = torch.zeros_like(x)
        for _ in range(R3_TIMES):
            replaced = torch.rand_like(x[:, :1]) < R3_PROBABILITY
            total += self.in_two_passes(torch.where(replaced, x, denoised))
        return total / R3_TIMES


def draw_mask(x: Tensor) -> Tensor:
    """A fair coin for each pixel, the same for all channels: (N, C, H, W) -> (N, 1, H, W), True where masked."""
    return torch.rand_like(x[:, :1]) < MASKED
