"""Comparisons: equal to what scipy and a plain recomputation give, and refused where nothing can be compared."""

import csv
import importlib
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from denoisebench.report.differences import statistics_note, wins_text
from denoisebench.report.plain import markdown_tables
from denoisebench.report.results import Result, all_images, summarise
from denoisebench.report.rows import read_study
from denoisebench.report.statistics import (
    FEWEST_PHOTOGRAPHS,
    Comparison,
    Difference,
    Terms,
    compare,
    differences,
    holm,
    intervals,
    scenes_of,
    signed_rank,
)
from denoisebench.report.table import marks_of
from denoisebench.report.write import write_report
from denoisebench.scoring.measures import MEASURES
from denoisebench.store.rows import COLUMNS
from studies import STUDY, add_cell

IMAGES = FEWEST_PHOTOGRAPHS
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def scores(centre: float, spread: float = 0.1, seed: int = 0) -> dict[str, float | None]:
    """Images differ by decibels, methods by the same amount on each up to `spread`."""
    rng, images = np.random.default_rng(seed), np.random.default_rng(99)
    return {f"i{k}": float(centre + images.normal(0, 3) + rng.normal(0, spread)) for k in range(IMAGES)}


def compared(baseline: str = "noisy") -> tuple[Comparison, dict[str, Result]]:
    results = summarise(read_study(STUDY))
    return compare(results, baseline), {r.method: r for r in results}


def outer_ends(row: np.ndarray, level: float) -> tuple[float, float]:
    """Student's t as scipy has it, and the bootstrap-t with a loop over other resamples than the report's."""
    rng, t = np.random.default_rng(1), []
    for _ in range(20000):
        again = rng.choice(row, len(row))
        t.append((again.mean() - row.mean()) / (again.std(ddof=1) / math.sqrt(len(row))))
    low, high = np.quantile(t, [(1 - level) / 2, (1 + level) / 2])
    student = stats.ttest_1samp(row, 0).confidence_interval(level)
    ends = row.mean() - high * stats.sem(row), row.mean() - low * stats.sem(row)
    return min(student.low, ends[0]), max(student.high, ends[1])


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
    row = np.array([columns["beta"][image] - value for image, value in columns["alpha"].items()])
    found = difference(comparison.to_best[results["beta"].id])
    assert found.mean_db == pytest.approx(row.mean(), abs=1e-12)
    assert (found.low_db, found.high_db) == pytest.approx(outer_ends(row, 0.95), abs=0.005)
    assert (found.corrected_low_db, found.corrected_high_db) == pytest.approx(outer_ends(row, 0.975), abs=0.005)
    less_alpha = {m: np.array([columns[m][i] - columns["alpha"][i] for i in columns[m]]) for m in ("noisy", "beta")}
    p = [signed_rank(less_alpha["noisy"]), tuple(stats.wilcoxon(less_alpha["beta"]))[1]]
    assert found.p == pytest.approx(p[1], rel=1e-12)
    assert found.p_holm == pytest.approx(max(2 * min(p), max(p)) if p[1] == max(p) else 2 * p[1], rel=1e-12)
    assert (found.wins, found.photographs) == (int((row > 0).sum()), IMAGES)


def test_methods_that_cannot_be_told_apart_share_a_rank_and_the_others_do_not() -> None:
    add_cell("noisy", scores(20, seed=1))
    add_cell("alpha", scores(30.00, seed=2))
    add_cell("beta", scores(30.01, seed=3))
    add_cell("worse", scores(28, seed=4))
    add_cell("bound", scores(40, seed=5), tags="supervised", learns="dataset")
    comparison, results = compared()
    ranks = {method: comparison.ranks.get(result.id) for method, result in results.items()}
    assert ranks == {"noisy": 4, "alpha": 1, "beta": 1, "worse": 3, "bound": None}
    low = difference(comparison.to_best[results["bound"].id]).low_db
    assert low is not None
    assert low > 9


