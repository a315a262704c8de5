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
OF_ONE_IMAGE = ("finished", "phase", "_learn", "_steps", "learn", "denoise", "_denoise_one", "test_step")
"""What a method has of its own that belongs to one image: stages, an end, or another way to learn or to denoise."""


def can_learn_from_slices(cls: type) -> bool:
    """Whether a method learns from one image by steps that are all alike: it has no stages, no end that the image decides, and
    learns and denoises as `ImageDenoiser` does, which is what `StackLearner` takes the place of."""
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
    the method builds from them: as many as fit, evenly spaced by the size of the first.
    """

    def __init__(self, method: ImageDenoiser, slices: Slices) -> None:
        self._method, self._slices = method, slices
        self._weights: Mapping[str, Tensor] | None = None
        self._shared: Mapping[str, Tensor] | None = None

    def __call__(self, noisy: Tensor) -> Tensor:
        """(1, C, H, W) -> the same shape. Afterwards the method is as after an image of its own, `chosen` included.

        Raises: ValueError for a method that keeps an image from step to step, or where all slices share it.
        """
        with torch.inference_mode(False):
            image = noisy.clone()
            if self._weights is None:
                with isolated_rng(self._slices.seed), torch.enable_grad():
                    self._weights = self._learned()
            self._reset(self._method, image)
            self._method.load_state_dict(self._weights)
            self._method.eval()
            with torch.no_grad():
                return self._method.predict(image)

    def _learned(self) -> Mapping[str, Tensor]:
        held = self._held()
        for one in (self._method, *(view for view, _ in held)):
            one.train()
        turns = _turns(len(held))

        def loss(progress: float) -> Tensor:
            view, image = held[next(turns)]
            before = _tensors(view)
            found = view.loss(image, progress)
            if kept := [name for name, state in _tensors(view).items() if before.get(name) != state]:
                raise ValueError(
                    f"{type(view).__name__} keeps {', '.join(kept)} of one image from step to step, so it cannot learn from all "
                    "slices of a stack: let it learn from each alone, or choose settings with which it keeps nothing"
                )
            return found

        self._method.learn(Steps(self._method.configure_optimizers(), loss))
        return {name: value.detach().clone() for name, value in self._method.state_dict().items()}

    def _held(self) -> list[tuple[ImageDenoiser, Tensor]]:
        """The slices that are learned from, each with the method as it is set up for it; none that would not fit."""
        found = [self._slice(0)]
        count, room = self._slices.count, self._slices.held - _held_bytes(*found[0])
        fitting = 1 + max(0, room // _held_bytes(*found[0]))
        for number in np.linspace(0, count - 1, min(count, fitting)).round().astype(int)[1:]:
            one = self._slice(int(number))
            room -= _held_bytes(*one)  # some methods build more from one image than from another
            if room < 0:
                break
            found.append(one)
        return found

    def _slice(self, number: int) -> tuple[ImageDenoiser, Tensor]:
        image = self._slices.read(number).to(self._method.device)
        return self._view(image), image

    def _view(self, image: Tensor) -> ImageDenoiser:
        """The method with what it builds from an image for itself, and with the parameters of all; they are drawn anew."""
        view = copy.copy(self._method)
        self._reset(view, image)
        return view

    def _reset(self, method: ImageDenoiser, image: Tensor) -> None:
        """Raises: ValueError for a method that builds something from this image where that of the first one was."""
        before = _shared(method)
        method.reset(image)
        after = _shared(method)
        first = self._shared = self._shared or after
        if kept := [
            name for name, now in after.items() if not _equal(now, before.get(name)) and not _equal(now, first.get(name))
        ]:
            raise ValueError(
                f"{type(method).__name__} keeps {', '.join(kept)} of an image in a buffer or a part of its network, where all "
                "slices of a stack would share it: let it learn from each alone, or keep it in a plain attribute of the method"
            )


def _tensors(view: ImageDenoiser) -> dict[str, tuple[int, int]]:
    """Those that it has built from an image: which tensor, and how often it was changed in place."""
    own = {**vars(view), **dict(view.named_buffers(recurse=False))}
    return {name: (id(value), value._version) for name, value in own.items() if isinstance(value, Tensor)}


def _shared(method: ImageDenoiser) -> dict[str, Tensor]:
    """Copies of what a method's views share beside its parameters: its buffers, and the tensors that its parts keep."""
    found = dict(method.named_buffers())
    for place, part in method.named_modules():
        if place:
            found |= {f"{place}.{name}": value for name, value in vars(part).items() if isinstance(value, Tensor)}
    return {name: value.detach().clone() for name, value in found.items()}


def _equal(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.dtype == other.dtype and torch.equal(one, other)


def _held_bytes(view: ImageDenoiser, image: Tensor) -> int:
    own = [value for value in vars(view).values() if isinstance(value, Tensor)]
    return sum(value.numel() * value.element_size() for value in (image, *own))


def _turns(count: int) -> Iterator[int]:
    """Passes over numbers below `count`, each pass in an order of its own; drawn on the CPU."""
    while True:
        yield from torch.randperm(count).tolist()
