"""Composed configurations -> jobs: classes imported, objects made, and what identifies each cell.

This is where a configuration ends: whatever runs knows jobs.
"""

import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from denoisebench.config import named_weights
from denoisebench.config.checks import check_arguments
from denoisebench.config.composed import Composed, compose_all, compose_one
from denoisebench.config.errors import ConfigError, DataError
from denoisebench.config.image_sets import Steps, image_set
from denoisebench.config.parts import TARGET, Made, arguments_of, class_of, instantiate
from denoisebench.datasets.images import ImageSet, file_hash
from denoisebench.datasets.views import Holdout, Training
from denoisebench.denoiser import Denoiser
from denoisebench.job import Job, Learning, Method, Trainer, Unmade, Validation
from denoisebench.noise import NoiseModel
from denoisebench.scoring.further import Further, further_of
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.cell import Cell, key_of
from denoisebench.store.code import code_of
from denoisebench.tracking.about import Logger


def jobs(overrides: Sequence[str], *, multirun: bool) -> list[Job]:
    """The job of each cell of a command line.

    Raises: ConfigError or FileNotFoundError for what is not valid, with the nearest valid choices.
    """
    made = Made()
    return [made_of(one, made) for one in compose_all(overrides, multirun=multirun)]


def made_or_not(composed: Sequence[Composed]) -> tuple[list[Job], list[Unmade]]:
    """The jobs of these configurations, and the cells that lack a file or a set of images. Raises: ConfigError."""
    made, found, not_made = Made(), [], []
    for one in composed:
        try:
            found.append(made_of(one, made))
        except (OSError, DataError) as error:
            label = one.method + (f"[{','.join(one.changed)}]" if one.changed else "")
            not_made.append(Unmade(label, one.dataset, one.noise, one.plain["seed"], error))
    return found, not_made


def job_of(overrides: Sequence[str], made: Made | None = None) -> Job:
    """The job of one cell. Raises: ConfigError or FileNotFoundError."""
    return made_of(compose_one(overrides), made or Made())


def made_of(one: Composed, made: Made) -> Job:
    """A composed configuration as a job. Raises: ConfigError or FileNotFoundError."""
    plain = one.plain
    noise: NoiseModel = made.object(plain["noise"], "noise", NoiseModel)  # first: a method may be told its level
    method = _method_of(one)
    test_set = _images_of("dataset", plain, made)
    learning = _learning_of(plain, method, made)
    job = Job(
        overrides=one.overrides, launch=one.launch, plain=plain, cell=_NO_CELL, method=method, test_set=test_set, noise=noise,
        learning=learning,
        protocols=tuple(made.object(node, f"protocols.{name}", Protocol) for name, node in plain["protocols"].items()),
        loggers=tuple(made.object(node, f"loggers.{name}", Logger) for name, node in plain["loggers"].items()),
        trainer=Trainer(**plain["trainer"]), seed=plain["seed"], repeats=plain["repeats"], precision=plain["precision"],
        tile=plain["tile"] if method.cls.tiles else None, checkpoint=_tested(plain),
        init=_file_of(plain, "init"), budget=plain["budget"],
        pictures=plain["pictures"], force=plain["force"], shard=one.shard,
        code=code_of(dict(_targets(plain, trained=learning is not None))), measures=measures_of(plain["measures"]),
        ensemble=plain["ensemble"],
    )  # fmt: skip
    return replace(job, cell=_cell_of(job, one, made))


def _targets(plain: Mapping[str, Any], *, trained: bool) -> Iterator[tuple[str, str]]:
    """The classes that compute a cell, by what they are to it."""
    yield from _in_node("method", plain["method"])
    yield from _in_node("noise", plain["noise"])
    if trained:
        yield from _in_node("train_noise", plain["train_noise"])
    for name, node in plain["protocols"].items():
        yield from _in_node(f"protocol {name}", node)


