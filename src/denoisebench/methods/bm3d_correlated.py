"""BM3D for correlated noise, as it is diagnosed in each image."""

import importlib
from types import ModuleType
from typing import Any, Literal

import numpy as np

from denoisebench.correlated import CorrelatedDenoiser, Powers
from denoisebench.ranges import Positive

CONSTANT = 1e-6  # what a plane without noise, the chroma of gray images stored as RGB, varies by: the package divides by it


class BM3DCorrelated(CorrelatedDenoiser):
    """BM3D for correlated noise: told the level, spectrum and colour correlation that are diagnosed in each image.

    Mäkinen, Azzari, Foi: Collaborative filtering of correlated noise: exact transform-domain variance for improved shrinkage
    and patch matching, TIP 2020.

    Licence: the package `bm3d` of Tampere University may be used for non-profit, non-commercial purposes only. It is
    an extra, not installed by default, and no part of denoisebench: `pip install 'denoisebench[bm3d]'`.

    profile: `np`, the normal one, or `lc`, low complexity: faster and a little worse.
    strength: multiplies the standard deviation that is filtered for.

    Source: the authors' package `bm3d`; the noise is that of `denoisebench diagnose`, measured on the flattest areas of the
    image, so that no clean image takes part. One level stands for all intensities. Deviations: opponent colours get the spectrum
    of their mixture, with the correlation between colours, which the package takes for none. Where no pixels are correlated by
    0.4 or more, noise is taken for white. In images without flat areas, fine texture is taken for noise.
    """

    family = "similar patches"

    def __init__(self, profile: Literal["np", "lc"] = "np", strength: Positive = 1.0) -> None:
        super().__init__(strength)
        self._library()
        self.profile = profile

    @staticmethod
    def _library() -> ModuleType:
        try:
            library, inner = importlib.import_module("bm3d"), importlib.import_module("bm4d")
        except ImportError as error:
            needs = "method=bm3d_correlated needs the package bm3d, free for non-commercial use only"
            raise ImportError(f"{needs}: pip install 'denoisebench[bm3d]'") from error
        if not hasattr(np, "trapz"):
            vars(inner)["np"] = _NumPy("numpy")
        return library

    def filtered_planes(self, planes: np.ndarray, powers: Powers) -> np.ndarray:
        varying = np.ptp(planes, axis=(1, 2)) > CONSTANT
        if varying.any():
            planes[varying] = self._told(planes[varying], powers(planes.shape[1:])[varying])
        return planes

    def _told(self, planes: np.ndarray, powers: np.ndarray) -> np.ndarray:
        """Planes (K, H, W), matched in the first; powers: of their noise, the mean of each its variance."""
        library = self._library()
        profile: Any = {"np": library.BM3DProfile, "lc": library.BM3DProfileLC}[self.profile]()
        profile.num_threads = 1  # with more, sums in another order give other results each time
        low, high = (extreme(axis=(1, 2), keepdims=True) for extreme in (planes.min, planes.max))
        unit = (planes - low) / (high - low)
        psd = powers / (high - low) ** 2 * planes[0].size
        filtered = np.asarray(library.bm3d(unit.transpose(1, 2, 0), psd.transpose(1, 2, 0), profile))
        return filtered.reshape(*planes.shape[1:], len(planes)).transpose(2, 0, 1) * (high - low) + low


class _NumPy(ModuleType):
    """NumPy, in which bm4d 4.2.5 still finds `trapz`: NumPy 2.4 took it out, and bm4d calls it for noise that is not white."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, "trapezoid" if name == "trapz" else name)
