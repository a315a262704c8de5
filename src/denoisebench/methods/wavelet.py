"""Wavelet shrinkage."""

from typing import Literal

import numpy as np
import pywt
from skimage.restoration import denoise_wavelet

from denoisebench.classical import ClassicalDenoiser
from denoisebench.ranges import NonNegative


class Wavelet(ClassicalDenoiser):
    """Shrinkage of wavelet coefficients by scikit-image, a threshold for each sub-band.

    Chang, Yu, Vetterli: Adaptive wavelet thresholding for image denoising and compression (BayesShrink), TIP 2000;
    Donoho, Johnstone: Ideal spatial adaptation by wavelet shrinkage (VisuShrink), Biometrika 1994.

    sigma: standard deviation of the noise in 8-bit grey levels, or None to estimate it from each image.
    shrinkage: how the thresholds are chosen. threshold: `soft` or `hard`. wavelet: a name that PyWavelets knows.
    ycbcr: shrink luma and chroma instead of red, green and blue; means nothing for gray images.

    Source: scikit-image `denoise_wavelet`. Deviations: None estimates one level for all channels, the library's own
    estimate is one for each channel (of YCbCr, where it shrinks that).
    """

    family = "sparseness"

    def __init__(
        self,
        sigma: NonNegative | None = None,
        shrinkage: Literal["BayesShrink", "VisuShrink"] = "BayesShrink",
        threshold: Literal["soft", "hard"] = "soft",
        wavelet: str = "db1",
        ycbcr: bool = True,
    ) -> None:
        super().__init__(sigma)
        if wavelet not in pywt.wavelist(kind="discrete"):  # pyright: ignore[reportAttributeAccessIssue]
            raise ValueError(f"method.wavelet is a discrete wavelet of PyWavelets, as db1 or sym4; not {wavelet!r}")
        self.shrinkage: Literal["BayesShrink", "VisuShrink"] = shrinkage
        self.threshold: Literal["soft", "hard"] = threshold
        self.wavelet = wavelet
        self.ycbcr = ycbcr
        length = pywt.Wavelet(wavelet).dec_len  # pyright: ignore[reportAttributeAccessIssue]
        self.least_side = 2 * (length - 1)  # below it, not even one level is free of the border

    def filtered(self, image: np.ndarray, std: float) -> np.ndarray:
        return denoise_wavelet(
            image, sigma=std, wavelet=self.wavelet, mode=self.threshold, method=self.shrinkage,
            convert2ycbcr=self.ycbcr and image.shape[-1] == 3, rescale_sigma=True, channel_axis=-1,
        )  # fmt: skip
