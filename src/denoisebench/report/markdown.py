"""report.md: the same tables, statistics and published numbers for a README or a pull request, with strips of pictures."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from denoisebench.report.differences import difference_text, has_statistics, interval_text, p_text, statistics_note, wins_text
from denoisebench.report.families import HEAD, family_rows
from denoisebench.report.labs import labs_markdown
from denoisebench.report.measured import agreement_head, agreement_rows, agreements
from denoisebench.report.overview import cell_text, overview
from denoisebench.report.plain import markdown_table, markdown_tables, markdown_text
from denoisebench.report.published import UNVERIFIED, base_of
from denoisebench.report.raw_pictures import developed
from denoisebench.report.results import Result
from denoisebench.report.standing import counted, standing_table
from denoisebench.report.statistics import Comparison, Difference
from denoisebench.report.status import counts, explained
from denoisebench.report.study import Place, Report
from denoisebench.report.viewer import Group, View, groups_of, output_of
from denoisebench.scoring.measures import MEASURES, Measure
from denoisebench.store.files import write_atomic
from denoisebench.store.pictures import output_name, read_png, strip, write_png
from denoisebench.store.rows import Row

PICTURED_IMAGES = 3
PICTURED_SIDE = 256
FEW_GROUPS = 6  # with more of them, one image of each

NOTES = """\
The best score that needs no clean image is bold, the second underlined (in the page and in LaTeX). `supervised` methods
were trained on clean images: they are references, not ranked. `oracle_sigma`: the method was given the true noise level;
`sigma_given`: another one. `weights_given`: its weights, or those that its training started from, came from a file, and how they
were made is not known here.
`oracle_selected`: its weights were chosen with clean images; `oracle_tuned`: its settings were. `second_view`: trained on pairs
of noisy views.
`transductive`: the test photographs were among its training images (noisy as the method is given them; never their
clean side). `stale_training`: the code has changed since its training. `stale_code`: the code of its
method, noise or protocol has changed since it was computed; run it again. `below_input`: its mean is more than 1 dB
below that of the noisy images it was given, as after a training that diverged. `self_ensemble`: the mean of its outputs for eight
flips and turns of each image, at eight times the time. `learned_from_stack`: one network learned from all slices of a stack, in
the time of the first of them. `per image`: trained anew on each image.
`budget`: which recipe trained it; only `paper` is the published one, the others say nothing about the published method.
`scored by server`: what a benchmark's server answered to a submission, on its own scale (its protocol says which), never
averaged with scores made here. `computed_again_since`: its outputs were computed again after that answer. `as_...`: how the
method saw that set.

Scores are means over images of per-image values. Under protocol `default` outputs are clipped to [0, 1] and not rounded
(but kept, and scored as kept, in 16 bit); SSIM has an 11 x 11 Gaussian window (1.5), valid region, mean over channels.
"± images" is the standard deviation over images, "± seeds" that of the means over seeds. Time per image is the method's
own, without reading and scoring; memory is the peak of one image (on a CPU, what the process grew by).

Statistics are paired by photograph: all views (the repeats and seeds that both methods have) of an image give one
difference, and all images cut from one photograph again one. Each photograph counts once, so where they were cut unequally
often, this mean differs from that of the table. An interval of the mean difference reaches to the outer ends of two: Student's
t and the bootstrap-t (9999 resamples of photographs). In simulations of normal, skewed (up to a skewness of 6) and
heavy-tailed differences, 24 to 100 photographs, it holds the true mean as often as it promises, within 2 points
(`benchmarks/coverage.py`); with fewer photographs there is no interval and no rank. No interval allows for a kind of
photograph that the data set does not contain. An end is infinite where nearly all photographs differ by the same amount.
"corrected" is the level 1 - 0.05 / m of m comparisons (Bonferroni). Methods share a rank if the corrected interval of their
difference to the rank's leader contains zero. "The best" is the best in the same images, so a lead over it is slightly
flattered. p is the two-sided Wilcoxon signed-rank test (scipy.stats.wilcoxon), corrected by Holm over the methods. Methods
are compared only on identical noisy inputs (checked by hash); others get no rank, nor do supervised methods (bounds).

