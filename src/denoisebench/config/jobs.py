"""Composed configurations -> jobs: classes imported, objects made, and what identifies each cell.

This is where a configuration ends: whatever runs knows jobs.
"""

import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from denoisebench.config import named_weights
from denoisebench.config.checks import check_arguments
from denoisebench.config.composed import Composed, compose_all, compose_one
from denoisebench.config.composed_cache import ComposedCache
from denoisebench.config.errors import ConfigError, DataError
from denoisebench.config.image_sets import Steps, image_set
from denoisebench.config.parts import TARGET, Made, Way, arguments_of, class_of, instantiate
from denoisebench.datasets.fitting import NoiseFacts, facts_of
from denoisebench.datasets.images import ImageSet, file_hash
from denoisebench.datasets.training import Holdout, Training
from denoisebench.job import Job, Learning, Method, MethodFacts, ProtocolFacts, Trainer, Unmade, Validation
from denoisebench.scoring.further import Further, further_of
from denoisebench.store.cell import Cell, key_of
from denoisebench.store.code import code_of
from denoisebench.tracking.about import Logger

if TYPE_CHECKING:
    from denoisebench.denoiser import Denoiser
    from denoisebench.noise import NoiseModel
    from denoisebench.scoring.protocol import Protocol


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
    made.memo.keep()
    return found, not_made


def job_of(overrides: Sequence[str], made: Made | None = None, cache: ComposedCache | None = None) -> Job:
    """The job of one cell. Its configuration is taken from the cache if it is there. Raises: ConfigError or FileNotFoundError."""
    return made_of(compose_one(overrides, cache), made or Made())


