"""The pages of methods: paper, code, deviations, cost, and where each stands."""

from collections.abc import Sequence
from dataclasses import dataclass

from denoisebench.citations import Described, described
from denoisebench.config import groups
from denoisebench.config.choosing import class_named
from denoisebench.report.published import base_of
from denoisebench.report.results import Result
from denoisebench.report.standing import Standing, counted, standings
from denoisebench.report.study import Report, place_of
from denoisebench.site.names import method_file


@dataclass(frozen=True)
class Row:
    """One score of a method. place: how many methods of that table are not worse, of how many; bounds have none."""

    result: Result
    rank: str
    table: str


@dataclass(frozen=True)
class MethodPage:
    name: str
    cls: str
    learns: str
    family: str
    about: Described
    standings: Sequence[Standing]
    rows: Sequence[Row]

    @property
    def status(self) -> str:
        """`reproduced` or `differs` where one of its published numbers can be compared with ours, else `not run`."""
        words = {one.word for one in self.standings}
        return next((word for word in ("differs", "reproduced") if word in words), "not run")

    @property
    def told(self) -> str:
        """How many published numbers have which status."""
        return counted(self.standings) if self.standings else "no published number known"

    @property
    def file(self) -> str:
        return method_file(self.name)


def method_pages(report: Report) -> list[MethodPage]:
    """One for each method that there is, run or not, and for those of others that rows name."""
    known = groups()["method"]
    foreign = sorted({base_of(r.method) for r in report.results} - {*known})
    found = standings(report.results, known)
    pages = [_page(name, report, [one for one in found if one.published.base == name]) for name in known]
    return pages + [_foreign(name, report) for name in foreign]


def _page(name: str, report: Report, found: Sequence[Standing]) -> MethodPage:
    cls = class_named(name)
    return MethodPage(
        name, f"{cls.__module__}.{cls.__qualname__}", cls.learns, cls.family, described(cls), found, _rows(name, report)
    )


def _foreign(name: str, report: Report) -> MethodPage:
    rows = _rows(name, report)
    first = rows[0].result
    return MethodPage(
        name, "", first.learns, first.network.family, Described("Not a method of this installation.", "", ""), (), rows
    )


def _rows(name: str, report: Report) -> list[Row]:
    own = [r for r in report.results if base_of(r.method) == name]
    return [Row(r, _rank(r, report), table_id(r)) for r in own]


def _rank(result: Result, report: Report) -> str:
    """`2 of 5` by the statistics; without them, by the mean alone, and said so."""
    place = place_of(result)
    comparison, rivals = report.comparisons[place], [r for r in report.at(place) if not r.saw_clean and not r.is_mean]
    if result.saw_clean:
        return "bound"
    if rank := comparison.ranks.get(result.id):
        return f"{rank} of {len(rivals)}"
    if result.goodness is None or result.is_mean:
        return ""
    better = sum(r.goodness is not None and r.goodness > result.goodness for r in rivals)
    return f"{better + 1} of {len(rivals)} by the mean"


def table_id(result: Result) -> str:
    return "-".join("".join(c if c.isalnum() else "_" for c in part) for part in place_of(result))
