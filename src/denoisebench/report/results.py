"""Rows summarised: one result for each method, budget, data set, noise and protocol."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from denoisebench.report.inputs import TAG, View, harms, is_input, scores_of_inputs
from denoisebench.report.network import Network
from denoisebench.report.sets import told_apart
from denoisebench.scoring import measures
from denoisebench.scoring.measures import Measure
from denoisebench.store.rows import MEANS, Row

LINE = ("dataset", "noise", "protocol", "scored_by", "method", "budget")


@dataclass(frozen=True)
class Score:
    """The mean of one measure. sd_images: standard deviation over the images of each image's mean. sd_seeds: over the seeds
    of each seed's mean, None of one seed: what drawing weights, patches and noise anew changes. images: how many have it."""

    mean: float | None
    sd_images: float | None
    sd_seeds: float | None
    images: int


@dataclass(frozen=True)
class Result:
    """One method on one data set under one noise and one protocol: means over images, repeats and seeds.

    images: distinct ones, each seen under `repeats` draws of noise and `seeds`. photographs: that they were cut from, 0
    where a server does not say. scores: of each measure, by its column. rows: what all of it was made of.
    measures: those that its report shows; the first one ranks.
    """

    method: str
    dataset: str
    noise: str
    protocol: str
    scored_by: str
    scores: Mapping[str, Score] = field(hash=False)
    images: int
    photographs: int
    repeats: int
    seeds: int
    seconds: float
    train_seconds: float | None
    peak_mib: float
    learns: str
    trained_on: str
    train_noise: str
    train_steps: str
    selection: str
    budget: str
    tags: str
    precision: str
    keys: str
    commits: str
    cell: Path
    setup: str
    rows: tuple[Row, ...] = field(repr=False, compare=False)
    network: Network = field(default_factory=Network)
    measures: tuple[Measure, ...] = field(default=(), compare=False)

    @property
    def id(self) -> str:
        """Names this result among all others, also where two studies gave one setup two labels."""
        return " | ".join((self.method, self.budget, self.dataset, self.noise, self.protocol, self.setup))

    @property
    def is_mean(self) -> bool:
        """Whether only its means are known: a server's answer, or a line of a `results.csv`."""
        return self.scored_by in MEANS

    @property
    def psnr_db(self) -> float | None:
        return self.scores["psnr_db"].mean

    @property
    def ssim(self) -> float | None:
        return self.scores["ssim"].mean

    @property
    def first(self) -> Measure:
        """What methods are ranked by."""
        return (self.measures or measures.MEASURES)[0]

    @property
    def goodness(self) -> float | None:
        """What methods are ranked by: the first measure, the greater the better; None without a score."""
        first = self.first
        score = self.scores[first.column].mean
        return None if score is None else first.goodness(score)

    def scored(self, measure: Measure) -> frozenset[str]:
        """The images that it has scores of."""
        if self.is_mean:
            return self.names if self.scores[measure.column].mean is not None else frozenset()
        return frozenset(row["image"] for row in self.rows if row.get(measure.column) is not None)

    def goodness_over(self, images: frozenset[str], measure: Measure) -> float | None:
        """What methods are ranked by, over some of the images: the greater the better; None without a score."""
        own = [row.get(measure.column) for row in self.rows if self.is_mean or row["image"] in images]
        value = mean(own)
        return None if value is None else measure.goodness(value)

    def of_images(self, measure: Measure) -> str:
        """` (of 2 images)`: of how many a mean is, where that is not all of them."""
        count = self.scores[measure.column].images
        return "" if count == self.images else f" (of {count} image{'' if count == 1 else 's'})"

    @property
    def names(self) -> frozenset[str]:
        """The images it is over; of a mean, which names none, their numbers."""
        if self.is_mean:
            return frozenset(map(str, range(self.images)))
        return frozenset(row["image"] for row in self.rows)

    @property
    def saw_clean(self) -> bool:
        """Whether clean images trained it or chose its weights or settings: then it is no rival of those that do without."""
        return bool({"supervised", "oracle_selected", "oracle_tuned"} & set(self.tags.split()))

    @property
    def supervised(self) -> bool:
        return "supervised" in self.tags.split()


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of what is there; infinite if one value is (an image returned without error), None of nothing."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and math.inf not in known else math.inf if known else None


def spread(values: Iterable[float | None]) -> float | None:
    """The sample standard deviation; None of fewer than two values, or with an infinite one."""
    known = [value for value in values if value is not None]
    return statistics.stdev(known) if len(known) > 1 and math.inf not in known else None


def spread_over(rows: Sequence[Row], metric: str, unit: str) -> float | None:
    """The spread of the means of a metric over each image (`unit="image"`) or each seed (`unit="seed"`)."""
    groups: dict[str, list[float | None]] = {}
    for row in rows:
        groups.setdefault(row[unit], []).append(row.get(metric))
    return spread(mean(values) for values in groups.values())


