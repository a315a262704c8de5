"""BM3D, block matching and 3-D filtering."""

import importlib
from types import ModuleType
from typing import Literal

import numpy as np

from denoisebench.classical import ClassicalDenoiser
from denoisebench.ranges import NonNegative


class BM3D(ClassicalDenoiser):
    """BM3D and, on colour, CBM3D: blocks matched in luminance, filtered in an opponent colour space.

    Dabov, Foi, Katkovnik, Egiazarian: Image denoising by sparse 3-D transform-domain collaborative filtering, TIP 2007;
    as revised in Mäkinen, Azzari, Foi: Collaborative filtering of correlated noise, TIP 2020.

    Licence: the package `bm3d` of Tampere University may be used for non-profit, non-commercial purposes only. It is
    an extra, not installed by default, and no part of denoisebench: `pip install 'denoisebench[bm3d]'`.

    sigma: standard deviation of the noise in 8-bit grey levels, or None to estimate it from each image.
    profile: `np`, the normal one, or `lc`, low complexity: faster and a little worse.

    Source: the authors' package `bm3d`. Deviations: images with a side below 16 pixels are extended by mirroring (the
    library crashes on 8 x 8); images whose chroma is exactly constant, as gray ones stored as RGB, are filtered channel
    by channel (the library divides by zero).
    """

    family = "similar patches"
    least_side = 16

    def __init__(self, sigma: NonNegative | None = None, profile: Literal["np", "lc"] = "np") -> None:
        super().__init__(sigma)
        self._library()
        self.profile = profile

    @staticmethod
    def _library() -> ModuleType:
        try:
            return importlib.import_module("bm3d")
        except ImportError as error:
            raise ImportError(
                "method=bm3d needs the package bm3d, free for non-commercial use only: pip install 'denoisebench[bm3d]'"
            ) from error

    def filtered(self, image: np.ndarray, std: float) -> np.ndarray:
        library = self._library()
        profile = {"np": library.BM3DProfile, "lc": library.BM3DProfileLC}[self.profile]()
        profile.num_threads = 1  # with more, sums in another order give other results each time
        image = image.astype(np.float64)
        if image.shape[-1] == 3 and _has_chroma(image):
            return library.bm3d_rgb(image, std, profile)
        channels = [np.asarray(library.bm3d(channel, std, profile)) for channel in np.moveaxis(image, -1, 0)]
        return np.stack([channel.reshape(image.shape[:2]) for channel in channels], axis=-1)


def _has_chroma(image: np.ndarray) -> bool:
    """Whether both opponent colours vary, which the library divides by."""
    red, green, blue = np.moveaxis(image, -1, 0)
    return bool(np.ptp(red - blue) > 1e-6 and np.ptp(red - 2 * green + blue) > 1e-6)
