"""A job's method and images, as Lightning wants them."""

import torch

from denoisebench.datasets.datamodule import DataModule, TrainingData
from denoisebench.denoiser import Denoiser
from denoisebench.job import Job
from denoisebench.seeding import isolated_rng, seed_from


def method_and_data(job: Job, skip: set[tuple[str, int]] | None = None, *, validated: bool = True) -> tuple[Denoiser, DataModule]:
    """The method with its first weights, and its images but those to skip."""
    with isolated_rng(seed_from(job.seed, "weights")):
        method = job.method.make()
    method.tile = job.tile
    if job.precision == "bf16-mixed":
        method.to(memory_format=torch.channels_last)  # a fifth faster in bfloat16; in float32 a network says so itself
    own = job.learning
    data = DataModule(
        job.test_set, job.noise, job.seed, repeats=job.repeats, skip=skip or set(),
        train=own and TrainingData(own.images, own.noise, own.training, method.target, own.holdout),
        validation_images=own.validation.images if own and validated and own.validation.every else 0,
    )  # fmt: skip
    return method, data
