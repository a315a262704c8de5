"""How long and on what a network trains, and what ends its training."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Training:
    """steps: optimiser steps. patch: side of the training patches in pixels. batch: patches in a step.

    noise: `fresh`, drawn anew each time an image is seen, or `fixed`, drawn once for each image.
    selection: which weights a training ends with: the `last`, or by an `oracle` those of the best PSNR on clean
    validation images.
    """

    steps: int
    patch: int
    batch: int
    noise: Literal["fresh", "fixed"]
    selection: Literal["last", "oracle"] = "last"


@dataclass(frozen=True)
class Holdout:
    """How a training finds its end by a loss of noisy images that it does not see.

    share: of the training photographs that are held out, at least one. every: steps between readings of the loss, each the mean
    over so many `batches`. patience: readings without a lower one after which the training ends. Its weights are those of the
    lowest.
    """

    share: float
    every: int
    batches: int
    patience: int
