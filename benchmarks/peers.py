"""Ours against packages that people use for the same, and against steps written in plain PyTorch; part of `speed.py`.

Both give the same first. A package that is not installed is left out, and the reason is printed: `pip install
'denoisebench[bench]'` brings all of them.
"""

import copy
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import literal_steps
from denoisebench.denoiser import DatasetDenoiser, ImageDenoiser
from denoisebench.methods import neighbor2neighbor as n2n_module
from denoisebench.methods.at_bsn import ATBSN
from denoisebench.methods.blind2unblind import Blind2Unblind
from denoisebench.methods.bm3d import BM3D
from denoisebench.methods.neighbor2neighbor import Neighbor2Neighbor
from denoisebench.methods.tm_bsn import TMBSN
from denoisebench.methods.zsn2n import ZSN2N
from denoisebench.sampling import NEIGHBOR_PAIRS, random_dihedral
from denoisebench.scoring.measures import SSIM_WINDOW, psnr, ssim
from paired import EXACT, STD, TOLERANCE, Row, Timer, difference, full_float32, picture, rounds_of, row_of, timer

KINKS = 0.1  # of gradients in float32: see `same_step` in speed.py
LR = 1e-4
DTYPES = {"64": torch.float64, "32": torch.float32}
ROUNDED = 1e-4  # of scores that another computes in float32, ours being float64
Loss = Callable[[Tensor], Tensor]
Made = Callable[..., Any]
"""(narrow, dtype, same draws) -> Pair."""


@dataclass(frozen=True)
class Left:
    """What is not in the table, and why."""

    against: str
    why: str


@dataclass(frozen=True)
class Sizes:
    """blocks: 256 x 256, to score. batch, patch: of Neighbor2Neighbor. others: side of the literal steps' patch, by method.
    gray: side of what BM3D filters. narrow: networks far below the paper's width. seconds: for the rounds of one row."""

    blocks: int
    batch: int
    patch: int
    others: Mapping[str, int]
    gray: int
    narrow: bool
    seconds: float


USUAL = Sizes(4, 4, 128, {"zsn2n": 128, "blind2unblind": 64, "at_bsn": 64, "tm_bsn": 32}, 128, False, 12)
LARGE = Sizes(32, 4, 256, {"zsn2n": 256, "blind2unblind": 128, "at_bsn": 128, "tm_bsn": 128}, 128, False, 8)  # on a GPU
TINY = Sizes(1, 2, 32, dict.fromkeys(("zsn2n", "blind2unblind", "at_bsn", "tm_bsn"), 32), 32, True, 0)


# --- Measures --------------------------------------------------------------------------------------------------------


def _skimage(name: str, options: Mapping[str, Any]) -> Callable[[Tensor, Tensor], Tensor]:
    function = getattr(importlib.import_module("skimage.metrics"), name)

    def score(images: Tensor, references: Tensor) -> Tensor:
        pairs = zip(images.cpu().numpy(), references.cpu().numpy(), strict=True)
        return torch.tensor([function(reference, image, data_range=1.0, **options) for image, reference in pairs])

    return score


def _torchmetrics_psnr() -> Callable[[Tensor, Tensor], Tensor]:
    function = importlib.import_module("torchmetrics.functional.image").peak_signal_noise_ratio
    return lambda x, y: function(x, y, data_range=1.0, dim=(1, 2, 3), reduction="none")


def _torchmetrics_ssim() -> Callable[[Tensor, Tensor], Tensor]:
    """Its map, which goes on over reflected borders, cut to where the window fits."""
    function = importlib.import_module("torchmetrics.functional.image").structural_similarity_index_measure
    half = SSIM_WINDOW // 2

    def score(x: Tensor, y: Tensor) -> Tensor:
        _, full = function(x, y, data_range=1.0, reduction="none", return_full_image=True)
        return full[..., half:-half, half:-half].mean(dim=(1, 2, 3))

    return score


def _piq_psnr() -> Callable[[Tensor, Tensor], Tensor]:
    function = importlib.import_module("piq").psnr
    return lambda x, y: function(x, y, data_range=1.0, reduction="none")


def _piq_ssim() -> Callable[[Tensor, Tensor], Tensor]:
    function = importlib.import_module("piq").ssim
    return lambda x, y: function(x, y, data_range=1.0, reduction="none", downsample=False)


def _pytorch_msssim() -> Callable[[Tensor, Tensor], Tensor]:
    function = importlib.import_module("pytorch_msssim").ssim
    return lambda x, y: function(x, y, data_range=1.0, size_average=False)


def _skimage_psnr() -> Callable[[Tensor, Tensor], Tensor]:
    return _skimage("peak_signal_noise_ratio", {})


