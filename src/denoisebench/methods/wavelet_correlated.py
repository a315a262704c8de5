"""Undecimated wavelet shrinkage for correlated noise, as it is diagnosed in each image."""

from collections.abc import Iterator, Sequence

import numpy as np
import pywt
from scipy.ndimage import uniform_filter

from denoisebench.correlated import CorrelatedDenoiser, Powers
from denoisebench.ranges import Count, NonNegative, Positive

WINDOW = 3  # pixels on each side over which the pilot's energy is averaged
Bands = list[np.ndarray]


class WaveletCorrelated(CorrelatedDenoiser):
    """Undecimated wavelets: thresholds from the diagnosed noise of each band give a pilot for a Wiener filter.

    Johnstone, Silverman: Wavelet threshold estimators for data with correlated noise, JRSS B 1997; Ghael, Sayeed, Baraniuk:
    Improved wavelet denoising via empirical Wiener filtering, SPIE 1997; Coifman, Donoho: Translation-invariant de-noising, 1995.

    wavelet: the name of an orthogonal wavelet of PyWavelets.
    levels: of the transform.
    threshold: of the pilot, in standard deviations of the noise in each band.
    strength: multiplies the standard deviation that is filtered for.

    Source: written here, with the transform of PyWavelets. The noise is that of `denoisebench diagnose`, measured on the
    flattest areas of the image, so that no clean image takes part: its level, its spectrum and its correlation between colours.
    Where no pixels are correlated by 0.4 or more, it is taken for white. RGB is filtered in opponent colours. In images without
    flat areas, fine texture is taken for noise.
    """

    family = "sparseness"

    def __init__(self, wavelet: str = "sym4", levels: Count = 5, threshold: NonNegative = 3.5, strength: Positive = 1.0) -> None:
        super().__init__(strength)
        known: list[str] = pywt.wavelist(kind="discrete")  # pyright: ignore[reportAttributeAccessIssue]
        if wavelet not in known or not pywt.Wavelet(wavelet).orthogonal:  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(f"method.wavelet is an orthogonal wavelet of PyWavelets, as sym4 or haar; not {wavelet!r}")
        if levels < 1:
            raise ValueError(f"method.levels is 1 or more, got {levels}")
        self.wavelet = wavelet
        self.levels = levels
        self.threshold = threshold

    def filtered_planes(self, planes: np.ndarray, powers: Powers) -> np.ndarray:
        padded = self._padded(planes)
        size = padded.shape[1:]
        power = powers(size)
        noises = np.sqrt([(power * gain).mean((1, 2)) for gain in self.gains(size)])
        shrunk = np.stack([self.shrunk(plane, own) for plane, own in zip(padded, noises.T, strict=True)])
        top, height, width = 2**self.levels, *planes.shape[1:]
        return shrunk[:, top : top + height, top : top + width]

    def _padded(self, planes: np.ndarray) -> np.ndarray:
        """Mirrored on all sides, to what the transform, which is periodic, can halve as often as there are levels."""
        block = 2**self.levels
        missing = [(block, block + -side % block) for side in planes.shape[1:]]
        return np.pad(planes, [(0, 0), *missing], mode="symmetric")

    def shrunk(self, plane: np.ndarray, noises: Sequence[float] | np.ndarray) -> np.ndarray:
        """noises: the standard deviation in each detail."""
        smooth, *details = self.transformed(plane)
        kept = [band * (np.abs(band) > self.threshold * noise) for band, noise in zip(details, noises, strict=True)]
        pilot = self.transformed(self.back([smooth, *kept]))[1:]
        weighed = [_weighed(*band) for band in zip(details, pilot, noises, strict=True)]
        return self.back([smooth, *weighed])

    def transformed(self, plane: np.ndarray) -> Bands:
        """The smooth band, then three details of each level, from coarse to fine; their energies add up to the plane's."""
        smooth, *levels = pywt.swt2(plane, self.wavelet, self.levels, trim_approx=True, norm=True)
        return [smooth, *(band for level in levels for band in level)]

    def back(self, bands: Bands) -> np.ndarray:
        smooth, *details = bands
        levels = [tuple(details[at : at + 3]) for at in range(0, len(details), 3)]
        return pywt.iswt2([smooth, *levels], self.wavelet, norm=True)

    def gains(self, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """What each detail lets through of the power at each frequency: that of its answer to one pixel."""
        pixel = np.zeros(shape)
        pixel[0, 0] = 1
        for band in self.transformed(pixel)[1:]:
            yield np.abs(np.fft.fft2(band)) ** 2


def _weighed(detail: np.ndarray, pilot: np.ndarray, noise: float) -> np.ndarray:
    energy = uniform_filter(pilot**2, WINDOW, mode="wrap")
    return detail * energy / np.maximum(energy + noise**2, 1e-30)
