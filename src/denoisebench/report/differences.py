"""The parts of the page that compare: statistics, and published numbers."""

from collections.abc import Sequence

from denoisebench.report.markup import Markup, element, number_cell, sortable_head, table
from denoisebench.report.measured import agreement_head, agreement_rows, agreements
from denoisebench.report.published import Beside, context
from denoisebench.report.results import Result, all_images
from denoisebench.report.statistics import FEWEST_PHOTOGRAPHS, FEWEST_TESTED, Comparison, Difference
from denoisebench.report.study import Place
from denoisebench.report.table import signed_text, tags_of
from denoisebench.scoring.measures import MEASURES, Measure


def has_statistics(results: Sequence[Result], comparison: Comparison) -> bool:
    """False for a server's answers: they are means and cannot be paired."""
    return comparison.best is not None and len(results) > 1 and any(r.photographs for r in results)


def statistics_section(results: Sequence[Result], comparison: Comparison, place: Place) -> Markup:
    if not has_statistics(results, comparison):
        return Markup("")
    assert comparison.best is not None
    base = comparison.baseline
    head = [sortable_head(text, kind) for text, kind in (("method", "text"), ("rank", "number"))]
    head += _heads(f"minus {comparison.best.method}", comparison.measure)
    head += _heads(f"minus {base.method}", comparison.measure) if base else []
    body = [_statistics_line(r, comparison) for r in results]
    images = all_images(results)
    marks = [{"data_method": r.method, "data_tags": "\n".join(tags_of(r, images))} for r in results]
    said = statistics_note(results, comparison)
    first = comparison.measure == results[0].first
    by = "" if first else f" by {comparison.measure.title} ({direction(comparison.measure)} is better)"
    summary = element("summary", f"Statistics, {place[1]}: which differences{by} can be believed")
    return element("details", summary, element("p", said), table(head, body, marks, class_="sortable statistics"), open=first)


def direction(measure: Measure) -> str:
    return "higher" if measure.higher_is_better else "lower"


def agreement_section(results: Sequence[Result], place: Place) -> Markup:
    """Who wins under which measure."""
    found = agreements(results)
    if not found or all(one.measure in MEASURES for one in found):
        return Markup("")
    head = [element("th", text) for text in agreement_head(found)]
    body = [[element("td", text) for text in texts] for texts in agreement_rows(found)]
    summary = element("summary", f"Do the measures agree, {place[1]}: which method wins under which")
    return element("details", summary, table(head, body, class_="agreement"), open=True)


def statistics_note(results: Sequence[Result], comparison: Comparison) -> str:
    """How many photographs and comparisons there are; where there are too few photographs, what is missing and why."""
    pairs = (*comparison.to_best.values(), *comparison.to_baseline.values())
    compared = [found.photographs for found in pairs if isinstance(found, Difference)]
    count = min(compared, default=max(r.photographs for r in results))
    photographs = f"{count} photograph{'' if count == 1 else 's'}"
    if len(comparison.images) < comparison.of_images and compared:
        photographs += f" (of {comparison.of_images} images the {len(comparison.images)} that all methods have a score of)"
    if count >= FEWEST_PHOTOGRAPHS:
        return f"{photographs}; intervals are corrected for {comparison.m} comparison{'' if comparison.m == 1 else 's'}."
    said = (
        f"{photographs}: too few for intervals and ranks. With fewer than {FEWEST_PHOTOGRAPHS}, intervals of skewed differences "
        "hold the true mean too rarely: in simulations a 95 % interval missed its promise by more than 2 points."
    )
    untested = " No signed-rank test can be significant either." if count < FEWEST_TESTED else ""
    return f"{said}{untested} Take the differences as hints."


def _heads(text: str, measure: Measure) -> list[Markup]:
    return [
        sortable_head(f"{text}, {measure.unit or measure.title}", "number"),
        element("th", "95 % interval"),
        element("th", "corrected"),
        sortable_head("p (Holm)", "number"),
        sortable_head("wins", "number"),
    ]


