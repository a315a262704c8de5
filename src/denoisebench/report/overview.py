"""One table over all data sets and noises: where each method stands, with links to the detailed tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from denoisebench.report.markup import Markup, element, joined, number_cell, sortable_head, table
from denoisebench.report.results import Result, measures_in
from denoisebench.report.table import Grid, Mark, tags_of
from denoisebench.scoring.measures import Measure

MARKS: dict[Mark, str] = {"best": "strong", "second": "u", "": "span"}


@dataclass(frozen=True)
class Column:
    """One noise of one grid; number: of the grid, which its link is made of."""

    grid: Grid
    number: int
    noise: str


@dataclass(frozen=True)
class Across:
    """One method and budget: its results by the columns' places in `Overview.columns`."""

    method: str
    budget: str
    results: dict[int, Result]
    marks: dict[int, Mark]


@dataclass(frozen=True)
class Overview:
    columns: list[Column]
    lines: list[Across]
    measure: Measure


def anchor(number: int) -> str:
    """The id of a grid's section in the page."""
    return f"table-{number}"


def overview(grids: Sequence[Grid]) -> Overview | None:
    """Each data set and noise under the first protocol asked for; None where a single table says it all."""
    columns = _columns(grids)
    shown = measures_in(r for column in columns for r in column.grid.results)
    columns = [column for column in columns if shown and _has(column, shown[0])]
    if len({column.number for column in columns}) < 2 or not shown:
        return None
    lines: dict[tuple[str, str], Across] = {}
    for place, column in enumerate(columns):
        for line in column.grid.lines:
            if column.noise in line.results:
                across = lines.setdefault((line.method, line.budget), Across(line.method, line.budget, {}, {}))
                across.results[place], across.marks[place] = line.results[column.noise], line.marks[column.noise]
    return Overview(columns, sorted(lines.values(), key=lambda line: _standing(line, columns)), shown[0])


def _has(column: Column, measure: Measure) -> bool:
    own = [line.results[column.noise] for line in column.grid.lines if column.noise in line.results]
    return any(result.scores[measure.column].mean is not None for result in own)


def _columns(grids: Sequence[Grid]) -> list[Column]:
    first: dict[tuple[str, str], Column] = {}
    for number, grid in enumerate(grids):
        for noise in grid.noises:
            first.setdefault((grid.dataset, noise), Column(grid, number, noise))
    return list(first.values())


def _standing(line: Across, columns: Sequence[Column]) -> tuple[bool, float, str]:
    """Bounds last; before them, the better the later, by the mean part of the others that it beats where it was tested."""
    beaten = [_part_beaten(result, columns[place]) for place, result in line.results.items()]
    return any(r.supervised for r in line.results.values()), sum(beaten) / len(beaten), line.method


def _part_beaten(result: Result, column: Column) -> float:
    own = [line.results[column.noise].goodness for line in column.grid.lines if column.noise in line.results]
    scores = [score for score in own if score is not None]
    return sum(score < (result.goodness or 0.0) for score in scores) / max(len(scores), 1) if result.goodness is not None else 0.0


def cell_text(found: Overview, result: Result) -> str:
    """The mean, with its number of images where that is not all of them."""
    score = result.scores[found.measure.column]
    return "" if score.mean is None else found.measure.text(score.mean) + result.of_images(found.measure)


def overview_section(grids: Sequence[Grid]) -> Markup:
    found = overview(grids)
    if found is None:
        return Markup("")
    head = [sortable_head("method", "text"), *(_head(column) for column in found.columns)]
    body = [_line(found, line) for line in found.lines]
    told = element(
        "p",
        f"{found.measure.heading}, each under the first protocol asked for. The names of the data sets lead to their tables, "
        "which tell the other measures, spreads, costs and statistics.",
        class_="remark",
    )
    heading = element("h2", "All data sets and noises", id="overview")
    return element(
        "section",
        heading,
        told,
        table(head, body, [_marked(found, line) for line in found.lines], class_="main sortable overview"),
    )


def _head(column: Column) -> Markup:
    link = element("a", column.grid.dataset, href=f"#{anchor(column.number)}")
    return element(
        "th", link, element("br"), element("button", column.noise, type="button"), element("br"),
        element("small", column.grid.protocol), class_="number", aria_sort="none",
    )  # fmt: skip


def _line(found: Overview, line: Across) -> list[Markup]:
    budget = [element("span", f"budget {line.budget}", class_="tag")] if line.budget else []
    cells = [element("th", element("span", line.method, class_="name"), *budget, scope="row", data_value=line.method)]
    for place in range(len(found.columns)):
        result = line.results.get(place)
        score = None if result is None else result.scores[found.measure.column].mean
        if result is None or score is None:
            cells.append(element("td", "", class_="number"))
            continue
        text = element(MARKS[line.marks[place]], found.measure.text(score))
        cells.append(number_cell(score, joined(text, element("small", result.of_images(found.measure)))))
    return cells


def _marked(found: Overview, line: Across) -> dict[str, str]:
    tags = {tag for place, result in line.results.items() for tag in tags_of(result, found.columns[place].grid.images)}
    return {"data_method": line.method, "data_tags": "\n".join(sorted(tags))}
