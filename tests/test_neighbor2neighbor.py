from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from denoisebench.methods.neighbor2neighbor import Neighbor2Neighbor
from denoisebench.networks.unet import UNet
from denoisebench.sampling import draw_neighbors, neighbor_subsample


def small_model(**options: Any) -> Neighbor2Neighbor:
    # A gain of 1 keeps the gradients far above rounding errors.
    torch.manual_seed(1)
    model = Neighbor2Neighbor(**{"channels": 3, "features": 4, "init_gain": 1.0, **options}).double()
    # Biases of zero would hide a mistake in them.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.1, 0.1)
    return model


def pixel_pairs() -> list[list[tuple[int, int]]]:
    corners = torch.arange(4.0).reshape(1, 1, 2, 2)
    pairs = []
    for draw in range(8):
        picked = neighbor_subsample(corners, torch.full((1, 1, 1), draw))
        pairs.append([divmod(int(pixel.item()), 2) for pixel in picked])
    return pairs


def slow_pick(image: torch.Tensor, draw: torch.Tensor, which: int) -> torch.Tensor:
    pairs = pixel_pairs()
    images, channels, _, _ = image.shape
    _, rows, columns = draw.shape
    picked = []
    for n in range(images):
        for c in range(channels):
            for i in range(rows):
                for j in range(columns):
                    row, column = pairs[int(draw[n, i, j])][which]
                    picked.append(image[n, c, 2 * i + row, 2 * j + column])
    return torch.stack(picked).reshape(images, channels, rows, columns)


def slow_loss(network: Any, noisy: torch.Tensor, draw: torch.Tensor, gamma: float) -> torch.Tensor:
    with torch.no_grad():
        denoised = network(noisy)
    target = slow_pick(noisy, draw, 1)
    prediction = network(slow_pick(noisy, draw, 0))
    gap = slow_pick(denoised, draw, 0) - slow_pick(denoised, draw, 1)
    fit = consistency = torch.zeros((), dtype=noisy.dtype)
    for p, t, g in zip(prediction.flatten(), target.flatten(), gap.flatten(), strict=True):
        fit = fit + (p - t) ** 2
        consistency = consistency + (p - t - g) ** 2
    return (fit + gamma * consistency) / target.numel()


@pytest.mark.parametrize(
    ("options", "progress", "gamma", "shape"),
    [
        ({}, 0.0, 0.02, (2, 3, 8, 8)),
        ({}, 0.5, 1.02, (2, 3, 9, 12)),
        ({}, 0.995, 2.0, (1, 3, 7, 5)),
        ({"channels": 1, "regularizer": 3.0, "regularizer_ramp": False}, 0.1, 3.0, (2, 1, 10, 6)),
        ({"regularizer": 0.0}, 0.7, 0.0, (2, 3, 6, 6)),
    ],
)
def test_loss_and_gradients_are_those_of_the_slow_loss(
    options: dict[str, Any], progress: float, gamma: float, shape: tuple[int, ...]
) -> None:
    model = small_model(**options)
    parameters = dict(model.named_parameters())
    noisy = torch.rand(shape, dtype=torch.float64)
    before = noisy.clone()
    for seed in (2, 3):
        torch.manual_seed(seed)
        got = model.loss(noisy, progress)
        got_gradients = torch.autograd.grad(got, list(parameters.values()))
        torch.manual_seed(seed)
        expected = slow_loss(model.network, noisy, draw_neighbors(noisy), gamma)
        expected_gradients = torch.autograd.grad(expected, list(parameters.values()))
        assert got.ndim == 0
        assert got.item() == pytest.approx(expected.item(), rel=1e-6)
        for name, one, other in zip(parameters, got_gradients, expected_gradients, strict=True):
            assert other.abs().max() > 1e-6, name
            assert torch.allclose(one, other, rtol=1e-6, atol=1e-6 * other.abs().max().item()), name
    assert torch.equal(noisy, before)


def test_each_call_of_the_loss_draws_anew() -> None:
    model, noisy = small_model(), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    torch.manual_seed(4)
    assert model.loss(noisy, 0.5).item() != model.loss(noisy, 0.5).item()


@pytest.mark.parametrize("epoch", range(1, 101))
def test_gamma_climbs_by_a_step_at_every_hundredth(epoch: int) -> None:
    model = Neighbor2Neighbor(features=2)
    expected = pytest.approx(2.0 * epoch / 100, rel=1e-12)
    # The first moment, as a division and as a product; these differ in the last bit for some epochs.
    assert model.gamma((epoch - 1) / 100) == expected
    assert model.gamma((epoch - 1) * 0.01) == expected
    assert model.gamma((epoch - 0.5) / 100) == expected
    assert model.gamma(epoch / 100 - 1e-6) == expected


