"""Results as a grid of methods x noises."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from denoisebench.progress import counted, duration
from denoisebench.report.results import Result, all_images, mean, measures_in, scored_by_all
from denoisebench.scoring.measures import Measure

TAG_TEXTS = {
    "supervised": "trained on targets that noisy images cannot provide: a reference, not ranked",
    "second_view": "trained on pairs of independent noisy views",
    "oracle_sigma": "given the true noise level",
    "oracle_selected": "its weights were chosen with clean images",
    "oracle_tuned": "its settings were chosen with clean images",
    "sigma_given": "given a noise level that is not the true one",
    "weights_given": "tested with weights whose training is not known here",
    "transductive": "the noisy test images (or others of the same photographs) were among its training images",
    "stale_training": "the code has changed since its training",
    "stale_code": "the code has changed since it was computed",
    "below_input": "its mean is more than 1 dB below that of the noisy images it was given",
    "self_ensemble": "the mean of its outputs for eight flips and turns of each image",
    "learned_from_stack": "one network learned from all slices of each stack",
    "refinement": "its output is refined by further passes",
    "made_elsewhere": "another program made its outputs, or trained its network: whoever ran it answers for it",
    "training_unknown": "nobody said how it was trained: it may have seen clean images",
    "self_supervised_elsewhere": "trained elsewhere on noisy images, as whoever ran it says",
    "input_unverified": "nothing proves that the other program was given these noisy images",
    "per image": "learns anew from each image",
}
NO_SCORE = "no clean images, no scores"
Mark = Literal["", "best", "second"]


@dataclass(frozen=True)
class Line:
    """One method and budget: its result and its mark under each noise."""

    method: str
    budget: str
    results: dict[str, Result]
    marks: dict[str, Mark]

    @property
    def bound(self) -> bool:
        return any(result.supervised for result in self.results.values())

    @property
    def seconds(self) -> float | None:
        return mean(result.seconds for result in self.results.values())

    @property
    def train_seconds(self) -> float | None:
        return mean(result.train_seconds for result in self.results.values())

    @property
    def peak_mib(self) -> float:
        return max(result.peak_mib for result in self.results.values())

    def said(self, images: frozenset[str]) -> dict[str, list[str]]:
        """Each tag and the noises under which it holds."""
        found: dict[str, list[str]] = {}
        for noise, result in self.results.items():
            for tag in tags_of(result, images):
                found.setdefault(tag, []).append(noise)
        return found

    def marked(self, images: frozenset[str]) -> dict[str, str]:
        """The attributes by which the page filters what belongs to this line."""
        return {"data_method": self.method, "data_tags": "\n".join(self.said(images))}

    def notes(self, images: frozenset[str]) -> str:
        """What a reader must know: budget, tags (with the noises where they hold, if not under all), how many seeds."""
        said = self.said(images).items()
        return ", ".join(tag if len(noises) == len(self.results) else f"{tag} ({', '.join(noises)})" for tag, noises in said)


@dataclass(frozen=True)
class Grid:
    """Methods x noises on one data set under one protocol; bounds come last. images: the names of all of its images."""

    dataset: str
    protocol: str
    images: frozenset[str]
    photographs: int
    noises: list[str]
    lines: list[Line]

    @property
    def results(self) -> list[Result]:
        return [result for line in self.lines for result in line.results.values()]

    @property
    def size(self) -> str:
        """`24 images`, `1280 images of 40 photographs`."""
        return size_text(len(self.images), self.photographs)

    @property
    def bounds_from(self) -> int:
        """The number of lines before the first bound."""
        return next((i for i, line in enumerate(self.lines) if line.bound), len(self.lines))

    @property
    def commits(self) -> list[str]:
        return sorted({commit for line in self.lines for r in line.results.values() for commit in r.commits.split()})


def size_text(images: int, photographs: int) -> str:
    return counted(images, "image") + (f" of {counted(photographs, 'photograph')}" if photographs not in (0, images) else "")


def tags_of(result: Result, images: frozenset[str]) -> list[str]:
    """Budget, tags, what it learns from, missing images, repeats and seeds of a result, as a reader must see them."""
    tags = [f"budget {result.budget}"] if result.budget else []
    tags += result.tags.split()
    tags += ["per image"] if result.learns == "image" and "learned_from_stack" not in tags else []
    tags += ["scored by server"] if result.scored_by == "server" else []
    tags += ["means only"] if result.scored_by == "results.csv" else []
    tags += [f"{counted(result.images, 'image')} only"] if _is_part(result, images) else []
    tags += [f"precision {result.precision}"] if result.precision not in ("", "32") else []
    tags += [f"{result.repeats} repeats"] if result.repeats > 1 else []
    return tags + ([f"{result.seeds} seeds"] if result.seeds > 1 else [])


def _is_part(result: Result, images: frozenset[str]) -> bool:
    return result.images != len(images) if result.is_mean else result.names != images


def grids(results: Sequence[Result]) -> list[Grid]:
    """One grid for each data set and protocol, lines in the order of the results' kinds."""
    pairs = list(dict.fromkeys((r.dataset, r.protocol) for r in results))
    return [_grid([r for r in results if (r.dataset, r.protocol) == pair]) for pair in pairs]


