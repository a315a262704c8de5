"""Training by steps: a function of (seed, step) that a killed process takes up where it was.

A training's folder holds `last.ckpt` while it runs, and `weights.pt`, `curve.csv`, `training.json` (and `validation.csv`
where it was validated) once it is done;
`training.json` is written last.
"""

import hashlib
import json
import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from torch import Tensor

from denoisebench import sampling
from denoisebench.batch import Batch
from denoisebench.datasets.datamodule import DataModule
from denoisebench.denoiser import Denoiser
from denoisebench.progress import Advance, console, track
from denoisebench.scoring.evidence import ReadCount
from denoisebench.scoring.protocol import Protocol
from denoisebench.seeding import isolated_rng, seed_from
from denoisebench.store.cells import write_atomic, write_csv
from denoisebench.store.files import held, remove_orphans, whole_file
from denoisebench.tracking.loggers import Live, Log, no_log
from denoisebench.training.surroundings import Stop, sheltered

STEPS_BETWEEN_READINGS = 50


class SeededSteps(pl.Callback):
    """Seeds the global generators before each step by (seed, step), and by rank: a loss draws what follows from these."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        rank = [trainer.global_rank] if trainer.global_rank else []
        torch.manual_seed(seed_from(self.seed, "step", trainer.global_step, *rank))


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
        if step % STEPS_BETWEEN_READINGS == 0 or step == trainer.max_steps:
            self._read(step, trainer)
        if step < trainer.max_steps and self._is_due(step, trainer):
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
                denoised = method.test_step(view._replace(noisy=noisy), 0)
            assert isinstance(denoised, Tensor)
            assert view.clean is not None
            scores.append(torch.stack(Protocol("default").score(denoised.cpu().float(), view.clean)))
        method.train()
        psnr_db, similarity = torch.stack(scores).mean(dim=(0, 2)).tolist()
        if self.keep_best and psnr_db > max((point["psnr_db"] for point in self.curve), default=-math.inf):
            self.best = {name: value.detach().cpu().clone() for name, value in method.state_dict().items()}
        self.curve.append({"step": step, "psnr_db": psnr_db, "ssim": similarity})
        self.live("validation", self.curve)


def trainer_for(
    device: str, precision: str | int, callbacks: Sequence[pl.Callback], folder: Path, devices: int = 1, **settings: Any
) -> pl.Trainer:
    """A silent Lightning Trainer on one device, `cpu` or `gpu`, or as one of several ranks that run already.

    It is to run under `sheltered`. folder: of this training or test alone; Lightning loads a checkpoint that it finds
    in its root folder (`hpc_ckpt_1.ckpt`), whoever left it there, so that its root is a place where nothing is.
    """
    if devices > 1:
        settings |= {"use_distributed_sampler": False}
    trainer = pl.Trainer(
        accelerator=device, devices=devices, precision=precision, callbacks=list(callbacks), logger=False,  # type: ignore[arg-type]
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, plugins=[LightningEnvironment()],
        default_root_dir=folder / ".lightning", **settings,
    )  # fmt: skip
    # Lightning's handler of SIGTERM waits for the other ranks, wherever these are: for ever; ours saves and stops.
    trainer._signal_connector.register_signal_handlers = lambda: None
    return trainer


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's notes on what is meant so: no workers for cached patches, no logger, the device it found."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for message in (".*does not have many workers.*", ".*LeafSpec.*", ".*GPU available but not used.*", ".*srun.*"):
            warnings.filterwarnings("ignore", message=message)
        yield


def trained(
    method: Denoiser,
    data: DataModule,
    folder: Path,
    *,
    title: str,
    seed: int,
    device: str,
    precision: str | int,
    checkpoint_s: float,
    force: bool = False,
    validate_every: int = 0,
    log: Callable[[], AbstractContextManager[Log]] = no_log,
    devices: int = 1,
    others: Callable[[Path | None], AbstractContextManager[None]] = nullcontext,
) -> dict[str, Any]:
    """Give `method` the weights of the training in `folder`, training first as far as that is not done.

    log: opened if it trains, and told of the curves as they grow. others: opened while it trains on several devices,
    with the checkpoint it goes on from: runs `fit` as the other ranks.
    Returns what `training.json` says: steps, seconds, devices. Raises: BusyError if another process trains it.
    """
    if force or not (folder / "training.json").is_file():
        with held(folder / ".lock"):
            remove_orphans(folder)
            if force:
                for name in ("training.json", "last.ckpt"):
                    (folder / name).unlink(missing_ok=True)
            if not (folder / "training.json").is_file():
                assert data.training is not None
                checkpoint = folder / "last.ckpt"
                resume, start = _resumable(checkpoint)
                with log() as opened, track(title, data.training.steps, start) as advance, others(resume):
                    fitted = fit(
                        method, data, folder, resume, seed=seed, device=device, precision=precision, devices=devices,
                        checkpoint_s=checkpoint_s, validate_every=validate_every, advance=advance, live=opened.curve,
                    )  # fmt: skip
                _keep(method, data, folder, devices, *fitted)
                checkpoint.unlink(missing_ok=True)
    about = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    about["stale"] = about.get("source") != source_hash(method)
    if validate_every and data.validation_views and not (folder / "validation.csv").is_file():
        console.print(
            f"{title}: trained already without validation; force=true trains it again, with it", style="yellow", markup=False
        )
    if about["stale"]:
        console.print(f"{title}: its code has changed since; force=true trains it again", style="yellow", markup=False)
    load_weights(method, folder / "weights.pt", "force=true trains again")
    return about


def load_weights(method: Denoiser, path: Path, way_out: str = "give a file that such a method saved") -> None:
    """Give `method` the weights of a file: a training's `weights.pt`, or a Lightning checkpoint.

    Raises: ValueError naming the file and what does not fit.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        weights = stored.get("state_dict", stored)
    except Exception as error:
        raise ValueError(f"{path} is damaged or no file of weights ({error}); {way_out}") from error
    ours = method.state_dict()
    wrong = {
        "lacks": sorted(ours.keys() - weights.keys()),
        "has too much": sorted(weights.keys() - ours.keys()),
        "has of another shape": sorted(name for name in ours.keys() & weights.keys() if ours[name].shape != weights[name].shape),
    }
    if any(wrong.values()):
        told = "; ".join(f"{what} {', '.join(names[:3])} ({len(names)} in all)" for what, names in wrong.items() if names)
        raise ValueError(f"{path} does not fit {type(method).__name__} with these settings: it {told}; {way_out}")
    method.load_state_dict(weights)


