"""Noise that a data set brings."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Generator, Tensor

from denoisebench.noise.model import Level, NoiseModel


@dataclass(frozen=True, kw_only=True)
class Real(NoiseModel):
    """No noise is added: the data set brings its own noisy images."""

    @property
    def kind(self) -> str:
        return "real"

    def __post_init__(self) -> None:
        if self.clip or self.quantise:
            raise ValueError("noise=real is what the data set brings: clip and quantise do not apply")

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        raise ValueError("noise=real adds nothing: this data set has no noisy images of its own, choose a noise model")


@dataclass(frozen=True, kw_only=True)
class Stored(Real):
    """Noise that a data set stores at this level, already clipped and rounded to 8 bit: not `gaussian` of that sigma.

    level: as its folder says, standard deviation in grey levels before clipping.
    """

    level: int = 25

    @property
    def kind(self) -> str:
        return f"stored{self.level}"

    @property
    def true_level(self) -> Mapping[str, Level]:
        return {"sigma": self.level}
