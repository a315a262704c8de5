"""Which differences between methods can be believed: paired by photograph, with intervals, tests and shared
ranks.

The unit is the photograph (a row's `scene`). The scores of two methods on one image are differenced view by view (a view
is an image, a repeat and a seed: one noisy image), these differences averaged to one number for each image, and the
images cut from one photograph to one number for it; photographs, not cuts or views, are what another data set would bring
anew. On these numbers stand

- the 95 % interval of their mean: bias-corrected and accelerated bootstrap (`scipy.stats.bootstrap`, 9999 resamples
  of photographs, seeded);
- the same interval at the level 1 - 0.05 / m, m the number of rivals less one (Bonferroni): ranks go by this one;
- the Wilcoxon signed-rank test, two-sided (`scipy.stats.wilcoxon`, zeros left out), its p values corrected by Holm
  over the comparisons with one method;
- the wins: on how many photographs the method scored higher.

A rank: the best mean leads, and every method whose corrected interval of the difference to it holds zero shares its
rank; the best of the others leads the next rank. Methods that saw clean images (bounds, oracle selection) have no rank,
nor has one whose difference to the best or to its leader could not be tested.
Nothing is compared where the noisy images differ (by their hashes) or the images are not the same.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from denoisebench.report.results import Result, all_images

RESAMPLES = 9999
BATCH = 1000  # resamples held at once
ERROR = 0.05


@dataclass(frozen=True)
class Difference:
    """One method less another in dB: mean over photographs, 95 % interval, the corrected one, and the test.

    seeds: how many both have, and were paired; of_seeds: how many either has.
    """

    mean_db: float
    low_db: float
    high_db: float
    corrected_low_db: float
    corrected_high_db: float
    p: float
    p_holm: float
    wins: int
    photographs: int
    seeds: int
    of_seeds: int

    @property
    def is_zero(self) -> bool:
        """Whether the corrected interval holds zero."""
        return self.corrected_low_db <= 0 <= self.corrected_high_db


@dataclass(frozen=True)
class Paired:
    """The difference of PSNR on each photograph in dB, (photographs,); seeds as in `Difference`."""

    differences_db: np.ndarray
    seeds: int
    of_seeds: int


@dataclass(frozen=True)
class Comparison:
    """All results of one data set, noise and protocol against the best and against a baseline, by id.

    A text in place of a difference says why there is none. `m`: comparisons that the intervals are corrected for.
    """

    best: Result | None
    baseline: Result | None
    to_best: Mapping[str, Difference | str]
    to_baseline: Mapping[str, Difference | str]
    ranks: Mapping[str, int]
    m: int


def compare(results: Sequence[Result], baseline: str = "noisy") -> Comparison:
    """Compare the results of one data set, noise and protocol; `baseline` is a method's label."""
    images = all_images(results)
    rivals = [r for r in results if not r.saw_clean and r.psnr_db is not None and r.names == images]
    best = max(rivals, key=lambda r: (r.psnr_db, r.method), default=None)
    base = next((r for r in results if r.method == baseline), None)
    m = max(len(rivals) - 1, 1)
    to_best = differences(results, best, m) if best else {}
    to_baseline = differences(results, base, m) if base else {}
    return Comparison(best, base, to_best, to_baseline, _ranks(rivals, to_best, m), m)


def _ranks(rivals: Sequence[Result], to_best: Mapping[str, Difference | str], m: int) -> dict[str, int]:
    ranks: dict[str, int] = {}
    left, found = list(rivals), to_best
    while left:
        leader = max(left, key=lambda r: (r.psnr_db, r.method))
        found = found if not ranks else differences(left, leader, m)
        tested = {r.id: one for r in left if isinstance(one := found.get(r.id), Difference)}
        if not ranks and not tested:
            return {}
        equal = [leader, *(r for r in left if r.id in tested and tested[r.id].is_zero)]
        ranks |= dict.fromkeys((r.id for r in equal), len(ranks) + 1)
        left = [r for r in left if r.id in tested and r not in equal]
    return ranks


