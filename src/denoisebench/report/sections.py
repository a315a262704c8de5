"""The parts of the page: tables, audits, health. Readable without script."""

from collections.abc import Sequence

from denoisebench.progress import counted as in_words
from denoisebench.report.audits import audit_section, boxes, boxes_legend
from denoisebench.report.charts import all_seconds, cost_plot, curve_plot, legend, points_of
from denoisebench.report.differences import agreement_section, published_section, statistics_section
from denoisebench.report.families import families_section
from denoisebench.report.health import curves, manifests
from denoisebench.report.markup import Markup, element, joined, number_cell, sortable_head, table, with_code
from denoisebench.report.overview import anchor
from denoisebench.report.published import UNVERIFIED, base_of
from denoisebench.report.results import Result, measures_in
from denoisebench.report.standing import HEAD, TOLERANCE_DB, WORDS, Standing, counted, texts_of
from denoisebench.report.status import STATES, counts
from denoisebench.report.study import Place, Report
from denoisebench.report.table import NO_SCORE, TAG_TEXTS, Grid, Line, seconds_text, tags_of, training_text
from denoisebench.scoring.measures import Measure

CURVES = 24


def grid_section(report: Report, grid: Grid, number: int) -> Markup:
    """One data set under one protocol: the table, plots, statistics, published numbers and the audit."""
    places = [(grid.dataset, noise, grid.protocol) for noise in grid.noises]
    title = element("small", f"{grid.size}, protocol {grid.protocol}")
    heading = element("h2", f"{grid.dataset} ", title, id=anchor(number))
    parts = [heading, main_table(report, grid), boxes_legend()]
    parts.append(element("div", *(_plots(grid, report.at(place), place[1]) for place in places), class_="plot-row"))
    parts += [statistics_section(report.at(place), report.comparisons[place], place) for place in places]
    for place in places:
        parts += [statistics_section(report.at(place), further, place) for further in report.further[place]]
        parts.append(agreement_section(report.at(place), place))
    parts += [published_section([b for b in report.published if b.result in report.at(place)], place) for place in places]
    parts += [_unverified(grid), families_section(grid), audit_section(report.audits, grid)]
    return element("section", *parts, class_="grid-section")


def main_table(report: Report, grid: Grid) -> Markup:
    titles = " / ".join(measure.title for measure in measures_in(grid.results)) or NO_SCORE
    head = [sortable_head("method", "text"), *(sortable_head(f"{noise}, {titles}", "number") for noise in grid.noises)]
    head += [
        sortable_head("per image", "number"),
        sortable_head("training", "number"),
        sortable_head("memory", "number"),
        element("th", "audit"),
    ]
    body = [_line(report, grid, line) for line in grid.lines]
    rows = [
        element("tr", *cells, class_="bound" if line.bound else None, **line.marked(grid.images))
        for line, cells in zip(grid.lines, body, strict=True)
    ]
    bounds = grid.bounds_from
    bodies = [element("tbody", *rows[:bounds])]
    if rows[bounds:]:
        title = element("tr", element("th", "supervised references, not ranked", colspan=len(head)), class_="divider")
        bodies.append(element("tbody", title, *rows[bounds:]))
    inner = element("table", element("thead", element("tr", *head)), *bodies, class_="main sortable")
    return element("div", inner, class_="scroll")


def _line(report: Report, grid: Grid, line: Line) -> list[Markup]:
    name = element("th", element("span", line.method, class_="name"), _tags(grid, line), scope="row", data_value=line.method)
    scores = [_score(report, line, (grid.dataset, noise, grid.protocol)) for noise in grid.noises]
    costs = [
        number_cell(line.seconds, seconds_text(line.seconds)),
        number_cell(line.train_seconds, training_text(line.train_seconds)),
        number_cell(line.peak_mib, f"{line.peak_mib:,.0f} MiB"),
    ]
    return [name, *scores, *costs, element("td", boxes(report.audits, line), class_="ticks")]


def _tags(grid: Grid, line: Line) -> Markup:
    said = line.said(grid.images).items()
    every = len(line.results)
    tags = [(tag, tag if len(noises) == every else f"{tag} ({', '.join(noises)})") for tag, noises in said]
    return joined(*(element("span", text, class_="tag", title=TAG_TEXTS.get(tag)) for tag, text in tags))


def _score(report: Report, line: Line, place: Place) -> Markup:
    result = line.results.get(place[1])
    if result is None:
        return element("td", "", class_="number")
    known = [(measure, mean) for measure in measures_in([result]) if (mean := result.scores[measure.column].mean) is not None]
    if not known:
        return element("td", element("small", "no clean images"), class_="number")
    first, *others = known
    rank = report.comparisons[place].ranks.get(result.id)
    mark = {"best": "strong", "second": "u", "": "span"}[line.marks[place[1]]]
    more = [element("span", f" / {m.text(mean)}{result.of_images(m)}", class_=m.name) for m, mean in others]
    badge = (
        [element("span", f"#{rank}", class_="rank", title=f"rank {rank}, shared where no difference is shown")] if rank else []
    )
    inside = [
        element(mark, first[0].text(first[1])),
        result.of_images(first[0]),
        *more,
        *badge,
        element("br"),
        element("small", _spreads(result, first[0])),
    ]
    return element("td", *inside, class_="number", data_value=first[1])


