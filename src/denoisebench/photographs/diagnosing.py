"""Diagnose files: each alone, all together, and methods ranked on them."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench import api
from denoisebench.diagnosis.diagnosis import Diagnosis
from denoisebench.diagnosis.families import advice, sentence
from denoisebench.photographs.files import Problem
from denoisebench.photographs.photo import Photo, PhotoError
from denoisebench.photographs.reading import Reading
from denoisebench.photographs.sources import Source, sources_of
from denoisebench.progress import counted
from denoisebench.ranking import Ranked, rank

RANKED_ON = 3
SLICES = 5  # of a stack that are looked at, evenly spaced
Found = Callable[[Photo, Diagnosis], None]


@dataclass(frozen=True)
class Diagnosed:
    """source: a file, or a slice of a stack. kind: of file. diagnosis: of its pixels."""

    source: Source
    kind: str
    diagnosis: Diagnosis

    @property
    def path(self) -> Path:
        return self.source.path

    @property
    def name(self) -> str:
        return f"{self.path.name} {self.source.place}".rstrip()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        families = [{"family": one.family.name, "fits": one.fits, "why": one.why} for one in advice(self.diagnosis)]
        place = {"slice": self.source.place} if self.source.place else {}
        return {"file": str(self.path), **place, "kind": self.kind, **self.diagnosis.as_dict(), "families": families}


def diagnosed_files(paths: Sequence[Path], how: Reading, problems: list[Problem], found: Found) -> list[Diagnosed]:
    """Those that can be read, of a stack some of its slices; the others are added to the problems. found: called with each while
    its pixels are in memory."""
    result = []
    for path in paths:
        try:
            for source in _some(sources_of(path, how)):
                photo = source.photo(how)
                diagnosis = api.diagnose(photo.unit)
                found(photo, diagnosis)
                result.append(Diagnosed(source, photo.kind, diagnosis))
        except (OSError, PhotoError, ValueError) as error:
            problems.append((path, str(error)))
    return result


def _some(sources: Sequence[Source]) -> list[Source]:
    """The first, the last, and those evenly between them."""
    places = np.linspace(0, len(sources) - 1, min(SLICES, len(sources))).round().astype(int)
    return [sources[place] for place in places]


HEAD = ("image", "noise", "sigma", "law", "neighbours", "colours", "black", "white", "bits", "JPEG blocks", "what can work")


def line(of: Diagnosed) -> list[str]:
    """The cells of HEAD."""
    own = of.diagnosis
    level, correlation, storing = own.level, own.correlation, own.storing
    colours = "gray" if storing.gray else f"{correlation.between_colours:.2f}"
    limit = "" if level.flat else "<= "
    return [
        of.name, own.verdict, f"{limit}{level.sigma:.1f}", law(own), f"{correlation.neighbours:.2f}{_independence(own)}",
        colours, f"{storing.low:.1%}", f"{storing.high:.1%}", str(storing.bits or "continuous"),
        "yes" if storing.blocks else "no", sentence(own),
    ]  # fmt: skip


def law(of: Diagnosis) -> str:
    """How the level grows with intensity, with its parameters."""
    level = of.level
    if of.storing.impulses > 0.01:
        return f"impulses, {of.storing.impulses:.1%}"
    if level.law == "photon":
        return f"{level.lam:.0f} photons, read {level.read:.1f}"
    return f"speckle {level.speckle:.1f}, {level.read:.1f}" if level.law == "proportional" else "constant"


def _independence(of: Diagnosis) -> str:
    return {True: " independent", False: f" over {of.correlation.radius} px", None: ""}[of.independent]


def all_together(found: Sequence[Diagnosed]) -> dict[str, Any]:
    """What holds of a set: medians, and how many images are of each kind."""
    levels = [one.diagnosis.level.sigma for one in found]
    told = [one.diagnosis.independent for one in found if one.diagnosis.independent is not None]
    verdicts = [one.diagnosis.verdict for one in found]
    blocks = sum(one.diagnosis.storing.blocks for one in found)
    return {
        "images": len(found), "sigma_median": statistics.median(levels),
        "sigma_lowest": min(levels), "sigma_highest": max(levels),
        "neighbour_correlation_median": statistics.median(one.diagnosis.correlation.neighbours for one in found),
        "independent": sum(told), "correlated": len(told) - sum(told), "gray": sum(one.diagnosis.storing.gray for one in found),
        "jpeg_blocks": blocks, **{name: verdicts.count(name) for name in sorted(set(verdicts))},
    }  # fmt: skip


def summary(found: Sequence[Diagnosed]) -> str:
    """The same as a sentence."""
    own = all_together(found)
    kinds = ", ".join(f"{own[name]} {name}" for name in ("clean", "nearly clean", "noisy") if own.get(name))
    pixels = f"noise independent in {own['independent']}, correlated in {own['correlated']}"
    level = f"sigma {own['sigma_median']:.1f} ({own['sigma_lowest']:.1f} to {own['sigma_highest']:.1f})"
    return f"{counted(own['images'], 'image')}: {kinds}; {level}; {pixels}; JPEG blocks in {own['jpeg_blocks']}"


def ranked_files(
    found: Sequence[Diagnosed], methods: Sequence[str], how: Reading, on_method: Callable[[str], None] | None = None
) -> tuple[list[Ranked], list[Path]]:
    """Methods by their mean place on some of the images, evenly over their levels, and these images."""
    by_level = sorted(found, key=lambda one: one.diagnosis.level.sigma)
    count = min(RANKED_ON, len(by_level))
    chosen = [by_level[round(i)] for i in np.linspace(0, len(by_level) - 1, count)]
    tables = [rank(one.source.photo(how).unit, methods, on_method=on_method) for one in chosen]
    return mean_places(tables), [one.path for one in chosen]


def mean_places(tables: Sequence[Sequence[Ranked]]) -> list[Ranked]:
    """value: the mean place, 1 for the best; infinite where a method could not run on one of the images."""
    places: dict[str, list[float]] = {}
    problems = {one.method: one.problem for table in tables for one in table if one.problem}
    for table in tables:
        for place, one in enumerate(table, start=1):
            places.setdefault(one.method, []).append(np.inf if one.problem else place)
    result = [Ranked(name, float(np.mean(own)), problems.get(name, "")) for name, own in places.items()]
    return sorted(result, key=lambda one: one.value)
