"""`denoisebench report`: every format of one report, from one reading of the rows."""

import errno
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from denoisebench.packs.read import ORIGIN
from denoisebench.progress import output_console
from denoisebench.report.as_json import report_plain
from denoisebench.report.latex import latex_tables
from denoisebench.report.markdown import NOTES, write_markdown
from denoisebench.report.page import write_page
from denoisebench.report.plain import print_tables, write_results
from denoisebench.report.raw_pictures import developed
from denoisebench.report.rows import runs_root
from denoisebench.report.study import Report, build, comparison_columns, name_of
from denoisebench.report.viewer import groups_of, write_pictures
from denoisebench.store.files import BusyError, held, sweep, write_atomic
from denoisebench.store.plan import REPORT_LOCK as LOCK

SECONDS_FOR_A_REPORT = 60.0
FILES = ("report.html", "report.md", "results.csv", "table.tex")


def write_report(
    studies: Sequence[Path],
    folder: Path | None = None,
    *,
    baseline: str = "noisy",
    pictures: int | None = None,
    as_json: bool = False,
    shown: Sequence[str] | None = None,
) -> int:
    """Print the tables of studies and write their report; 1 if there is no finished cell.

    as_json: print all results as JSON instead. folder: where to write; a single study's own, or one beside the first study
    named after all of them. shown: the measures to show, the first of which ranks; None: all.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True) if as_json else output_console()
    report = build(studies, baseline, shown)
    if not report.rows:
        if as_json:
            print(json.dumps(report_plain(report, folder or default_folder(studies)), indent=1))
        for study in studies:
            for note in report.notes:
                console.print(f"mind: {note}", markup=False)
            console.print(f"{study}: no finished cell yet; `denoisebench status {study.name}` says why", markup=False)
        return 1
    place = folder or default_folder(studies)
    if as_json:
        print(json.dumps(report_plain(report, place), indent=1, allow_nan=False))
    else:
        print_tables(report.results, console)
    for note in report.notes:
        console.print(f"mind: {note}", markup=False)
    for one in report.twice:
        told = f"{one.labs[0]} {one.psnr_db[0]:.4f} dB, {one.labs[1]} {one.psnr_db[1]:.4f} dB, {one.difference_db:+.4f}"
        console.print(f"twice: {one.cell}, {one.protocol}: {told}", markup=False)
    for choice in report.choices:
        console.print(f"chosen: {choice}", markup=False)
    try:
        _write(report, place, pictures)
    except BusyError as error:
        raise ValueError(f"{place}: another process writes a report there ({error}); try again, or use --out DIR") from error
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise PermissionError(f"cannot write to {place} ({error}); give another folder with --out DIR") from error
    console.print(f"wrote {', '.join(FILES)} to {place}", markup=False)
    return 0


def _write(report: Report, place: Path, pictures: int | None) -> None:
    with held(place / LOCK, wait_s=SECONDS_FOR_A_REPORT):
        sweep(place, place / ".plan.lock")
        sweep(place / "report" / "crops")
        write_results(report.results, place / "results.csv", comparison_columns(report))
        write_atomic(place / "table.tex", latex_tables(report.results))
        write_markdown(report, place / "report.md")
        write_page(report, write_pictures(developed(groups_of(report), place), place, pictures), NOTES, place / "report.html")


def default_folder(studies: Sequence[Path]) -> Path:
    """A study's own folder; of several, one beside the first: `a+b`. What came as a file is reported below `runs/`."""
    if len(studies) == 1 and not _is_foreign(studies[0]):
        return studies[0]
    own = next((study for study in studies if not _is_foreign(study)), None)
    return (own.resolve().parent if own else runs_root()) / "+".join(map(name_of, studies))


def _is_foreign(study: Path) -> bool:
    return study.suffix == ".csv" or (study / ORIGIN).is_file()
