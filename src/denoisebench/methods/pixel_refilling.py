"""Pixel refilling."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.denoiser import ImageDenoiser
from denoisebench.networks.dbsn import DBSN
from denoisebench.ranges import Between, Count, NonNegative, Number, Positive
from denoisebench.sampling import bernoulli_mask, mosaic_down, mosaic_up
from denoisebench.tiling import pad_to_multiple

PATCH = 8
STRIDE = 2
DISTANCES = 2**25  # held at a time


def refill_image(image: Tensor) -> Tensor:
    """Each 8 x 8 patch of an image replaced by the most similar one of its half-size version, overlaps averaged.

    (1, C, H, W) -> the same shape, for even sides of 16 and more. Patches have all channels, start at every second pixel,
    and are compared by squared differences; half the size is the mean of 2 x 2. Memory: the patches of the half-size version,
    and 2 ** 25 distances (or those of one row of patches), a few times over.
    """
    height, width = image.shape[-2:]
    coarse = F.unfold(F.avg_pool2d(image, 2), PATCH, stride=STRIDE)[0]
    rows_of_patches, across = ((side - PATCH) // STRIDE + 1 for side in (height, width))
    rows = max(1, DISTANCES // (coarse.shape[1] * across))
    total, count = torch.zeros_like(image), torch.zeros_like(image[:, :1])
    for first in range(0, rows_of_patches, rows):
        last = min(first + rows, rows_of_patches) - 1
        region = slice(first * STRIDE, last * STRIDE + PATCH)
        found = coarse[:, _nearest(F.unfold(image[..., region, :], PATCH, stride=STRIDE)[0], coarse)]
        size = (region.stop - region.start, width)
        total[..., region, :] += F.fold(found[None], size, PATCH, stride=STRIDE)
        count[..., region, :] += F.fold(torch.ones_like(found[None, : PATCH**2]), size, PATCH, stride=STRIDE)
    return total / count


def _nearest(patches: Tensor, candidates: Tensor) -> Tensor:
    """Which of the candidates, (values, M), is nearest to each of the patches, (values, L)."""
    middle = candidates.mean()  # products of values about zero lose fewer digits
    centred = candidates - middle
    # What all candidates of a patch share, its own square, is left out.
    with torch.autocast(patches.device.type, enabled=False):
        distances = torch.addmm(centred.square().sum(0), (patches - middle).T, centred, alpha=-2)
    return distances.argmin(1)


class PixelRefilling(ImageDenoiser):
    """A blind-spot network trained on one image, with most values refilled from a coarser version of it.

    Guo et al.: Zero-Shot Blind-Spot Image Denoising via Pixel Refilling, NeurIPS 2025 (no arXiv version found). Official
    code: https://github.com/QilnnGuo/Denoising-NLR at 72c1d2b.

    Symbols: x -> noisy, y~ -> `refill_image` of it, b -> mask, u -> refilled, f -> network, PD_2 -> `mosaic_down` by pd.

    channels, features, modules: of the `DBSN`; 504,803 parameters at C = 3, F = 64, 4 modules.
    refill: the probability that a value is replaced. Published: 0.7 for real noise, 0.5 for independent noise.
    pd: stride of the pixel-shuffle downsampling. Published: 2 for real noise, 1 (none, and no consistency) for independent
        noise.
    consistency: weight of the distance between the outputs with and without downsampling.
    steps: of training, for each image.
    passes: outputs averaged, each with a fresh mask.
    lr: Adam's first learning rate; it falls to zero as a cosine.

    Refill and pd follow the kind of noise that a run names, not its level; the photographs' commands take those of real noise.

    Deviations from the released code: sides that are no multiple of pd and of 2 grow by reflection (the release leaves a
    border of the auxiliary image black there); the last weights are used, as for the published numbers, and not the best
    by the clean image, which the scripts print too. The release's second network, a U-Net, is left out.
    """

    family = "masking"
    smallest = 2 * PATCH

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 64,
        modules: Count = 4,
        refill: Between = 0.7,
        pd: Count = 2,
        consistency: NonNegative = 0.2,
        steps: Number = 2001,
        passes: Count = 10,
        lr: Positive = 1e-4,
    ) -> None:
        super().__init__()
        if not 0 < refill < 1:
            raise ValueError(f"method.refill is between 0 and 1, got {refill}")
        if pd < 1 or steps < 0 or passes < 1:
            raise ValueError(
                f"method.pd and method.passes are 1 or more, method.steps is 0 or more, got {pd}, {passes} and {steps}"
            )
        self.network = DBSN(channels, features, modules)
        self.refill = refill
        self.pd = pd
        self.consistency = consistency
        self.num_steps = steps
        self.passes = passes
        self.lr = lr
        self._auxiliary = torch.empty(0)

    @property
    def averaged(self) -> int:
        return self.passes

    def reset(self, noisy: Tensor) -> None:
        height, width = noisy.shape[-2:]
        if min(height, width) < self.smallest:
            raise ValueError(
                f"method=pixel_refilling needs images of at least {self.smallest} x {self.smallest}, got {height} x {width}"
            )
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        self._auxiliary = refill_image(self._grown(noisy))

    def _grown(self, noisy: Tensor) -> Tensor:
        return pad_to_multiple(noisy, math.lcm(STRIDE, self.pd))

    def refilled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A fresh mask, 1 where a value is refilled, and the refilled image: both of the shape of x, which has grown."""
        kept = bernoulli_mask(x.contiguous(), self.refill)
        return 1 - kept.to(x.dtype), torch.where(kept, x, self._auxiliary)

    def _downsampled(self, u: Tensor) -> Tensor:
        """The network's output for the sub-images side by side, put back."""
        return mosaic_up(self.network(mosaic_down(u, self.pd, 0)), self.pd, 0)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        x = self._grown(noisy)
        masked, u = self.refilled(x)
        output = self._downsampled(u)
        loss = (masked * (output - x)).abs().mean()
        if self.pd == 1:
            return loss
        return loss + self.consistency * (masked * (output - self.network(u))).abs().mean()

    def learning_rate(self, progress: float) -> float:
        return self.lr * (1 + math.cos(math.pi * progress)) / 2

    def predict(self, noisy: Tensor) -> Tensor:
        height, width = noisy.shape[-2:]
        x = self._grown(noisy)
        total = torch.zeros_like(x)
        for _ in range(self.passes):
            total += self._downsampled(self.refilled(x)[1])
        return (total / self.passes).clamp(0, 1)[..., :height, :width]
