"""The rows of one cell: its network trained or loaded, every image denoised and scored, what it was made with noted."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from denoisebench.datasets.datamodule import DataModule
from denoisebench.datasets.images import ImageSet, photographs_shared
from denoisebench.datasets.views import SECOND_VIEW, NoisyViews, fixed_view
from denoisebench.denoiser import Denoiser, ImageDenoiser
from denoisebench.job import Job
from denoisebench.progress import Advance, console, counted, track
from denoisebench.scoring.evaluator import Evaluator, Listener
from denoisebench.scoring.evidence import ReadCount, blind_spot, noise_structure
from denoisebench.scoring.further import keep
from denoisebench.scoring.keeper import Keeping
from denoisebench.scoring.memory import keep_freed
from denoisebench.store.files import write_atomic
from denoisebench.store.manifest import manifest
from denoisebench.store.rows import PartialRows, Row
from denoisebench.study import again
from denoisebench.study.columns import identity_columns, of_image, slices_of, train_noise
from denoisebench.study.drawn import drawn
from denoisebench.study.engines import engine_of
from denoisebench.study.follow import followers
from denoisebench.study.making import method_and_data
from denoisebench.study.ownership import gate
from denoisebench.study.slices import one_network_for_slices
from denoisebench.tracking.about import about_training
from denoisebench.tracking.log import Log, Shared
from denoisebench.training.engine import Engine
from denoisebench.training.fit import Course, Told, quiet, trained, trainer_for
from denoisebench.training.origin import Origin
from denoisebench.training.surroundings import sheltered
from denoisebench.training.weights import load_weights


@dataclass(frozen=True)
class Made:
    """What a cell is computed with. training: what its `training.json` says, where a network was trained."""

    method: Denoiser
    data: DataModule
    engine: Engine
    training: Mapping[str, Any] | None


def computed(job: Job, log: Log) -> Sequence[Row] | None:
    """The rows of a cell; None if this was but a shard of it, and others are not finished."""
    began = time.monotonic()
    keep_freed()
    if job.trainer.threads:
        torch.set_num_threads(job.trainer.threads)
    finished = PartialRows(job.cell.folder, job.shard).all()
    made = _made(job, log, {(rows[0]["image"], rows[0]["repeat"]) for rows in finished} | _of_others(job))
    tested = time.monotonic()
    identity = identity_columns(job, made.method, made.training)
    if job.learning and any(row["weights_sha"] != identity["weights_sha"] for rows in finished for row in rows):
        told = f"its network was trained again after {counted(len(finished), 'image')} had been denoised; they are denoised again"
        console.print(f"stale    {job.cell}: {told}", style="yellow", markup=False)
        again.begin(job)
        finished, made = [], replace(made, data=method_and_data(job, _of_others(job))[1])
    for image in finished:
        log.image(image)
    reads = _test(job, made, identity, len(finished), log)
    with gate(job.cell, job.shard):
        done = PartialRows(job.cell.folder, job.shard).all()
        if len(done) < job.views:
            left = f"{job.views - len(done)} of {job.views} images are still to come from other shards"
            console.print(f"part     {job.cell}, shard {job.shard} done: {left}", markup=False)
            return None
        rows = _complete(done, job, identity)
        ended = time.monotonic()
        _write(job, made, rows, reads, {"testing": ended - tested, "all": ended - began})
    log.done(rows, job.cell.folder)
    return rows


def _of_others(job: Job) -> set[tuple[str, int]]:
    """The images and repeats that belong to other shards."""
    return set(replace(job, shard=None).own_views) - set(job.own_views)


def _made(job: Job, log: Log, skip: set[tuple[str, int]]) -> Made:
    engine, (method, data) = engine_of(job), method_and_data(job, skip)
    if weights := job.checkpoint or job.init:
        load_weights(method, weights)
    return Made(method, data, engine, _training(job, method, data, engine, log) if job.learning else None)


def _training(job: Job, method: Denoiser, data: DataModule, engine: Engine, log: Log) -> dict[str, Any]:
    assert job.learning
    cell, own = job.cell, job.learning
    shared = Shared(log.working, about_training(cell, job.plain, own.images.name, own.noise.name))
    title = f"training {cell.label} on {own.images.name}, {cell.noise}" + f", {engine.devices} devices" * (engine.devices > 1)

    def others(resume: Path | None) -> AbstractContextManager[None]:
        return followers(job, engine, resume) if engine.devices > 1 else nullcontext()

    code = {name: one for name, one in job.code.items() if name.partition(".")[0] in ("method", "train_noise")}
    origin = Origin.of(own.images.name, train_noise(job), job.budget, own.selection, own.images.sources)
    course = Course(job.seed, engine, own.validation.every, again.trains_again(job), again.asked_by(cell), code, origin)
    about = trained(method, data, cell.training, course, Told(title, shared), others)
    shared.catch_up(cell.training)
    return about


def _test(job: Job, made: Made, identity: Mapping[str, Any], finished: int, log: Log) -> ReadCount:
    """Denoise and score every image that is left; the evaluator keeps their rows."""
    reads, cell = ReadCount(), job.cell
    made.method.self_ensemble = job.ensemble is not None  # of the test alone: a training has no part in it
    with track(f"testing {cell}", job.views, finished, "testing") as advance:
        evaluator = Evaluator(
            Keeping(cell.folder, cell.inputs, job.shard, job.pictures, _files(job.test_set)), identity, job.protocols,
            made.data.withheld,
            done=finished, listener=Listener(advance, log.image),
            measures=job.measures,
        )  # fmt: skip
        if isinstance(made.method, ImageDenoiser):
            made.method.on_image_step = _step_reporter(made.method, evaluator, advance)
        if len(made.data.test_views):
            engine, callbacks = replace(made.engine, devices=1), [reads, evaluator, *one_network_for_slices(job)]
            with quiet(), sheltered(), engine.exact():
                trainer_for(engine, callbacks, cell.folder).test(made.method, made.data, verbose=False)
    return reads


def _files(images: ImageSet) -> dict[str, tuple[Path | None, Path | None]]:
    return {name: images.files_of(index) for index, name in enumerate(images.names)}


def _step_reporter(method: ImageDenoiser, evaluator: Evaluator, advance: Advance) -> Callable[[int, float], None]:
    """Progress inside an image: its steps count as parts of it, so that the remaining time is told from the start."""
    return lambda step, loss: advance(
        evaluator.done + 0.99 * step / method.num_steps, f"step {step}/{method.num_steps}, loss {loss:.4g}"
    )


def _complete(done: Sequence[list[Row]], job: Job, identity: Mapping[str, Any]) -> list[Row]:
    """The rows of all images in the data set's order; one finished under another commit, before an interruption, keeps it."""
    scenes = {name: job.test_set.scene(index) for index, name in enumerate(job.test_set.names)}
    slices = slices_of(job)
    return [
        {**row, **of_image(identity, row["image"], slices), "commit": row["commit"], "scene": scenes[row["image"]]}
        for image in _in_order(done, job.test_set)
        for row in image
    ]