@pytest.fixture
def coverage(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("coverage")


@pytest.mark.parametrize("photographs", [FEWEST_PHOTOGRAPHS, 68])
def test_intervals_hold_the_truth_as_often_as_they_say(coverage: Any, photographs: int) -> None:
    """Within 2 points of the level and 2 standard errors of the simulation; the bootstrap that was here before gave 89 %."""
    for distribution in coverage.DISTRIBUTIONS:
        for found in coverage.simulate(distribution, photographs, 1000, (0.95, 0.99)) if distribution.promised else ():
            noise = 2 * math.sqrt(found.level * (1 - found.level) / 1000)
            assert abs(found.report - found.level) <= 0.02 + noise, found


def test_the_committed_simulation_keeps_the_promise_where_intervals_are_shown(coverage: Any) -> None:
    found = [coverage.Coverage(**row) for row in json.loads(coverage.RESULTS.read_text())["rows"]]
    assert coverage.beyond(found) == []
    fewer = [c for c in found if c.promised and c.photographs == 20]  # the next smaller number breaks it
    assert min(c.report - c.level for c in fewer) < -0.02
    again = coverage.simulate(coverage.DISTRIBUTIONS[0], 24, coverage.REPETITIONS, (0.95,))
    committed = next(c for c in found if (c.distribution, c.photographs, c.level) == ("normal", 24, 0.95))
    assert again[0].report == pytest.approx(committed.report, abs=0.001)


def test_what_does_not_vary_has_an_interval_of_no_width() -> None:
    plain, corrected = intervals(np.array([[0.5] * 24, [0.0] * 24, [0.1] * 24]), (0.95, 0.99))
    assert plain == pytest.approx(np.array([[0.5, 0.0, 0.1]] * 2), abs=1e-12)
    assert corrected == pytest.approx(plain, abs=1e-12)
    assert signed_rank(np.zeros(5)) == 1.0


def test_one_photograph_that_differs_among_equal_ones_bounds_nothing_on_its_side() -> None:
    """A third of the resamples lack it: how rare such photographs are, the others cannot tell."""
    [low, high] = intervals(np.array([[0.0] * 23 + [1.0]]), (0.95,))[0][:, 0]
    assert (low <= 0, high) == (True, math.inf)


def test_holm_equals_the_textbook() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.9, 0.8])).max() == 1


def test_other_noisy_images_are_refused() -> None:
    add_cell("alpha", scores(30))
    add_cell("beta", scores(29), noisy_sha="another")
    comparison, results = compared()
    assert comparison.to_best[results["beta"].id] == "its noisy images are not those of alpha"


def test_a_result_of_other_noisy_images_takes_no_rank_from_the_others() -> None:
    for method, level in (("noisy", 20.0), ("tv", 28.0), ("nlm", 30.0)):
        add_cell(method, scores(level, seed=int(level)))
    add_cell("foreign", scores(40), noisy_sha="easier")
    comparison, results = compared()
    ranks = {method: comparison.ranks.get(result.id) for method, result in results.items()}
    assert ranks == {"nlm": 1, "tv": 2, "noisy": 3, "foreign": None}
    assert comparison.m == 2
    assert comparison.to_best[results["foreign"].id] == "its noisy images are not those of nlm"