def differences(results: Sequence[Result], other: Result, m: int) -> dict[str, Difference | str]:
    """Each result less `other`, by id, corrected for `m` comparisons; a reason where they cannot be paired."""
    scenes = _scenes([*results, other])
    pairs = {r.id: paired(r, other, scenes) for r in results if r is not other}
    reasons = {name: pair for name, pair in pairs.items() if isinstance(pair, str)}
    found = {name: pair for name, pair in pairs.items() if not isinstance(pair, str)}
    if not found:
        return {**reasons}
    table = np.stack([pair.differences_db for pair in found.values()])
    plain, corrected = intervals(table, (1 - ERROR, 1 - ERROR / m))
    p = np.array([signed_rank(row) for row in table])
    adjusted = holm(p)
    tested = {
        name: Difference(
            float(row.mean()), plain[0, i], plain[1, i], corrected[0, i], corrected[1, i], p[i], adjusted[i],
            int((row > 0).sum()), len(row), pair.seeds, pair.of_seeds,
        )
        for i, ((name, pair), row) in enumerate(zip(found.items(), table, strict=True))
    }  # fmt: skip
    return {**reasons, **tested}


def _scenes(results: Sequence[Result]) -> dict[str, str]:
    """The photograph of each image, as far as any row tells it: older rows do not."""
    return {row["image"]: row["scene"] for r in results for row in r.rows if row["scene"] != row["image"]}


def paired(result: Result, other: Result, scenes: Mapping[str, str]) -> Paired | str:
    """The differences, photographs in the order of `other`'s; or why there are none. scenes: of images, if not their own."""
    ours, theirs = _views(result), _views(other)
    images = {image for image, _, _ in theirs}
    if {image for image, _, _ in ours} != images:
        return f"not the same images as {other.method}"
    common = [view for view in theirs if view in ours]
    if {image for image, _, _ in common} != images:
        return f"no seed and repeat in common with {other.method}"
    if any(ours[view][1] != theirs[view][1] for view in common):
        return f"its noisy images are not those of {other.method}"
    values: dict[str, list[float]] = {}
    for view in common:
        score, score_of_other = ours[view][0], theirs[view][0]
        if score is None or score_of_other is None:
            return "no clean images"
        if math.inf in (score, score_of_other):
            return "an infinite score"
        values.setdefault(view[0], []).append(score - score_of_other)
    per_photograph = _over_photographs({image: float(np.mean(own)) for image, own in values.items()}, scenes)
    if len(per_photograph) < 2:
        return "one photograph alone"
    return Paired(per_photograph, len({view[2] for view in common}), len({view[2] for view in {**ours, **theirs}}))


def _over_photographs(values: Mapping[str, float], scenes: Mapping[str, str]) -> np.ndarray:
    """The mean over the images of each photograph."""
    cuts: dict[str, list[float]] = {}
    for image, value in values.items():
        cuts.setdefault(scenes.get(image, image), []).append(value)
    return np.array([np.mean(own) for own in cuts.values()])


def _views(result: Result) -> dict[tuple[str, str, str], tuple[float | None, str]]:
    return {(row["image"], row["repeat"], row["seed"]): (row["psnr_db"], row["noisy_sha"]) for row in result.rows}


def intervals(table: np.ndarray, levels: Sequence[float]) -> list[np.ndarray]:
    """Bootstrap intervals of the mean of each row of (rows, photographs), one (2, rows) for each level."""
    result, found = None, []
    for level in levels:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rows that do not vary: mended below
            result = stats.bootstrap(
                (table,), np.mean, axis=-1, vectorized=True, n_resamples=0 if result else RESAMPLES, batch=BATCH,
                confidence_level=level, rng=np.random.default_rng(0), bootstrap_result=result,
            )  # fmt: skip
        bounds = np.array(result.confidence_interval)
        found.append(np.where(np.isnan(bounds), np.quantile(result.bootstrap_distribution, _ends(level), axis=-1), bounds))
    return found


def _ends(level: float) -> list[float]:
    return [(1 - level) / 2, (1 + level) / 2]


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
