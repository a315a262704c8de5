"""Comparisons: equal to what scipy and a plain recomputation give, and refused where nothing can be compared."""

import csv
import math

import numpy as np
import pytest
from scipy import stats

from denoisebench.report.rows import Result, read_study, summarise
from denoisebench.report.sections import wins_text
from denoisebench.report.statistics import RESAMPLES, Comparison, Difference, compare, holm, intervals, signed_rank
from studies import STUDY, add_cell

IMAGES = 12


def scores(centre: float, spread: float = 0.1, seed: int = 0) -> dict[str, float | None]:
    """Images differ by decibels, methods by the same amount on each up to `spread`."""
    rng, images = np.random.default_rng(seed), np.random.default_rng(99)
    return {f"i{k}": float(centre + images.normal(0, 3) + rng.normal(0, spread)) for k in range(IMAGES)}


def compared(baseline: str = "noisy") -> tuple[Comparison, dict[str, Result]]:
    results = summarise(read_study(STUDY))
    return compare(results, baseline), {r.method: r for r in results}


def difference(found: Difference | str | None) -> Difference:
    assert isinstance(found, Difference)
    return found


def test_a_difference_equals_a_recomputation_from_the_rows() -> None:
    add_cell("noisy", scores(20, seed=1))
    add_cell("alpha", scores(30.2, seed=2))
    add_cell("beta", scores(30, seed=3))
    comparison, results = compared()
    columns: dict[str, dict[str, float]] = {}
    for path in STUDY.glob("*/*/*/*/rows.csv"):
        for row in csv.DictReader(path.read_text().splitlines()):
            columns.setdefault(row["method"], {})[row["image"]] = float(row["psnr_db"])
    table = np.array([[columns["beta"][image] - value for image, value in columns["alpha"].items()]])
    found = difference(comparison.to_best[results["beta"].id])
    expected = stats.bootstrap(
        (table[0],), np.mean, n_resamples=RESAMPLES, batch=1000, confidence_level=0.95, rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.mean_db == pytest.approx(table.mean(), abs=1e-12)
    assert found.low_db == pytest.approx(expected.low, abs=0.01)
    assert found.high_db == pytest.approx(expected.high, abs=0.01)
    assert found.corrected_low_db <= found.low_db <= found.mean_db <= found.high_db <= found.corrected_high_db
    less_alpha = {m: np.array([columns[m][i] - columns["alpha"][i] for i in columns[m]]) for m in ("noisy", "beta")}
    p = [signed_rank(less_alpha["noisy"]), tuple(stats.wilcoxon(less_alpha["beta"]))[1]]
    assert found.p == pytest.approx(p[1], rel=1e-12)
    assert found.p_holm == pytest.approx(max(2 * min(p), max(p)) if p[1] == max(p) else 2 * p[1], rel=1e-12)
    assert (found.wins, found.photographs) == (int((table > 0).sum()), IMAGES)


def test_methods_that_cannot_be_told_apart_share_a_rank_and_the_others_do_not() -> None:
    add_cell("noisy", scores(20, seed=1))
    add_cell("alpha", scores(30.00, seed=2))
    add_cell("beta", scores(30.01, seed=3))
    add_cell("worse", scores(28, seed=4))
    add_cell("bound", scores(40, seed=5), tags="supervised", learns="dataset")
    comparison, results = compared()
    ranks = {method: comparison.ranks.get(result.id) for method, result in results.items()}
    assert ranks == {"noisy": 4, "alpha": 1, "beta": 1, "worse": 3, "bound": None}
    assert difference(comparison.to_best[results["bound"].id]).low_db > 9


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(1.0, 2.0, (300, 40))
    low, high = intervals(table, (0.95,))[0]
    assert 0.90 < float(np.mean((low <= 1) & (high >= 1))) < 0.98


def test_what_does_not_vary_has_an_interval_of_no_width() -> None:
    plain, corrected = intervals(np.array([[0.5, 0.5, 0.5], [0.0, 0.0, 0.0]]), (0.95, 0.99))
    assert plain.tolist() == corrected.tolist() == [[0.5, 0.0], [0.5, 0.0]]
    assert signed_rank(np.zeros(5)) == 1.0


def test_holm_equals_the_textbook() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).max() == 1


def test_other_noisy_images_are_refused() -> None:
    add_cell("alpha", scores(30))
    add_cell("beta", scores(29), noisy_sha="another")
    comparison, results = compared()
    assert comparison.to_best[results["beta"].id] == "its noisy images are not those of alpha"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [({"i0": 20.0}, "not the same images"), ({f"i{k}": None for k in range(IMAGES)}, "no clean images"),
     ({f"i{k}": math.inf if k == 3 else 20.0 for k in range(IMAGES)}, "an infinite score")],
)  # fmt: skip
def test_what_cannot_be_paired_says_why(columns: dict[str, float | None], reason: str) -> None:
    add_cell("alpha", scores(30))
    add_cell("beta", columns)
    results = {r.method: r for r in summarise(read_study(STUDY))}
    found = compare(list(results.values()), "alpha").to_baseline[results["beta"].id]
    assert isinstance(found, str)
    assert reason in found


def test_seeds_are_paired_and_averaged_within_an_image() -> None:
    for seed in (0, 1):
        add_cell("alpha", {"a": 30.0 + seed, "b": 31.0}, seed=seed)
    add_cell("beta", {"a": 29.0, "b": 29.0}, seed=0)
    comparison, results = compared()
    found = difference(comparison.to_best[results["beta"].id])
    assert found.mean_db == -1.5  # the common seed alone
    assert found.photographs == 2
    assert (found.seeds, found.of_seeds) == (1, 2)
    assert wins_text(found) == "0 of 2 (1 of 2 seeds paired)"
    assert results["alpha"].psnr_sd_seeds == pytest.approx(np.std([30.5, 31.0], ddof=1))
    assert results["alpha"].psnr_sd_images == pytest.approx(np.std([30.5, 31.0], ddof=1))
    assert results["beta"].psnr_sd_seeds is None
