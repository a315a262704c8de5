"""Files of weights: those of safetensors, which are written here, and those of PyTorch, which are read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from denoisebench.networks import layout


def read_file(path: Path) -> Any:
    """What a file of safetensors or of PyTorch holds, read without running code in it.

    Raises: ValueError that says what is wrong.
    """
    if not is_safetensors(path):
        return layout.read_file(path)
    try:
        return load(path.read_bytes())  # not mapped: a file that another process cuts off would end this one
    except Exception as error:  # whatever a damaged file makes the reader raise
        raise ValueError("it is cut off, damaged, or no file of safetensors") from error


def is_safetensors(path: Path) -> bool:
    """By its ending, or by what it holds: eight bytes of length, then JSON; PyTorch's files are archives or pickles."""
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def as_safetensors(weights: Mapping[str, Tensor], said: Mapping[str, str] | None = None) -> bytes:
    """A state dict as a file of safetensors. said: what the file says of itself."""
    apart = {name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()}
    return save(apart, dict(said) if said else None)


def said_by(path: Path) -> dict[str, str]:
    """What a file of safetensors says of itself; empty where it says nothing."""
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
