"""The benchmark of speed compares like with like: its literal references equal ours, and it notices where they do not."""

import importlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from denoisebench.networks.dbsn import DBSN
from denoisebench.networks.gated_autoencoder import GatedAutoencoder
from denoisebench.networks.unet import UNet

NAMES = ["sdap", "cbsn", "apbsn", "neighbor2neighbor", "self2self_plus"]
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("speed")


@pytest.fixture
def paired(speed: Any) -> Any:
    return importlib.import_module("paired")


@pytest.fixture
def peers(speed: Any) -> Any:
    return importlib.import_module("peers")


def small(speed: Any, name: str) -> tuple[Any, Any]:
    size = speed.QUICK.sizes[name]
    return speed.method_of(name, size, True, "cpu"), size


@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_the_reference_is_ours(speed: Any, name: str) -> None:
    method, size = small(speed, name)
    single = speed.same_step(name, method, size, "cpu")
    assert max(single.loss, single.weights) <= 1e-5
    double = speed.same_step(name, method, size, "cpu", torch.float64)
    assert max(double.loss, double.gradients, double.weights) <= 1e-9


@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_the_reference_is_ours(speed: Any, name: str) -> None:
    assert speed.same_image(name, *small(speed, name), "cpu") <= 1e-5


def test_scores_of_the_reference_are_ours(speed: Any) -> None:
    assert speed.same_scores(1, "cpu") <= 1e-5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("verb", ["loss", "denoise"])
