"""A composed configuration -> fit if it learns from a data set -> test -> rows.

`plan` turns jobs into cells, `main` computes one cell: it is what Hydra's launchers call, in this process or another.
"""

import csv
import json
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import torch
from omegaconf import DictConfig, OmegaConf

from denoisebench import config
from denoisebench.config import ConfigError, Job
from denoisebench.datasets.images import ImageSet, file_hash, photographs_shared
from denoisebench.datasets.views import NoisyViews, Training, impossible, no_target
from denoisebench.noise import NoiseModel
from denoisebench.progress import Advance, console, duration, track
from denoisebench.scoring.memory import keep_freed
from denoisebench.scoring.protocol import Protocol
from denoisebench.seeding import isolated_rng, seed_from
from denoisebench.store import cells
from denoisebench.store.cells import Cell, PartialRows, Row
from denoisebench.store.files import BusyError, held, remove_orphans
from denoisebench.store.manifest import commit, manifest
from denoisebench.tracking import loggers
from denoisebench.training import ranks
from denoisebench.training.surroundings import sheltered

if TYPE_CHECKING:
    from denoisebench.datasets.datamodule import DataModule
    from denoisebench.denoiser import Denoiser

PRECISIONS = {32: "32-true", "bf16-mixed": "bf16-mixed"}
FOLLOW = "from denoisebench.study.run import follow; follow()"


@dataclass(frozen=True)
class Parts:
    """The objects of one job, but for the method; the training ones are None for what learns from no data set.

    test_images, train_images: the fingerprints of the sets.
    """

    test_set: ImageSet
    noise: NoiseModel
    train_set: ImageSet | None
    train_noise: NoiseModel | None
    training: Training | None
    test_images: str
    train_images: str | None


class Made:
    """What jobs are made of, each thing once however many jobs of one command share it."""

    def __init__(self) -> None:
        self._objects: dict[str, Any] = {}
        self._fingerprints: dict[int, str] = {}

    def object(self, node: DictConfig, key: str) -> Any:
        identity = f"{key} {json.dumps(_plain(node), sort_keys=True)}"
        if identity not in self._objects:
            self._objects[identity] = config.instantiate(node, key)
        return self._objects[identity]

    def fingerprint(self, images: ImageSet) -> str:
        """Of a set that was made here."""
        if id(images) not in self._fingerprints:
            self._fingerprints[id(images)] = images.fingerprint
        return self._fingerprints[id(images)]


class _Unread(Made):
    """Without fingerprints, for which every file is read."""

    def fingerprint(self, images: ImageSet) -> str:
        return ""


def parts_of(job: DictConfig, made: Made | None = None) -> Parts:
    """The parts of a job; the training ones only where the method learns from a data set.

    Raises: ConfigError or FileNotFoundError for what cannot be.
    """
    made = made or Made()
    learns = job.checkpoint is None and job.training.steps > 0 and learns_of(job) == "dataset"
    if learns and "train_set" not in job:
        raise config.ConfigError("this data set has no training set of its own: choose one, as train_set=bsds500")
    test_set: ImageSet = made.object(job.dataset, "dataset")
    train_set: ImageSet | None = made.object(job.train_set, "train_set") if learns else None
    return Parts(
        test_set,
        made.object(job.noise, "noise"),
        train_set,
        made.object(job.train_noise, "train_noise") if learns else None,
        Training(**OmegaConf.to_container(job.training)) if learns else None,  # type: ignore[arg-type]
        made.fingerprint(test_set),
        train_set and made.fingerprint(train_set),
    )


def learns_of(job: DictConfig) -> str:
    """What the method learns from: `nothing`, `dataset` or `image`."""
    return config.class_of(job.method, "method").learns


def _tile(job: DictConfig) -> int | None:
    """The side of tiles, where the method heeds it: the others take what they need of any image."""
    return job.tile if config.class_of(job.method, "method").tiles else None


def protocols_of(job: DictConfig) -> list[Protocol]:
    return [config.instantiate(node, f"protocols.{name}") for name, node in job.protocols.items()]


