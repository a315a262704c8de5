"""`denoisebench cite` and `card`: whom to cite, and what a trained network is."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from denoisebench.cli.messages import refused


def cite(
    names: Annotated[list[str], typer.Argument(metavar="METHOD", help="Methods, data sets or studies.", show_default=False)],
) -> int:
    """Print BibTeX of methods and data sets, or of all that a study ran, and of this program.

    \b
      denoisebench cite neighbor2neighbor kodak
      denoisebench cite demo                                 the methods and data sets of a study
    """
    from denoisebench import __version__
    from denoisebench.site.cite import OURS, cited

    with refused():
        found, without = cited(names)
    print("\n\n".join([OURS % __version__, *(paper.bibtex(name) for name, paper in found.items())]))
    if without:
        print(f"note: no paper is known of {', '.join(without)}", file=sys.stderr)
    return 0


def card(
    cell: Annotated[
        str, typer.Argument(metavar="CELL", help="A cell's folder, or the beginning of its key.", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write (default: standard output).")] = None,
) -> int:
    """Write the model card of a network that a cell trained, in Markdown.

    \b
      denoisebench card KEY --out MODEL_CARD.md
    """
    from denoisebench.report.explain import find_cell
    from denoisebench.site.card import card as card_of
    from denoisebench.store.files import write_atomic

    with refused():
        text = card_of(find_cell(cell))
        if out:
            write_atomic(out, text)
    print(f"wrote {out}" if out else text, end="\n" if out else "")
    return 0
