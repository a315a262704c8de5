"""Comparisons: equal to what scipy and a plain recomputation give, and refused where nothing can be compared."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from denoisebench.report.rows import Result, read_study, summarise
from denoisebench.report.sections import wins_text
from denoisebench.report.statistics import RESAMPLES, Comparison, Difference, compare, differences, holm, intervals, signed_rank
from denoisebench.report.table import markdown_tables
from denoisebench.report.write import write_report
from denoisebench.store.cells import COLUMNS
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


def test_cuts_of_one_photograph_are_one_witness() -> None:
    """20 photographs of 32 cuts: a difference that belongs to the photograph is not seen 640 times."""
    rng, held = np.random.default_rng(5), 0
    scenes = {f"{frame}_{cut}": str(frame) for frame in range(20) for cut in range(32)}
    for setup in range(40):
        of_frame = rng.normal(0, 1, 20)
        ours = {image: 30 + of_frame[int(frame)] + rng.normal(0, 0.1) for image, frame in scenes.items()}
        noisy, alpha = (_result("noisy", dict.fromkeys(scenes, 30.0), scenes), _result("alpha", ours, scenes))
        found = difference(differences([alpha], noisy, 1)[alpha.id])
        assert found.photographs == 20, setup
        held += found.low_db <= 0 <= found.high_db
    assert held >= 34  # by cuts: about 15


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
    assert "2 photographs, 1 comparisons corrected for" in text
    assert "With 2 photographs no signed-rank test" in text


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
    assert "With 2 photographs no signed-rank test" in (STUDY / "report.html").read_text()


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
