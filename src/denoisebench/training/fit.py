"""Training by steps: a function of (seed, step) that a killed process takes up where it was.

A training's folder holds `last.ckpt` while it runs, and `weights.safetensors`, `curve.csv`, `training.json` (and `validation.csv`
where it was validated, `holdout.csv` where held-out images ended it) once it is done; `training.json` is written last.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import LightningEnvironment

from denoisebench.datasets.datamodule import DataModule
from denoisebench.datasets.images import file_hash
from denoisebench.denoiser import Denoiser
from denoisebench.networks.weight_files import as_safetensors, read_file
from denoisebench.progress import Advance, console, track
from denoisebench.scoring.evidence import ReadCount
from denoisebench.seeding import isolated_rng, seed_from
from denoisebench.store.code import FILE, Code, differing, keep_code, kept_code, mixed
from denoisebench.store.files import DamagedError, held, read_json, remove_orphans, whole_file, write_atomic
from denoisebench.store.rows import write_csv
from denoisebench.store.trainings import OLDER_WEIGHTS, WEIGHTS, weights_in
from denoisebench.tracking.about import Live
from denoisebench.tracking.log import Log, no_log
from denoisebench.training.callbacks import SeededSteps, TrainingLog, Validation
from denoisebench.training.engine import Engine, compiled
from denoisebench.training.holdout import HeldOut
from denoisebench.training.origin import Origin
from denoisebench.training.surroundings import Stop, sheltered
from denoisebench.training.weights import load_weights, source_hash

SECONDS_UNASKED = 60.0  # what other code trained in this time is trained again
NEEDED_TO_RESUME = {"global_step", "state_dict", "optimizer_states", "loops", "callbacks"}


def trainer_for(engine: Engine, callbacks: Sequence[pl.Callback], folder: Path, **settings: Any) -> pl.Trainer:
    """A silent Lightning Trainer on one device, or as one of several ranks that run already.

    It is to run under `sheltered`. folder: of this training or test alone; Lightning loads a checkpoint that it finds
    in its root folder (`hpc_ckpt_1.ckpt`), whoever left it there, so that its root is a place where nothing is.
    """
    if engine.devices > 1:
        settings |= {"use_distributed_sampler": False}
    trainer = pl.Trainer(
        accelerator=engine.device, devices=engine.devices, precision=engine.precision,  # type: ignore[arg-type]
        callbacks=list(callbacks), logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, plugins=[LightningEnvironment()], default_root_dir=folder / ".lightning", **settings,
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


@dataclass(frozen=True)
class Course:
    """How a training goes: all that it draws follows `seed`. validate_every: steps between scores of clean images; 0: never.
    force: train again what is done already. asked_by: the command that forced it last. code: what computes it.
    origin: what is kept of it beside its weights."""

    seed: int
    engine: Engine = field(default_factory=Engine)
    validate_every: int = 0
    force: bool = False
    asked_by: str = ""
    code: Code = field(default_factory=dict)
    origin: Origin | None = None


@dataclass(frozen=True)
class Told:
    """What is reported while a network trains. log: opened if it trains, for the curves as they grow."""

    title: str = ""
    log: Callable[[], AbstractContextManager[Log]] = no_log
    advance: Advance = lambda done, note: None
    live: Live = lambda part, points: None


def trained(
    method: Denoiser, data: DataModule, folder: Path, course: Course, told: Told | None = None,
    others: Callable[[Path | None], AbstractContextManager[None]] = nullcontext,
) -> dict[str, Any]:  # fmt: skip
    """Give `method` the weights of the training in `folder`, training first if that is not finished.

    others: opened while it trains on several devices, with the checkpoint it continues from: runs `fit` as the other ranks.
    Returns what `training.json` says: steps, seconds, devices. Raises: BusyError if another process trains it.
    """
    told = told or Told()
    again = course.force or _is_done_again(folder, course)
    if again or _said(folder) is None:
        with held(folder / ".lock"):
            remove_orphans(folder)
            if again:
                for name in ("training.json", "last.ckpt", FILE, "validation.csv", "holdout.csv"):
                    (folder / name).unlink(missing_ok=True)
            if _said(folder) is None:
                _train(method, data, folder, course, told, others)
    about = _said(folder)
    assert about is not None
    known = course.code and kept_code(folder)
    about["stale"] = bool(differing(known, course.code)) if known else about.get("source") != source_hash(method)
    _remark(about, data, folder, course, told.title)
    load_weights(method, weights_in(folder), "force=true trains again")
    return about


def _is_done_again(folder: Path, course: Course) -> bool:
    """Whether other code trained it, in seconds."""
    about = _said(folder)
    return about is not None and about["seconds"] <= SECONDS_UNASKED and bool(differing(kept_code(folder), course.code))


def _keep_code(folder: Path, course: Course, start: int) -> None:
    """Note what code trains; a training that other code began says so for good."""
    kept = kept_code(folder) if start else None
    if names := differing(kept, course.code):
        told = f"{folder}: the code of its {' and '.join(names)} has changed since step 0; it goes on from step {start}, and"
        console.print(f"{told} force=true starts again", style="yellow", markup=False)
    if course.code and (kept or not start):
        keep_code(folder, mixed(course.code, names))
    else:
        (folder / FILE).unlink(missing_ok=True)


def _said(folder: Path) -> dict[str, Any] | None:
    """What `training.json` says; None without one, or with a damaged one, for which training starts again."""
    path = folder / "training.json"
    try:
        about = read_json(path)
    except FileNotFoundError:
        return None
    except DamagedError:
        about = {}
    if all(isinstance(about.get(name), int | float) for name in ("steps", "seconds")):
        return about
    console.print(f"{path} is damaged: the network is trained again", style="yellow", markup=False)
    path.unlink(missing_ok=True)
    return None


def _remark(about: dict[str, Any], data: DataModule, folder: Path, course: Course, title: str) -> None:
    if course.validate_every and data.validation_views and not (folder / "validation.csv").is_file():
        text = f"{title}: was trained without validation; force=true trains it again, with it"
        console.print(text, style="yellow", markup=False)
    if about["stale"]:
        console.print(f"{title}: its code has changed since; force=true trains it again", style="yellow", markup=False)


def _train(
    method: Denoiser, data: DataModule, folder: Path, course: Course, told: Told,
    others: Callable[[Path | None], AbstractContextManager[None]],
) -> None:  # fmt: skip
    assert data.training is not None
    resume, start = _resumable(folder / "last.ckpt")
    if start:
        console.print(f"{told.title}: goes on from step {start} of {data.training.steps}", markup=False)
    _keep_code(folder, course, start)
    with told.log() as opened, track(told.title, data.training.steps, start, "training") as advance, others(resume):
        live = replace(told, advance=advance, live=opened.curve)
        fitted = fit(method, data, folder, resume, course, live)
    _keep(method, data, folder, course, fitted)
    (folder / "last.ckpt").unlink(missing_ok=True)
    if fitted.log.stop.asked:  # too late to save a step, and in time to stop before what follows
        raise KeyboardInterrupt


def _resumable(checkpoint: Path) -> tuple[Path | None, int]:
    """The checkpoint to continue from and its step; none if there is none, or a damaged one."""
    if not checkpoint.is_file():
        return None, 0
    try:
        stored = read_file(checkpoint)
        if lacking := NEEDED_TO_RESUME - stored.keys():
            raise ValueError(f"it has no {', '.join(sorted(lacking))}")
        return checkpoint, int(stored["global_step"])
    except Exception as error:
        console.print(f"{checkpoint} is damaged ({error}): training starts again", style="yellow", markup=False)
        return None, 0


@dataclass(frozen=True)
class Fitted:
    """What was noted while a network trained."""

    log: TrainingLog
    validation: Validation
    holdout: HeldOut
    reads: ReadCount


def fit(method: Denoiser, data: DataModule, folder: Path, resume: Path | None, course: Course, told: Told) -> Fitted:
    """Train `method` on one device, or as one of several ranks, from a checkpoint or from step 0."""
    assert data.training is not None
    engine, stop = course.engine, Stop()
    log = TrainingLog(folder, engine.checkpoint_s, told.advance, told.live, stop)
    validation = Validation(data.validation_views, course.validate_every, data.training.selection == "oracle", told.live)
    holdout = HeldOut(data.held_out_batches(), data.train.holdout if data.train else None, course.seed, told.live)
    callbacks = [SeededSteps(course.seed), reads := ReadCount(), validation, holdout, log]
    settings: dict[str, Any] = {"max_steps": data.training.steps, "max_epochs": -1, "limit_val_batches": 0}
    if engine.devices > 1:
        settings["strategy"] = "ddp_find_unused_parameters_true" if getattr(method, "staged", False) else "ddp"
    with isolated_rng(seed_from(course.seed, "training")), quiet(), sheltered(alone=engine.devices == 1), engine.exact():
        trainer = trainer_for(engine, callbacks, folder, **settings)
        # Of several ranks only rank 0 is told, and may wait for the others: there the signals interrupt at once.
        with stop.heeded() if engine.devices == 1 else nullcontext(), compiled(method) if engine.compiles else nullcontext():
            trainer.fit(method, data, ckpt_path=resume, weights_only=True)
    if trainer.global_step != data.training.steps and not holdout.ended:
        raise RuntimeError(f"training ended after {trainer.global_step} of {data.training.steps} steps, for no reason known here")
    return Fitted(log, validation, holdout, reads)


def _keep(method: Denoiser, data: DataModule, folder: Path, course: Course, fitted: Fitted) -> None:
    log, validation, holdout = fitted.log, fitted.validation, fitted.holdout
    with whole_file(folder / WEIGHTS) as part:
        part.write_bytes(as_safetensors(validation.best or holdout.best or method.state_dict()))
    (folder / OLDER_WEIGHTS).unlink(missing_ok=True)  # of a training that an older version began
    if validation.curve:
        columns = ("step", "psnr_db", "ssim", "on", "images")
        on = {"on": data.validation_name, "images": len(data.validation_views)}
        write_csv(folder / "validation.csv", columns, [{**point, **on} for point in validation.curve])
    if holdout.curve:
        write_csv(folder / "holdout.csv", ("step", "loss"), holdout.curve)
    write_csv(folder / "curve.csv", ("step", "loss", "lr"), log.curve)
    seconds = log.seconds - validation.seconds
    about = {"steps": int(log.curve[-1]["step"]), "seconds": seconds, "devices": course.engine.devices, "forced": course.asked_by}
    if course.origin:
        about |= {"origin": course.origin.told(), "weights": file_hash(folder / WEIGHTS)}
    about |= {"source": source_hash(method), "reads": fitted.reads.summary()}
    write_atomic(folder / "training.json", json.dumps(about))
