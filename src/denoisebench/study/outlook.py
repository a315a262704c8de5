"""What of a sweep is still to come while it runs: `[5/48]` and the seconds of the cells that follow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from denoisebench.job import Work
from denoisebench.progress import Part, Stage, part
from denoisebench.store.cell import Cell

if TYPE_CHECKING:
    from denoisebench.study.cell import Outcome


class Outlook:
    """Of one work item: what its cells were expected to take, corrected by what the finished ones of their method took."""

    def __init__(self, work: Work, cells: Mapping[str, Cell]) -> None:
        self._labels = {key: cells[key].label for key in work.cells if key in cells}
        self._count = work.before + len(self._labels)
        self._stages = {key: _stages(work, place) for place, key in enumerate(work.cells)}
        self._coming = list(self._labels)
        self._took: dict[str, list[tuple[float | None, float]]] = {}

    @contextmanager
    def on(self, cell: Cell) -> Iterator[None]:
        """Within it this cell is computed; those that were put off come after it."""
        self._coming.remove(cell.key)
        number = self._count - len(self._coming)
        prefix = f"[{number}/{self._count}] " if self._count > 1 else ""
        with part(Part(prefix, self._stages[cell.key], self.rest)):
            yield

    def ended(self, cell: Cell, outcome: "Outcome", seconds: float) -> None:
        if outcome == "busy":
            self._coming.append(cell.key)
        if outcome in ("done", "partly"):
            self._took.setdefault(cell.label, []).append((self._expected(cell.key), seconds))

    def rest(self) -> float | None:
        """Seconds of the cells that follow; None if of one of them nothing is known."""
        each = [self._of(key) for key in self._coming]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def _of(self, key: str) -> float | None:
        took, expected = self._took.get(self._labels[key], []), self._expected(key)
        compared = [(known, seconds) for known, seconds in took if known]
        if expected is not None and compared:
            return expected * sum(seconds for _, seconds in compared) / sum(known for known, _ in compared)
        if expected is None and took:
            return sum(seconds for _, seconds in took) / len(took)
        return expected

    def _expected(self, key: str) -> float | None:
        stages = self._stages[key]
        return sum(stages.values()) if len(stages) == 2 else None


def _stages(work: Work, place: int) -> dict[Stage, float]:
    """The stages of which the seconds are known."""
    given: tuple[tuple[Stage, Sequence[float | None]], ...] = (("training", work.train_s), ("testing", work.test_s))
    found: dict[Stage, float] = {}
    for stage, each in given:
        if place < len(each) and (seconds := each[place]) is not None:
            found[stage] = seconds
    return found
