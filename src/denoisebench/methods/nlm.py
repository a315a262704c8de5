"""Non-local means."""

import numpy as np
from skimage.restoration import denoise_nl_means

from denoisebench.classical import ClassicalDenoiser
from denoisebench.ranges import Count, NonNegative, Odd, Positive


class NLM(ClassicalDenoiser):
    """Non-local means of scikit-image, its fast variant.

    Buades, Coll, Morel: A non-local algorithm for image denoising, CVPR 2005; Darbon et al., ISBI 2008.

    sigma: standard deviation of the noise in 8-bit grey levels, or None to estimate it from each image.
    strength: filter parameter h as a multiple of the standard deviation.
    patch_size, patch_distance: side of the compared patches, largest distance searched, in pixels.

    Source: scikit-image `denoise_nl_means`. Deviations: none.
    """

    family = "similar patches"

    def __init__(
        self, sigma: NonNegative | None = None, strength: Positive = 0.8, patch_size: Odd = 5, patch_distance: Count = 6
    ) -> None:
        super().__init__(sigma)
        self.strength = strength
        self.patch_size = patch_size
        self.patch_distance = patch_distance

    def filtered(self, image: np.ndarray, std: float) -> np.ndarray:
        return denoise_nl_means(
            image, patch_size=self.patch_size, patch_distance=self.patch_distance, h=self.strength * std,
            sigma=std, fast_mode=True, channel_axis=-1,
        )  # fmt: skip
