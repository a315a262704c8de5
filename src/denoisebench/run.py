"""A composed configuration -> fit if it learns from a data set -> test -> rows.

`plan` turns jobs into cells, `main` computes one cell: it is what Hydra's launchers call, in this process or another.
"""

import csv
import json
import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from denoisebench import cells, config
from denoisebench.cells import Cell, PartialRows, Row
from denoisebench.config import ConfigError, Job
from denoisebench.datasets.images import ImageSet, file_hash
from denoisebench.datasets.views import NoisyViews, Training, impossible, no_target
from denoisebench.files import remove_orphans
from denoisebench.manifest import commit, manifest
from denoisebench.noise import NoiseModel
from denoisebench.progress import Advance, console, duration, track
from denoisebench.protocol import Protocol
from denoisebench.seeding import isolated_rng, seed_from

PRECISIONS = {32: "32-true", "bf16-mixed": "bf16-mixed"}


@dataclass(frozen=True)
class Parts:
    """The objects of one job, but for the method; the training ones are None for what learns from no data set."""

    test_set: ImageSet
    noise: NoiseModel
    train_set: ImageSet | None
    train_noise: NoiseModel | None
    training: Training | None


def parts_of(job: DictConfig) -> Parts:
    """The parts of a job; the training ones only where the method learns from a data set.

    Raises: ConfigError or FileNotFoundError for what cannot be.
    """
    learns = job.checkpoint is None and job.training.steps > 0 and learns_of(job) == "dataset"
    if learns and "train_set" not in job:
        raise config.ConfigError("this data set has no training set of its own: choose one, as train_set=bsds500")
    return Parts(
        config.instantiate(job.dataset, "dataset"),
        config.instantiate(job.noise, "noise"),
        config.instantiate(job.train_set, "train_set") if learns else None,
        config.instantiate(job.train_noise, "train_noise") if learns else None,
        Training(**OmegaConf.to_container(job.training)) if learns else None,  # type: ignore[arg-type]
    )


def learns_of(job: DictConfig) -> str:
    """What the method learns from: `nothing`, `dataset` or `image`."""
    return config.class_of(job.method, "method").learns


def protocols_of(job: DictConfig) -> list[Protocol]:
    return [config.instantiate(node, f"protocols.{name}") for name, node in job.protocols.items()]


# --- Identity ----------------------------------------------------------------------------------------------------


def label_of(job: Job, parts: Parts) -> str:
    """The method's YAML name and what differs from it, as `sdap[enhance=true]`."""
    changed = [change for change in job.changed if parts.training or not change.startswith("training.")]
    if job.config.checkpoint is not None:
        changed.append(f"checkpoint={Path(job.config.checkpoint).name}")
    if parts.train_set and job.own_train_set:
        changed.append(f"train_set={parts.train_set.name}")
    if parts.train_noise and parts.train_noise.name != parts.noise.name:
        changed.append(f"train_noise={parts.train_noise.name}")
    return job.method + (f"[{','.join(changed)}]" if changed else "")


def cell_of(job: DictConfig, parts: Parts, label: str = "", overrides: Sequence[str] = ()) -> Cell:
    """The cell of a job. Its key hashes what changes its pixels, and nothing else: no path, device or protocol."""
    training = _training_identity(job, parts)
    given = {} if job.checkpoint is None else {"checkpoint": _checkpoint_hash(job)}
    budget = {"budget": job.budget} if learns_of(job) == "image" else {}
    setup = (
        given
        | budget
        | {
            "method": _plain(job.method),
            "training": training and {**training, "budget": job.budget},
            "test": {"set": parts.test_set.name, "images": parts.test_set.fingerprint, "noise": _plain(job.noise)},
            "repeats": job.repeats,
            "precision": job.precision,
        }
    )
    return Cell(
        root=job.root, study=job.study, label=label, dataset=parts.test_set.name, noise=parts.noise.name, seed=job.seed,
        key=cells.key_of({**setup, "seed": job.seed}), setup=cells.key_of(setup),
        train_key=cells.key_of({**training, "seed": job.seed}) if training else None, overrides=tuple(overrides),
    )  # fmt: skip


def _older_than_plan(cell: Cell) -> bool:
    """Whether a training was done before this command planned it: several cells that force it train it once."""
    done, planned = cell.training / "training.json", cells.study_folder(cell.root, cell.study) / "plan.json"
    return done.is_file() and done.stat().st_mtime_ns < planned.stat().st_mtime_ns


def _checkpoint_hash(job: DictConfig) -> str:
    path = Path(job.checkpoint).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint={job.checkpoint}: no such file")
    return file_hash(path)


