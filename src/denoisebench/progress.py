"""Progress with the remaining time: a bar on a terminal that one process writes to, a line now and then elsewhere."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

console = Console(stderr=True, highlight=False, soft_wrap=True)
WIDTH_ELSEWHERE = 160
SECONDS_BETWEEN_LINES = 15.0
REDRAWN_PER_S = 2

Advance = Callable[[float, str], None]
Stage = Literal["training", "testing"]
STAGES: tuple[Stage, ...] = ("training", "testing")


def output_console() -> Console:
    """For results, on standard output: as wide as the terminal, and wide enough for a table in a file or a pipe."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE)


class Pace:
    """Seconds left of `total` things.

    Between two updates they are assumed to go on as before, as far as the next update; when that is overdue, the pace is
    taken to be slower. expected: seconds for all that is left, until the first update.
    """

    def __init__(self, total: float, start: float = 0, expected: float | None = None) -> None:
        self._total, self._start, self._expected = total, start, expected
        self._began = self._last = time.monotonic()
        self.done = self._before = float(start)

    def update(self, done: float) -> None:
        if done != self.done:
            self._before, self.done, self._last = self.done, done, time.monotonic()

    def left(self) -> float | None:
        """None before anything is known."""
        now = time.monotonic()
        if self.done <= self._start:
            return None if self._expected is None else max(0.0, self._expected - (now - self._began))
        each = max(self._last - self._began, 1e-9) / (self.done - self._start)
        assumed = min(self.done + (now - self._last) / each, 2 * self.done - self._before, self._total)
        return (now - self._began) / (assumed - self._start) * (self._total - assumed)


@dataclass
class Part:
    """One part of something longer, and what of it is shown: a cell of a sweep.

    prefix: before each title, e.g. `[5/48] `. expected: seconds of its stages, as far as they are known. rest: seconds of the
    parts that follow; None if that is not known.
    """

    prefix: str = ""
    expected: Mapping[Stage, float] = field(default_factory=dict)
    rest: Callable[[], float | None] = lambda: None
    began: float = field(default_factory=lambda: time.monotonic())

    def left(self, pace: Pace, stage: Stage | None) -> float | None:
        """Of this part: of the present stage and of those after it."""
        own = pace.left()
        after = STAGES[STAGES.index(stage) + 1 :] if stage else ()
        return None if own is None else own + sum(self.expected.get(later, 0.0) for later in after)

    def times(self, pace: Pace, stage: Stage | None) -> str:
        """`3 min 20 s left, 2 h 05 min in all`."""
        left, rest = self.left(pace, stage), self.rest()
        if left is None:
            return ""
        in_all = f", {duration(left + rest)} in all" if rest else ""
        return f"{duration(left)} left{in_all}"


_part = Part()


@contextmanager
def part(of: Part) -> Iterator[None]:
    """Within it whatever is tracked is shown as this part of something longer."""
    global _part
    before, _part = _part, of
    try:
        yield
    finally:
        _part = before


@contextmanager
def track(title: str, total: int, start: int = 0, stage: Stage | None = None) -> Iterator[Advance]:
    """Yields `advance(done, note)`: `done` of `total` counted from the beginning, `note` shown beside it.

    stage: of a cell. Its stages share one bar, as long as the cell takes, and what is left of it is that of them all.
    """
    pace = Pace(total, start, _part.expected.get(stage) if stage else None)
    if console.is_terminal and multiprocessing.parent_process() is None:  # several would draw over each other's bars
        with _bar(_part, f"{_part.prefix}{title}", total, pace, stage) as advance:
            yield advance
    else:
        yield _lines(_part, f"{_part.prefix}{title}", total, pace, stage)


class _Times(ProgressColumn):
    """Counted down whenever the bar is drawn, not only when something was done."""

    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:
        return Text(self._text())


@contextmanager
def _bar(of: Part, title: str, total: int, pace: Pace, stage: Stage | None) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), _Times(lambda: f"{int(pace.done)}/{total}"),
        _Times(lambda: of.times(pace, stage)), TextColumn("{task.fields[note]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, refresh_per_second=REDRAWN_PER_S) as progress:
        task = progress.add_task(title, total=1.0, note="")
        progress.update(task, completed=_share(of, total, pace, stage))

        def advance(done: float, note: str) -> None:
            pace.update(done)
            progress.update(task, completed=_share(of, total, pace, stage), note=note)

        yield advance


def _share(of: Part, total: int, pace: Pace, stage: Stage | None) -> float:
    """What of a bar is full: in time, of the stages of a cell; in things done, elsewhere."""
    left = of.left(pace, stage)
    if stage is None or left is None:
        return pace.done / max(total, 1)
    passed = time.monotonic() - of.began
    return passed / max(passed + left, 1e-9)


def _lines(of: Part, title: str, total: int, pace: Pace, stage: Stage | None) -> Advance:
    last = time.monotonic()

    def advance(done: float, note: str) -> None:
        nonlocal last
        pace.update(done)
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and (times := of.times(pace, stage)):
            last = now
            console.print(f"{title} {int(done)}/{total}, {times} {note}".rstrip(), markup=False)

    return advance


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 05 min, 3 d 04 h."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours:02d} h"


UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))


def roughly(seconds: float) -> str:
    """In one unit, to at most two digits: 3 h, 20 min, 12 days; `a second` is the least."""
    for unit, length in UNITS:
        if seconds >= 1.5 * length or (unit == "day" and seconds >= length):
            count = float(f"{seconds / length:.2g}")
            shown = f"{count:.0f}" if count >= 10 or count.is_integer() or unit != "day" else f"{count:g}"
            return counted_in(shown, unit)
    return "a second"


def counted_in(count: str, unit: str) -> str:
    return f"{count} {unit}" + ("s" if unit == "day" and count != "1" else "")


def counted(count: int, what: str) -> str:
    """1 cell, 2 cells."""
    return f"{count} {what}" + "s" * (count != 1)
