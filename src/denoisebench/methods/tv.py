"""Total variation."""

import numpy as np
from skimage.restoration import denoise_tv_chambolle

from denoisebench.classical import ClassicalDenoiser
from denoisebench.ranges import Count, NonNegative, Positive


class TV(ClassicalDenoiser):
    """Total-variation denoising by Chambolle's projections, colours together.

    Rudin, Osher, Fatemi: Nonlinear total variation based noise removal algorithms, Physica D 1992; Chambolle: An
    algorithm for total variation minimization and applications, JMIV 2004.

    sigma: standard deviation of the noise in 8-bit grey levels, or None to estimate it from each image.
    strength: `weight` of the library as a multiple of the standard deviation; the larger, the smoother. 0.7 was best on
        ten training crops of BSDS500 over sigma 15, 25 and 50.
    tolerance, max_iterations: when it stops: relative change of the cost, and how many iterations at most.

    Source: scikit-image `denoise_tv_chambolle`. Deviations: none.
    """

    family = "smoothness"

    def __init__(
        self, sigma: NonNegative | None = None, strength: Positive = 0.7, tolerance: Positive = 2e-4, max_iterations: Count = 200
    ) -> None:
        super().__init__(sigma)
        self.strength = strength
        self.tolerance = tolerance
        self.max_iterations = max_iterations

    def filtered(self, image: np.ndarray, std: float) -> np.ndarray:
        return denoise_tv_chambolle(
            image, weight=self.strength * std, eps=self.tolerance, max_num_iter=self.max_iterations, channel_axis=-1
        )