def _training_identity(job: DictConfig, parts: Parts) -> dict[str, Any] | None:
    if parts.train_set is None:
        return None
    oracle = {} if job.training.selection == "last" else {
        "validation": _plain(job.validation), "on": parts.test_set.fingerprint, "under": _plain(job.noise)
    }  # fmt: skip
    return oracle | {
        "method": _plain(job.method),
        "training": _plain(job.training),
        "set": parts.train_set.name,
        "images": parts.train_set.fingerprint,
        "noise": _plain(job.train_noise),
        "precision": job.precision,
    }


def _plain(node: DictConfig) -> Any:
    return OmegaConf.to_container(node, resolve=True)


def plan(jobs: Sequence[Job]) -> list[Cell]:
    """The cells of these jobs, added to the study's plan; those not done are checked before anything runs.

    Raises: ConfigError or FileNotFoundError for what cannot be.
    """
    planned: list[Cell] = []
    for job in jobs:
        parts = parts_of(job.config)
        protocols_of(job.config)
        cell = cell_of(job.config, parts, label_of(job, parts), job.overrides)
        if cell.state != "done" or job.config.force:
            _check_method(job)
            _device(job.config)
        planned.append(cell)
    result: dict[tuple[str, str, str], Cell] = {}
    for root, study in dict.fromkeys((cell.root, cell.study) for cell in planned):
        own = [cell for cell in planned if (cell.root, cell.study) == (root, study)]
        result |= {(root, study, cell.key): cell for cell in cells.add_to_plan(cells.study_folder(root, study), own)}
    return [result[cell.root, cell.study, cell.key] for cell in planned]


def _check_method(job: Job) -> None:
    """That the method's keys and values fit, and that it is trained if it learns from a data set."""
    config.check(job.config.method, "method")
    if job.has_recipe and learns_of(job.config) != "dataset":
        raise ConfigError(
            f"{job.method} learns from no data set, and its recipe for budget={job.config.budget} sets training.steps"
        )
    if job.config.checkpoint is not None:
        if learns_of(job.config) != "dataset":
            raise ConfigError(f"checkpoint={job.config.checkpoint}: {job.method} has no weights to be given")
        return
    if learns_of(job.config) == "dataset" and job.config.training.steps == 0:
        raise ConfigError(
            f"{job.method} learns from a data set, and training.steps is 0: budget={job.config.budget} has no recipe for it, "
            "or it was set so; set training.steps or choose another budget"
        )


# --- Computing one cell ------------------------------------------------------------------------------------------


def main(job: DictConfig) -> float:
    """Compute one planned cell as far as it is not done; what goes wrong inside it is kept in its status, not raised.

    Returns the mean PSNR of the first protocol in dB (what a Hydra optimiser maximises), NaN without one.
    """
    parts = parts_of(job)
    key = cell_of(job, parts).key
    cell = cells.read_plan(cells.study_folder(job.root, job.study)).get(key)
    if cell is None:
        console.print(f"cell {key} is not in the plan: its files or code changed while this ran; start it again", style="red")
        return math.nan
    protocols = protocols_of(job)
    rows = _attempt(job, cell, parts, protocols)
    scores = [float(row["psnr_db"]) for row in rows if row["protocol"] == protocols[0].name and row["psnr_db"] not in (None, "")]
    return sum(scores) / len(scores) if scores else math.nan


def _attempt(job: DictConfig, cell: Cell, parts: Parts, protocols: Sequence[Protocol]) -> Sequence[Row]:
    """The rows of a cell, computed, or read where it is done; none if it is impossible or fails."""
    was_done = cell.state == "done" and not job.force
    try:
        cell.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(cell.folder / ".lock"):
            if cell.state == "done" and not job.force:
                return _with_protocols(cell, protocols)
            remove_orphans(cell.folder)
            if reason := _impossible(job, parts):
                cell.set_status("skipped", reason=reason)
                console.print(f"skipped  {cell}: {reason}", style="yellow", markup=False)
                return []
            rows = _compute(job, cell, parts, protocols)
    except SystemExit as stopped:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stopped
    except Exception as error:
        if was_done:
            console.print(f"not scored  {cell}: {error}", style="red", markup=False)
        else:
            _fail(cell, error)
        return []
    console.print(f"done     {cell}  {_summary(rows, protocols[0])}", markup=False)
    return rows


