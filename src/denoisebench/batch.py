"""What flows from the data to a method and to the evaluator."""

from typing import NamedTuple

from torch import Tensor


class Batch(NamedTuple):
    """Images of one size. Nominal range [0, 1]; noise may exceed it.

    noisy:  (N, C, H, W) float32, what a self-supervised method is given.
    clean:  the same shape, or None where there is none; always None in training.
    target: the same shape, only for supervised methods in training.
    name:   N image names, unique in their data set.
    repeat: which of the independent noisy views of these images this is.
    seed:   seeds whatever `denoise` draws; a function of (run seed, data set, image, repeat).
    """

    noisy: Tensor
    clean: Tensor | None = None
    target: Tensor | None = None
    name: tuple[str, ...] = ()
    repeat: int = 0
    seed: int = 0
