"""`denoisebench diagnose`: what noise people's own photographs have, and which methods suit it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from denoisebench.cli.messages import loading, refused

if TYPE_CHECKING:
    from denoisebench.diagnosis.diagnosis import Diagnosis
    from denoisebench.photographs.diagnosing import Diagnosed
    from denoisebench.photographs.photo import Photo
    from denoisebench.photographs.reading import Reading
    from denoisebench.ranking import Ranked
    from denoisebench.report.markup import Markup

PAGE = "diagnosis.html"


def diagnose(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files, folders or patterns.", show_default=False)],
    *,
    rank: Annotated[
        str | None,
        typer.Option(metavar="METHODS", help="Rank methods on the images without ground truth: names with commas, or `auto`."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON (docs/json.md); the page only with --html.")] = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help=f"Where the page goes (default: {PAGE}).")] = None,
    page: Annotated[int | None, typer.Option(min=1, help="One page of a TIFF with several, counted from 1.")] = None,
    axes: Annotated[str | None, typer.Option(metavar="LETTERS", help="Of stacks that do not say them, e.g. TZYX.")] = None,
    white: Annotated[float | None, typer.Option(help="The value of white, e.g. 4095 for 12 bit in 16.")] = None,
) -> int:
    """Diagnose the noise in photographs: level, correlation, clipping, quantisation, JPEG blocks; and which methods can work.

    \b
      denoisebench diagnose IMG_0001.jpg
      denoisebench diagnose holiday/ --html noise.html
      denoisebench diagnose scans/ --json
      denoisebench diagnose embryo.ome.tif                some slices of a stack, evenly spaced
      denoisebench diagnose scans/ --rank auto            tries methods on some of the images, a minute or two
      denoisebench diagnose scans/ --rank nlm,bm3d,noise2fast

    Exit code: 0 if every image was read, 1 if one could not be, 2 if a setting is not valid.
    """
    problems: list[tuple[Path, str]] = []
    with loading():
        from denoisebench.config import ConfigError
        from denoisebench.photographs import diagnosing, diagnosis_page, files
        from denoisebench.photographs.reading import Reading
        from denoisebench.progress import console, track
        from denoisebench.store.files import write_atomic
    with refused():
        if white is not None and not 0 < white < float("inf"):
            raise ConfigError("--white is a number above 0")
        methods = methods_of(rank)
    reading = Reading(page=page, white=white, axes=axes)
    sources = files.listed(paths, problems, changed=True)
    drawn: list[Markup] = []

    with track("diagnosing", len(sources)) as advance:

        def found(photo: "Photo", diagnosis: "Diagnosis") -> None:
            if not as_json or html is not None:
                drawn.append(diagnosis_page.pictures(photo, diagnosis))
            advance(len(drawn), photo.path.name)

        images = diagnosing.diagnosed_files(sources, reading, problems, found)
    for path, text in problems:
        console.print(f"{path}: {text}", style="red", markup=False)
    ranked = _ranked(images, methods, reading) if images and methods else None
    if as_json:
        print(json.dumps(_as_dict(images, ranked), indent=1, ensure_ascii=False, allow_nan=False))
    elif images:
        _print(images, ranked, len(problems))
    if images and (html is not None or not as_json):
        with refused():
            write_atomic(html or Path(PAGE), diagnosis_page.page(images, drawn))
        console.print(f"pictures: {html or PAGE}", markup=False)
    return int(bool(problems))


def methods_of(text: str | None) -> tuple[str, ...]:
    """The methods that `--rank` names. Raises: ConfigError for others than there are."""
    if text is None:
        return ()
    from denoisebench.ranking import CANDIDATES, check_methods

    names = CANDIDATES if text == "auto" else tuple(name.strip() for name in text.split(",") if name.strip())
    check_methods(names)
    return names


def _ranked(images: Sequence["Diagnosed"], methods: Sequence[str], how: "Reading") -> tuple[list["Ranked"], list[Path]]:
    from denoisebench.photographs.diagnosing import RANKED_ON, ranked_files
    from denoisebench.progress import track

    total = len(methods) * min(RANKED_ON, len(images))
    with track("ranking methods", total) as advance:
        begun = iter(range(total))
        return ranked_files(images, methods, how, lambda name: advance(next(begun), name))


def _as_dict(images: Sequence["Diagnosed"], ranked: "tuple[list[Ranked], list[Path]] | None") -> dict[str, object]:
    from denoisebench.photographs.diagnosing import all_together
    from denoisebench.ranking import CALIBRATION, DEFAULT, FAILS

    told = {"images": [one.as_dict() for one in images], "all": all_together(images) if images else None}
    result: dict[str, object] = {"schema": "denoisebench/diagnose/1", **told}
    if ranked:
        order, on = ranked
        table = [
            {"method": one.method, "mean_place": None if one.problem else one.value, "problem": one.problem} for one in order
        ]
        about = {"proxy": DEFAULT, "calibration": CALIBRATION, "fails": FAILS, "tried_on": list(map(str, on))}
        result["ranking"] = {"methods": table, **about}
    return result


def _print(images: Sequence["Diagnosed"], ranked: "tuple[list[Ranked], list[Path]] | None", unread: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    from denoisebench.photographs.diagnosing import HEAD, line, summary
    from denoisebench.progress import output_console
    from denoisebench.ranking import recommended

    table = Table(box=None, pad_edge=False)
    for text in HEAD:
        table.add_column(text, overflow="fold")
    for one in images:
        table.add_row(*map(escape, line(one)))
    console = output_console()
    console.print(table)
    console.print(summary(images) + (f"; {unread} could not be read" if unread else ""), markup=False)
    if ranked:
        order, on = ranked
        console.print(f"\nmethods by their mean place on {', '.join(path.name for path in on)}:", markup=False)
        for one in order:
            console.print(f"  {one.method:<24}{one.problem or f'{one.value:.1f}'}", markup=False)
        console.print(recommended(order), markup=False)
