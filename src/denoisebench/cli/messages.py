"""What the commands print on standard error: why they refuse, and what delays the first result."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from denoisebench.store.files import BusyError, LostOwnerError

SECONDS_UNTOLD = 1.0


def refuse(message: object) -> int:
    """Print why a command cannot run; returns the exit code of a wrong command line."""
    print(f"denoisebench: {message}", file=sys.stderr)
    return 2


@contextmanager
def refused() -> Iterator[None]:
    """Turns a user's mistakes into one line and exit code 2."""
    try:
        yield
    except (OSError, ValueError, BusyError, LostOwnerError) as error:
        raise typer.Exit(refuse(in_words(error))) from None


def in_words(error: Exception) -> str:
    """An error without the system's number: `/proc/nope: No such file or directory`."""
    if isinstance(error, OSError) and error.strerror and error.errno is not None:
        files = " -> ".join(str(file) for file in (error.filename, error.filename2) if file is not None)
        return f"{files}: {error.strerror}" if files else error.strerror
    return str(error)


@contextmanager
def loading(what: str = "PyTorch", after_s: float = SECONDS_UNTOLD) -> Iterator[None]:
    """On a terminal, say that `what` is being loaded if that takes longer than `after_s`."""
    stream = sys.stderr
    if stream is None or not stream.isatty():
        yield
        return
    told = threading.Event()

    def tell() -> None:
        told.set()
        stream.write(f"loading {what} ...")
        stream.flush()

    timer = threading.Timer(after_s, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if told.is_set():
            stream.write("\r\x1b[K")  # the line made way for what follows
            stream.flush()