def test_a_reference_that_differs_is_noticed(
    speed: Any, paired: Any, name: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, size = small(speed, name)
    kind = type(speed.reference_of(name, method))
    inner = getattr(kind, verb)

    def slightly_wrong(self: Any, *arguments: Any) -> Tensor:
        return inner(self, *arguments) * (1 + 1e-4)

    monkeypatch.setattr(kind, verb, slightly_wrong)
    with pytest.raises(paired.UnequalError, match=name):
        (speed.same_step if verb == "loss" else speed.same_image)(name, method, size, "cpu")


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_that_differs_is_noticed(speed: Any, paired: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, size = small(speed, name)
    kind = type(speed.reference_of(name, method))
    inner = kind.loss

    def of_other_slope(self: Any, *arguments: Any) -> Tensor:
        loss = inner(self, *arguments)
        return loss + 1e-6 * (loss - loss.detach())

    monkeypatch.setattr(kind, "loss", of_other_slope)
    with pytest.raises(paired.UnequalError, match=f"{name}, gradient"):
        speed.same_step(name, method, size, "cpu", torch.float64)


def test_draws_that_are_not_repeated_are_noticed(speed: Any, paired: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "repeat_draws", lambda name, method, reference, act, noisy: (act(), reference))
    for name in NAMES:
        with pytest.raises(paired.UnequalError, match=f"{name}, (loss|gradient)"):
            speed.same_step(name, *small(speed, name), "cpu")


def test_a_gated_layer_of_one_convolution_becomes_two(speed: Any) -> None:
    method, _ = small(speed, "self2self_plus")
    two = speed.literal("self2self_plus", method.parameters())
    tensors = speed.references.tensors_of(two)
    gated, rest = tensors[: 4 * speed.GATED], tensors[4 * speed.GATED :]
    fused = [torch.cat([gated[i + j], gated[i + j + 2]]) for i in range(0, len(gated), 4) for j in (0, 1)]
    for one, other in zip(speed.literal("self2self_plus", fused + rest), two, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_one_row_is_timed(speed: Any, paired: Any) -> None:
    bench = speed.Bench(speed.QUICK, "cpu", {"32": 1e9, "bf16": 1e9}, 0.0)
    method, size = small(speed, "sdap")
    row, bf16 = bench.training("sdap", method, size)
    assert (row.precision, bf16.precision) == ("32", "bf16")
    assert row.flops_ours == row.flops_reference > 0
    assert len(row.ratios) == paired.ROUNDS[0]
    assert row.quartiles[0] <= row.ratio <= row.quartiles[1]


# --- Other packages and plain steps ------------------------------------------------------------------------------


LITERAL = ["zsn2n", "blind2unblind", "at_bsn", "tm_bsn"]


def small_noisy(paired: Any) -> Tensor:
    return paired.picture(2, 32, 32, "cpu")[1].double()


@pytest.mark.parametrize("name", LITERAL)
def test_a_plain_step_is_ours_and_one_that_differs_is_noticed(peers: Any, paired: Any, name: str) -> None:
    for made in peers._literal(name, "cpu"):
        found = peers.same(made(True, torch.float64, True), small_noisy(paired))
        assert max(found.loss, found.gradients, found.weights) <= 1e-9
        pair = made(True, torch.float64, True)
        wrong = replace(pair, other=lambda x, pair=pair: pair.other(x) * (1 + 1e-6))
        with pytest.raises(paired.UnequalError, match=f"{name}, .*loss"):
            peers.same(wrong, small_noisy(paired))
        weak = replace(pair, optimizers=lambda pair=pair: (pair.optimizers()[0], torch.optim.SGD(pair.others, lr=1e-4)))
        with pytest.raises(paired.UnequalError, match=f"{name}, .*weights"):
            peers.same(weak, small_noisy(paired))


@pytest.mark.parametrize(("ours", "scorers"), [("psnr", "PSNRS"), ("ssim", "SSIMS")])
def test_measures_of_other_packages_are_ours(peers: Any, paired: Any, ours: str, scorers: str) -> None:
    clean, noisy = (x.clamp(0, 1) for x in paired.picture(2, 40, 48, "cpu"))
    for name, made in getattr(peers, scorers).items():
        if peers.missing(name):
            continue
        for dtype in (torch.float64, torch.float32):
            pair = noisy.to(dtype), clean.to(dtype)
            peers.same_scores(ours, name, getattr(peers, ours)(*pair), made()(*pair))
        with pytest.raises(paired.UnequalError, match=name):
            peers.same_scores(ours, name, getattr(peers, ours)(noisy, clean) * 1.001, made()(noisy, clean))


def test_steps_and_bm3d_of_deepinv_are_ours(peers: Any, paired: Any) -> None:
    pytest.importorskip("deepinv")
    found = peers.same(peers.deepinv_step(True, torch.float64, True, "cpu"), small_noisy(paired))
    assert max(found.loss, found.gradients, found.weights) <= 1e-9
    [row] = peers.bm3d_rows(replace(peers.TINY, gray=16))
    assert row.against == "deepinv"


def test_a_package_that_is_not_installed_is_left_out_and_named(peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, packages in {
        "deepinv": ["deepinv"],
        "bm3d": ["bm3d", "deepinv"],
        "psnr": ["skimage", "torchmetrics", "piq"],
    }.items():
        left = [found for found in peers.rows(name, peers.TINY, "cpu") if isinstance(found, peers.Left)]
        assert [found.against for found in left] == packages
        assert all("denoisebench[bench]" in found.why for found in left)


def test_a_plain_step_is_timed(peers: Any, paired: Any) -> None:
    [row] = peers.rows("zsn2n", peers.TINY, "cpu")
    assert (row.method, row.what, row.against) == ("zsn2n", "training step", "plain PyTorch")
    assert len(row.ratios) == paired.ROUNDS[0]
    assert row.reference_ms > 0
    assert row.ours_ms > 0


class Float32Maps(TorchDispatchMode):
    """Notes which operations give maps of more than a few channels in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.wide: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.float32 and result.ndim == 4 and result.shape[1] > 6:
            self.wide.append(str(func))
        return result


@pytest.mark.parametrize("network", [UNet(features=8), GatedAutoencoder(features=8), DBSN(features=16, modules=1)])
def test_under_autocast_no_feature_leaves_bfloat16(network: torch.nn.Module) -> None:
    channels = next(network.parameters()).shape[1]
    # Weights in bfloat16 already, so that all that is float32 is a feature.
    network.to(torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), Float32Maps() as seen:
        network(torch.rand(1, channels, 64, 64))
    assert seen.wide == []


# --- Several images at once --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_arrangement_takes_its_steps(speed: Any) -> None:
    at_once = importlib.import_module("images_at_once")
    found = at_once.measured(32, rounds=2, steps=1)
    assert all(len(found.ms[name]) == 2 and min(found.ms[name]) > 0 for name in at_once.ARRANGEMENTS)
    for name, ratios in found.ratios.items():
        assert ratios == [plain / other for plain, other in zip(found.ms["plain"], found.ms[name], strict=True)]
    assert max(found.equal["loss"], found.equal["weights"]) <= 1e-5
    assert found.floor_ms == pytest.approx(1e3 * found.gflop / found.peak_gflops)
    assert at_once.said(found)[-1].startswith("floor")


def test_a_process_that_ends_early_is_noticed(speed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = importlib.import_module("images_at_once")
    monkeypatch.setattr(at_once.sys, "executable", "false")
    with at_once.Workers("each", 32) as workers, pytest.raises(RuntimeError, match="ended with 1"):
        workers.turn(1)
