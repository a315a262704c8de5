"""Non-local means."""

import numpy as np
import torch
from skimage.restoration import denoise_nl_means, estimate_sigma
from torch import Tensor

from denoisebench.denoiser import Denoiser


class NLM(Denoiser):
    """Non-local means of scikit-image, its fast variant.

    Buades, Coll, Morel: A non-local algorithm for image denoising, CVPR 2005; Darbon et al., ISBI 2008.

    sigma: standard deviation of the noise in 8-bit grey levels, which its row calls `oracle_sigma`;
        None estimates it from each image (median of wavelet coefficients, mean over channels).
    strength: filter parameter h as a multiple of the standard deviation.
    patch_size, patch_distance: side of the compared patches, largest distance searched, in pixels.

    Sources: scikit-image `denoise_nl_means` and `estimate_sigma`. Deviations: none. Runs on the CPU.
    """

    def __init__(self, sigma: float | None = None, strength: float = 0.8, patch_size: int = 5, patch_distance: int = 6) -> None:
        super().__init__()
        if sigma is not None and sigma < 0:
            raise ValueError(f"method.sigma is a standard deviation in grey levels, or null to estimate it; not {sigma}")
        self.sigma = sigma
        self.strength = strength
        self.patch_size = patch_size
        self.patch_distance = patch_distance

    @property
    def tags(self) -> tuple[str, ...]:
        return () if self.sigma is None else ("oracle_sigma",)

    def denoise(self, noisy: Tensor) -> Tensor:
        images = noisy.detach().cpu().numpy().transpose(0, 2, 3, 1)
        denoised = np.stack([self._denoise_one(image) for image in images])
        return torch.from_numpy(denoised.transpose(0, 3, 1, 2)).to(noisy)

    def _denoise_one(self, image: np.ndarray) -> np.ndarray:
        std = self._estimated_std(image) if self.sigma is None else self.sigma / 255
        if std == 0:
            return image.copy()
        denoised = denoise_nl_means(
            image, patch_size=self.patch_size, patch_distance=self.patch_distance, h=self.strength * std,
            sigma=std, fast_mode=True, channel_axis=-1,
        )  # fmt: skip
        return denoised.reshape(image.shape)  # it loses a single channel's axis

    @staticmethod
    def _estimated_std(image: np.ndarray) -> float:
        if min(image.shape[:2]) < 2:  # one row of wavelet coefficients says nothing
            return 0.0
        std = float(np.mean(estimate_sigma(image, channel_axis=-1)))
        return std if np.isfinite(std) else 0.0
