"""Training steps, inference and scores against the literal versions of `references.py` and other packages, in one run.

.venv/bin/python benchmarks/speed.py                             # ten minutes on two CPU cores; a GPU is used where there is one
.venv/bin/python benchmarks/speed.py --quick                     # tiny networks, seconds: does it run?
.venv/bin/python benchmarks/speed.py --only sdap,evaluator
.venv/bin/python benchmarks/speed.py --only psnr,ssim,bm3d       # other packages: `peers.py`
.venv/bin/python benchmarks/speed.py --scale                     # the other part: seconds and memory against the image's size

Before anything is timed both must give the same: outputs, loss, gradients and weights after a step of Adam. Each round
then times the reference, ours and ours under bfloat16 once, one after the other; a ratio is the median over rounds.
"""

import argparse
import copy
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import peers
import references
from denoisebench.denoiser import DatasetDenoiser, ImageDenoiser
from denoisebench.methods.apbsn import APBSN
from denoisebench.methods.cbsn import CBSN
from denoisebench.methods.neighbor2neighbor import Neighbor2Neighbor
from denoisebench.methods.sdap import SDAP
from denoisebench.methods.self2self_plus import Self2SelfPlus
from denoisebench.sampling import NEIGHBOR_PAIRS, draw_neighbors, draw_permutations, draw_pixels, random_dihedral
from denoisebench.scoring.measures import psnr
from denoisebench.scoring.memory import keep_freed
from denoisebench.scoring.meter import Meter
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.manifest import manifest
from paired import (
    EXACT,
    TOLERANCE,
    Row,
    Timer,
    difference,
    full_float32,
    picture,
    rounds_of,
    row_of,
    synchronize,
    timer,
)  # fmt: skip
from references import Layers, Reference

Method = DatasetDenoiser | ImageDenoiser
Options = Mapping[str, Any]

HERE = Path(__file__).parent
KINKS = 0.1  # of gradients in float32: see `same_step`
PROGRESS = 0.5  # all terms of all losses are there
CHANNELS = 3
GATED, UNGATED = 7, 11  # convolutions of the gated autoencoder
R3_PAD = 2
ROOM = 0.8  # of the memory there is


# --- What is compared, at which size ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """batch, patch: of a training step. image: of inference. steps: in one timing of a method that learns one image."""

    batch: int
    patch: tuple[int, int]
    image: tuple[int, int]
    steps: int = 1
    passes: int = 1


@dataclass(frozen=True)
class Preset:
    """sizes: by method. blocks: to score. narrow: networks far below the paper's width. seconds: for the rounds of one
    row. learning: which share of the quick recipe is trained before the PSNR of bfloat16 is taken, on a picture of which
    side. conv: batch and side of the plain convolution that gives the peak."""

    sizes: Mapping[str, Size]
    blocks: int
    narrow: bool
    seconds: float
    learning: tuple[float, int]
    conv: tuple[int, int]


CPU = Preset(
    {
        "sdap": Size(1, (60, 60), (96, 96)),
        "cbsn": Size(1, (60, 60), (96, 96)),
        "apbsn": Size(1, (60, 60), (64, 64)),
        "neighbor2neighbor": Size(4, (128, 128), (241, 161)),
        "self2self_plus": Size(1, (96, 96), (96, 96), steps=40, passes=20),
    },
    blocks=32, narrow=False, seconds=20, learning=(0.2, 128), conv=(1, 128),
)  # fmt: skip
GPU = Preset(
    {
        "sdap": Size(16, (160, 160), (256, 256)),
        "cbsn": Size(4, (120, 120), (256, 256)),
        "apbsn": Size(8, (120, 120), (256, 256)),
        "neighbor2neighbor": Size(4, (256, 256), (481, 321)),
        "self2self_plus": Size(1, (320, 480), (320, 480), steps=50, passes=500),
    },
    blocks=32, narrow=False, seconds=15, learning=(1.0, 256), conv=(8, 256),
)  # fmt: skip
QUICK = Preset(
    {
        "sdap": Size(2, (20, 20), (12, 16)),
        "cbsn": Size(2, (20, 20), (34, 36)),
        "apbsn": Size(2, (20, 20), (12, 16)),
        "neighbor2neighbor": Size(2, (64, 64), (41, 33)),
        "self2self_plus": Size(1, (64, 64), (64, 64), steps=2, passes=3),
    },
    blocks=2, narrow=True, seconds=0, learning=(0.01, 64), conv=(1, 32),
)  # fmt: skip