def _in_order(images: Sequence[list[Row]], test_set: ImageSet) -> list[list[Row]]:
    """As the data set has them, repeats outside, whichever process finished first."""
    place = {name: number for number, name in enumerate(test_set.names)}
    return sorted(images, key=lambda rows: (rows[0]["repeat"], place[rows[0]["image"]]))


def _write(job: Job, made: Made, rows: Sequence[Row], reads: ReadCount, seconds: Mapping[str, float]) -> None:
    cell, training = job.cell, made.training
    made_with = manifest(training=training["seconds"] if training else 0.0, **seconds)
    made_with["training_devices"] = training.get("devices", 1) if training else None
    made_with |= drawn(job)
    made_with["evidence"] = _evidence(job, made, reads.summary())
    write_atomic(cell.folder / "manifest.json", json.dumps(made_with, indent=1))
    keep(cell.folder, job.measures)
    partial = PartialRows(cell.folder, job.shard)
    partial.finish(rows)
    cell.set_status("done", images=job.views)
    partial.forget()


def _evidence(job: Job, made: Made, test_reads: dict[str, int]) -> dict[str, Any]:
    """What the report's audit ticks rest on: counts and measurements of this run; None for what there was not."""
    views = NoisyViews(job.test_set, job.noise, job.seed, 1, ())
    first = views[0]
    second = None if job.test_set.has_noisy else fixed_view(job.test_set, job.noise, 0, job.seed, SECOND_VIEW)[0]
    own = job.learning
    return {
        "training_reads": made.training.get("reads") if made.training else None,
        "test_reads": test_reads,
        "images": own and {
            "training": len(own.images.scenes), "test": len(job.test_set.scenes),
            "shared": photographs_shared(own.images, job.test_set),
        },
        "blind_spot": blind_spot(made.method, views.given(0).noisy, first.seed),
        "noise": noise_structure(first.name[0], first.noisy, first.clean, second),
    }  # fmt: skip
