"""What a job cannot do: refused before anything runs, or a cell that is skipped with its reason."""

from collections.abc import Iterator

from denoisebench.config import SEVERAL_DEVICES, ConfigError
from denoisebench.datasets.fitting import first_smaller, impossible, no_target
from denoisebench.job import Job, Learning
from denoisebench.study.engines import devices_of


def impossible_reason(job: Job) -> str | None:
    """Why this cell is impossible, and the way out; None for a possible one."""
    if reason := job.lacks or impossible(job.test_set, job.noise_part.facts):
        return reason
    smallest = job.method.facts.smallest
    if smallest > 1 and (found := first_smaller(job.test_set, smallest)):
        return f"{job.method.name} takes images of at least {smallest} x {smallest}, and {found}: take it out, or crop larger"
    return _no_training(job) if job.learning else None


def _no_training(job: Job) -> str | None:
    """Why it cannot be trained as it is asked for."""
    own = job.learning
    assert own is not None
    if own.training.selection == "oracle" and not job.test_set.has_clean:
        return f"training.selection=oracle needs clean images, and {job.test_set.name} has none: use training.selection=last"
    if reason := impossible(own.images, own.noise_part.facts, "train_noise"):
        return f"training set: {reason}"
    if reason := _misplaced(own):
        return reason
    if own.holdout is not None and (reason := _no_holdout(job, own)):
        return reason
    target = job.method.facts.target
    if reason := no_target(own.images, target):
        return reason
    if target is None:
        shows_clean = own.training.noise == "fresh" and not own.images.has_noisy
    else:
        shows_clean = not (target == "noisy" and own.images.has_second)  # else it is noisy, like a transductive input
    if not shows_clean or not own.images.sources & job.test_set.sources:  # asked last: it reads all images
        return None
    if target is None:
        return (
            "fresh noise on the clean test images would show it ever new noisy views, whose mean is the clean image: "
            "set training.noise=fixed to train on the noisy test images themselves, or choose another train_set"
        )
    return "it would memorise the clean test images: choose a train_set apart from the test images"


def _no_holdout(job: Job, own: Learning) -> str | None:
    """Why no held-out noisy images can end its training."""
    facts, name = job.method.facts, job.method.name
    if not facts.by_noisy:
        return f"stop=holdout ends a training by a loss of noisy images alone, and {name} learns from targets: use stop=null"
    if facts.staged:
        return f"stop=holdout compares losses over a training, and {name} has stages with losses of their own: use stop=null"
    if len(own.images.scenes) < 2:
        return f"stop=holdout holds out a photograph, and {own.images.name} has one: use stop=null, or a larger train_set"
    return None


def _misplaced(own: Learning) -> str | None:
    """Why its patches would not have the noise that whole images have."""
    noise = own.noise_part.facts
    if noise.placed and own.training.noise == "fresh" and not own.images.has_noisy:
        return (
            f"{noise.name} belongs to places of the whole image, and fresh noise is drawn on patches: "
            "set training.noise=fixed, or choose another train_noise"
        )
    return None


def check(job: Job, jobs: int) -> None:
    """That a job's settings go together, and that its devices are here. jobs: how many its command has.

    Raises: ConfigError.
    """
    _check_method(job)
    _check_devices(job, jobs)


def _check_method(job: Job) -> None:
    name, learns = job.method.name, job.method.learns
    if job.method.has_recipe and learns != "dataset":
        raise ConfigError(f"{name} learns from no data set, and its recipe for budget={job.budget} sets training.steps")
    if learns == "image" and job.budget != "paper" and not job.method.recipe_sets:
        raise ConfigError(f"{name} learns from each image, and budget={job.budget} has no recipe for it: choose another budget")
    channels = job.method.settings.get("channels", job.test_set.channels)
    if channels != job.test_set.channels:
        raise ConfigError(f"method.channels={channels}, and the images of {job.test_set.name} have {job.test_set.channels}")
    if job.shard and job.checkpoint is None and learns == "dataset":
        raise ConfigError(f"shard={job.shard}: {name} trains one network, which shards would wait for; leave shard out")
    if job.plain["tile"] is not None and learns == "image":
        raise ConfigError(f"tile={job.plain['tile']}: {name} trains on whole images; leave tile out, or crop the images")
    if job.ensemble and job.method.facts.own_test:
        raise ConfigError(f"ensemble={job.ensemble}: {name} gives outputs that were made elsewhere; leave ensemble out")
    if job.ensemble and job.test_set.channels == 4:
        raise ConfigError(
            f"ensemble={job.ensemble}: {job.test_set.name} holds Bayer planes, whose four channels lie at different places of a "
            "cell, and a flip or turn exchanges them; leave ensemble out"
        )
    if job.learn:
        _check_slices(job)
    _check_weights(job)
    if job.checkpoint is not None:
        if learns != "dataset":
            raise ConfigError(f"checkpoint={job.checkpoint}: {name} has no weights to load")
    elif learns == "dataset" and job.learning is None:
        raise ConfigError(
            f"{name} learns from a data set, and training.steps is 0: budget={job.budget} has no recipe for it, "
            "or it was set so; set training.steps or choose another budget"
        )


