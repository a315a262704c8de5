"""The columns that are equal in all rows of a cell."""

from collections.abc import Mapping
from typing import Any

from denoisebench.denoiser import Denoiser
from denoisebench.job import Job
from denoisebench.scoring.cost import cost
from denoisebench.store.manifest import commit
from denoisebench.training.weights import weights_sha
from denoisebench.versions import version_of


def identity_columns(job: Job, method: Denoiser, training: Mapping[str, Any] | None) -> dict[str, Any]:
    """training: what its `training.json` says, for a method that was trained here."""
    claimed = claimed_columns(job, method, training)
    learned = job.checkpoint is not None or job.learning
    return {
        "study": job.cell.study, **claimed, "train_seconds": training["seconds"] if training else None, "commit": commit(),
        **cost(method, job.test_set.channels, job.seed).columns, "weights_sha": weights_sha(method) if learned else "",
    }  # fmt: skip


def claimed_columns(job: Job, method: Denoiser, training: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those of them that follow from the job, before anything is computed."""
    cell, given = job.cell, job.checkpoint is not None
    selection = "given" if given else job.learning.training.selection if job.learning else ""
    return {
        "method": cell.label, "dataset": cell.dataset, "noise": cell.noise, "seed": job.seed,
        "learns": method.learns, "trained_on": _trained_on(job), "train_noise": _train_noise(job),
        "train_steps": job.learning.training.steps if job.learning else None, "selection": selection,
        "budget": job.budget if method.learns != "nothing" and not given else "",
        "tags": " ".join([*method.tags, *_training_tags(job, training)]),
        "precision": job.precision, "key": cell.key, "setup": cell.setup, "family": method.family, "averaged": method.averaged,
        "dataset_version": version_of(job.test_set), "noise_version": version_of(job.noise),
    }  # fmt: skip


def _trained_on(job: Job) -> str:
    if job.checkpoint is not None:
        return "unknown: weights given"
    return job.learning.images.name if job.learning else ""


def _train_noise(job: Job) -> str:
    if job.learning is None:
        return ""
    own = job.learning
    return own.noise.name + ("" if own.images.has_noisy else f" {own.training.noise}")


def _training_tags(job: Job, training: Mapping[str, Any] | None) -> list[str]:
    if job.learning is None:
        return []
    tags = {
        "transductive": bool(job.learning.images.sources & job.test_set.sources),
        "oracle_selected": job.learning.training.selection == "oracle",
        "stale_training": bool(training and training["stale"]),
    }
    return [tag for tag, holds in tags.items() if holds]