CLASSES: Mapping[str, type[Method]] = {
    "sdap": SDAP,
    "cbsn": CBSN,
    "apbsn": APBSN,
    "neighbor2neighbor": Neighbor2Neighbor,
    "self2self_plus": Self2SelfPlus,
}
# Initial weights that keep the size of what flows through: with the released ones of two methods nothing much does.
STARTS: Mapping[str, Options] = {
    **{name: {"init": "he"} for name in ("sdap", "cbsn", "apbsn")},
    "neighbor2neighbor": {"init_gain": 1.0},
    "self2self_plus": {"init": "he", "iqa": None},
}
NARROW: Mapping[str, Options] = {
    **{name: {"features": 8, "modules": 1} for name in ("sdap", "cbsn", "apbsn")},
    "neighbor2neighbor": {"features": 8},
    "self2self_plus": {"features": 8},
}


def method_of(name: str, size: Size, narrow: bool, device: str, **options: Any) -> Method:
    """Ours, with the paper's widths unless `narrow`."""
    torch.manual_seed(1)
    own = {"steps": size.steps, "passes": size.passes} if name == "self2self_plus" else {}
    return CLASSES[name](**{**STARTS[name], **(NARROW[name] if narrow else {}), **own, **options}).to(device)


def network_of(method: Method) -> nn.Module:
    assert isinstance(method.network, nn.Module)
    return method.network


def literal(name: str, tensors: Iterable[Tensor | None]) -> Layers:
    """The weights of ours, or their gradients, in the order of `parameters()`, laid out as the reference has them.

    A gated layer is two convolutions there: feature, then gate; here it may be one with both of them, in that order.
    """
    whole = [tensor.detach().clone(memory_format=torch.contiguous_format) for tensor in tensors if tensor is not None]
    layers = references.layers_of(whole)
    if name != "self2self_plus" or len(layers) == 2 * GATED + UNGATED:
        return layers
    halves = [half for w, b in layers[:GATED] for half in zip(w.chunk(2), b.chunk(2), strict=True)]
    return halves + layers[GATED:]


def reference_of(name: str, method: Method) -> Reference:
    """The reference with the weights that ours has now, and draws of its own."""
    layers = [(w.requires_grad_(), b.requires_grad_()) for w, b in literal(name, method.parameters())]
    if isinstance(method, Self2SelfPlus):
        return references.Self2SelfPlus.drawing(layers, method.drop, method.passes)
    plain: Mapping[str, type[Reference]] = {
        "sdap": references.SDAP,
        "cbsn": references.CBSN,
        "apbsn": references.APBSN,
        "neighbor2neighbor": references.Neighbor2Neighbor,
    }
    return plain[name](layers)


# --- Both give the same ----------------------------------------------------------------------------------------------


