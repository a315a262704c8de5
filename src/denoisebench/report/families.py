"""Families of methods and what their networks cost: what a method learns from, by which idea, knowing what, at what price."""

from collections.abc import Sequence

from denoisebench.report.markup import Markup, element, sortable_head, table
from denoisebench.report.results import Result
from denoisebench.report.table import Grid, Line, seconds_text

LEARNS = {"nothing": "nothing", "dataset": "a set", "image": "one image"}
HEAD = (
    ("method", "text"), ("learns from", "text"), ("idea", "text"), ("noise level", "text"), ("output", "text"),
    ("parameters", "number"), ("GMAC per Mpix", "number"), ("weights", "number"), ("per image", "number"),
)  # fmt: skip


def family_texts(line: Line) -> list[str]:
    """The cells of HEAD for a method; empty where older rows do not say."""
    result: Result = next(iter(line.results.values()))
    own = result.network
    known = {"oracle_sigma": "told", "sigma_given": "given"}
    level = next((text for tag, text in known.items() if tag in result.tags.split()), "not told")
    output = "" if own.averaged is None else "one pass" if own.averaged == 1 else f"mean of {own.averaged:,.0f}"
    return [
        line.method, LEARNS.get(result.learns, result.learns), own.family, level, output,
        "" if own.parameters is None else f"{own.parameters:,.0f}",
        "" if own.gmacs_per_mpix is None else f"{own.gmacs_per_mpix:,.0f}",
        "" if own.weights_bytes is None else f"{own.weights_bytes / 1e6:.1f} MB", seconds_text(line.seconds),
    ]  # fmt: skip


def families_section(grid: Grid) -> Markup:
    """Empty where no row says anything of it."""
    if not any(result.network.said for result in grid.results):
        return Markup("")
    head = [sortable_head(text, kind) for text, kind in HEAD]
    body = [_cells(line) for line in grid.lines]
    marks = [line.marked(grid.images) for line in grid.lines]
    told = (
        "GMAC per Mpix: billions of multiply-adds of convolutions and matrix products in one call on 1000 x 1000 pixels, "
        "counted. Methods that learn from one image train for each: their seconds say more."
    )
    summary = element("summary", "Families and cost")
    return element("details", summary, element("p", told, class_="remark"), table(head, body, marks, class_="sortable families"))


def _cells(line: Line) -> list[Markup]:
    first, *texts = family_texts(line)
    own = next(iter(line.results.values())).network
    values = {"parameters": own.parameters, "GMAC per Mpix": own.gmacs_per_mpix, "weights": own.weights_bytes}
    values["per image"] = line.seconds
    cells = [element("th", first, scope="row", data_value=first)]
    for (name, kind), text in zip(HEAD[1:], texts, strict=True):
        number = values.get(name)
        value = ("" if number is None else repr(float(number))) if kind == "number" else text
        cells.append(element("td", text, class_="number" if kind == "number" else None, data_value=value))
    return cells


def family_rows(grids: Sequence[Grid]) -> list[list[str]]:
    """For Markdown: each method once, as the first table that has it says."""
    lines = {line.method: line for grid in reversed(grids) for line in reversed(grid.lines) if _said(line)}
    return [family_texts(line) for line in reversed(lines.values())]


def _said(line: Line) -> bool:
    return any(result.network.said for result in line.results.values())
