"""How much noise there is, and how it grows with intensity."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls

from denoisebench.diagnosis.flat import Flat

GREY = 255
GROWS = 2.0  # the variance in light over that in shadow from which noise is said to depend on intensity
BETTER = 0.7
ABOVE = 1.3  # times the law, from which an area is taken for structure
EPSILON = 0.3 / 255
SUSPECTED = 0.055
FITTING = 0.6  # the share of areas that must lie below that


@dataclass(frozen=True)
class Point:
    """The noise of flat areas of similar intensity in one channel. intensity in [0, 1]; sigma on the 0-255 scale; blocks: how
    many areas it was measured on."""

    channel: int
    intensity: float
    sigma: float
    blocks: int


@dataclass(frozen=True)
class Level:
    """sigma: standard deviation on the 0-255 scale, of a typical flat area; sigmas: of each channel.

    curve: the noise at each intensity. law: how it grows: `constant`, `photon` (variance grows with intensity) or
    `proportional` (standard deviation does). lam, read, speckle: variance = x / lam + (read / 255)^2 + (speckle x / 255)^2, with
    x in [0, 1]: lam photons at intensity 1, infinite where none show; of `photon`, speckle is 0; of `proportional`, lam is
    infinite. flat: whether flat areas were found; where there were none, structure of the image is in the level, an upper bound.
    """

    sigma: float
    sigmas: tuple[float, ...]
    curve: tuple[Point, ...]
    law: str
    lam: float
    read: float
    speckle: float
    flat: bool

    def std_at(self, intensity: np.ndarray) -> np.ndarray:
        """Standard deviation in [0, 1] at an intensity in [0, 1], by the law."""
        x = np.clip(intensity, 0, 1)
        return np.sqrt(x / self.lam + (self.read / GREY) ** 2 + (self.speckle * x / GREY) ** 2)


def level_of(flat: Flat, structure: float) -> Level:
    """structure: the share of the variance of these areas that looks like structure of the image."""
    suspected = structure > SUSPECTED
    curve = [point for channel in range(flat.means.shape[1]) for point in _curve(flat, channel)]
    law, (photon, constant, square) = _law(curve, suspected=suspected)
    lam = float(1 / photon) if photon > 1e-12 else np.inf
    read, speckle = (float(GREY * np.sqrt(part)) for part in (constant, square))
    level = Level(0.0, (), tuple(curve), law, lam, read, speckle, True)
    reached = np.array([point.sigma / GREY for point in curve])
    fits = reached < ABOVE * level.std_at(np.array([point.intensity for point in curve])) + EPSILON
    blocks = np.array([point.blocks for point in curve])
    level = replace(level, flat=not suspected or bool(blocks[fits].sum() >= FITTING * blocks.sum()))
    sigmas = tuple(_typical([point for point in curve if point.channel == c], level) for c in range(flat.means.shape[1]))
    return replace(level, sigma=float(np.sqrt(np.mean(np.square(sigmas)))), sigmas=sigmas)


def _curve(flat: Flat, channel: int) -> list[Point]:
    points = []
    for number in np.unique(flat.group):
        own = flat.group == number
        sigma = GREY * float(np.sqrt(np.median(flat.variances[own, channel])))
        points.append(Point(channel, float(flat.means[own, channel].mean()), sigma, int(own.sum())))
    return points


def _typical(points: list[Point], level: Level) -> float:
    """A channel's level at its median intensity: the law of all channels, times what the flatter areas of this one have of it."""
    expected = GREY * level.std_at(np.array([point.intensity for point in points])) + 1e-9
    ratios = np.array([point.sigma for point in points]) / expected
    blocks = np.array([point.blocks for point in points])
    middle = float(np.average([point.intensity for point in points], weights=blocks))
    share = _quantile(ratios, blocks, 0.4 if level.flat else 0.1)
    return float(share * GREY * level.std_at(np.array(middle)))


def _quantile(values: np.ndarray, weights: np.ndarray, where: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(reached, where * reached[-1]))])


def _law(points: list[Point], *, suspected: bool) -> tuple[str, np.ndarray]:
    """The law, and (per intensity, constant, per squared intensity) of the variance in [0, 1]."""
    x = np.array([max(point.intensity, 0.0) for point in points])
    variance = np.array([(point.sigma / GREY) ** 2 for point in points]) + 1e-12
    weight = np.sqrt([point.blocks for point in points])
    ones = np.ones_like(x)
    photon, misfit = _fitted(np.stack([x, ones], 1), variance, weight, suspected)
    square, square_misfit = _fitted(np.stack([x * x, ones], 1), variance, weight, suspected)
    if square_misfit < BETTER * misfit and _grows(square[0], square[1], x * x):
        return "proportional", np.array([0.0, square[1], square[0]])
    return "photon" if _grows(photon[0], photon[1], x) else "constant", np.array([photon[0], photon[1], 0.0])


def _grows(slope: float, constant: float, x: np.ndarray) -> bool:
    low, high = np.quantile(x, [0.1, 0.9])
    return slope * high + constant > GROWS * (slope * low + constant) or slope * high > 0.5 * constant > 0


def _fitted(columns: np.ndarray, variance: np.ndarray, weight: np.ndarray, suspected: bool) -> tuple[np.ndarray, float]:
    """Non-negative, relative errors weighed, robust; where structure is suspected, what lies above counts for less."""
    fit, relative = np.zeros(2), weight / variance
    for _ in range(8):
        fit, _ = nnls(columns * relative[:, None], variance * relative)
        expected = columns @ fit + 1e-12
        ratio = variance / expected
        off = np.maximum(ratio / 1.15, 1) ** 2 if suspected else np.maximum(np.abs(np.log(ratio)) / 0.2, 1) ** 0.5
        relative = weight / expected / off
    misfit = float((weight * np.minimum(np.abs(np.log(variance / (columns @ fit + 1e-12))), 1)).sum() / weight.sum())
    return fit, misfit
