"""The mean over flips and turns of an image: a self-ensemble."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

VIEWS = 8


def dihedral_mean(function: "Callable[[Tensor], Tensor]", x: "Tensor") -> "Tensor":
    """The mean of what `function` makes of (N, C, H, W) in four turns, each as it is and flipped, every output turned back.

    It moves with its input: of a turned or flipped image it is the turned or flipped mean, up to the order of the sum, unless
    `function` draws random numbers.
    """
    import torch  # planning reads the number of views, and does without it

    total = torch.zeros_like(x)
    for quarter in range(4):
        turned = x.rot90(quarter, (-2, -1))
        both = _checked(function, turned) + _checked(function, turned.flip(-1)).flip(-1)
        total = total + both.rot90(-quarter, (-2, -1))
    return total / VIEWS


def _checked(function: "Callable[[Tensor], Tensor]", x: "Tensor") -> "Tensor":
    found = function(x.contiguous())
    if found.shape != x.shape:
        raise ValueError(f"denoise returned {tuple(found.shape)}, expected the shape of its input {tuple(x.shape)}")
    return found
