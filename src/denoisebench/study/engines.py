"""The engine that a job asks for, where this machine has it. PyTorch is imported where there may be a GPU to ask it for."""

import os
import sys
from typing import TYPE_CHECKING, Literal

from denoisebench.config import ConfigError
from denoisebench.job import Job, Trainer

if TYPE_CHECKING:
    from denoisebench.training.engine import Engine

DRIVERS = ("nvidia", "nvhost", "nvmap", "nvgpu", "kfd", "dxg")  # of NVIDIA's cards and boards, of AMD's, of Windows' in Linux


def engine_of(job: Job) -> "Engine":
    """Raises: ConfigError if its devices are not here."""
    from denoisebench.training.engine import PRECISIONS, Engine

    device, devices = device_of(job.trainer), devices_of(job.trainer)
    return Engine(
        device, devices, PRECISIONS[job.precision], job.trainer.checkpoint_s, job.precision == "tf32", job.trainer.compile
    )


def device_of(trainer: Trainer) -> Literal["cpu", "gpu"]:
    """Raises: ConfigError if it is not here."""
    if trainer.accelerator == "cpu":
        return "cpu"
    if trainer.accelerator == "gpu" and not _has_gpu():
        raise ConfigError("trainer=gpu: PyTorch finds no CUDA device here; use trainer=auto or trainer=cpu")
    return "gpu" if _has_gpu() else "cpu"


def _has_gpu() -> bool:
    if "torch" not in sys.modules and sys.platform == "linux" and not any(map(_is_of_gpu, os.listdir("/dev"))):
        return False
    import torch

    return torch.cuda.is_available()


def _is_of_gpu(file: str) -> bool:
    return file.startswith(DRIVERS)


def devices_of(trainer: Trainer) -> int:
    """How many train together. Raises: ConfigError if they are not here."""
    asked, device = trainer.devices, device_of(trainer)
    if device == "cpu":
        if asked == "auto":
            raise ConfigError("trainer=ddp: PyTorch finds no CUDA device here; use trainer=auto, or set how many processes are "
                              "to train on the CPU, e.g. trainer.devices=2")  # fmt: skip
        return asked
    import torch

    gpus = torch.cuda.device_count()
    if asked == "auto":
        return gpus
    if asked > gpus:
        raise ConfigError(f"trainer.devices={asked}: PyTorch finds {gpus} CUDA devices here; set at most {gpus}, or auto")
    return asked
