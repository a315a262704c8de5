"""Seeds that are functions of names, and random numbers that leave no trace. Seeds do without PyTorch: it is imported late."""

import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def seed_from(*names: object) -> int:
    """A 63-bit seed from names, equal on every machine and for every process.

    >>> seed_from(0, "kodak", "kodim01") == seed_from(0, "kodak", "kodim01")
    True
    """
    digest = hashlib.sha256(json.dumps([str(name) for name in names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_torch(seed: int) -> None:
    """PyTorch's global generators. Without an accelerator `torch.manual_seed` would note, with a stack trace, each seed for
    when there is one: a millisecond, and memory that is never freed."""
    import torch

    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def isolated_rng(seed: int) -> Iterator[None]:
    """Seed every global generator (torch on all devices, NumPy, random); put them back on leaving."""
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with torch.random.fork_rng(devices=list(devices)):
        seed_torch(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
