"""report.html: one file that opens from the disk, with pictures beside it; nothing is fetched from anywhere."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from denoisebench.progress import counted
from denoisebench.report.labs import labs_section
from denoisebench.report.markup import Markup, element, joined, with_code
from denoisebench.report.overview import overview_section
from denoisebench.report.sections import grid_section, health_section, standings_section, tags_in
from denoisebench.report.study import Report
from denoisebench.store.files import write_atomic


def write_page(report: Report, viewer: Sequence[Mapping[str, Any]], notes: str, path: Path) -> None:
    """Write the page. viewer: what `viewer.write_pictures` returned; notes: how to read it, in paragraphs."""
    script, style = _asset("charts.js") + _asset("page.js"), _asset("page.css")
    text = Template(_asset("page.html")).substitute(
        title=joined(report.title),
        script=script,
        script_hash=_digest(script),
        style=style,
        summary=joined(_summary(report)),
        warnings=_warnings(report.notes),
        tags=joined(*(_chip(tag) for tag in tags_in(report))),
        overview=overview_section(report.grids),
        tables=joined(*(grid_section(report, grid, number) for number, grid in enumerate(report.grids))),
        published=joined(standings_section(report.standings), labs_section(report.twice)),
        health=health_section(report),
        notes=joined(*(element("p", with_code(part)) for part in notes.strip().split("\n\n"))),
        data=_embedded(viewer),
    )
    write_atomic(path, text)


def _asset(name: str) -> str:
    return files("denoisebench.report").joinpath(name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """What the page's content policy knows its one script by: no other runs, wherever it came from."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _embedded(value: object) -> str:
    """JSON inside a script element, which no text in it can end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _summary(report: Report) -> str:
    methods, places = len({r.method for r in report.results}), len(report.comparisons)
    scores = sum(len(r.rows) for r in report.results)
    sizes = f"{counted(methods, 'method')}, {counted(places, 'table')} of a data set under a noise"
    return f"{sizes}, {scores:,} score{'s' * (scores != 1)}. Commit {', '.join(report.commits)}."


def _warnings(notes: Sequence[str]) -> Markup:
    if not notes:
        return Markup("")
    return element(
        "div", element("strong", "Mind:"), element("ul", *(element("li", n) for n in notes)), class_="warning", role="note"
    )


def _chip(tag: str) -> Markup:
    return element("button", tag, type="button", class_="chip", data_tag=tag, aria_pressed="false")
