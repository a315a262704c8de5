"""`denoisebench data`: its actions and their arguments."""

from typing import Annotated

import typer

from denoisebench.cli.messages import refused

HELP = """\
List, download and check the data sets that denoisebench knows, below DENOISEBENCH_DATA and data/.

\b
  denoisebench data list                            the data sets, which of them are here, sizes and licences
  denoisebench data download kodak cbsd68           fetch what is missing or damaged; each file is checked by its SHA-256
  denoisebench data download kodak --to FOLDER      elsewhere than DENOISEBENCH_DATA, or data/ where that is not set
  denoisebench data download dnd                    how to get what must be fetched by hand, and where to put it
  denoisebench data download sidd_medium --from SIDD_Medium_Srgb.zip
                                                    unpack an archive that you fetched
  denoisebench data verify polyu                    read every file: names, sizes, checksums (no name: all local sets)
  denoisebench data verify my_photos/               read every image of a folder of yours
  denoisebench data prepare sidd_medium             cut training patches once: [--patch 512] [--to FILE]
  denoisebench data path kodak                      the folder it is read from

An interrupted download or prepare continues with the same command. Exit code: 0 if all is well, 1 if something is missing,
damaged or to be done by hand, 2 if an argument is not valid or a download failed.
"""

app = typer.Typer(help=HELP, rich_markup_mode=None)
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Data sets.", show_default=False)]


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON (docs/json.md).")] = False,
) -> int:
    """List the data sets: which of them are here, sizes and licences."""
    from denoisebench.cli import sets

    with refused():
        return sets.list_as_json() if as_json else sets.list_sets()


@app.command()
def download(
    names: Names = None,
    to: Annotated[str | None, typer.Option(metavar="FOLDER", help="Where to (default: DENOISEBENCH_DATA or data/).")] = None,
    archive: Annotated[str | None, typer.Option("--from", metavar="ARCHIVE", help="Unpack this file of yours instead.")] = None,
) -> int:
    """Fetch what is missing or damaged, or say how to get what must be fetched by hand."""
    from denoisebench.cli import sets

    with refused():
        return sets.download_sets(names or (), to, archive)


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Data sets or folders (default: all local sets).")
    ] = None,
) -> int:
    """Check every file of data sets or folders, and say how to fix what is wrong."""
    from denoisebench.cli import sets

    with refused():
        return sets.verify_sets(names or ())


@app.command()
def prepare(
    names: Names = None,
    to: Annotated[str | None, typer.Option(metavar="FILE", help="Where to write.")] = None,
    patch: Annotated[int, typer.Option(min=1, help="The side of the patches in pixels.")] = 512,
) -> int:
    """Cut the training patches of sidd_medium once."""
    from denoisebench.cli import sets

    with refused():
        return sets.prepare_set(names or (), to, patch)


@app.command()
def path(names: Names = None) -> int:
    """Print the folder that a data set is read from."""
    from denoisebench.cli import sets

    with refused():
        return sets.print_paths(names or ())
