"""How much noise there is, and how it grows with intensity."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from denoisebench.diagnosis.flat import Flat

GREY = 255
GROWS = 2.0  # the variance in light over that in shadow from which noise is said to depend on intensity
BETTER = 0.7
SPREAD = 2.0  # how much more variance an area may have than the tenth with the least
ALIKE = 0.6  # the share of areas that must


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


def level_of(flat: Flat) -> Level:
    curve = [point for channel in range(flat.means.shape[1]) for point in _curve(flat, channel)]
    sigmas = [_typical([point for point in curve if point.channel == c]) for c in range(flat.means.shape[1])]
    sigma = float(np.sqrt(np.mean(np.square(sigmas))))
    law, fit = _law(curve)
    photon, constant, square = fit
    lam = 1 / photon if photon > 1e-12 else np.inf
    read, speckle = (float(GREY * np.sqrt(part)) for part in (constant, square))
    is_flat = sum(point.blocks for point in curve) >= ALIKE * flat.means.size
    return Level(sigma, tuple(sigmas), tuple(curve), law, float(lam), read, speckle, is_flat)


def _curve(flat: Flat, channel: int) -> list[Point]:
    """Noise has nearly the same variance everywhere, structure has not: areas of much more than the lowest ones are left out."""
    points = []
    for number in np.unique(flat.group):
        own = flat.group == number
        variances, means = flat.variances[own, channel], flat.means[own, channel]
        alike = variances <= SPREAD * np.quantile(variances, 0.1) + 1e-12
        sigma = GREY * float(np.sqrt(np.median(variances[alike])))
        points.append(Point(channel, float(means[alike].mean()), sigma, int(alike.sum())))
    return points


def _typical(points: list[Point]) -> float:
    """The median over the areas of an image, those of common intensities counting more."""
    order = sorted(points, key=lambda point: point.sigma)
    reached = np.cumsum([point.blocks for point in order])
    return order[int(np.searchsorted(reached, reached[-1] / 2))].sigma


def _law(points: list[Point]) -> tuple[str, np.ndarray]:
    """The law, and (per intensity, constant, per squared intensity) of the variance in [0, 1]."""
    x = np.array([max(point.intensity, 0.0) for point in points])
    variance = np.array([(point.sigma / GREY) ** 2 for point in points]) + 1e-12
    weight = np.sqrt([point.blocks for point in points])
    ones = np.ones_like(x)
    photon, misfit = _fitted(np.stack([x, ones], 1), variance, weight)
    square, square_misfit = _fitted(np.stack([x * x, ones], 1), variance, weight)
    if square_misfit < BETTER * misfit and _grows(square[0], square[1], x * x):
        return "proportional", np.array([0.0, square[1], square[0]])
    return "photon" if _grows(photon[0], photon[1], x) else "constant", np.array([photon[0], photon[1], 0.0])


def _grows(slope: float, constant: float, x: np.ndarray) -> bool:
    low, high = np.quantile(x, [0.1, 0.9])
    return slope * high + constant > GROWS * (slope * low + constant) or slope * high > 0.5 * constant > 0


def _fitted(columns: np.ndarray, variance: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Non-negative, relative errors weighed, robust against areas that were not flat: these lie above."""
    fit, relative = np.zeros(2), weight / variance
    for _ in range(8):
        fit, _ = nnls(columns * relative[:, None], variance * relative)
        expected = columns @ fit + 1e-12
        ratio = variance / expected
        relative = weight / expected / np.maximum(np.abs(np.log(ratio)) / 0.2, 1) ** 0.5
    misfit = float((weight * np.minimum(np.abs(np.log(variance / (columns @ fit + 1e-12))), 1)).sum() / weight.sum())
    return fit, misfit