def _in_node(name: str, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield name, node[TARGET]
    for key, inner in node.items():
        if isinstance(inner, Mapping) and TARGET in inner:
            yield from _in_node(f"{name}.{key}", inner)


def protocols_of(names: Sequence[str]) -> list[Protocol]:
    """The protocols of these names. Raises: ConfigError."""
    plain = compose_one([f"protocol=[{','.join(names)}]"]).plain
    return [instantiate(node, f"protocols.{name}", Protocol) for name, node in plain["protocols"].items()]


def measures_of(names: Sequence[str]) -> tuple[Further, ...]:
    """The measures of these names beside PSNR and SSIM. Raises: ConfigError."""
    try:
        return further_of(names)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def test_set_of(kept: Path) -> ImageSet:
    """The test set that a cell's `config.yaml` names, read from where data sets lie today."""
    node: Any = OmegaConf.to_container(OmegaConf.load(kept))
    root = os.environ.get("DENOISEBENCH_DATA") or node["dataset"].get("root")
    return image_set({**node["dataset"], "root": root}, "dataset", Steps.of(node["dataset"]))


def _images_of(key: str, plain: Mapping[str, Any], made: Made) -> ImageSet:
    """The test set or the training set: what is done to the images of the one is done to those of the other."""
    node, steps = plain[key], Steps.of(plain["dataset"])
    return made.once(f"{key} {steps} {json.dumps(node, sort_keys=True)}", lambda: image_set(node, key, steps))


_NO_CELL = Cell("", "", "", "", "", 0, "", "")


def _method_of(one: Composed) -> Method:
    node = one.plain["method"]
    cls = class_of(node, "method", Denoiser)
    check_arguments(cls, arguments_of(node), "method")
    make = functools.partial(instantiate, node, "method", Denoiser)
    return Method(one.method, cls, arguments_of(node), make, one.has_recipe, one.recipe_sets)


def _learning_of(plain: Mapping[str, Any], method: Method, made: Made) -> Learning | None:
    if _tested(plain) is not None or plain["training"]["steps"] == 0 or method.learns != "dataset":
        return None
    if "train_set" not in plain:
        raise ConfigError("this data set has no training set of its own: choose one, e.g. train_set=bsds500")
    images = _images_of("train_set", plain, made)
    noise = made.object(plain["train_noise"], "train_noise", NoiseModel)
    holdout = Holdout(**plain["holdout"]) if plain["stop"] == "holdout" else None
    return Learning(images, noise, Training(**plain["training"]), Validation(**plain["validation"]), holdout)


def _tested(plain: Mapping[str, Any]) -> Path | None:
    """The file of weights that is tested instead of training."""
    if plain["weights"] is None:
        return _file_of(plain, "checkpoint")
    return named_weights.whole(plain["weights"]).file


def _file_of(plain: Mapping[str, Any], key: str) -> Path | None:
    if plain.get(key) is None:
        return None
    path = Path(plain[key]).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{key}={plain[key]}: no such file")
    return path


# --- Identity ----------------------------------------------------------------------------------------------------


def _cell_of(job: Job, one: Composed, made: Made) -> Cell:
    """The cell of a job. Its key hashes what changes its pixels, and nothing else: no path, device or protocol."""
    training = _training_identity(job, made)
    given = {} if job.checkpoint is None else {"checkpoint": file_hash(job.checkpoint)}
    budget = {"budget": job.budget} if job.method.learns == "image" else {}
    tile = {"tile": job.tile} if job.tile else {}
    ensemble = {"ensemble": job.ensemble} if job.ensemble else {}
    test = {"set": job.test_set.name, "images": made.fingerprint(job.test_set), "noise": job.plain["noise"]}
    setup = {
        **given, **budget, **tile, **ensemble,
        "method": _method_identity(job),
        "training": training and {**training, "budget": job.budget},
        "test": test,
        "repeats": job.repeats,
        "precision": job.precision,
    }  # fmt: skip
    return Cell(
        root=job.plain["root"], study=job.plain["study"], label=_label_of(job, one), dataset=job.test_set.name,
        noise=job.noise.name, seed=job.seed, key=key_of({**setup, "seed": job.seed}), setup=key_of(setup),
        train_key=key_of({**training, "seed": job.seed}) if training else None, overrides=job.overrides,
    )  # fmt: skip


def _method_identity(job: Job) -> Mapping[str, Any]:
    node = job.plain["method"]
    try:
        own = job.method.cls.identity(job.method.settings)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return {**node, **own}


def _training_identity(job: Job, made: Made) -> dict[str, Any] | None:
    if job.learning is None:
        return None
    oracle = {} if job.learning.training.selection == "last" else {
        "validation": job.plain["validation"], "on": made.fingerprint(job.test_set), "under": job.plain["noise"]
    }  # fmt: skip
    start = {} if job.init is None else {"init": file_hash(job.init)}
    stop = {} if job.learning.holdout is None else {"holdout": job.plain["holdout"]}
    return (
        oracle
        | start
        | stop
        | {
            "method": _method_identity(job),
            "training": job.plain["training"],
            "set": job.learning.images.name,
            "images": made.fingerprint(job.learning.images),
            "noise": job.plain["train_noise"],
            "precision": job.precision,
        }
    )


def _label_of(job: Job, one: Composed) -> str:
    """The method's YAML name and what differs from it, as `sdap[enhance=true]`."""
    if label := job.method.cls.labelled(job.method.settings):
        return label
    changed = [change for change in one.changed if job.learning or not change.startswith("training.")]
    if job.checkpoint is not None:
        weights = job.plain["weights"]
        changed.append(f"weights={weights}" if weights else f"checkpoint={job.checkpoint.name}")
    if job.learning and job.init is not None:
        changed.append(f"init={job.init.name}")
    if job.learning and job.learning.holdout is not None:
        changed.append("stop=holdout")
    if job.tile:
        changed.append(f"tile={job.tile}")
    if job.ensemble:
        changed.append(f"ensemble={job.ensemble}")
    if job.learning and one.own_train_set:
        changed.append(f"train_set={job.learning.images.name}")
    if job.learning and job.learning.noise.name != job.noise.name:
        changed.append(f"train_noise={job.learning.noise.name}")
    return one.method + (f"[{','.join(changed)}]" if changed else "")


def yaml_of(job: Job) -> str:
    """The whole configuration of a job, as its cell keeps it."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(job.plain)))
