"""`denoisebench export`: a trained network as ONNX, a program of torch.export, or safetensors."""

import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from denoisebench.config import ConfigError, quoting
from denoisebench.config.jobs import job_of
from denoisebench.denoiser import Denoiser
from denoisebench.elsewhere.formats import ABOUT, OnnxNetwork, module_of
from denoisebench.job import Job
from denoisebench.methods.ffdnet import FFDNet
from denoisebench.networks.weight_files import as_safetensors
from denoisebench.store.cell import Cell
from denoisebench.store.files import whole_file
from denoisebench.store.plan import plan_around
from denoisebench.store.trainings import weights_in
from denoisebench.tiling import in_tiles
from denoisebench.training.weights import load_weights

To = Literal["onnx", "torch", "safetensors"]
TRACED = (67, 73)  # the sides of the image that is traced: primes, so that what pads to multiples is seen to do so
SIZES = ((96, 64), (62, 78), (63, 77), (32, 40), (10, 8), (9, 7))  # multiples of what networks halve, and not
ALIGNED = (1, 2, 4, 5, 8, 10, 16, 32)  # where tiles may begin
SIDE = 32  # of the tiles that are tried
CLOSE, CLOSE_ONNX = 1e-5, 1e-4
WITHOUT_DRAWING = (("refine", False), ("passes", 0))  # settings under which some methods draw no random numbers
SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors"}
WITHOUT_NETWORK = {"nothing": "learns nothing", "image": "learns anew from each image"}


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
        raise ValueError(f"{type(method).__name__} has no network to export: it {WITHOUT_NETWORK[method.learns]}")
    if method.stochastic and _draws(method, channels):
        raise ValueError(f"{type(method).__name__} draws random numbers to denoise, which no exported graph does; "
                         f"--to safetensors writes its weights{_way_out(method, channels)}")  # fmt: skip
    program, about = _program(method, channels)
    if to == "torch":
        buffer = io.BytesIO()
        with _quiet():
            torch.export.save(program, buffer, extra_files={ABOUT: json.dumps(about)})
        with whole_file(path) as part:
            part.write_bytes(buffer.getvalue())
    else:
        _onnx(method, program, about, path)
    return about


def _draws(method: Denoiser, channels: int) -> bool:
    """Whether denoising an image moves the random generator."""
    before = torch.get_rng_state()
    with torch.no_grad():
        method.denoise(_image(channels, SIDE, SIDE))
    drawn = not torch.equal(before, torch.get_rng_state())
    torch.set_rng_state(before)
    return drawn


def _way_out(method: Denoiser, channels: int) -> str:
    """The setting without which it would draw none, if there is one."""
    for name, value in WITHOUT_DRAWING:
        given = getattr(method, name, None)
        if given:
            setattr(method, name, value)
            drawn = _draws(method, channels)
            setattr(method, name, given)
            if not drawn:
                return f", and with method.{name}={str(value).lower()} it draws none"
    return ""


def _image(channels: int, height: int, width: int) -> Tensor:
    """Of noise, brighter to the right, so that a part of it has another mean than the whole."""
    noise = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0))
    return noise * torch.linspace(0.2, 1, width)


def _weights(method: Denoiser, path: Path) -> Mapping[str, Any]:
    with whole_file(path) as part:
        part.write_bytes(as_safetensors(method.state_dict()))
    return {}


def _program(method: Denoiser, channels: int) -> tuple[ExportedProgram, dict[str, Any]]:
    """The program for images of any size; FFDNet's, which is given its level beside the image, for even sides."""
    level = isinstance(method, FFDNet)
    network = _WithLevel(method) if isinstance(method, FFDNet) else _Denoises(method)
    network.to(memory_format=torch.contiguous_format)  # others are not whole to the writer of torch.export
    multiple = 1 + level
    try:
        program = _traced(network, channels + level, multiple)
    except Exception as error:  # whatever the tracer cannot follow
        told = " ".join(str(error).split())[:300]
        raise ValueError(f"{type(method).__name__} cannot be exported for images of any size: {told}") from error
    about = {"range": 1, "sigma_map": level, "channels": channels, "padding": "replicate" if level else "reflect",
             "multiple": multiple, "guarded": False}  # fmt: skip
    reach = _reach(method)
    return program, {**about, "reach": reach or 0, "aligned": _aligned(program, channels + level, reach, multiple)}


def _reach(method: Denoiser) -> int | None:
    """How far an output pixel sees, as the method, its network or the module of that says; None where none does."""
    network = getattr(method, "network", None)
    known = [getattr(part, "reach", None) for part in (method, network)]
    known.append(getattr(sys.modules[type(network).__module__], "REACH", None))
    return max((reach for reach in known if isinstance(reach, int)), default=None)