@settings(max_examples=60, deadline=None)
@given(budget=st.integers(1, 100_000), data=st.data())
def test_gamma_of_any_step_is_that_of_exact_arithmetic(budget: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, budget - 1) | st.integers(0, 99).map(lambda k: k * budget // 100))
    epoch = 100 * step // budget + 1
    assert Neighbor2Neighbor(features=1, regularizer=5.0).gamma(step / budget) == pytest.approx(5.0 * epoch / 100, rel=1e-12)


@pytest.mark.parametrize("progress", [0.0, 0.005, 0.29, 0.5, 1.0])
def test_gamma_without_the_ramp_is_constant(progress: float) -> None:
    assert Neighbor2Neighbor(features=2, regularizer=1.5, regularizer_ramp=False).gamma(progress) == 1.5


@pytest.mark.parametrize("lr", [3e-4, 1e-3])
def test_halved_learning_rates_are_those_of_torch_over_a_hundred_epochs(lr: float) -> None:
    model = Neighbor2Neighbor(features=2, lr=lr)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[19, 39, 59, 79], gamma=0.5)
    for epoch in range(100):
        expected = pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        for progress in (epoch / 100, (epoch + 0.5) / 100, (epoch + 1) / 100 - 1e-6):
            assert model.learning_rate(progress) == expected, progress
        optimizer.step()
        scheduler.step()
    assert model.learning_rate(1.0) == pytest.approx(lr / 16, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(progress=st.floats(0, 1), lr=st.floats(1e-6, 1.0))
def test_linear_learning_rates_run_down_to_zero(progress: float, lr: float) -> None:
    model = Neighbor2Neighbor(features=1, lr=lr, lr_decay="linear")
    assert model.learning_rate(progress) == pytest.approx(lr * (1 - progress), rel=1e-12, abs=1e-18)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (33, 47), (32, 32)])
def test_denoising_is_the_network_without_chance(channels: int, height: int, width: int) -> None:
    model = small_model(channels=channels)
    noisy = 2 * torch.rand(2, channels, height, width, dtype=torch.float64) - 0.5
    before = noisy.clone()
    torch.manual_seed(5)
    first = model.denoise(noisy)
    torch.manual_seed(6)
    assert torch.equal(model.denoise(noisy), first)
    assert first.shape == noisy.shape
    assert torch.equal(first, model.network(noisy))
    assert torch.equal(noisy, before)


def test_the_default_network_is_that_of_the_paper() -> None:
    network = Neighbor2Neighbor().network
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in UNet().parameters()) == 1_259_475


@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    channels=st.integers(1, 4),
    images=st.integers(1, 2),
)
def test_the_network_keeps_every_size(height: int, width: int, channels: int, images: int) -> None:
    x = torch.rand(images, channels, height, width)
    y = UNet(channels=channels, features=3, init_gain=1.0)(x)
    assert y.shape == x.shape
    assert y.isfinite().all()


@pytest.mark.parametrize(("height", "width"), [(33, 47), (17, 64), (63, 31), (64, 32)])
def test_the_network_pads_by_reflection_to_32_and_crops(height: int, width: int) -> None:
    torch.manual_seed(7)
    network = UNet(features=5, init_gain=1.0).double()
    x = torch.rand(2, 3, height, width, dtype=torch.float64)
    padded = F.pad(x, (0, -width % 32, 0, -height % 32), mode="reflect")
    assert padded.shape[2] % 32 == padded.shape[3] % 32 == 0
    assert torch.allclose(network(x), network(padded)[..., :height, :width], rtol=0, atol=1e-12)


def test_the_images_of_a_batch_do_not_mix() -> None:
    torch.manual_seed(8)
    network = UNet(features=4, init_gain=1.0).double()
    x = torch.rand(3, 3, 20, 24, dtype=torch.float64)
    singly = torch.cat([network(x[n : n + 1]) for n in range(3)])
    assert torch.allclose(network(x), singly, rtol=0, atol=1e-12)


@pytest.mark.parametrize("init_gain", [0.1, 1.0])
def test_weights_start_normal_and_biases_at_zero(init_gain: float) -> None:
    torch.manual_seed(9)
    network = UNet(init_gain=init_gain)
    pooled = []
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == 0).all(), name
            continue
        assert parameter.ndim == 4, name
        scaled = parameter.detach().flatten().double() / (init_gain * (2 / parameter[0].numel()) ** 0.5)
        assert abs(scaled.mean().item()) < 5 / scaled.numel() ** 0.5, name
        assert abs(scaled.std().item() - 1) < 5 / (2 * scaled.numel()) ** 0.5, name
        pooled.append(scaled.numpy())
    # A hundred thousand of them tell a normal law from a uniform or a truncated one.
    assert stats.kstest(np.concatenate(pooled)[::13], "norm").pvalue > 1e-3
    assert np.abs(np.concatenate(pooled)).max() > 4


class Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__.rstrip("_")
        if name == "convolution":
            self.calls.append(("transposed" if args[6] else "convolution", result))
        elif name == "leaky_relu":
            slope = args[1] if len(args) > 1 else (kwargs or {}).get("negative_slope", 0.01)
            # In place or not, it must act on what the operation before it gave.
            same = bool(self.calls) and args[0] is self.calls[-1][1]
            self.calls.append((f"leaky {slope} {same}", result))
        elif any(word in name for word in ("relu", "elu", "sigmoid", "tanh", "silu", "norm", "dropout")):
            self.calls.append((name, result))
        return result


def test_every_convolution_but_the_transposed_and_the_last_is_followed_by_a_leaky_relu() -> None:
    network = UNet(features=4)
    with torch.no_grad(), Recorder() as recorder:
        network(torch.rand(1, 3, 32, 32))
    names = [name for name, _ in recorder.calls]
    expected: list[str] = []
    for name in names:
        if name in ("convolution", "transposed"):
            expected += [name, "leaky 0.2 True"] if name == "convolution" else [name]
    assert names == expected[:-1]
    assert names[-1] == "convolution"
    modules = list(network.modules())
    assert names.count("convolution") == sum(isinstance(m, torch.nn.Conv2d) for m in modules)
    # Multiples of 32 are five halvings, and as many doublings.
    assert names.count("transposed") == sum(isinstance(m, torch.nn.ConvTranspose2d) for m in modules) == 5
