"""When to stop, by a self-supervised loss of noisy images that the training does not see."""

import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from denoisebench.batch import Batch
from denoisebench.datasets.training import Holdout
from denoisebench.denoiser import DatasetDenoiser
from denoisebench.seeding import isolated_rng, seed_from
from denoisebench.tracking.about import Live


class HeldOut(pl.Callback):
    """Takes the method's own loss of held-out noisy batches every so many steps, keeps the weights of the lowest, and ends the
    training once it has not fallen for `patience` readings.

    The batches, the draws of the loss and its `progress` (that of the last step) are the same at every reading. Curve, best
    weights and seconds travel in the checkpoint.
    """

    def __init__(self, batches: Sequence[Batch], how: Holdout | None, seed: int, live: Live = lambda part, points: None) -> None:
        self.batches, self.how, self.seed, self.live = batches, how, seed, live
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Tensor] | None = None
        self.seconds = 0.0
        self.ended = False

    def state_dict(self) -> dict[str, Any]:
        return {"curve": self.curve, "best": self.best, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.curve, self.best, self.seconds = state_dict["curve"], state_dict["best"], state_dict["seconds"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if self.how is None or not (step % self.how.every == 0 or step == trainer.max_steps):
            return
        assert isinstance(pl_module, DatasetDenoiser)
        began = time.monotonic()
        self._read(step, self._loss(trainer, pl_module), pl_module)
        self.seconds += time.monotonic() - began
        if self._since_best() >= self.how.patience:
            trainer.should_stop = self.ended = True

    def _loss(self, trainer: pl.Trainer, method: DatasetDenoiser) -> float:
        progress = (trainer.max_steps - 1) / trainer.max_steps
        method.eval()
        with isolated_rng(seed_from(self.seed, "held out")), torch.no_grad(), trainer.precision_plugin.forward_context():
            losses = [method.loss(batch.noisy.to(method.device), progress).double() for batch in self.batches]
        method.train()
        return torch.stack(losses).mean().item()

    def _read(self, step: int, loss: float, method: pl.LightningModule) -> None:
        if all(loss < point["loss"] for point in self.curve):
            self.best = {name: value.detach().cpu().clone() for name, value in method.state_dict().items()}
        self.curve.append({"step": step, "loss": loss})
        self.live("holdout", self.curve)

    def _since_best(self) -> int:
        losses = [point["loss"] for point in self.curve]
        return len(losses) - 1 - losses.index(min(losses))
