"""Deep Image Prior, with the stopping rules ES-WMV and ES-EMV."""

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from denoisebench.denoiser import ImageDenoiser
from denoisebench.networks.skip_net import SMALLEST, SkipNet
from denoisebench.ranges import Count, NonNegative, Positive

INPUTS = 32
INPUT_MAX = 0.1
AVERAGE_DECAY = 0.99
EMV_RATE = 0.1
EMV_UNWATCHED = 101

Stop = Literal["es_wmv", "es_emv", "steps"]


class WindowedVariance:
    """The variance of the last `length` images about their mean, averaged over values; None until there are so many.

    Kept as running sums in float64, so that an image costs no more than two images' worth of additions.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._seen = 0
        self._images = torch.empty(0)
        self._sum = torch.empty(0)
        self._squares = torch.empty(0)

    def __call__(self, image: Tensor) -> Tensor | None:
        if self._seen == 0:
            self._images = image.new_zeros(self.length, *image.shape)
            self._sum = torch.zeros_like(image, dtype=torch.float64)
            self._squares = torch.zeros((), dtype=torch.float64, device=image.device)
        oldest = self._images[self._seen % self.length]
        new, old = image.double(), oldest.double()
        self._sum += new - old
        self._squares += new.square().sum() - old.square().sum()
        oldest.copy_(image)
        self._seen += 1
        if self._seen < self.length:
            return None
        return (self._squares / self.length - (self._sum / self.length).square().sum()) / image.numel()


class MovingVariance:
    """The exponentially weighted variance of images about their moving mean, summed over values; None at first."""

    def __init__(self) -> None:
        self._seen = 0
        self.mean = torch.empty(0)
        self._variance = torch.empty(0)

    def __call__(self, image: Tensor) -> Tensor | None:
        if self._seen == 0:
            self.mean = image.clone()
            self._variance = torch.zeros((), dtype=torch.float64, device=image.device)
        else:
            difference = image - self.mean
            self.mean = (self.mean + EMV_RATE * difference).clamp(0, 1)
            squares = difference.double().square().sum()
            self._variance = (1 - EMV_RATE) * (self._variance + EMV_RATE * squares)
        self._seen += 1
        return self._variance if self._seen > EMV_UNWATCHED else None


class _Kept:
    """The image at the smallest score so far, the newest where there is no score. Nothing is kept once patience is over."""

    def __init__(self, patience: int, device: torch.device) -> None:
        self.patience = patience
        self.image: Tensor | None = None
        self.step = torch.zeros((), dtype=torch.int64, device=device)
        self.over = torch.zeros((), dtype=torch.bool, device=device)
        self._best = torch.full((), torch.inf, dtype=torch.float64, device=device)

    def update(self, step: int, score: Tensor | None, image: Tensor) -> None:
        if score is None or self.image is None:
            self.image = image.clone()
            self.step.fill_(step)
        if score is None:
            return
        better = (score < self._best) & ~self.over
        self.image = torch.where(better, image, self.image)
        self.step = torch.where(better, step, self.step)
        self._best = torch.where(better, score, self._best)
        self.over = self.over | (step - self.step >= self.patience)


class DIP(ImageDenoiser):
    """A network fitted to the noisy image from noise alone, and stopped before it fits the noise.

    Ulyanov, Vedaldi, Lempitsky: Deep Image Prior, CVPR 2018, arXiv 1711.10925. Official code:
    https://github.com/DmitryUlyanov/deep-image-prior at 042e0d4. Stopping: Wang, Li, Zhuang, Chen, Liang, Sun: Early
    Stopping for Deep Image Prior, TMLR 2023, arXiv 2112.06074; https://github.com/sun-umn/Early_Stopping_for_DIP at
    877d994. No rule looks at the clean image.

    Symbols: x_0 -> noisy, z -> input, f -> network, W -> window, P -> patience.

    channels, features: of the `SkipNet`.
    input_std: of the normal noise that is added to z at each step. Published: 1/30; 1/20 at sigma 50.
    stop: `es_wmv` keeps the output at the smallest variance of the last W outputs; `es_emv` at the smallest moving variance,
        from the 102nd step on; both until P steps brought no smaller one. `steps` goes on to the last step.
    window, patience: W and P.
    average: `ema`, the exponential average of the outputs up to the kept step (decay 0.99; with `es_emv` its own
        mean, decay 0.9), or `last`, the output of that step.
    steps: of training, for each image, at most. Published: 5000 with a stopping rule, 3000 without.
    lr: Adam's learning rate.

    `es_wmv` keeps W outputs in memory: half a gigabyte for colour images of 768 x 512.

    Deviations from the released code: the release of ES only reports the stopping step, here the result is the output of that
    step with `average=last`, and by default the average up to it (stopping is judged by single outputs either way); no return
    to the last weights when the fit worsens suddenly (ES has none either); the noisy image is not clipped to [0, 1], though f
    cannot follow it further; images are not cropped to multiples of 32; before W outputs (101 with `es_emv`) were seen the
    newest is kept; `input_std` is 1/30 at sigma 50 too: choosing it by the true sigma would be an oracle.
    """

    family = "network prior"
    smallest = SMALLEST

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 128,
        input_std: NonNegative = 1 / 30,
        stop: Stop = "es_wmv",
        window: Count = 100,
        patience: Count = 1000,
        average: Literal["ema", "last"] = "ema",
        steps: Count = 5000,
        lr: Positive = 0.01,
    ) -> None:
        super().__init__()
        if stop not in ("es_wmv", "es_emv", "steps"):
            raise ValueError(f"method.stop is es_wmv, es_emv or steps, got {stop!r}")
        if average not in ("ema", "last"):
            raise ValueError(f"method.average is ema or last, got {average!r}")
        if window < 2 or patience < 1 or steps < 1 or input_std < 0:
            raise ValueError(
                "method.window is 2 or more, method.patience and method.steps are 1 or more, method.input_std is 0 or more, "
                f"got {window}, {patience}, {steps} and {input_std}"
            )
        self.network = SkipNet(channels, INPUTS, features)
        self.input_std = input_std
        self.stop: Stop = stop
        self.window = window
        self.patience = patience
        self.average: Literal["ema", "last"] = average
        self.num_steps = steps
        self.lr = lr
        self._forget(torch.device("cpu"))

    def _forget(self, device: torch.device) -> None:
        self._input = torch.empty(0)
        self._variance = {"es_wmv": WindowedVariance(self.window), "es_emv": MovingVariance(), "steps": None}[self.stop]
        self._average: Tensor | None = None
        self._kept = _Kept(self.patience, device)
        self._step = 0

    def reset(self, noisy: Tensor) -> None:
        height, width = noisy.shape[-2:]
        if min(height, width) < self.smallest:
            raise ValueError(f"method=dip needs images of at least {self.smallest} x {self.smallest}, got {height} x {width}")
        self._forget(noisy.device)
        self.network.reset()
        self._input = INPUT_MAX * torch.rand(1, INPUTS, height, width, dtype=noisy.dtype, device=noisy.device)

    @property
    def chosen(self) -> Mapping[str, float | str]:
        """`stop_step`: how many steps had been made when the kept output was."""
        return {"stop_step": int(self._kept.step)} if self._step else {}

    def finished(self) -> Tensor:
        return self._kept.over

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        output = self.network(self._input + self.input_std * torch.randn_like(self._input))
        self._follow(output.detach().to(noisy.dtype))
        return F.mse_loss(output, noisy)

    def _follow(self, output: Tensor) -> None:
        """Take note of the output of one more step, without reading anything from the device."""
        self._step += 1
        self._average = output if self._average is None else self._average.lerp(output, 1 - AVERAGE_DECAY)
        score = self._variance(output) if self._variance else None
        if self.average == "last":
            candidate = output
        else:
            candidate = self._variance.mean if isinstance(self._variance, MovingVariance) else self._average
        self._kept.update(self._step, score, candidate)

    def predict(self, noisy: Tensor) -> Tensor:
        assert self._kept.image is not None
        return self._kept.image
