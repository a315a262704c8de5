"""Which differences between methods can be believed: paired by photograph, with intervals, tests and shared
ranks.

The unit is the photograph (a row's `scene`). The scores of two methods on one image are differenced view by view (a view
is an image, a repeat and a seed: one noisy image), these differences averaged to one number for each image, and the
images cut from one photograph to one number for it; photographs, not cuts or views, are what another data set would bring
anew. On these numbers stand

- the 95 % interval of their mean: from the lower of the lower ends to the upper of the upper ends of two intervals, Student's
  t and the bootstrap-t (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 12.5; 9999 resamples of
  photographs, seeded). Student's t alone covers too rarely where differences are skewed, the bootstrap-t alone where their
  tails are heavy;
- the same interval at the level 1 - 0.05 / m, m the number of rivals less one (Bonferroni): ranks go by this one;
- the Wilcoxon signed-rank test, two-sided (`scipy.stats.wilcoxon`, zeros left out), its p values corrected by Holm
  over the comparisons with one method;
- the wins: on how many photographs the method scored higher.

A rank: the best mean leads, and every method whose corrected interval of the difference to it does not lie wholly on the worse
side shares its rank; the best of the others leads the next rank. Methods that saw clean images (bounds, oracle selection) have no
rank, nor has one whose difference to the best or to its leader could not be tested. The best is one of the methods whose noisy
images agree with those of the most others.
Below 24 photographs there is no interval and no rank: `benchmarks/coverage.py` simulates how often intervals hold the true
mean, and with fewer photographs skewed differences bring that more than 2 points below the promise.
Of a measure that some images have no score of, ranks and tests use the images that all methods have one of.
Nothing is compared where the noisy images differ (by their hashes) or the images are not the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from denoisebench.report.inputs import NOISY, is_input
from denoisebench.report.results import Result, all_images, scored_by_all
from denoisebench.scoring import measures
from denoisebench.scoring.measures import Measure

RESAMPLES = 9999
BATCH = 1000  # resamples held at once
ERROR = 0.05
SAME_DB = 1e-9  # differences that vary by less are rounding
TINY = 1e-12  # a resample's variance below this part of the row's is rounding
FEWEST_PHOTOGRAPHS = 24  # for an interval: the fewest that hold the promise in benchmarks/coverage.py
FEWEST_TESTED = 6  # below, the p value of a signed-rank test cannot be below 0.05


@dataclass(frozen=True)
class Difference:
    """One method less another in the measure's unit: mean over photographs, 95 % interval, the corrected one, and the test.

    The ends are None below FEWEST_PHOTOGRAPHS, and infinite where the photographs do not bound the mean on that side (all
    but one or two differ by the same amount). seeds: how many both have, and were paired; of_seeds: how many either has.
    """

    mean_db: float
    low_db: float | None
    high_db: float | None
    corrected_low_db: float | None
    corrected_high_db: float | None
    p: float
    p_holm: float
    wins: int
    photographs: int
    seeds: int
    of_seeds: int

    @property
    def has_interval(self) -> bool:
        return self.photographs >= FEWEST_PHOTOGRAPHS

    def is_worse(self, measure: Measure) -> bool:
        """Whether the corrected interval lies wholly on the worse side of zero; without an interval nothing says that it does."""
        low, high = self.corrected_low_db, self.corrected_high_db
        return (high is not None and high < 0) if measure.higher_is_better else (low is not None and low > 0)


@dataclass(frozen=True)
class Paired:
    """The difference on each photograph in the measure's unit, (photographs,); seeds as in `Difference`."""

    differences_db: np.ndarray
    seeds: int
    of_seeds: int


@dataclass(frozen=True)
class Comparison:
    """All results of one data set, noise and protocol against the best and against a baseline, by id.

    A text in place of a difference says why there is none. `m`: comparisons that the intervals are corrected for. images:
    those that all have a score of, which ranks and tests use; of_images: how many there are.
    """

    best: Result | None
    baseline: Result | None
    to_best: Mapping[str, Difference | str]
    to_baseline: Mapping[str, Difference | str]
    ranks: Mapping[str, int]
    m: int
    measure: Measure
    images: frozenset[str]
    of_images: int


@dataclass(frozen=True)
class Terms:
    """What a comparison is made by: a measure, over which images, cut from which photographs, corrected for `m` comparisons."""

    measure: Measure
    images: frozenset[str]
    scenes: Mapping[str, str]
    m: int

    def order(self, result: Result) -> tuple[float, str]:
        """The greater the better."""
        goodness = result.goodness_over(self.images, self.measure)
        return -math.inf if goodness is None else goodness, result.method