def loggers_of(job: DictConfig) -> list[loggers.Logger]:
    return [config.instantiate(node, f"loggers.{name}") for name, node in job.loggers.items()]


# --- Identity ----------------------------------------------------------------------------------------------------


def label_of(job: Job, parts: Parts) -> str:
    """The method's YAML name and what differs from it, as `sdap[enhance=true]`."""
    changed = [change for change in job.changed if parts.training or not change.startswith("training.")]
    if job.config.checkpoint is not None:
        changed.append(f"checkpoint={Path(job.config.checkpoint).name}")
    if tile := _tile(job.config):
        changed.append(f"tile={tile}")
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
        | ({"tile": tile} if (tile := _tile(job)) else {})
        | {
            "method": _plain(job.method),
            "training": training and {**training, "budget": job.budget},
            "test": {"set": parts.test_set.name, "images": parts.test_images, "noise": _plain(job.noise)},
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
        "validation": _plain(job.validation), "on": parts.test_images, "under": _plain(job.noise)
    }  # fmt: skip
    return oracle | {
        "method": _plain(job.method),
        "training": _plain(job.training),
        "set": parts.train_set.name,
        "images": parts.train_images,
        "noise": _plain(job.train_noise),
        "precision": job.precision,
    }


def _plain(node: DictConfig) -> Any:
    return OmegaConf.to_container(node, resolve=True)


def plan(jobs: Sequence[Job], *, keep: bool = True) -> list[Cell]:
    """The cells of these jobs, added to the study's plan if it is to keep them; those not done are checked before
    anything runs.

    Raises: ConfigError or FileNotFoundError for what cannot be.
    """
    planned: list[Cell] = []
    made = Made()
    for job in jobs:
        parts = parts_of(job.config, made)
        protocols_of(job.config)
        loggers_of(job.config)
        cell = cell_of(job.config, parts, label_of(job, parts), job.overrides)
        if cell.state != "done" or job.config.force:
            _check_method(job)
            _check_devices(job.config, parts, len(jobs))
        planned.append(cell)
    _check_asked_once(jobs, planned)
    if not keep:
        return planned
    result: dict[tuple[str, str, str], Cell] = {}
    for root, study in dict.fromkeys((cell.root, cell.study) for cell in planned):
        own = [cell for cell in planned if (cell.root, cell.study) == (root, study)]
        result |= {(root, study, cell.key): cell for cell in cells.add_to_plan(cells.study_folder(root, study), own)}
    return [result[cell.root, cell.study, cell.key] for cell in planned]


def _check_asked_once(jobs: Sequence[Job], planned: Sequence[Cell]) -> None:
    """That one cell is not asked for under several protocols by several jobs: the last alone would count."""
    asked: dict[tuple[str, str, str], set[str]] = {}
    for job, cell in zip(jobs, planned, strict=True):
        protocols = set(map(str, job.config.protocols))
        if protocols != asked.setdefault((cell.root, cell.study, cell.key), protocols):
            both = ",".join(sorted(protocols | asked[cell.root, cell.study, cell.key]))
            raise ConfigError(f"{cell} is asked for under several protocols, one at a time: write protocol=[{both}]")


def _check_method(job: Job) -> None:
    """That the method's keys and values fit, and that it is trained if it learns from a data set."""
    config.check(job.config.method, "method")
    if job.has_recipe and learns_of(job.config) != "dataset":
        raise ConfigError(
            f"{job.method} learns from no data set, and its recipe for budget={job.config.budget} sets training.steps"
        )
    if learns_of(job.config) == "image" and job.config.budget != "paper" and not job.recipe_sets:
        raise ConfigError(
            f"{job.method} learns from each image, and budget={job.config.budget} has no recipe for it: choose another budget"
        )
    if job.shard and job.config.checkpoint is None and learns_of(job.config) == "dataset":
        raise ConfigError(f"shard={job.shard}: {job.method} trains one network, which shards would wait for; leave shard out")
    if job.config.tile is not None and learns_of(job.config) == "image":
        raise ConfigError(f"tile={job.config.tile}: {job.method} trains on whole images; leave tile out, or crop the images")
    if job.config.checkpoint is not None:
        if learns_of(job.config) != "dataset":
            raise ConfigError(f"checkpoint={job.config.checkpoint}: {job.method} has no weights to be given")
        return
    if learns_of(job.config) == "dataset" and job.config.training.steps == 0:
        raise ConfigError(
            f"{job.method} learns from a data set, and training.steps is 0: budget={job.config.budget} has no recipe for it, "
            "or it was set so; set training.steps or choose another budget"
        )


