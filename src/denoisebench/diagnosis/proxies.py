"""How well a method denoises an image, without ground truth: numbers that are smaller for better results.

A proxy ranks methods on one image under one draw of random numbers; its value means nothing by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from denoisebench.diagnosis.correlation import REACH, mean_products
from denoisebench.diagnosis.diagnosis import Diagnosis
from denoisebench.diagnosis.simulated import std_map, unit_noise

Denoise = Callable[[np.ndarray], np.ndarray]
GRID = 4
PROBE = 0.1  # of the noise's own level: small against it, large against rounding
ALPHA = 0.5
LAGS = 3


@dataclass(frozen=True)
class Subject:
    """noisy, denoised: (C, H, W) in [0, 1]. denoise: the method, for other images. diagnosis: of the noisy image."""

    noisy: np.ndarray
    denoised: np.ndarray
    denoise: Denoise
    diagnosis: Diagnosis
    seed: int = 0

    @property
    def residual(self) -> np.ndarray:
        return self.noisy - self.denoised


def blind_spot(of: Subject) -> float:
    """Some pixels are replaced by the mean of their four neighbours; how well the method then says what they were.

    Batson, Royer, arXiv 1901.11365. Blind to what a method does with the pixel itself; misled by correlated noise.
    """
    rng = np.random.default_rng(of.seed)
    row, column = rng.integers(GRID, size=2)
    hidden = np.zeros(of.noisy.shape[1:], bool)
    hidden[row::GRID, column::GRID] = True
    padded = np.pad(of.noisy, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    around = (padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]) / 4
    predicted = of.denoise(np.where(hidden, around, of.noisy))
    return _mean_square((predicted - of.noisy)[:, hidden])


def whiteness(of: Subject) -> float:
    """How correlated neighbouring values of the residual are; infinite where nothing was removed."""
    found = _autocovariance(of)
    centre = found[:, LAGS, LAGS][:, None, None]
    if centre.min() < 1e-4:
        return np.inf
    return float(np.square(found / centre).sum((1, 2)).mean() - 1)


def likeness(of: Subject) -> float:
    """How far the residual's covariance at small distances is from that of the diagnosed noise."""
    found = _autocovariance(of)
    cut = slice(REACH - LAGS, REACH + LAGS + 1)
    return float(np.square(found - of.diagnosis.correlation.lags[:, cut, cut]).sum((1, 2)).mean())


def independence(of: Subject) -> float:
    """How much the residual tells of the image: its correlation with detail, and of its size with edges."""
    detail = of.denoised - np.stack([gaussian_filter(plane, 2.0) for plane in of.denoised])
    size = np.abs(of.residual) / std_map(of.noisy, of.diagnosis)
    return abs(_correlation(of.residual, detail)) + abs(_correlation(size, np.abs(detail)))


def halves(of: Subject) -> float:
    """One half of the pixels, denoised, predicts the other half: the diagonal sub-images of ZS-N2N, arXiv 2303.11253."""
    first, second = _diagonals(of.noisy)
    return (_mean_square(of.denoise(first) - second) + _mean_square(of.denoise(second) - first)) / 2


def sure(of: Subject) -> float:
    """Stein's unbiased risk estimate for white Gaussian noise of the estimated level, its divergence by one random probe.

    Ramani, Blu, Unser, TIP 2008.
    """
    std = of.diagnosis.level.sigma / 255
    probe = np.random.default_rng(of.seed).standard_normal(of.noisy.shape)
    return _risk(of, std * probe)


def sure_diagnosed(of: Subject) -> float:
    """The same for noise as diagnosed: its level at each intensity, its correlation in space and between colours."""
    rng = np.random.default_rng(of.seed)
    return _risk(of, std_map(of.noisy, of.diagnosis) * unit_noise(of.noisy.shape, of.diagnosis, rng))


def recorrupted(of: Subject) -> float:
    """With more noise as diagnosed, added to the input and taken from the target, whose noises then are uncorrelated.

    Pang et al., CVPR 2021. It judges the method at a level that is 1.12 times as high.
    """
    rng = np.random.default_rng(of.seed)
    noise = std_map(of.noisy, of.diagnosis) * unit_noise(of.noisy.shape, of.diagnosis, rng)
    return _mean_square(of.denoise(of.noisy + ALPHA * noise) - (of.noisy - noise / ALPHA))


PROXIES: Mapping[str, Callable[[Subject], float]] = {
    "blind_spot": blind_spot, "whiteness": whiteness, "likeness": likeness, "independence": independence, "halves": halves,
    "sure": sure, "sure_diagnosed": sure_diagnosed, "recorrupted": recorrupted,
}  # fmt: skip


def _risk(of: Subject, noise: np.ndarray) -> float:
    """The squared error but for a constant: noise is a draw of the same distribution as the image's."""
    moved = of.denoise(of.noisy + PROBE * noise) - of.denoised
    return _mean_square(of.residual) + 2 * float((noise * moved).mean()) / PROBE


def _mean_square(values: np.ndarray) -> float:
    return float(np.square(values, dtype=np.float64).mean())


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """0 where one of them does not vary."""
    first, second = one - one.mean(), other - other.mean()
    scale = np.sqrt((first**2).mean() * (second**2).mean())
    return float((first * second).mean() / scale) if scale > 1e-12 else 0.0


def _autocovariance(of: Subject) -> np.ndarray:
    """(C, 2 LAGS + 1, 2 LAGS + 1), smooth parts of the residual left in: they are what a method wrongly removed."""
    return mean_products((of.residual / std_map(of.noisy, of.diagnosis))[None], LAGS)


def _diagonals(noisy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two half-size images: the means of the two diagonals of each 2 x 2 block."""
    even = noisy[:, : noisy.shape[1] // 2 * 2, : noisy.shape[2] // 2 * 2]
    a, b, c, d = even[:, ::2, ::2], even[:, ::2, 1::2], even[:, 1::2, ::2], even[:, 1::2, 1::2]
    return (a + d) / 2, (b + c) / 2
