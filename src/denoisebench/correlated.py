"""What the filters for correlated noise share: they are told the noise of each image as it is diagnosed."""

from abc import abstractmethod
from collections.abc import Callable

import numpy as np

from denoisebench.classical import ClassicalDenoiser
from denoisebench.diagnosis.diagnosis import diagnosed
from denoisebench.diagnosis.spectra import mixed_spectra, opponent
from denoisebench.ranges import Positive

Powers = Callable[[tuple[int, ...]], np.ndarray]


class CorrelatedDenoiser(ClassicalDenoiser):
    """A filter of planes that is told the power spectrum of the noise in each: its level, spectrum and correlation of colours.

    The noise is that of `denoisebench diagnose`, measured on the flattest areas of the image, so that no clean image takes part.
    RGB is filtered in opponent colours. Where no pixels are correlated by 0.4 or more, noise is taken for white.

    strength: multiplies the standard deviation that is filtered for.
    """

    least_side = 32  # for a diagnosis

    def __init__(self, strength: Positive = 1.0) -> None:
        super().__init__()
        self.strength = strength

    @abstractmethod
    def filtered_planes(self, planes: np.ndarray, powers: Powers) -> np.ndarray:
        """Planes (K, H, W) in float64 -> the same shape.

        powers: of their noise at the frequencies of `fft2` of a size, (K, *size); the mean of each is its plane's variance.
        """

    def filtered(self, image: np.ndarray, std: float) -> np.ndarray:
        """std: not used; it is that of white noise."""
        planes = image.transpose(2, 0, 1).astype(np.float64)
        found = diagnosed(planes)
        mixing = opponent(len(planes))
        stds = self.strength * np.array(found.level.sigmas) / 255
        filtered = self.filtered_planes(
            np.einsum("kc,chw->khw", mixing, planes), lambda size: mixed_spectra(found.correlation, stds, mixing, size)
        )
        return np.einsum("ck,khw->hwc", np.linalg.inv(mixing), filtered).astype(image.dtype)
