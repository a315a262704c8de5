"""Flat areas of an image, in which what remains after a plane is noise."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

SIDE = 16
STRIDE = 8
BLUR = 1.5
SHARE = 0.15  # of the blocks of similar intensity
LEAST = 6
BINS = 10
BLOCKS_AT_MOST = 60_000


SPREAD = 2.0  # how much more variance an area may have than the tenth with the least: noise has nearly the same everywhere


@dataclass(frozen=True)
class Flat:
    """means: (B, C) of the chosen blocks. residuals: (B, C, SIDE, SIDE), each block less its plane. group: (B,), the number of
    each block's range of intensity. Structure of the image has been left out as far as it could be told."""

    means: np.ndarray
    residuals: np.ndarray
    group: np.ndarray

    @property
    def variances(self) -> np.ndarray:
        """(B, C), unbiased for white noise: a plane takes three degrees of freedom."""
        return np.square(self.residuals).sum((2, 3)) / (SIDE**2 - 3)


def flat_blocks(planes: np.ndarray) -> Flat:
    """The flattest blocks of (C, H, W), at every intensity alike.

    Flatness is judged on a blurred copy, in which white noise is weak and independent of the fine noise that is measured:
    to choose blocks by their own variance would find the level too low. Raises: ValueError for a side below 2 blocks.
    """
    if min(planes.shape[1:]) < 2 * SIDE:
        raise ValueError(f"an image of at least {2 * SIDE} x {2 * SIDE} pixels can be diagnosed, not {_size(planes)}")
    blurred = np.stack([gaussian_filter(plane, BLUR) for plane in planes])
    means, sharp = _less_planes(planes)
    structure = np.square(_less_planes(blurred)[1]).sum((1, 2, 3))
    usable = np.logical_and(means > 0.01, means < 0.99).min(axis=1)
    if usable.sum() < 2 * LEAST:
        usable = np.ones_like(usable)
    chosen, group = _flattest(means.mean(1), structure, usable)
    power = np.square(sharp[chosen]).sum((1, 2, 3))
    alike = np.zeros(len(chosen), bool)
    for number in np.unique(group):
        own = group == number
        alike |= own & (power <= SPREAD * np.quantile(power[own], 0.1) + 1e-12)
    return Flat(means[chosen[alike]], sharp[chosen[alike]], group[alike])


def _size(planes: np.ndarray) -> str:
    return f"{planes.shape[1]} x {planes.shape[2]}"


def _less_planes(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of (C, H, W): means (B, C), and each block less its least-squares plane (B, C, SIDE, SIDE)."""
    channels, height, width = planes.shape
    stride = STRIDE
    while ((height - SIDE) // stride + 1) * ((width - SIDE) // stride + 1) > BLOCKS_AT_MOST:
        stride *= 2
    view = np.lib.stride_tricks.sliding_window_view(planes, (SIDE, SIDE), axis=(1, 2))[:, ::stride, ::stride]
    blocks = np.ascontiguousarray(view.reshape(channels, -1, SIDE, SIDE).swapaxes(0, 1))
    means = blocks.mean((2, 3))
    slope = (np.arange(SIDE, dtype=planes.dtype) - (SIDE - 1) / 2) / np.sqrt(SIDE * (SIDE**3 - SIDE) / 12)
    blocks -= means[..., None, None]
    for axis in (slope[:, None], slope[None, :]):
        blocks -= (blocks * axis).sum((2, 3))[..., None, None] * axis
    return means, blocks


def _flattest(brightness: np.ndarray, structure: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of the least structure in each tenth of the range of brightness: their numbers, and which tenth."""
    low, high = brightness[usable].min(), brightness[usable].max()
    tenth = np.minimum(((brightness - low) / max(high - low, 1e-9) * BINS).astype(int), BINS - 1)
    chosen, group = [], []
    for number in range(BINS):
        own = np.flatnonzero(usable & (tenth == number))
        if len(own) < LEAST:
            continue
        count = max(LEAST, round(SHARE * len(own)))
        best = own[np.argsort(structure[own], kind="stable")[:count]]
        chosen.append(best)
        group.append(np.full(count, number))
    if not chosen:
        best = np.flatnonzero(usable)
        return best, np.zeros(len(best), int)
    return np.concatenate(chosen), np.concatenate(group)