def summarise(rows: Sequence[Row], shown: Sequence[Measure] = ()) -> list[Result]:
    """One result for each method, budget, data set, noise and protocol; different settings never share a label.

    shown: the measures of the report, the first of which ranks; none: PSNR and SSIM.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    inputs = scores_of_inputs(apart := told_apart(rows))
    for row in apart:
        groups.setdefault(tuple(row[name] for name in (*LINE, "setup")), []).append(row)
    order = _asked(rows)
    setups = Counter(group[:-1] for group in groups)
    results = [
        _result(own, shown, inputs, label=own[0]["method"] if setups[group[:-1]] == 1 else f"{own[0]['method']} #{group[-1][:6]}")
        for group, own in groups.items()
    ]
    return sorted(results, key=lambda r: (r.dataset, r.noise, order[r.protocol, r.scored_by], _rank(r)))


def _asked(rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    """Protocols in the order in which they were asked for: as cells hold them, servers' answers last."""
    found = dict.fromkeys((row["protocol"], row["scored_by"]) for row in rows)
    return {key: place for place, key in enumerate(sorted(found, key=lambda key: key[1] in MEANS))}


def measures_in(results: Iterable[Result]) -> list[Measure]:
    """The measures that a table of these results shows: those that one of them has a score of, the first two together.

    Without clean images these are the ones that need none, or nothing.
    """
    own = list(results)
    every = own[0].measures or measures.MEASURES if own else ()
    known = [measure for measure in every if any(r.scores[measure.column].mean is not None for r in own)]
    always = measures.MEASURES[: measures.ALWAYS_SHOWN]
    both = any(measure in known for measure in always)
    return [measure for measure in every if measure in known or (both and measure in always)]


def all_images(results: Iterable[Result]) -> frozenset[str]:
    """The images that any of these results is over: what each must be over to be compared. Means name none of their own."""
    own = list(results)
    naming = [result for result in own if not result.is_mean] or own
    return frozenset().union(*(result.names for result in naming))


def scored_by_all(results: Iterable[Result], measure: Measure) -> frozenset[str]:
    """The images that all results with a score by this measure have one of, among those that are over all images."""
    own = list(results)
    names = all_images(own)
    found = [scored for r in own if r.names == names and (scored := r.scored(measure))]
    return frozenset.intersection(*found) if found else frozenset()


def _rank(result: Result) -> tuple[int, float, str]:
    """The noisy input, what learns nothing, what learns from noisy images, bounds; the better the later."""
    kind = 3 if result.supervised else 0 if is_input(result.method) else 1 if result.learns == "nothing" else 2
    return kind, -math.inf if result.goodness is None else result.goodness, result.method


def _images(rows: Sequence[Row]) -> int:
    """How many distinct images a mean is over: rows of a server are means already, and say of how many."""
    if rows[0]["scored_by"] in MEANS:
        return max(int(row["images"]) for row in rows)
    return len(_distinct(rows, "image"))


def _distinct(rows: Sequence[Row], column: str) -> set[str]:
    return {row[column] for row in rows}


def _score(rows: Sequence[Row], column: str) -> Score:
    scored = [row for row in rows if row.get(column) is not None]
    spreads = spread_over(rows, column, "image"), spread_over(rows, column, "seed")
    return Score(mean(row[column] for row in scored), *spreads, _images(scored) if scored else 0)


def _result(rows: Sequence[Row], shown: Sequence[Measure], inputs: Mapping[View, float], label: str) -> Result:
    first = rows[0]
    said = [tag for row in rows for tag in row["tags"].split()] + [TAG] * harms(rows, inputs)
    same = (
        "learns",
        "trained_on",
        "train_noise",
        "train_steps",
        "selection",
        "budget",
        "precision",
        "cell",
        "scored_by",
        "setup",
    )
    return Result(
        method=label, dataset=first["dataset"], noise=first["noise"], protocol=first["protocol"],
        scores={name: _score(rows, name) for name in (*measures.columns(), *(measure.column for measure in shown))},
        measures=tuple(shown or measures.MEASURES),
        images=_images(rows), photographs=0 if first["scored_by"] in MEANS else len(_distinct(rows, "scene")),
        repeats=len(_distinct(rows, "repeat")),
        seeds=len(_distinct(rows, "seed")), tags=" ".join(dict.fromkeys(said)),
        seconds=mean(row["seconds"] for row in rows) or 0.0, train_seconds=mean(row["train_seconds"] for row in rows),
        peak_mib=max(row["peak_mib"] for row in rows), keys=" ".join(sorted(_distinct(rows, "key"))),
        commits=" ".join(sorted(_distinct(rows, "commit"))), rows=tuple(rows), network=Network.of(first),
        **{name: first[name] for name in same},
    )  # fmt: skip
