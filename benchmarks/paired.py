"""What is timed against a reference: both give the same first, and then take turns."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from skimage import data
from torch import Tensor

TOLERANCE = 1e-5  # of outputs, losses and weights in float32
EXACT = 1e-9  # of all in float64
ROUNDS = (3, 50)
STD = 25 / 255


class UnequalError(AssertionError):
    """Ours and the reference differ: their times do not compare."""


def picture(batch: int, height: int, width: int, device: str) -> tuple[Tensor, Tensor]:
    """Parts of a photograph, clean and with Gaussian noise of 25 grey levels, both (batch, 3, height, width)."""
    photograph = torch.from_numpy(data.astronaut()).permute(2, 0, 1) / 255
    generator = torch.Generator().manual_seed(0)
    parts = []
    for _ in range(batch):
        top, left = (int(torch.randint(512 - side + 1, (), generator=generator)) for side in (height, width))
        parts.append(photograph[:, top : top + height, left : left + width])
    clean = torch.stack(parts)
    return clean.to(device), (clean + STD * torch.randn(clean.shape, generator=generator)).to(device)


def difference(ours: Tensor, reference: Tensor, what: str, tolerance: float) -> float:
    """The largest difference, by the largest value of the reference. Raises: UnequalError above the tolerance."""
    one, other = ours.detach().double(), reference.detach().double()
    largest = float((one - other).abs().max() / other.abs().max())
    if not largest <= tolerance:
        raise UnequalError(f"{what}: ours differs from the reference by {largest:.2g} of the largest value")
    return largest


@contextmanager
def full_float32() -> Iterator[None]:
    """Without TF32, whose 10 bits would hide a difference."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


Timer = Callable[[], float]
"""Does a unit of work and returns its seconds."""


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def timer(act: Callable[[], object], device: str) -> Timer:
    def run() -> float:
        synchronize(device)
        began = time.perf_counter()
        act()
        synchronize(device)
        return time.perf_counter() - began

    return run


def rounds_of(timers: list[Timer], seconds: float) -> list[list[float]]:
    """Each timer once, one after the other, again and again; before that once without being counted."""
    for run in timers:
        run()
    least, most = ROUNDS
    began, rounds = time.perf_counter(), []
    while len(rounds) < least or (len(rounds) < most and time.perf_counter() - began < seconds):
        rounds.append([run() for run in timers])
    return rounds


@dataclass
class Row:
    """against: what the reference is. Ratios are reference / ours, of each round; of_peak: that of the precision."""

    method: str
    what: str
    size: str
    precision: str
    reference_ms: float
    ours_ms: float
    ratio: float
    quartiles: tuple[float, float]
    ratios: list[float]
    equal: str
    against: str = "release"
    flops_reference: int | None = None
    flops_ours: int | None = None
    of_peak_reference: float | None = None
    of_peak_ours: float | None = None


def row_of(method: str, what: str, size: str, precision: str, reference: list[float], ours: list[float], equal: str) -> Row:
    ratios = [one / other for one, other in zip(reference, ours, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    times = 1000 * statistics.median(reference), 1000 * statistics.median(ours)
    return Row(method, what, size, precision, *times, ratio, (low, high), ratios, equal)
