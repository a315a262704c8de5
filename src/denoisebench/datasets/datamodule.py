"""Training patches and test images as Lightning wants them."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

import pytorch_lightning as pl
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from denoisebench.batch import Batch, WatchedBatch, Withheld, packed
from denoisebench.datasets.fitting import too_small
from denoisebench.datasets.images import ImageSet
from denoisebench.datasets.part import held_out
from denoisebench.datasets.training import Holdout, Training
from denoisebench.datasets.views import NoisyViews, Patches, TrainSteps
from denoisebench.noise import NoiseModel
from denoisebench.seeding import seed_from


@dataclass(frozen=True)
class TrainingData:
    """What a method is trained on, and how.

    target: what a supervised method is given beside the noisy image. holdout: how images that are held out end it; None: it
    goes through all its steps.
    """

    images: ImageSet
    noise: NoiseModel
    training: Training
    target: Literal["clean", "noisy"] | None = None
    holdout: Holdout | None = None


class DataModule(pl.LightningDataModule):
    """Noisy test views in a fixed order; training batches by step, their fresh noise drawn on the device.

    A training batch holds no clean image, and a target only if `train` asks for one: the clean image, or a second
    noisy view, whose noise is independent of the first's, its level too where the noise has a range of levels.
    A test batch is given without its clean images, which `withheld` keeps for the evaluator; so it does the noisy ones, of
    which a method is given a copy: what it does to them changes nothing that is scored, kept or hashed.
    Of several devices, each has its share of the patches with the noise that one device would draw for them all.
    skip: (image, repeat) that are finished already and left out of the test.
    """

    def __init__(
        self,
        test_set: ImageSet,
        noise: NoiseModel,
        seed: int,
        *,
        repeats: int = 1,
        skip: Collection[tuple[str, int]] = (),
        train: TrainingData | None = None,
        validation_images: int = 0,
    ) -> None:
        super().__init__()
        self.test_views = NoisyViews(test_set, noise, seed, repeats, skip)
        self.packs = test_set.packed
        self.validation_views = _first(NoisyViews(test_set, noise, seed, 1, ()), validation_images if test_set.has_clean else 0)
        self.validation_name = f"{test_set.name} {noise.name}"
        self.seed = seed
        self.train, self.held_out = _split(train)
        self.withheld = Withheld(self.test_views.read_ahead, packs=self.packs)

    @property
    def training(self) -> Training | None:
        return self.train and self.train.training

    def test_dataloader(self) -> DataLoader[Batch]:
        return _one_by_one(self.test_views)

    def train_dataloader(self) -> DataLoader[Patches]:
        assert self.train
        start = self.trainer.global_step if self.trainer else 0
        if reason := too_small(self.train.images, self.train.training.patch):
            raise ValueError(reason)
        steps = TrainSteps(
            self.train.images, self.train.noise, self.train.training, self.seed, start,
            need_clean=self.train.target == "clean", need_second=self.train.target == "noisy",
        )  # fmt: skip
        return _one_by_one(steps)

    def held_out_batches(self) -> list[Batch]:
        """Noisy patches of the images that are held out, each time the same; none where none are."""
        own = self.train
        if own is None or own.holdout is None or self.held_out is None:
            return []
        seed = seed_from(self.seed, "held out")
        steps = TrainSteps(self.held_out, own.noise, own.training, seed, 0, need_clean=False)
        return [self._held_out(steps.step(number), seed_from(seed, number)) for number in range(own.holdout.batches)]

    def _held_out(self, patches: Patches, seed: int) -> Batch:
        assert self.train
        if patches.noisy is not None:
            return self._given(Batch(patches.noisy))
        assert patches.clean is not None
        return self._given(Batch(self.train.noise(patches.clean, Generator().manual_seed(seed))))

    def _given(self, batch: Batch) -> Batch:
        """As a method is given it."""
        return packed(batch) if self.packs else batch

    def on_before_batch_transfer(self, batch: Batch | Patches, dataloader_idx: int) -> Batch | Patches:
        """A test batch leaves its clean images here, on the CPU."""
        return self.withheld.keep(batch) if isinstance(batch, Batch) else batch

    def on_after_batch_transfer(self, batch: Batch | Patches, dataloader_idx: int) -> Batch:
        return WatchedBatch.of(batch if isinstance(batch, Batch) else self._share(self._given(self._training_batch(batch))))

    def _share(self, batch: Batch) -> Batch:
        """The part of this rank, where several train together."""
        if self.trainer is None or self.trainer.world_size == 1:
            return batch
        own = slice(self.trainer.global_rank, None, self.trainer.world_size)
        return Batch(batch.noisy[own], target=None if batch.target is None else batch.target[own])

    def _training_batch(self, batch: Patches) -> Batch:
        assert self.train
        target = self.train.target
        if batch.noisy is not None:
            targets = {"clean": batch.clean, "noisy": batch.second, None: None}
            return Batch(batch.noisy, target=targets[target])
        assert batch.clean is not None
        noisy = self._fresh(batch.clean, "train noise", batch.step)
        if target == "noisy":
            return Batch(noisy, target=self._fresh(batch.clean, "train noise of targets", batch.step))
        return Batch(noisy, target=batch.clean if target == "clean" else None)

    def _fresh(self, clean: Tensor, purpose: str, step: int) -> Tensor:
        assert self.train
        return self.train.noise(clean, Generator(clean.device).manual_seed(seed_from(self.seed, purpose, step)))


def _split(train: TrainingData | None) -> tuple[TrainingData | None, ImageSet | None]:
    """What is trained on, and what is held out of it."""
    if train is None or train.holdout is None:
        return train, None
    kept, taken = held_out(train.images, train.holdout.share)
    return replace(train, images=kept), taken


def _first(views: NoisyViews, count: int) -> list[Batch]:
    return [views.given(i) for i in range(min(count, len(views)))]


def _one_by_one(items: Dataset[Any]) -> DataLoader[Any]:
    """A loader of whole batches, with a generator of its own: by default it draws a seed from the global one."""
    return DataLoader(items, batch_size=None, collate_fn=_as_is, generator=Generator())


def _as_is(sample: Any) -> Any:
    return sample
