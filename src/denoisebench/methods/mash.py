"""MASH."""

from collections.abc import Mapping
from math import cos, pi
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from denoisebench.denoiser import ImageDenoiser
from denoisebench.networks.noise2noise_unet import FEATURES, Noise2NoiseUNet
from denoisebench.ranges import Count, NonNegative, Positive
from denoisebench.sampling import bernoulli_mask, check_size, draw_permutations, merge_subsamples, random_subsamples

TILE = 4
PROBES = (0.2, 0.8)
# Of the gap, in grey levels: where the noise counts as independent and as correlated; then the ratio of each case.
RULES = {"released": (1.0, 2.0, (0.1, 0.5, 0.9)), "paper": (1.5, 2.5, (0.2, 0.5, 0.8))}


class MASH(ImageDenoiser):
    """Two blind-spot trainings measure how correlated the noise is; a third masks accordingly, and shuffles flat areas if needed.

    Chihaoui, Favaro: Masked and Shuffled Blind Spot Denoising for Real-World Images, CVPR 2024, arXiv 2404.09389.
    Official code: https://github.com/hamadichihaoui/mash at ff1b1d0.

    Symbols: y -> noisy, b -> mask (1 where a value is kept), tau -> ratio (of values masked), epsilon -> gap, N -> passes.

    channels, features: of the `Noise2NoiseUNet`.
    steps: of each of the three trainings, for each image.
    passes: N, outputs averaged, each with a fresh mask.
    rule: how the gap chooses tau. `released`: below 1 grey level 0.1, from 1 to 2 0.5, above 2 0.9 and shuffling;
        `paper`: 0.2, 0.5, 0.8 with the bounds 1.5 and 2.5.
    shuffle: permit the shuffling.
    shuffle_at: the fraction of the third training after which it begins. 51 of 800 steps (SIDD), 101 of 700 (FMDD).
    flatness: tiles of 4 x 4 pixels whose standard deviation stays below this share of the largest are shuffled. FMDD: 0.1.
    lr: Adam's learning rate, falling to 0 by a cosine in each training.

    The gap is the difference of the standard deviations of residuals (noisy less denoised) at tau 0.2 and 0.8: no clean
    image takes part. `chosen` has tau and the gap.

    Deviations from the released code: any size is denoised; the masked image is padded by reflection, statistics are
    those of the image itself, and pixels beyond the last whole 4 x 4 tile are not shuffled. From the paper: absolute for
    squared error, a share of the largest standard deviation for a bound on it.
    """

    family = "masking"
    smallest = TILE
    replayed = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = FEATURES,
        steps: Count = 800,
        passes: Count = 10,
        rule: Literal["released", "paper"] = "released",
        shuffle: bool = True,
        shuffle_at: NonNegative = 51 / 800,
        flatness: NonNegative = 0.5,
        lr: Positive = 4e-4,
    ) -> None:
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"method.rule must be released or paper, got {rule!r}")
        if steps < 1 or passes < 1:
            raise ValueError(f"method.steps and method.passes must be 1 or more, got {steps} and {passes}")
        self.networks = torch.nn.ModuleList(Noise2NoiseUNet(channels, features) for _ in range(3))
        self.steps = steps
        self.num_steps = 3 * steps
        self.passes = passes
        self.rule = rule
        self.shuffle = shuffle
        self.shuffle_step = max(1, round(shuffle_at * steps))
        self.flatness = flatness
        self.lr = lr
        self._ratio: float | None = None
        self._gap = 0.0

    @property
    def averaged(self) -> int:
        return self.passes

    @property
    def chosen(self) -> Mapping[str, float | str]:
        return {} if self._ratio is None else {"ratio": self._ratio, "gap": self._gap}

    def reset(self, noisy: Tensor) -> None:
        check_size(noisy, self.smallest)
        for network in self.networks:
            assert isinstance(network, Noise2NoiseUNet)
            network.reset()
        self._ratio = None
        self._target = noisy

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        training, step = divmod(round(progress * self.num_steps), self.steps)
        if training < len(PROBES):
            return self.blind_loss(training, noisy, PROBES[training], noisy)
        ratio, shuffled = self.decision(noisy)
        if shuffled and step == self.shuffle_step:
            self._target = self.shuffled(noisy, self.denoised(2, noisy, ratio))
        return self.blind_loss(2, noisy, ratio, self._target)

    def phase(self, progress: float) -> int:
        """The training; the third has a phase until its target is shuffled, the step that does so, and one from then on."""
        training, step = divmod(round(progress * self.num_steps), self.steps)
        return training + (0 if training < len(PROBES) else (step >= self.shuffle_step))

    def blind_loss(self, network: int, noisy: Tensor, ratio: float, target: Tensor) -> Tensor:
        """The error at masked values, as a mean over all values."""
        mask, predicted = self._masked_pass(network, noisy, ratio)
        return ((1 - mask) * (predicted - target)).abs().mean()

    def _masked_pass(self, network: int, noisy: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
        mask = bernoulli_mask(noisy, ratio).to(noisy.dtype)
        return mask, self.networks[network](mask * noisy)

    @torch.no_grad()
    def denoised(self, network: int, noisy: Tensor, ratio: float) -> Tensor:
        """The mean of passes with fresh masks."""
        total = torch.zeros_like(noisy)
        for _ in range(self.passes):
            total += self._masked_pass(network, noisy, ratio)[1]
        return total / self.passes

    def decision(self, noisy: Tensor) -> tuple[float, bool]:
        """tau, and whether to shuffle: chosen once for an image, when the first two networks are trained."""
        if self._ratio is None:
            low, high = ((self.denoised(network, noisy, ratio) - noisy).std(correction=0) for network, ratio in enumerate(PROBES))
            self._gap = 255 * float((low - high).abs())
            independent, correlated, ratios = RULES[self.rule]
            self._ratio = ratios[(self._gap >= independent) + (self._gap > correlated)]
        return self._ratio, self.shuffle and self._gap > RULES[self.rule][1]

    def shuffled(self, noisy: Tensor, denoised: Tensor) -> Tensor:
        """The noisy image with the pixels of each flat tile in another order, the same for all channels."""
        height, width = (side // TILE * TILE for side in noisy.shape[-2:])
        tiled = noisy[..., :height, :width]
        subsamples = random_subsamples(tiled, draw := draw_permutations(tiled, TILE))
        in_order = torch.arange(TILE * TILE, device=noisy.device).view(1, -1, 1, 1).expand_as(draw)
        flat = flat_tiles(denoised[..., :height, :width], self.flatness)
        target = noisy.clone()
        target[..., :height, :width] = torch.where(flat, merge_subsamples(subsamples, in_order), tiled)
        return target

    def learning_rate(self, progress: float) -> float:
        return self.lr * (1 + cos(pi * (3 * progress % 1))) / 2

    def predict(self, noisy: Tensor) -> Tensor:
        return self.denoised(2, noisy, self.decision(noisy)[0])


def flat_tiles(image: Tensor, share: float) -> Tensor:
    """Where a 4 x 4 tile of (1, C, H, W) has no 2 x 2 cell as rough as `share` of the roughest: bool (1, 1, H, W).

    Roughness is the standard deviation of the gray image in each cell. Sides are multiples of 4.
    """
    gray = image.mean(1, keepdim=True)
    deviation = gray - _repeated(F.avg_pool2d(gray, 2), 2)
    roughness = F.avg_pool2d(deviation.square(), 2).sqrt()
    textured = roughness >= share * roughness.max()
    return _repeated(F.max_pool2d(textured.to(image.dtype), 2), TILE) == 0


def _repeated(x: Tensor, times: int) -> Tensor:
    return x.repeat_interleave(times, dim=-2).repeat_interleave(times, dim=-1)