def _traced(network: nn.Module, channels: int, multiple: int) -> ExportedProgram:
    """Raises: ValueError for a network that is not the same one at other sizes."""
    with _quiet():
        sides = {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
        program = torch.export.export(
            network.eval(), (_image(channels, *(multiple * side for side in TRACED)),), dynamic_shapes=(sides,)
        )
    _check(module_of(program, guarded=False), network, channels, multiple, CLOSE)
    return program


def _check(exported: Callable[[Tensor], Tensor], network: nn.Module, channels: int, multiple: int, close: float) -> None:
    """Raises: ValueError for what is not the same at each size."""
    for height, width in SIZES:
        if height % multiple == width % multiple == 0:
            x = _image(channels, height, width)
            with torch.no_grad():
                apart = (exported(x) - network(x)).abs().max().item()
            if not apart <= close:
                raise ValueError(f"an image of {height} x {width} differs by {apart:.2g}")


def _aligned(program: ExportedProgram, channels: int, reach: int | None, multiple: int) -> int:
    """Of what number of pixels the places of tiles must be multiples, so that tiles change nothing; 0 where they do.

    They do where an image is normalised as a whole, for instance.
    """
    if not reach:
        return 0
    module, widest = module_of(program, guarded=False), -(-reach // SIDE) * SIDE
    x = _image(channels, SIDE, 2 * widest + 3 * SIDE)
    if multiple > 1:
        x[:, -1] = 0.1  # FFDNet's level
    with torch.no_grad():
        whole = module(x)
        for aligned in ALIGNED:
            if aligned % multiple == 0:
                tiled = in_tiles(lambda part: _kept(module(part), part), x, SIDE + aligned, reach, aligned)[:, : whole.shape[1]]
                if (tiled - whole).abs().max() <= CLOSE:
                    return aligned
    return 0


def _kept(found: Tensor, x: Tensor) -> Tensor:
    """With the channels that are no image, as they came."""
    return torch.cat([found, x[:, found.shape[1] :]], dim=1)


def _onnx(method: Denoiser, program: ExportedProgram, about: Mapping[str, Any], path: Path) -> None:
    with _quiet():
        model = torch.onnx.export(program, dynamo=True, verbose=False)
    assert model is not None
    proto = model.model_proto
    entry = proto.metadata_props.add()
    entry.key, entry.value = "denoisebench", json.dumps(about)
    level = isinstance(method, FFDNet)
    with whole_file(path) as part:
        part.write_bytes(proto.SerializeToString())
        if find_spec("onnxruntime"):  # its operators are not PyTorch's
            network = _WithLevel(method) if isinstance(method, FFDNet) else _Denoises(method)
            _check(OnnxNetwork(part), network, about["channels"] + level, about["multiple"], CLOSE_ONNX)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what PyTorch says of its own arithmetic."""
    solver = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = solver.level
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        solver.setLevel(logging.ERROR)
        try:
            yield
        finally:
            solver.setLevel(level)


def cell_at(place: Path) -> tuple[Cell, Mapping[str, Cell]]:
    """The cell of a folder, however its path is written, and the plan of its study.

    Raises: ConfigError for a folder that is none of a study.
    """
    for path in (place.absolute(), place.resolve()):  # first as it is written: beside a link to a study lie its trainings
        plan = plan_around(path)
        for cell in plan.values():
            if cell.folder.resolve() == place.resolve():
                return cell, plan
    raise ConfigError(f"{place} is no cell of a study: give the folder of one, e.g. runs/STUDY/METHOD/SET/NOISE/seed0-KEY")


def why_untrained(job: Job) -> str:
    """Why no network was trained for the cell of a job."""
    if job.method.learns != "dataset":
        return f"{job.method.name} {WITHOUT_NETWORK[job.method.learns]}; give a cell of a method that learns from a data set"
    return f"its weights were given, {job.checkpoint}"


def _weights_of(cell: Cell, job: Job) -> Path:
    """The weights that a cell was tested with. Raises: ConfigError for a cell that has none."""
    if job.checkpoint is None and job.learning is None:
        raise ConfigError(f"{cell} has no network to export: {why_untrained(job)}")
    return job.checkpoint or weights_in(cell.training)


def network_of(source: str, settings: Sequence[str]) -> tuple[Denoiser, int, str]:
    """The method of a cell with the weights that it was tested with, or of a file of weights and the settings of its method;
    its channels and its name.

    Raises: ConfigError, ValueError or FileNotFoundError for what is not there.
    """
    place = Path(source).expanduser()
    if place.is_dir():
        cell, _ = cell_at(place)
        job = job_of([*cell.overrides, *settings])
        weights = _weights_of(cell, job)
    else:
        if not any(one.startswith("method=") for one in settings):
            raise ConfigError(f"say whose weights {source} are: method=NAME")
        job, weights = job_of([*settings, f"checkpoint={quoting.quoted(source)}"]), place
    if not weights.is_file():
        raise FileNotFoundError(f"{weights}: no such file of weights")
    method = job.method.make()
    load_weights(method, weights)
    return method, job.test_set.channels, job.method.name