def _statistics_line(result: Result, comparison: Comparison) -> list[Markup]:
    rank = comparison.ranks.get(result.id)
    cells = [element("th", result.method, scope="row", data_value=result.method)]
    cells.append(number_cell(rank, str(rank or ("bound" if result.saw_clean else ""))))
    cells += _difference(comparison.to_best.get(result.id), result is comparison.best, comparison.measure)
    if comparison.baseline:
        cells += _difference(comparison.to_baseline.get(result.id), result is comparison.baseline, comparison.measure)
    return cells


def _difference(found: Difference | str | None, itself: bool, measure: Measure) -> list[Markup]:
    if not isinstance(found, Difference):
        return [element("td", "—" if itself else (found or ""), class_="refused"), *[element("td")] * 4]
    return [
        number_cell(found.mean_db, f"{found.mean_db:+.{measure.digits}f}"),
        element("td", interval_text(found.low_db, found.high_db, measure.digits), class_="number"),
        element("td", interval_text(found.corrected_low_db, found.corrected_high_db, measure.digits), class_="number"),
        number_cell(found.p_holm, p_text(found.p_holm)),
        number_cell(found.wins, wins_text(found)),
    ]


def interval_text(low: float | None, high: float | None, digits: int = 2) -> str:
    return "—" if low is None or high is None else f"[{low:+.{digits}f}, {high:+.{digits}f}]"


def wins_text(found: Difference) -> str:
    """How many photographs it wins, and how many seeds were paired where that is not all of them."""
    seeds = "" if found.seeds == found.of_seeds else f" ({found.seeds} of {found.of_seeds} seeds paired)"
    return f"{found.wins} of {found.photographs}{seeds}"


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def published_section(beside: Sequence[Beside], place: Place) -> Markup:
    """Ours beside the same method's published numbers, then everything published of this data set and noise."""
    others = context(place[0], place[1])
    if not others:
        return Markup("")
    head = [element("th", text) for text in ("published", "PSNR", "SSIM", "ours", "difference", "grade", "source")]
    own = table(head, [_beside_line(b) for b in beside], class_="published") if beside else element("p", "None of these methods.")
    whole = [
        [element("th", p.method, scope="row"), *(element("td", text) for text in (
            f"{p.psnr_db:.2f}", "" if p.ssim is None else f"{p.ssim:.4f}", p.protocol, p.tags, p.trained_on, p.grade,
            p.source + (f"; {p.note}" if p.note else "")))]
        for p in others
    ]  # fmt: skip
    heads = [element("th", text) for text in ("method", "PSNR", "SSIM", "protocol", "tags", "trained on", "grade", "source")]
    every = element("details", element("summary", f"All {len(others)} published numbers of {others[0].dataset}, "
                    f"{others[0].noise}: not comparable unless said so above"), table(heads, whole))  # fmt: skip
    summary = element("summary", f"Beside the published numbers, {place[1]}")
    return element("details", summary, own, every, open=bool(beside))


def _beside_line(b: Beside) -> list[Markup]:
    p, r = b.published, b.result
    compared = "terms" if b.reasons else "number"
    texts = [f"{p.psnr_db:.2f}", "" if p.ssim is None else f"{p.ssim:.4f}", "" if r.psnr_db is None else f"{r.psnr_db:.2f}"]
    return [
        element("th", p.method, scope="row"),
        *(element("td", text, class_="number") for text in texts),
        element("td", difference_text(b), class_="refused" if b.psnr_difference_db is None else compared),
        element("td", p.grade),
        element("td", p.source + (f"; {p.note}" if p.note else "")),
    ]


def difference_text(b: Beside) -> str:
    """The difference in dB (and SSIM), and what the paper does not say; or why there is none."""
    psnr, ssim = b.psnr_difference_db, b.ssim_difference
    if psnr is None:
        return "not comparable: " + "; ".join(b.reasons)
    numbers = [f"{signed_text(psnr, 2)} dB", *([] if ssim is None else [signed_text(ssim, 4)])]
    return "; ".join([", ".join(numbers), *b.reasons])
