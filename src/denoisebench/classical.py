"""What the training-free methods share: a noise level that is known or estimated, and images one at a time."""

from abc import abstractmethod

import numpy as np
import pywt
import torch
from scipy.stats import norm
from torch import Tensor

from denoisebench.denoiser import Denoiser
from denoisebench.ranges import NonNegative


def estimated_std(image: np.ndarray) -> float:
    """The standard deviation of the noise in an image (H, W, C): median of its finest wavelet coefficients, mean over C.

    Equal to scikit-image's `estimate_sigma` (Donoho and Johnstone, Biometrika 1994), without its warnings on narrow
    images; 0 where nothing can be said: a side of one pixel, or a constant channel.
    """
    if min(image.shape[:2]) < 2:  # one row of wavelet coefficients says nothing
        return 0.0
    details = [pywt.dwtn(channel, wavelet="db2")["dd"] for channel in np.moveaxis(image, -1, 0)]
    medians = [np.median(np.abs(detail[np.nonzero(detail)])) if detail.any() else np.nan for detail in details]
    std = float(np.mean([median / norm.ppf(0.75) for median in medians]))
    return std if np.isfinite(std) else 0.0


class ClassicalDenoiser(Denoiser):
    """A filter of one image that takes the standard deviation of its noise. Runs on the CPU.

    sigma: standard deviation of the noise in 8-bit grey levels, which its row calls `oracle_sigma`;
        None estimates it from each image (`estimated_std`).
    """

    least_side: int = 1
    """Images with a shorter side are extended by mirroring, and cut back."""

    def __init__(self, sigma: NonNegative | None = None) -> None:
        super().__init__()
        if sigma is not None and sigma < 0:
            raise ValueError(f"method.sigma is a standard deviation in grey levels, or null to estimate it; not {sigma}")
        self.sigma = sigma

    @property
    def tags(self) -> tuple[str, ...]:
        return () if self.sigma is None else ("oracle_sigma",)

    @abstractmethod
    def filtered(self, image: np.ndarray, std: float) -> np.ndarray:
        """One image (H, W, C) float32 with noise of `std` > 0, in [0, 1] -> the same shape."""

    def denoise(self, noisy: Tensor) -> Tensor:
        images = noisy.detach().cpu().numpy().transpose(0, 2, 3, 1)
        denoised = np.stack([self._denoise_one(image) for image in images])
        return torch.from_numpy(denoised.transpose(0, 3, 1, 2)).to(noisy)

    def _denoise_one(self, image: np.ndarray) -> np.ndarray:
        std = estimated_std(image) if self.sigma is None else self.sigma / 255
        if std == 0:
            return image.copy()
        height, width, channels = image.shape
        missing = [(0, max(0, self.least_side - side)) for side in (height, width)]
        extended = np.pad(image, [*missing, (0, 0)], mode="symmetric")
        filtered = self.filtered(extended, std).reshape(*extended.shape[:2], channels)  # some lose a single channel's axis
        return filtered[:height, :width]