def _skimage_ssim() -> Callable[[Tensor, Tensor], Tensor]:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    return _skimage("structural_similarity", options)


Scorers = Mapping[str, Callable[[], Callable[[Tensor, Tensor], Tensor]]]
PSNRS: Scorers = {"skimage": _skimage_psnr, "torchmetrics": _torchmetrics_psnr, "piq": _piq_psnr}
SSIMS: Scorers = {
    "skimage": _skimage_ssim, "torchmetrics": _torchmetrics_ssim, "piq": _piq_ssim, "pytorch_msssim": _pytorch_msssim,
}  # fmt: skip


def missing(package: str) -> bool:
    return importlib.util.find_spec(package) is None


def left(package: str) -> Left:
    return Left(package, "not installed: pip install 'denoisebench[bench]'")


def measure_rows(what: str, sizes: Sizes, device: str) -> list[Row | Left]:
    """PSNR or SSIM of clipped noisy images. Ours computes in float64 whatever it is given."""
    ours, scorers = (psnr, PSNRS) if what == "PSNR" else (ssim, SSIMS)
    present = {name: made() for name, made in scorers.items() if not missing(name)}
    found: list[Row | Left] = [left(name) for name in scorers if name not in present]
    for precision, dtype in DTYPES.items():
        clean, noisy = (x.clamp(0, 1).to(dtype) for x in picture(sizes.blocks, 256, 256, device))
        with full_float32():
            equal = {name: same_scores(what, name, ours(noisy, clean), score(noisy, clean)) for name, score in present.items()}
        timers = [timer(lambda: ours(noisy, clean), device)]  # noqa: B023  called before the next turn
        timers += [timer(lambda score=score: score(noisy, clean), device) for score in present.values()]  # noqa: B023
        own, *others = zip(*rounds_of(timers, sizes.seconds), strict=True)
        size = f"{sizes.blocks} x 256 x 256"
        for (name, told), times in zip(equal.items(), others, strict=True):
            found.append(_against(name, row_of("measures", what, size, precision, list(times), list(own), told)))
    return found


def same_scores(what: str, name: str, ours: Tensor, theirs: Tensor) -> str:
    rounded = theirs.dtype == torch.float32 or name == "pytorch_msssim"  # its window is float32, whatever the images are
    tolerance = ROUNDED if rounded else TOLERANCE
    return f"{difference(ours.cpu(), theirs.cpu(), f'{what} of {name}', tolerance):.0e}"


def _against(name: str, row: Row) -> Row:
    row.against = name
    return row


