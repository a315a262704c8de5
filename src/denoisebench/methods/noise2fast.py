"""Noise2Fast."""

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.denoiser import ImageDenoiser
from denoisebench.networks.conv_stack import ConvStack
from denoisebench.ranges import Count, Positive
from denoisebench.sampling import check_size, chequerboard_halves

KEPT_BEFORE = 4
RESTART_LR = 5e-6
FEW_PIXELS = 25


class Outputs:
    """The mean of a network's outputs around the one nearest to the noisy image, without reading any from the device.

    It takes the nearest output, the 4 before it and `patience` after it, and stops with the next one. If it has not stopped
    after `most` outputs, it takes as many, the last ones.
    """

    def __init__(self, patience: int, most: int, like: Tensor) -> None:
        self.patience = patience
        self._until_last = most - (KEPT_BEFORE + 1 + patience)
        self._last, self._last_count = torch.zeros_like(like), 0
        self.best = like.new_full((), torch.inf)
        self.since = torch.zeros((), dtype=torch.int64, device=like.device)
        self.steps = torch.zeros_like(self.since)
        self.total, self.count = torch.zeros_like(like), torch.zeros_like(self.since)
        self._recent: list[Tensor] = []

    @property
    def stopped(self) -> Tensor:
        return self.since > self.patience

    def add(self, output: Tensor, distance: Tensor) -> None:
        running = ~self.stopped
        better = running & (distance < self.best)
        self.since = torch.where(better, 0, self.since + 1)
        self.steps += running
        counts = self.since <= self.patience
        # The newest of those that stop it is left out.
        self.total = torch.where(better, sum(self._recent, output), self.total + torch.where(counts, output, 0))
        self.count = torch.where(better, len(self._recent) + 1, self.count + counts)
        self.best = torch.where(better, distance, self.best)
        self._recent = [*self._recent[1 - KEPT_BEFORE :], output]
        self._until_last -= 1
        if self._until_last < 0:
            self._last += output
            self._last_count += 1

    def mean(self) -> Tensor:
        """Of the outputs around the nearest; of the last ones where none was the nearest for long enough."""
        around = self.total / self.count
        return torch.where(self.stopped, around, self._last / self._last_count) if self._last_count else around


