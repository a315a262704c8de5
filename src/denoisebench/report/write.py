"""`denoisebench report`: every format of one report, from one reading of the rows."""

from collections.abc import Sequence
from pathlib import Path

from denoisebench.progress import output_console
from denoisebench.report.latex import latex_tables
from denoisebench.report.markdown import NOTES, write_markdown
from denoisebench.report.page import write_page
from denoisebench.report.plain import print_tables, write_results
from denoisebench.report.study import build, comparison_columns
from denoisebench.report.viewer import write_pictures
from denoisebench.store.files import write_atomic

FILES = ("report.html", "report.md", "results.csv", "table.tex")


def write_report(
    studies: Sequence[Path], folder: Path | None = None, *, baseline: str = "noisy", pictures: int | None = None,
    shown: Sequence[str] | None = None,
) -> int:  # fmt: skip
    """Print the tables of studies and write their report; 1 if there is no finished cell.

    folder: where to write; a single study's own, or one beside the first study named after all of them.
    shown: the measures to show, the
    first of which ranks; None: all.
    """
    console = output_console()
    report = build(studies, baseline, shown)
    if not report.rows:
        for study in studies:
            for note in report.notes:
                console.print(f"mind: {note}", markup=False)
            console.print(f"{study}: no finished cell yet; `denoisebench status {study.name}` says why", markup=False)
        return 1
    place = folder or default_folder(studies)
    print_tables(report.results, console)
    for note in report.notes:
        console.print(f"mind: {note}", markup=False)
    for choice in report.choices:
        console.print(f"chosen: {choice}", markup=False)
    write_results(report.results, place / "results.csv", comparison_columns(report))
    write_atomic(place / "table.tex", latex_tables(report.results))
    write_markdown(report, place / "report.md")
    write_page(report, write_pictures(report, place, pictures), NOTES, place / "report.html")
    console.print(f"wrote {', '.join(FILES)} to {place}", markup=False)
    return 0


def default_folder(studies: Sequence[Path]) -> Path:
    """A study's own folder; of several, one beside the first: `a+b`."""
    if len(studies) == 1:
        return studies[0]
    return studies[0].resolve().parent / "+".join(study.resolve().name for study in studies)
