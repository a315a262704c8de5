"""Files of weights that a paper's authors released: how they wrap a state dict, and how they name a network's tensors."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

WRAPPERS = ("state_dict", "model_state_dict", "params", "params_ema")
SHOWN = 3


def read_file(path: Path) -> Any:
    """What a PyTorch file, or one of safetensors, holds, read without running code in it.

    Raises: ValueError that says in our words what is wrong: PyTorch's advise to load such a file less safely.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(str(path))
        with warnings.catch_warnings(action="ignore"):  # PyTorch's remarks on how such a file was saved
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever a damaged or foreign file makes the restricted unpickler raise
        raise ValueError(_why_unread(error, path)) from error


def _why_unread(error: Exception, path: Path) -> str:
    """Without a word of PyTorch's."""
    said = str(error)
    runs_code = any(word in said for word in ("Unsupported global", "Unsupported class", "GLOBAL ")) or (
        "Unsupported operand" in said and _is_pickle(path)
    )
    return "it would run code when it is loaded" if runs_code else "it is cut off, damaged, or no file of PyTorch's"


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"


def unwrapped(content: Any) -> dict[str, Tensor]:
    """The named tensors of a loaded file, out of what trainers wrap them in. Raises: ValueError if there are none."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError("it holds no state dict, i.e. names with tensors")
    if strange := [str(name) for name, value in content.items() if value.is_complex() or value.is_quantized or value.is_sparse]:
        raise ValueError(f"{', '.join(strange[:SHOWN])} ({len(strange)} in all) hold complex, quantised or sparse numbers")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


@dataclass(frozen=True)
class Layout:
    """The names that a released file gives the tensors of a network of ours: theirs -> ours.

    whose: the network, for people, e.g. "TM-BSN's student".
    """

    whose: str
    names: Mapping[str, str]

    def __str__(self) -> str:
        names = list(self.names)
        return f"{self.whose} ({len(names)} tensors, {names[0]} to {names[-1]})"

    def renamed(self, weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor] | None:
        """The state dict of `network` from a file of this layout; None if a name or a shape is another."""
        ours = network.state_dict()
        if weights.keys() != self.names.keys() or ours.keys() != set(self.names.values()):
            return None
        renamed = {own: weights[theirs] for theirs, own in self.names.items()}
        if any(renamed[name].shape != ours[name].shape for name in ours):
            return None
        return {name: renamed[name].to(ours[name].dtype) for name in ours}


def layers(pairs: Mapping[str, str]) -> dict[str, str]:
    """Names of layers -> names of their weights and biases."""
    return {f"{theirs}.{kind}": f"{ours}.{kind}" for theirs, ours in pairs.items() for kind in ("weight", "bias")}


def found(weights: Mapping[str, Tensor]) -> str:
    """What a file holds, in a few words."""
    named = [f"{name} {tuple(tensor.shape)}" for name, tensor in list(weights.items())[:SHOWN]]
    more = f", ... {len(weights)} tensors in all" if len(weights) > SHOWN else ""
    return ", ".join(named) + more
