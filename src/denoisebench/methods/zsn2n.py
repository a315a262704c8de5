"""ZS-N2N, Zero-Shot Noise2Noise."""

from collections.abc import Sequence

import torch
from torch import Tensor

from denoisebench.denoiser import ImageDenoiser
from denoisebench.networks.conv_stack import ConvStack
from denoisebench.networks.pair_loss import pair_loss
from denoisebench.ranges import Between, Count, Number, Positive
from denoisebench.sampling import check_size, diagonal_pair


class ZSN2N(ImageDenoiser):
    """A tiny network trained on the two diagonal sub-images of one noisy image, each the target of the other.

    Mansour, Heckel: Zero-Shot Noise2Noise: Efficient Image Denoising without any Data, CVPR 2023, arXiv 2303.11253.
    Official code: a notebook, linked from the paper; as a script: https://github.com/Li-Tong-621/ZS-N2N at 6346169.

    Symbols: y -> noisy, f -> network (predicts the noise), (D1, D2) -> `diagonal_pair`.

    channels, features: of the `ConvStack`; two layers, LeakyReLU 0.2.
    steps: of training, for each image.
    halvings: fractions of the training after which the learning rate is halved. The script has [0.75] of 2000 steps; copies
        of the notebook with 3000 steps have [1/3, 2/3].
    lr: Adam's first learning rate.

    Use precision=32: on a CPU, bfloat16 convolutions of three channels are many times slower.

    Deviations from the released code: initial weights follow the run's seed. The scripts clip the noisy image to [0, 1]:
    here that is the noise model's choice (`noise.clip=true`).
    """

    family = "sub-sampling"
    smallest = 2
    replayed = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 48,
        steps: Number = 2000,
        halvings: Sequence[Between] = (0.75,),
        lr: Positive = 1e-3,
    ) -> None:
        super().__init__()
        if steps < 0:
            raise ValueError(f"method.steps must be 0 or more, got {steps}")
        self.network = ConvStack(channels, features, layers=2, slope=0.2)
        self.num_steps = steps
        self.halvings = tuple(halvings)
        self.lr = lr
        self._pair = torch.empty(0)

    def reset(self, noisy: Tensor) -> None:
        check_size(noisy, self.smallest)
        self.network.reset()
        # Nothing in it changes from step to step; one pass takes both halves.
        self._pair = diagonal_pair(noisy)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        predicted = self._pair - self.network(self._pair)
        return pair_loss(self._pair, predicted, noisy - self.network(noisy))

    def learning_rate(self, progress: float) -> float:
        return self.lr * 0.5 ** sum(progress >= fraction for fraction in self.halvings)

    def predict(self, noisy: Tensor) -> Tensor:
        return (noisy - self.network(noisy)).clamp(0, 1)
