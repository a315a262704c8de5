"""sRGB images taken back to the raw values of a camera.

Brooks, Mildenhall, Xue, Chen, Sharlet, Barron: Unprocessing Images for Learned Raw Denoising, CVPR 2019, arXiv 1811.11127.
Official code: https://github.com/google-research/google-research, unprocessing/unprocess.py.

Deviations: the tone curve is not inverted; the highest values are not darkened apart from where white balance does it; the
result is rounded to 16 bits, so that it is the same on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from denoisebench.datasets.reading import to_unit

GAMMA = 2.2
RGB_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
# XYZ to the colours of the four cameras of DND.
XYZ_TO_CAMERA = np.array([
    [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
    [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
    [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
    [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
])  # fmt: skip
HIGHLIGHT = 0.9


@dataclass(frozen=True)
class Camera:
    """mix: of the four cameras' colour matrices, shares that sum to 1. gain: of all colours; red, blue: white balance."""

    mix: tuple[float, ...]
    gain: float
    red: float
    blue: float

    @classmethod
    def drawn(cls, seed: int) -> Self:
        """A convex mix of the matrices, a gain of 1 / N(0.8, 0.1), red from 1.9 to 2.4 and blue from 1.5 to 1.9."""
        rng = np.random.default_rng(seed)
        mix = rng.uniform(1e-8, 1.0, len(XYZ_TO_CAMERA))
        gain, red, blue = 1 / rng.normal(0.8, 0.1), rng.uniform(1.9, 2.4), rng.uniform(1.5, 1.9)
        return cls(tuple((mix / mix.sum()).tolist()), float(gain), float(red), float(blue))

    @property
    def matrix(self) -> np.ndarray:
        """Linear RGB -> the camera's colours; gray stays gray."""
        matrix = np.tensordot(self.mix, XYZ_TO_CAMERA, 1) @ RGB_TO_XYZ
        return matrix / matrix.sum(axis=1, keepdims=True)

    @property
    def about(self) -> Mapping[str, object]:
        return {"mix": self.mix, "gain": self.gain, "red": self.red, "blue": self.blue}


def unprocessed(image: np.ndarray, camera: Camera) -> np.ndarray:
    """An sRGB image (H, W, 3) in its stored type -> its RGGB plane (H', W', 1) in uint16, H' and W' even."""
    height, width = (length // 2 * 2 for length in image.shape[:2])
    linear = np.maximum(to_unit(image[:height, :width]), 1e-8) ** GAMMA
    colours = _without_white_balance(linear @ camera.matrix.T, camera)
    plane = np.empty((height, width, 1))
    for row, column, colour in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        plane[row::2, column::2, 0] = colours[row::2, column::2, colour]
    return np.floor(np.clip(plane, 0, 1) * 65535 + 0.5).astype(np.uint16)


def _without_white_balance(image: np.ndarray, camera: Camera) -> np.ndarray:
    """Divided by its gains; where the mean of the colours is near 1 they are kept nearer to it, so that white stays white."""
    gains = np.array([1 / camera.red, 1.0, 1 / camera.blue]) / camera.gain
    mask = np.maximum((image.mean(axis=2, keepdims=True) - HIGHLIGHT) / (1 - HIGHLIGHT), 0) ** 2
    return image * np.maximum(mask + (1 - mask) * gains, gains)
