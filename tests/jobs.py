"""From overrides to jobs and cells, in this process, without Hydra's launcher."""

import copy
import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from omegaconf import OmegaConf

from denoisebench.config import compose_one, conf_dir, groups
from denoisebench.config.jobs import job_of, jobs
from denoisebench.config.parts import instantiate
from denoisebench.denoiser import Denoiser
from denoisebench.job import Job
from denoisebench.store.cell import Cell
from denoisebench.study import contract
from denoisebench.study.cell import compute
from denoisebench.study.planning import plan

# The same code in a sixth of the time.
QUICKER: dict[str, dict[str, Any]] = {name: {"profile": "lc"} for name in ("bm3d", "bm3d_correlated")}


def quicker(name: str) -> list[str]:
    """Overrides under which a method runs the same code in less time."""
    return [f"method.{key}={value}" for key, value in QUICKER.get(name, {}).items()]


def planned(*overrides: str) -> list[Job]:
    """The jobs of a sweep, in the plan of their study."""
    return plan(jobs(overrides, multirun=True))


def one(*overrides: str) -> Job:
    """One job, not planned."""
    return job_of(overrides)


def computed(*overrides: str) -> list[Cell]:
    """The cells of a sweep, planned and computed."""
    result = planned(*overrides)
    for job in result:
        compute(job)
    return [job.cell for job in result]


@functools.cache
def _method(*overrides: str) -> dict[str, Any]:
    """Composed once in each process."""
    return compose_one(overrides).plain["method"]


def method_settings(*overrides: str) -> SimpleNamespace:
    """The settings of the method that these overrides compose, no class imported."""
    return SimpleNamespace(**copy.deepcopy(_method(*overrides)))


def built(*overrides: str) -> Any:
    """The method that these overrides compose, its weights drawn from the global generator."""
    return instantiate(copy.deepcopy(_method(*overrides)), "method", Denoiser)


@functools.cache
def subject(name: str, *overrides: str) -> contract.Subject:
    """What the contract is asked of a method, composed once in each process."""
    return contract.subject(name, overrides)


def written(group: str, name: str) -> dict[str, Any]:
    """A file of conf/ as it is written, not composed: for what is asked while tests are collected, in each of their processes."""
    found = OmegaConf.load(Path(conf_dir()) / group / f"{name}.yaml")
    return cast(dict[str, Any], OmegaConf.to_container(found, resolve=False))


NEED_FILES = ("network", "outputs")  # methods that are nothing without a file of the user's
METHODS = [name for name in groups()["method"] if name not in NEED_FILES]
