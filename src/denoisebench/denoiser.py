"""The whole contract of a method.

A method subclasses one of four classes and adds a YAML under `conf/method/`:

- `Denoiser`: nothing is learned; writes `denoise`.
- `DatasetDenoiser`: learns from noisy images only; writes `loss(noisy, progress)` and `denoise`.
- `SupervisedDenoiser`: learns from pairs; writes `loss(noisy, target, progress)` and `denoise`.
- `ImageDenoiser`: learns anew from each image that it denoises; writes `loss`, `reset` and `predict`.

Constructor parameters are the keys of the YAML. `progress` is the trained fraction in [0, 1), 0 at the first
step: whatever changes during training (weights of terms, the learning rate) is a function of it.
A method draws random numbers with plain `torch.rand*`; whoever runs it seeds them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor

from denoisebench.batch import Batch
from denoisebench.described import Described
from denoisebench.ensemble import dihedral_mean
from denoisebench.replay import ReplayedSteps, Steps, checked_mean
from denoisebench.seeding import isolated_rng

Learns = Literal["nothing", "dataset", "image"]
STEPS_BETWEEN_READINGS = 50


class Denoiser(Described, pl.LightningModule, ABC):
    """Maps noisy images to denoised ones. Images are float32, nominal range [0, 1], unclipped."""

    learns: ClassVar[Learns] = "nothing"
    target: ClassVar[Literal["clean", "noisy"] | None] = None
    """What a supervised method is given beside the noisy image: the clean one, or a second, independent noisy view."""
    stochastic: ClassVar[bool] = False
    """Whether `denoise` draws random numbers: it is then given one image at a time, under that image's seed."""

    smallest: ClassVar[int] = 1
    """The smallest side in pixels of an image that `denoise` takes; it raises a ValueError for smaller ones."""

    tiles: ClassVar[bool] = False
    """Whether `denoise` heeds `tile`."""
    attends_globally: ClassVar[bool] = False
    """Whether its network takes means over the whole image, which no tile has: then `denoise` cannot heed `tile`."""
    tile: int | None = None
    """Side of the tiles that its network is given one at a time, in pixels; None: the whole image at once."""

    self_ensemble: bool = False
    """Whether a test takes the mean of `denoise` over eight flips and turns of each image."""

    @property
    def chosen(self) -> Mapping[str, float | str]:
        """What `denoise` chose for the image it was last given, e.g. `{"stop_step": 1250}`: kept beside that image's score."""
        return {}

    @property
    def tags(self) -> tuple[str, ...]:
        """What a reader of a score must know of this method: `supervised`, `second_view`, `oracle_sigma`."""
        return ()

    released_layouts: ClassVar[tuple[str, ...]] = ()
    """The layouts of the authors' files that `released` knows, for people."""

    @property
    def training_only(self) -> tuple[str, ...]:
        """How the names of those tensors begin that only training needs: a file of weights may lack them."""
        return ()

    def released(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
        """The tensors of ours that `denoise` needs, from the named tensors of a file that the paper's authors released.

        None if the file has no layout that is known. Raises: ValueError if it has, but needs other settings.
        """
        return None

    @abstractmethod
    def denoise(self, noisy: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape, for any H and W; does not change its input."""

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        with isolated_rng(batch.seed):
            return dihedral_mean(self.denoise, batch.noisy) if self.self_ensemble else self.denoise(batch.noisy)


class _Learner(Denoiser):
    """What all that learn share: an optimiser and its learning rate."""

    lr: float

    def learning_rate(self, progress: float) -> float:
        """The learning rate at `progress`; constant unless a method says otherwise."""
        return self.lr

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate(0.0), fused=True)


class _Trained(_Learner):
    """What `DatasetDenoiser` and `SupervisedDenoiser` share: a step."""

    learns = "dataset"
    staged: ClassVar[bool] = False
    """Whether some parameters take no part in some steps, as in a method of two stages; Adam leaves these bit-equal."""

    @abstractmethod
    def _batch_loss(self, batch: Batch, progress: float) -> Tensor: ...

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        progress = self.trainer.global_step / self.trainer.max_steps
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.learning_rate(progress)
        return self._batch_loss(batch, progress)


class DatasetDenoiser(_Trained):
    """Learns from the noisy images of a training set, and from nothing else."""

    @abstractmethod
    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        """The training loss of a batch of noisy patches (N, C, H, W): a scalar."""

    def _batch_loss(self, batch: Batch, progress: float) -> Tensor:
        return self.loss(batch.noisy, progress)


class SupervisedDenoiser(_Trained):
    """Learns from pairs of a noisy patch and a target: a bound to compare with, tagged in every row."""

    target = "clean"

    @property
    def tags(self) -> tuple[str, ...]:
        return ("supervised",)

    @abstractmethod
    def loss(self, noisy: Tensor, target: Tensor, progress: float) -> Tensor:
        """The training loss of noisy patches and their targets, both (N, C, H, W): a scalar."""

    def _batch_loss(self, batch: Batch, progress: float) -> Tensor:
        if batch.target is None:
            raise ValueError(f"{type(self).__name__} learns from targets, and this batch has none")
        return self.loss(batch.noisy, batch.target, progress)


class ImageDenoiser(_Learner):
    """Learns from the one image that it denoises, inside `denoise`; nothing is carried to the next image."""

    learns = "image"
    stochastic = True
    num_steps: int
    on_image_step: Callable[[int, float], None] | None = None
    """Called with the steps done and the mean loss since the last call: every 50 steps, and after an image's last one."""

    @abstractmethod
    def reset(self, noisy: Tensor) -> None:
        """Draw the weights anew for this image (1, C, H, W), and build from it whatever training needs."""

    replayed: bool = False
    """Whether a GPU may record a step of each phase once and replay it: `loss` then keeps nothing in Python between steps."""

    def phase(self, progress: float) -> int:
        """A number for each stretch of the training in which every step does the same work, but for draws and rate."""
        return 0

    def finished(self) -> Tensor | bool:
        """Whether training may end before `num_steps`: asked every 50 steps, since reading a tensor stalls the device."""
        return False

    @abstractmethod
    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        """The loss of one image (1, C, H, W): a scalar."""

    @abstractmethod
    def predict(self, noisy: Tensor) -> Tensor:
        """The denoised image once trained: (1, C, H, W) -> the same shape."""

    stack: Callable[[Tensor], Tensor] | None = None
    """Denoises a slice (1, C, H, W) of a stack by a network that learned from all its slices; None: of each image alone."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return torch.cat([(self.stack or self._denoise_one)(image) for image in noisy.split(1)])

    def _denoise_one(self, noisy: Tensor) -> Tensor:
        # Lightning tests in inference mode, whose tensors cannot be trained on: leave it and take a copy.
        with torch.inference_mode(False):
            image = noisy.clone()
            with torch.enable_grad():
                self.reset(image)
                self._learn(image)
            self.eval()
            with torch.no_grad():
                return self.predict(image)

    def _learn(self, image: Tensor) -> None:
        self.train()
        self.learn(self._steps(image))

    def learn(self, steps: Steps) -> None:
        """Take the steps of a training, until it is `finished` at the latest after `num_steps`.

        The losses are read every 50 steps: reading each one would stall the device. Raises: FloatingPointError.
        """
        losses: list[Tensor] = []
        for done in range(1, self.num_steps + 1):
            progress = (done - 1) / self.num_steps
            losses.append(steps(progress, self.learning_rate(progress)))
            if done % STEPS_BETWEEN_READINGS == 0 or done == self.num_steps:
                mean = checked_mean(torch.stack(losses).float(), done)
                if self.on_image_step is not None:
                    self.on_image_step(done, mean)
                losses.clear()
                if self.finished():
                    break

    def _steps(self, image: Tensor) -> Steps:
        optimizer = self.configure_optimizers()
        if self.replayed and image.is_cuda and not torch.is_autocast_enabled("cuda"):
            return ReplayedSteps(optimizer, lambda progress: self.loss(image, progress), self.phase)
        return Steps(optimizer, lambda progress: self.loss(image, progress))