def _grid(results: Sequence[Result]) -> Grid:
    noises = list(dict.fromkeys(r.noise for r in results))
    images = all_images(results)
    # The order of the first noise's results; a method that it lacks comes where its own noise puts it.
    methods = list(dict.fromkeys((r.method, r.budget) for r in sorted(results, key=lambda r: r.supervised)))
    marks = {noise: marks_of([r for r in results if r.noise == noise], images) for noise in noises}
    lines = []
    for method, budget in methods:
        own = {r.noise: r for r in results if (r.method, r.budget) == (method, budget)}
        lines.append(Line(method, budget, own, {noise: marks[noise].get(r.id, "") for noise, r in own.items()}))
    lines.sort(key=lambda line: line.bound)
    return Grid(results[0].dataset, results[0].protocol, images, max(r.photographs for r in results), noises, lines)


def marks_of(results: Sequence[Result], images: frozenset[str], measure: Measure | None = None) -> dict[str, Mark]:
    """The best and the second score among those that saw no clean image and all images, by id: over the images that all
    have a score of. measure: None for the one that ranks."""
    if not results or not getattr(measure := measure or results[0].first, "directed", True):
        return {}
    common = scored_by_all(results, measure)
    rivals = [r for r in results if not r.saw_clean and r.names == images]
    scores = {r.id: score for r in rivals if (score := r.goodness_over(common, measure)) is not None}
    places: tuple[Mark, Mark] = ("best", "second")
    levels = dict(zip(sorted(set(scores.values()), reverse=True), places, strict=False))
    return {name: levels[score] for name, score in scores.items() if score in levels}


def score_text(result: Result | None, shown: Sequence[Measure]) -> str:
    """PSNR (± over seeds) / SSIM, and further measures, in the order of `shown`."""
    if result is None:
        return ""
    texts = [_mean_text(measure, result, spread=not number) for number, measure in enumerate(shown)]
    while texts and texts[-1] is None:
        texts.pop()
    return " / ".join(text or "?" for text in texts) or "no clean images"


def _mean_text(measure: Measure, result: Result, *, spread: bool) -> str | None:
    score = result.scores[measure.column]
    seeds = f" ± {measure.text(score.sd_seeds)}" if spread and score.sd_seeds is not None else ""
    return None if score.mean is None else measure.text(score.mean) + seeds + result.of_images(measure)


def headings(results: Iterable[Result]) -> str:
    """`PSNR in dB / SSIM`; that there is no score where there is none."""
    return " / ".join(measure.heading for measure in measures_in(results)) or NO_SCORE


def signed_text(difference: float, digits: int) -> str:
    """A difference with its sign, but `+0.00` for what rounds to nothing from below."""
    return f"{round(difference, digits) + 0.0:+.{digits}f}"


def seconds_text(value: float | None) -> str:
    """1.6 ms, 32 ms, 780 ms, 22 s."""
    if not value:  # none was measured: it was made elsewhere
        return ""
    return f"{1e3 * value:.2g} ms" if value < 0.0995 else f"{1e3 * value:.0f} ms" if value < 1 else duration(value)


def training_text(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)
