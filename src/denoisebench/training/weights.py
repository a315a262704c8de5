"""Weights of a method: read from a file, and whether the code that made them is still the same."""

import hashlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from denoisebench import sampling, tiling
from denoisebench.denoiser import Denoiser
from denoisebench.networks.layout import found, unwrapped


def load_weights(method: Denoiser, path: Path, way_out: str = "give a file that such a method saved") -> None:
    """Give `method` the weights of a file: a training's `weights.pt`, a Lightning checkpoint, or what authors released.

    Raises: ValueError naming the file and what does not fit.
    """
    try:
        weights = tensors_of(path)
    except Exception as error:
        raise ValueError(f"{path} is not a valid file of weights ({told(error)}); {way_out}") from error
    if wrong := _misfits(method, weights):
        try:
            released = method.released(weights)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if released is None:
            layouts = method.released_layouts
            known = f"; it holds {found(weights)}, and the released layouts known are: {', '.join(layouts)}" if layouts else ""
            raise ValueError(f"{path} does not fit {type(method).__name__} with these settings: it {wrong}{known}; {way_out}")
        weights = released
        assert not _misfits(method, weights)
    method.load_state_dict({**method.state_dict(), **weights})


def tensors_of(path: Path) -> Mapping[str, Tensor]:
    """The named tensors of a file: safetensors, or what PyTorch reads without running code. Raises: whatever these raise."""
    if path.suffix == ".safetensors":
        return load_file(str(path))
    return unwrapped(torch.load(path, map_location="cpu", weights_only=True))


def told(error: Exception) -> str:
    """What an unpickler says of a file, without its advice: nobody should load a foreign file less safely."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
    if "weights_only" in text:
        return "it would run code when it is loaded"
    return text[:200] if isinstance(error, OSError | ValueError) else "it is damaged, or of another kind"


def _misfits(method: Denoiser, weights: Mapping[str, Tensor]) -> str:
    ours = method.state_dict()
    needed = {name for name in ours if not name.startswith(method.training_only)}
    wrong = {
        "lacks": sorted(needed - weights.keys()),
        "has too much": sorted(weights.keys() - ours.keys()),
        "has of another shape": sorted(name for name in ours.keys() & weights.keys() if ours[name].shape != weights[name].shape),
    }
    return "; ".join(f"{what} {', '.join(names[:3])} ({len(names)} in all)" for what, names in wrong.items() if names)


def source_hash(method: Denoiser) -> str:
    """Of the files of a method's own class, of its networks' classes (but PyTorch's), and of what rearranges pixels."""
    modules = {type(part).__module__ for part in method.modules()} | {sampling.__name__, tiling.__name__}
    names = sorted(name for name in modules if not name.startswith(("torch.", "torchvision.", "pytorch_lightning.")))
    files = [getattr(sys.modules[name], "__file__", None) for name in names]
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files if file)).hexdigest()[:16]
