"""What is kept of the images of a cell, and scored again under protocols asked for later."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from denoisebench.scoring.protocol import Protocol
from denoisebench.store.pictures import output_name, read_png
from denoisebench.store.rows import Row


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


def metrics(value: tuple[float, float] | None) -> dict[str, float | None]:
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
        result.append({**row, "protocol": protocol.name, **metrics(values)})
    return result


def kept_pair(row: Row, folder: Path, inputs: Path) -> tuple[Tensor, Tensor]:
    """The kept output and the clean image of a scored row: (1, C, H, W) float64 each.

    Raises: FileNotFoundError for images that are gone.
    """
    denoised = read_png(folder / "images" / output_name(row["image"], int(row["repeat"])))
    return batched(denoised), batched(_kept_clean(inputs, row["clean_sha"]))


def _kept_clean(inputs: Path, sha: str) -> np.ndarray:
    exact = inputs / f"{sha}-clean.npy"
    return np.load(exact) if exact.is_file() else read_png(inputs / f"{sha}-clean.png")


def batched(image: np.ndarray) -> Tensor:
    """(H, W, C) -> (1, C, H, W)."""
    return torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
