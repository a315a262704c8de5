"""Scores what a method returns: checks, times, applies protocols, keeps images, emits rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from denoisebench.batch import Batch, Withheld
from denoisebench.denoiser import Denoiser
from denoisebench.progress import Advance, console
from denoisebench.scoring import further
from denoisebench.scoring.further import Further
from denoisebench.scoring.kept import as_stored, batched, image_hash, in_16_bit, values_of
from denoisebench.scoring.measures import PSNR
from denoisebench.scoring.meter import Meter
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.files import whole_file
from denoisebench.store.pictures import output_name, strip, write_png
from denoisebench.store.rows import PartialRows, Row, chosen_text

WARM_UP_SIDE = 64


@dataclass(frozen=True)
class Keeping:
    """Where a cell's outputs and its test images are kept; of which shard (`i/n`, whose rows are kept apart) they are; and
    of how many images a picture is drawn."""

    folder: Path
    inputs: Path
    shard: str | None = None
    pictures: int = 4


@dataclass(frozen=True)
class Listener:
    """Who hears of a test. advance: of each finished image's number; on_image: of its rows."""

    advance: Advance = lambda done, note: None
    on_image: Callable[[Sequence[Row]], None] = lambda rows: None


def _channels_last(image: Tensor) -> np.ndarray:
    return image.detach().permute(1, 2, 0).cpu().numpy()


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
        self.folder, self.inputs, self.pictures = keeping.folder, keeping.inputs, keeping.pictures
        self.identity, self.protocols, self.done, self.listener = identity, protocols, done, listener
        self.withheld, self._remarked, self.further = withheld, False, measures
        self.partial = PartialRows(keeping.folder, keeping.shard)

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx == 0 and isinstance(pl_module, Denoiser) and pl_module.learns != "image" and pl_module.timed:
            with trainer.precision_plugin.forward_context():
                corner = batch.noisy[..., :WARM_UP_SIDE, :WARM_UP_SIDE].clone()
                pl_module.test_step(Batch(corner, name=batch.name, repeat=batch.repeat, seed=batch.seed), batch_idx)
        self._meter = Meter(batch.noisy.device)
        self._meter.start()

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
        chosen = chosen_text(pl_module.chosen) if isinstance(pl_module, Denoiser) else ""
        whole = self.withheld.whole(batch)
        denoised = self._checked(outputs, whole)
        scores = self._scores(denoised, whole)
        for i, image in enumerate(whole.name):
            values = [values_of(own, i) for own in scores]
            self._remark(image, values[0])
            self._finish_image(denoised[i], whole, i, image, values, {**cost, "chosen": chosen})

    def _remark(self, image: str, values: Mapping[str, float | None]) -> None:
        """Once for a cell, of a score that no denoiser reaches."""
        for measure in self.protocols[0].measures:
            value = values[measure.column]
            if not self._remarked and value is not None and measure.is_absurd(value):
                self._remarked = True
                score = f"{measure.title} {measure.text(value)} {measure.unit}".strip()
                told = f"{self.identity['method']} on {image}: {score} is beyond what a denoiser can reach"
                console.print(f"mind     {told}: does it see clean pixels?", style="yellow", markup=False)

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
            raise ValueError(f"{where}: denoise returned {count} values that are NaN or infinite")
        return denoised

    def _finish_image(
        self,
        denoised: Tensor,
        batch: Batch,
        i: int,
        image: str,
        values: Sequence[dict[str, float | None]],
        told: Mapping[str, float | str],
    ) -> None:
        sha = image_hash(batch.noisy[i])
        output, noisy = _channels_last(denoised), _channels_last(batch.noisy[i])
        clean = None if batch.clean is None else _channels_last(batch.clean[i])
        write_png(self.folder / "images" / output_name(image, batch.repeat), output, bits=16)
        clean_sha = "" if batch.clean is None else image_hash(batch.clean[i])
        self._keep_input(f"{sha}-noisy.png", noisy, 8)
        if clean is not None and batch.clean is not None:
            self._keep_input(f"{clean_sha}-clean.png", clean, 16)
            if bool((in_16_bit(batch.clean[i]).float() != batch.clean[i]).any()):
                self._keep_float(f"{clean_sha}-clean.npy", clean)
        psnr_db = values[0][PSNR.column]
        if self.done < self.pictures:
            self._draw(image, batch.repeat, noisy, output, clean, psnr_db)
        rows: list[Row] = [
            {**self.identity, "repeat": batch.repeat, "image": image, "protocol": protocol.name, **value,
             "scored_by": "local", **told, "noisy_sha": sha, "clean_sha": clean_sha,
             "status": "unscored" if clean is None else "done"}
            for protocol, value in zip(self.protocols, values, strict=True)
        ]  # fmt: skip
        self.partial.append(rows)
        self.done += 1
        self.listener.on_image(rows)
        self.listener.advance(self.done, image if psnr_db is None else f"{image} {psnr_db:.2f} dB")

    def _keep_input(self, name: str, image: np.ndarray, bits: int) -> None:
        if not (self.inputs / name).is_file():
            write_png(self.inputs / name, image, bits=bits)

    def _keep_float(self, name: str, clean: np.ndarray) -> None:
        """A clean image out of a float file can be more than its PNG."""
        if not (self.inputs / name).is_file():
            with whole_file(self.inputs / name) as part, part.open("wb") as file:
                np.save(file, clean)

    def _draw(
        self, image: str, repeat: int, noisy: np.ndarray, output: np.ndarray, clean: np.ndarray | None, psnr_db: float | None
    ) -> None:
        label = self.identity["method"] + ("" if psnr_db is None else f" {psnr_db:.2f} dB")
        input_label = "noisy"
        if clean is not None:
            input_label += f" {self.protocols[0].score(batched(noisy), batched(clean))[0].item():.2f} dB"
        panels = [(input_label, noisy), (label, output), *([] if clean is None else [("clean", clean)])]
        write_png(self.folder / "pictures" / output_name(image, repeat), strip(panels))
