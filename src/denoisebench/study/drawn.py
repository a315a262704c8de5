"""What was drawn for each image of a test, so that it can be read again: its camera, and the levels of its raw noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from denoisebench.datasets.bayer import Unprocessed
from denoisebench.datasets.views import generator_of
from denoisebench.job import Job
from denoisebench.noise import Raw


def drawn(job: Job) -> Mapping[str, Any]:
    """`cameras`: of each image, where a set was taken back to raw. `noise_levels`: the variances `shot` and `read` of each image
    in each repeat, where raw noise was added."""
    cameras = {"cameras": job.test_set.about()} if isinstance(job.test_set, Unprocessed) else {}
    noise = job.noise
    levels = {"noise_levels": _levels(job, noise)} if isinstance(noise, Raw) and not job.test_set.has_noisy else {}
    return {**cameras, **levels}


def _levels(job: Job, noise: Raw) -> dict[str, Sequence[Mapping[str, float]]]:
    def of_view(index: int, repeat: int) -> dict[str, float]:
        generator = generator_of(job.test_set, index, job.seed, repeat)
        shot, read = noise.levels(torch.zeros(1, 1, 1, 1, dtype=torch.float64), generator)
        return {"shot": shot.item(), "read": read.item()}

    names = job.test_set.names
    return {name: [of_view(index, repeat) for repeat in range(job.repeats)] for index, name in enumerate(names)}
