"""`learn=stack`: one network for all slices of a stack, of a method that learns from one image."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from denoisebench.denoiser import ImageDenoiser
from denoisebench.replay import Steps
from denoisebench.seeding import isolated_rng

HELD_BYTES = 2**30
OF_ONE_IMAGE = ("finished", "phase", "_learn")


def can_learn_from_slices(cls: type) -> bool:
    """Whether a method learns from one image by steps that are all alike: it has no stages, and no end that the image decides."""
    return issubclass(cls, ImageDenoiser) and all(getattr(cls, own) is getattr(ImageDenoiser, own) for own in OF_ONE_IMAGE)


@dataclass(frozen=True)
class Slices:
    """The slices of one stack, all of one size. read: number -> the noisy slice (1, C, H, W). seed: of what is drawn. held: bytes
    of those that are held in memory, at most."""

    count: int
    read: Callable[[int], Tensor]
    seed: int
    held: int = HELD_BYTES


class StackLearner:
    """Denoises the slices of one stack, having learned from all of them before the first.

    Each of the method's steps is of one slice; all are seen in turn, each once in a pass. They are held in memory with what
    the method builds from them: as many as fit, evenly spaced.
    """

    def __init__(self, method: ImageDenoiser, slices: Slices) -> None:
        self._method, self._slices = method, slices
        self._weights: Mapping[str, Tensor] | None = None

    def __call__(self, noisy: Tensor) -> Tensor:
        """(1, C, H, W) -> the same shape. Raises: ValueError for a method that keeps an image from step to step."""
        with torch.inference_mode(False):
            image = noisy.clone()
            if self._weights is None:
                with isolated_rng(self._slices.seed), torch.enable_grad():
                    self._weights = self._learned()
            view = self._view(image)
            view.load_state_dict(self._weights)
            view.eval()
            with torch.no_grad():
                return view.predict(image)

    def _learned(self) -> Mapping[str, Tensor]:
        held = self._held()
        self._method.train()
        turns = _turns(len(held))

        def loss(progress: float) -> Tensor:
            view, image = held[next(turns)]
            before = _tensors(view)
            found = view.loss(image, progress)
            if kept := [name for name, state in _tensors(view).items() if before.get(name) != state]:
                raise ValueError(
                    f"learn=stack: {type(view).__name__} keeps {', '.join(kept)} of one image from step to step: use learn=null, "
                    "or settings with which it does not"
                )
            return found

        self._method.learn(Steps(self._method.configure_optimizers(), loss))
        return {name: value.detach().clone() for name, value in self._method.state_dict().items()}

    def _held(self) -> list[tuple[ImageDenoiser, Tensor]]:
        """The slices that are learned from, each with the method as it is set up for it."""
        first = self._slice(0)
        count = self._slices.count
        fitting = max(1, self._slices.held // _held_bytes(*first))
        numbers = np.linspace(0, count - 1, min(count, fitting)).round().astype(int)
        return [first, *(self._slice(int(number)) for number in numbers[1:])]

    def _slice(self, number: int) -> tuple[ImageDenoiser, Tensor]:
        image = self._slices.read(number).to(self._method.device)
        return self._view(image), image

    def _view(self, image: Tensor) -> ImageDenoiser:
        """The method with what it builds from an image for itself, and with the parameters of all; they are drawn anew."""
        view = copy.copy(self._method)
        view.reset(image)
        return view


def _tensors(view: ImageDenoiser) -> dict[str, tuple[int, int]]:
    """Those that it has built from an image: which tensor, and how often it was changed in place."""
    return {name: (id(value), value._version) for name, value in vars(view).items() if isinstance(value, Tensor)}


def _held_bytes(view: ImageDenoiser, image: Tensor) -> int:
    own = [value for value in vars(view).values() if isinstance(value, Tensor)]
    return sum(value.numel() * value.element_size() for value in (image, *own))


def _turns(count: int) -> Iterator[int]:
    """Passes over numbers below `count`, each pass in an order of its own; drawn on the CPU."""
    while True:
        yield from torch.randperm(count).tolist()
