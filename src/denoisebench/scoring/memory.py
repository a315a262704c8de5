"""The memory of this process: how much it holds, and whether it keeps what is freed."""

import ctypes
import os
import sys
from pathlib import Path

# Of glibc's mallopt.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 2**25  # the most that glibc takes for that threshold


def _c_library() -> ctypes.CDLL | None:
    """Where it is glibc, and None elsewhere."""
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
    except (OSError, TypeError):
        return None


def keep_freed() -> None:
    """From now on memory that is freed stays with this process, in pieces below 32 MiB, where the C library is glibc.

    A training step frees and takes back hundreds of megabytes, and pages fresh from the system must be cleared first: a
    tenth of a step on a CPU. Larger pieces, those of whole photographs, go back at once: kept, their holes took half as
    much memory again. An environment that sets any of glibc's MALLOC_... variables is left as it is.
    """
    if not any(name.startswith("MALLOC_") for name in os.environ) and (library := _c_library()):
        library.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
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