def _fail(cell: Cell, error: Exception) -> None:
    console.print(f"failed   {cell}: {error}", style="red", markup=False)
    try:
        cell.set_status("failed", reason=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
    except OSError as unwritten:  # as on a full disk: the cell then counts as unfinished
        console.print(f"         and could not note it: {unwritten}", style="red", markup=False)


def _impossible(job: DictConfig, parts: Parts) -> str | None:
    """Why this cell cannot be, and the way out; None for a possible one."""
    if reason := impossible(parts.test_set, parts.noise):
        return reason
    if parts.train_set is None or parts.train_noise is None:
        return None
    if job.training.selection == "oracle" and not parts.test_set.has_clean:
        return f"training.selection=oracle needs clean images, and {parts.test_set.name} has none: use training.selection=last"
    if reason := impossible(parts.train_set, parts.train_noise, "train_noise"):
        return f"training set: {reason}"
    target = config.class_of(job.method, "method").target
    if reason := no_target(parts.train_set, target):
        return reason
    if target is not None and parts.train_set.sources & parts.test_set.sources:
        return "it would learn the clean test images by heart: choose a train_set apart from the test images"
    return None


def _compute(job: DictConfig, cell: Cell, parts: Parts, protocols: Sequence[Protocol]) -> Sequence[Row]:
    from denoisebench.datasets.datamodule import DataModule
    from denoisebench.denoiser import Denoiser, ImageDenoiser
    from denoisebench.evaluator import Evaluator
    from denoisebench.evidence import ReadCount
    from denoisebench.training import load_weights, quiet, trained, trainer_for

    began = time.monotonic()
    if job.trainer.threads:
        torch.set_num_threads(job.trainer.threads)
    device, precision = _device(job), PRECISIONS[job.precision]
    cell.set_status("running")
    cells.write_atomic(cell.folder / "config.yaml", OmegaConf.to_yaml(job, resolve=True))
    with isolated_rng(seed_from(job.seed, "weights")):
        method: Denoiser = config.instantiate(job.method, "method")
    partial = PartialRows(cell.folder)
    (cell.folder / "rows.csv").unlink(missing_ok=True)
    if job.force:
        partial.path.unlink(missing_ok=True)
    finished = _finished(partial, protocols)
    skip = {(rows[0]["image"], rows[0]["repeat"]) for rows in finished}
    data = DataModule(
        parts.test_set, parts.noise, job.seed, repeats=job.repeats, skip=skip,
        train_set=parts.train_set, train_noise=parts.train_noise, training=parts.training, target=method.target,
        validation_images=job.validation.images if job.validation.every and parts.training else 0,
    )  # fmt: skip
    training = None
    if job.checkpoint is not None:
        load_weights(method, Path(job.checkpoint).expanduser())
    if parts.training is not None:
        title = f"training {cell.label} on {parts.train_set.name if parts.train_set else ''}, {cell.noise}"
        training = trained(
            method, data, cell.training, title=title, seed=job.seed, device=device, precision=precision,
            checkpoint_s=job.trainer.checkpoint_s, force=job.force and _older_than_plan(cell),
            validate_every=job.validation.every,
        )  # fmt: skip
    tested = time.monotonic()
    identity = _identity_columns(job, cell, parts, method, training)
    total = len(data.test_views) + len(finished)
    reads = ReadCount()
    with track(f"testing {cell}", total, len(finished)) as advance:
        evaluator = Evaluator(
            cell.folder, cell.inputs, identity, protocols, pictures=job.pictures, done=len(finished), advance=advance
        )
        if isinstance(method, ImageDenoiser):
            method.on_image_step = _step_reporter(method, evaluator, advance)
        if total > len(finished):
            with quiet():
                trainer_for(device, precision, [reads, evaluator]).test(method, data, verbose=False)
    # An image finished under another commit, before an interruption, keeps that commit.
    rows = [{**row, **identity, "commit": row["commit"]} for image in partial.read() for row in image]
    ended = time.monotonic()
    about = manifest(training=training["seconds"] if training else 0.0, testing=ended - tested, all=ended - began)
    about["evidence"] = _evidence(job, parts, method, training, reads.summary())
    cells.write_atomic(cell.folder / "manifest.json", json.dumps(about, indent=1))
    partial.finish(rows)
    cell.set_status("done", images=total)
    partial.forget()
    return rows


def _evidence(
    job: DictConfig, parts: Parts, method: Any, training: dict[str, Any] | None, test_reads: dict[str, int]
) -> dict[str, Any]:
    """What the report's audit ticks rest on: counts and measurements of this run; None for what there was not."""
    from denoisebench.evidence import blind_spot

    first = NoisyViews(parts.test_set, parts.noise, job.seed, 1, ())[0]
    trained_on = parts.train_set.sources if parts.train_set else None
    return {
        "training_reads": training.get("reads") if training else None,
        "test_reads": test_reads,
        "images": trained_on and {
            "training": len(trained_on), "test": len(parts.test_set.sources), "shared": len(trained_on & parts.test_set.sources)
        },
        "blind_spot": blind_spot(method, first.noisy, first.seed),
    }  # fmt: skip


def _step_reporter(method: Any, evaluator: Any, advance: Advance) -> Callable[[int, float], None]:
    """Progress inside an image: its steps count as parts of it, so that the remaining time is told from the start."""
    return lambda step, loss: advance(
        evaluator.done + 0.99 * step / method.num_steps, f"step {step}/{method.num_steps}, loss {loss:.4g}"
    )


def _finished(partial: PartialRows, protocols: Sequence[Protocol]) -> list[list[Row]]:
    """The finished images of an interrupted test; it starts anew if it was scored under other protocols."""
    wanted = [protocol.name for protocol in protocols]
    if any([row["protocol"] for row in image] != wanted for image in partial.read()):
        partial.path.unlink()
    return partial.begin()


def _identity_columns(job: DictConfig, cell: Cell, parts: Parts, method: Any, training: dict[str, Any] | None) -> dict[str, Any]:
    learner = method.learns != "nothing"
    trained_on, train_noise = "", ""
    tags = list(method.tags)
    if parts.train_set is not None and parts.train_noise is not None:
        trained_on = parts.train_set.name
        train_noise = parts.train_noise.name + ("" if parts.train_set.has_noisy else f" {job.training.noise}")
        if parts.train_set.sources & parts.test_set.sources:
            tags.append("transductive")
        if job.training.selection == "oracle":
            tags.append("oracle_selected")
        if training and training["stale"]:
            tags.append("stale_training")
    if job.checkpoint is not None:
        trained_on = "unknown: weights given"
    selection = "given" if job.checkpoint is not None else job.training.selection if training else ""
    return {
        "study": job.study, "method": cell.label, "dataset": cell.dataset, "noise": cell.noise, "seed": job.seed,
        "learns": method.learns, "trained_on": trained_on, "train_noise": train_noise,
        "train_steps": job.training.steps if training else None, "train_seconds": training["seconds"] if training else None,
        "selection": selection, "budget": job.budget if learner and job.checkpoint is None else "", "tags": " ".join(tags),
        "precision": job.precision, "key": cell.key, "setup": cell.setup, "commit": commit(),
    }  # fmt: skip


def _device(job: DictConfig) -> str:
    accelerator = job.trainer.accelerator
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer=gpu: PyTorch finds no CUDA device here; use trainer=auto or trainer=cpu")
    return accelerator if accelerator != "auto" else "gpu" if torch.cuda.is_available() else "cpu"


def _with_protocols(cell: Cell, protocols: Sequence[Protocol]) -> Sequence[Row]:
    """The rows of a finished cell, those of protocols it was not yet scored under made from its kept outputs."""
    from denoisebench.evaluator import rescored

    rows = read_rows(cell)
    scored = {row["protocol"] for row in rows}
    first = [row for row in rows if row["protocol"] == rows[0]["protocol"]]
    new = [row for p in protocols if p.name not in scored for row in rescored(first, p, cell.folder, cell.inputs)]
    if new:
        rows += new
        cells.write_csv(cell.folder / "rows.csv", cells.COLUMNS, rows)
        console.print(f"scored   {cell}  under {', '.join(sorted({row['protocol'] for row in new}))}", markup=False)
    return rows


def rescore(planned: Sequence[Cell], protocols: Sequence[Protocol]) -> int:
    """Score the kept outputs of finished cells under further protocols; returns how many cells could not be."""
    failures = 0
    for cell in planned:
        if cell.state != "done":
            continue
        try:
            with FileLock(cell.folder / ".lock"):
                _with_protocols(cell, protocols)
        except (OSError, ValueError) as error:
            failures += 1
            console.print(f"not scored  {cell}: {error}", style="red", markup=False)
    return failures


def read_rows(cell: Cell) -> list[Row]:
    with (cell.folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lacks_protocols(jobs: Sequence[Job], planned: Sequence[Cell]) -> bool:
    """Whether a finished cell was not scored under a protocol that its job asks for."""
    return any(
        set(job.config.protocols) - {row["protocol"] for row in read_rows(cell)}
        for job, cell in zip(jobs, planned, strict=True)
        if cell.state == "done"
    )


def _summary(rows: Sequence[Row], protocol: Protocol) -> str:
    own = [row for row in rows if row["protocol"] == protocol.name]
    seconds = sum(row["seconds"] for row in own)
    scores = [row["psnr_db"] for row in own if row["psnr_db"] is not None]
    mean = f"{sum(scores) / len(scores):.2f} dB, " if scores else "no clean images, "
    return f"{mean}{len(own)} images in {duration(seconds)}"
