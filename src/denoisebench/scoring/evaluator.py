"""Scores what a method returns: checks, times, applies protocols, keeps images, emits rows."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from denoisebench.batch import Batch, Withheld
from denoisebench.denoiser import Denoiser
from denoisebench.progress import Advance, console, counted
from denoisebench.scoring import further
from denoisebench.scoring.developed import pictures_of
from denoisebench.scoring.further import Further
from denoisebench.scoring.keeper import Keeper, Keeping, Kept, channels_last
from denoisebench.scoring.kept import as_stored, batched, in_16_bit, values_of
from denoisebench.scoring.measures import PSNR
from denoisebench.scoring.meter import Meter
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.pictures import output_name, strip, write_png
from denoisebench.store.rows import PartialRows, Row, chosen_text
from denoisebench.versions import protocol_version

WARM_UP_SIDE = 64
FAR_BELOW_DB = 3.0  # the mean of its inputs: what learned does harm
BEHIND = 4  # images whose files may still be on their way on a GPU; on a CPU one, and none while a method is timed


@dataclass(frozen=True)
class Listener:
    """Who hears of a test. advance: of each finished image's number; on_image: of its rows."""

    advance: Advance = lambda done, note: None
    on_image: Callable[[Sequence[Row]], None] = lambda rows: None


@dataclass(frozen=True)
class _Scored:
    """An image whose files are being written: its row is, once they are there."""

    kept: Kept
    values: Sequence[dict[str, float | None]]
    told: Mapping[str, Any]
    panels: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None


