"""What is kept of the images of a cell, and scored again under protocols asked for later."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from denoisebench.scoring.further import Further, scores
from denoisebench.scoring.measures import columns
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.pictures import output_name, read_png
from denoisebench.store.rows import Row
from denoisebench.versions import protocol_version


def in_16_bit(image: Tensor) -> Tensor:
    """What a 16-bit file holds of an image: clipped to [0, 1] and rounded to 65536 levels, in float64."""
    return image.clamp(0, 1).double().mul_(65535).add_(0.5).floor_().div_(65535)


def as_stored(clean: Tensor) -> Tensor:
    """Images of 8 or 16 bit exactly, without the rounding of their float32; other images as they are; in float64."""
    stored = in_16_bit(clean)
    same = (stored.float() == clean).flatten(1).all(1)
    if same.device.type == "cpu" and bool(same.all()):  # on a GPU, asking would wait for it
        return stored
    return torch.where(same.view(-1, 1, 1, 1), stored, clean.double())


def image_hash(noisy: Tensor) -> str:
    """A hash of one noisy image (C, H, W): scores are paired only where it is equal."""
    array = np.ascontiguousarray(noisy.detach().cpu().numpy())
    digest = hashlib.sha256(str(array.shape).encode())
    digest.update(array.data)
    return digest.hexdigest()[:16]


def rescored(rows: Sequence[Row], protocol: Protocol, folder: Path, inputs: Path) -> list[Row]:
    """Rows under another protocol, from the kept outputs: equal to what scoring at once would have given.

    rows: one for each image and repeat. Costs are taken over from them. What needs the noisy image as it was is empty.
    Raises: ValueError for a protocol that does not clip; FileNotFoundError for images that are gone.
    """
    if not protocol.clip:
        raise ValueError(f"protocol {protocol.name} does not clip, and outputs are kept clipped")
    told = {"protocol": protocol.name, "protocol_version": protocol_version(protocol)}
    return [{**row, **told, **_rescored(row, protocol, folder, inputs)} for row in rows]


def _rescored(row: Row, protocol: Protocol, folder: Path, inputs: Path) -> dict[str, float | None]:
    if row["status"] == "done":
        return values_of(protocol.scores(*kept_pair(row, folder, inputs), None), 0)
    if all(measure.needs for measure in protocol.measures):
        return dict.fromkeys(columns())
    return values_of(protocol.scores(_kept_output(row, folder), None, None), 0)


def measured(row: Row, protocol: Protocol, folder: Path, inputs: Path, wanted: Sequence[Further]) -> Row:
    """Further measures of a row's kept output under its protocol. What needs the noisy image as it was is empty.

    Raises: FileNotFoundError for images that are gone.
    """
    clean = batched(kept_clean(inputs, row["clean_sha"])) if row["status"] == "done" else None
    return values_of(scores(wanted, protocol, _kept_output(row, folder), clean, None), 0)


def values_of(scores: Mapping[str, Tensor], image: int) -> dict[str, float | None]:
    """The scores of one image of a batch as a row has them: None for what there is not."""
    values = {name: score[image].item() for name, score in scores.items()}
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def kept_pair(row: Row, folder: Path, inputs: Path) -> tuple[Tensor, Tensor]:
    """The kept output and the clean image of a scored row: (1, C, H, W) float64 each.

    Raises: FileNotFoundError for images that are gone.
    """
    return _kept_output(row, folder), batched(kept_clean(inputs, row["clean_sha"]))


def _kept_output(row: Row, folder: Path) -> Tensor:
    return batched(read_png(folder / "images" / output_name(row["image"], int(row["repeat"]))))


def kept_clean(inputs: Path, sha: str) -> np.ndarray:
    exact = inputs / f"{sha}-clean.npy"
    return np.load(exact) if exact.is_file() else read_png(inputs / f"{sha}-clean.png")


def batched(image: np.ndarray) -> Tensor:
    """(H, W, C) -> (1, C, H, W)."""
    return torch.from_numpy(image.transpose(2, 0, 1).copy())[None]
