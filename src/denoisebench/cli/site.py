"""`denoisebench site`: a static site of packs and studies."""

from pathlib import Path
from typing import Annotated

import typer

from denoisebench.cli.messages import loading, refused


def site(
    packs: Annotated[list[str], typer.Argument(metavar="PACK", help="Packs, studies or results.csv files.", show_default=False)],
    to: Annotated[Path, typer.Option(metavar="DIR", help="Where to write.", show_default=False)],
) -> int:
    """Write a static site: leaderboard, ranking over many tables, a page for each method, data set and pack.

    \b
      denoisebench site demo.pack.zip other-lab.pack.zip --to public

    The site opens from disk, makes no network requests and has no tracking. A pack is shown as
    verified if `denoisebench verify-pack PACK --record` was run on it before.
    """
    with loading():
        from denoisebench.site.write import write_site
    with refused():
        pages = write_site(packs, to)
    print(f"wrote {len(pages)} pages to {to}; open {to / 'index.html'}")
    return 0
