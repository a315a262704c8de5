"""The images of a cell, encoded and written beside the scoring."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from denoisebench.scoring.kept import image_hash, in_16_bit
from denoisebench.store.files import whole_file
from denoisebench.store.pictures import output_name, write_png

THREADS = 2


@dataclass(frozen=True)
class Keeping:
    """Where a cell's outputs and its test images are kept; of which shard (`i/n`, whose rows are kept apart) they are; and
    of how many images a picture is drawn."""

    folder: Path
    inputs: Path
    shard: str | None = None
    pictures: int = 4


@dataclass(frozen=True)
class Kept:
    """One image on its way to the disk. Waiting for it raises what writing it raised."""

    output: Future[str]
    noisy: Future[str]
    clean: Future[str] | None

    def hashes(self) -> tuple[str, str, str]:
        """Of the noisy image, the clean one (empty without one) and the output, once all of it is on the disk."""
        return self.noisy.result(), "" if self.clean is None else self.clean.result(), self.output.result()


class Keeper:
    """Each output as a 16-bit PNG under `images/`; test images under `inputs`, each named by its hash and written once.

    A test image that another study of this root has is linked, not written again.
    """

    def __init__(self, keeping: Keeping) -> None:
        self.folder, self.inputs = keeping.folder, keeping.inputs
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="images")

    def keep(self, name: str, repeat: int, denoised: Tensor, noisy: Tensor, clean: Tensor | None) -> Kept:
        """(C, H, W) each, not written to until it is kept."""
        path = self.folder / "images" / output_name(name, repeat)
        output = self._threads.submit(write_png, path, channels_last(denoised), bits=16)
        on_cpu = None if clean is None else clean.detach().cpu()
        noisy_sha = self._threads.submit(self._keep_noisy, noisy.detach().cpu())
        return Kept(output, noisy_sha, None if on_cpu is None else self._threads.submit(self._keep_clean, on_cpu))

    def close(self) -> None:
        """Waits for what has begun."""
        self._threads.shutdown(cancel_futures=True)

    def _keep_noisy(self, noisy: Tensor) -> str:
        sha = image_hash(noisy)
        if not self._has(f"{sha}-noisy.png"):
            write_png(self.inputs / f"{sha}-noisy.png", channels_last(noisy))
        return sha

    def _keep_clean(self, clean: Tensor) -> str:
        """In 8 bit where that holds it exactly; a clean image out of a float file can be more than its PNG."""
        sha = image_hash(clean)
        if not self._has(f"{sha}-clean.png"):
            write_png(self.inputs / f"{sha}-clean.png", channels_last(clean), bits=8 if _is_of_8_bit(clean) else 16)
        if not self._has(f"{sha}-clean.npy") and bool((in_16_bit(clean).float() != clean).any()):
            with whole_file(self.inputs / f"{sha}-clean.npy") as part, part.open("wb") as file:
                np.save(file, channels_last(clean))
        return sha

    def _has(self, name: str) -> bool:
        own = self.inputs / name
        if own.is_file():
            return True
        for folder in self._of_others:
            with suppress(OSError):  # not there, or no links on this file system
                os.link(folder / name, own)
                return True
        return False

    @cached_property
    def _of_others(self) -> list[Path]:
        """The test images of the other studies beside this one."""
        self.inputs.mkdir(parents=True, exist_ok=True)
        return [folder for folder in sorted(self.inputs.parent.parent.glob("*/.inputs")) if folder != self.inputs]


def channels_last(image: Tensor) -> np.ndarray:
    """(C, H, W) -> (H, W, C)."""
    return image.detach().permute(1, 2, 0).cpu().numpy()


def _is_of_8_bit(image: Tensor) -> bool:
    return bool(torch.equal((image * 255).round_().clamp_(0, 255).double().div_(255).float(), image))
