"""Steps of training on one image: each launched anew, or on a GPU recorded once and replayed.

A small network's step is some dozens of kernels that each take a GPU less time than a CPU takes to launch it. A CUDA graph
launches them all at once.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # steps before one is recorded: they make Adam's state and choose convolutions

Loss = Callable[[float], Tensor]


class Steps:
    """Gradient steps on the loss at a trained fraction; the optimiser's rate is set before each."""

    def __init__(self, optimizer: torch.optim.Optimizer, loss: Loss) -> None:
        self.optimizer, self.loss = optimizer, loss

    def __call__(self, progress: float, rate: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return self._launched(progress)

    def _launched(self, progress: float) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(progress)
        loss.backward()
        self.optimizer.step()
        # Plain autocast keeps its casts of the weights until it is left, and all of the training lies within it;
        # Lightning's keeps none.
        torch.clear_autocast_cache()
        return loss.detach()


class ReplayedSteps(Steps):
    """The same on a GPU, recorded at the fourth step of each phase and replayed from then on.

    phase: a number for each stretch of the training in which every step does the same work on the same tensors, but for its
    draws and the optimiser's rate. Adam's step count and rate are kept on the device, so that results differ from those of
    `Steps` by rounding.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, loss: Loss, phase: Callable[[float], int]) -> None:
        super().__init__(optimizer, loss)
        self.phase = phase
        self._phase, self._steps = -1, 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._loss = torch.empty(0)
        device = optimizer.param_groups[0]["params"][0].device
        self._rate = torch.zeros((), device=device)
        for group in optimizer.param_groups:
            group["capturable"], group["lr"] = True, self._rate

    def __call__(self, progress: float, rate: float) -> Tensor:
        if (phase := self.phase(progress)) != self._phase:
            self._phase, self._steps, self._graph = phase, 0, None
        self._rate.fill_(rate)
        self._steps += 1
        if self._steps <= WARM_UP:
            return self._beside(progress)
        if self._graph is None:
            self._record(progress)
        assert self._graph is not None
        self._graph.replay()
        return self._loss.clone()

    def _beside(self, progress: float) -> Tensor:
        """A step on a stream of its own, as recording asks of those before it."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = self._launched(progress)
        torch.cuda.current_stream().wait_stream(stream)
        return loss

    def _record(self, progress: float) -> None:
        self._graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)  # so that each replay writes gradients and adds to none
        with torch.cuda.graph(self._graph):
            loss = self.loss(progress)
            loss.backward()
            self.optimizer.step()
            self._loss = loss.detach()


def checked_mean(losses: Tensor, done: int) -> float:
    """The mean of the losses of the last steps, of which `done` have been made in all. Raises: FloatingPointError."""
    mean = losses.mean().item()
    if not torch.isfinite(losses).all():
        wrong = int((~torch.isfinite(losses)).nonzero()[0])
        raise FloatingPointError(
            f"the loss of this image was {losses[wrong].item()} at step {done - len(losses) + wrong + 1}: "
            "lower method.lr, or use precision=32"
        )
    return mean
