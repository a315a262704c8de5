"""How fast this machine is with a method: a short measurement, kept for the next time."""

import functools
import json
import os
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from denoisebench.job import Job, Trainer
from denoisebench.store.cell import key_of
from denoisebench.store.files import write_atomic
from denoisebench.store.manifest import cpu_name
from denoisebench.store.memo import cache_folder
from denoisebench.study.engines import device_of

MEASURED = 2  # of how it is measured: what was kept from another way is measured again


@dataclass(frozen=True)
class Speed:
    """Seconds of this machine. step: of one training step of the job's batch. image: of denoising, a fixed part and one for
    each million pixels. None: not known."""

    step: float | None = None
    image: tuple[float, float] | None = None

    def of_image(self, pixels: int) -> float | None:
        return None if self.image is None else self.image[0] + self.image[1] * pixels / 1e6


def speed_of(job: Job) -> Speed:
    """Measured in a few seconds, or read where it was measured before."""
    if (known := known_speed(job)) is not None:
        return known
    from denoisebench.study.timing import measured  # imports PyTorch

    speed = measured(job)
    _keep({**_read(), _key(job): asdict(speed)})
    return speed


def known_speed(job: Job) -> Speed | None:
    """As it was measured before; None if it was not."""
    kept = _read().get(_key(job))
    return kept and Speed(kept["step"], kept["image"] and tuple(kept["image"]))


def _key(job: Job) -> str:
    batch = job.learning and (job.learning.training.patch, job.learning.training.batch)
    return key_of(
        {
            "method": job.plain["method"], "batch": batch, "precision": job.precision, "device": _device(job.trainer),
            "channels": job.test_set.channels, "torch": _torch(), "measured": MEASURED,
        }
    )  # fmt: skip


@functools.cache
def _torch() -> str:
    """The version of PyTorch, which is not imported for it."""
    return version("torch")


def _device(trainer: Trainer) -> str:
    if device_of(trainer) == "cpu":
        return f"{cpu_name()} {trainer.threads or _threads()}"
    import torch

    return torch.cuda.get_device_name()


def _threads() -> str:
    """What PyTorch chooses the number of its threads by."""
    asked = os.environ.get("OMP_NUM_THREADS") or os.environ.get("MKL_NUM_THREADS")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return asked or f"of {cores} cores"


# --- Kept ------------------------------------------------------------------------------------------------------------


def _file() -> Path:
    return cache_folder() / "speed.json"


def _read() -> dict[str, Any]:
    try:
        kept = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    items = kept.items() if isinstance(kept, dict) else ()
    return {key: value for key, value in items if isinstance(value, dict) and {"step", "image"} <= value.keys()}


def _keep(measured: dict[str, Any]) -> None:
    """Keeps nothing without a home folder that is writable."""
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_atomic(_file(), json.dumps(measured, indent=1))
    except OSError:
        return