def compare(results: Sequence[Result], baseline: str = "noisy", measure: Measure | None = None) -> Comparison:
    """Compare the results of one data set, noise and protocol by a measure (None: the first); `baseline` is a method's label.

    `noisy` is also what several labs ran under that name.
    """
    measure = measure or (results[0].first if results else measures.MEASURES[0])
    names = all_images(results)
    images = scored_by_all(results, measure)
    directed = getattr(measure, "directed", True)
    able = [r for r in results if directed and not r.saw_clean and r.names == names and r.scored(measure)]
    terms = Terms(measure, images, scenes_of(results), 1)
    rivals = same_inputs(sorted(able, key=terms.order, reverse=True))
    terms = replace(terms, m=max(len(rivals) - 1, 1))
    best = max(rivals, key=terms.order, default=None) if images else None
    bases = [r for r in results if r.method == baseline or (baseline == NOISY and is_input(r.method))]
    base = next((r for r in bases if r in rivals), bases[0] if bases else None)
    to_best = differences(results, best, terms) if best else {}
    to_baseline = differences(results, base, terms) if base else {}
    ranks = _ranks(rivals if best else [], to_best, terms)
    return Comparison(best, base, to_best, to_baseline, ranks, terms.m, measure, images, len(names))


def same_inputs(results: Sequence[Result]) -> list[Result]:
    """Those whose noisy images, by their hashes, are those of the one that agrees with the most; of several such, the first."""
    seen = [{(row["image"], row["repeat"], row["seed"]): row["noisy_sha"] for row in result.rows} for result in results]
    agree = [[all(own[view] == one[view] for view in own.keys() & one.keys()) for own in seen] for one in seen]
    most = max(agree, key=sum, default=[])
    return [result for result, same in zip(results, most, strict=True) if same]


def _ranks(rivals: Sequence[Result], to_best: Mapping[str, Difference | str], terms: Terms) -> dict[str, int]:
    ranks: dict[str, int] = {}
    left, found = list(rivals), to_best
    while left:
        leader = max(left, key=terms.order)
        found = found if not ranks else differences(left, leader, terms)
        tested = {r.id: one for r in left if isinstance(one := found.get(r.id), Difference) and one.has_interval}
        if not ranks and not tested:
            return {}
        equal = [leader, *(r for r in left if r.id in tested and not tested[r.id].is_worse(terms.measure))]
        ranks |= dict.fromkeys((r.id for r in equal), len(ranks) + 1)
        left = [r for r in left if r.id in tested and r not in equal]
    return ranks


def differences(results: Sequence[Result], other: Result, terms: Terms) -> dict[str, Difference | str]:
    """Each result less `other`, by id; a reason where they cannot be paired."""
    pairs = {r.id: paired(r, other, terms) for r in results if r is not other}
    reasons = {name: pair for name, pair in pairs.items() if isinstance(pair, str)}
    found = {name: pair for name, pair in pairs.items() if not isinstance(pair, str)}
    if not found:
        return {**reasons}
    table = np.stack([pair.differences_db for pair in found.values()])
    ends = _ends(table, terms.m)
    better = table > 0 if terms.measure.higher_is_better else table < 0
    p = np.array([signed_rank(row) for row in table])
    adjusted = holm(p)
    tested = {
        name: Difference(
            float(row.mean()), *ends[i], p[i], adjusted[i], int(better[i].sum()), len(row), pair.seeds, pair.of_seeds
        )
        for i, ((name, pair), row) in enumerate(zip(found.items(), table, strict=True))
    }
    return {**reasons, **tested}


def _ends(table: np.ndarray, m: int) -> list[tuple[float | None, float | None, float | None, float | None]]:
    """The plain and the corrected interval of each row, where there are photographs enough."""
    if table.shape[1] < FEWEST_PHOTOGRAPHS:
        return [(None, None, None, None)] * len(table)
    plain, corrected = intervals(table, (1 - ERROR, 1 - ERROR / m))
    return [(float(a), float(b), float(c), float(d)) for a, b, c, d in np.concatenate([plain, corrected]).T]


def scenes_of(results: Sequence[Result]) -> dict[str, str]:
    """The photograph of each image, as far as any row tells it: older rows do not."""
    return {row["image"]: row["scene"] for r in results for row in r.rows if row["scene"] != row["image"]}


def too_few(photographs: int) -> str:
    """Why there is no interval; empty where there is one."""
    if photographs >= FEWEST_PHOTOGRAPHS:
        return ""
    return f"no interval and no rank: they need at least {FEWEST_PHOTOGRAPHS} photographs, and there are {photographs}"


