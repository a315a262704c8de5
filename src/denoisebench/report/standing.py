"""Where our rows stand beside each published number: reproduced, differs, not run. Computed, never typed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from denoisebench.report.plain import markdown_table, markdown_text
from denoisebench.report.published import (
    PROTOCOL_UNKNOWN,
    WEIGHTS_GIVEN,
    Published,
    base_of,
    not_comparable,
    read_published,
    weighty,
)
from denoisebench.report.results import Result
from denoisebench.report.table import signed_text

TOLERANCE_DB = 0.15
Word = Literal["reproduced", "differs", "not run"]
WORDS: tuple[Word, ...] = ("reproduced", "differs", "not run")


@dataclass(frozen=True)
class Standing:
    """One published number and the comparable result of ours, if there is one.

    told: with a result, under which terms it was compared; without, why the nearest of ours may not be.
    """

    published: Published
    result: Result | None
    told: str

    @property
    def difference_db(self) -> float | None:
        ours = None if self.result is None else self.result.psnr_db
        return None if ours is None else ours - self.published.psnr_db

    @property
    def word(self) -> Word:
        """`reproduced` within TOLERANCE_DB, of the numbers as they are printed: with two digits."""
        if self.difference_db is None:
            return "not run"
        return "reproduced" if round(abs(self.difference_db), 2) <= TOLERANCE_DB else "differs"


def standings(results: Sequence[Result], methods: Iterable[str] | None = None) -> list[Standing]:
    """The standing of each published number of these methods (base names; None: those of the results), in the file's order."""
    wanted = {base_of(r.method) for r in results} if methods is None else set(methods)
    return [_standing(published, results) for published in read_published() if published.base in wanted]


def _standing(published: Published, results: Sequence[Result]) -> Standing:
    own = [r for r in results if base_of(r.method) == published.base and _same_set(published, r)]
    reasons = {r.id: weighty(not_comparable(published, r)) for r in own}
    alike = [r for r in own if not reasons[r.id]]
    if alike:
        # Of a paper that does not say how it scored, ours counts under `default`, not under the one that suits best.
        result = min(alike, key=lambda r: (r.protocol != "default", r.protocol))
        return Standing(published, result, _terms(published, result))
    nearest = min(own, key=lambda r: len(reasons[r.id]), default=None)
    return Standing(published, None, "; ".join(reasons[nearest.id]) if nearest else "no row of ours on that data set and noise")


def _terms(published: Published, result: Result) -> str:
    """Under which terms the two were compared, with what is noted of the published one."""
    known = published.protocol != "unknown"
    terms = [f"protocol {result.protocol}" if known else f"{PROTOCOL_UNKNOWN}; ours: {result.protocol}"]
    if WEIGHTS_GIVEN in result.tags.split():
        terms.append("ours with weights from a file")
    return "; ".join([*terms, published.note] if published.note else terms)


def _same_set(published: Published, result: Result) -> bool:
    return (result.dataset, result.noise) == (published.dataset, published.noise)


def counted(found: Sequence[Standing]) -> str:
    """`3 reproduced, 2 differ, 20 not run`."""
    counts = {word: sum(one.word == word for one in found) for word in WORDS}
    return ", ".join(f"{n} {'differ' if word == 'differs' and n != 1 else word}" for word, n in counts.items())


HEAD = ("status", "method", "data set, noise", "published", "ours", "difference", "grade", "source", "terms")


def texts_of(one: Standing) -> list[str]:
    """The cells of HEAD."""
    p, ours = one.published, None if one.result is None else one.result.psnr_db
    difference = "" if one.difference_db is None else signed_text(one.difference_db, 2)
    scores = [f"{p.psnr_db:.2f}", "" if ours is None else f"{ours:.2f}", difference]
    return [one.word, p.method, f"{p.dataset}, {p.noise}", *scores, p.grade, p.source, one.told]


def standing_table(found: Sequence[Standing], words: Sequence[Word] = WORDS) -> str:
    """A Markdown table of those with one of the words, in the order of the words; empty without any."""
    body = [[markdown_text(text) for text in texts_of(one)] for word in words for one in found if one.word == word]
    return markdown_table(HEAD, body, texts=(0, 1, 2, 6, 7, 8)) if body else ""
