"""More noise of the kind that was diagnosed: of its level at each intensity, its correlation in space and between colours."""

import numpy as np
from scipy.ndimage import gaussian_filter

from denoisebench.diagnosis.diagnosis import Diagnosis
from denoisebench.diagnosis.spectra import spectrum

SMOOTH = 2.0
SHADE = 1e-6


def std_map(planes: np.ndarray, diagnosis: Diagnosis) -> np.ndarray:
    """The standard deviation of the noise at each value of (C, H, W), by the diagnosed law and each channel's level."""
    level = diagnosis.level
    shares = np.array(level.sigmas) / max(level.sigma, 1e-9)
    smooth = np.stack([gaussian_filter(plane, SMOOTH) for plane in planes])
    return level.std_at(smooth) * shares[:, None, None] + SHADE


def unit_noise(shape: tuple[int, int, int], diagnosis: Diagnosis, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise (C, H, W) of standard deviation 1, with the diagnosed correlations."""
    white = rng.standard_normal(shape)
    values, vectors = np.linalg.eigh(diagnosis.correlation.colours)
    root = vectors * np.sqrt(np.maximum(values, 0))
    mixed = np.einsum("cd,dhw->chw", root, white)
    return np.stack([_coloured(plane, lags) for plane, lags in zip(mixed, diagnosis.correlation.lags, strict=True)])


def _coloured(white: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """White noise filtered to an autocorrelation (2 REACH + 1, 2 REACH + 1)."""
    height, width = white.shape
    return np.fft.ifft2(np.fft.fft2(white) * np.sqrt(spectrum(lags, (height, width)))).real
