from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.config import compose_one
from denoisebench.methods.blind2unblind import Blind2Unblind
from test_slow import compute, mean_psnr


def small_model(**options: Any) -> Blind2Unblind:
    torch.manual_seed(1)
    model = Blind2Unblind(**{"features": 3, "init": "he", **options}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.1, 0.1)
    return model


def slow_masked(x: Tensor, phase: int) -> Tensor:
    masked = x.clone()
    images, channels, height, width = x.shape
    for n in range(images):
        for c in range(channels):
            for i in range(phase // 4, height, 4):
                for j in range(phase % 4, width, 4):
                    total = 0.0
                    for di in (-1, 0, 1):
                        for dj in (-1, 0, 1):
                            if (di or dj) and 0 <= i + di < height and 0 <= j + dj < width:
                                total += (0.5 if di and dj else 1.0) * x[n, c, i + di, j + dj].item()
                    masked[n, c, i, j] = total / 6
    return masked


def slow_blind(model: Blind2Unblind, x: Tensor) -> Tensor:
    pixels = torch.zeros_like(x)
    for phase in range(16):
        marks = torch.zeros_like(x)
        marks[..., phase // 4 :: 4, phase % 4 :: 4] = 1
        pixels = pixels + marks * model.network(slow_masked(x, phase))
    return pixels


def slow_loss(model: Blind2Unblind, x: Tensor, weight: float, eta: float) -> Tensor:
    blind, visible = slow_blind(model, x), model.network(x).detach()
    revisible = blind_fit = torch.zeros((), dtype=x.dtype)
    for b, v, t in zip(blind.flatten(), visible.flatten(), x.flatten(), strict=True):
        revisible = revisible + (b - t + weight * (v - t)) ** 2
        blind_fit = blind_fit + (b - t) ** 2
    return (revisible + eta * blind_fit) / x.numel()


@pytest.mark.parametrize(
    ("options", "progress", "weight", "eta", "shape"),
    [
        ({}, 0.3, 2.0, 1.0, (2, 3, 8, 8)),
        ({"channels": 1, "ramp_start": 0.4, "blind_weight": 0.5}, 0.695, 11.0, 0.5, (1, 1, 9, 14)),
    ],
)
def test_loss_and_gradients_are_those_of_the_slow_loss(
    options: dict[str, Any], progress: float, weight: float, eta: float, shape: tuple[int, ...]
) -> None:
    model = small_model(**options)
    noisy = torch.rand(shape, dtype=torch.float64)
    parameters = list(model.parameters())
    got, expected = model.loss(noisy, progress), slow_loss(model, noisy, weight, eta)
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * other.abs().max().item())


@pytest.mark.parametrize(("height", "width"), [(8, 12), (33, 47), (6, 70)])
def test_masked_prediction_is_blind_to_its_own_pixel_alone(height: int, width: int) -> None:
    model = small_model(output="blind")
    x = torch.rand(1, 3, height, width, dtype=torch.float64, requires_grad=True)
    for predict in (model.denoise, model._blind_at_once):
        for row, column in ((3, 4), (height - 1, width - 1), (height - 2, 0)):
            (gradient,) = torch.autograd.grad(predict(x)[0, :, row, column].sum(), x)
            assert (gradient[0, :, row, column] == 0).all()
            assert gradient.abs().max() > 0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (33, 40)])
def test_the_three_outputs(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, dtype=torch.float64)
    visible, blind, mid = (small_model(output=output).denoise(x) for output in ("visible", "blind", "mid"))
    model = small_model()
    torch.testing.assert_close(visible, model.network(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(blind, model._blind_at_once(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(mid, (blind + 20 * visible) / 21, rtol=0, atol=1e-12)


def test_tiles_of_the_masked_output_are_those_of_the_whole_image() -> None:
    model = small_model(output="mid", features=2, channels=1).eval()
    x = torch.rand(1, 1, 410, 40, dtype=torch.float64)
    with torch.no_grad():
        whole = model.denoise(x)
        model.tile = 100
        torch.testing.assert_close(model.denoise(x), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("start", [0.8, 0.4])
def test_visibility_stays_and_then_climbs_in_stairs(start: float) -> None:
    model = Blind2Unblind(features=1, ramp_start=start)
    for epoch in range(1, 101):
        q = epoch / 100
        expected = 2.0 if q <= start else 2 + (q - start) / (1 - start) * 18
        for progress in ((epoch - 1) / 100, (epoch - 0.5) / 100, epoch / 100 - 1e-6):
            assert model.visibility(progress) == pytest.approx(expected, rel=1e-12)
    # What the names of the released weights say: epochs 99, 98, 97 and 100 of the ramp from 0.4, 99 of that from 0.8.
    reached = [round(Blind2Unblind(features=1, ramp_start=0.4).visibility(epoch / 100 - 0.005), 6) for epoch in (99, 98, 97, 100)]
    assert reached == [19.7, 19.4, 19.1, 20.0]
    assert Blind2Unblind(features=1).visibility(0.985) == pytest.approx(19.1)


@pytest.mark.parametrize(
    ("overrides", "start"),
    [
        (("noise=gaussian25",), 0.8),
        (("noise=poisson30",), 0.8),
        (("noise=gaussian5_50",), 0.4),
        (("noise=poisson5_50", "budget=hour"), 0.4),
        (("noise=gaussian25", "train_noise=gaussian5_50"), 0.4),  # the network is that of its training
        (("noise=gaussian5_50", "train_noise=gaussian25"), 0.8),
    ],
)
def test_ranges_of_training_noise_ramp_earlier_under_the_same_label(overrides: tuple[str, ...], start: float) -> None:
    found = compose_one(("method=blind2unblind", *overrides))
    assert found.plain["method"]["ramp_start"] == start
    assert found.changed == ()


def test_learning_rates_and_weight_decay() -> None:
    model = Blind2Unblind(features=1)
    rates = [model.learning_rate(epoch / 100 - 0.005) / 3e-4 for epoch in (1, 19, 20, 39, 40, 60, 80, 100)]
    assert rates == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.125, 0.0625, 0.0625])
    assert Blind2Unblind(features=1, lr=1.0, lr_decay="linear").learning_rate(0.25) == 0.75
    assert model.configure_optimizers().param_groups[0]["weight_decay"] == 1e-8


def test_the_default_network_is_that_of_the_paper() -> None:
    assert sum(p.numel() for p in Blind2Unblind().network.parameters()) == 1_102_371
    with pytest.raises(ValueError, match=r"method\.ramp_start"):
        Blind2Unblind(ramp_start=1.0)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_short_training_lifts_psnr() -> None:
    own = ("budget=quick", "training.steps=400", "noise=gaussian25", "dataset.crop=160")
    noisy, learned = compute("method=noisy,blind2unblind", *own)
    assert mean_psnr(learned) > mean_psnr(noisy) + 4.0
