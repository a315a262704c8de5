"""Self2Self+."""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import torch
from torch import Tensor

from denoisebench.denoiser import ImageDenoiser
from denoisebench.networks.gated_autoencoder import GatedAutoencoder
from denoisebench.ranges import Between, Count, NonNegative, Number, Positive
from denoisebench.sampling import bernoulli_mask
from denoisebench.seeding import isolated_rng

BYTES_PER_PIXEL = 8192  # of one pass, 48 features, float32: about 700 channels at a time, and as much again for the convolutions
CPU_BYTES, GPU_BYTES = 2**27, 2**31


class Self2SelfPlus(ImageDenoiser):
    """A network trained on one image to predict the pixels that a random mask dropped, averaged over many masks.

    Ko, Lee: Self2Self+: Single-Image Denoising with Self-Supervised Learning and Image Quality Assessment Loss,
    arXiv 2307.10695. Official code: https://github.com/JK-the-Ko/Self2SelfPlus at 14cc2c9.

    Symbols: y -> noisy, b -> mask, p -> drop, f -> network, Q -> quality, N -> passes.

    channels, features, init: of the `GatedAutoencoder`.
    drop: p, the probability that a value of the input is dropped, and that of the decoder's dropout.
    steps: of training, for each image. Published: CBSD68 drop 0.4, steps 4000; PolyU 0.7, 5000; SIDD 0.9, 1000.
    passes: N, outputs averaged, each with a fresh mask and dropout.
    passes_per_batch: how many of them at a time; null: by the pixels of the image, for 2 GiB of a GPU.
    iqa: `paq2piq` adds the image quality term with PaQ-2-PiQ from pyiqa (RGB only; non-commercial licence; two files of
        weights); null leaves it out.
    iqa_weight: of that term.
    lr, lr_decay: Adam's learning rate; `constant` (the released code), or `linear` to zero.

    Deviations from the released code: a run without the quality term is `iqa=null`, and labelled so; initial weights
    and masks follow the run's seed, and are not the same for all images; any size is denoised, the mask being reflected
    with the image beyond its border (the release drops a row and a column of CBSD68); the result is not truncated to
    8 bit.
    """

    family = "masking"

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 48,
        init: Literal["released", "he"] = "released",
        drop: Between = 0.4,
        steps: Number = 4000,
        passes: Count = 500,
        passes_per_batch: Count | None = None,
        iqa: Literal["paq2piq"] | None = "paq2piq",
        iqa_weight: NonNegative = 2e-8,
        lr: Positive = 4e-4,
        lr_decay: Literal["constant", "linear"] = "constant",
    ) -> None:
        super().__init__()
        if not 0 < drop < 1:
            raise ValueError(f"method.drop is between 0 and 1, got {drop}")
        if steps < 0 or passes < 1 or (passes_per_batch is not None and passes_per_batch < 1):
            raise ValueError(
                f"method.steps is 0 or more, method.passes and method.passes_per_batch are 1 or more, "
                f"got {steps}, {passes} and {passes_per_batch}"
            )
        if iqa and channels != 3:
            raise ValueError(f"method.iqa={iqa} judges RGB images, and these have {channels} channel(s): set method.iqa=null")
        network = GatedAutoencoder(channels, 2 * channels, features, drop, init)
        self.network = network.to(memory_format=torch.channels_last)
        self.drop = drop
        self.num_steps = steps
        self.passes = passes
        self.passes_per_batch = passes_per_batch
        self.iqa = iqa
        self.iqa_weight = iqa_weight
        self.lr = lr
        self.lr_decay = lr_decay
        # In a tuple, so that it is no child: neither trained, nor switched to training, nor saved.
        self._quality: tuple[Callable[[Tensor], Tensor], torch.device] | None = None

    @property
    def averaged(self) -> int:
        return self.passes

    def lacking(self) -> str | None:
        if self.iqa is None or _paq2piq_is_here():
            return None
        try:
            paq2piq(torch.device("cpu"))  # fetches its weights where they can be had
        except RuntimeError as error:
            return str(error)
        return None

    def reset(self, noisy: Tensor) -> None:
        self.network.reset()

    def masked_pass(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """A fresh mask, 1 where a value is kept, and what the network makes of the values kept: both (N, C, H, W)."""
        mask = bernoulli_mask(noisy.contiguous(), self.drop).to(noisy.dtype)
        return mask, self.network(torch.cat([mask, mask * noisy], dim=1))

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        mask, predicted = self.masked_pass(noisy)
        dropped = 1 - mask
        # A very small image can lose nothing: then there is nothing to predict.
        loss = ((predicted - noisy).abs() * dropped).sum() / dropped.sum().clamp(min=1)
        if self.iqa is None:
            return loss
        return loss + self.iqa_weight * (100 - self.quality(predicted)).square().mean()

    def quality(self, image: Tensor) -> Tensor:
        """Q: the predicted quality of RGB images, 0 to 100, higher is better; of unclipped ones too."""
        if self._quality is None or self._quality[1] != image.device:
            self._quality = paq2piq(image.device), image.device
        with torch.autocast(image.device.type, enabled=False):
            return self._quality[0](image.float())

    def learning_rate(self, progress: float) -> float:
        return self.lr * (1 - progress) if self.lr_decay == "linear" else self.lr

    def predict(self, noisy: Tensor) -> Tensor:
        size = self.passes_per_batch or self._passes_at_once(noisy)
        total = torch.zeros_like(noisy)
        for start in range(0, self.passes, size):
            count = min(size, self.passes - start)
            total += self.masked_pass(noisy.expand(count, -1, -1, -1))[1].sum(dim=0, keepdim=True)
        return total / self.passes

    def _passes_at_once(self, noisy: Tensor) -> int:
        """As many as fit into a fixed share of memory: draws must not depend on which GPU it is, or on what else is on it."""
        room = GPU_BYTES if noisy.is_cuda else CPU_BYTES
        return max(1, room // (BYTES_PER_PIXEL * noisy.shape[-2] * noisy.shape[-1]))


def _paq2piq_files() -> tuple[Path, Path]:
    hub = Path(torch.hub.get_dir())
    return (
        hub / "checkpoints" / "resnet18-f37072fd.pth",
        hub / "pyiqa" / "P2P_RoIPoolModel-fit.10.bs.120-ca69882e.pth",
    )


def _paq2piq_is_here() -> bool:
    return find_spec("pyiqa") is not None and all(file.is_file() for file in _paq2piq_files())


def paq2piq(device: torch.device) -> Callable[[Tensor], Tensor]:
    """PaQ-2-PiQ (Ying et al., CVPR 2020) from pyiqa, frozen and in eval mode.

    Raises: RuntimeError if pyiqa or one of its two files of weights cannot be had, saying where these go.
    """
    try:
        import pyiqa
    except ImportError as error:
        raise RuntimeError(
            "method.iqa=paq2piq needs pyiqa: install the extra, `denoisebench[iqa]` (its licence is for non-commercial use), "
            "or leave the term out with method.iqa=null"
        ) from error
    files = _paq2piq_files()
    try:
        # Its random first weights must not shift our masks, nor its messages get among our output.
        with isolated_rng(0), redirect_stdout(sys.stderr):
            metric = pyiqa.create_metric("paq2piq", as_loss=True, device=device)
    except (OSError, RuntimeError, ValueError, EOFError, UnpicklingError) as error:
        lacking = [str(file) for file in files if not file.is_file()]
        why = f"lacking: {', '.join(lacking)}" if lacking else "both are there"
        raise RuntimeError(
            f"method.iqa=paq2piq could not load its weights ({type(error).__name__}: {error}). It needs {files[0].name} in "
            f"{files[0].parent} and {files[1].name} in {files[1].parent} ({why}); where they cannot be downloaded, put them "
            "there (TORCH_HOME moves both folders), or leave the term out with method.iqa=null"
        ) from error
    return metric.eval().requires_grad_(False)
