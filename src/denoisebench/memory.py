"""The memory of this process: how much it holds, and whether it keeps what is freed."""

import ctypes
import os
import sys
from pathlib import Path

# Of glibc's mallopt.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
OWN_CHOICE = "MALLOC_MMAP_MAX_"


def _c_library() -> ctypes.CDLL | None:
    """Where it is glibc, and None elsewhere."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
    except (OSError, TypeError):
        return None


def keep_freed() -> None:
    """From now on freed memory stays with this process, where the C library is glibc.

    A step of a network frees and takes back hundreds of megabytes, and pages fresh from the system must be cleared first:
    a tenth of a training step on a CPU, and up to half of the inference on a whole image (`benchmarks/README.md`). What is
    kept has holes, so that the most memory held may be half as much again. The environment variable MALLOC_MMAP_MAX_
    (glibc's default: 65536) leaves all to glibc.
    """
    if OWN_CHOICE not in os.environ and (library := _c_library()):
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)


def give_back_freed() -> None:
    """Return to the system what was freed and kept."""
    if library := _c_library():
        library.malloc_trim(0)


def reset_peak() -> None:
    """Forget the most that was held. Not everywhere: elsewhere `peak_mib` is the most since the process began."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not allowed
        return


def peak_mib() -> float:
    """The most that the resident set held, in MiB."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    except (OSError, IndexError):
        import resource  # not there on every system

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)
