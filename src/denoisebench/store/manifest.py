"""What a result was made with: versions, commit, hardware."""

import functools
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import denoisebench

PACKAGES = (
    "denoisebench", "torch", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "scipy", "scikit-image",
    "opencv-python-headless", "pillow",
)  # fmt: skip


@functools.cache
def commit() -> str:
    """The commit of the checkout that runs, `+dirty` with changes; the version where there is no checkout."""
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / ".git").exists():
        return denoisebench.__version__
    head = _git(checkout, "rev-parse", "--short=12", "HEAD")
    return (head + ("+dirty" if _git(checkout, "status", "--porcelain") else "")) if head else denoisebench.__version__


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def manifest(**durations_s: float) -> dict[str, Any]:
    """Versions, commit and hardware of this process, and the given durations in seconds."""
    import torch  # nothing else here needs it

    return {
        "commit": commit(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "hardware": {
            "platform": platform.platform(),
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
        "durations_s": durations_s,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cpu_name() -> str:
    """As the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
