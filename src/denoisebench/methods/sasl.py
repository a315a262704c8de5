"""SASL."""

from collections.abc import Callable
from functools import partial
from math import cos, floor, pi
from typing import Literal

import torch
from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.laine_unet import MULTIPLE, REACH, BlindLaineUNet, LaineUNet
from denoisebench.networks.lan import LAN
from denoisebench.ranges import Count, NonNegative, Number, Positive
from denoisebench.sampling import random_dihedral
from denoisebench.tiling import in_tiles, pad_by_reflection

STAGES = 3
WINDOW = 7


class SASL(DatasetDenoiser):
    """A U-Net learns flat areas from a network with a large blind hole, and texture from one that sees 3 x 3 pixels only.

    Li, Zhang, Liu, Feng, Wang, Lei, Zuo: Spatially Adaptive Self-Supervised Learning for Real-World Image Denoising,
    CVPR 2023, arXiv 2303.14934. Official code: https://github.com/nagejacob/SpatiallyAdaptiveSSID at 4397fe6 (GPL-3,
    not used here).

    Symbols: x -> noisy, BNN -> blind, LAN -> lan, U-Net -> network, alpha -> `texture`.

    Three stages, each a third of training: BNN is trained to predict the noisy image, then LAN to predict what BNN
    predicts, then the U-Net to predict BNN's output where that is flat and LAN's where it is textured. Only the U-Net
    denoises.

    channels, features, init: of both U-Nets; LAN has 4 / 3 of these features and PyTorch's initialisation.
    hole: side of BNN's blind square, in pixels.
    flat, textured: standard deviations of BNN's output over 7 x 7 pixels, in grey levels, below and above which an area
        counts as such.
    lr: Adam's learning rate at the start of each stage, at whose end a cosine takes it to zero.

    The networks work in [0, 255], as released. The published submissions average 8 flips and rotations; this does not.

    Deviations from the released code: its training script was withdrawn, so the recipe follows the paper and its
    supplement; the last weights of each stage are used, not the best ones on clean validation images.
    """

    family = "blind spot"
    tiles = True
    staged = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 48,
        init: Literal["default", "he", "leaky_he"] = "leaky_he",
        hole: Number = 9,
        flat: NonNegative = 1.0,
        textured: NonNegative = 5.0,
        lr: Positive = 3e-4,
    ) -> None:
        super().__init__()
        if not 0 <= flat <= textured:
            raise ValueError(f"method.flat is 0 or more and at most method.textured, got {flat} and {textured}")
        self.blind = BlindLaineUNet(channels, features, init=init)
        self.lan = LAN(channels, max(round(features * 4 / 3), 1))
        self.network = LaineUNet(channels, features, head="single", init=init).to(memory_format=torch.channels_last)
        self.hole = hole
        self.flat = flat
        self.textured = textured
        self.lr = lr

    @property
    def blind_networks(self) -> list[Callable[[Tensor], Tensor]]:
        return [partial(self.blind, hole=self.hole)] if self.hole else []

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        x = 255 * random_dihedral(noisy)
        stage, _ = stage_of(progress)
        if stage == 0:
            return (self.blind(x, self.hole) - x).abs().mean()
        with torch.no_grad():
            b = self.blind(x, self.hole)
        if stage == 1:
            return (self.lan(x) - b).abs().mean()
        with torch.no_grad():
            sharp, alpha = self.lan(x), texture(b, self.flat, self.textured)
        u = self.network(x)
        return ((1 - alpha) * (u - b).abs() + alpha * (u - sharp).abs()).mean()

    def learning_rate(self, progress: float) -> float:
        _, within = stage_of(progress)
        return self.lr * 0.5 * (1 + cos(pi * within))

    def denoise(self, noisy: Tensor) -> Tensor:
        return in_tiles(self.network, 255 * noisy, self.tile, REACH, MULTIPLE) / 255


def stage_of(progress: float) -> tuple[int, float]:
    """Which stage `progress` falls into, 0 to 2, and the trained fraction of it."""
    stage = floor(STAGES * progress + 1e-9)
    return stage, max(STAGES * progress - stage, 0.0)


def texture(b: Tensor, flat: float, textured: float) -> Tensor:
    """How textured each pixel is: (N, C, H, W) in [0, 255] -> (N, 1, H, W) in (0, 1), below 0.5 where flat.

    By the population standard deviation of the channels' mean in the 7 x 7 pixels around it, reflected at the borders.
    """
    grey = pad_by_reflection(b.mean(dim=1, keepdim=True), WINDOW // 2)
    std = grey.unfold(-2, WINDOW, 1).unfold(-2, WINDOW, 1).std(dim=(-2, -1), correction=0)
    # The sigmoid's argument is zero between the two bounds.
    return torch.sigmoid((std - flat).clamp(max=0) + (std - textured).clamp(min=0))
