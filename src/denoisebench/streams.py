"""Output that is never fatal: work continues when nobody reads what it prints."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast


class _Steady:
    """A stream that drops what can no longer be written: the reader of a pipe has gone, a terminal was closed, a disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            self.write(text.encode(encoding, "replace").decode(encoding))
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Point the file descriptor at nothing, so that what is still buffered and what others write to it goes there too."""
        if isinstance(error, BlockingIOError):  # a slow reader, not a lost one
            return
        with suppress(OSError, ValueError):  # not a real file
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _steady(stream: TextIO | None) -> TextIO | None:
    return stream if stream is None or isinstance(stream, _Steady) else cast(TextIO, _Steady(stream))


@contextmanager
def steady_output() -> Iterator[None]:
    """Within it no write to standard output or standard error raises; what cannot be written is dropped."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, _steady(before[0])), cast(TextIO, _steady(before[1]))
    own = sys.stdout, sys.stderr
    try:
        yield
    finally:
        for stream in own:
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def outlive_terminal() -> None:
    """Go on when the terminal is closed; the processes started from now on do too."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
