"""`denoisebench submit` and `verify-submission`: outputs as the online benchmarks of SIDD and DND want them."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from denoisebench.cli.messages import in_words, loading, refused


def submit(
    kind: Annotated[
        Literal["sidd-kaggle", "sidd-mat", "sidd-raw-kaggle", "sidd-raw", "dnd"],
        typer.Argument(metavar="sidd-kaggle|sidd-mat|sidd-raw-kaggle|sidd-raw|dnd", help="The benchmark.", show_default=False),
    ],
    cell: Annotated[Path, typer.Argument(metavar="CELL", help="The folder of a finished cell.", show_default=False)],
    scores: Annotated[list[str] | None, typer.Argument(metavar="SCORE", help="With --result.", show_default=False)] = None,
    *,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to write (default: CELL/submission).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Score what would be sent, for a set with ground truth.")] = False,
    result: Annotated[bool, typer.Option("--result", help="Record the scores that the server returned, for the report.")] = False,
    name: Annotated[str | None, typer.Option(help="For sidd-mat and sidd-raw: the method's name.")] = None,
    authors: Annotated[str | None, typer.Option(help="For sidd-mat and sidd-raw.")] = None,
    title: Annotated[str | None, typer.Option(help="For sidd-mat and sidd-raw: the paper's title.")] = None,
    venue: Annotated[str | None, typer.Option(help="For sidd-mat and sidd-raw.")] = None,
) -> int:
    """Write the outputs of a finished cell in an online benchmark's file format, and verify them against the stored images.

    \b
      denoisebench run method=bm3d dataset=sidd_benchmark noise=real
      denoisebench submit sidd-kaggle runs/default/bm3d/sidd_benchmark/real/seed0-KEY       SubmitSrgb.csv
      denoisebench submit sidd-mat CELL --authors "A and B"                                 SubmitSrgb.mat of the first server
      denoisebench submit sidd-raw-kaggle CELL             SubmitRaw.csv, of a cell of dataset=sidd_raw_benchmark
      denoisebench submit sidd-raw CELL                    SubmitRaw.mat of the first server, of such a cell
      denoisebench submit dnd CELL                                                          bundled/0001.mat to 0050.mat
      denoisebench submit sidd-kaggle CELL --dry-run       CELL of dataset=sidd_validation: scores what would be sent
      denoisebench submit dnd CELL --result psnr=38.45 ssim=0.939      what the server returned
    """
    if dry_run and result:
        raise typer.BadParameter("--dry-run and --result exclude each other")
    if result != bool(scores):
        raise typer.BadParameter("--result needs scores, and only it takes them: --result psnr=38.45 ssim=0.939")
    about = {"MethodName": name, "Authors": authors, "PaperTitle": title, "Venue": venue}
    from denoisebench.submit import answers, send

    with refused():
        if scores:
            print(answers.record(kind, cell, scores))
        elif dry_run:
            print(send.dry_run(kind, cell, out))
        else:
            print(send.submit(kind, cell, out, {key: text for key, text in about.items() if text}))
    return 0


def verify_submission(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="SubmitSrgb.csv or .mat, SubmitRaw.csv or .mat, or bundled/.")],
) -> int:
    """Check a file for an online benchmark before it is sent: variables, number, order, shape, type and range of its images.

    \b
      denoisebench verify-submission SubmitRaw.mat        40 x 32 planes of 256 x 256 in single, finite, from 0 to 1
      denoisebench verify-submission SubmitSrgb.csv       or SubmitSrgb.mat, SubmitRaw.csv
      denoisebench verify-submission bundled/             of DND

    It needs neither the cell nor the data set, and also checks files that another program wrote.

    Exit code: 0 if it is complete, 1 if something is wrong with it, 2 if it is not there or not recognised as one of these, for
    example a MATLAB v5 file or one whose beginning is damaged.
    """
    with loading("NumPy"):
        from denoisebench.submit.verifying import recognised, verified
    with refused():
        kind = recognised(file)
    try:
        print(verified(kind, file))
    except (OSError, ValueError) as error:
        print(f"denoisebench: {in_words(error)}", file=sys.stderr)
        return 1
    return 0