# --- Steps -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A step of ours and the same of another, over weights of their own that are equal at first.

    optimizers: made new for these weights by each call.
    """

    name: str
    ours: Loss
    own: Sequence[nn.Parameter]
    other: Loss
    others: Sequence[nn.Parameter]
    optimizers: Callable[[], tuple[torch.optim.Optimizer, torch.optim.Optimizer]]


@dataclass(frozen=True)
class Differences:
    loss: float
    gradients: float
    weights: float


def same(pair: Pair, noisy: Tensor) -> Differences:
    """The largest differences of a step with the same draws. Raises: UnequalError."""
    double = noisy.dtype == torch.float64
    tolerance, for_gradients = (EXACT, EXACT) if double else (TOLERANCE, KINKS)
    losses = []
    for loss, parameters in ((pair.ours, pair.own), (pair.other, pair.others)):
        torch.manual_seed(2)
        losses.append(loss(noisy))
        gradients = torch.autograd.grad(losses[-1], list(parameters))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.empty_like(parameter).copy_(gradient)  # in the parameter's layout, as `backward` has it
    name = pair.name
    told = difference(losses[0], losses[1], f"{name}, loss", tolerance)
    slopes = [difference(_grad(a), _grad(b), f"{name}, gradient", for_gradients) for a, b in _both(pair)]
    for parameter, other in _both(pair):  # so that what is compared next is the optimiser's step alone
        _grad(parameter).copy_(_grad(other))
    for optimizer in pair.optimizers():
        optimizer.step()
    return Differences(told, max(slopes), max(difference(a, b, f"{name}, weights", tolerance) for a, b in _both(pair)))


def _both(pair: Pair) -> Iterable[tuple[nn.Parameter, nn.Parameter]]:
    return zip(pair.own, pair.others, strict=True)


def _grad(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def stepping(loss: Loss, optimizer: torch.optim.Optimizer, noisy: Tensor, device: str) -> Timer:
    def step() -> None:
        optimizer.zero_grad()
        loss(noisy).backward()
        optimizer.step()

    return timer(step, device)


def step_row(made: Made, sizes: Sizes, shape: tuple[int, int], device: str) -> Row:
    batch, side = shape
    noisy, small = picture(batch, side, side, device)[1], picture(2, 32, 32, device)[1]
    with full_float32():
        single = same(made(sizes.narrow, torch.float32, True), noisy)
        double = same(made(True, torch.float64, True), small.double())
    pair = made(sizes.narrow, torch.float32, False)
    own, other = pair.optimizers()
    timers = [stepping(pair.other, other, noisy, device), stepping(pair.ours, own, noisy, device)]
    others, ours = zip(*rounds_of(timers, sizes.seconds), strict=True)
    told = f"loss {single.loss:.0e}, gradient {single.gradients:.0e}, in float64 {double.gradients:.0e}"
    method, _, what = pair.name.partition(", ")
    return row_of(method, what, f"{batch} x {side} x {side}", "32", list(others), list(ours), told)


def _prepared(method: Any, device: str, dtype: torch.dtype) -> Any:
    """In training, with biases other than zero, which would hide a mistake in them."""
    for parameter in method.parameters():
        if parameter.ndim == 1:
            nn.init.uniform_(parameter, -0.1, 0.1)
    return method.to(device, dtype).train()


def _adams(ours: DatasetDenoiser | ImageDenoiser, others: Sequence[nn.Parameter], weight_decay: float = 0.0) -> Any:
    """Ours as the method makes it, theirs as a user does."""

    def made() -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        own = ours.configure_optimizers()
        for group in own.param_groups:
            group["lr"] = LR
        return own, torch.optim.Adam(others, lr=LR, weight_decay=weight_decay)

    return made


def zsn2n(narrow: bool, dtype: torch.dtype, same_draws: bool, device: str) -> Pair:
    torch.manual_seed(1)
    method = _prepared(ZSN2N(features=8 if narrow else 48), device, dtype)
    method.network.reset = lambda: None  # the weights stay those that the literal step has
    literal = literal_steps.ZSN2N(method.network.body)
    others, seen = list(literal.parameters()), []

    def loss(noisy: Tensor) -> Tensor:
        if not seen:  # once an image, as in a run
            seen.append(noisy)
            method.reset(noisy)
        return method.loss(noisy, 0.5)

    image = lambda noisy: noisy[:1]  # noqa: E731  it learns from one
    return Pair(
        "zsn2n, training step", lambda x: loss(image(x)), list(method.network.parameters()),
        lambda x: literal.loss(image(x)), others, _adams(method, others),
    )  # fmt: skip


def blind2unblind(narrow: bool, dtype: torch.dtype, same_draws: bool, device: str) -> Pair:
    torch.manual_seed(1)
    method = _prepared(Blind2Unblind(features=8 if narrow else 48, init="he"), device, dtype)
    literal = literal_steps.Blind2Unblind(method.network, method.visibility(0.5), method.blind_weight)
    others = list(literal.parameters())
    return Pair(
        "blind2unblind, training step", lambda x: method.loss(x, 0.5), list(method.network.parameters()), literal.loss,
        others, _adams(method, others, weight_decay=1e-8),
    )  # fmt: skip


def at_bsn(narrow: bool, dtype: torch.dtype, same_draws: bool, device: str, student: bool) -> Pair:
    torch.manual_seed(1)
    method = _prepared(ATBSN(features=8 if narrow else 48), device, dtype)
    with torch.no_grad():
        method._start_student()
    literal = literal_steps.ATBSN(
        method.teacher.unet, method.teacher.head, method.student, method.hole_train, method.distill_holes
    )
    return _staged("at_bsn", method, literal, student, same_draws)


def tm_bsn(narrow: bool, dtype: torch.dtype, same_draws: bool, device: str, student: bool) -> Pair:
    torch.manual_seed(1)
    method = _prepared(TMBSN(features=8, modules=1) if narrow else TMBSN(), device, dtype)
    trunk = nn.Sequential(method.teacher.first, method.teacher.body)
    literal = literal_steps.TMBSN(trunk, method.teacher.head, method.student, method.hole_train, method.distill_holes, method.pad)
    return _staged("tm_bsn", method, literal, student, same_draws)


def _staged(name: str, method: Any, literal: Any, student: bool, same_draws: bool) -> Pair:
    if same_draws:
        literal.turned = random_dihedral
    others = literal.of_student() if student else literal.of_teacher()
    own = list((method.student if student else method.teacher).parameters())
    loss = literal.student_loss if student else literal.teacher_loss
    what = "step of the student" if student else "step of the teacher"
    return Pair(f"{name}, {what}", lambda x: method.loss(x, 0.9 if student else 0.3), own, loss, others, _adams(method, others))


DEEPINV_PAIRS = ((0, 1), (0, 2), (1, 3), (2, 3), (1, 0), (2, 0), (3, 1), (3, 2))  # the order in which deepinv numbers them


def deepinv_step(narrow: bool, dtype: torch.dtype, same_draws: bool, device: str) -> Pair:
    """The same network, layout and fused Adam on both sides: what differs is the loss."""
    torch.manual_seed(1)
    fresh = Neighbor2Neighbor(features=8 if narrow else 48, init_gain=1.0, regularizer_ramp=False)
    method = _prepared(fresh, device, dtype)
    theirs = importlib.import_module("deepinv").loss.Neighbor2Neighbor(gamma=method.regularizer)
    network = copy.deepcopy(method.network)
    own, others = list(method.network.parameters()), list(network.parameters())
    number = torch.tensor([NEIGHBOR_PAIRS.index(pair) for pair in DEEPINV_PAIRS], device=device)

    def ours(noisy: Tensor) -> Tensor:
        if not same_draws:
            return method.loss(noisy, 0.5)
        draw = number[torch.randint(8, (len(noisy), noisy.shape[2] // 2, noisy.shape[3] // 2), device=noisy.device)]
        with mock.patch.object(n2n_module, "draw_neighbors", return_value=draw):
            return method.loss(noisy, 0.5)

    return Pair(
        "neighbor2neighbor, training step", ours, own,
        lambda noisy: theirs(noisy, None, lambda y, _: network(y)), others,
        lambda: (torch.optim.Adam(own, lr=LR, fused=True), torch.optim.Adam(others, lr=LR, fused=True)),
    )  # fmt: skip


# --- BM3D ------------------------------------------------------------------------------------------------------------


def bm3d_rows(sizes: Sizes) -> list[Row | Left]:
    """A gray image at the true level. Both call Tampere's package: what differs is what stands around it."""
    if absent := [left(name) for name in ("bm3d", "deepinv") if missing(name)]:
        return list(absent)
    theirs = importlib.import_module("deepinv").models.BM3D()
    std = float(torch.tensor(STD))  # as deepinv rounds it: another last digit of the level chooses other blocks
    ours = BM3D(sigma=255 * std)
    noisy = picture(1, sizes.gray, sizes.gray, "cpu")[1].mean(1, keepdim=True)
    told = f"{same_bm3d(ours.denoise(noisy), theirs, noisy, std):.0e}"
    timers = [timer(lambda: theirs(noisy, std), "cpu"), timer(lambda: ours.denoise(noisy), "cpu")]
    others, own = zip(*rounds_of(timers, sizes.seconds), strict=True)
    size = f"1 x {sizes.gray} x {sizes.gray}, gray"
    return [_against("deepinv", row_of("bm3d", "inference", size, "64", list(others), list(own), told))]