def test_what_wins_on_every_photograph_is_not_ranked_below() -> None:
    """The higher mean comes from one seed more, the paired difference from the seeds that both have."""
    rng = np.random.default_rng(0)
    common = {f"i{k}": 30 + rng.normal() for k in range(IMAGES)}
    add_cell("alpha", common, seed=0)
    add_cell("beta", {image: psnr + 0.01 + 0.001 * rng.normal() for image, psnr in common.items()}, seed=0)
    add_cell("beta", {image: psnr - 0.1 for image, psnr in common.items()}, seed=1)
    comparison, results = compared()
    assert comparison.best is results["alpha"]
    found = difference(comparison.to_best[results["beta"].id])
    assert found.corrected_low_db is not None
    assert found.corrected_low_db > 0
    assert set(comparison.ranks.values()) == {1}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [({"i0": 20.0}, "not the same images"), ({f"i{k}": None for k in range(IMAGES)}, "no PSNR"),
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
    assert results["alpha"].scores["psnr_db"].sd_seeds == pytest.approx(np.std([30.5, 31.0], ddof=1))
    assert results["alpha"].scores["psnr_db"].sd_images == pytest.approx(np.std([30.5, 31.0], ddof=1))
    assert results["beta"].scores["psnr_db"].sd_seeds is None


def test_cuts_of_one_photograph_are_one_witness() -> None:
    """24 photographs of 32 cuts: a difference that belongs to the photograph is not seen 768 times."""
    rng, missed = np.random.default_rng(5), 0
    scenes = {f"{frame}_{cut}": str(frame) for frame in range(24) for cut in range(32)}
    for setup in range(40):
        of_frame = rng.normal(0, 1, 24)
        ours = {image: 30 + of_frame[int(frame)] + rng.normal(0, 0.1) for image, frame in scenes.items()}
        noisy, alpha = (_result("noisy", dict.fromkeys(scenes, 30.0), scenes), _result("alpha", ours, scenes))
        found = difference(differences([alpha], noisy, Terms(MEASURES[0], alpha.names, scenes_of([alpha, noisy]), 1))[alpha.id])
        assert found.photographs == 24, setup
        assert found.corrected_low_db is not None
        assert found.corrected_high_db is not None
        missed += not found.corrected_low_db <= 0 <= found.corrected_high_db
    assert missed <= 6  # by cuts: about 25


@pytest.mark.parametrize(("told", "photographs", "p"), [(False, 24, 2.0**-23), (True, 3, 0.25)])
def test_three_photographs_stay_three_however_often_they_are_cut(told: bool, photographs: int, p: float) -> None:
    """Exact signed-rank tests of as many differences of one sign."""
    scenes = {f"{frame}_{cut}": frame for frame in "abc" for cut in range(8)}
    better = {image: 30 + 0.01 * k for k, image in enumerate(scenes)}
    for method, psnrs in (("alpha", better), ("beta", dict.fromkeys(scenes, 29.0))):
        add_cell(method, psnrs, scenes=scenes if told else None)
    comparison, results = compared()
    found = difference(comparison.to_best[results["beta"].id])
    assert (found.photographs, found.wins) == (photographs, 0)
    assert found.p == pytest.approx(p, rel=1e-6)
    assert bool(comparison.ranks) is not told


def _result(method: str, psnrs: Mapping[str, float], scenes: Mapping[str, str]) -> Result:
    """A result as `summarise` makes it, without files."""
    texts = dict.fromkeys(COLUMNS, "") | {
        "method": method,
        "scored_by": "local",
        "noisy_sha": "a",
        "seconds": 0.1,
        "peak_mib": 1.0,
    }
    numbers = {"train_seconds": None, "ssim": None, "cell": Path(method)}
    rows = [{**texts, **numbers, "image": image, "psnr_db": psnr, "scene": scenes[image]} for image, psnr in psnrs.items()]
    [result] = summarise(rows)
    return result


def test_each_photograph_counts_once_also_beside_rows_that_do_not_tell_it() -> None:
    scenes = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "c1": "c"}
    add_cell("alpha", dict(zip(scenes, (31.0, 32.0, 33.0, 34.0, 30.0), strict=True)), scenes=scenes)
    add_cell("beta", dict.fromkeys(scenes, 30.0))
    comparison, results = compared()
    found = difference(comparison.to_best[results["beta"].id])
    assert (found.photographs, found.wins) == (3, 0)
    assert found.mean_db == pytest.approx(-(2 + 4 + 0) / 3)
    assert (results["alpha"].images, results["alpha"].photographs, results["beta"].photographs) == (5, 3, 5)
    assert write_report([STUDY]) == 0
    text = (STUDY / "report.html").read_text()
    assert "5 images" in text
    assert "0 of 3" in text


def test_the_page_counts_photographs() -> None:
    scenes = {f"{frame}_{cut}": frame for frame in "ab" for cut in range(4)}
    for method, level in (("alpha", 30.0), ("beta", 29.0)):
        add_cell(method, dict.fromkeys(scenes, level), scenes=scenes)
    assert write_report([STUDY]) == 0
    assert "8 images of 2 photographs" in (STUDY / "report.md").read_text()
    text = (STUDY / "report.html").read_text()
    assert "8 images of 2 photographs" in text
    assert "2 photographs: too few for intervals and ranks" in text
    assert "No signed-rank test can be significant either" in text


@pytest.mark.parametrize("columns", [{"noisy_sha": "another"}, {}])
def test_what_could_not_be_tested_has_no_rank(columns: dict[str, Any]) -> None:
    add_cell("alpha", scores(30, seed=2))
    add_cell("beta", scores(28, seed=3))
    add_cell("gamma", scores(25, seed=4), **columns)
    comparison, results = compared()
    ranks = {method: comparison.ranks.get(result.id) for method, result in results.items()}
    assert ranks == {"alpha": 1, "beta": 2, "gamma": None if columns else 3}


