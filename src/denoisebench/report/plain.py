"""The grid in the terminal, in Markdown and as CSV."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from denoisebench.report.results import Result, measures_in
from denoisebench.report.table import Grid, Line, grids, headings, score_text, seconds_text, training_text
from denoisebench.scoring.measures import Measure
from denoisebench.store.rows import write_csv

FIELDS = ("method", "dataset", "noise", "protocol", "scored_by")
# Between these two come the measures.
FIELDS_AFTER = (
    "images", "photographs", "repeats", "seeds", "seconds", "train_seconds",
    "peak_mib", "learns", "trained_on", "train_noise", "train_steps", "selection", "budget", "tags", "precision",
    "keys", "commits",
)  # fmt: skip


def print_tables(results: Sequence[Result], console: Console) -> None:
    for grid in grids(results):
        table = Table(
            title=f"{escape(grid.dataset)}, {grid.size}, protocol {grid.protocol}: {headings(grid.results)}",
            title_justify="left",
        )
        table.add_column("method", overflow="fold")  # labels may be longer than the terminal is wide; scores are never cut
        for noise in grid.noises:
            table.add_column(escape(noise), justify="right", no_wrap=True)
        for name in ("per image", "training"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("notes", overflow="fold")
        for i, line in enumerate(grid.lines):
            if i == grid.bounds_from and i:
                table.add_section()
            texts = _texts(grid, line, "[bold]{}[/bold]")
            table.add_row(escape(line.method), *texts, escape(line.notes(grid.images)))
        console.print(table)


def _texts(grid: Grid, line: Line, best: str) -> Iterator[str]:
    """A line's scores, the best in the format `best`, its time per image and of its training."""
    shown = measures_in(grid.results)
    for noise in grid.noises:
        text = score_text(line.results.get(noise), shown)
        yield best.format(text) if line.marks.get(noise) == "best" else text
    yield seconds_text(line.seconds)
    yield training_text(line.train_seconds)


def markdown_tables(results: Sequence[Result]) -> str:
    parts = []
    for grid in grids(results):
        lines = [f"**{markdown_text(grid.dataset)}**, {grid.size}, protocol `{grid.protocol}`: {headings(grid.results)}", ""]
        head = ["method", *map(markdown_text, grid.noises), "per image", "training", "notes"]
        body = [[markdown_text(line.method), *_texts(grid, line, "**{}**"), line.notes(grid.images)] for line in grid.lines]
        parts.append("\n".join([*lines, markdown_table(head, body, texts=(0, len(head) - 1))]))
    return "\n\n".join(parts)


def markdown_table(head: Sequence[str], body: Sequence[Sequence[str]], texts: Sequence[int] = (0,)) -> str:
    """A table of ready Markdown; `texts` are the columns set left, numbers are set right."""
    rules = "|".join("---" if i in texts else "---:" for i in range(len(head)))
    rows = ["| " + " | ".join(cells) + " |" for cells in body]
    return "\n".join(["| " + " | ".join(head) + " |", f"|{rules}|", *rows])


def markdown_text(text: str) -> str:
    """A name as Markdown shows it unchanged, on one line."""
    for mark in "\\|[]*_<`":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())


def _scores(result: Result, own: Sequence[Measure]) -> dict[str, float | None]:
    """The columns of results.csv: the means, then the spreads and of how many images they are."""
    found = {measure.column: result.scores[measure.column].mean for measure in own}
    for measure in own:
        score = result.scores[measure.column]
        found |= {f"{measure.name}_sd_images": score.sd_images, f"{measure.name}_sd_seeds": score.sd_seeds}
        found |= {f"{measure.name}_images": score.images}
    return found


def write_results(results: Sequence[Result], path: Path, further: Sequence[dict[str, object]] = ()) -> None:
    """results.csv: a line for each result; further: more columns of each, in the same order."""
    more, own = list(further[0]) if further else [], measures_in(results)
    rows = [_fields(result, own) | extra for result, extra in zip(results, further or [{}] * len(results), strict=True)]
    write_csv(path, (*(rows[0] if rows else (*FIELDS, *FIELDS_AFTER, *more)),), rows)


def _fields(result: Result, own: Sequence[Measure]) -> dict[str, object]:
    network = {f.name: getattr(result.network, f.name) for f in fields(result.network)}
    before, after = ({name: getattr(result, name) for name in names} for names in (FIELDS, FIELDS_AFTER))
    return before | _scores(result, own) | after | network
