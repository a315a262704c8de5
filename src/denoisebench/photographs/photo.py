"""A photograph: its pixels as they are stored, and what its file is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WHITES = {"uint8": 255, "uint16": 65535}
ROWS_AT_ONCE = 256


class PhotoError(ValueError):
    """A file that cannot be denoised; its text says why, and the way out."""


@dataclass(frozen=True)
class Photo:
    """pixels: (H, W, C) without alpha, C of 1 or 3, uint8, uint16 or float, as stored: not turned, whatever the orientation.

    alpha: (H, W), or None. kind: of file, for people. encoded: denoised pixels -> the bytes of a file with everything else
    as it was; of a slice, its samples. notes: what a user must know of the choice of pixels, e.g. which page is taken.
    white: the value that is 1 for a method. place: of a slice in its stack, as `t03_z7`.
    """

    path: Path
    kind: str
    pixels: np.ndarray
    alpha: np.ndarray | None
    encoded: Callable[[np.ndarray], bytes]
    notes: tuple[str, ...] = ()
    white_level: float | None = None
    place: str = ""

    @property
    def channels(self) -> int:
        return self.pixels.shape[2]

    @property
    def white(self) -> float:
        given = None if self.pixels.dtype == np.uint8 else self.white_level  # files of 8 bits do not need it
        return given or WHITES.get(self.pixels.dtype.name, 1.0)

    @property
    def unit(self) -> np.ndarray:
        """(H, W, C) float32, as methods take it."""
        result = np.empty(self.pixels.shape, np.float32)
        for start in range(0, len(result), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            result[rows] = self.pixels[rows] / np.float64(self.white)
        return result

    def stored(self, unit: np.ndarray) -> np.ndarray:
        """Denoised values in the type of the file: integers rounded half up and clipped, floats as they are."""
        result = np.empty(self.pixels.shape, self.pixels.dtype)
        for start in range(0, len(unit), ROWS_AT_ONCE):  # in float64, a large photograph would take gigabytes
            rows = slice(start, start + ROWS_AT_ONCE)
            values = unit[rows].astype(np.float64) * self.white
            if result.dtype.kind != "f":
                limits = np.iinfo(result.dtype)
                values = np.clip(np.floor(values + 0.5), limits.min, limits.max)
            result[rows] = values
        return result


def split_alpha(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(H, W, 1 to 4) -> colours (H, W, 1 or 3) and alpha."""
    if samples.shape[2] in (2, 4):
        return np.ascontiguousarray(samples[..., :-1]), np.ascontiguousarray(samples[..., -1])
    return samples, None


def with_alpha(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    return pixels if alpha is None else np.concatenate([pixels, alpha[..., None].astype(pixels.dtype)], axis=2)
