"""The benchmark of speed compares like with like: its literal references equal ours, and it notices where they do not."""

import importlib
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
def test_a_reference_that_differs_is_noticed(speed: Any, name: str, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, size = small(speed, name)
    kind = type(speed.reference_of(name, method))
    inner = getattr(kind, verb)

    def slightly_wrong(self: Any, *arguments: Any) -> Tensor:
        return inner(self, *arguments) * (1 + 1e-4)

    monkeypatch.setattr(kind, verb, slightly_wrong)
    with pytest.raises(speed.UnequalError, match=name):
        (speed.same_step if verb == "loss" else speed.same_image)(name, method, size, "cpu")


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_that_differs_is_noticed(speed: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, size = small(speed, name)
    kind = type(speed.reference_of(name, method))
    inner = kind.loss

    def of_other_slope(self: Any, *arguments: Any) -> Tensor:
        loss = inner(self, *arguments)
        return loss + 1e-6 * (loss - loss.detach())

    monkeypatch.setattr(kind, "loss", of_other_slope)
    with pytest.raises(speed.UnequalError, match=f"{name}, gradient"):
        speed.same_step(name, method, size, "cpu", torch.float64)


def test_draws_that_are_not_repeated_are_noticed(speed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "repeat_draws", lambda name, method, reference, act, noisy: (act(), reference))
    for name in NAMES:
        with pytest.raises(speed.UnequalError, match=f"{name}, (loss|gradient)"):
            speed.same_step(name, *small(speed, name), "cpu")


def test_a_gated_layer_of_one_convolution_becomes_two(speed: Any) -> None:
    method, _ = small(speed, "self2self_plus")
    two = speed.literal("self2self_plus", method.parameters())
    tensors = speed.references.tensors_of(two)
    gated, rest = tensors[: 4 * speed.GATED], tensors[4 * speed.GATED :]
    fused = [torch.cat([gated[i + j], gated[i + j + 2]]) for i in range(0, len(gated), 4) for j in (0, 1)]
    for one, other in zip(speed.literal("self2self_plus", fused + rest), two, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))


def test_one_row_is_timed(speed: Any) -> None:
    bench = speed.Bench(speed.QUICK, "cpu", {"32": 1e9, "bf16": 1e9}, 0.0)
    method, size = small(speed, "sdap")
    row, bf16 = bench.training("sdap", method, size)
    assert (row.precision, bf16.precision) == ("32", "bf16")
    assert row.flops_ours == row.flops_reference > 0
    assert len(row.ratios) == speed.ROUNDS[0]
    assert row.quartiles[0] <= row.ratio <= row.quartiles[1]


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
