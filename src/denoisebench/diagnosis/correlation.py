"""Whether the noise of a pixel tells of that of its neighbours, and of the other colours."""

from dataclasses import dataclass

import numpy as np

from denoisebench.diagnosis.flat import Flat

REACH = 5
CORRELATED = 0.2


@dataclass(frozen=True)
class Correlation:
    """lags: (C, 2 REACH + 1, 2 REACH + 1) autocorrelation of each channel, at (down, right), its centre 1; what reaches over
    REACH pixels counts as structure of the image. colours: (C, C) correlation between channels at one pixel. structure: the
    size of what reaches so far: above 0 as it is, below 0 once a plane was taken from each block."""

    lags: np.ndarray
    colours: np.ndarray
    structure: float

    @property
    def neighbours(self) -> float:
        """The largest correlation, in absolute value, with one of the four nearest pixels, in any channel."""
        near = self.lags[:, REACH, REACH + 1], self.lags[:, REACH + 1, REACH]
        return float(np.abs(near).max())

    @property
    def largest(self) -> float:
        """The largest with any other pixel."""
        others = np.abs(self.lags)
        others[:, REACH, REACH] = 0
        return float(others.max())

    @property
    def independent(self) -> bool:
        """Whether pixels are, within what can be told."""
        return self.largest < CORRELATED

    @property
    def radius(self) -> int:
        """The largest distance in pixels, along rows or columns, at which noise is correlated: 0 for independent pixels."""
        above = np.argwhere((np.abs(self.lags) >= CORRELATED).any(0)) - REACH
        return int(np.abs(above).max()) if len(above) else 0

    @property
    def between_colours(self) -> float:
        off = self.colours[~np.eye(len(self.colours), dtype=bool)]
        return float(np.abs(off).max()) if len(off) else 0.0


def correlation_of(flat: Flat) -> Correlation:
    """From flat blocks, each scaled to unit variance, so that bright areas do not outweigh dark ones."""
    scale = np.sqrt(np.maximum(flat.variances, 1e-20))
    unit = flat.residuals / scale[..., None, None]
    lags = mean_products(unit, REACH)
    lags /= np.maximum(lags[:, REACH : REACH + 1, REACH : REACH + 1], 1e-12)
    colours = np.einsum("bchw,bdhw->cd", unit, unit)
    diagonal = np.sqrt(np.diag(colours))
    far = _far(lags)
    return Correlation(
        _corrected(lags, far), colours / np.maximum(np.outer(diagonal, diagonal), 1e-20), float(np.abs(far).mean())
    )


def mean_products(values: np.ndarray, reach: int) -> np.ndarray:
    """(N, C, H, W) -> (C, 2 reach + 1, 2 reach + 1): of each value and the one so far (down, right) of it, from -reach on."""
    height, width = values.shape[-2:]
    result = np.empty((values.shape[1], 2 * reach + 1, 2 * reach + 1))
    for down in range(reach + 1):
        for right in range(-reach, reach + 1):
            left, end = max(0, -right), width - max(0, right)
            first, other = values[..., : height - down, left:end], values[..., down:, left + right : end + right]
            mean = np.einsum("nchw,nchw->c", first, other) / (len(values) * first[0, 0].size)
            result[:, reach + down, reach + right] = result[:, reach - down, reach - right] = mean
    return result


def _far(lags: np.ndarray) -> np.ndarray:
    """The median correlation at the border, of each channel."""
    border = np.ones(lags.shape[1:], bool)
    border[1:-1, 1:-1] = False
    return np.median(lags[:, border], axis=1)


def _corrected(lags: np.ndarray, far: np.ndarray) -> np.ndarray:
    """What remains at the border is structure of the image, which reaches far; a plane taken from a block leaves it below 0."""
    result = (lags - far[:, None, None]) / np.maximum(1 - far, 0.05)[:, None, None]
    result[:, REACH, REACH] = 1
    return np.clip(result, -1, 1)