def made_of(one: Composed, made: Made) -> Job:
    """A composed configuration as a job. Raises: ConfigError or FileNotFoundError."""
    plain = one.plain
    noise = made.part(plain["noise"], "noise", NOISE)  # first: a method may be told its level
    method = _method_of(one, made)
    test_set = _images_of("dataset", plain, made)
    learning = _learning_of(plain, method, made)
    job = Job(
        overrides=one.overrides, launch=one.launch, plain=plain, cell=_NO_CELL, method=method, test_set=test_set,
        noise_part=noise, learning=learning,
        protocol_parts=tuple(made.part(node, f"protocols.{name}", PROTOCOL) for name, node in plain["protocols"].items()),
        loggers=tuple(made.object(node, f"loggers.{name}", Logger) for name, node in plain["loggers"].items()),
        trainer=Trainer(**plain["trainer"]), seed=plain["seed"], repeats=plain["repeats"], precision=plain["precision"],
        tile=plain["tile"] if method.facts.tiles else None, checkpoint=_tested(plain),
        init=_file_of(plain, "init"), budget=plain["budget"],
        pictures=plain["pictures"], force=plain["force"], shard=one.shard,
        code=code_of(dict(_targets(plain, trained=learning is not None))), measures=measures_of(plain["measures"]),
        ensemble=plain["ensemble"], learn=plain["learn"],
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


def protocols_of(names: Sequence[str]) -> "list[Protocol]":
    """The protocols of these names. Raises: ConfigError."""
    plain = compose_one([f"protocol=[{','.join(names)}]"]).plain
    return [_protocol(node, f"protocols.{name}") for name, node in plain["protocols"].items()]


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


def _method_of(one: Composed, made: Made) -> Method:
    node = one.plain["method"]
    part = made.part(node, "method", METHOD)
    return Method(one.method, part, arguments_of(node), functools.partial(_denoiser, node), one.has_recipe, one.recipe_sets)


def _learning_of(plain: Mapping[str, Any], method: Method, made: Made) -> Learning | None:
    if _tested(plain) is not None or plain["training"]["steps"] == 0 or method.learns != "dataset":
        return None
    if "train_set" not in plain:
        raise ConfigError("this data set has no training set of its own: choose one, e.g. train_set=bsds500")
    images = _images_of("train_set", plain, made)
    noise = made.part(plain["train_noise"], "train_noise", NOISE)
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


# --- Parts: what they are made of is imported when they are made ----------------------------------------------------


def _noise(node: Mapping[str, Any], key: str) -> "NoiseModel":
    from denoisebench.noise import NoiseModel

    return instantiate(node, key, NoiseModel)


def _protocol(node: Mapping[str, Any], key: str) -> "Protocol":
    from denoisebench.scoring.protocol import Protocol

    return instantiate(node, key, Protocol)


def _denoiser(node: Mapping[str, Any]) -> "Denoiser":
    from denoisebench.denoiser import Denoiser

    return instantiate(node, "method", Denoiser)


def _method_class(node: Mapping[str, Any], key: str) -> "type[Denoiser]":
    from denoisebench.denoiser import Denoiser

    cls = class_of(node, key, Denoiser)
    check_arguments(cls, arguments_of(node), key)
    return cls


def _method_facts(cls: "type[Denoiser]", node: Mapping[str, Any]) -> MethodFacts:
    from denoisebench.denoiser import DatasetDenoiser, Denoiser
    from denoisebench.stack_learning import can_learn_from_slices

    settings = arguments_of(node)
    try:
        identity = dict(cls.identity(settings))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    by_noisy = issubclass(cls, DatasetDenoiser)
    return MethodFacts(
        cls.learns, cls.target, cls.smallest, cls.tiles, by_noisy and cls.staged, by_noisy,
        can_learn_from_slices(cls), cls.test_step is not Denoiser.test_step, identity, cls.labelled(settings),
    )  # fmt: skip


NOISE = Way(_noise, NoiseFacts, lambda noise, node: facts_of(noise))
PROTOCOL = Way(_protocol, ProtocolFacts, lambda protocol, node: ProtocolFacts(protocol.name))
METHOD = Way(_method_class, MethodFacts, _method_facts)


# --- Identity ----------------------------------------------------------------------------------------------------


def _cell_of(job: Job, one: Composed, made: Made) -> Cell:
    """The cell of a job. Its key hashes what changes its pixels, and nothing else: no path, device or protocol."""
    training = _training_identity(job, made)
    given = {} if job.checkpoint is None else {"checkpoint": file_hash(job.checkpoint)}
    budget = {"budget": job.budget} if job.method.learns == "image" else {}
    tile = {"tile": job.tile} if job.tile else {}
    shared = {key: value for key, value in (("ensemble", job.ensemble), ("learn", job.learn)) if value}
    shared |= {"tuned_by": "oracle"} if job.plain["tuned_by"] == "oracle" else {}  # changes no pixel, but what a row may claim
    test = {"set": job.test_set.name, "images": made.fingerprint(job.test_set), "noise": job.plain["noise"]}
    setup = {
        **given, **budget, **tile, **shared,
        "method": _method_identity(job),
        "training": training and {**training, "budget": job.budget},
        "test": test,
        "repeats": job.repeats,
        "precision": job.precision,
    }  # fmt: skip
    return Cell(
        root=job.plain["root"], study=job.plain["study"], label=_label_of(job, one), dataset=job.test_set.name,
        noise=job.noise_part.facts.name, seed=job.seed, key=key_of({**setup, "seed": job.seed}), setup=key_of(setup),
        train_key=key_of({**training, "seed": job.seed}) if training else None, overrides=job.overrides,
    )  # fmt: skip


def _method_identity(job: Job) -> Mapping[str, Any]:
    return {**job.plain["method"], **job.method.facts.identity}


def _training_identity(job: Job, made: Made) -> dict[str, Any] | None:
    if job.learning is None:
        return None
    oracle = {} if job.learning.training.selection == "last" else {
        "validation": job.plain["validation"], "on": made.fingerprint(job.test_set), "of": job.test_set.name,
        "under": job.plain["noise"],
    }  # fmt: skip
    start = {} if job.init is None else {"init": file_hash(job.init)}
    stop = {} if job.learning.holdout is None else {"holdout": job.plain["holdout"], **_stated_scenes(job.learning.images)}
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


def _stated_scenes(images: ImageSet) -> dict[str, Any]:
    """The photographs of a set, by which images are held out, where `scene` says which they are."""
    said = getattr(images, "scene_is_said", False)
    return {"scenes": [images.scene(index) for index in range(len(images.names))]} if said else {}


def _label_of(job: Job, one: Composed) -> str:
    """The method's YAML name and what differs from it, as `sdap[enhance=true]`."""
    if label := job.method.facts.label:
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
    if job.learn:
        changed.append(f"learn={job.learn}")
    if job.learning and one.own_train_set:
        changed.append(f"train_set={job.learning.images.name}")
    if job.learning and (name := job.learning.noise_part.facts.name) != job.noise_part.facts.name:
        changed.append(f"train_noise={name}")
    return one.method + (f"[{','.join(changed)}]" if changed else "")


def yaml_of(job: Job) -> str:
    """The whole configuration of a job, as its cell keeps it."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(job.plain)))
