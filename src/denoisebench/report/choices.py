"""What methods chose for each image: when to stop, a ratio, a filter."""

import statistics
from collections import Counter
from collections.abc import Sequence

from denoisebench.report.results import Result
from denoisebench.store.rows import read_chosen


def choices(results: Sequence[Result]) -> list[str]:
    """A line for each method, data set and noise: median and range of numbers, counts of words."""
    first = {(r.method, r.budget, r.dataset, r.noise): r for r in reversed(results)}  # under one protocol: it chose once
    lines = [(result, _summary(result)) for result in reversed(first.values())]
    return [f"{r.method} on {r.dataset}, {r.noise}: {summary}" for r, summary in lines if summary]


def _summary(result: Result) -> str:
    values: dict[str, list[float | str]] = {}
    for row in result.rows:
        for name, value in read_chosen(row.get("chosen") or "").items():
            values.setdefault(name, []).extend(_each(value))
    return ", ".join(f"{name} {_told(own)}" for name, own in values.items())


def _each(value: float | str) -> list[float | str]:
    """A number or words as they are; several numbers of one image, as of networks for each channel, one by one."""
    try:
        return [float(part) for part in value.split("_")] if isinstance(value, str) else [value]
    except ValueError:
        return [value]


def _told(values: Sequence[float | str]) -> str:
    """`1250 (800 to 1400)`, `fast 3 times, slow 1 time`."""
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        counts = Counter(map(str, values)).most_common()
        return ", ".join(f"{word} {count} {'time' if count == 1 else 'times'}" for word, count in counts)
    low, high = min(numbers), max(numbers)
    return f"{statistics.median(numbers):g}" + (f" ({low:g} to {high:g})" if low != high else "")
