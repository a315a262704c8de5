"""Self2Self."""

from typing import Literal

import torch
from torch import Tensor

from denoisebench.denoiser import ImageDenoiser
from denoisebench.networks.noise2noise_unet import PartialUNet, Ratio
from denoisebench.ranges import Between, Count, NonNegative, Number, Positive
from denoisebench.sampling import bernoulli_mask

BYTES_PER_PIXEL = 8192  # of one pass, 48 features, float32, as in Self2Self+
CPU_BYTES, GPU_BYTES = 2**27, 2**31
AVERAGE_DECAY = 0.99


def flipped(x: Tensor, draw: Tensor) -> Tensor:
    """(N, C, H, W), each image upside down and mirrored where `draw`, bool (2, N, 1, 1, 1), says so; its own inverse."""
    upside_down, mirrored = draw.unbind()
    x = torch.where(upside_down, x.flip(-2), x)
    return torch.where(mirrored, x.flip(-1), x)


class Self2Self(ImageDenoiser):
    """A partial-convolution network trained on one image to predict values that a mask dropped; averages over masks and dropout.

    Quan, Chen, Pang, Ji: Self2Self With Dropout: Learning Self-Supervised Denoising From Single Image, CVPR 2020 (no arXiv
    version found). Official code: https://github.com/scut-mingqinchen/self2self at a512a2e.

    Symbols: y -> noisy, b -> mask, F -> network, N -> passes, p of the mask -> mask_drop, of the dropout -> drop.

    channels, features, drop, ratio: of the `PartialUNet`. Published: drop 0.3; for BSD68 at sigma 25 it is 0.2.
    mask_drop: the probability that a value of the input is dropped, for pixels and channels apart.
    photons: the masked input is resampled as Poisson counts at that many photons per unit; null leaves it. Published: 25
        for real noise.
    result: `passes`, the mean of N passes, each with a fresh flip, mask and dropout, or `training`, the exponential average of
        all outputs of the training (decay 0.99), as published for PolyU.
    steps: of training, for each image.
    passes, passes_per_batch: N, and how many of them at a time; null: by the pixels of the image, for 2 GiB of a
        GPU. Released: 100; the paper has 50.
    lr, lr_decay: Adam's learning rate; `constant` (the released code), or `linear` to zero.

    Deviations from the released code: the kernels that count known values are not trained; the count is divided by the number
    of channels (`ratio=released` leaves that out); masks are padded as the image is, by reflection and once, so that skips
    stay aligned; any size is denoised; the result is not truncated to 8 bit; the weights of the average of
    `training` sum to 1 from the first output on.
    """

    family = "masking"

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 48,
        drop: NonNegative = 0.3,
        ratio: Ratio = "usual",
        mask_drop: Between = 0.3,
        photons: Positive | None = None,
        result: Literal["passes", "training"] = "passes",
        steps: Number = 150_000,
        passes: Count = 100,
        passes_per_batch: Count | None = None,
        lr: Positive = 1e-4,
        lr_decay: Literal["constant", "linear"] = "constant",
    ) -> None:
        super().__init__()
        if not (0 <= drop < 1 and 0 < mask_drop < 1):
            raise ValueError(f"method.drop is 0 or more, method.mask_drop above 0, both below 1, got {drop} and {mask_drop}")
        if photons is not None and photons <= 0:
            raise ValueError(f"method.photons is above 0, or null, got {photons}")
        if result not in ("passes", "training"):
            raise ValueError(f"method.result is passes or training, got {result!r}")
        if steps < (result == "training") or passes < 1 or (passes_per_batch is not None and passes_per_batch < 1):
            raise ValueError(
                "method.steps is 0 or more (1 with method.result=training), method.passes and method.passes_per_batch are 1 "
                f"or more, got {steps}, {passes} and {passes_per_batch}"
            )
        network = PartialUNet(channels, features, drop, ratio)
        self.network = network.to(memory_format=torch.channels_last)
        self.mask_drop = mask_drop
        self.photons = photons
        self.result = result
        self.num_steps = steps
        self.passes = passes
        self.passes_per_batch = passes_per_batch
        self.lr = lr
        self.lr_decay = lr_decay
        self._average, self._outputs = torch.empty(0), 0

    @property
    def averaged(self) -> int:
        return 1 if self.result == "training" else self.passes

    def reset(self, noisy: Tensor) -> None:
        self.network.reset()
        self._average, self._outputs = torch.zeros_like(noisy), 0

    def masked_pass(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """A fresh mask, 1 where a value is kept, and what the network makes of these values: both (N, C, H, W).

        The network sees each image in a random flip, which is undone.
        """
        turn = torch.rand(2, len(noisy), 1, 1, 1, device=noisy.device) < 0.5
        mask = bernoulli_mask(noisy.contiguous(), self.mask_drop).to(noisy.dtype)
        masked = mask * flipped(noisy, turn)
        if self.photons is not None:
            masked = torch.poisson(self.photons * masked.clamp(min=0)) / self.photons
        return flipped(mask, turn), flipped(self.network(masked, mask), turn)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        mask, predicted = self.masked_pass(noisy)
        if self.result == "training":
            output = predicted.detach().to(noisy.dtype)
            self._outputs += 1
            self._average = self._average.lerp(output, (1 - AVERAGE_DECAY) / (1 - AVERAGE_DECAY**self._outputs))
        dropped = 1 - mask
        # A very small image can lose nothing: then there is nothing to predict.
        return ((predicted - noisy).square() * dropped).sum() / dropped.sum().clamp(min=1)

    def learning_rate(self, progress: float) -> float:
        return self.lr * (1 - progress) if self.lr_decay == "linear" else self.lr

    def predict(self, noisy: Tensor) -> Tensor:
        if self.result == "training":
            return self._average
        size = self.passes_per_batch or self._passes_at_once(noisy)
        total = torch.zeros_like(noisy)
        for start in range(0, self.passes, size):
            count = min(size, self.passes - start)
            total += self.masked_pass(noisy.expand(count, -1, -1, -1))[1].sum(dim=0, keepdim=True)
        return total / self.passes

    def _passes_at_once(self, noisy: Tensor) -> int:
        """As many as fit into a fixed share of memory: draws must not depend on which GPU it is, or on what else is on it."""
        room = GPU_BYTES if noisy.is_cuda else CPU_BYTES
        return max(1, room // (BYTES_PER_PIXEL * noisy.shape[-2] * noisy.shape[-1]))
