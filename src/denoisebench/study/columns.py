"""The columns that are equal in all rows of a cell."""

from collections.abc import Mapping
from typing import Any

from denoisebench.datasets.images import file_hash
from denoisebench.denoiser import Denoiser
from denoisebench.ensemble import VIEWS
from denoisebench.job import Job
from denoisebench.scoring.cost import cost
from denoisebench.store.manifest import commit
from denoisebench.training.origin import Origin, origin_of
from denoisebench.training.weights import weights_sha
from denoisebench.versions import version_of

FROM_STACK = "learned_from_stack"


def identity_columns(job: Job, method: Denoiser, training: Mapping[str, Any] | None) -> dict[str, Any]:
    """training: what its `training.json` says, for a method that was trained here."""
    learned = job.checkpoint is not None or job.learning
    return {
        "study": job.cell.study, **claimed_columns(job, method, training), "commit": commit(),
        "train_seconds": _train_seconds(job, training),
        **cost(method, job.test_set.channels, job.seed).columns, "weights_sha": weights_sha(method) if learned else "",
    }  # fmt: skip


def claimed_columns(job: Job, method: Denoiser, training: Mapping[str, Any] | None) -> dict[str, Any]:
    """Those of them that follow from the job and what trained its weights, before anything is computed."""
    cell = job.cell
    return {
        "method": cell.label, "dataset": cell.dataset, "noise": cell.noise, "seed": job.seed,
        "learns": method.learns, **_training_columns(job, training),
        "tags": " ".join([*_method_tags(job, method), *_training_tags(job, training), *_tuning_tags(job)]),
        "precision": job.precision, "key": cell.key, "setup": cell.setup, "weights": _weights(job),
        "family": method.family, "averaged": method.averaged * (VIEWS if job.ensemble else 1),
        "dataset_version": version_of(job.test_set), "noise_version": version_of(job.noise),
    }  # fmt: skip


def slices_of(job: Job) -> frozenset[str]:
    """The images that are denoised by the network of their stack."""
    return frozenset(job.test_set.stacks if job.learn else ())


def of_image(columns: Mapping[str, Any], image: str, slices: frozenset[str]) -> dict[str, Any]:
    """The columns of an image: `learned_from_stack` is a tag of slices alone."""
    tags = columns["tags"].split()
    return {**columns, "tags": " ".join(tag for tag in tags if tag != FROM_STACK or image in slices)}


def _training_columns(job: Job, training: Mapping[str, Any] | None) -> dict[str, Any]:
    if job.checkpoint is not None:
        origin = origin_of(job.checkpoint)
        known = origin or Origin(trained_on="unknown: weights given")
        return {
            "trained_on": known.trained_on, "train_noise": known.train_noise, "train_steps": known.steps,
            "selection": "given", "budget": known.budget,
        }  # fmt: skip
    own = job.learning
    return {
        "trained_on": own.images.name if own else "", "train_noise": train_noise(job), **_train_steps(job, training),
        "selection": own.selection if own else "",
        "budget": job.budget if job.method.learns != "nothing" else "",
    }  # fmt: skip


def _train_steps(job: Job, training: Mapping[str, Any] | None) -> dict[str, int | None]:
    """Where held-out images end a training, only that training knows after how many."""
    own = job.learning
    if own is None or own.holdout is None:
        return {"train_steps": own and own.training.steps}
    return {"train_steps": training["steps"]} if training and "steps" in training else {}


def _train_seconds(job: Job, training: Mapping[str, Any] | None) -> float | None:
    if job.checkpoint is not None:
        origin = origin_of(job.checkpoint)
        return origin.seconds if origin else None
    return training["seconds"] if training else None


def train_noise(job: Job) -> str:
    if job.learning is None:
        return ""
    own = job.learning
    return own.noise.name + ("" if own.images.has_noisy else f" {own.training.noise}")


def _weights(job: Job) -> str:
    """The file of weights that was tested or trained on from, with the beginning of its SHA-256."""
    file = job.checkpoint or job.init
    return f"{job.plain['weights'] or file.name} {file_hash(file)[:12]}" if file else ""


def _method_tags(job: Job, method: Denoiser) -> list[str]:
    """Those of the method; a level that it was told is an oracle's only where it is the noise's own."""
    key = "lam" if job.method.settings.get("noise_model") == "poisson" else "sigma"
    true = job.noise.true_level.get(key) == job.method.settings.get(key)
    own = [tag if tag != "oracle_sigma" or true else "sigma_given" for tag in method.tags]
    return [*own, *(["self_ensemble"] if job.ensemble else []), *([FROM_STACK] if job.learn else [])]


def _tuning_tags(job: Job) -> list[str]:
    """Whether clean images chose its settings."""
    return ["oracle_tuned"] if job.plain["tuned_by"] == "oracle" else []


def _training_tags(job: Job, training: Mapping[str, Any] | None) -> list[str]:
    """Those of what trained its weights, here or where they come from."""
    given = job.checkpoint or job.init
    origin, own = origin_of(given) if given else None, job.learning
    tags = {
        "transductive": bool(own and own.images.sources & job.test_set.sources)
        or bool(origin and origin.sources and origin.shares_photographs(job.test_set.sources)),
        "oracle_selected": bool(own and own.training.selection == "oracle") or bool(origin and origin.selection == "oracle"),
        "stale_training": bool(training and training["stale"]),
        "weights_given": bool(given and origin is None),
    }
    return [tag for tag, holds in tags.items() if holds]