class Evaluator(pl.Callback):
    """Writes the rows of one cell while it is tested: one for each image, repeat and protocol.

    Scores on the device of the outputs, in float64, outside autocast: under a protocol that clips, the image as it is
    kept, so that a protocol asked for years later gives what it would have given at once. Keeps each output as a 16-bit PNG under
    `images/`, the first `pictures` side by side with their inputs under `pictures/`, the inputs themselves under
    `inputs`, each named by its hash. Measures of what is not there stay empty. The time of a method that does not
    learn from the image is taken after one call on a corner of the first one.

    identity: the columns that are equal in all rows. withheld: what the method is not given of a batch, and is scored by.
    done: images finished before (for the progress). measures: scored beside PSNR and SSIM.

    Raises: ValueError, naming the method and the image, for outputs of a wrong shape or with values not finite.
    """

    def __init__(
        self,
        keeping: Keeping,
        identity: Mapping[str, Any],
        protocols: Sequence[Protocol],
        withheld: Withheld,
        *,
        done: int = 0,
        listener: Listener = Listener(),
        measures: Sequence[Further] = (),
    ) -> None:
        self.keeping, self._behind = keeping, deque[_Scored]()
        self._keeper, self._meter = Keeper(keeping), Meter()
        self.identity, self.protocols, self.done, self.listener = identity, protocols, done, listener
        self.withheld, self._remarked, self.further = withheld, False, measures
        self._gains: list[tuple[float, float]] = []  # of each image the PSNR of its input and of its output
        self.partial = PartialRows(keeping.folder, keeping.shard)

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if not batch.noisy.is_cuda:
            self._finish(0)
        if batch_idx == 0 and isinstance(pl_module, Denoiser) and pl_module.learns != "image" and pl_module.timed:
            with trainer.precision_plugin.forward_context():
                corner = batch.noisy[..., :WARM_UP_SIDE, :WARM_UP_SIDE].clone()
                pl_module.test_step(Batch(corner, name=batch.name, repeat=batch.repeat, seed=batch.seed), batch_idx)
        self._meter.start(batch.noisy)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        seconds, peak_mib = self._meter.stop()
        timed = getattr(pl_module, "timed", True)
        cost = {"seconds": seconds / len(batch.name) if timed else 0.0, "peak_mib": peak_mib if timed else 0.0}
        chosen = chosen_text(pl_module.chosen) if isinstance(pl_module, Denoiser) and not pl_module.self_ensemble else ""
        whole = self.withheld.whole(batch)
        self.withheld.ahead()
        denoised = self._checked(self.withheld.returned(outputs), whole)
        clean = whole.clean
        kept = [
            self._keeper.keep(name, whole.repeat, denoised[i], whole.noisy[i], None if clean is None else clean[i])
            for i, name in enumerate(whole.name)
        ]
        scores = self._scores(denoised, whole)
        self._gains += self._gain(whole, scores[0])
        for i, image in enumerate(whole.name):
            values = [values_of(own, i) for own in scores]
            self._remark(image, values[0])
            drawn = self.done + len(self._behind) < self.keeping.pictures
            panels = self._panels(denoised[i], whole, i) if drawn else None
            told = {**cost, "chosen": chosen, "image": image, "repeat": whole.repeat}
            self._behind.append(_Scored(kept[i], values, told, panels))
        self._finish(BEHIND if batch.noisy.is_cuda else 1)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._finish(0)
        self._keeper.close()
        self._remark_harm()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        with suppress(Exception):  # what fails here is not why it ends, and its image is computed again
            self._finish(0)
        self._keeper.close()

    def _finish(self, behind: int) -> None:
        """Of all images but the last so many, the rows: what they tell of is on the disk by then."""
        while len(self._behind) > behind:
            self._finish_image(self._behind.popleft())

    def _remark(self, image: str, values: Mapping[str, float | None]) -> None:
        """Once for a cell, of a score that no denoiser reaches."""
        for measure in self.protocols[0].measures:
            value = values[measure.column]
            if not self._remarked and value is not None and measure.is_absurd(value):
                self._remarked = True
                score = f"{measure.title} {measure.text(value)} {measure.unit}".strip()
                told = f"{self.identity['method']} on {image}: {score} is beyond what a denoiser can reach"
                console.print(f"mind     {told}: does it see clean pixels?", style="yellow", markup=False)

    def _gain(self, batch: Batch, scores: Mapping[str, Tensor]) -> list[tuple[float, float]]:
        if batch.clean is None:
            return []
        clean = as_stored(batch.clean.to(batch.noisy.device))
        [of_input] = self.protocols[0]._scores((PSNR,), batch.noisy, clean, None)  # PSNR alone: SSIM takes longer
        return list(zip(of_input.tolist(), scores[PSNR.column].tolist(), strict=True))

    def _remark_harm(self) -> None:
        """That outputs are far worse than inputs, as after a training that diverged; three steps of `smoke` never suffice."""
        finite = [pair for pair in self._gains if math.isfinite(sum(pair))]
        if not finite or self.identity.get("budget") == "smoke":
            return
        before, after = (math.fsum(side) / len(finite) for side in zip(*finite, strict=True))
        if after < before - FAR_BELOW_DB:
            told = f"{after:.2f} dB on average, {before - after:.1f} dB below its noisy inputs ({before:.2f} dB)"
            way_out = "see its loss in curve.csv; lower method.lr or train longer" if self.identity["learns"] == "dataset" else ""
            console.print(f"mind     {self.identity['method']}: {told}{way_out and f': {way_out}'}", style="yellow", markup=False)

    def _scores(self, denoised: Tensor, batch: Batch) -> list[dict[str, Tensor]]:
        """The measures of each image under each protocol, of what is kept of the outputs."""
        kept = in_16_bit(denoised).contiguous()
        clean = None if batch.clean is None else as_stored(batch.clean.to(denoised.device))
        needed = any("noisy" in measure.needs for measure in (*self.protocols[0].measures, *self.further))
        noisy = batch.noisy.to(denoised.device) if needed else None
        images = [(p, kept if p.clip else denoised) for p in self.protocols]
        return [p.scores(image, clean, noisy) | further.scores(self.further, p, image, clean, noisy) for p, image in images]

    def _checked(self, outputs: Any, batch: Batch) -> Tensor:
        where = f"{self.identity['method']} on {', '.join(batch.name)}"
        if not isinstance(outputs, Tensor) or outputs.shape != batch.noisy.shape:
            got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            raise ValueError(f"{where}: denoise returned {got}, expected the shape of its input {tuple(batch.noisy.shape)}")
        denoised = outputs.float()
        if not bool(torch.isfinite(denoised).all()):
            count = int((~torch.isfinite(denoised)).sum())
            raise ValueError(f"{where}: denoise returned {counted(count, 'NaN or infinite value')}")
        return denoised

    def _finish_image(self, one: _Scored) -> None:
        noisy_sha, clean_sha, output_sha = one.kept.hashes()
        image, psnr_db = one.told["image"], one.values[0][PSNR.column]
        if one.panels:
            self._draw(image, one.told["repeat"], *one.panels, psnr_db)
        rows: list[Row] = [
            {**self.identity, **one.told, "protocol": protocol.name, **value, "scored_by": "local", "noisy_sha": noisy_sha,
             "clean_sha": clean_sha, "output_sha": output_sha, "protocol_version": protocol_version(protocol),
             "status": "done" if clean_sha else "unscored"}
            for protocol, value in zip(self.protocols, one.values, strict=True)
        ]  # fmt: skip
        self.partial.append(rows)
        self.done += 1
        self.listener.on_image(rows)
        self.listener.advance(self.done, image if psnr_db is None else f"{image} {psnr_db:.2f} dB")

    def _panels(self, denoised: Tensor, batch: Batch, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        clean = None if batch.clean is None else channels_last(batch.clean[i])
        return channels_last(batch.noisy[i]), channels_last(denoised), clean

    def _draw(
        self, image: str, repeat: int, noisy: np.ndarray, output: np.ndarray, clean: np.ndarray | None, psnr_db: float | None
    ) -> None:
        label = self.identity["method"] + ("" if psnr_db is None else f" {psnr_db:.2f} dB")
        input_label = "noisy"
        if clean is not None:
            input_label += f" {self.protocols[0].score(batched(noisy), batched(clean))[0].item():.2f} dB"
        panels = [(input_label, noisy), (label, output), *([] if clean is None else [("clean", clean)])]
        if self.withheld.packs:
            shown = pictures_of([image for _, image in panels], noisy if clean is None else clean)
            panels = [(f"{label}, developed", image) for (label, _), image in zip(panels, shown, strict=True)]
        write_png(self.keeping.folder / "pictures" / output_name(image, repeat), strip(panels))
