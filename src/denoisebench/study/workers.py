"""Processes that a launcher started on this machine: they end with it, however it ended."""

import functools
import multiprocessing
import os
import signal
import threading
import time

SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_SAVE = 30.0  # for a training to keep its last step


@functools.cache  # once in a process
def end_with_parent() -> None:
    """In a worker process, watch the one that started it; elsewhere nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None and hasattr(signal, "SIGTERM"):
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True, name="end with parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)  # a training saves and stops; all else ends at once
    time.sleep(SECONDS_TO_SAVE)
    os._exit(1)
