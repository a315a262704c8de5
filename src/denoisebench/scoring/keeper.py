"""The images of a cell, encoded and written beside the scoring."""

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from denoisebench.scoring.kept import image_hash, in_16_bit
from denoisebench.store.files import whole_file
from denoisebench.store.pictures import holds_levels, output_name, write_png

THREADS = 2


@dataclass(frozen=True)
class Keeping:
    """Where a cell's outputs and its test images are kept; of which shard (`i/n`, whose rows are kept apart) they are; and
    of how many images a picture is drawn.

    files: of each image's name the files that hold its noisy and its clean pixels as they are, where there are such.
    """

    folder: Path
    inputs: Path
    shard: str | None = None
    pictures: int = 4
    files: Mapping[str, tuple[Path | None, Path | None]] = field(default_factory=dict)


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

    A test image that another study of this root has is linked; one that is an 8-bit PNG of its data set is copied as it is,
    which takes less time than encoding it. (A link to it would change with its owner's file.)
    """

    def __init__(self, keeping: Keeping) -> None:
        self.folder, self.inputs, self._files = keeping.folder, keeping.inputs, keeping.files
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="images")

    def keep(self, name: str, repeat: int, denoised: Tensor, noisy: Tensor, clean: Tensor | None) -> Kept:
        """(C, H, W) each, not written to until it is kept."""
        path = self.folder / "images" / output_name(name, repeat)
        output = self._threads.submit(write_png, path, channels_last(denoised), bits=16)
        on_cpu = None if clean is None else clean.detach().cpu()
        of_noisy, of_clean = self._files.get(name, (None, None))
        noisy_sha = self._threads.submit(self._keep_noisy, noisy.detach().cpu(), of_noisy)
        return Kept(output, noisy_sha, None if on_cpu is None else self._threads.submit(self._keep_clean, on_cpu, of_clean))

    def close(self) -> None:
        """Waits for what has begun."""
        self._threads.shutdown(cancel_futures=True)

    def _keep_noisy(self, noisy: Tensor, file: Path | None) -> str:
        sha = image_hash(noisy)
        if not self._has(f"{sha}-noisy.png") and not self._copies(file, f"{sha}-noisy.png", len(noisy)):
            write_png(self.inputs / f"{sha}-noisy.png", channels_last(noisy))
        return sha

    def _keep_clean(self, clean: Tensor, file: Path | None) -> str:
        """In 8 bit where that holds it exactly; a clean image out of a float file can be more than its PNG."""
        sha = image_hash(clean)
        there = self._has(f"{sha}-clean.png")
        if not there and self._copies(file, f"{sha}-clean.png", len(clean)):
            return sha
        of_8_bit = _is_of_8_bit(clean)
        if not there:
            write_png(self.inputs / f"{sha}-clean.png", channels_last(clean), bits=8 if of_8_bit else 16)
        if not of_8_bit and not self._has(f"{sha}-clean.npy") and bool((in_16_bit(clean).float() != clean).any()):
            with whole_file(self.inputs / f"{sha}-clean.npy") as part, part.open("wb") as whole:
                np.save(whole, channels_last(clean))
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

    def _copies(self, file: Path | None, name: str, channels: int) -> bool:
        """Whether a file of the data set is what is to be kept, and now is."""
        if file is None or not holds_levels(file, channels):
            return False
        with whole_file(self.inputs / name) as part:
            shutil.copyfile(file, part)
        return True

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
