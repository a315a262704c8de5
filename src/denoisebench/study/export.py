"""`denoisebench export`: a trained network as ONNX, a program of torch.export, or safetensors."""

import io
import json
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from denoisebench.config import ConfigError, quoting
from denoisebench.config.jobs import job_of
from denoisebench.denoiser import Denoiser
from denoisebench.elsewhere.formats import ABOUT
from denoisebench.methods.ffdnet import FFDNet
from denoisebench.networks.weight_files import as_safetensors
from denoisebench.store.files import whole_file
from denoisebench.store.plan import read_plan
from denoisebench.store.trainings import weights_in
from denoisebench.tiling import pad_to_multiple
from denoisebench.training.weights import load_weights

To = Literal["onnx", "torch", "safetensors"]
MULTIPLES = (1, 2, 8, 32, 40)  # of sides, tried in turn: what a method pads its images to
TRACED = 3  # times the multiple: the sides of the image that is traced
LEAST_SIDE = 64
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors"}


class _Denoises(nn.Module):
    """What `denoise` does, as a network."""

    def __init__(self, method: Denoiser) -> None:
        super().__init__()
        self.method = method

    def forward(self, x: Tensor) -> Tensor:
        return self.method.denoise(x)


class _WithLevel(nn.Module):
    """FFDNet given its level as a further channel: (N, C + 1, H, W) -> (N, C, H, W)."""

    def __init__(self, method: FFDNet) -> None:
        super().__init__()
        self.network = method.network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x[:, :-1], x[:, -1].mean(dim=(1, 2)))


def export(method: Denoiser, channels: int, to: To, path: Path) -> Mapping[str, Any]:
    """Write the network of a method, in evaluation mode. Returns what the file says of itself.

    Raises: ValueError for a method whose `denoise` is no fixed function of one image.
    """
    method.eval()
    if to == "safetensors":
        return _weights(method, path)
    if method.learns != "dataset":
        how = "nothing" if method.learns == "nothing" else "anew from each image"
        raise ValueError(f"{type(method).__name__} has no network to export: it learns {how}")
    if method.stochastic:
        raise ValueError(f"{type(method).__name__} draws random numbers to denoise, which no exported graph does; "
                         "--to safetensors writes its weights")  # fmt: skip
    program, about = _program(method, channels)
    if to == "torch":
        buffer = io.BytesIO()
        with _quiet():
            torch.export.save(program, buffer, extra_files={ABOUT: json.dumps(about)})
        with whole_file(path) as part:
            part.write_bytes(buffer.getvalue())
    else:
        _onnx(program, about, path)
    return about


def _weights(method: Denoiser, path: Path) -> Mapping[str, Any]:
    with whole_file(path) as part:
        part.write_bytes(as_safetensors(method.state_dict()))
    return {}


def _program(method: Denoiser, channels: int) -> tuple[ExportedProgram, dict[str, Any]]:
    """The program for sides of the smallest multiple that it can be traced with, any size of them."""
    level = isinstance(method, FFDNet)
    network = _WithLevel(method) if isinstance(method, FFDNet) else _Denoises(method)
    about = {"range": 1, "sigma_map": level, "channels": channels, "padding": "replicate" if level else "reflect"}
    if reach := _reach(method):
        about["reach"] = reach
    network.to(memory_format=torch.contiguous_format)  # others are not whole to the writer of torch.export
    problems = []
    for multiple in MULTIPLES:
        try:
            with _quiet():
                return _traced(network, channels + level, multiple), {**about, "multiple": multiple}
        except Exception as error:  # whatever the tracer cannot follow
            problems.append(f"multiple {multiple}: {' '.join(str(error).split())[:160]}")
    raise ValueError(f"{type(method).__name__} cannot be exported for images of any size ({'; '.join(problems)})")


def _reach(method: Denoiser) -> int | None:
    """How far an output pixel sees, as the method, its network or the module of that says; None where none does."""
    network = getattr(method, "network", None)
    known = [getattr(part, "reach", None) for part in (method, network)]
    known.append(getattr(sys.modules[type(network).__module__], "REACH", None))
    return max((reach for reach in known if isinstance(reach, int)), default=None)


def _traced(network: nn.Module, channels: int, multiple: int) -> ExportedProgram:
    times = max(TRACED, -(-LEAST_SIDE // multiple))
    x = torch.rand(1, channels, times * multiple, (times + 1) * multiple, generator=torch.Generator().manual_seed(0))
    shapes = ({2: multiple * Dim("rows", min=2), 3: multiple * Dim("columns", min=2)},)
    if multiple == 1:
        shapes = ({2: Dim("rows", min=8), 3: Dim("columns", min=8)},)
    program = torch.export.export(network.eval(), (x,), dynamic_shapes=shapes)
    sides = [((times + 2) * multiple, times * multiple)]
    if not isinstance(network, _WithLevel):  # which takes multiples alone, and is padded for them by FFDNet itself
        sides.append((times * multiple + 1, (times + 1) * multiple - 1))
    for height, width in sides:
        _check(program, network, torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(1)), multiple)
    return program


def _check(program: ExportedProgram, network: nn.Module, x: Tensor, multiple: int) -> None:
    """As `method=network` pads it. Raises: ValueError for a network that is another one so.

    One that normalises an image by its mean, for instance, must not be given what was padded.
    """
    height, width = x.shape[-2:]
    apart = (program.module()(pad_to_multiple(x, multiple))[..., :height, :width] - network(x)).abs().max().item()
    if apart > 1e-5:
        raise ValueError(f"an image of {height} x {width}, padded to multiples, differs by {apart:.2g}")


def _onnx(program: ExportedProgram, about: Mapping[str, Any], path: Path) -> None:
    with _quiet():
        model = torch.onnx.export(program, dynamo=True, verbose=False)
    assert model is not None
    proto = model.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = "denoisebench", json.dumps(about)
    with whole_file(path) as part:
        part.write_bytes(proto.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        yield


def network_of(source: str, settings: Sequence[str]) -> tuple[Denoiser, int, str]:
    """The method of a cell with the weights that it was tested with, or of a file of weights and the settings of its method;
    its channels and its name.

    Raises: ConfigError, ValueError or FileNotFoundError for what is not there.
    """
    place = Path(source).expanduser()
    if place.is_dir():
        cell = next((cell for cell in read_plan(place.parents[3]).values() if cell.folder.resolve() == place.resolve()), None)
        if cell is None:
            raise ConfigError(f"{source} is no cell of the plan of {place.parents[3]}")
        job = job_of(cell.overrides)
        weights = job.checkpoint or weights_in(cell.training)
    else:
        if not any(one.startswith("method=") for one in settings):
            raise ConfigError(f"say whose weights {source} are: method=NAME")
        job, weights = job_of([*settings, f"checkpoint={quoting.quoted(source)}"]), place
    if not weights.is_file():
        raise FileNotFoundError(f"{weights}: no such file of weights")
    method = job.method.make()
    load_weights(method, weights)
    return method, job.test_set.channels, job.method.name