class Convolved(TorchDispatchMode):
    """Notes where the inputs of convolutions are not zero: whatever drew a mask, here it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[list[Tensor]] = [[]]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            x, weight, padded = args[0], args[1], not any(args[4])
            self.passes[-1].append((x[..., 1:-1, 1:-1] if padded else x) != 0)
            if len(weight) == CHANNELS:  # the last one of a network
                self.passes.append([])
        return func(*args, **(kwargs or {}))

    def masks(self) -> Iterator[Tensor]:
        """The mask of the input, image by image."""
        for convolved in self.passes[:-1]:
            yield from convolved[0][:, :CHANNELS].split(1)

    def kept(self) -> Iterator[Tensor]:
        """What each dropout of the decoder kept, image by image."""
        for convolved in self.passes[:-1]:
            for of_one in zip(*(part.split(1) for part in convolved[-UNGATED:-1]), strict=True):
                yield from of_one


@contextmanager
def network_inputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """What the network is given meanwhile."""
    inputs: list[Tensor] = []
    hook = network.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach().clone()))
    try:
        yield inputs
    finally:
        hook.remove()


def repeat_draws(
    name: str, method: Method, reference: Reference, act: Callable[[], Tensor], noisy: Tensor
) -> tuple[Tensor, Reference]:
    """What ours gives, and the reference as it will draw the same, once."""
    torch.manual_seed(2)
    with Convolved() as convolved, network_inputs(network_of(method)) as inputs:
        result = act()
    torch.manual_seed(2)
    if isinstance(reference, references.Self2SelfPlus):
        masks, kept, drop = convolved.masks(), convolved.kept(), reference.drop
        return result, replace(reference, mask=lambda x: next(masks).to(x.dtype), dropout=lambda x: x * next(kept) / (1 - drop))
    if isinstance(reference, references.APBSN):
        chosen = _replaced(inputs[1:], 255 * noisy)
        return result, replace(reference, turned=random_dihedral, replaced=lambda _: next(chosen))
    return result, replace(reference, **SEEDED[name])


def _replaced(inputs: list[Tensor], x: Tensor) -> Iterator[Tensor]:
    """Where the mixtures that R3 made, framed by reflection, hold values of the noisy image."""
    for mixtures in inputs:
        yield from (mixed == x for mixed in mixtures[..., R3_PAD:-R3_PAD, R3_PAD:-R3_PAD].split(len(x)))


SEEDED: Mapping[str, Mapping[str, Any]] = {
    "sdap": {
        "turned": random_dihedral,
        "orders": lambda x, side: draw_permutations(x, side).permute(0, 2, 3, 1).reshape(-1, side * side),
    },
    "cbsn": {"turned": random_dihedral, "pixels": lambda x, side: draw_pixels(x, side).flatten()},
    "neighbor2neighbor": {"pairs": lambda x: torch.tensor(NEIGHBOR_PAIRS, device=x.device)[draw_neighbors(x).flatten()]},
}


@dataclass(frozen=True)
class Step:
    """The largest differences of a training step; the weights after Adam's step with the same gradients."""

    loss: float
    gradients: float
    weights: float


def same_step(name: str, method: Method, size: Size, device: str, dtype: torch.dtype = torch.float32) -> Step:
    """In float64 all is to agree closely; in float32 gradients need not, so that this is where they are checked.

    A sum near zero that is rounded to the other side of the kink of a ReLU or an L1 term moves its whole share of the
    gradient: up to a hundredth of the largest value on the smallest maps. In float64 no sum is that near.
    """
    tolerance, for_gradients = (EXACT, EXACT) if dtype == torch.float64 else (TOLERANCE, KINKS)
    method = copy.deepcopy(method).train().to(dtype)
    noisy = picture(size.batch, *size.patch, device)[1].to(dtype)
    reference, optimizer = reference_of(name, method), method.configure_optimizers()
    loss, reference = repeat_draws(name, method, reference, lambda: method.loss(noisy, PROGRESS), noisy)
    loss.backward()
    expected = reference.loss(noisy, PROGRESS)
    expected.backward()
    gradients = references.tensors_of(literal(name, (parameter.grad for parameter in method.parameters())))
    wrong = [
        difference(got, _gradient(tensor), f"{name}, gradient of {'bias' if index % 2 else 'weight'} {index // 2}", for_gradients)
        for index, (tensor, got) in enumerate(zip(reference.parameters(), gradients, strict=True))
    ]
    for tensor, gradient in zip(reference.parameters(), gradients, strict=True):
        tensor.grad = gradient
    moved = same_adam(name, method, optimizer, reference, tolerance)
    return Step(difference(loss, expected, f"{name}, loss", tolerance), max(wrong), moved)


def same_adam(name: str, method: Method, optimizer: torch.optim.Optimizer, reference: Reference, tolerance: float) -> float:
    """The weights after one step with the gradients that are there."""
    optimizer.step()
    adam_of(reference, float(optimizer.param_groups[0]["lr"])).step()
    after = references.tensors_of(literal(name, method.parameters()))
    pairs = zip(after, reference.parameters(), strict=True)
    return max(difference(*pair, f"{name}, weights after a step", tolerance) for pair in pairs)


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def adam_of(reference: Reference, lr: float) -> torch.optim.Adam:
    return torch.optim.Adam(reference.parameters(), lr=lr, foreach=False)


def same_image(name: str, method: Method, size: Size, device: str) -> float:
    """Inference. Neighbor2Neighbor on a square: it pads other images otherwise than the release, and says so."""
    method = copy.deepcopy(method).eval()
    height, width = size.image
    _, noisy = picture(1, height, height if name == "neighbor2neighbor" else width, device)
    passes = min(size.passes, 4)
    if isinstance(method, Self2SelfPlus):
        method.passes = passes
    with torch.no_grad():
        output, reference = repeat_draws(name, method, reference_of(name, method), lambda: inferred(method, noisy), noisy)
        return difference(output, reference.denoise(noisy), f"{name}, inference", TOLERANCE)


