"""FFDNet, a supervised network that is given the noise level."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from denoisebench.classical import estimated_std
from denoisebench.denoiser import SupervisedDenoiser
from denoisebench.networks.ffdnet import FFDNetwork
from denoisebench.networks.layout import Layout
from denoisebench.ranges import Count, NonNegative, Positive
from denoisebench.tiling import in_tiles


class FFDNet(SupervisedDenoiser):
    """One network for every level of Gaussian noise, trained on clean images and given the level as an input plane.

    Zhang, Zuo, Zhang: FFDNet: Toward a Fast and Flexible Solution for CNN based Image Denoising, TIP 2018,
    arXiv 1710.04026. Official code: https://github.com/cszn/KAIR at 2c0cc0d; https://github.com/cszn/FFDNet at e787f46.
    The released files `ffdnet_color.pth` and `ffdnet_gray.pth` load directly, with `checkpoint=FILE`.

    Symbols: y -> noisy, M -> the constant plane of sigma / 255, F -> network.

    channels, features, layers, init_gain: of the `FFDNetwork`. Released: colour 96 and 12, gray 64 and 15.
    sigma: standard deviation of the test noise on the 0-255 scale, tagged `oracle_sigma`; None estimates it from each image
        (`estimated_std`).
    lr, lr_decay: Adam's learning rate; `halving` after each fifth of training, or `linear` to zero.

    Deviations from the released code: none at inference (odd sides grow by repeating the last row or column). In training,
    a level is not drawn uniformly from 0 to 75 by the method: the noise is that of `train_noise`, and the network is given
    each patch's level as measured from its noise (for noise that is correlated between pixels, the level that is estimated at
    a test with `sigma=null` is far lower: give sigma then); the release halves the rate every 200,000 steps and names no end.
    """

    family = "clean targets"
    tiles = True
    released_layouts: ClassVar[tuple[str, ...]] = ("FFDNet, colour or gray (model.0.weight to model.22.bias or model.28.bias)",)

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 96,
        layers: Count = 12,
        init_gain: Positive = 0.2,
        sigma: NonNegative | None = None,
        lr: Positive = 1e-4,
        lr_decay: Literal["halving", "linear"] = "halving",
    ) -> None:
        super().__init__()
        if features < 1 or layers < 2:
            raise ValueError(f"method.features must be 1 or more and method.layers 2 or more, got {features} and {layers}")
        if sigma is not None and sigma < 0:
            raise ValueError(f"method.sigma is a standard deviation on the 0-255 scale, or null to estimate it; not {sigma}")
        self.network = FFDNetwork(channels, features, layers, init_gain).to(memory_format=torch.channels_last)
        self.sigma = sigma
        self.lr = lr
        self.lr_decay = lr_decay

    @property
    def tags(self) -> tuple[str, ...]:
        return ("supervised",) if self.sigma is None else ("supervised", "oracle_sigma")

    def released(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
        if "model.0.weight" not in weights:
            return None
        layout = Layout("FFDNet", {name: f"network.{name}" for name in weights})
        if (renamed := layout.renamed(weights, self)) is not None:
            return renamed
        features, inputs = weights["model.0.weight"].shape[:2]
        raise ValueError(
            f"a file of FFDNet for dataset.channels={(inputs - 1) // 4}, with method.features={features} and "
            f"method.layers={len(weights) // 2}: these settings have another network"
        )

    def loss(self, noisy: Tensor, target: Tensor, progress: float) -> Tensor:
        std = (noisy - target).square().mean(dim=(1, 2, 3)).sqrt()
        return (self._even(noisy, std) - target).abs().mean()

    def learning_rate(self, progress: float) -> float:
        if self.lr_decay == "linear":
            return self.lr * (1 - progress)
        return self.lr * 0.5 ** sum(progress >= fraction for fraction in (0.2, 0.4, 0.6, 0.8))

    def denoise(self, noisy: Tensor) -> Tensor:
        return torch.cat([self._even(image, self._std(image)) for image in noisy.split(1)])

    def _std(self, image: Tensor) -> Tensor:
        """Of the noise in one image (1, C, H, W): (1,)."""
        std = self.sigma / 255 if self.sigma is not None else estimated_std(image[0].permute(1, 2, 0).cpu().numpy())
        return image.new_tensor([std])

    def _even(self, noisy: Tensor, std: Tensor) -> Tensor:
        """Denoised, with odd sides made even by repeating their last row or column."""
        height, width = noisy.shape[-2:]
        even = F.pad(noisy, (0, width % 2, 0, height % 2), mode="replicate")
        denoised = in_tiles(lambda part: self.network(part, std), even, self.tile, self.network.reach, 2)
        return denoised[..., :height, :width]
