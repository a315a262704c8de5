"""`denoisebench report`, `explain` and `dashboard`: what a study's rows say."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoisebench.cli.messages import loading, refused

if TYPE_CHECKING:
    from denoisebench.scoring.protocol import Protocol


def _count(text: str) -> int:
    return sys.maxsize if text == "all" else max(int(text), 0)


def report(
    studies: Annotated[
        list[str],
        typer.Argument(metavar="STUDY", help="Names under runs/, paths, packs or results.csv files.", show_default=False),
    ],
    protocol: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Score the stored outputs under this protocol too; may be repeated.")
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Score the stored outputs by this measure too, e.g. lpips; may be repeated."),
    ] = None,
    measures: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="The measures to show, e.g. lpips,psnr; the first one ranks (default: all)."),
    ] = None,
    baseline: Annotated[
        str, typer.Option(metavar="NAME", help="The method that others are compared with, apart from the best one.")
    ] = "noisy",
    pictures: Annotated[
        int | None,
        typer.Option(
            parser=_count,
            metavar="N|all",
            help="Images of each data set and noise with crops and residuals (default: as many as a few seconds allow).",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all results as JSON (docs/json.md).")] = False,
) -> int:
    """Print the tables of one or several studies; write report.html, report.md, results.csv and table.tex.

    The report of one study goes into its own folder, that of several into runs/a+b/.

    \b
      denoisebench report demo
      denoisebench report classical quick --baseline bm3d
      denoisebench report demo --protocol apbsn
      denoisebench report demo other-lab.pack.zip     one cell of two labs: both, and their difference
      denoisebench report demo --measure ciede2000 --measures ciede2000,psnr

    report.html opens from disk and fetches nothing. It links the images of the study, so move it with them.
    """
    from denoisebench.report.rows import find_study
    from denoisebench.report.write import write_report

    with refused():
        folders = [find_study(name) for name in dict.fromkeys(studies)]
        failures = _rescored(folders, protocol or [], measure or []) if protocol or measure else 0
        shown = [name.strip() for name in measures.split(",")] if measures else None
        written = write_report(folders, out, baseline=baseline, pictures=pictures, as_json=as_json, shown=shown)
    return max(written, int(failures > 0))


def explain(
    cell: Annotated[
        str, typer.Argument(metavar="CELL", help="A cell's folder, or the beginning of its key.", show_default=False)
    ],
    protocol: Annotated[str | None, typer.Option(metavar="NAME", help="The protocol to start from (default: its own).")] = None,
    against: Annotated[str | None, typer.Option(metavar="NAME", help="The protocol to compare with, step by step.")] = None,
) -> int:
    """Explain why your number differs from the paper's: the scores of a finished cell under other conventions.

    Prints them under its own protocol, then step by step under another one, and what each other convention of the field
    would change on its own.

    \b
      denoisebench explain KEY --against apbsn
      denoisebench explain runs/STUDY/METHOD/DATASET/NOISE/seed0-KEY
    """
    from denoisebench.report.explain import explain, find_cell, own_protocol

    with refused():
        found = find_cell(cell)
        own = protocol or own_protocol(found)
        protocols = _protocols(list(dict.fromkeys([own, against or own])))
        explain(found, protocols[0], protocols[-1] if against else None)
    return 0


def dashboard(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A name under runs/, or a path.", show_default=False)],
    entity: Annotated[str, typer.Option(envvar="WANDB_ENTITY", help="The Weights & Biases user or team.", show_default=False)],
    project: Annotated[str, typer.Option(envvar="WANDB_PROJECT")] = "denoisebench",
) -> int:
    """Make the Weights & Biases workspace of a study whose runs are there: method x noise, curves, pictures, tables.

    Needs WANDB_API_KEY and the extra `dashboard`.

    \b
      denoisebench dashboard demo --entity my-team
    """
    from denoisebench.tracking.dashboard import save

    with refused():
        print(save(study, entity, project))
    return 0


def _protocols(names: Sequence[str]) -> "list[Protocol]":
    with loading():
        from denoisebench.config.jobs import protocols_of

    return protocols_of(names)


def _rescored(studies: Sequence[Path], names: Sequence[str], measures: Sequence[str]) -> int:
    from denoisebench.store.plan import read_plan

    with loading():
        from denoisebench.config.jobs import measures_of
        from denoisebench.study.finished import protocols_in, rescore

    cells = [cell for study in studies if study.is_dir() for cell in read_plan(study).values()]
    before = _protocols(sorted(protocols_in(cells))) if measures else []
    asked = _protocols(names) if names else []
    return rescore(cells, asked, measures_of(measures), {protocol.name: protocol for protocol in before})
