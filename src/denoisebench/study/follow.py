"""The other ranks of a training on several devices: processes that make the same job from the same overrides."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from denoisebench.config.jobs import job_of
from denoisebench.config.parts import Made
from denoisebench.job import Job
from denoisebench.scoring.memory import keep_freed
from denoisebench.study.engines import engine_of
from denoisebench.study.failures import fail
from denoisebench.study.making import method_and_data
from denoisebench.training import ranks
from denoisebench.training.engine import Engine
from denoisebench.training.fit import Course, Told, fit

FOLLOW = "from denoisebench.study.follow import follow; follow()"


def followers(job: Job, engine: Engine, resume: Path | None) -> AbstractContextManager[None]:
    """They train with this process while the block runs. resume: the checkpoint that the training continues from."""
    order = {"overrides": job.overrides, "folder": str(job.cell.training), "resume": resume and str(resume)}
    return ranks.led(FOLLOW, order, engine.devices, engine.device, lambda error: fail(job.cell, error, None))


def follow() -> None:
    """What the process of another rank runs; it ends without a word or a file."""
    ranks.follow(_ready_to_train)


def _ready_to_train(order: dict[str, Any]) -> Callable[[], object]:
    keep_freed()
    job = job_of(order["overrides"], Made(fingerprints=False))
    method, data = method_and_data(job, validated=False)
    course, resume = Course(job.seed, engine_of(job)), order["resume"]
    return lambda: fit(method, data, Path(order["folder"]), resume and Path(resume), course, Told())
