"""Processes that a launcher started on this machine: they end with it, however it ended."""

import functools
import multiprocessing
import os
import signal
import threading
import time

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_SAVE = 30.0  # for a training to keep its last step
SECONDS_TO_NOTE = 1.0  # for its cell to keep its state


@functools.cache  # once in a process
def end_with_parent() -> None:
    """In a worker process, watch the one that started it; elsewhere nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None and hasattr(signal, "SIGTERM"):
        threading.Thread(target=_watch, args=(parent.pid,), daemon=True, name="end with parent").start()


def _watch(parent: int) -> None:
    runs = _is_own_parent if _is_own_parent(parent) else _exists  # not its own: a fork server's, or gone while PyTorch was loaded
    while runs(parent):
        time.sleep(SECONDS_BETWEEN_LOOKS)
    training = signal.getsignal(signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)  # a training saves and stops; all else ends at once
    latest = time.monotonic() + SECONDS_TO_SAVE
    while signal.getsignal(signal.SIGTERM) is training and time.monotonic() < latest:
        time.sleep(SECONDS_TO_NOTE / 10)
    time.sleep(SECONDS_TO_NOTE)
    os._exit(1)  # a launcher's worker would wait for more work


def _is_own_parent(process: int) -> bool:
    return os.getppid() == process


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        pass
    return True