def source_hash(method: Denoiser) -> str:
    """Of the files of a method's own class, of its networks' classes (but PyTorch's), and of what rearranges pixels."""
    modules = {type(part).__module__ for part in method.modules()} | {sampling.__name__}
    names = sorted(name for name in modules if not name.startswith(("torch.", "torchvision.", "pytorch_lightning.")))
    files = [getattr(sys.modules[name], "__file__", None) for name in names]
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files if file)).hexdigest()[:16]


def _resumable(checkpoint: Path) -> tuple[Path | None, int]:
    """The checkpoint to go on from and its step; none if there is none, or a damaged one."""
    if not checkpoint.is_file():
        return None, 0
    try:
        return checkpoint, int(torch.load(checkpoint, map_location="cpu", weights_only=True)["global_step"])
    except Exception as error:
        console.print(f"{checkpoint} is damaged ({error}): training starts anew", style="yellow", markup=False)
        return None, 0


def fit(
    method: Denoiser, data: DataModule, folder: Path, resume: Path | None, *, seed: int, device: str, precision: str | int,
    devices: int, checkpoint_s: float, validate_every: int = 0, advance: Advance = lambda done, note: None,
    live: Live = lambda part, points: None,
) -> tuple[TrainingLog, Validation, ReadCount]:  # fmt: skip
    """Train `method` on one device, or as one of several ranks, from a checkpoint or from step 0."""
    assert data.training is not None
    stop = Stop()
    log = TrainingLog(folder, checkpoint_s, advance, live, stop)
    validation = Validation(data.validation_views, validate_every, data.training.selection == "oracle", live)
    callbacks = [SeededSteps(seed), reads := ReadCount(), validation, log]
    settings: dict[str, Any] = {"max_steps": data.training.steps, "max_epochs": -1, "limit_val_batches": 0}
    if devices > 1:
        settings["strategy"] = "ddp_find_unused_parameters_true" if getattr(method, "staged", False) else "ddp"
    with isolated_rng(seed_from(seed, "training")), quiet(), sheltered(alone=devices == 1):
        trainer = trainer_for(device, precision, callbacks, folder, devices, **settings)
        with stop.heeded():
            trainer.fit(method, data, ckpt_path=resume, weights_only=True)
    if trainer.global_step != data.training.steps:
        raise RuntimeError(f"training ended after {trainer.global_step} of {data.training.steps} steps, for no reason known here")
    return log, validation, reads


def _keep(
    method: Denoiser, data: DataModule, folder: Path, devices: int, log: TrainingLog, validation: Validation, reads: ReadCount
) -> None:
    assert data.training is not None
    with whole_file(folder / "weights.pt") as part:
        torch.save(validation.best or method.state_dict(), part)
    if validation.curve:
        columns = ("step", "psnr_db", "ssim", "on", "images")
        on = {"on": data.validation_name, "images": len(data.validation_views)}
        write_csv(folder / "validation.csv", columns, [{**point, **on} for point in validation.curve])
    write_csv(folder / "curve.csv", ("step", "loss", "lr"), log.curve)
    seconds = log.seconds - validation.seconds
    about = {"steps": data.training.steps, "seconds": seconds, "devices": devices}
    about |= {"source": source_hash(method), "reads": reads.summary()}
    write_atomic(folder / "training.json", json.dumps(about))
