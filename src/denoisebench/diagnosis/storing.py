"""What storing did to an image: clipping, quantisation, JPEG blocks, gray saved as colour; and impulses."""

from dataclasses import dataclass

import cv2
import numpy as np

BLOCK = 8  # of JPEG
BLOCKY = 4.0  # standard errors
STANDS_OUT = 1.05
LEVELS_AT_MOST = 65536
FAR = 0.12  # from the median of its neighbours, for an impulse
BEYOND = 7.0  # standard deviations of what else differs from that median


@dataclass(frozen=True)
class Storing:
    """low, high: shares of values at the bottom and top of the range, or beyond. bits: the depth that the values fill, None if
    they are continuous. blocks: whether 8 x 8 blocks show. block_contrast: steps across their borders over steps elsewhere.
    gray: one channel, or three equal ones. impulses: share of values that are black or white by chance."""

    low: float
    high: float
    bits: int | None
    blocks: bool
    block_contrast: float
    gray: bool
    impulses: float


def storing_of(planes: np.ndarray) -> Storing:
    """planes: (C, H, W)."""
    contrast, shows = _blocks(planes)
    gray = len(planes) == 1 or bool((planes == planes[:1]).all())
    return Storing(
        float((planes <= 0).mean()), float((planes >= 1).mean()), bits_of(planes), shows, contrast, gray, impulses_of(planes)
    )


def bits_of(planes: np.ndarray) -> int | None:
    """1 to 16: the least depth whose levels, from 0 to 1, hold every value; None if none does."""
    values = np.unique(planes)
    if len(values) > LEVELS_AT_MOST:
        return None
    for bits in range(1, 17):
        steps = values * (2**bits - 1)
        if np.abs(steps - np.round(steps)).max() < 2e-3 * max(1.0, 2.0 ** (bits - 12)):
            return bits
    return None


def _blocks(planes: np.ndarray) -> tuple[float, bool]:
    """How much larger steps across every eighth border are than elsewhere; whether that stands out in both directions."""
    brightness = planes.mean(0)
    ratios, stands = zip(*(_stripes(turned) for turned in (brightness, brightness.T)), strict=True)
    return float(min(ratios)), all(stands)


def _stripes(image: np.ndarray) -> tuple[float, bool]:
    if image.shape[1] < 6 * BLOCK:
        return 1.0, False
    step = np.abs(np.diff(image, axis=1))
    excess = np.minimum(step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2, 0.1)  # an edge of the image says nothing
    size = float(np.minimum(step, 0.1).mean()) + 1e-9
    columns = excess.mean(0)
    phases = [columns[phase::BLOCK] for phase in range(BLOCK)]
    means = np.array([phase.mean() for phase in phases])
    best = int(means.argmax())
    rest = np.concatenate([phase for number, phase in enumerate(phases) if (number - best) % BLOCK not in (0, 1, BLOCK - 1)])
    gap = means[best] - rest.mean()
    error = float(rest.std() / np.sqrt(len(phases[best])) + 1e-9)
    return 1 + gap / size, bool(gap / error > BLOCKY and 1 + gap / size > STANDS_OUT)


def impulses_of(planes: np.ndarray) -> float:
    """The share of values at the ends of the range that are far from the median of their surroundings."""
    return float(np.mean([_is_impulse(plane).mean() for plane in planes]))


def without_impulses(planes: np.ndarray) -> np.ndarray:
    """Black and white values by chance replaced by the median around them."""
    return np.stack([np.where(_is_impulse(plane), _median(plane), plane) for plane in planes])


def _is_impulse(plane: np.ndarray) -> np.ndarray:
    """The other noise of an image that is clipped reaches its ends too, but is seldom so far from its surroundings."""
    apart = np.abs(plane - _median(plane))
    inner = apart[(plane > 0) & (plane < 1)]
    other = 1.4826 * float(np.median(inner)) if inner.size else 0.0
    return ((plane <= 0) | (plane >= 1)) & (apart > max(FAR, BEYOND * other))


def _median(plane: np.ndarray) -> np.ndarray:
    return cv2.medianBlur(np.ascontiguousarray(plane, np.float32), 5)
