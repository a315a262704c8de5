"""What flows from the data to a method and to the evaluator."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self, SupportsIndex

from torch import Tensor

from denoisebench.bayer import pack, unpack


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


def packed(batch: Batch) -> Batch:
    """A batch of Bayer planes as methods are given them: four channels at half the size."""
    clean, target = (None if part is None else pack(part) for part in (batch.clean, batch.target))
    return batch._replace(noisy=pack(batch.noisy), clean=clean, target=target)


class Withheld:
    """Whole test batches, while a method is given the noisy images alone, and a copy of them.

    ahead: begins to read the next batch, once the method is done with this one. packs: the whole batches are Bayer planes,
    which a method is given as four channels.
    """

    def __init__(self, ahead: Callable[[], None] = lambda: None, *, packs: bool = False) -> None:
        self._whole: Batch | None = None
        self.ahead, self.packs = ahead, packs

    def keep(self, batch: Batch) -> Batch:
        """The part of a batch that a method is given; the rest is kept here."""
        self._whole = batch
        noisy = pack(batch.noisy) if self.packs else batch.noisy.clone()
        return batch._replace(noisy=noisy, clean=None, target=None)

    def returned(self, outputs: Any) -> Any:
        """What a method made of its part, as the whole batch is: planes again, if they were packed."""
        fits = self.packs and isinstance(outputs, Tensor) and outputs.ndim == 4 and outputs.shape[1] == 4
        return unpack(outputs) if fits else outputs

    def whole(self, given: Batch) -> Batch:
        """The whole batch that `given` belongs to. Raises: RuntimeError if another one was kept last."""
        kept = self._whole
        if kept is None or (kept.name, kept.repeat) != (given.name, given.repeat):
            raise RuntimeError(f"nothing was withheld of {', '.join(given.name)}: its batch came from another data module")
        return kept


class WatchedBatch(Batch):
    """A batch that counts in `reads` how often its `clean` and its `target` are read: by name, by place, or with all."""

    reads: Counter[str]

    @classmethod
    def of(cls, batch: Batch) -> Self:
        watched = cls._make(batch)
        watched.reads = Counter()
        return watched

    def held(self) -> list[str]:
        """Which of the two are there, without reading them."""
        return [name for name in ("clean", "target") if tuple.__getitem__(self, self._fields.index(name)) is not None]

    def __getattribute__(self, name: str) -> Any:
        if name in ("clean", "target"):
            self.reads[name] += 1
        return super().__getattribute__(name)

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        chosen = self._fields[index]
        self.reads.update({"clean", "target"} & {chosen} if isinstance(chosen, str) else {"clean", "target"} & set(chosen))
        return tuple.__getitem__(self, index)

    def __iter__(self) -> Iterator[Any]:
        self.reads.update(("clean", "target"))
        return super().__iter__()