class Noise2Fast(ImageDenoiser):
    """A small network trained on the two colours of a chequerboard, until its output stops approaching the noisy image.

    Lequyer, Philip, Sharma, Hsu, Pelletier: A fast blind zero-shot denoiser, Nature Machine Intelligence 2022,
    arXiv 2108.10209. Official code: https://github.com/jason-lequyer/Noise2Fast at 8b24469.

    Symbols: y -> noisy, f -> networks, (h1, h2), (v1, v2) -> `chequerboard_halves`.

    channels, features: of the image, and the width of the `ConvStack`s; eight layers, ReLU.
    networks: `each`, one for each channel (released), or `joint`, one for all channels (a third of the price).
    objective: `squared_error` on values of mean 0 and standard deviation 1 (the released program for colour), or
        `cross_entropy` on values from 0 to 1 and a sigmoid (the one for gray images).
    patience: steps in a row without an output nearer to the noisy image; training stops with the next one.
    steps: the most, for each image. With correlated noise the outputs come nearer and nearer.
    lr: Adam's learning rate, constant.

    Nothing but the noisy image decides when to stop; `chosen` has the steps.

    Deviations from the released code: `networks=joint`; the most steps, after which the mean is that of the last 105 outputs;
    a mean over fewer outputs than 105 is one over those there are (the release averages zeros in); the restart of a network
    with a constant output, at a learning rate of 5e-6, counts grey levels of the 0-255 scale whatever the values; the result
    is not rounded.
    """

    family = "sub-sampling"
    smallest = 2

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 64,
        networks: Literal["each", "joint"] = "each",
        objective: Literal["squared_error", "cross_entropy"] = "squared_error",
        patience: Count = 100,
        steps: Count = 5000,
        lr: Positive = 1e-3,
    ) -> None:
        super().__init__()
        if networks not in ("each", "joint") or objective not in ("squared_error", "cross_entropy"):
            raise ValueError(
                "method.networks must be each or joint and method.objective squared_error or cross_entropy, "
                f"got {networks!r} and {objective!r}"
            )
        if steps < 1 or patience < 1:
            raise ValueError(f"method.steps and method.patience must be 1 or more, got {steps} and {patience}")
        groups = channels if networks == "each" else 1
        self.networks = nn.ModuleList(ConvStack(channels // groups, features, layers=8, slope=0) for _ in range(groups))
        self.objective = objective
        self.patience = patience
        self.num_steps = steps
        self.lr = self._lr = lr
        self._outputs: list[Outputs] = []
        self._stopped: list[Tensor] = []
        self._running: list[int] = []

    @property
    def chosen(self) -> Mapping[str, float | str]:
        """Steps of the training that gave the result; of several networks, in the order of the channels.

        Of a joint network with a constant channel they are those of its second training.
        """
        steps = [int(steps) for steps in self._stopped]
        return {"stop_step": steps[0] if len(steps) == 1 else " ".join(map(str, steps))} if steps else {}

    def reset(self, noisy: Tensor) -> None:
        check_size(noisy, self.smallest)
        for network in self.networks:
            assert isinstance(network, ConvStack)
            network.reset()
        self._shift, self._scale = self._range(noisy)
        values = (noisy - self._shift) / torch.where(self._scale == 0, 1, self._scale)
        self._images = values.chunk(len(self.networks), dim=1)
        self._pairs = [_ordered_pairs(image) for image in self._images]
        self._outputs = [Outputs(self.patience, self.num_steps, image) for image in self._images]
        self._running = list(range(len(self.networks)))
        self._step = 0

    def _range(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """What is taken from each channel, and what it is then divided by: both (1, C, 1, 1)."""
        if self.objective == "cross_entropy":
            low, high = noisy.amin((2, 3), keepdim=True), noisy.amax((2, 3), keepdim=True)
            return low, high - low
        return noisy.mean((2, 3), keepdim=True), noisy.std((2, 3), correction=0, keepdim=True)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        if self._step:
            self._look()
        self._step += 1
        return torch.stack([self._pair_loss(index) for index in self._running]).sum()

    def _pair_loss(self, index: int) -> Tensor:
        """Of one network, for one of its four ordered pairs."""
        source, target = self._pairs[index][_drawn_pair()]
        output = self.networks[index](source)
        if self.objective == "cross_entropy":
            return F.binary_cross_entropy_with_logits(output, target)
        return F.mse_loss(output, target)

    @torch.no_grad()
    def _look(self) -> None:
        """Take in what the networks make of the whole image after their last step."""
        for index in self._running:
            output = self.networks[index](self._images[index])
            output = (output.sigmoid() if self.objective == "cross_entropy" else output).to(self._shift.dtype)
            self._outputs[index].add(output, (output - self._images[index]).square().mean())

    def finished(self) -> bool:
        self._running = [index for index in self._running if not self._outputs[index].stopped]
        return not self._running

    def learning_rate(self, progress: float) -> float:
        return self._lr

    def _learn(self, image: Tensor) -> None:
        """Train; once more at a tiny rate for the channels whose output became constant, all units of ReLU being dead."""
        self._lr = self.lr
        super()._learn(image)
        self._result, dead = self._averaged(image)
        self._stopped = [outputs.steps for outputs in self._outputs]
        if dead.any():
            self._lr = RESTART_LR
            self.reset(image)
            super()._learn(image)
            self._result = torch.where(dead, self._averaged(image)[0], self._result)
            anew = [bool(own.any()) for own in dead.chunk(len(self.networks), dim=1)]
            self._stopped = [
                outputs.steps if again else steps
                for outputs, again, steps in zip(self._outputs, anew, self._stopped, strict=True)
            ]

    def _averaged(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The result, and which of its channels are constant where the image's are not: (1, C, 1, 1)."""
        self._look()
        mean = torch.cat([outputs.mean() for outputs in self._outputs], dim=1)
        result = torch.where(self._scale == 0, image, mean * self._scale + self._shift)
        inner = 255 * result[..., 1:-1, 1:-1]
        above = inner - inner.mean((2, 3), keepdim=True) > 0.5
        return result, (above.sum((2, 3), keepdim=True) <= FEW_PIXELS) & (self._scale > 0)

    def predict(self, noisy: Tensor) -> Tensor:
        return self._result


def _drawn_pair() -> int:
    """Drawn on the CPU, so that no step waits for a device."""
    return int(torch.randint(4, ()))


def _ordered_pairs(image: Tensor) -> list[tuple[Tensor, Tensor]]:
    h1, h2, v1, v2 = chequerboard_halves(image)
    return [(h1, h2), (h2, h1), (v1, v2), (v2, v1)]
