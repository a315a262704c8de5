"""What a method's claims rest on, measured while it runs: what of a batch was read, and whether a pixel sees itself."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from denoisebench.batch import WatchedBatch
from denoisebench.denoiser import Denoiser
from denoisebench.scoring.further.residual import residual_autocorrelation
from denoisebench.seeding import isolated_rng

SIDE = 48
PROBES = 4
STEP = 0.1


class ReadCount(pl.Callback):
    """Counts over all batches how often `clean` and `target` were read between a batch's start and its end.

    given_clean, given_target: in how many batches there was one to read: of a test's, in none. In a test it comes before
    what scores. The counts travel in the checkpoint.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def state_dict(self) -> dict[str, Any]:
        return dict(self.counts)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counts = Counter(state_dict)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._count(batch)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._count(batch)

    def _count(self, batch: Any) -> None:
        if isinstance(batch, WatchedBatch):
            self.counts.update({"batches": 1, **{f"given_{name}": 1 for name in batch.held()}, **batch.reads})

    def summary(self) -> dict[str, int]:
        return {name: self.counts[name] for name in ("batches", "clean", "target", "given_clean", "given_target")}


def blind_spot(method: Denoiser, noisy: Tensor, seed: int) -> dict[str, Any]:
    """How much a pixel of the output answers to the same pixel of the input (`own`) and the most that another one does.

    noisy: (1, C, H, W), of which a corner is taken; a few pixels are changed in turn, all channels by `step`. network:
    the same by the Jacobian at one pixel of the blind-spot network, where the method has one, as it is trained.
    A `reason` in place of numbers says why nothing was measured.
    """
    if method.learns != "dataset":
        return {"reason": "it learns nothing" if method.learns == "nothing" else "it learns anew from each image"}
    try:
        return _measured(method, noisy, seed)
    except Exception as error:  # what a method makes of so small an image: no reason to lose its scores
        return {"reason": f"{type(error).__name__}: {error}"}


def _measured(method: Denoiser, noisy: Tensor, seed: int) -> dict[str, Any]:
    method.eval()
    corner = noisy[:1, :, :SIDE, :SIDE].to(method.device)
    with torch.no_grad():
        before = _denoised(method, corner, seed)
        answers = [_answer(method, corner, before, seed, probe) for probe in range(PROBES)]
    networks = [_jacobian(network, corner) for network in method.blind_networks]
    own, others = (max(answer[i] for answer in answers) for i in (0, 1))
    return {"own": own, "others": others, "step": STEP, "probes": PROBES, "network": networks[0] if networks else None}


def _denoised(method: Denoiser, noisy: Tensor, seed: int) -> Tensor:
    with isolated_rng(seed):
        return method.denoise(noisy)


def _answer(method: Denoiser, noisy: Tensor, before: Tensor, seed: int, probe: int) -> tuple[float, float]:
    """The change of the output at a changed pixel, and the largest elsewhere, both for a change of 1."""
    height, width = noisy.shape[-2:]
    row, column = height // 2 + probe // 2, width // 2 + probe % 2  # each place of a 2 x 2 cell
    changed = noisy.clone()
    changed[..., row, column] += STEP
    change = (_denoised(method, changed, seed) - before).abs().amax(dim=(0, 1)) / STEP
    own = change[row, column].item()
    change[row, column] = 0
    return own, change.max().item()


def _jacobian(network: Callable[[Tensor], Tensor], noisy: Tensor) -> dict[str, float]:
    x = noisy.detach().clone().requires_grad_(True)
    row, column = x.shape[-2] // 2, x.shape[-1] // 2
    with torch.enable_grad():
        [gradient] = torch.autograd.grad(network(x)[..., row, column].sum(), x)
    gradient = gradient.abs().amax(dim=(0, 1))
    own = gradient[row, column].item()
    gradient[row, column] = 0
    return {"own": own, "others": gradient.max().item()}


def noise_structure(image: str, noisy: Tensor, clean: Tensor | None, second: Tensor | None) -> dict[str, Any] | None:
    """What one image's noise, noisy - clean, has to do with itself; None without a clean image. (1, C, H, W) each.

    autocorrelation: the largest, in absolute value, between pixels up to 3 apart. between_views: its correlation with the noise
    of `second`, another noisy view of the image. None where there is no such view, or no noise.
    """
    if clean is None:
        return None
    noise = (noisy - clean).double()
    other = None if second is None else (second - clean).double()
    return {
        "image": image, "autocorrelation": _known(residual_autocorrelation(clean, None, noisy)),
        "between_views": None if other is None else _known((noise * other).sum() / (noise.norm() * other.norm())),
    }  # fmt: skip


def _known(value: Tensor) -> float | None:
    return value.item() if bool(value.isfinite()) else None
