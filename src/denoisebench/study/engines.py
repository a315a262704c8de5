"""The engine that a job asks for, where this machine has it."""

from typing import Literal

import torch

from denoisebench.config import ConfigError
from denoisebench.job import Job, Trainer
from denoisebench.training.engine import PRECISIONS, Engine


def engine_of(job: Job) -> Engine:
    """Raises: ConfigError if its devices are not here."""
    device, devices = _device(job.trainer), _devices(job.trainer)
    return Engine(
        device, devices, PRECISIONS[job.precision], job.trainer.checkpoint_s, job.precision == "tf32", job.trainer.compile
    )


def _device(trainer: Trainer) -> Literal["cpu", "gpu"]:
    if trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("trainer=gpu: PyTorch finds no CUDA device here; use trainer=auto or trainer=cpu")
    if trainer.accelerator == "auto":
        return "gpu" if torch.cuda.is_available() else "cpu"
    return trainer.accelerator


def _devices(trainer: Trainer) -> int:
    asked, gpus, device = trainer.devices, torch.cuda.device_count(), _device(trainer)
    if device == "cpu" and asked == "auto":
        raise ConfigError("trainer=ddp: PyTorch finds no CUDA device here; use trainer=auto, or set how many processes are to "
                          "train on the CPU, e.g. trainer.devices=2")  # fmt: skip
    if asked == "auto":
        return gpus
    if device == "gpu" and asked > gpus:
        raise ConfigError(f"trainer.devices={asked}: PyTorch finds {gpus} CUDA devices here; set at most {gpus}, or auto")
    return asked