def test_nothing_is_ranked_where_nothing_was_tested() -> None:
    add_cell("alpha", {"a": 30.0})
    add_cell("beta", {"a": 29.0})
    comparison, results = compared()
    assert comparison.ranks == {}
    assert comparison.to_best[results["beta"].id] == "one photograph alone"


def fewer(psnrs: Mapping[str, float | None], count: int) -> dict[str, float | None]:
    return {image: psnrs[image] for image in list(psnrs)[:count]}


@pytest.mark.parametrize("photographs", [FEWEST_PHOTOGRAPHS - 1, FEWEST_PHOTOGRAPHS])
def test_too_few_photographs_have_no_interval_and_no_rank_and_the_report_says_why(photographs: int) -> None:
    shown = photographs >= FEWEST_PHOTOGRAPHS
    for method, level in (("noisy", 20), ("alpha", 30), ("beta", 28)):
        add_cell(method, fewer(scores(level, seed=level), photographs))
    comparison, results = compared()
    found = difference(comparison.to_best[results["beta"].id])
    ends = (found.low_db, found.high_db, found.corrected_low_db, found.corrected_high_db)
    assert [end is not None for end in ends] == [shown] * 4
    assert comparison.ranks == ({r.id: 1 + ["alpha", "beta", "noisy"].index(r.method) for r in results.values()} if shown else {})
    assert (found.mean_db < -1.5, found.p_holm < 0.001, found.wins) == (True, True, 0)
    assert write_report([STUDY]) == 0
    page, markdown = (STUDY / "report.html").read_text(), (STUDY / "report.md").read_text()
    for text in (page, markdown):
        assert ("23 photographs: too few for intervals and ranks. With fewer than 24," in text) is not shown
        assert ("24 photographs; intervals are corrected for 2 comparisons." in text) is shown
        assert "No signed-rank test can be significant" not in text
    assert ('class="rank"' in page) is shown
    rows = {row["method"]: row for row in csv.DictReader((STUDY / "results.csv").read_text().splitlines())}
    assert bool(rows["beta"]["to_best_low_db"] and rows["beta"]["rank"]) is shown
    why = "" if shown else "no interval and no rank: they need at least 24 photographs, and there are 23"
    assert rows["beta"]["to_best_refused"] == why


def test_crops_do_not_make_photographs_enough() -> None:
    """As many images as an interval needs, of half as many photographs: also where only a bound's rows tell them."""
    scenes = {f"i{k}": f"scene{k // 2}" for k in range(IMAGES)}
    add_cell("alpha", scores(30, seed=1))
    add_cell("beta", scores(28, seed=2))
    add_cell("bound", scores(40, seed=3), scenes=scenes, tags="supervised", learns="dataset")
    comparison, results = compared()
    assert difference(comparison.to_best[results["beta"].id]).photographs == IMAGES // 2
    assert comparison.ranks == {}
    assert write_report([STUDY]) == 0
    assert f"{IMAGES // 2} photographs: too few" in (STUDY / "report.html").read_text()


def test_draws_of_noise_are_no_images() -> None:
    images = {"a": 30.0, "b": 31.0}
    add_cell("alpha", images, repeats=10)
    add_cell("beta", {name: psnr + 1 for name, psnr in images.items()}, repeats=2)
    comparison, results = compared()
    assert [(r.images, r.repeats) for r in (results["alpha"], results["beta"])] == [(2, 10), (2, 2)]
    assert comparison.best is results["beta"]
    assert difference(comparison.to_best[results["alpha"].id]).photographs == 2
    text = markdown_tables(list(results.values()))
    assert "2 images, protocol" in text
    assert "images only" not in text
    assert "10 repeats" in text
    assert "**31.50" in text
    assert write_report([STUDY]) == 0
    assert "2 photographs: too few for intervals" in (STUDY / "report.html").read_text()


def test_as_many_other_images_are_not_the_same() -> None:
    add_cell("alpha", {"a": 30.0, "b": 31.0})
    add_cell("beta", {"a": 32.0, "c": 33.0})
    comparison, results = compared()
    assert comparison.best is None
    text = markdown_tables(list(results.values()))
    assert text.count("2 images only") == 2
    assert "**3" not in text


def test_the_tags_of_every_seed_are_told() -> None:
    add_cell("alpha", scores(30), seed=0, tags="refinement")
    add_cell("alpha", scores(30), seed=1, tags="refinement stale_training")
    [result] = summarise(read_study(STUDY))
    assert result.tags == "refinement stale_training"


