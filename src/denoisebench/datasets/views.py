"""Noisy test views of images, and training steps cut from them: both functions of seeds and names alone."""

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from threading import Lock, Thread
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from denoisebench.batch import Batch, packed
from denoisebench.datasets.fitting import no_target
from denoisebench.datasets.images import ImageSet
from denoisebench.datasets.reading import to_unit
from denoisebench.datasets.training import Training
from denoisebench.noise import NoiseModel
from denoisebench.seeding import seed_from

CACHE_BYTES = 4 * 2**30
READERS = min(4, os.cpu_count() or 1)  # decoding leaves Python's lock to the others
AHEAD = 2 * READERS
SECOND_VIEW = -1  # the repeat of a fixed target: no test view has it


def _planes(image: np.ndarray, dtype: type[np.floating]) -> np.ndarray:
    """(H, W, C) in its stored type -> (C, H, W) in [0, 1]."""
    return np.ascontiguousarray(to_unit(image).transpose(2, 0, 1), dtype)


def _whole(image: np.ndarray) -> Tensor:
    """(H, W, C) in its stored type -> (1, C, H, W) float64 in [0, 1]."""
    return torch.from_numpy(_planes(image, np.float64))[None]


def fixed_view(images: ImageSet, noise: NoiseModel, index: int, seed: int, repeat: int) -> tuple[Tensor, Tensor | None]:
    """One noisy view of one image, and the clean image or None: (1, C, H, W) float32.

    The noise is drawn on the CPU in float64, seeded by (seed, data set, image, repeat) alone: every method, batch
    order, worker and machine meets the same pixels.
    """
    clean = _whole(images.clean(index)) if images.has_clean else None
    if images.has_noisy:
        noisy = torch.from_numpy(_planes(images.noisy(index), np.float32))[None]
    else:
        assert clean is not None
        noisy = noise(clean, generator_of(images, index, seed, repeat)).float()
    return noisy, None if clean is None else clean.float()


def generator_of(images: ImageSet, index: int, seed: int, repeat: int) -> Generator:
    """What the noise of one view of one image is drawn by."""
    return Generator().manual_seed(seed_from(seed, "noise", images.name, images.names[index], repeat))


class NoisyViews(Dataset[Batch]):
    """One noisy view of one image at a time, `repeats` views of each image, repeats outside.

    `read_ahead` reads the one after that which was asked for last in a thread, while what was made of that one is scored.
    """

    def __init__(self, images: ImageSet, noise: NoiseModel, seed: int, repeats: int, skip: Collection[tuple[str, int]]) -> None:
        self.images, self.noise, self.seed = images, noise, seed
        every = [(index, repeat) for repeat in range(repeats) for index in range(len(images.names))]
        self.views = [view for view in every if (images.names[view[0]], view[1]) not in skip]
        self._last, self._ahead = len(self.views), dict[int, Future[Batch]]()

    def __len__(self) -> int:
        return len(self.views)

    def read_ahead(self) -> None:
        following = self._last + 1
        if following < len(self.views):
            self._ahead = {following: _in_a_thread(lambda: self._read(following))}

    def __getitem__(self, item: int) -> Batch:
        self._last, ahead = item, self._ahead.pop(item, None)
        return self._read(item) if ahead is None else ahead.result()

    def given(self, item: int) -> Batch:
        """A view as a method is given it, with its clean image in the same layout."""
        return packed(self[item]) if self.images.packed else self[item]

    def _read(self, item: int) -> Batch:
        index, repeat = self.views[item]
        name = self.images.names[index]
        noisy, clean = fixed_view(self.images, self.noise, index, self.seed, repeat)
        if clean is not None and clean.shape != noisy.shape:
            raise ValueError(f"{self.images.name}, {name}: noisy {tuple(noisy.shape)}, clean {tuple(clean.shape)}")
        seed = seed_from(self.seed, "denoise", self.images.name, name, repeat)
        return Batch(noisy, clean, None, (name,), repeat, seed)


def _in_a_thread(act: Callable[[], Batch]) -> Future[Batch]:
    """One that ends with it: nothing is left to shut down."""
    future: Future[Batch] = Future()

    def run() -> None:
        try:
            future.set_result(act())
        except Exception as error:  # noqa: BLE001 (raised where the result is asked for)
            future.set_exception(error)

    Thread(target=run, name="next image", daemon=True).start()
    return future


class Patches(NamedTuple):
    """What the loader hands to the device: patches without their noise, if the noise is fresh."""

    clean: Tensor | None
    noisy: Tensor | None
    step: int
    second: Tensor | None = None