def inferred(method: Method, noisy: Tensor) -> Tensor:
    return method.predict(noisy) if isinstance(method, ImageDenoiser) else method.denoise(noisy)


def same_scores(blocks: int, device: str) -> float:
    clean, noisy = picture(blocks, 256, 256, device)
    pairs = zip(Protocol("default").score(noisy, clean), references.scores(noisy, clean), strict=True)
    return max(difference(ours.cpu(), torch.tensor(expected), "score", TOLERANCE) for ours, expected in pairs)


# --- Timing ----------------------------------------------------------------------------------------------------------


def precision_of(precision: str, device: str) -> Any:
    """As `precision=bf16-mixed` does it: Lightning keeps no cast weights between operations."""
    return torch.autocast(device, torch.bfloat16, cache_enabled=False) if precision == "bf16" else nullcontext()


def as_run(method: Method, precision: str) -> Method:
    """A copy, with its weights in the memory that a run gives them."""
    method = copy.deepcopy(method)
    return method.to(memory_format=torch.channels_last) if precision == "bf16" else method


def training_of_ours(method: Method, noisy: Tensor, device: str, precision: str) -> Timer:
    """Of one step; a method that learns one image runs its own loop of steps, from new weights, and one pass after it."""
    method = as_run(method, precision).train()
    if isinstance(method, ImageDenoiser):
        return _image_training(method, noisy, device, precision)
    optimizer = method.configure_optimizers()

    def step() -> None:
        for group in optimizer.param_groups:
            group["lr"] = method.learning_rate(PROGRESS)
        with precision_of(precision, device):
            loss = method.loss(noisy, PROGRESS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return timer(step, device)


def _image_training(method: ImageDenoiser, noisy: Tensor, device: str, precision: str) -> Timer:
    """`denoise` tells, having waited for the device, when the last step is done."""
    ends: list[float] = []
    method.on_image_step = lambda _, __: ends.append(time.perf_counter())
    setattr(method, "passes", 1)  # noqa: B010  of the one subclass there is

    def run() -> float:
        synchronize(device)
        began = time.perf_counter()
        with torch.inference_mode(), precision_of(precision, device):
            method.denoise(noisy)
        return (ends[-1] - began) / method.num_steps

    return run


def training_of_reference(method: Method, reference: Reference, noisy: Tensor, steps: int, device: str) -> Timer:
    optimizer = adam_of(reference, method.learning_rate(0.0))

    def act() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            reference.loss(noisy, PROGRESS).backward()
            optimizer.step()

    run = timer(act, device)
    return lambda: run() / steps


def inference_of_ours(method: Method, noisy: Tensor, device: str, precision: str) -> Timer:
    method = as_run(method, precision).eval()

    def act() -> Tensor:
        with torch.inference_mode(), precision_of(precision, device):
            return inferred(method, noisy)

    return timer(act, device)


def inference_of_reference(reference: Reference, noisy: Tensor, device: str) -> Timer:
    def act() -> Tensor:
        with torch.no_grad():
            return reference.denoise(noisy)

    return timer(act, device)


# --- Floating-point operations ---------------------------------------------------------------------------------------


def flops_of(act: Callable[[], object]) -> int:
    """Of the convolutions, forward and backward, a multiplication and an addition being two."""
    with FlopCounterMode(display=False) as counter:
        act()
    return counter.get_total_flops()


def peak_flops(device: str, precision: str, shape: tuple[int, int], repeats: int) -> float:
    """Per second, of a plain 3 x 3 convolution of 144 to 96 channels, in the better of the two layouts."""
    batch, side = shape
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    x = torch.randn(batch, 144, side, side, device=device, dtype=dtype)
    weight = torch.randn(96, 144, 3, 3, device=device, dtype=dtype)
    fastest = math.inf
    with torch.no_grad():
        for layout in (torch.contiguous_format, torch.channels_last):
            pair = x.to(memory_format=layout), weight.to(memory_format=layout)
            run = timer(lambda pair=pair: F.conv2d(*pair, padding=1), device)
            run()
            fastest = min(fastest, *(run() for _ in range(repeats)))
        return flops_of(lambda: F.conv2d(x, weight, padding=1)) / fastest


# --- Rows ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    preset: Preset
    device: str
    peaks: Mapping[str, float]
    seconds: float

    def rows(self, method: str, what: str, size: str, timers: Mapping[str, Timer], equal: Mapping[str, str]) -> list[Row]:
        """timers: `reference`, then ours by precision."""
        rounds = rounds_of(list(timers.values()), self.seconds)
        columns = {name: list(column) for name, column in zip(timers, zip(*rounds, strict=True), strict=True)}
        reference = columns.pop("reference")
        return [row_of(method, what, size, name, reference, ours, equal[name]) for name, ours in columns.items()]

    def with_flops(self, rows: list[Row], reference: Callable[[], object], ours: Callable[[], object]) -> list[Row]:
        counts = flops_of(reference), flops_of(ours)
        for row in rows:
            row.flops_reference, row.flops_ours = counts
            row.of_peak_reference = counts[0] / row.reference_ms * 1e3 / self.peaks["32"]
            row.of_peak_ours = counts[1] / row.ours_ms * 1e3 / self.peaks[row.precision]
        return rows

    def method(self, name: str) -> list[Row]:
        size = self.preset.sizes[name]
        method = method_of(name, size, self.preset.narrow, self.device)
        return [*self.training(name, method, size), *self.inference(name, method, size)]

    def training(self, name: str, method: Method, size: Size) -> list[Row]:
        noisy = picture(size.batch, *size.patch, self.device)[1]
        reference = reference_of(name, method)
        equal = {"32": checked_step(name, method, size, self.device), "bf16": bf16_loss(method, noisy, self.device)}
        timers = {"reference": training_of_reference(method, reference, noisy, size.steps, self.device)}
        for precision in equal:
            timers[precision] = training_of_ours(method, noisy, self.device, precision)
        rows = self.rows(name, "training step", f"{size.batch} x {size.patch[0]} x {size.patch[1]}", timers, equal)
        return self.with_flops(
            rows, lambda: reference.loss(noisy, PROGRESS).backward(), lambda: method.loss(noisy, PROGRESS).backward()
        )

    def inference(self, name: str, method: Method, size: Size) -> list[Row]:
        noisy = picture(1, *size.image, self.device)[1]
        reference = reference_of(name, method)
        with full_float32():
            equal = {"32": f"{same_image(name, method, size, self.device):.0e}"}
        equal["bf16"] = bf16_change(name, self.preset, self.device)
        timers = {"reference": inference_of_reference(reference, noisy, self.device)}
        for precision in equal:
            timers[precision] = inference_of_ours(method, noisy, self.device, precision)
        passes = f", {size.passes} passes" if isinstance(method, ImageDenoiser) else ""
        rows = self.rows(name, "inference", f"{size.image[0]} x {size.image[1]}{passes}", timers, equal)
        with torch.no_grad():
            return self.with_flops(rows, lambda: reference.denoise(noisy), lambda: inferred(method.eval(), noisy))

    def evaluator(self) -> list[Row]:
        blocks = self.preset.blocks
        clean, noisy = picture(blocks, 256, 256, self.device)
        equal = {"64": f"{same_scores(blocks, self.device):.0e}"}
        timers = {
            "reference": timer(lambda: references.scores(noisy, clean), self.device),
            "64": timer(lambda: Protocol("default").score(noisy, clean), self.device),
        }
        return self.rows("evaluator", "PSNR and SSIM", f"{blocks} x 256 x 256", timers, equal)


def checked_step(name: str, method: Method, size: Size, device: str) -> str:
    """In float32 at the size that is timed, one patch of it; in float64 with the same widths on a small one."""
    with full_float32():
        single = same_step(name, method, replace(size, batch=1), device)
        double = same_step(name, method, QUICK.sizes[name], device, torch.float64)
    return f"loss {single.loss:.0e}, gradient {single.gradients:.0e}, in float64 {double.gradients:.0e}"


def bf16_loss(method: Method, noisy: Tensor, device: str) -> str:
    """By how much the loss changes, for the same seed."""
    losses = []
    for precision in ("32", "bf16"):
        torch.manual_seed(3)
        with torch.no_grad(), precision_of(precision, device):
            losses.append(float(method.loss(noisy, PROGRESS)))
    return f"loss {100 * (losses[1] / losses[0] - 1):+.2f} %"


# --- What bfloat16 does to a picture ---------------------------------------------------------------------------------

# The quick recipes (conf/recipe/quick): steps, patch, learning rate, widths.
RECIPES: Mapping[str, tuple[int, int, float, Options]] = {
    "sdap": (2100, 60, 2e-3, {"features": 32, "modules": 2}),
    "cbsn": (1900, 40, 2e-3, {"features": 32, "modules": 1}),
    "apbsn": (2400, 40, 2e-3, {"features": 32, "modules": 1}),
    "neighbor2neighbor": (1200, 64, 1e-3, {}),
    "self2self_plus": (450, 0, 2e-3, {"features": 16}),
}


def bf16_change(name: str, preset: Preset, device: str) -> str:
    """The change of PSNR on a photograph, after a short training in float32 on that photograph."""
    share, side = preset.learning
    steps, patch, lr, options = RECIPES[name]
    steps = max(2, int(share * steps))
    clean, noisy = picture(1, side, side, device)
    own = {"steps": steps, "passes": 50} if name == "self2self_plus" else {}
    options = {**options, **(NARROW[name] if preset.narrow else {}), **own, "lr": lr, "lr_decay": "linear"}
    method = method_of(name, preset.sizes[name], False, device, **options)
    if isinstance(method, ImageDenoiser):
        method.denoise(noisy)
    else:
        learn(method, noisy, steps, patch)
    method.eval()
    scores = []
    for precision in ("32", "bf16"):
        torch.manual_seed(3)
        with torch.inference_mode(), precision_of(precision, device):
            scores.append(float(psnr(inferred(method, noisy).float().clamp(0, 1), clean)))
    return f"{scores[1] - scores[0]:+.3f} dB of {scores[0]:.2f}"


def learn(method: DatasetDenoiser, noisy: Tensor, steps: int, patch: int) -> None:
    optimizer = method.configure_optimizers()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = method.learning_rate(step / steps)
        top, left = (int(torch.randint(side - patch + 1, ())) for side in noisy.shape[-2:])
        optimizer.zero_grad()
        method.loss(noisy[..., top : top + patch, left : left + patch], step / steps).backward()
        optimizer.step()


# --- Scale -----------------------------------------------------------------------------------------------------------


def scale(sizes: list[int], device: str) -> list[dict[str, Any]]:
    """Inference at quick widths, each size in a process of its own; what would not fit into memory is left out."""
    found: list[dict[str, Any]] = []
    for name in ("sdap", "neighbor2neighbor"):
        mib_per_pixel = 0.0
        for side in sizes:
            mib = mib_per_pixel * side**2
            if mib > ROOM * memory_mib(device):
                print(f"{name} at {side} x {side}: left out, it would take about {mib / 1024:.0f} GiB", file=sys.stderr)
                continue
            command = [sys.executable, __file__, "--device", device, "--one", f"{name}:{side}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{name} at {side} x {side}: {done.stdout}{done.stderr}")
            found.append(json.loads(done.stdout))
            mib_per_pixel = found[-1]["mib"] / side**2
    return found


def memory_mib(device: str) -> float:
    if device == "cuda":
        return torch.cuda.get_device_properties(0).total_memory / 2**20
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20


def scale_one(name: str, side: int, device: str) -> dict[str, Any]:
    """Seconds and the growth of memory of one image; a small one before it, for what is done only once."""
    options = RECIPES[name][3]
    method = method_of(name, Size(1, (64, 64), (64, 64)), False, device, **options).eval()
    with torch.inference_mode():
        inferred(method, torch.rand(1, CHANNELS, 64, 64, device=device))
        noisy = torch.rand(1, CHANNELS, side, side, device=device)
        keep_freed()  # as a run does
        meter = Meter()
        meter.start(noisy)
        inferred(method, noisy)
        seconds, mib = meter.stop()
    return {"method": name, "side": side, "seconds": seconds, "mib": mib}


# --- Report ----------------------------------------------------------------------------------------------------------


def machine(device: str) -> dict[str, Any]:
    made_with = manifest()
    hardware = made_with["hardware"]
    return {
        **{name: hardware[name] for name in ("cpu", "cores", "threads")},
        "load": os.getloadavg()[0],
        "device": device,
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "torch": torch.__version__,
        "commit": made_with["commit"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def table_of(rows: list[Row], peaks: Mapping[str, float]) -> Table:
    names = {"32": "fp32", "bf16": "bf16"}
    title = ", ".join(f"{names[name]} {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items())
    table = Table(title=f"reference / ours: above 1 ours is faster; peak of a plain convolution: {title}")
    for column in ("method", "what", "size", "against", "precision"):
        table.add_column(column)
    for column in ("reference ms", "ours ms", "ratio", "(quartiles)", "of peak: reference", "ours"):
        table.add_column(column, justify="right")
    table.add_column("difference")
    for row in rows:
        low, high = row.quartiles
        table.add_row(
            row.method, row.what, row.size, row.against, row.precision,
            f"{row.reference_ms:.1f}", f"{row.ours_ms:.1f}", f"{row.ratio:.2f}", f"{low:.2f} to {high:.2f}",
            _percent(row.of_peak_reference), _percent(row.of_peak_ours), row.equal,
        )  # fmt: skip
    return table


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{100 * fraction:.0f} %"


def scale_table(found: list[dict[str, Any]]) -> Table:
    table = Table(title="inference at quick widths: linear where the last two columns stay")
    for column in ("method", "side", "seconds", "MiB", "s / megapixel", "MiB / megapixel"):
        table.add_column(column, justify="right")
    for row in found:
        pixels = row["side"] ** 2 / 1e6
        numbers = f"{row['seconds']:.2f}", f"{row['mib']:.0f}", f"{row['seconds'] / pixels:.2f}", f"{row['mib'] / pixels:.0f}"
        table.add_row(row["method"], str(row["side"]), *numbers)
    return table


def speed(
    preset: Preset, names: list[str], device: str, seconds: float | None
) -> tuple[list[Row], list[peers.Left], dict[str, float]]:
    peaks = {precision: peak_flops(device, precision, preset.conv, 10) for precision in ("32", "bf16")}
    bench = Bench(preset, device, peaks, preset.seconds if seconds is None else seconds)
    sizes = peers.TINY if preset is QUICK else peers.LARGE if preset is GPU else peers.USUAL
    sizes = sizes if seconds is None else replace(sizes, seconds=seconds)
    rows: list[Row] = []
    left: list[peers.Left] = []
    for name in names:
        print(name, file=sys.stderr, flush=True)
        if name not in peers.NAMES:
            rows += bench.evaluator() if name == "evaluator" else bench.method(name)
            continue
        for found in peers.rows(name, sizes, device):
            (left if isinstance(found, peers.Left) else rows).append(found)  # type: ignore[arg-type]
    return rows, list(dict.fromkeys(left)), peaks


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=NAMES, help=f"of {','.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="does it run?")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, help="for the rounds of one row")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/{speed,scale}-{cpu,gpu}.json; none if --quick")
    parser.add_argument("--scale", action="store_true", help="seconds and memory against the image's size, instead")
    parser.add_argument("--sizes", type=lambda text: [int(part) for part in text.split(",")], help="sides for --scale")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # method:side, a process of --scale
    given = parser.parse_args()
    if unknown := set(given.only) - set(NAMES):
        parser.error(f"no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return given


NAMES = [*CLASSES, "evaluator", *peers.NAMES]


def main() -> None:
    given = arguments()
    if given.one:
        name, _, side = given.one.partition(":")
        print(json.dumps(scale_one(name, int(side), given.device)))
        return
    result: dict[str, Any] = {"machine": machine(given.device)}
    if given.scale:
        sides = [64, 128] if given.quick else [256, 512, 1024, 2048, 4096]
        result["scale"] = scale(given.sizes or sides, given.device)
        table = scale_table(result["scale"])
    else:
        preset = QUICK if given.quick else GPU if given.device == "cuda" else CPU
        rows, left, peaks = speed(preset, given.only, given.device, given.seconds)
        result |= {"peak_flops": peaks, "rows": [asdict(row) for row in rows], "left_out": [asdict(peer) for peer in left]}
        table = table_of(rows, peaks)
    Console(width=None if sys.stdout.isatty() else 220).print(table)
    for peer in result.get("left_out", ()):
        print(f"{peer['against']}: {peer['why']}")
    part, kind = "scale" if given.scale else "speed", "gpu" if given.device == "cuda" else "cpu"
    path = given.json or (None if given.quick else HERE / "results" / f"{part}-{kind}.json")
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