Published numbers carry a grade: A seen in an official figure or README, or in a peer-reviewed follow-up's table; B the
text of one paper; C secondary. A difference is printed only where data set, noise, protocol, training set, budget and
tags agree; a network from a file, whose training set is not known here, may be compared where the paper names none either. A
published number is `reproduced` if a comparable one of ours agrees to 0.15 dB of PSNR, `differs` if it does not, and `not run` if
there is none. Where a paper does not state how it scored, the comparison uses our score under protocol `default`.
"""


def write_markdown(report: Report, path: Path) -> None:
    """Write report.md, and its pictures into `report/` beside it."""
    sections = [f"# {markdown_text(report.title)}", markdown_tables(report.results)]
    sections.insert(1, _overview(report))
    sections += [f"> Mind: {markdown_text(note)}" for note in report.notes]
    if report.choices:
        sections.append("## What methods chose\n\n" + "\n".join(f"- {markdown_text(choice)}" for choice in report.choices))
    if families := family_rows(report.grids):
        body = [[markdown_text(text) for text in texts] for texts in families]
        sections.append("## Families and cost\n\n" + markdown_table([name for name, _ in HEAD], body, texts=(0, 1, 2, 3, 4)))
    sections += ["## Statistics", *(_statistics(report, place, report.comparisons[place]) for place in report.comparisons)]
    sections += [_statistics(report, place, one) for place in report.comparisons for one in report.further[place]]
    sections += [_agreement(report, place) for place in report.comparisons]
    sections += ["## Beside the published numbers", _published(report)]
    sections += [
        labs_markdown(report.twice),
        f"### Published numbers: {counted(report.standings)}",
        standing_table(report.standings, ("reproduced", "differs")),
    ]
    sections += ["## How to read this", NOTES.strip()]
    sections.append(f"Commits: {', '.join(report.commits)}. {counts(report.cells)}.")
    if reasons := explained(report.cells):
        sections.append("## Not done\n\n" + "\n".join(f"- {markdown_text(reason)}" for reason in reasons))
    sections.append("## Pictures\n\n" + "\n\n".join(_pictures(report, path.parent)))
    write_atomic(path, "\n\n".join(filter(None, sections)) + "\n")


def _overview(report: Report) -> str:
    """One table over all data sets and noises; nothing where a single one says it all."""
    found = overview(report.grids)
    if found is None:
        return ""
    places = [f"{column.grid.dataset}, {column.noise}" for column in found.columns]
    styles = {"best": "**{}**", "second": "{}", "": "{}"}
    body = [
        [
            markdown_text(f"{line.method}{', budget ' + line.budget if line.budget else ''}"),
            *(
                styles[line.marks[place]].format(cell_text(found, line.results[place])) if place in line.results else ""
                for place in range(len(found.columns))
            ),
        ]
        for line in found.lines
    ]
    table = markdown_table(["method", *map(markdown_text, places)], body)
    return f"**All data sets and noises**: {found.measure.heading}\n\n{table}"


def _agreement(report: Report, place: Place) -> str:
    """Who wins under which measure; nothing where there are PSNR and SSIM alone."""
    found = agreements(report.at(place))
    if not found or all(one.measure in MEASURES for one in found):
        return ""
    body = [[markdown_text(text) for text in texts] for texts in agreement_rows(found)]
    title = f"**Do the measures agree?** {markdown_text(place[0])}, {markdown_text(place[1])}, protocol `{place[2]}`:"
    return f"{title}\n\n{markdown_table(agreement_head(found), body, texts=(0, 1, 2))}"


def _statistics(report: Report, place: Place, comparison: Comparison) -> str:
    results = report.at(place)
    if comparison.best is None or not has_statistics(results, comparison):
        return f"{markdown_text(f'{place[0]}, {place[1]}')}: nothing to compare."
    best = comparison.best.method
    where = f"**{markdown_text(place[0])}**, {markdown_text(place[1])}, protocol `{place[2]}`"
    title = f"{where}, minus {markdown_text(best)} in {_unit(comparison)}:"
    head = ["method", "rank", "difference", "95 % interval", "corrected", "p (Holm)", "wins"]
    body = [
        [markdown_text(r.method), str(comparison.ranks.get(r.id, "")), *_cells(comparison.to_best.get(r.id), comparison.measure)]
        for r in results
    ]
    return f"{title}\n\n{markdown_table(head, body)}\n\n{statistics_note(results, comparison)}"


def _unit(comparison: Comparison) -> str:
    """`dB`; `LPIPS (lower is better)`."""
    measure = comparison.measure
    return measure.unit or (measure.title if measure.higher_is_better else f"{measure.title} (lower is better)")


def _cells(found: Difference | str | None, measure: Measure) -> list[str]:
    if not isinstance(found, Difference):
        return [found or "", "", "", "", ""]
    intervals = [
        interval_text(found.low_db, found.high_db, measure.digits),
        interval_text(found.corrected_low_db, found.corrected_high_db, measure.digits),
    ]  # fmt: skip
    return [f"{found.mean_db:+.{measure.digits}f}", *intervals, p_text(found.p_holm), wins_text(found)]


def _published(report: Report) -> str:
    head = ["published", "data set, noise", "PSNR", "SSIM", "ours", "difference", "grade", "source"]
    body = []
    for b in report.published:
        p, ours = b.published, b.result.psnr_db
        scores = [f"{p.psnr_db:.2f}", "" if p.ssim is None else f"{p.ssim:.4f}", "" if ours is None else f"{ours:.2f}"]
        place = f"{b.result.dataset}, {b.result.noise}"
        texts = [p.method, place, *scores, difference_text(b), p.grade, p.source]
        body.append([markdown_text(text) for text in texts])
    parts = [markdown_table(head, body, texts=(0, 1, 5, 6, 7)) if body else "None of these methods on these sets and noises."]
    bases = dict.fromkeys(base_of(r.method) for r in report.results)
    return "\n\n".join([*parts, *(f"{base}: {UNVERIFIED[base]}." for base in bases if base in UNVERIFIED)])


def _pictures(report: Report, folder: Path) -> list[str]:
    """A strip noisy | each method | clean for the first images of each data set and noise; their Markdown."""
    lines = []
    groups = developed(groups_of(report), folder)
    for group in groups:
        for view in group.views[: PICTURED_IMAGES if len(groups) <= FEW_GROUPS else 1]:
            told = f"{group.dataset}, {group.noise}{group.said}, {view.image}"
            name = output_name(f"{group.dataset}_{group.noise}_{view.image}", 0)
            try:
                write_png(folder / "report" / name, _strip(group, view.shown or view))
            except (OSError, ValueError) as error:
                lines.append(markdown_text(f"{told}: no picture ({error})"))
                continue
            lines.append(f"{markdown_text(told)}\n\n![{markdown_text(told)}](report/{quote(name)})")
    return lines


def _strip(group: Group, view: View) -> np.ndarray:
    shown: list[tuple[Result, Row]] = [
        (r, row) for r, row in zip(group.results, view.rows, strict=True) if row is not None and r.method != "noisy"
    ]
    panels = [("noisy", read_png(view.noisy))]
    for result, row in shown:
        score: Sequence[str] = [] if row["psnr_db"] is None else [f"{row['psnr_db']:.2f} dB"]
        panels.append((" ".join([result.method, *score]), read_png(output_of(row))))
    clean = [("clean", read_png(view.clean))] if view.clean else []
    return strip([*panels, *clean], PICTURED_SIDE)
