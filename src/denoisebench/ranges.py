"""Ranges of parameters, said in their annotations and checked before anything runs: `steps: Count`, `lr: Positive`."""

import math
from dataclasses import dataclass
from typing import Annotated


@dataclass(frozen=True)
class Range:
    """low, high: bounds that belong to it, but for `above` and `below`, which do not. odd: of integers."""

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    odd: bool = False

    def has(self, value: float) -> bool:
        return self.low <= value <= self.high and self.above < value < self.below and (not self.odd or value % 2 == 1)

    def __str__(self) -> str:
        bounds = (("above {:g}", self.above), ("{:g} or more", self.low), ("below {:g}", self.below), ("at most {:g}", self.high))
        return " and ".join(["odd"] * self.odd + [text.format(bound) for text, bound in bounds if math.isfinite(bound)])


Count = Annotated[int, Range(low=1)]
Number = Annotated[int, Range(low=0)]
Odd = Annotated[int, Range(low=1, odd=True)]
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(low=0)]
Fraction = Annotated[float, Range(low=0, high=1)]
Between = Annotated[float, Range(above=0, below=1)]
