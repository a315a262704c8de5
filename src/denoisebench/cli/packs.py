"""`denoisebench pack` and `verify-pack`: results that others can check."""

import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoisebench.cli.messages import loading, refused

if TYPE_CHECKING:
    from denoisebench.verify.pack import Draw, Verdict

STYLES = {"verified": "green", "consistent": None, "contradicted": "red"}


def pack(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="A name under runs/, or a path.", show_default=False)],
    *,
    images: Annotated[bool, typer.Option("--images", help="With the outputs, so that others can score them again.")] = False,
    to: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write (default: STUDY.pack.zip).")] = None,
    author: Annotated[str | None, typer.Option(envvar="DENOISEBENCH_AUTHOR", help="Who made these results.")] = None,
    contact: Annotated[str | None, typer.Option(envvar="DENOISEBENCH_CONTACT", help="How to reach you.")] = None,
    lab: Annotated[str | None, typer.Option(envvar="DENOISEBENCH_LAB", help="What tables call you (default: author).")] = None,
    licence: Annotated[str, typer.Option(help="Of rows and outputs.")] = "CC-BY-4.0",
) -> int:
    """Pack the finished cells of a study into one zip: rows, configurations, manifests and hashes.

    \b
      denoisebench pack demo --author "A. Person" --contact a.person@lab.example
      denoisebench pack demo --images --to demo-with-outputs.pack.zip

    The same study gives the same bytes. Paths of this machine, data sets and weights are not packed.
    """
    from denoisebench.report.rows import find_study

    with loading():
        from denoisebench.packs.contents import Author
        from denoisebench.packs.write import write_pack
        from denoisebench.progress import counted
    with refused():
        folder = find_study(study)
        path = to or Path(f"{folder.resolve().name}.pack.zip")
        stated = {"name": author, "contact": contact, "lab": lab}
        head = write_pack(
            folder, path, Author(licence=licence, **{key: text for key, text in stated.items() if text}), images=images
        )
    outputs = ", with their outputs" if images else ""
    print(f"wrote {path}: {counted(len(head.cells), 'cell')}{outputs}; {len(head.not_packed)} unfinished left out")
    if not (author and contact):
        print("note: it does not say who made it: add --author and --contact", file=sys.stderr)
    return 0


def verify_pack(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A pack.", show_default=False)],
    *,
    recompute: Annotated[int, typer.Option(min=0, metavar="N", help="Compute this many cells again.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Which cells are drawn (default: drawn now).", show_default=False)] = None,
    most_seconds: Annotated[float, typer.Option(metavar="S", help="Draw among cells that took so long at most.")] = 120.0,
    record: Annotated[bool, typer.Option("--record", help="Keep what was found in FILE.verified.json, for the site.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON (docs/json.md).")] = False,
) -> int:
    """Check a pack without trusting it, and say of each cell whether it is verified, consistent or contradicted.

    \b
      denoisebench verify-pack demo.pack.zip
      denoisebench verify-pack demo.pack.zip --recompute 3

    Noisy inputs are made again from seed and data set, packed outputs are scored again (to 1e-9), labels and tags are
    compared with the configuration. `verified`: computed again here, within 0.001 dB for methods that learn nothing and
    0.1 dB for others. `consistent`: nothing contradicts it, of what could be checked.

    Exit code: 0 if nothing is contradicted, 1 if something is, 2 if it is no pack.
    """
    with loading():
        from denoisebench.packs.record import write_record
        from denoisebench.verify.pack import Draw, verify
    draw = Draw(recompute, secrets.randbelow(2**32) if seed is None else seed, most_seconds)
    with refused():
        verdict = verify(file, draw)
    if record:
        print(f"wrote {write_record(file, verdict.record(draw))}", file=sys.stderr)
    if as_json:
        print(json.dumps(verdict.record(draw), indent=1))
    else:
        _print_verdict(verdict, draw)
    return int(not verdict.holds)


def _print_verdict(verdict: "Verdict", draw: "Draw") -> None:
    from denoisebench.progress import counted, output_console

    console = output_console()
    for finding in verdict.findings:
        console.print(f"{finding.word:12} {finding.cell}", style=STYLES[finding.word], markup=False)
        for line in finding.lines():
            console.print(f"             {line}", markup=False)
    for fault in verdict.faults:
        console.print(f"contradicted {fault}", style="red", markup=False)
    if draw.count:
        console.print(f"{counted(len(verdict.drawn), 'cell')} computed again, drawn with --seed {draw.seed}", markup=False)
    console.print(verdict.counts, markup=False)
