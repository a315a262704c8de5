"""Progress with the remaining time: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True)
WIDTH_ELSEWHERE = 160
SECONDS_BETWEEN_LINES = 15.0

Advance = Callable[[float, str], None]


def output_console() -> Console:
    """For results, on standard output: as wide as the terminal, and wide enough for a table in a file or a pipe."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE)


def counted(number: int, thing: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{number} {thing}" + "s" * (number != 1)


@contextmanager
def track(title: str, total: int, start: int = 0) -> Iterator[Advance]:
    """Yields `advance(done, note)`: `done` of `total` counted from the beginning, `note` shown beside it."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False),
        )  # fmt: skip
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task(title, total=total, completed=start, note="")
            yield lambda done, note: progress.update(task, completed=done, note=note)
    else:
        yield _lines(title, total, start)


def _lines(title: str, total: int, start: int) -> Advance:
    began = last = time.monotonic()

    def advance(done: float, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES or done <= start:
            return
        last = now
        left = (now - began) / (done - start) * (total - done)
        console.print(f"{title} {int(done)}/{total}, {duration(left)} left {note}".rstrip(), markup=False)

    return advance


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
