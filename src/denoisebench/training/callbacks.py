"""What happens at each step of a training: draws seeded, the loss read, checkpoints saved, clean images scored if asked to."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from denoisebench.batch import Batch
from denoisebench.progress import Advance, console
from denoisebench.scoring.protocol import Protocol
from denoisebench.seeding import seed_from, seed_torch
from denoisebench.store.files import whole_file
from denoisebench.tracking.about import Live
from denoisebench.training.surroundings import Stop

STEPS_BETWEEN_READINGS = 50


class SeededSteps(pl.Callback):
    """Seeds the global generators before each step by (seed, step), and by rank: a loss draws what follows from these."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        rank = [trainer.global_rank] if trainer.global_rank else []
        seed_torch(seed_from(self.seed, "step", trainer.global_step, *rank))


class TrainingLog(pl.Callback):
    """Keeps the loss curve, checks that the loss is finite, and saves a checkpoint every `checkpoint_s` seconds.

    Reads losses from the device every 50 steps and at checkpoints only. The curve, the losses since its last point and
    the seconds travel in the checkpoint, so that the curve is the same wherever checkpoints were and a process ended.
    Of several ranks all read the mean of their losses and save together, when rank 0 says so; it alone writes.
    """

    def __init__(
        self,
        folder: Path,
        checkpoint_s: float,
        advance: Advance,
        live: Live = lambda part, points: None,
        stop: Stop | None = None,
    ) -> None:
        self.folder, self.checkpoint_s, self.advance, self.live = folder, checkpoint_s, advance, live
        self.stop = stop or Stop()
        self.curve: list[dict[str, float]] = []
        self.seconds = 0.0
        self._unread: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        seconds = self.seconds + time.monotonic() - self._began
        return {"curve": self.curve, "seconds": seconds, "unread": [loss.cpu() for loss in self._unread]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.curve, self.seconds = state_dict["curve"], state_dict["seconds"]
        self._unread = state_dict.get("unread", [])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began = self._saved = time.monotonic()
        self._unread = [loss.to(pl_module.device) for loss in self._unread]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._unread.append(outputs["loss"].detach())
        step = trainer.global_step
        last = step == trainer.max_steps or trainer.should_stop
        if step % STEPS_BETWEEN_READINGS == 0 or last:
            self._read(step, trainer)
        if not last and self._is_due(step, trainer):
            self._check(step, trainer)
            self._save(trainer)
            if self.stop.asked:
                console.print(f"saved at step {step} of {trainer.max_steps}; the same command continues from there", markup=False)
                raise KeyboardInterrupt

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.seconds += time.monotonic() - self._began

    def _is_due(self, step: int, trainer: pl.Trainer) -> bool:
        """Several ranks ask the clock of rank 0, and at readings only: all losses have been read then."""
        if trainer.world_size > 1 and step % STEPS_BETWEEN_READINGS:
            return False
        return trainer.strategy.broadcast(self.stop.asked or time.monotonic() - self._saved >= self.checkpoint_s)

    def _check(self, step: int, trainer: pl.Trainer) -> float:
        """The mean loss since the curve's last point."""
        if not self._unread:
            return math.nan
        losses = trainer.strategy.reduce(torch.stack(self._unread).float(), reduce_op="mean")
        if not torch.isfinite(losses).all():
            first = step - len(losses) + int((~torch.isfinite(losses)).nonzero()[0]) + 1
            raise FloatingPointError(
                f"the training loss was {losses[first - step - 1].item()} at step {first}: lower method.lr, or use precision=32"
            )
        return losses.mean().item()

    def _read(self, step: int, trainer: pl.Trainer) -> None:
        mean = self._check(step, trainer)
        self._unread.clear()
        self.curve.append({"step": step, "loss": mean, "lr": trainer.optimizers[0].param_groups[0]["lr"]})
        self.advance(step, f"loss {mean:.4g}")
        self.live("train", self.curve)

    def _save(self, trainer: pl.Trainer) -> None:
        checkpoint = self.folder / "last.ckpt"
        with whole_file(checkpoint) if trainer.is_global_zero else nullcontext(checkpoint) as part:
            trainer.save_checkpoint(part)
        self._saved = time.monotonic()


class Validation(pl.Callback):
    """Scores clean validation images every so many steps, and keeps the weights of the best mean PSNR if asked to.

    Weights chosen so were chosen by an oracle: self-supervision has no clean images. Scores are those of the `default`
    protocol. Curve, best weights and the seconds that scoring took travel in the checkpoint.
    """

    def __init__(self, views: Sequence[Batch], every: int, keep_best: bool, live: Live = lambda part, points: None) -> None:
        self.views, self.every, self.keep_best, self.live = views, every, keep_best, live
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Tensor] | None = None
        self.seconds = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"curve": self.curve, "best": self.best, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.curve, self.best, self.seconds = state_dict["curve"], state_dict["best"], state_dict["seconds"]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if self.views and (step % self.every == 0 or step == trainer.max_steps):
            began = time.monotonic()
            self._score(step, trainer, pl_module)
            self.seconds += time.monotonic() - began

    def _score(self, step: int, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        method.eval()
        scores = []
        for view in self.views:
            noisy = view.noisy.to(method.device)
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                denoised = method.test_step(view._replace(noisy=noisy, clean=None), 0)
            assert isinstance(denoised, Tensor)
            assert view.clean is not None
            scores.append(torch.stack(Protocol("default").score(denoised.cpu().float(), view.clean)))
        method.train()
        psnr_db, similarity = torch.stack(scores).mean(dim=(0, 2)).tolist()
        if self.keep_best and psnr_db > max((point["psnr_db"] for point in self.curve), default=-math.inf):
            self.best = {name: value.detach().cpu().clone() for name, value in method.state_dict().items()}
        self.curve.append({"step": step, "psnr_db": psnr_db, "ssim": similarity})
        self.live("validation", self.curve)
