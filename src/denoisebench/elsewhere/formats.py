"""Networks read from files without running code in them: ONNX, torch.export, spandrel; TorchScript and pickles only if told."""

import importlib
import inspect
import json
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from denoisebench.networks.weight_files import read_file

Network = Callable[[Tensor], Tensor]
ABOUT = "denoisebench.json"  # what an exported file says of itself: range, sigma_map, multiple, channels


class OnnxNetwork:
    """A graph of ONNX: operators of a fixed list on tensors, run by onnxruntime; it holds no code. Raises: ValueError."""

    def __init__(self, file: Path) -> None:
        runtime = _needed("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        threads = torch.get_num_threads()
        options.intra_op_num_threads = threads
        wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if torch.cuda.is_available() else ["CPUExecutionProvider"]
        own = [name for name in wanted if name in runtime.get_available_providers()]
        try:
            self.session = runtime.InferenceSession(str(file), options, providers=own)
        except Exception as error:
            raise ValueError(f"{file} is no network of ONNX that onnxruntime reads ({short(error)})") from error
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            raise ValueError(f"{file} takes {len(inputs)} inputs, expected one image (N, C, H, W)")
        self.input = inputs[0].name
        self.about = self.session.get_modelmeta().custom_metadata_map.get("denoisebench", "{}")

    def __call__(self, x: Tensor) -> Tensor:
        [found, *_] = self.session.run(None, {self.input: x.float().cpu().numpy()})
        return torch.from_numpy(found).to(x.device)


def _needed(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(f"method.file needs {module}: pip install 'denoisebench[{extra}]'") from error


def short(error: Exception) -> str:
    """What a library says of a failure, on one line."""
    return type(error).__name__ + ": " + " ".join(str(error).split())[:200]


def read_network(file: Path, device: torch.device, *, trust: bool) -> tuple[Network, Mapping[str, Any]]:
    """A function of (N, C, H, W) and what the file says of itself. trust: TorchScript and pickles too, which run code.

    Raises: ValueError for a file of no known kind.
    """
    kind = kind_of(file)
    if kind == "onnx":
        network = OnnxNetwork(file)
        return network, json.loads(network.about)
    if kind == "export":
        return _exported(file, device)
    if kind == "torchscript":
        if not trust:
            raise ValueError(f"{file} is TorchScript, a program that would run: method.trust=true if you trust who made it")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.load(str(file), map_location=device).eval(), {}
    return _by_spandrel(file, device, trust=trust), {}


def kind_of(file: Path) -> Literal["onnx", "export", "torchscript", "checkpoint"]:
    """By content where it is an archive, else by suffix."""
    if file.suffix == ".onnx":
        return "onnx"
    if not zipfile.is_zipfile(file):
        return "checkpoint"
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) or "/models/" in name for name in names):
        return "export"
    return "torchscript" if any("/code/" in name for name in names) else "checkpoint"


def _exported(file: Path, device: torch.device) -> tuple[Network, Mapping[str, Any]]:
    """A program of torch.export: a graph of ATen operators as JSON, and tensors; loading it runs none of it."""
    extra = {ABOUT: ""}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(str(file), extra_files=extra)
    except Exception as error:
        raise ValueError(f"{file} is no program of torch.export that this PyTorch reads ({short(error)})") from error
    about = json.loads(extra[ABOUT] or "{}")
    return module_of(program, guarded=about.get("guarded", True)).to(device), about


def module_of(program: torch.export.ExportedProgram, *, guarded: bool) -> nn.Module:
    """guarded: it refuses sizes for which its code could have gone another way. Of a file of `denoisebench export` that is
    known to make no difference."""
    if guarded or "check_guards" not in inspect.signature(program.module).parameters:
        return program.module()
    return program.module(check_guards=False)


def _by_spandrel(file: Path, device: torch.device, *, trust: bool) -> Network:
    """A checkpoint whose architecture spandrel recognises by its tensors; read as tensors alone unless trusted."""
    spandrel = _needed("spandrel", "spandrel")
    try:
        state = _state_dict(file, trust=trust)
        found = spandrel.ModelLoader(device=device).load_from_state_dict(state)
    except Exception as error:
        raise ValueError(f"{file} is no checkpoint that spandrel recognises ({short(error)})") from error
    if found.scale != 1:
        raise ValueError(f"{file} is a network that enlarges by {found.scale}, no denoiser")
    return found.model.eval()


def _state_dict(file: Path, *, trust: bool) -> Mapping[str, Tensor]:
    trusted = trust and file.suffix != ".safetensors"
    loaded = torch.load(file, map_location="cpu", weights_only=False) if trusted else read_file(file)
    if isinstance(loaded, nn.Module):
        return loaded.state_dict()
    return next((loaded[key] for key in ("params_ema", "params", "state_dict") if key in loaded), loaded)
