"""Weights of a method: read from a file, and whether the code that made them is still the same."""

import hashlib
import sys
from pathlib import Path

import torch

from denoisebench import sampling
from denoisebench.denoiser import Denoiser


def load_weights(method: Denoiser, path: Path, way_out: str = "give a file that such a method saved") -> None:
    """Give `method` the weights of a file: a training's `weights.pt`, or a Lightning checkpoint.

    Raises: ValueError naming the file and what does not fit.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        weights = stored.get("state_dict", stored)
    except Exception as error:
        raise ValueError(f"{path} is damaged or no file of weights ({error}); {way_out}") from error
    ours = method.state_dict()
    wrong = {
        "lacks": sorted(ours.keys() - weights.keys()),
        "has too much": sorted(weights.keys() - ours.keys()),
        "has of another shape": sorted(name for name in ours.keys() & weights.keys() if ours[name].shape != weights[name].shape),
    }
    if any(wrong.values()):
        told = "; ".join(f"{what} {', '.join(names[:3])} ({len(names)} in all)" for what, names in wrong.items() if names)
        raise ValueError(f"{path} does not fit {type(method).__name__} with these settings: it {told}; {way_out}")
    method.load_state_dict(weights)


def source_hash(method: Denoiser) -> str:
    """Of the files of a method's own class, of its networks' classes (but PyTorch's), and of what rearranges pixels."""
    modules = {type(part).__module__ for part in method.modules()} | {sampling.__name__}
    names = sorted(name for name in modules if not name.startswith(("torch.", "torchvision.", "pytorch_lightning.")))
    files = [getattr(sys.modules[name], "__file__", None) for name in names]
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files if file)).hexdigest()[:16]