def same_bm3d(ours: Tensor, theirs: Any, noisy: Tensor, std: float) -> float:
    """On one thread, as ours: several add up in another order, and so choose other blocks here and there (1e-4)."""
    library = theirs.bm3d_lib

    def on_one(image: Any, level: float) -> Any:
        profile = library.BM3DProfile()
        profile.num_threads = 1
        return library.bm3d(image, level, profile)

    theirs.bm3d_lib = SimpleNamespace(bm3d=on_one)
    try:
        return difference(ours, theirs(noisy, std), "BM3D of deepinv", TOLERANCE)
    finally:
        theirs.bm3d_lib = library


# --- All -------------------------------------------------------------------------------------------------------------

NAMES = ("psnr", "ssim", "deepinv", "zsn2n", "blind2unblind", "at_bsn", "tm_bsn", "bm3d")


def rows(name: str, sizes: Sizes, device: str) -> list[Row | Left]:
    """What one of `NAMES` is compared with."""
    if name in ("psnr", "ssim"):
        return measure_rows(name.upper(), sizes, device)
    if name == "bm3d":
        return bm3d_rows(sizes)
    if name == "deepinv":
        if missing("deepinv"):
            return [left("deepinv")]
        return [_against("deepinv", step_row(partial(deepinv_step, device=device), sizes, (sizes.batch, sizes.patch), device))]
    return [_against("plain PyTorch", step_row(pair, sizes, (1, sizes.others[name]), device)) for pair in _literal(name, device)]


def _literal(name: str, device: str) -> list[Made]:
    alone: Mapping[str, Made] = {"zsn2n": zsn2n, "blind2unblind": blind2unblind}
    if name in alone:
        return [partial(alone[name], device=device)]
    staged = {"at_bsn": at_bsn, "tm_bsn": tm_bsn}[name]
    return [partial(staged, device=device, student=student) for student in (False, True)]