class TrainSteps(IterableDataset[Patches]):
    """An endless stream of training steps from `start`, each a function of (seed, step) alone.

    Images come in passes, each once in a pass, in an order of its own; patches are cut uniformly. The stored
    images are kept in memory up to 4 GiB, the others read each time. Threads read up to `AHEAD` steps before they are
    asked for; whichever of them is done first, steps come in their order and are the same.

    need_clean: also clean patches where the noise is fixed. need_second: also patches of a second fixed noisy view.
    """

    def __init__(
        self, images: ImageSet, noise: NoiseModel, training: Training, seed: int, start: int, need_clean: bool,
        need_second: bool = False,
    ) -> None:  # fmt: skip
        if need_second and (reason := no_target(images, "noisy")):
            raise ValueError(reason)
        self.images, self.noise, self.training = images, noise, training
        self.seed, self.start, self.need_clean, self.need_second = seed, start, need_clean, need_second
        self.fixed = images.has_noisy or training.noise == "fixed"
        self._cache: dict[int, list[np.ndarray]] = {}
        self._cached_bytes = 0
        self._caching = Lock()
        self._order: tuple[int, np.ndarray] | None = None

    def __iter__(self) -> Iterator[Patches]:
        if (worker := get_worker_info()) is not None and worker.num_workers > 1:
            raise RuntimeError(f"{worker.num_workers} loader workers would each give every training step: use one, or none")
        readers = ThreadPoolExecutor(READERS, "training patches")
        try:
            ahead = deque(readers.submit(self.step, self.start + i) for i in range(AHEAD))
            for step in count(self.start + AHEAD):
                ready = ahead.popleft()
                ahead.append(readers.submit(self.step, step))
                yield ready.result()
        finally:
            readers.shutdown(wait=False, cancel_futures=True)

    def step(self, step: int) -> Patches:
        """The patches of one step; (N, C, patch, patch) float32 each."""
        rng = np.random.default_rng(seed_from(self.seed, "patches", step))
        first = step * self.training.batch
        patches = [self._patch(self._image_of(first + i), rng) for i in range(self.training.batch)]
        clean, noisy, second = (_joined(views) for views in zip(*patches, strict=True))
        return Patches(clean, noisy, step, second)

    def _image_of(self, draw: int) -> int:
        cycle, position = divmod(draw, len(self.images.names))
        order = self._order
        if order is None or order[0] != cycle:
            rng = np.random.default_rng(seed_from(self.seed, "order", cycle))
            self._order = order = cycle, rng.permutation(len(self.images.names))
        return int(order[1][position])

    def _patch(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
        """A patch of the clean image, of its noisy view and of its second noisy view, each or None."""
        views, size = self._views(index), self.training.patch
        height, width = views[0].shape[:2]
        if min(height, width) < size:
            raise ValueError(
                f"{self.images.name}, {self.images.names[index]}: {height} x {width} is smaller than "
                f"training.patch={size}: lower it, or take the image out of the training set"
            )
        grid = 2 if self.images.packed else 1  # a Bayer cell stays whole
        top, left = (grid * rng.integers((length - size) // grid + 1) for length in (height, width))
        cut = [_planes(view[top : top + size, left : left + size], np.float32) for view in views]
        if not self.fixed:
            return cut[0], None, None
        return (cut[1] if self.need_clean else None), cut[0], (cut[-1] if self.need_second else None)

    def _views(self, index: int) -> list[np.ndarray]:
        """Stored images (H, W, C): [clean], or where the noise is fixed [noisy], then clean and second view if needed."""
        if index in self._cache:
            return self._cache[index]
        views = self._read(index)
        size = sum(view.nbytes for view in views)
        with self._caching:
            if index not in self._cache and self._cached_bytes + size <= CACHE_BYTES:
                self._cached_bytes += size
                self._cache[index] = views
        return views

    def _read(self, index: int) -> list[np.ndarray]:
        if not self.fixed:
            return [self.images.clean(index)]
        noisy = self.images.noisy(index) if self.images.has_noisy else self._fixed(index, 0)
        clean = [self.images.clean(index)] if self.need_clean else []
        return [noisy, *clean, *([self._second(index)] if self.need_second else [])]

    def _second(self, index: int) -> np.ndarray:
        return self.images.second(index) if self.images.has_second else self._fixed(index, SECOND_VIEW)

    def _fixed(self, index: int, repeat: int) -> np.ndarray:
        return fixed_view(self.images, self.noise, index, self.seed, repeat)[0][0].permute(1, 2, 0).numpy()


def _joined(views: Sequence[np.ndarray | None]) -> Tensor | None:
    # By NumPy: PyTorch's threads, started from several of ours, would be more than there are cores.
    return None if views[0] is None else torch.from_numpy(np.stack([view for view in views if view is not None]))
