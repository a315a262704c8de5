"""Variables and files that surround a command, and must decide neither its numbers nor how it ends."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

# How exactly products of float32 are computed is what `precision=` says, and is part of a cell's key.
ROUNDING = (
    "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "PYTORCH_TUNABLEOP_ENABLED", "PYTORCH_MPS_FAST_MATH",
    "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE", "XLA_USE_BF16", "XLA_USE_F16",
    "XLA_DOWNCAST_BF16", "XLA_DOWNCAST_FP16",
)  # fmt: skip
# Nothing is drawn by matplotlib, which Lightning imports and which ends at a name that it does not know; our files of
# weights are read without code whatever a variable says, and two variables that contradict each other end the reading.
ENDING = ("MPLBACKEND", "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
SAFE_PATH = "PYTHONSAFEPATH"

_told: set[str] = set()


@contextmanager
def without(names: Iterable[str]) -> Iterator[Mapping[str, str]]:
    """Without these variables, as far as they are set; yields what they were."""
    hidden = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield hidden
    finally:
        os.environ.update(hidden)


@contextmanager
def own_environment() -> Iterator[None]:
    """Without these variables, of which those that round are reported once.

    Processes that are started within it import no modules of the current folder: a `tempfile.py` there would be theirs.
    """
    with without((*ROUNDING, *ENDING)) as hidden:
        _tell([name for name in ROUNDING if name in hidden and name not in _told])
        is_set = SAFE_PATH in os.environ
        os.environ.setdefault(SAFE_PATH, "1")
        try:
            yield
        finally:
            if not is_set:
                os.environ.pop(SAFE_PATH, None)


def _tell(names: list[str]) -> None:
    if names:
        _told.update(names)
        print(f"ignoring {', '.join(names)}: only precision= says how exactly is computed", file=sys.stderr)