def test_ranks_and_tests_use_the_images_that_all_have() -> None:
    """`better` has the lower mean of its own scores, as it alone has a score of the hardest image."""
    names = [f"i{k:02d}" for k in range(30)]
    add_cell("better", {name: 30.0 if k else 1.0 for k, name in enumerate(names)})
    add_cell("worse", {name: 29.9 if k else None for k, name in enumerate(names)})
    results = summarise(read_study(STUDY))
    better, worse = (next(r for r in results if r.method == name) for name in ("better", "worse"))
    assert (better.psnr_db or 0) < (worse.psnr_db or 0)
    found = compare(results)
    assert (len(found.images), found.of_images) == (29, 30)
    assert found.best is better
    difference = found.to_best[worse.id]
    assert isinstance(difference, Difference)
    assert (difference.photographs, difference.mean_db) == (29, pytest.approx(-0.1))
    assert found.ranks == {better.id: 1, worse.id: 2}
    assert marks_of(results, all_images(results)) == {better.id: "best", worse.id: "second"}
    assert "of 30 images the 29 that all methods have a score of" in statistics_note(results, found)


def test_a_measure_of_which_less_is_better_ranks_the_other_way_round() -> None:
    names = [f"i{k:02d}" for k in range(30)]
    add_cell("near", {name: 1.0 + 0.01 * (k % 3) for k, name in enumerate(names)})
    add_cell("far", {name: 2.0 + 0.01 * (k % 5) for k, name in enumerate(names)})
    results = summarise(read_study(STUDY))
    less = replace(MEASURES[0], higher_is_better=False)
    near, far = (next(r for r in results if r.method == name) for name in ("near", "far"))
    found = compare(results, measure=less)
    assert found.best is near
    assert found.ranks == {near.id: 1, far.id: 2}
    difference = found.to_best[far.id]
    assert isinstance(difference, Difference)
    assert difference.mean_db > 0.9
    assert difference.wins == 0


def test_intervals_and_p_values_of_a_measure_of_which_less_is_better_are_those_of_scipy() -> None:
    names = [f"i{k:02d}" for k in range(30)]
    rng = np.random.default_rng(5)
    ours, theirs = rng.normal(0.10, 0.01, 30), rng.normal(0.109, 0.01, 30)
    add_cell("near", dict(zip(names, ours, strict=True)))
    add_cell("far", dict(zip(names, theirs, strict=True)))
    results = summarise(read_study(STUDY))
    near, far = (next(r for r in results if r.method == name) for name in ("near", "far"))
    found = compare(results, measure=replace(MEASURES[0], higher_is_better=False))
    assert found.best is near
    difference = found.to_best[far.id]
    assert isinstance(difference, Difference)
    apart = theirs - ours  # a positive number: the rival is worse
    assert difference.mean_db == pytest.approx(apart.mean())
    _, p = stats.wilcoxon(apart, alternative="two-sided", zero_method="wilcox")
    assert difference.p == pytest.approx(p)
    assert difference.wins == int((apart < 0).sum())
    assert 0 < difference.wins < 15
    t = stats.t.interval(0.95, 29, apart.mean(), stats.sem(apart))
    boot = [apart[rng.integers(30, size=30)] for _ in range(4000)]
    low, high = np.quantile([(b.mean() - apart.mean()) / (b.std(ddof=1) / 30**0.5) for b in boot], [0.025, 0.975])
    expected = min(t[0], apart.mean() - high * stats.sem(apart)), max(t[1], apart.mean() - low * stats.sem(apart))
    for end, of_scipy in zip((difference.low_db, difference.high_db), expected, strict=True):
        assert end == pytest.approx(of_scipy, abs=0.1 * stats.sem(apart)), "the resamples are others"
    assert difference.low_db is not None
    assert difference.low_db <= t[0] + 1e-12
    higher = compare(results)
    assert higher.best is far, "and the other way round if more were better"
    mirrored = higher.to_best[near.id]
    assert isinstance(mirrored, Difference)
    assert (mirrored.mean_db, mirrored.p) == (pytest.approx(-difference.mean_db), pytest.approx(difference.p))
    assert (mirrored.low_db, mirrored.high_db) == pytest.approx((-(difference.high_db or 0), -difference.low_db), abs=1e-3)
