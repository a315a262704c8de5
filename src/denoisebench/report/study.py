"""All that a report says of one or several studies, computed once; every format is a view of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from denoisebench.datasets.listing import listed
from denoisebench.report.assumptions import broken
from denoisebench.report.audit import Tick, audit
from denoisebench.report.choices import choices
from denoisebench.report.labs import Twice, twice
from denoisebench.report.measured import chosen, measure_notes
from denoisebench.report.published import Beside, beside
from denoisebench.report.results import Result, measures_in, summarise
from denoisebench.report.rows import read_studies
from denoisebench.report.standing import Standing, standings
from denoisebench.report.statistics import Comparison, Difference, compare, too_few
from denoisebench.report.table import Grid, grids
from denoisebench.scoring.measures import MEASURES
from denoisebench.store.cell import Cell
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import Row

Place = tuple[str, str, str]
"""Data set, noise, protocol."""


@dataclass(frozen=True)
class Report:
    """notes: what a reader must know of the whole. choices: what methods chose for each image. audits and published are by a
    result's id. comparisons: by the first measure; further: by the others, where a study has more than PSNR and SSIM."""

    title: str
    studies: tuple[Path, ...]
    rows: list[Row]
    results: list[Result]
    grids: list[Grid]
    comparisons: dict[Place, Comparison]
    further: dict[Place, list[Comparison]]
    published: list[Beside]
    standings: list[Standing]
    audits: dict[str, list[Tick]]
    cells: list[Cell]
    notes: list[str]
    choices: list[str]
    twice: list[Twice]

    def at(self, place: Place) -> list[Result]:
        """The results of one data set, noise and protocol."""
        return [r for r in self.results if place_of(r) == place]

    @property
    def commits(self) -> list[str]:
        return sorted({commit for result in self.results for commit in result.commits.split()})


def name_of(study: Path) -> str:
    """Of a folder its name; of a `results.csv` that of its folder."""
    return (study.resolve().parent if study.suffix == ".csv" else study.resolve()).name


def place_of(result: Result) -> Place:
    return result.dataset, result.noise, result.protocol


def build(studies: Sequence[Path], baseline: str = "noisy", names: Sequence[str] | None = None) -> Report:
    """Read the finished cells of studies and compare what they hold. names: of the measures to show; None: all.

    Raises: ValueError for an unknown baseline or measure.
    """
    rows, notes = read_studies(studies)
    shown = chosen(rows, names) if rows else ()
    results = summarise(rows, shown)
    methods = {result.method for result in results}
    if results and baseline not in methods and baseline != "noisy":
        raise ValueError(f"no method {baseline} to compare with; there are: {', '.join(sorted(methods))}")
    places = list(dict.fromkeys(place_of(r) for r in results))
    grouped = {place: [r for r in results if place_of(r) == place] for place in places}
    cells = {cell.key: cell for study in studies if study.is_dir() for cell in read_plan(study).values()}
    return Report(
        title=" + ".join(dict.fromkeys(map(name_of, studies))), studies=tuple(studies), rows=rows, results=results,
        grids=grids(results), comparisons={place: compare(own, baseline) for place, own in grouped.items()},
        further={place: _further(own, baseline) for place, own in grouped.items()},
        published=beside(results), standings=standings(results), audits={r.id: audit(r) for r in results},
        cells=list(cells.values()),
        notes=[*notes, *_warnings(results), *broken(results), *measure_notes(rows, shown)],
        choices=choices(results), twice=twice(rows),
    )  # fmt: skip


def _further(results: Sequence[Result], baseline: str) -> list[Comparison]:
    """By each measure but the first, where there are others than PSNR and SSIM."""
    own = measures_in(results)
    more = any(measure not in MEASURES for measure in own)
    return [compare(results, baseline, measure) for measure in own[1:] if getattr(measure, "directed", True)] if more else []


def _warnings(results: Sequence[Result]) -> list[str]:
    absurd = [note for result in results for note in _absurd(result)]
    return absurd + [note for grid in grids(results) for note in (*_mixed_commits(grid), *_dirty(grid))]


def _absurd(result: Result) -> list[str]:
    """Scores that no denoiser reaches."""
    notes = []
    for measure in MEASURES:
        values = [(value, row["image"]) for row in result.rows if (value := row.get(measure.column)) is not None]
        if found := [(value, image) for value, image in values if measure.is_absurd(value)]:
            most = measure.text(max((value for value, _ in found), key=measure.goodness))
            images = "" if result.is_mean else f"; images: {listed(list(dict.fromkeys(image for _, image in found)))}"
            notes.append(
                f"{result.method} on {result.dataset}, {result.noise}, protocol {result.protocol}: {len(found)} of {len(values)} "
                f"scores are beyond what a denoiser can reach ({measure.title} up to {most}{images}): does it see clean pixels?"
            )
    return notes


def _mixed_commits(grid: Grid) -> list[str]:
    if len(grid.commits) < 2:
        return []
    used = {line.method: {c for r in line.results.values() for c in r.commits.split()} for line in grid.lines}
    told = "; ".join(f"{commit}: {', '.join(m for m, own in used.items() if commit in own)}" for commit in grid.commits)
    return [f"{grid.dataset}, protocol {grid.protocol}: computed at {len(grid.commits)} commits ({told})"]


def _dirty(grid: Grid) -> list[str]:
    dirty = [commit for commit in grid.commits if commit.endswith("+dirty")]
    return [f"{grid.dataset}, protocol {grid.protocol}: computed with uncommitted changes ({', '.join(dirty)})"] if dirty else []


def comparison_columns(report: Report) -> list[dict[str, object]]:
    """The statistics of each result as columns of results.csv."""
    return [_columns(report.comparisons[place_of(result)], result) for result in report.results]


def _columns(comparison: Comparison, result: Result) -> dict[str, object]:
    columns: dict[str, object] = {"rank": comparison.ranks.get(result.id)}
    for name, other, found in (
        ("best", comparison.best, comparison.to_best.get(result.id)),
        ("baseline", comparison.baseline, comparison.to_baseline.get(result.id)),
    ):
        columns[name] = other.method if other else None
        known = found if isinstance(found, Difference) else None
        for field in (
            "mean_db",
            "low_db",
            "high_db",
            "corrected_low_db",
            "corrected_high_db",
            "p",
            "p_holm",
            "wins",
            "photographs",
            "seeds",
        ):
            columns[f"to_{name}_{field}"] = getattr(known, field) if known else None
        columns[f"to_{name}_refused"] = too_few(found.photographs) or None if isinstance(found, Difference) else found
    return columns
