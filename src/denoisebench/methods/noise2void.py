"""Noise2Void and N2V2."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.masking import Marks, beside, draw_marks, draw_neighbor_values, window_statistic
from denoisebench.networks import laine_unet, n2v_unet
from denoisebench.networks.laine_unet import Init, LaineUNet
from denoisebench.networks.n2v_unet import N2VUNet
from denoisebench.ranges import Count, Positive
from denoisebench.tiling import in_tiles


class Noise2Void(DatasetDenoiser):
    """A few pixels are replaced by neighbours, and the network predicts their original values.

    Krull, Buchholz, Jug: Noise2Void - Learning Denoising from Single Noisy Images, CVPR 2019, arXiv 1811.10980; options of
    Höck et al.: N2V2, arXiv 2211.08512, and of Broaddus et al.: Removing Structured Noise with Self-Supervised
    Blind-Spot Networks, ISBI 2020. Official code: https://github.com/juglab/n2v at c61b3b4.

    Symbols: x -> noisy, f -> network.

    network: `laine`, the `LaineUNet` that comparisons on photographs use; `paper`; or `n2v2`.
    features: width of the network; None: 48 for `laine`, 96 for the others. init: of the `LaineUNet` alone.
    residual: the network gives the difference to its input; of `paper` alone.
    box: one pixel is replaced in each box x box pixels. radius: of the window that its new value comes from.
    replacement: `uniform`, a pixel of the window or itself; `other`, never itself; `mean` or `median` (N2V2) of the others.
    joint_channels: replace all channels of a pixel together, as noise that is alike in them needs.
    structure: also hide what is beside a replaced pixel in its `rows`, its `columns` or `both`, up to `structure_radius`
        pixels away, by uniform random values in [0, 1].
    norm: of the loss, `square` or `absolute`.
    ensemble: denoise in the 8 flips and rotations, and take the mean.
    lr, lr_decay: Adam's learning rate; `cosine` or `linear` to zero.

    Deviations from the released code: `paper` and `n2v2` normalise by mean 0.5 and standard deviation 0.25, not by those of
    the training set, `laine` not at all; training images are neither flipped nor rotated; the learning rate follows a
    cosine, not plateaus of a validation loss, and the last weights count; one network for all channels; kernels of 3.
    """

    family = "masking"
    tiles = True

    def __init__(
        self,
        channels: Count = 3,
        network: Literal["laine", "paper", "n2v2"] = "laine",
        features: Count | None = None,
        init: Init = "default",
        residual: bool = False,
        box: Count = 8,
        radius: Count = 5,
        replacement: Literal["uniform", "other", "mean", "median"] = "uniform",
        joint_channels: bool = False,
        structure: Literal["none", "rows", "columns", "both"] = "none",
        structure_radius: Count = 5,
        norm: Literal["square", "absolute"] = "square",
        ensemble: bool = False,
        lr: Positive = 4e-4,
        lr_decay: Literal["cosine", "linear"] = "cosine",
    ) -> None:
        super().__init__()
        if box < 1 or radius < 1 or structure_radius < 1:
            raise ValueError(f"method.box, radius and structure_radius are 1 or more, got {box}, {radius} and {structure_radius}")
        if residual and network != "paper":
            raise ValueError(f"method.residual=true is of method.network=paper, not of {network}")
        self.network = _network(network, channels, features, init, residual).to(memory_format=torch.channels_last)
        of = laine_unet if network == "laine" else n2v_unet
        self.reach, self.multiple = of.REACH, of.MULTIPLE
        self.box = box
        self.radius = radius
        self.replacement = replacement
        self.joint_channels = joint_channels
        self.structure: Literal["none", "rows", "columns", "both"] = structure
        self.structure_radius = structure_radius
        self.norm = norm
        self.ensemble = ensemble
        self.lr = lr
        self.lr_decay = lr_decay

    @property
    def averaged(self) -> int:
        return 8 if self.ensemble else 1

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        marks = draw_marks(noisy, self.box, self.joint_channels)
        error = self.network(self._hidden(noisy, marks)) - noisy
        error = error.square() if self.norm == "square" else error.abs()
        marked = marks.marked.expand_as(noisy)
        # The mean over marked pixels, not all; none is marked where a patch smaller than a box had no luck.
        return torch.where(marked, error, 0).sum() / marked.sum().clamp(min=1)

    def _hidden(self, noisy: Tensor, marks: Marks) -> Tensor:
        """The noisy images with other values at the marked pixels, and beside them if noise has a structure."""
        if self.replacement in ("uniform", "other"):
            values = draw_neighbor_values(noisy, marks, self.radius, itself=self.replacement == "uniform")
        else:
            statistic: Literal["mean", "median"] = "mean" if self.replacement == "mean" else "median"
            values = window_statistic(noisy, marks, self.radius, statistic)
        hidden = torch.where(marks.marked, marks.spread(values), noisy)
        if self.structure == "none":
            return hidden
        return torch.where(beside(marks.marked, self.structure_radius, self.structure), torch.rand_like(noisy), hidden)

    def learning_rate(self, progress: float) -> float:
        return self.lr * (1 - progress if self.lr_decay == "linear" else 0.5 + 0.5 * math.cos(math.pi * progress))

    def denoise(self, noisy: Tensor) -> Tensor:
        if not self.ensemble:
            return self._by_tiles(noisy)
        total = torch.zeros_like(noisy)
        for quarter in range(4):
            turned = noisy.rot90(quarter, (-2, -1))
            both = self._by_tiles(turned) + self._by_tiles(turned.flip(-1)).flip(-1)
            total += both.rot90(-quarter, (-2, -1))
        return total / 8

    def _by_tiles(self, x: Tensor) -> Tensor:
        return in_tiles(self.network, x, self.tile, self.reach, self.multiple)


def _network(name: str, channels: int, features: int | None, init: Init, residual: bool) -> nn.Module:
    if name == "laine":
        return LaineUNet(channels, features or 48, init=init)
    return N2VUNet(channels, features or 96, residual, n2v2=name == "n2v2")
