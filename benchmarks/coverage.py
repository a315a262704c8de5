"""How often the report's intervals hold the true mean: simulated differences of known mean, 3 to 100 photographs.

.venv/bin/python benchmarks/coverage.py            # under 3 minutes on one core; writes benchmarks/results/coverage.json
.venv/bin/python benchmarks/coverage.py --quick    # 200 repetitions, seconds: does it run? writes nothing
"""

import argparse
import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from denoisebench.report.statistics import FEWEST_PHOTOGRAPHS, intervals

RESULTS = Path(__file__).parent / "results" / "coverage.json"
PHOTOGRAPHS = (3, 5, 8, 12, 16, 20, 24, 30, 50, 68, 100)
LEVELS = (0.95, 0.975, 0.99, 0.995)  # 0.95, and corrected for 2, 5 and 10 comparisons
REPETITIONS = 5000
BATCH = 500  # repetitions at once
CROPS = 8  # of one photograph at most
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


@dataclass(frozen=True)
class Distribution:
    """Of the differences on photographs, with mean 0. promised: whether the report's promise includes it."""

    name: str
    draw: Draw
    promised: bool = True


@dataclass(frozen=True)
class Coverage:
    """The part of the repetitions whose interval held the mean: the report's, and Student's t alone.

    width: the median ratio of the report's interval to Student's t.
    """

    distribution: str
    promised: bool
    photographs: int
    level: float
    report: float
    student_t: float
    width: float


def lognormal(sigma: float) -> Draw:
    return lambda rng, shape: rng.lognormal(0, sigma, shape) - math.exp(sigma**2 / 2)


def cropped(photograph: Draw) -> Draw:
    """1 to 8 crops of each photograph, averaged: they share its difference, and each adds noise as large."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        crops = photograph(rng, shape)[..., None] + rng.normal(size=(*shape, CROPS))
        kept = np.arange(CROPS) < rng.integers(1, CROPS + 1, shape)[..., None]
        return crops.mean(axis=-1, where=kept)

    return draw


def exponential(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.exponential(size=shape) - 1


def another_kind(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """One photograph in ten is of a kind on which the methods differ by ten standard deviations more."""
    return rng.normal(size=shape) + 10 * (rng.random(shape) < 0.1) - 1


DISTRIBUTIONS = (
    Distribution("normal", lambda rng, shape: rng.normal(size=shape)),
    Distribution("t, 3 degrees of freedom", lambda rng, shape: rng.standard_t(3, size=shape)),
    Distribution("lognormal, sigma 0.5 (skewness 1.7)", lognormal(0.5)),
    Distribution("exponential (skewness 2)", exponential),
    Distribution("lognormal, sigma 1 (skewness 6.2)", lognormal(1.0)),
    Distribution("1 to 8 crops, normal photographs", cropped(lambda rng, shape: rng.normal(size=shape))),
    Distribution("1 to 8 crops, exponential photographs", cropped(exponential)),
    Distribution("one photograph in ten of another kind", another_kind, promised=False),
)


def simulate(
    distribution: Distribution, photographs: int, repetitions: int = REPETITIONS, levels: Sequence[float] = LEVELS
) -> list[Coverage]:
    """One result for each level; the same draws for all of them, fixed by distribution and number of photographs."""
    rng = np.random.default_rng([photographs, zlib.crc32(distribution.name.encode())])
    parts = [min(BATCH, repetitions - start) for start in range(0, repetitions, BATCH)]
    held = np.concatenate([_held(distribution.draw(rng, (part, photographs)), levels) for part in parts], axis=2)
    return [
        Coverage(distribution.name, distribution.promised, photographs, level, float(report.mean()), float(t.mean()),
                 float(np.median(width)))
        for level, (report, t, width) in zip(levels, held, strict=True)
    ]  # fmt: skip


def _held(table: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """For each level: whether each row's intervals (the report's, Student's t) hold 0, and the ratio of their widths."""
    mean, error = table.mean(axis=1), stats.sem(table, axis=1)
    found = []
    for level, (low, high) in zip(levels, intervals(table, levels), strict=True):
        reach = stats.t.ppf((1 + level) / 2, table.shape[1] - 1) * error
        found.append([(low <= 0) & (high >= 0), np.abs(mean) <= reach, (high - low) / (2 * reach)])
    return np.array(found, float)


def beyond(coverages: Sequence[Coverage], points: float = 2) -> list[Coverage]:
    """Those of the promise, with photographs enough for an interval, that miss their level by more than so many points."""
    shown = [c for c in coverages if c.promised and c.photographs >= FEWEST_PHOTOGRAPHS]
    return [c for c in shown if abs(c.report - c.level) > points / 100 + 1e-9]


def markdown(coverages: Sequence[Coverage], level: float) -> str:
    """A table of coverage in percent at one level: distributions by photographs."""
    sizes = list(dict.fromkeys(c.photographs for c in coverages))
    lines = [f"| {100 * level:g} % | " + " | ".join(map(str, sizes)) + " |", "|---|" + "---:|" * len(sizes)]
    for name in dict.fromkeys(c.distribution for c in coverages):
        own = {c.photographs: c for c in coverages if c.distribution == name and c.level == level}
        lines.append(f"| {name} | " + " | ".join(f"{100 * own[size].report:.1f}" for size in sizes) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    repetitions = 200 if quick else REPETITIONS
    coverages = [c for d in DISTRIBUTIONS for n in PHOTOGRAPHS for c in simulate(d, n, repetitions)]
    print("\n\n".join(markdown(coverages, level) for level in LEVELS))
    for miss in beyond(coverages):
        print(f"beyond 2 points: {miss}")
    if not quick:
        about = {"repetitions": repetitions, "fewest_photographs": FEWEST_PHOTOGRAPHS}
        rows = [{k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(c).items()} for c in coverages]
        lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
        RESULTS.write_text(f'{{\n "about": {json.dumps(about)},\n "rows": [\n{lines}\n ]\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
