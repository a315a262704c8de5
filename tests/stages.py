"""What methods of two stages are held to: trained through the switch, interrupted or not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.datasets.datamodule import DataModule, TrainingData
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.training import Training
from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.weight_files import read_file
from denoisebench.noise import Gaussian
from denoisebench.seeding import isolated_rng
from denoisebench.training.engine import Engine
from denoisebench.training.fit import Course, trained

STEPS = 6

State = dict[str, Tensor]


def states_through_training(build: Callable[[], DatasetDenoiser], folder: Path, fail_at: int | None = None) -> list[State]:
    """The state before each step and after the last one, of a training of 6 steps or of what it had left to do.

    fail_at: the step whose loss fails, counted from 1.
    """
    with isolated_rng(0):
        method = build().train()
    training = Training(steps=STEPS, patch=32, batch=1, noise="fresh")
    given = TrainingData(Photos("train"), Gaussian(sigma=25), training)
    data = DataModule(Photos(crop=32), Gaussian(sigma=25), 0, train=given)
    states: list[State] = []
    loss: Any = method.loss

    def watched(noisy: Tensor, progress: float) -> Tensor:
        if fail_at is not None and round(progress * STEPS) == fail_at - 1:
            raise RuntimeError("killed")
        states.append(state_of(method))
        return loss(noisy, progress)

    method.loss = watched  # type: ignore[method-assign]
    trained(method, data, folder, Course(0, Engine(checkpoint_s=0)))
    assert "loss" in vars(method)
    return [*states, read_file(folder / "weights.safetensors")]


def state_of(method: DatasetDenoiser) -> State:
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


def moved(before: State, after: State, prefix: str) -> bool:
    """Whether some tensor of these names differs; all of them or none."""
    names = [name for name in before if name.startswith(prefix) and before[name].is_floating_point()]
    differ = {not torch.equal(before[name], after[name]) for name in names if name.endswith("weight")}
    assert len(differ) == 1, f"some of {prefix} moved, some did not"
    return differ.pop()


def check_stages(build: Callable[[], DatasetDenoiser], tmp_path: Path) -> list[State]:
    """The teacher is bit-equal through the second stage (steps 4 to 6), the student through the first.

    A run killed before, at and after the switch ends as the undisturbed one.
    """
    undisturbed = states_through_training(build, tmp_path / "undisturbed")
    assert len(undisturbed) == STEPS + 1
    for step in range(STEPS):
        before, after = undisturbed[step], undisturbed[step + 1]
        assert moved(before, after, "teacher.") == (step < STEPS // 2), step
        if step != STEPS // 2:  # the student may take over the teacher's weights there
            assert moved(before, after, "student.") == (step > STEPS // 2), step
    for fail_at in (3, 4, 5):
        folder = tmp_path / str(fail_at)
        with pytest.raises(RuntimeError, match="killed"):
            states_through_training(build, folder, fail_at)
        resumed = states_through_training(build, folder)
        assert len(resumed) == STEPS + 1 - (fail_at - 1)
        for ours, theirs in zip(reversed(resumed), reversed(undisturbed), strict=False):
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    return undisturbed
