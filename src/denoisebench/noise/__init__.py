"""The noise models. Each is a pure function of clean images and a generator; its name says its parameters."""

from denoisebench.noise.camera import Camera
from denoisebench.noise.model import NoiseModel
from denoisebench.noise.pixelwise import Gaussian, Poisson, PoissonGaussian, SaltAndPepper, Speckle
from denoisebench.noise.real import Real, Stored

__all__ = ["Camera", "Gaussian", "NoiseModel", "Poisson", "PoissonGaussian", "Real", "SaltAndPepper", "Speckle", "Stored"]