def paired(result: Result, other: Result, terms: Terms) -> Paired | str:
    """The differences, photographs in the order of `other`'s; or why there are none."""
    if result.is_mean or other.is_mean:
        return "means, which cannot be paired"
    ours, theirs = _views(result, terms.measure), _views(other, terms.measure)
    images = {image for image, _, _ in theirs}
    if {image for image, _, _ in ours} != images:
        return f"not the same images as {other.method}"
    common = [view for view in theirs if view in ours]
    if {image for image, _, _ in common} != images:
        return f"no seed and repeat in common with {other.method}"
    if any(ours[view][1] != theirs[view][1] for view in common):
        return f"its noisy images are not those of {other.method}"
    values: dict[str, list[float]] = {}
    for view in common if not terms.images else [view for view in common if view[0] in terms.images]:
        score, score_of_other = ours[view][0], theirs[view][0]
        if score is None or score_of_other is None:
            return f"no {terms.measure.title} of the images compared"
        if math.inf in (score, score_of_other):
            return "an infinite score"
        values.setdefault(view[0], []).append(score - score_of_other)
    per_photograph = _over_photographs({image: float(np.mean(own)) for image, own in values.items()}, terms.scenes)
    if len(per_photograph) < 2:
        return "one photograph alone"
    return Paired(per_photograph, len({view[2] for view in common}), len({view[2] for view in {**ours, **theirs}}))


def _over_photographs(values: Mapping[str, float], scenes: Mapping[str, str]) -> np.ndarray:
    """The mean over the images of each photograph."""
    cuts: dict[str, list[float]] = {}
    for image, value in values.items():
        cuts.setdefault(scenes.get(image, image), []).append(value)
    return np.array([np.mean(own) for own in cuts.values()])


def _views(result: Result, measure: Measure) -> dict[tuple[str, str, str], tuple[float | None, str]]:
    return {(row["image"], row["repeat"], row["seed"]): (row.get(measure.column), row["noisy_sha"]) for row in result.rows}


def intervals(table: np.ndarray, levels: Sequence[float]) -> list[np.ndarray]:
    """Intervals of the mean of each row of (rows, photographs), one (2, rows) for each level.

    They hold Student's t interval and the bootstrap-t interval of the same level.
    """
    photographs, mean = table.shape[1], table.mean(axis=1)
    centred = np.where(np.ptp(table, axis=1, keepdims=True) > SAME_DB, table - mean[:, None], 0)
    error = centred.std(axis=1, ddof=1) / math.sqrt(photographs)
    tails = _tails(_studentised(centred), levels)
    found = []
    for level, (low, high) in zip(levels, tails, strict=True):
        reach = stats.t.ppf((1 + level) / 2, photographs - 1)
        found.append(np.stack([mean - np.maximum(high, reach) * error, mean - np.minimum(low, -reach) * error]))
    return found


def _studentised(centred: np.ndarray) -> np.ndarray:
    """The means of resamples of each row (of mean 0) in their own standard errors, (rows, RESAMPLES).

    The same resamples for all rows. Infinite for a resample that does not vary, 0 for a row that does not.
    """
    rows, photographs = centred.shape
    rng, t = np.random.default_rng(0), np.empty((rows, RESAMPLES))
    for start in range(0, RESAMPLES, BATCH):
        counts = _resamples(rng, min(BATCH, RESAMPLES - start), photographs)
        means = centred @ counts.T / photographs
        variances = centred**2 @ counts.T / photographs - means**2
        varies = variances > TINY * centred.var(axis=1, keepdims=True)
        errors = np.sqrt(np.where(varies, variances, 1) / (photographs - 1))
        unbounded = np.where(means == 0, 0, np.copysign(np.inf, means))
        t[:, start : start + BATCH] = np.where(varies, means / errors, unbounded)
    return t


def _resamples(rng: np.random.Generator, many: int, photographs: int) -> np.ndarray:
    """How often each photograph is drawn, (many, photographs)."""
    drawn = rng.integers(photographs, size=(many, photographs)) + photographs * np.arange(many)[:, None]
    return np.bincount(drawn.ravel(), minlength=many * photographs).reshape(many, photographs).astype(float)


def _tails(studentised: np.ndarray, levels: Sequence[float]) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each level the order statistics of each row that leave (1 - level) / 2 of its values below and above."""
    last = studentised.shape[1] - 1
    below = [max(math.floor((1 - level) / 2 * (last + 2) + 1e-9) - 1, 0) for level in levels]
    ordered = np.partition(studentised, sorted({*below, *(last - k for k in below)}), axis=1)
    return [(ordered[:, k], ordered[:, last - k]) for k in below]


def signed_rank(differences_db: np.ndarray) -> float:
    """The two-sided p value of the Wilcoxon signed-rank test; 1 where nothing differs."""
    if not differences_db.any():
        return 1.0
    return float(stats.wilcoxon(differences_db).pvalue)  # pyright: ignore[reportAttributeAccessIssue]


def holm(p: np.ndarray) -> np.ndarray:
    """p values corrected by Holm's step-down procedure (Scandinavian Journal of Statistics, 1979)."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
