"""Weights of a method: read from a file, and whether the code that made them is still the same."""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from denoisebench import sampling, tiling
from denoisebench.denoiser import Denoiser
from denoisebench.networks.layout import found, unwrapped
from denoisebench.networks.weight_files import read_file


def weights_sha(method: Denoiser) -> str:
    """SHA-256 of a method's weights: names, shapes, types and values, whatever file they lie in; empty without any."""
    digest = hashlib.sha256()
    state = method.state_dict()
    for name in sorted(state):
        values = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().data if values.numel() else b"")
    return digest.hexdigest() if state else ""


def load_weights(method: Denoiser, path: Path, way_out: str = "give a file that such a method saved") -> None:
    """Give `method` the weights of a file: a training's `weights.safetensors`, a Lightning checkpoint, or what authors released.

    Raises: ValueError naming the file and what does not fit.
    """
    try:
        weights = unwrapped(read_file(path))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a valid file of weights ({error}); {way_out}") from error
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
        if wrong := _misfits(method, weights):
            raise ValueError(f"{path} does not fit {type(method).__name__} with these settings: it {wrong}; {way_out}")
    method.load_state_dict({**method.state_dict(), **weights})


def _misfits(method: Denoiser, weights: Mapping[str, Tensor]) -> str:
    ours = method.state_dict()
    needed = {name for name in ours if not name.startswith(method.training_only)}
    wrong = {
        "lacks": sorted(needed - weights.keys()),
        "has too much": sorted(weights.keys() - ours.keys()),
        "has of another shape": sorted(name for name in ours.keys() & weights.keys() if ours[name].shape != weights[name].shape),
        "has whole numbers in": sorted(
            name
            for name in ours.keys() & weights.keys()
            if ours[name].is_floating_point() and not weights[name].is_floating_point()
        ),
        "has NaN or infinite numbers in": sorted(
            name for name in ours.keys() & weights.keys() if _is_finite(ours[name]) and not _is_finite(weights[name])
        ),
    }
    return "; ".join(f"{what} {', '.join(names[:3])} ({len(names)} in all)" for what, names in wrong.items() if names)


def _is_finite(values: Tensor) -> bool:
    return not values.is_floating_point() or bool(values.isfinite().all())


def source_hash(method: Denoiser) -> str:
    """Of the files of a method's own class, of its networks' classes (but PyTorch's), and of what rearranges pixels."""
    modules = {type(part).__module__ for part in method.modules()} | {sampling.__name__, tiling.__name__}
    names = sorted(name for name in modules if not name.startswith(("torch.", "torchvision.", "pytorch_lightning.")))
    files = [getattr(sys.modules[name], "__file__", None) for name in names]
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files if file)).hexdigest()[:16]