def _check_devices(job: DictConfig, parts: Parts, jobs: int) -> None:
    """That the devices are there, and that several are for the one training of a single run, and share out its batches."""
    devices = _devices(job)
    if job.trainer.devices == 1:
        return
    if jobs > 1:
        raise ConfigError(config.SEVERAL_DEVICES)
    if learns_of(job) == "image":
        raise ConfigError("trainer=ddp shares out the batches of a training set, and this method learns from each image alone: "
                          "use trainer=auto, and shard=1/4 and so on for several processes")  # fmt: skip
    if parts.training is None:
        raise ConfigError("trainer=ddp trains one network on several devices, and nothing is trained here: use trainer=auto")
    if parts.training.batch % devices:
        raise ConfigError(
            f"training.batch={parts.training.batch} cannot be shared out evenly by {devices} devices: "
            "set trainer.devices to a divisor of it, or use trainer=auto"
        )


# --- Computing one cell ------------------------------------------------------------------------------------------


Outcome = Literal["done", "partly", "skipped", "failed", "busy"]


def main(job: DictConfig, shard: str | None = None, planned: Mapping[str, Cell] | None = None) -> Outcome:
    """Compute one planned cell as far as it is not done; what goes wrong inside it is kept in its status, not raised.

    shard: `i/n`, only these of its images; it is done once all shards are. `busy`: another process has it in hand.
    planned: the cells of its study by key, where they were read already.
    """
    parts = parts_of(job)
    key = cell_of(job, parts).key
    cell = (cells.read_plan(cells.study_folder(job.root, job.study)) if planned is None else planned).get(key)
    if cell is None:
        console.print(f"cell {key} is not in the plan: its files or code changed while this ran; start it again", style="red")
        return "failed"
    return _attempt(job, cell, parts, protocols_of(job), shard)


def _attempt(job: DictConfig, cell: Cell, parts: Parts, protocols: Sequence[Protocol], shard: str | None) -> Outcome:
    was_done = cell.state == "done" and not job.force
    try:
        with _own(cell, shard), _network_free(cell):
            if ended := _begun(job, cell, parts, protocols, shard):
                return ended
            with loggers.opened(loggers_of(job), _about(job, cell, shard)) as log, _memory_advice(job, parts):
                rows = _compute(job, cell, parts, protocols, shard, log)
    except BusyError:
        return "busy"
    except SystemExit as stopped:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stopped
    except Exception as error:
        if was_done:
            console.print(f"not scored  {cell}: {error}", style="red", markup=False)
        else:
            _fail(cell, error, shard)
        return "failed"
    if rows is None:
        return "partly"
    console.print(f"done     {cell}  {_summary(rows, protocols[0])}", markup=False)
    return "done"


