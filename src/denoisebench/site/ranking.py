"""Methods over many tables: mean ranks with a critical difference, and performance profiles.

A table is a data set under a noise and a protocol; a method's score in it is its mean. Mean ranks over tables are compared by
Friedman's test and Nemenyi's critical difference, and pairs by Wilcoxon's signed-rank test, corrected by Holm (Demsar:
Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006). Profiles are those of Dolan and More (2002), of
differences in dB.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from denoisebench.report.results import Result, all_images
from denoisebench.report.statistics import ERROR, holm, same_inputs, signed_rank
from denoisebench.report.study import Place, place_of

FEWEST_METHODS = 3
FEWEST_TABLES = 2
MOST_SETS = 200  # of methods: beyond, no further intersections are tried


@dataclass(frozen=True)
class Ranking:
    """scores: (tables, methods), all of them there. ranks: mean rank of each method, 1 the best. p: Friedman's.

    critical: ranks that differ by less are not distinguished (Nemenyi, 5 %). pairs: of two methods, the p value after Holm.
    """

    methods: tuple[str, ...]
    tables: tuple[Place, ...]
    scores: np.ndarray
    ranks: tuple[float, ...]
    p: float
    critical: float
    pairs: Mapping[tuple[str, str], float]

    @property
    def ordered(self) -> list[tuple[str, float]]:
        return sorted(zip(self.methods, self.ranks, strict=True), key=lambda one: one[1])

    @property
    def cliques(self) -> list[tuple[float, float]]:
        """Stretches of ranks that are not distinguished, each as long as it can be."""
        ranks = sorted(self.ranks)
        spans = [(low, max(high for high in ranks if high - low < self.critical)) for low in ranks]
        spans = [span for span in spans if span[1] > span[0]]
        return [s for s in spans if not any(o != s and o[0] <= s[0] and s[1] <= o[1] for o in spans)]


def ranking(results: Sequence[Result]) -> Ranking | None:
    """Of rivals alone, over the methods and tables that fill the largest grid without a gap; None where that is too small."""
    tables: dict[Place, list[Result]] = {}
    for result in results:
        tables.setdefault(place_of(result), []).append(result)
    scores = {place: _scores(own) for place, own in tables.items()}
    methods, places = _grid(scores)
    if len(methods) < FEWEST_METHODS or len(places) < FEWEST_TABLES:
        return None
    grid = np.array([[scores[place][method] for method in methods] for place in places])
    return _ranked(methods, places, grid)


def _scores(results: Sequence[Result]) -> dict[str, float]:
    """The mean of each rival in one table: of all images, made from the same noisy ones. Of several budgets, the best."""
    names = all_images(results)
    whole = [r for r in results if not r.saw_clean and not r.is_mean and r.names == names]
    ordered = sorted(whole, key=lambda r: -math.inf if r.goodness is None else r.goodness, reverse=True)
    scores: dict[str, float] = {}
    for result in same_inputs(ordered):
        if result.goodness is not None and math.isfinite(result.goodness):
            scores.setdefault(result.method, result.goodness)  # the first is the best
    return scores


def _grid(scores: Mapping[Place, Mapping[str, float]]) -> tuple[tuple[str, ...], tuple[Place, ...]]:
    """The methods and tables of the largest grid without a gap, one protocol for each data set and noise."""
    tables = {(table[0], table[1]): table for table in sorted(scores, key=lambda t: (t[2] == "default", t[2]))}.values()
    best: tuple[int, tuple[str, ...], tuple[Place, ...]] = (0, (), ())
    sets = {frozenset(scores[table]) for table in tables}
    for _ in tables:  # intersections of two, then of more
        further = {a & b for a, b in itertools.combinations(sets, 2)} - sets
        if not further or len(sets) > MOST_SETS:
            break
        sets |= further
    for methods in sorted(sets, key=sorted):
        having = tuple(sorted(table for table in tables if methods <= scores[table].keys()))
        if len(methods) >= FEWEST_METHODS and len(having) >= FEWEST_TABLES and len(methods) * len(having) > best[0]:
            best = len(methods) * len(having), tuple(sorted(methods)), having
    return best[1], best[2]


def _ranked(methods: tuple[str, ...], tables: tuple[Place, ...], grid: np.ndarray) -> Ranking:
    ranks = stats.rankdata(-grid, axis=1).mean(axis=0)
    return Ranking(
        methods, tables, grid, tuple(map(float, ranks)), friedman(grid), critical_difference(*grid.shape), _pairs(methods, grid)
    )


def friedman(grid: np.ndarray) -> float:
    """The p value of Friedman's test that all methods are equal; 1 where nothing differs."""
    if not np.ptp(grid, axis=1).any():
        return 1.0
    return float(stats.friedmanchisquare(*grid.T).pvalue)


def critical_difference(tables: int, methods: int) -> float:
    """Nemenyi's, at 5 %: how far apart two mean ranks must be."""
    quantile = float(stats.studentized_range.ppf(1 - ERROR, methods, np.inf))  # pyright: ignore[reportAttributeAccessIssue]
    return quantile / math.sqrt(2) * math.sqrt(methods * (methods + 1) / (6 * tables))


def _pairs(methods: Sequence[str], grid: np.ndarray) -> dict[tuple[str, str], float]:
    pairs = list(itertools.combinations(range(len(methods)), 2))
    p = holm(np.array([signed_rank(grid[:, a] - grid[:, b]) for a, b in pairs]))
    return {(methods[a], methods[b]): float(value) for (a, b), value in zip(pairs, p, strict=True)}


def profile(found: Ranking, method: str) -> list[tuple[float, float]]:
    """The share of tables in which a method is at most a number of dB below the best: steps (dB, share)."""
    behind = np.sort(found.scores.max(axis=1) - found.scores[:, found.methods.index(method)])
    return [(float(value), (number + 1) / len(behind)) for number, value in enumerate(behind)]
