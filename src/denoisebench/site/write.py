"""Rows -> a folder of pages that open from the disk: no server, no tracker, nothing fetched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import denoisebench
from denoisebench.report.differences import interval_text, p_text, wins_text
from denoisebench.report.labs import HEAD as TWICE_HEAD
from denoisebench.report.labs import labs_of
from denoisebench.report.results import Result, all_images
from denoisebench.report.statistics import Comparison, Difference
from denoisebench.report.study import Place, Report, build, place_of
from denoisebench.report.table import TAG_TEXTS, seconds_text, tags_of, training_text
from denoisebench.site.datasets import data_pages
from denoisebench.site.figures import difference_diagram, profile_legend, profile_plot
from denoisebench.site.methods import method_pages, table_id
from denoisebench.site.names import dataset_file, method_file
from denoisebench.site.ranking import ranking
from denoisebench.site.sources import Source, source_of

ASSETS = ("style.css", "site.js")
OURS = "// The leaderboard's filters"  # what every version's site.js says
PAGE = "<footer><p>Built by denoisebench "  # and every page
LEARNS = {"nothing": "nothing", "dataset": "a set of images", "image": "each image alone", "": "not stated"}


@dataclass(frozen=True)
class Line:
    """A line of the leaderboard: a result, how it stands to the best of its table, and the packs that its rows came from."""

    result: Result
    comparison: Comparison
    tags: Sequence[str]
    sources: Sequence[Source]

    @property
    def rank(self) -> str:
        return "bound" if self.result.saw_clean else str(self.comparison.ranks.get(self.result.id, ""))

    @property
    def difference(self) -> str:
        """To the best: mean, corrected interval, wins."""
        found = self.comparison.to_best.get(self.result.id)
        if self.result is self.comparison.best:
            return "best"
        if not isinstance(found, Difference):
            return found or ""
        interval = f" {interval_text(found.corrected_low_db, found.corrected_high_db)}" if found.has_interval else ""
        return f"{found.mean_db:+.2f} dB{interval}, p {p_text(found.p_holm)}, wins {wins_text(found)}"


@dataclass(frozen=True)
class Table:
    id: str
    place: Place
    lines: Sequence[Line]
    photographs: int
    images: int


def write_site(names: Sequence[str], folder: Path) -> list[Path]:
    """Write the site of packs, studies and `results.csv` files; returns its pages.

    Raises: FileNotFoundError or ValueError for what is none of them; ValueError if there is no row, or if the folder holds
    something else than a site.
    """
    sources = [source_of(name) for name in dict.fromkeys(names)]
    report = build([source.folder for source in sources])
    if not report.results:
        raise ValueError(f"{', '.join(names)}: no finished cell to show")
    _check_folder(folder)
    pages = _pages(report, sources)
    for name in ASSETS:  # first: they mark the folder as a site, should this be interrupted
        _write(folder / name, _asset(name))
    for path, (template, context) in pages.items():
        depth = path.count("/")
        text = ENVIRONMENT.get_template(template).render(**context, up="../" * depth, page=path, **_shared())
        _write(folder / path, text)
    return [folder / path for path in pages]


def _check_folder(folder: Path) -> None:
    """Remove the pages that an earlier call wrote into the folders of pages, and nothing else. Raises: ValueError."""
    script = folder / "site.js"
    is_site = script.is_file() and OURS in script.read_text(encoding="utf-8", errors="replace")
    if folder.is_dir() and any(folder.iterdir()) and not is_site:
        raise ValueError(f"{folder} holds other files than a site: name an empty folder")
    for page in (page for name in ("methods", "datasets", "packs") for page in (folder / name).glob("*.html")):
        if PAGE in page.read_text(encoding="utf-8", errors="replace"):
            page.unlink()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _shared() -> dict[str, Any]:
    return {"version": denoisebench.__version__}


def _pages(report: Report, sources: Sequence[Source]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The template and what it is given, by the path of a page."""
    methods, datasets, found = method_pages(report), data_pages(report), ranking(report.results)
    tables = [_table(report, place, sources) for place in report.comparisons]
    figures = found and {"diagram": _html(difference_diagram(found)), "profile": _html(profile_plot(found)),
                         "legend": [(name, _html(line)) for name, line in profile_legend(found)]}  # fmt: skip
    pages: dict[str, tuple[str, Mapping[str, Any]]] = {
        "index.html": ("index.html", {"tables": tables, "report": report, "choices": _choices(tables)}),
        "ranking.html": ("ranking.html", {"ranking": found, "figures": figures}),
        "methods/index.html": ("methods.html", {"pages": methods, "learns": LEARNS}),
        "datasets/index.html": ("datasets.html", {"pages": datasets}),
        "packs/index.html": ("packs.html", {"sources": sources, "report": report, "head": TWICE_HEAD}),
        "reading.html": ("reading.html", {"tags": TAG_TEXTS}),
    }
    pages |= {f"methods/{page.file}": ("method.html", {"method": page, "learns": LEARNS}) for page in methods}
    pages |= {f"datasets/{page.file}": ("dataset.html", {"data": page}) for page in datasets}
    return pages | {f"packs/{s.file}": ("pack.html", {"source": s}) for s in sources}


def _table(report: Report, place: Place, sources: Sequence[Source]) -> Table:
    own = report.at(place)
    images = all_images(own)
    order = sorted(own, key=lambda r: (r.saw_clean, r.goodness is None, -(r.goodness or 0.0)))
    lines = [
        Line(r, report.comparisons[place], tags_of(r, images), [s for s in sources if any(map(s.has, r.rows))]) for r in order
    ]
    return Table(table_id(own[0]), place, lines, max(r.photographs for r in own), len(images))


def _choices(tables: Sequence[Table]) -> dict[str, list[str]]:
    """What the leaderboard can be filtered by."""
    families = {line.result.network.family for table in tables for line in table.lines} - {""}
    tags = {tag for table in tables for line in table.lines for tag in line.tags}
    return {
        "dataset": sorted({t.place[0] for t in tables}), "noise": sorted({t.place[1] for t in tables}),
        "protocol": sorted({t.place[2] for t in tables}), "family": sorted(families), "tag": sorted(tags),
    }  # fmt: skip


def _html(text: str) -> Markup:
    return Markup(text)  # made by report.markup, which escapes what it is given


def _asset(name: str) -> str:
    return files("denoisebench.site").joinpath("templates", name).read_text(encoding="utf-8")


ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FunctionLoader(_asset), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
ENVIRONMENT.filters |= {
    "seconds": seconds_text, "training": training_text, "lab": labs_of, "table_id": table_id,
    "number": lambda value, digits=2: "" if value is None else f"{value:.{digits}f}", "method_file": method_file,
    "dataset_file": dataset_file, "place": place_of, "big": lambda value: "" if value is None else f"{value:,.0f}",
}  # fmt: skip