@contextmanager
def _memory_advice(job: DictConfig, parts: Parts) -> Iterator[None]:
    """A GPU that was too small says what of this job can be made smaller. Images are tested one at a time anyway."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()  # for the cells that follow
        raise torch.cuda.OutOfMemoryError(f"{error}; what needs less memory: {', '.join(_smaller(job, parts))}") from error


def _smaller(job: DictConfig, parts: Parts) -> Iterator[str]:
    """Settings of this job that need less memory."""
    if parts.training:
        yield f"training.batch below {job.training.batch}, training.patch below {job.training.patch}"
    if config.class_of(job.method, "method").tiles:
        yield "tile=512" if job.tile is None else f"tile below {job.tile}"
    if "passes_per_batch" in job.method:
        yield "method.passes_per_batch=1"
    if job.precision == 32:
        yield "precision=bf16-mixed"
    if "features" in job.method:
        yield f"method.features below {job.method.features}"
    if "crop" in job.dataset:
        yield "dataset.crop=256"
    yield "trainer=cpu"


@contextmanager
def _own(cell: Cell, shard: str | None) -> Iterator[None]:
    """A cell for this process, or a part of it. Raises: BusyError if another has it, or one of its parts."""
    with ExitStack() as locks:
        parts = [] if shard else sorted(cell.folder.glob(".lock.*of*"))
        for lock in (cell.folder / (f".lock.{_of(shard)}" if shard else ".lock"), *parts):
            locks.enter_context(held(lock))
        yield


def _of(shard: str) -> str:
    return shard.replace("/", "of")


@contextmanager
def _network_free(cell: Cell) -> Iterator[None]:
    """Raises: BusyError where another process trains this cell's network, before anything of the cell is begun."""
    lock = cell.training / ".lock"
    if cell.train_key and lock.is_file() and not (cell.training / "training.json").is_file():
        with held(lock):
            pass
    yield


def _gate(cell: Cell, shard: str | None) -> AbstractContextManager[None]:
    """Shards of one cell begin and end one at a time; without shards the cell is locked anyway."""
    return held(cell.folder / ".lock", wait_s=60.0) if shard else nullcontext()


def _begun(job: DictConfig, cell: Cell, parts: Parts, protocols: Sequence[Protocol], shard: str | None) -> Outcome | None:
    """`done` for a finished cell, `skipped` for an impossible one; None if it is to be computed, and said to run."""
    with _gate(cell, shard):
        if cell.state == "done" and not job.force:
            _score_under(cell, protocols)
            if not shard:
                _log_from_rows(job, cell)
            return "done"
        if reason := _impossible(job, parts):
            cell.set_status("skipped", reason=reason)
            console.print(f"skipped  {cell}: {reason}", style="yellow", markup=False)
            return "skipped"
        _say_running(cell, shard)
        cells.write_atomic(cell.folder / "config.yaml", OmegaConf.to_yaml(job, resolve=True))
        partial = PartialRows(cell.folder, shard)
        (cell.folder / "rows.csv").unlink(missing_ok=True)
        if not shard:
            remove_orphans(cell.folder)
        if job.force:
            partial.forget() if not shard else partial.path.unlink(missing_ok=True)
        _repair(partial, protocols)
        return None


def _about(job: DictConfig, cell: Cell, shard: str | None = None) -> loggers.About:
    return loggers.about_cell(cell, _plain(job), learns_of(job), shard)


def _log_from_rows(job: DictConfig, cell: Cell) -> None:
    """Log a finished cell where a logger has not got all of it: it was done before that logger was asked for, or its
    process was killed between its rows and the end of its run."""
    about = _about(job, cell)
    if lacking := loggers.lacking(loggers_of(job), about):
        rows = [_typed(row) for row in read_rows(cell)]
        with loggers.opened(lacking, about) as log:
            for image in {(row["image"], row["repeat"]): None for row in rows}:
                log.image([row for row in rows if (row["image"], row["repeat"]) == image])
            log.done(rows, cell.folder)


def _typed(row: Row) -> Row:
    """A row of a file as it was before it was written, as far as loggers look at it."""
    numbers = {name: float(row[name]) if row[name] else None for name in loggers.METRICS}
    return {**row, **numbers, "repeat": int(row["repeat"])}


def _say_running(cell: Cell, shard: str | None) -> None:
    """That one shard failed stays said while others run, until it is computed itself."""
    failures = list(cell.folder.glob("failed.*of*")) if shard is None else [_failure(cell, shard)]
    for failure in failures:
        failure.unlink(missing_ok=True)
    if not list(cell.folder.glob("failed.*of*")):
        cell.set_status("running")


def _failure(cell: Cell, shard: str) -> Path:
    return cell.folder / f"failed.{_of(shard)}"


