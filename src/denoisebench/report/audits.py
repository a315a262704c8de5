"""The audit as the page shows it: a labelled box for each claim, a legend, and the evidence in full."""

from collections.abc import Mapping, Sequence

from denoisebench.report.audit import STATE_TEXTS, Tick
from denoisebench.report.markup import Markup, element, joined, table
from denoisebench.report.table import Grid, Line

SIGNS = {"ok": "✓", "fails": "!", "none": "—", "unknown": "?"}
Audits = Mapping[str, Sequence[Tick]]
"""Of each result, by its id."""


def boxes(audits: Audits, line: Line) -> Markup:
    """For each claim the worst of its ticks over a line's noises."""
    order = ["none", "ok", "unknown", "fails"]
    columns = zip(*(audits[result.id] for result in line.results.values()), strict=True)
    return joined(*(_box(max(column, key=lambda tick: order.index(tick.state))) for column in columns))


def _box(tick: Tick) -> Markup:
    told = f"{tick.name}: {STATE_TEXTS[tick.state]}; {tick.evidence}"
    return element("span", f"{SIGNS[tick.state]} {tick.name}", class_=f"tick {tick.state}", title=told)


def boxes_legend() -> Markup:
    signs = [element("span", element("span", SIGNS[state], class_=f"tick {state}"), text) for state, text in STATE_TEXTS.items()]
    return element("p", "Audit: ", *signs, class_="legend")


def audit_section(audits: Audits, grid: Grid) -> Markup:
    """Each tick with its evidence, shown once where the noises agree."""
    names = [tick.name for tick in next(iter(audits.values()), [])]
    head = [element("th", text) for text in ("method", *names)]
    body = []
    for line in grid.lines:
        columns = zip(*(audits[r.id] for r in line.results.values()), strict=True)
        body.append([element("th", line.method, scope="row"), *(_evidence(column, list(line.results)) for column in columns)])
    marks = [line.marked(grid.images) for line in grid.lines]
    summary = element("summary", "Audit: what was measured, and what was not")
    return element("details", summary, table(head, body, marks, class_="audit"))


def _evidence(column: Sequence[Tick], noises: Sequence[str]) -> Markup:
    said: dict[Tick, list[str]] = {}
    for tick, noise in zip(column, noises, strict=True):
        said.setdefault(tick, []).append(noise)
    parts = []
    for tick, where in said.items():
        told = tick.evidence if len(said) == 1 else f"{', '.join(where)}: {tick.evidence}"
        parts.append(element("div", element("span", SIGNS[tick.state], class_=f"tick {tick.state}"), " ", told))
    return element("td", *parts)
