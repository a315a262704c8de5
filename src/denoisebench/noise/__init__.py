"""The noise models. Each is a pure function of clean images and a generator; its name says its parameters."""

from denoisebench.noise.camera import Camera
from denoisebench.noise.coded import JPEG, Quantised
from denoisebench.noise.correlated import Correlated
from denoisebench.noise.lines import RowColumn, Stripes
from denoisebench.noise.model import NoiseModel
from denoisebench.noise.pixelwise import Gaussian, Poisson, PoissonGaussian, SaltAndPepper, Speckle
from denoisebench.noise.raw import Raw
from denoisebench.noise.real import Real, Stored
from denoisebench.noise.sensor import DeadPixels, FixedPattern
from denoisebench.noise.structured import Placed

__all__ = [
    "JPEG", "Camera", "Correlated", "DeadPixels", "FixedPattern", "Gaussian", "NoiseModel", "Placed", "Poisson",
    "PoissonGaussian", "Quantised", "Raw", "Real", "RowColumn", "SaltAndPepper", "Speckle", "Stored", "Stripes",
]  # fmt: skip
