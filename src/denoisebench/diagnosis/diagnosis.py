"""All that is said of an image."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from denoisebench.diagnosis.correlation import REACH, Correlation, correlation_of
from denoisebench.diagnosis.flat import flat_blocks
from denoisebench.diagnosis.level import Level, level_of
from denoisebench.diagnosis.storing import Storing, storing_of, without_impulses

CLEAN, NEARLY_CLEAN = 2.5, 6.0
TELLING = 4.0  # the level below which structure hides the noise's own correlation
IMPULSES = 0.01
TILE, TILES = 512, 4
MIDDLE = 2048


@dataclass(frozen=True)
class Diagnosis:
    """What an image says of its noise. size: (height, width). channels: 1 or 3."""

    size: tuple[int, int]
    channels: int
    level: Level
    correlation: Correlation
    storing: Storing

    @property
    def verdict(self) -> str:
        """`clean`, `nearly clean` or `noisy`."""
        sigma = self.level.sigma
        if self.storing.impulses > IMPULSES:
            return "noisy"
        return "clean" if sigma < CLEAN else "nearly clean" if sigma < NEARLY_CLEAN else "noisy"

    @property
    def independent(self) -> bool | None:
        """Whether the noise of each pixel is independent of its neighbours'; None where there is too little to tell."""
        if self.level.sigma < TELLING or not (self.level.flat or self.correlation.independent):
            return None
        return self.correlation.independent

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite photons are None."""
        level, storing, correlation = self.level, self.storing, self.correlation
        return {
            "height": self.size[0], "width": self.size[1], "channels": self.channels, "verdict": self.verdict,
            "sigma": level.sigma, "sigma_of_channels": list(level.sigmas), "law": level.law,
            "photons_at_white": level.lam if np.isfinite(level.lam) else None, "read_sigma": level.read,
            "speckle_sigma": level.speckle, "flat_areas_found": level.flat, "curve": [vars(point) for point in level.curve],
            "independent": self.independent, "neighbour_correlation": correlation.neighbours,
            "correlation_radius": correlation.radius, "colour_correlation": correlation.between_colours,
            "autocorrelation": correlation.lags[:, REACH:, REACH:].tolist(),
            "at_black": storing.low, "at_white": storing.high, "bits": storing.bits, "jpeg_blocks": storing.blocks,
            "block_contrast": storing.block_contrast, "gray": storing.gray, "impulses": storing.impulses,
        }  # fmt: skip


def diagnosed(planes: np.ndarray) -> Diagnosis:
    """planes: (C, H, W), nominal range [0, 1]. Raises: ValueError for an image of fewer than 32 pixels in height or width."""
    middle = _middle(planes)
    ends = float((planes <= 0).mean()), float((planes >= 1).mean())
    storing = replace(storing_of(middle.astype(np.float64)), low=ends[0], high=ends[1])
    sample = _sample(planes).astype(np.float64)
    if storing.impulses > IMPULSES:
        sample = without_impulses(sample)
    flat = flat_blocks(sample)
    correlation = correlation_of(flat)
    level = level_of(flat, correlation.structure)
    return Diagnosis((planes.shape[1], planes.shape[2]), len(planes), level, correlation, storing)


def _middle(planes: np.ndarray) -> np.ndarray:
    top, left = (max(0, (size - MIDDLE) // 2) // 8 * 8 for size in planes.shape[1:])
    return planes[:, top : top + MIDDLE, left : left + MIDDLE]


def _sample(planes: np.ndarray) -> np.ndarray:
    """Of a large image, squares evenly over it, put together; blocks across their seams are not flat."""
    height, width = planes.shape[1:]
    if height <= TILE * TILES and width <= TILE * TILES:
        return planes
    rows, columns = (_starts(size) for size in (height, width))
    return np.concatenate([_row(planes, row, columns) for row in rows], axis=1)


def _row(planes: np.ndarray, row: int, columns: list[int]) -> np.ndarray:
    return np.concatenate([planes[:, row : row + TILE, column : column + TILE] for column in columns], axis=2)


def _starts(size: int) -> list[int]:
    if size <= TILE:
        return [0]
    return np.unique(np.linspace(0, size - TILE, min(TILES, -(-size // TILE))).astype(int)).tolist()