def _fail(cell: Cell, error: Exception, shard: str | None) -> None:
    console.print(f"failed   {cell}: {error}", style="red", markup=False)
    try:
        if shard:
            _failure(cell, shard).touch()
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


def _compute(
    job: DictConfig, cell: Cell, parts: Parts, protocols: Sequence[Protocol], shard: str | None, log: loggers.Log
) -> Sequence[Row] | None:
    """The rows of a cell; None if this was but a part of it, and others are not finished."""
    from denoisebench.denoiser import ImageDenoiser
    from denoisebench.scoring.evaluator import Evaluator
    from denoisebench.scoring.evidence import ReadCount
    from denoisebench.training.fit import load_weights, quiet, trained, trainer_for

    began = time.monotonic()
    keep_freed()
    if job.trainer.threads:
        torch.set_num_threads(job.trainer.threads)
    device, precision = _device(job), PRECISIONS[job.precision]
    partial = PartialRows(cell.folder, shard)
    finished = partial.all()
    method, data = _method_and_data(job, parts, _known(finished) | _of_others(shard, parts, job.repeats))
    training = None
    if job.checkpoint is not None:
        load_weights(method, Path(job.checkpoint).expanduser())
    if parts.training is not None and parts.train_set is not None and parts.train_noise is not None:
        about = loggers.about_training(cell, _plain(job), parts.train_set.name, parts.train_noise.name)
        shared = loggers.Shared(log.working, about)
        devices = _devices(job)
        title = f"training {cell.label} on {parts.train_set.name}, {cell.noise}" + f", {devices} devices" * (devices > 1)
        training = trained(
            method, data, cell.training, title=title, seed=job.seed, device=device, precision=precision,
            checkpoint_s=job.trainer.checkpoint_s, force=job.force and _older_than_plan(cell),
            validate_every=job.validation.every, log=shared, devices=devices,
            others=lambda resume: _followers(job, cell, devices, resume),
        )  # fmt: skip
        shared.catch_up(cell.training)
    tested = time.monotonic()
    identity = _identity_columns(job, cell, parts, method, training)
    total = job.repeats * len(parts.test_set.names)
    for image in finished:
        log.image(image)
    reads = ReadCount()
    with track(f"testing {cell}", total, len(finished)) as advance:
        evaluator = Evaluator(
            cell.folder, cell.inputs, identity, protocols, shard=shard, pictures=job.pictures, done=len(finished),
            advance=advance, on_image=log.image,
        )  # fmt: skip
        if isinstance(method, ImageDenoiser):
            method.on_image_step = _step_reporter(method, evaluator, advance)
        if len(data.test_views):
            with quiet(), sheltered():
                trainer_for(device, precision, [reads, evaluator], cell.folder).test(method, data, verbose=False)
    with _gate(cell, shard):
        done = partial.all()
        if len(done) < total:
            console.print(
                f"part     {cell}, shard {shard}: {total - len(done)} of {total} images are left to others", markup=False
            )
            return None
        # An image finished under another commit, before an interruption, keeps that commit.
        scenes = {name: parts.test_set.scene(index) for index, name in enumerate(parts.test_set.names)}
        rows = [
            {**row, **identity, "commit": row["commit"], "scene": scenes[row["image"]]}
            for image in _in_order(done, parts.test_set)
            for row in image
        ]
        ended = time.monotonic()
        made_with = manifest(training=training["seconds"] if training else 0.0, testing=ended - tested, all=ended - began)
        made_with["training_devices"] = training.get("devices", 1) if training else None
        made_with["evidence"] = _evidence(job, parts, method, training, reads.summary())
        cells.write_atomic(cell.folder / "manifest.json", json.dumps(made_with, indent=1))
        partial.finish(rows)
        cell.set_status("done", images=total)
        partial.forget()
    log.done(rows, cell.folder)
    return rows


