"""The power spectrum of noise as it was diagnosed, of channels and of mixtures of them."""

import numpy as np

from denoisebench.diagnosis.correlation import REACH, Correlation

CERTAIN = 0.05  # a correlation below is taken for none
TRUSTED = 0.4  # fine texture looks like noise whose pixels are correlated by up to that; demosaicing correlates them by more
LEAST = 1e-12
OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [1 / 2, 0, -1 / 2], [1 / 4, -1 / 2, 1 / 4]])


def opponent(channels: int) -> np.ndarray:
    """The mixtures (C, C) in which an image is filtered: luminance and two opponent colours of RGB, else each channel."""
    return OPPONENT if channels == 3 else np.eye(channels)


def spectrum(lags: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The power of noise with an autocorrelation (2 REACH + 1, 2 REACH + 1) at the frequencies of `fft2`: (H, W), of mean 1."""
    kernel = np.zeros(size)
    for down in range(-REACH, REACH + 1):
        for right in range(-REACH, REACH + 1):
            found = lags[REACH + down, REACH + right]
            kernel[down % size[0], right % size[1]] += found if abs(found) >= CERTAIN else 0
    power = np.maximum(np.fft.fft2(kernel).real, 0)
    return power / power.mean()


def mixed_spectra(correlation: Correlation, stds: np.ndarray, mixing: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Power spectra (K, H, W) of the noise in mixtures (K, C) of the channels, whose standard deviations are `stds`.

    Where little correlation is found, it may be the image's: noise is taken for white, and its colours for independent. Else two
    channels are correlated at every frequency as they are in one pixel. The mean of each spectrum is its plane's variance,
    exactly so where all channels have the same.
    """
    if correlation.largest < TRUSTED:
        variances = np.square(mixing) @ np.square(stds)
        return np.maximum(np.broadcast_to(variances[:, None, None], (len(mixing), *size)), LEAST)
    roots = np.sqrt(np.stack([spectrum(lags, (size[0], size[1])) for lags in correlation.lags]))
    covariance = correlation.colours * np.outer(stds, stds)
    return np.maximum(np.einsum("kc,kd,cd,chw,dhw->khw", mixing, mixing, covariance, roots, roots, optimize=True), LEAST)