def _spreads(result: Result, first: Measure) -> str:
    """Over images and over seeds, apart."""
    score = result.scores[first.column]
    images = "" if score.sd_images is None else f"± {first.text(score.sd_images)} images"
    return images + ("" if score.sd_seeds is None else f", ± {first.text(score.sd_seeds)} seeds")


def _plots(grid: Grid, results: Sequence[Result], noise: str) -> Markup:
    apart = points_of(results, lambda r: r.seconds)
    if not apart:
        return Markup("")
    first = results[0].first
    plots = [cost_plot(apart, f"{grid.dataset}, {noise}: {first.title} against time per image", "time per image", first)]
    if any(r.train_seconds for r in results):
        whole = points_of(results, all_seconds)
        plots.append(
            cost_plot(
                whole,
                f"{grid.dataset}, {noise}: {first.title} against all time",
                f"training and {in_words(len(grid.images), 'image')}",
                first,
            )
        )
    caption = element("figcaption", f"{noise}: quality against cost", legend(apart))
    return element("figure", element("div", *plots, class_="plots"), caption, class_="two" if len(plots) > 1 else None)


def _unverified(grid: Grid) -> Markup:
    told = dict.fromkeys(UNVERIFIED[base_of(line.method)] for line in grid.lines if base_of(line.method) in UNVERIFIED)
    return joined(*(element("p", f"Published: {text}.", class_="remark") for text in told))


def standings_section(found: Sequence[Standing]) -> Markup:
    """Each published number of the report's methods with its word; those that were not run folded away."""
    heading = element("h2", "Published numbers ", element("small", counted(found)), id="published")
    told = (
        f"Reproduced: within {TOLERANCE_DB} dB, trained with the budget `paper` or with weights from a file, scored under the "
        "paper's protocol."
    )
    parts = [heading, element("p", with_code(told), class_="remark")]
    for word in WORDS:
        own = [one for one in found if one.word == word]
        if own:
            body = [[element("td", text) for text in texts_of(one)] for one in own]
            rows = table([element("th", text) for text in HEAD], body, class_="published")
            parts.append(element("details", element("summary", f"{word}: {len(own)}"), rows, open=word != "not run"))
    return element("section", *parts)


def health_section(report: Report) -> Markup:
    parts = [element("h2", "Health", id="health"), element("p", counts(report.cells) + "." if report.cells else "No plan.")]
    for cell in report.cells:
        if cell.state in ("failed", "skipped"):
            status = cell.status()
            title = element("strong", f"{STATES[cell.state]} ")
            told = joined(title, f"{cell}: {status.get('reason', '')}")
            trace = cell.traceback if cell.state == "failed" else ""
            parts.append(element("details", element("summary", told), element("pre", trace)) if trace else element("p", told))
    missing = [str(cell) for cell in report.cells if cell.state in ("planned", "running")]
    if missing:
        items = [element("li", text) for text in missing]
        parts.append(element("details", element("summary", f"Not finished: {len(missing)}"), element("ul", *items)))
    return element("section", *parts, _choices(report), _curves(report), _manifests(report))


def _choices(report: Report) -> Markup:
    if not report.choices:
        return Markup("")
    items = [element("li", choice) for choice in report.choices]
    return element("details", element("summary", "What methods chose for each image"), element("ul", *items))


def _curves(report: Report) -> Markup:
    found = curves(report.cells)
    if not found:
        return Markup("")
    figures = [element("figure", curve_plot(c), element("figcaption", c.label), class_="small") for c in found[:CURVES]]
    more = [element("p", f"{len(found) - CURVES} more are not shown.")] if len(found) > CURVES else []
    summary = element("summary", f"Learning curves of {in_words(len(found), 'training')}")
    return element("details", summary, element("div", *figures, class_="figures"), *more)


def _manifests(report: Report) -> Markup:
    parts = []
    for about, methods in manifests(report.results):
        versions, hardware = about["versions"], about["hardware"]
        lines = [("methods", ", ".join(methods)), ("commit", str(about["commit"]))]
        lines += [(name, str(value)) for one in (versions, hardware) if isinstance(one, dict) for name, value in one.items()]
        body = [[element("th", name, scope="row"), element("td", value)] for name, value in lines]
        parts.append(table([element("th", "what"), element("th", "value")], body))
    return element("details", element("summary", f"Made with: {in_words(len(parts), 'environment')}"), *parts)


def tags_in(report: Report) -> list[str]:
    """All tags of the report's tables, each once."""
    sizes = {(g.dataset, g.protocol): g.images for g in report.grids}
    return list(dict.fromkeys(tag for r in report.results for tag in tags_of(r, sizes[r.dataset, r.protocol])))
