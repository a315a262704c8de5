"""How much of an image a method is given at a time, so that it fits into the memory there is."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from denoisebench import api
from denoisebench.denoiser import ImageDenoiser
from denoisebench.photographs.photo import PhotoError
from denoisebench.scoring.meter import Meter

USED = 0.6  # of what is free
PROBE = {"image": 128, "nothing": 256, "dataset": 256}  # side of what the cost of a pixel is measured on
PROBE_STEPS = 3
SAFETY = 1.3
COPIES = 8  # of the image in float32: read, given, denoised, stored
OVERLAP = 32
LEAST = 96
AROUND = 128  # what a tile sees beyond its borders, as a guess


@dataclass(frozen=True)
class Part:
    """How an image is denoised: tile: side of exact tiles; piece: side of pieces, each on its own; None: the whole at once."""

    tile: int | None = None
    piece: int | None = None

    @property
    def told(self) -> str | None:
        if self.tile:
            return f"in tiles of {self.tile} pixels, equal to the whole image up to rounding"
        if self.piece:
            return (
                f"in pieces of {self.piece} pixels, each denoised on its own and blended over {OVERLAP} pixels: "
                "not exactly what the whole image at once would give (--memory)"
            )
        return None


def free_bytes() -> int:
    """Of the GPU where there is one, else of the machine, and of a container's limit where that is less."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 2**10
    except (OSError, KeyError):
        return 4 * 2**30
    try:
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())  # "max" where there is none
        return min(free, limit - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        return free


class Rooms:
    """Finds how an image is cut. limit: bytes to use at most; None: part of what is free. What a pixel costs is measured once
    for each denoiser."""

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._costs: dict[int, float] = {}

    def part(self, denoiser: api.Denoiser, image: np.ndarray, held: int = 0) -> Part:
        """held: bytes of other images, held meanwhile. Raises: PhotoError for an image that is too large even in parts."""
        height, width, channels = image.shape
        probe = PROBE[denoiser.network.learns]
        if max(height, width) <= probe:
            return Part()
        cost = self._cost(denoiser, image[:probe, :probe])
        whole = height * width
        room = (
            (self.limit or int(USED * free_bytes())) - held - (0 if torch.cuda.is_available() else 4 * COPIES * channels * whole)
        )
        if whole * cost <= room:
            return Part()
        side = int(math.sqrt(max(room, 0) / cost)) // 32 * 32 if room > 0 else 0
        if denoiser.network.tiles and side - AROUND >= LEAST:
            return Part(tile=side - AROUND)
        if side >= LEAST:
            return Part(piece=side)
        needed = (whole * 4 * COPIES * channels + cost * (LEAST + AROUND) ** 2) / 2**30
        raise PhotoError(
            f"it is too large for the memory there is: {height} x {width} needs about {needed:.1f} GiB even in parts; close "
            "other programs, give --memory, or cut it"
        )

    def _cost(self, denoiser: api.Denoiser, corner: np.ndarray) -> float:
        """Bytes for each pixel."""
        if id(denoiser) not in self._costs:
            network = denoiser.network
            steps = getattr(network, "num_steps", None)
            if isinstance(network, ImageDenoiser):
                network.num_steps = min(network.num_steps, PROBE_STEPS)
            try:
                meter = Meter()
                meter.start(torch.empty(0, device="cuda" if torch.cuda.is_available() else "cpu"))
                denoiser(corner)
                mib = meter.stop()[1]
            finally:
                if isinstance(network, ImageDenoiser) and steps is not None:
                    network.num_steps = steps
            self._costs[id(denoiser)] = max(SAFETY * mib * 2**20 / corner[..., 0].size, 4.0 * COPIES)
        return self._costs[id(denoiser)]


def in_pieces(denoiser: api.Denoiser, image: np.ndarray, side: int, seed: int, fraction: Callable[[float], None]) -> np.ndarray:
    """(H, W, C) denoised in pieces of this side, blended where they overlap."""
    height, width = image.shape[:2]
    total, weights = np.zeros_like(image), np.zeros((height, width, 1), np.float32)
    pieces = [(rows, columns) for rows in windows(height, side) for columns in windows(width, side)]
    for number, (rows, columns) in enumerate(pieces):

        def report(step: int, steps: int, number: int = number) -> None:
            fraction(0.99 * (number + step / steps) / len(pieces))

        weight = (ramp(rows, height)[:, None] * ramp(columns, width))[..., None]
        own = np.ascontiguousarray(image[rows, columns])
        total[rows, columns] += weight * denoiser(own, seed=seed, on_step=report)
        weights[rows, columns] += weight
        fraction(0.99 * (number + 1) / len(pieces))
    return total / weights


def windows(size: int, side: int) -> list[slice]:
    """Pieces of `side` along an axis, overlapping by `OVERLAP` at least, the last one ending where the axis does."""
    if size <= side:
        return [slice(0, size)]
    count = -(-(size - OVERLAP) // (side - OVERLAP))
    starts = np.linspace(0, size - side, count).round().astype(int)
    return [slice(int(start), int(start) + side) for start in starts]


def ramp(window: slice, size: int) -> np.ndarray:
    """The weight of a piece along an axis: 1 inside, falling towards the ends that lie within the image."""
    place = np.arange(window.stop - window.start, dtype=np.float32) + 0.5
    weight = np.ones_like(place)
    if window.start > 0:
        weight = np.minimum(weight, place / OVERLAP)
    if window.stop < size:
        weight = np.minimum(weight, place[::-1] / OVERLAP)
    return weight
