"""Published numbers, and whether one of ours is comparable with them.

`published.csv` holds what was read in papers, figures and repositories, with a grade: A seen in an official figure or
README or in the result table of a peer-reviewed follow-up; B the text of one paper's table or a follow-up's official
README; C secondary. Numbers from memory are not in it. Its `protocol` is the name of one of ours, the scorer of a
benchmark (`server:sidd-mat` is the first one of SIDD, whose SSIM reads higher than Kaggle's), or `unknown`.
"""

import csv
import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from denoisebench.report.results import Result

GRADES = ("A", "B", "C")
UNVERIFIED = {
    "self2self_plus": "no number of Self2Self+'s own table could be verified in any source: there is no target to reach",
}
PROTOCOL_UNKNOWN = "its protocol (rounding, SSIM window) is not stated"
STALE = {"stale_training", "stale_code"}
OWN_TAGS = STALE | {"below_input"}  # said of our run, not of a method
WEIGHTS_GIVEN = "weights_given"  # a network from a file: what it was trained on is not known here


@dataclass(frozen=True)
class Published:
    """One published score. method: our spelling, with the options that its label would have."""

    method: str
    dataset: str
    noise: str
    psnr_db: float
    ssim: float | None
    protocol: str
    tags: str
    trained_on: str
    source: str
    grade: str
    note: str

    @property
    def base(self) -> str:
        return base_of(self.method)


@dataclass(frozen=True)
class Beside:
    """A published score beside ours; `reasons` why they may not be compared, none if they may.

    PSNR is compared with a paper that does not state its protocol, since rounding moves it by hundredths of a dB; SSIM is not.
    """

    published: Published
    result: Result
    reasons: tuple[str, ...]

    @property
    def psnr_difference_db(self) -> float | None:
        ours = self.result.psnr_db
        return None if weighty(self.reasons) or ours is None else ours - self.published.psnr_db

    @property
    def ssim_difference(self) -> float | None:
        ours, theirs = self.result.ssim, self.published.ssim
        return None if self.reasons or ours is None or theirs is None else ours - theirs


@functools.cache
def read_published() -> tuple[Published, ...]:
    """All rows of the data file. Raises: ValueError for a row that may not be in it."""
    text = files("denoisebench.report").joinpath("published.csv").read_text(encoding="utf-8")
    rows = tuple(_published(row) for row in csv.DictReader(text.splitlines()))
    for row in rows:
        if row.grade not in GRADES or not row.source or not 5 < row.psnr_db < 60 or not (row.ssim is None or 0 < row.ssim < 1):
            raise ValueError(f"published.csv: {row} is out of range, has no source or no grade of {', '.join(GRADES)}")
    return rows


def _published(row: dict[str, str]) -> Published:
    ssim = float(row["ssim"]) if row["ssim"] else None
    return Published(**{**row, "psnr_db": float(row["psnr_db"]), "ssim": ssim})  # type: ignore[arg-type]


def base_of(label: str) -> str:
    """The method of a label: `sdap` of `sdap[enhance=true]` and of `sdap #12ab34`."""
    return re.split(r"[\[ ]", label, maxsplit=1)[0]


def _options(label: str) -> set[str]:
    """The options of a label that change the method; its training set and weights are told elsewhere. 8 and 8.0 are one."""
    inside = re.search(r"\[(.*)\]", label)
    options = re.split(r",(?![^\[]*\])", inside[1]) if inside else []
    return {_canonical(option) for option in options if not option.startswith(("train_set=", "checkpoint="))}


def _canonical(option: str) -> str:
    name, _, value = option.partition("=")
    try:
        return f"{name}={float(value)!r}"
    except ValueError:
        return option


def set_of(dataset: str) -> str:
    """The whole data set of a part of it: `cbsd68` of `cbsd68-first10-crop128`."""
    return dataset.split("-")[0]


def _level(noise: str) -> str:
    """What noises of one strength share, however they were drawn, clipped or stored."""
    return noise.split("-")[0].replace("stored", "gaussian")


def context(dataset: str, noise: str) -> list[Published]:
    """What was published on a data set, or on the whole of which it is a part, under a noise of this strength, best first."""
    found = [p for p in read_published() if p.dataset in (dataset, set_of(dataset)) and _level(noise) == p.noise]
    return sorted(found, key=lambda p: -p.psnr_db)


def beside(results: Sequence[Result]) -> list[Beside]:
    """Each of our results beside what was published of its method on that data set and level of noise."""
    return [
        Beside(published, result, tuple(not_comparable(published, result)))
        for result in results
        for published in context(result.dataset, result.noise)
        if published.base == base_of(result.method)
    ]


def not_comparable(published: Published, result: Result) -> list[str]:
    """Why a published score and ours are not of the same thing; empty if nothing is known to part them."""
    checks = (_other_images, _other_protocol, _other_training, _other_tags)
    return [reason for check in checks for reason in check(published, result)]


def weighty(reasons: Iterable[str]) -> list[str]:
    """The reasons that keep two PSNRs from being compared: all but a protocol that the paper does not state."""
    return [reason for reason in reasons if reason != PROTOCOL_UNKNOWN]


def _other_images(published: Published, result: Result) -> list[str]:
    reasons = []
    if result.dataset != published.dataset:
        reasons.append(f"ours is a part of the data set ({result.dataset})")
    if result.noise != published.noise:
        reasons.append(f"noise {published.noise}, ours {result.noise}")
    if result.psnr_db is None:
        reasons.append("ours has no score")
    return reasons


def _other_protocol(published: Published, result: Result) -> list[str]:
    if published.protocol == "unknown":
        return [PROTOCOL_UNKNOWN]
    return [] if published.protocol == result.protocol else [f"protocol {published.protocol}, ours {result.protocol}"]


def _other_training(published: Published, result: Result) -> list[str]:
    reasons = []
    if result.budget not in ("", "paper"):
        reasons.append(f"ours was trained with budget {result.budget}")
    theirs_known = published.trained_on not in ("", "unknown")
    ours_known = WEIGHTS_GIVEN not in result.tags.split()
    if result.learns == "dataset" and published.trained_on != result.trained_on and (theirs_known or ours_known):
        theirs = published.trained_on if theirs_known else "not stated"
        reasons.append(f"training set {theirs}, ours {result.trained_on or 'not recorded'}")
    noise = result.train_noise.partition(" ")[0]
    if result.learns == "dataset" and noise not in ("", result.noise):
        reasons.append(f"ours was trained under {noise}")
    if STALE & {*result.tags.split()}:
        reasons.append("our code has changed since its training")
    return reasons


def _other_tags(published: Published, result: Result) -> list[str]:
    ours, theirs = set(result.tags.split()) - OWN_TAGS - {WEIGHTS_GIVEN}, set(published.tags.split())
    reasons = []
    if ours != theirs:
        reasons.append(f"tags: {' '.join(sorted(theirs)) or 'none'}, ours {' '.join(sorted(ours)) or 'none'}")
    if _options(published.method) != _options(result.method):
        reasons.append(f"it is {published.method}, ours {result.method}")
    return reasons
