"""A measure: a named function of an output, the clean image and the noisy one, in a unit and a direction.

Measures take images as they are: clipping and rounding belong to a protocol (`denoisebench.scoring.protocol`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor

CPU_VALUES, GPU_VALUES = 2**18, 2**23  # of an image at a time in SSIM, which makes a dozen float64 of each

Score = Callable[["Tensor", "Tensor | None", "Tensor | None"], "Tensor"]
"""Of denoised, clean and noisy images (N, C, H, W), the last two None where a measure does not need them: (N,) float64."""


@dataclass(frozen=True)
class Measure:
    """title, unit, digits: how people read it. needs: of which images it is, beside the denoised one; without one of them
    there is no score. Of the noisy image, scores are made while a cell is tested only: kept is what a picture shows of it.
    least: the smallest side of an image that it can score. absurd: what no denoiser reaches; beyond it, a score is
    remarked upon.
    """

    name: str
    title: str
    unit: str
    digits: int
    higher_is_better: bool
    score: Score
    needs: frozenset[Literal["clean", "noisy"]] = frozenset({"clean"})
    least: int = 1
    absurd: float | None = None

    @property
    def column(self) -> str:
        """Its column in rows: `psnr_db`."""
        return f"{self.name}_{self.unit.lower()}" if self.unit else self.name

    @property
    def heading(self) -> str:
        """`PSNR in dB`."""
        return f"{self.title} in {self.unit}" if self.unit else self.title

    def text(self, value: float) -> str:
        return f"{value:.{self.digits}f}"

    def goodness(self, value: float) -> float:
        """The greater the better, whatever the direction."""
        return value if self.higher_is_better else -value

    def is_absurd(self, value: float) -> bool:
        if self.absurd is None:
            return self.goodness(value) == math.inf
        return self.goodness(value) > self.goodness(self.absurd)


def against_clean(function: Callable[[Tensor, Tensor], Tensor]) -> Score:
    """A function of two images as the score of a measure that needs the clean one."""

    def score(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
        assert clean is not None
        return function(denoised, clean)

    return score


def check(image: Tensor, reference: Tensor) -> None:
    if image.ndim != 4 or image.shape != reference.shape:
        raise ValueError(f"expected two images of one shape (N, C, H, W), got {tuple(image.shape)} and {tuple(reference.shape)}")


def room(image: Tensor) -> int:
    return GPU_VALUES if image.is_cuda else CPU_VALUES


def parts(times: int, image: Tensor, *others: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """So many images of a batch at a time that their float64 stay in a CPU's cache, or take little of a GPU's memory.

    times: so many times as many. others: of the same shape, split likewise; None stays None.
    """
    count = max(1, times * room(image) // max(1, image[:1].numel()))
    split = [repeat(None) if other is None else other.split(count) for other in others]
    return zip(image.split(count), *split, strict=False)
