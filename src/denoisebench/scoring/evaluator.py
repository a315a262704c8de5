"""Scores what a method returns: checks, times, applies protocols, keeps images, emits rows."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from denoisebench.batch import Batch
from denoisebench.denoiser import Denoiser
from denoisebench.progress import Advance
from denoisebench.scoring import memory
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.cells import PartialRows, Row
from denoisebench.store.files import whole_file
from denoisebench.store.pictures import output_name, read_png, strip, write_png

WARM_UP_SIDE = 64


class Meter:
    """Seconds and peak memory of what happens between `start` and `stop`, with the device synchronised at both.

    Peak memory in MiB: on a GPU the most that tensors held; on the CPU what the resident set of the process grew by
    (outside Linux beyond the largest it ever was).
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            memory.give_back_freed()  # or it would be used again without a trace
            memory.reset_peak()
            self.held_mib = memory.peak_mib()
        self.began = time.perf_counter()

    def stop(self) -> tuple[float, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        seconds = time.perf_counter() - self.began
        if self.device.type == "cuda":
            return seconds, torch.cuda.max_memory_allocated(self.device) / 2**20
        return seconds, memory.peak_mib() - self.held_mib


def in_16_bit(image: Tensor) -> Tensor:
    """What a 16-bit file holds of an image: clipped to [0, 1] and rounded to 65536 levels, in float64."""
    return image.clamp(0, 1).double().mul_(65535).add_(0.5).floor_().div_(65535)


def as_stored(clean: Tensor) -> Tensor:
    """Images of 8 or 16 bit exactly, without the rounding of their float32; other images as they are; in float64."""
    stored = in_16_bit(clean)
    return torch.where((stored.float() == clean).flatten(1).all(1).view(-1, 1, 1, 1), stored, clean.double())


def image_hash(noisy: Tensor) -> str:
    """A hash of one noisy image (C, H, W): scores are paired only where it is equal."""
    array = np.ascontiguousarray(noisy.detach().cpu().numpy())
    digest = hashlib.sha256(str(array.shape).encode())
    digest.update(array.data)
    return digest.hexdigest()[:16]


def _channels_last(image: Tensor) -> np.ndarray:
    return image.detach().permute(1, 2, 0).cpu().numpy()


class Evaluator(pl.Callback):
    """Writes the rows of one cell while it is tested: one for each image, repeat and protocol.

    Scores on the device of the outputs, in float64, outside autocast: under a protocol that clips, the image as it is
    kept, so that a protocol asked for years later gives what it would have given at once. Keeps each output as a 16-bit PNG under
    `images/`, the first `pictures` side by side with their inputs under `pictures/`, the inputs themselves under
    `inputs`, each named by its hash. Without clean images the metrics stay empty. The time of a method that does not
    learn from the image is taken after one call on a corner of the first one.

    identity: the columns that are equal in all rows. shard: `i/n`, whose rows are kept apart. done: finished images before
    this one (for the progress). on_image: told of each finished image's rows.

    Raises: ValueError, naming the method and the image, for outputs of a wrong shape or with values not finite.
    """

    def __init__(
        self,
        folder: Path,
        inputs: Path,
        identity: Mapping[str, Any],
        protocols: Sequence[Protocol],
        *,
        shard: str | None = None,
        pictures: int = 4,
        done: int = 0,
        advance: Advance = lambda done, note: None,
        on_image: Callable[[Sequence[Row]], None] = lambda rows: None,
    ) -> None:
        self.folder, self.inputs, self.identity, self.protocols = folder, inputs, identity, protocols
        self.pictures, self.done, self.advance, self.on_image = pictures, done, advance, on_image
        self.partial = PartialRows(folder, shard)

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        if batch_idx == 0 and isinstance(pl_module, Denoiser) and pl_module.learns != "image":
            with trainer.precision_plugin.forward_context():
                corner = batch.noisy[..., :WARM_UP_SIDE, :WARM_UP_SIDE]
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
        cost = {"seconds": seconds / len(batch.name), "peak_mib": peak_mib}
        denoised = self._checked(outputs, batch)
        scores = self._scores(denoised, batch.clean)
        for i, image in enumerate(batch.name):
            values = [None if pair is None else (pair[0][i].item(), pair[1][i].item()) for pair in scores]
            self._finish_image(denoised[i], batch, i, image, values, cost)

    def _scores(self, denoised: Tensor, clean: Tensor | None) -> list[tuple[Tensor, Tensor] | None]:
        """PSNR and SSIM of each image under each protocol, of what is kept of the outputs."""
        if clean is None:
            return [None] * len(self.protocols)
        kept, reference = in_16_bit(denoised).contiguous(), as_stored(clean)
        return [p.score(kept if p.clip else denoised, reference) for p in self.protocols]

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
        values: Sequence[tuple[float, float] | None],
        cost: Mapping[str, float],
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
        psnr_db = None if values[0] is None else values[0][0]
        if self.done < self.pictures:
            self._draw(image, batch.repeat, noisy, output, clean, psnr_db)
        rows: list[Row] = [
            {**self.identity, "repeat": batch.repeat, "image": image, "protocol": protocol.name, **_metrics(value),
             "scored_by": "local", **cost, "noisy_sha": sha, "clean_sha": clean_sha,
             "status": "unscored" if value is None else "done"}
            for protocol, value in zip(self.protocols, values, strict=True)
        ]  # fmt: skip
        self.partial.append(rows)
        self.done += 1
        self.on_image(rows)
        self.advance(self.done, image if psnr_db is None else f"{image} {psnr_db:.2f} dB")

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
            input_label += f" {self.protocols[0].score(_batched(noisy), _batched(clean))[0].item():.2f} dB"
        panels = [(input_label, noisy), (label, output), *([] if clean is None else [("clean", clean)])]
        write_png(self.folder / "pictures" / output_name(image, repeat), strip(panels))


def _metrics(value: tuple[float, float] | None) -> dict[str, float | None]:
    if value is None:
        return {"psnr_db": None, "ssim": None}
    psnr_db, similarity = value
    return {"psnr_db": psnr_db, "ssim": None if np.isnan(similarity) else similarity}


def rescored(rows: Sequence[Row], protocol: Protocol, folder: Path, inputs: Path) -> list[Row]:
    """Rows under another protocol, from the kept outputs: equal to what scoring at once would have given.

    rows: one for each image and repeat. Costs are taken over from them.
    Raises: ValueError for a protocol that does not clip; FileNotFoundError for images that are gone.
    """
    if not protocol.clip:
        raise ValueError(f"protocol {protocol.name} does not clip, and outputs are kept clipped")
    result: list[Row] = []
    for row in rows:
        values = None
        if row["status"] == "done":
            psnr_db, similarity = protocol.score(*kept_pair(row, folder, inputs))
            values = (psnr_db.item(), similarity.item())
        result.append({**row, "protocol": protocol.name, **_metrics(values)})
    return result


def kept_pair(row: Row, folder: Path, inputs: Path) -> tuple[Tensor, Tensor]:
    """The kept output and the clean image of a scored row: (1, C, H, W) float64 each.

    Raises: FileNotFoundError for images that are gone.
    """
    denoised = read_png(folder / "images" / output_name(row["image"], int(row["repeat"])))
    return _batched(denoised), _batched(_kept_clean(inputs, row["clean_sha"]))


def _kept_clean(inputs: Path, sha: str) -> np.ndarray:
    exact = inputs / f"{sha}-clean.npy"
    return np.load(exact) if exact.is_file() else read_png(inputs / f"{sha}-clean.png")


def _batched(image: np.ndarray) -> Tensor:
    """(H, W, C) -> (1, C, H, W)."""
    return torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