def _method_and_data(
    job: DictConfig, parts: Parts, skip: Collection[tuple[str, int]] = (), *, validated: bool = True
) -> "tuple[Denoiser, DataModule]":
    from denoisebench.datasets.datamodule import DataModule

    with isolated_rng(seed_from(job.seed, "weights")):
        method: Denoiser = config.instantiate(job.method, "method")
    method.tile = _tile(job)
    if job.precision != 32:
        method.to(memory_format=torch.channels_last)  # a fifth faster in bfloat16; in float32 a network says so itself
    data = DataModule(
        parts.test_set, parts.noise, job.seed, repeats=job.repeats, skip=skip,
        train_set=parts.train_set, train_noise=parts.train_noise, training=parts.training, target=method.target,
        validation_images=job.validation.images if validated and job.validation.every and parts.training else 0,
    )  # fmt: skip
    return method, data


def _followers(job: DictConfig, cell: Cell, devices: int, resume: Path | None) -> AbstractContextManager[None]:
    """The other ranks of a training on several devices."""
    if devices == 1:
        return nullcontext()
    order = {"job": _plain(job), "resume": resume and str(resume), "folder": str(cell.training)}
    return ranks.led(FOLLOW, order, devices, _device(job), lambda error: _fail(cell, error, None))


def follow() -> NoReturn:
    """What another rank of a training runs: the same training, without a word or a file."""
    ranks.follow(_ready_to_train)


def _ready_to_train(order: dict[str, Any]) -> Callable[[], object]:
    from denoisebench.training.fit import fit

    keep_freed()
    job, resume = DictConfig(order["job"]), order["resume"]
    method, data = _method_and_data(job, parts_of(job, _Unread()), validated=False)
    return lambda: fit(
        method, data, Path(order["folder"]), resume and Path(resume), seed=job.seed, device=_device(job),
        precision=PRECISIONS[job.precision],
        devices=_devices(job), checkpoint_s=job.trainer.checkpoint_s,
    )  # fmt: skip


def _of_others(shard: str | None, parts: Parts, repeats: int) -> set[tuple[str, int]]:
    """The images and repeats that belong to the other shards."""
    every = [(name, repeat) for repeat in range(repeats) for name in parts.test_set.names]
    if shard is None:
        return set()
    number, count = map(int, shard.split("/"))
    return set(every) - set(every[number - 1 :: count])


def _known(images: Sequence[Sequence[Row]]) -> set[tuple[str, int]]:
    return {(rows[0]["image"], rows[0]["repeat"]) for rows in images}


def _in_order(images: Sequence[list[Row]], test_set: ImageSet) -> list[list[Row]]:
    """As the data set has them, repeats outside, whichever process finished first."""
    place = {name: number for number, name in enumerate(test_set.names)}
    return sorted(images, key=lambda rows: (rows[0]["repeat"], place[rows[0]["image"]]))


def _evidence(
    job: DictConfig, parts: Parts, method: Any, training: dict[str, Any] | None, test_reads: dict[str, int]
) -> dict[str, Any]:
    """What the report's audit ticks rest on: counts and measurements of this run; None for what there was not."""
    from denoisebench.scoring.evidence import blind_spot

    first = NoisyViews(parts.test_set, parts.noise, job.seed, 1, ())[0]
    return {
        "training_reads": training.get("reads") if training else None,
        "test_reads": test_reads,
        "images": parts.train_set and {
            "training": len(parts.train_set.scenes), "test": len(parts.test_set.scenes),
            "shared": photographs_shared(parts.train_set, parts.test_set),
        },
        "blind_spot": blind_spot(method, first.noisy, first.seed),
    }  # fmt: skip


def _step_reporter(method: Any, evaluator: Any, advance: Advance) -> Callable[[int, float], None]:
    """Progress inside an image: its steps count as parts of it, so that the remaining time is told from the start."""
    return lambda step, loss: advance(
        evaluator.done + 0.99 * step / method.num_steps, f"step {step}/{method.num_steps}, loss {loss:.4g}"
    )


