"""Noises that break what a method assumes, with what was measured of them."""

from collections.abc import Iterator, Sequence
from typing import Any

from denoisebench.diagnosis.families import FAMILIES
from denoisebench.report.health import cells_of, recorded
from denoisebench.report.published import base_of
from denoisebench.report.results import Result

BROKEN = 0.1  # of independent noise, the largest of 24 correlations over a whole image is about 0.01
INDEPENDENT = {name for family in FAMILIES if not family.correlated for name in family.methods}
PAIRED = {"noise2noise"}


def broken(results: Sequence[Result]) -> list[str]:
    """A line for each data set and noise whose noise is not what methods of the report assume."""
    places = dict.fromkeys((r.dataset, r.noise) for r in results)
    return [line for place in places for line in _lines([r for r in results if (r.dataset, r.noise) == place])]


def _lines(results: Sequence[Result]) -> Iterator[str]:
    measured = next((found for result in results if (found := _measured(result))), None)
    if measured is None:
        return
    where = f"{results[0].dataset}, {results[0].noise}"
    near, between = (_size(measured.get(name)) for name in ("autocorrelation", "between_views"))
    if near >= BROKEN and (methods := _of(results, INDEPENDENT)):
        yield (
            f"{where}: the noise of pixels up to 3 apart is correlated by up to {near:.2f} (measured on {measured['image']}); "
            f"it is assumed to be independent by {methods}: what neighbours share is kept as if it were image"
        )
    if between >= BROKEN and (methods := _of(results, PAIRED)):
        yield (
            f"{where}: the noise of two views of one image is correlated by {between:.2f} (measured on {measured['image']}); "
            f"it is assumed to be independent by {methods}: what the views share is kept as if it were image"
        )


def _measured(result: Result) -> dict[str, Any] | None:
    """What a run recorded of its noise; nothing where the rows came without their cell, or are older than this."""
    found = [recorded(cell / "manifest.json").get("evidence") for cell in cells_of(result)]
    return next((one["noise"] for one in found if isinstance(one, dict) and isinstance(one.get("noise"), dict)), None)


def _size(value: object) -> float:
    return abs(value) if isinstance(value, int | float) else 0.0


def _of(results: Sequence[Result], names: set[str]) -> str:
    """The methods of these names; one that is told the noise's structure assumes no independence along it."""
    own = [r.method for r in results if base_of(r.method) in names and "structure=" not in r.method]
    return ", ".join(sorted(set(own)))