def _check_slices(job: Job) -> None:
    """That one network can learn from all slices of a stack."""
    name, images = job.method.name, job.test_set
    if job.method.learns != "image":
        raise ConfigError(
            f"learn=stack: {name} does not learn from one image; leave learn out"
            + (", train_set=transductive trains it on all slices" if job.method.learns == "dataset" else "")
        )
    if not job.method.facts.by_slices:
        raise ConfigError(
            f"learn=stack: {name} has stages or an end that belong to one image, or learns in a way of its own; leave learn out, "
            "or use zsn2n"
        )
    if not images.stacks:
        raise ConfigError(f"learn=stack: {images.name} holds no stack of several images; leave learn out, or see dataset=folder")


OF_TRAINING = ("training", "train_set", "train_noise", "validation", "stop", "holdout")
RATES = ("method.lr", "method.lr_decay")


def _check_weights(job: Job) -> None:
    """That what is asked of a training is asked of one."""
    if job.init is not None and job.checkpoint is not None:
        raise ConfigError("checkpoint=FILE tests weights as they are, init=FILE trains on from them: give one of the two")
    if job.init is not None and job.method.learns != "dataset":
        raise ConfigError(f"init={job.init}: {job.method.name} learns from no data set, and starts from no weights")
    keys = [override.partition("=")[0].lstrip("+") for override in job.overrides]
    asked = [key for key in keys if key.partition(".")[0] in OF_TRAINING or key in RATES]
    if job.checkpoint is not None and asked:
        raise ConfigError(
            f"checkpoint={job.checkpoint} is tested as it is, and {', '.join(asked)} would be of a training: leave one of them "
            f"out, or train on from these weights with init={job.checkpoint}"
        )


def _check_devices(job: Job, jobs: int) -> None:
    """Several devices are for the one training of a single run, and share out its batches."""
    devices = devices_of(job.trainer)
    if job.trainer.devices == 1:
        return
    if jobs > 1:
        raise ConfigError(SEVERAL_DEVICES)
    if job.method.learns == "image":
        raise ConfigError("trainer=ddp shares out the batches of a training set, and this method learns from each image alone: "
                          "use trainer=auto, and shard=1/4 and so on for several processes")  # fmt: skip
    if job.learning is None:
        raise ConfigError("trainer=ddp trains one network on several devices, and nothing is trained here: use trainer=auto")
    if job.learning.holdout is not None:
        raise ConfigError("stop=holdout reads one loss on one device: use trainer=auto")
    if job.learning.training.batch % devices:
        raise ConfigError(
            f"training.batch={job.learning.training.batch} cannot be shared out evenly by {devices} devices: "
            "set trainer.devices to a divisor of it, or use trainer=auto"
        )


def smaller(job: Job) -> Iterator[str]:
    """Settings of this job that need less memory."""
    if job.learning:
        training = job.learning.training
        yield f"training.batch below {training.batch}, training.patch below {training.patch}"
    if job.method.facts.tiles:
        yield "tile=512" if job.tile is None else f"tile below {job.tile}"
    if "passes_per_batch" in job.method.settings:
        yield "method.passes_per_batch=1"
    if job.precision == 32:
        yield "precision=bf16-mixed"
    if "features" in job.method.settings:
        yield f"method.features below {job.method.settings['features']}"
    if "crop" in job.plain["dataset"]:
        yield "dataset.crop=256"
    yield "trainer=cpu"