def _repair(partial: PartialRows, protocols: Sequence[Protocol]) -> None:
    """A torn last line goes; an interrupted test that was scored under other protocols starts anew."""
    wanted = [protocol.name for protocol in protocols]
    if any([row["protocol"] for row in image] != wanted for image in partial.all()):
        if partial.shard:
            raise ValueError("other shards of this cell were scored under other protocols: use theirs, or leave shard out")
        partial.forget()
    partial.begin()


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


def _devices(job: DictConfig) -> int:
    """How many devices train a cell together. Raises: ConfigError if there are not so many."""
    asked, gpus = job.trainer.devices, torch.cuda.device_count()
    if _device(job) == "cpu" and asked == "auto":
        raise ConfigError("trainer=ddp: PyTorch finds no CUDA device here; use trainer=auto, or say how many processes are to "
                          "train on the CPU, as trainer.devices=2")  # fmt: skip
    if _device(job) == "gpu" and asked != "auto" and asked > gpus:
        raise ConfigError(f"trainer.devices={asked}: PyTorch finds {gpus} CUDA devices here; set at most {gpus}, or auto")
    return gpus if asked == "auto" else asked


def _score_under(cell: Cell, protocols: Sequence[Protocol]) -> None:
    """Rows of the protocols that a finished cell was not yet scored under, made from its kept outputs."""
    from denoisebench.scoring.evaluator import rescored

    rows = read_rows(cell)
    scored = {row["protocol"] for row in rows}
    first = [row for row in rows if row["protocol"] == rows[0]["protocol"]]
    new = [row for p in protocols if p.name not in scored for row in rescored(first, p, cell.folder, cell.inputs)]
    if new:
        cells.write_csv(cell.folder / "rows.csv", cells.COLUMNS, [*rows, *new])
        console.print(f"scored   {cell}  under {', '.join(sorted({row['protocol'] for row in new}))}", markup=False)


def rescore(planned: Sequence[Cell], protocols: Sequence[Protocol]) -> int:
    """Score the kept outputs of finished cells under further protocols; returns how many cells could not be."""
    failures = 0
    for cell in planned:
        if cell.state != "done":
            continue
        try:
            with held(cell.folder / ".lock"):
                _score_under(cell, protocols)
        except (BusyError, OSError, ValueError) as error:
            failures += 1
            console.print(f"not scored  {cell}: {error}", style="red", markup=False)
    return failures


def read_rows(cell: Cell) -> list[Row]:
    with (cell.folder / "rows.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def is_left(job: Job, cell: Cell) -> bool:
    """Whether there is something to do: the cell is not done, or not scored or logged as its job asks for."""
    return cell.state != "done" or job.config.force or lacks_protocols(job, cell) or _lacks_log(job, cell)


def _lacks_log(job: Job, cell: Cell) -> bool:
    own = loggers_of(job.config)
    return bool(own) and not job.shard and bool(loggers.lacking(own, _about(job.config, cell)))


def lacks_protocols(job: Job, cell: Cell) -> bool:
    """Whether a finished cell was not scored under a protocol that its job asks for."""
    return cell.state == "done" and bool(set(job.config.protocols) - {row["protocol"] for row in read_rows(cell)})


def impossible_reason(job: Job, made: Made | None = None) -> str | None:
    """Why this cell cannot be, and the way out; None for a possible one."""
    return _impossible(job.config, parts_of(job.config, made))


def notes_of(jobs: Sequence[Job], planned: Sequence[Cell]) -> list[str]:
    """What the loggers of a command say at its end, once for each study."""
    notes = [
        logger.note(cells.study_folder(cell.root, cell.study))
        for job, cell in zip(jobs, planned, strict=True)
        for logger in loggers_of(job.config)
    ]
    return [note for note in dict.fromkeys(notes) if note]


def _summary(rows: Sequence[Row], protocol: Protocol) -> str:
    own = [row for row in rows if row["protocol"] == protocol.name]
    seconds = sum(row["seconds"] for row in own)
    scores = [row["psnr_db"] for row in own if row["psnr_db"] is not None]
    mean = f"{sum(scores) / len(scores):.2f} dB, " if scores else "no clean images, "
    return f"{mean}{len(own)} images in {duration(seconds)}"
