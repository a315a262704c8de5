"""`learn=stack` in a test: each slice is denoised by the network of its stack."""

import pytorch_lightning as pl

from denoisebench.batch import Batch
from denoisebench.datasets.views import NoisyViews
from denoisebench.denoiser import ImageDenoiser
from denoisebench.job import Job
from denoisebench.seeding import seed_from
from denoisebench.stack_learning import Slices, StackLearner


def one_network_for_slices(job: Job) -> "list[OneNetwork]":
    """What a test needs for it; nothing where it is not asked for."""
    return [OneNetwork(NoisyViews(job.test_set, job.noise, job.seed, job.repeats, ()))] if job.learn else []


class OneNetwork(pl.Callback):
    """Gives the method a new network at each new stack, which learns from the noisy views of one repeat of that stack.

    Which images are left to test, and in which order, changes no result. Images that are no slices are learned from alone.
    """

    def __init__(self, views: NoisyViews) -> None:
        self.views = views
        self._at: tuple[str, int] | None = None
        self._items: dict[tuple[str, int], list[int]] = {}
        self._stacks = views.images.stacks
        for item, (index, repeat) in enumerate(views.views):
            if (stack := self._stacks.get(views.images.names[index])) is not None:
                self._items.setdefault((stack, repeat), []).append(item)

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        assert isinstance(pl_module, ImageDenoiser)
        stack = self._stacks.get(batch.name[0])
        at = None if stack is None else (stack, batch.repeat)
        if at != self._at:
            self._at = at
            pl_module.stack = None if at is None else StackLearner(pl_module, self._slices(*at))

    def _slices(self, stack: str, repeat: int) -> Slices:
        items = self._items[stack, repeat]
        seed = seed_from(self.views.seed, "stack", self.views.images.name, stack, repeat)
        return Slices(len(items), lambda number: self.views.given(items[number]).noisy, seed)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if isinstance(pl_module, ImageDenoiser):
            pl_module.stack = None
