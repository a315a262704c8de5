import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from denoisebench import classical
from denoisebench.methods.recorrupted2recorrupted import Recorrupted2Recorrupted, estimated_std
from denoisebench.networks.dncnn import DnCNN
from jobs import method_settings
from test_slow import compute, mean_psnr

STD = 25 / 255


def small_model(**options: Any) -> Recorrupted2Recorrupted:
    torch.manual_seed(1)
    own = {"features": 4, "modules": 2, "init": "default", "sigma": 25.0, "passes": 3}
    return Recorrupted2Recorrupted(**{**own, **options}).double()


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (2, 3, 7, 5)),
        ({"alpha": 0.7, "channels": 1, "sigma": 10.0}, (2, 1, 6, 8)),
        ({"target": "noisy", "alpha": 1.0}, (2, 3, 6, 6)),
        ({"sigma": None}, (2, 3, 9, 8)),
    ],
)
def test_loss_and_gradients_are_those_of_the_slow_loss(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = small_model(**options)
    noisy = torch.rand(shape, dtype=torch.float64)
    torch.manual_seed(2)
    got = model.loss(noisy, 0.5)
    torch.manual_seed(2)
    draw, alpha, expected = torch.randn(shape, dtype=torch.float64), model.alpha, torch.zeros((), dtype=torch.float64)
    stds = [model.sigma / 255 if model.sigma is not None else estimated_std(image[None]).item() for image in noisy]
    z = torch.stack([std * one for std, one in zip(stds, draw, strict=True)])
    said = model.network(noisy + alpha * z)
    for f, x, extra in zip(said.flatten(), noisy.flatten(), z.flatten(), strict=True):
        expected = expected + (f - (x - extra / alpha if model.recorrupts_target else x)) ** 2
    expected = expected / noisy.numel()
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
    parameters = list(model.parameters())
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9 * max(1.0, other.abs().max().item()))


class Fixed(nn.Module):
    """Some nonlinear function of the pixels and their neighbours, which reads its input closely."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.8 * x + 0.3 * torch.sin(3 * x.roll(1, -1)) - 0.1 * x.roll(1, -2).square()


@pytest.mark.parametrize("alpha", [0.5, 1.3])
def test_the_mean_loss_is_that_against_the_clean_image_plus_a_constant(alpha: float) -> None:
    """Over noise and z: mean (F(y + alpha z) - (y - z / alpha))^2 = mean (F(y + alpha z) - x)^2 + sigma^2 (1 + 1 / alpha^2)."""
    model = small_model(alpha=alpha, channels=1)
    model.network = Fixed()  # type: ignore[assignment]
    clean = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    differences = []
    for seed in range(400):
        torch.manual_seed(1000 + seed)
        noisy = clean + STD * torch.randn(8, 1, 16, 16, dtype=torch.float64)
        state = torch.get_rng_state()
        loss = model.loss(noisy, 0.0)
        torch.set_rng_state(state)
        z = STD * torch.randn_like(noisy)
        supervised = (model.network(noisy + alpha * z) - clean).square().mean()
        differences.append((loss - supervised).item())
    expected = STD**2 * (1 + 1 / alpha**2)
    error = float(np.std(differences)) / math.sqrt(len(differences))
    assert np.mean(differences) == pytest.approx(expected, abs=5 * error)
    assert 5 * error < 0.03 * expected


def test_an_independent_draw_for_the_target_would_be_biased() -> None:
    """What the test above would say of the mistake that a port makes: the noise shared by both sides is rewarded."""
    alpha, clean = 0.5, torch.rand(1, 1, 16, 16, dtype=torch.float64)
    network, differences = Fixed(), []
    for seed in range(200):
        torch.manual_seed(seed)
        noisy = clean + STD * torch.randn(8, 1, 16, 16, dtype=torch.float64)
        z, other = STD * torch.randn_like(noisy), STD * torch.randn_like(noisy)
        said = network(noisy + alpha * z)
        differences.append(((said - noisy + other / alpha).square().mean() - (said - clean).square().mean()).item())
    expected = STD**2 * (1 + 1 / alpha**2)
    assert np.mean(differences) < 0.8 * expected


def test_noisier2noise_is_exact_for_the_best_linear_network() -> None:
    """Clean values and noises normal: the best F is linear, and its output is the posterior mean given the noisier image."""
    torch.manual_seed(3)
    alpha, signal = 0.8, 0.2
    clean = signal * torch.randn(1, 1, 600, 600, dtype=torch.float64)
    noisy = clean + STD * torch.randn_like(clean)
    slope = (signal**2 + STD**2) / (signal**2 + (1 + alpha**2) * STD**2)

    class Best(nn.Module):
        reach = 0

        def forward(self, x: Tensor) -> Tensor:
            return slope * x

    model = small_model(target="noisy", alpha=alpha, channels=1, passes=1)
    model.network = Best()  # type: ignore[assignment]
    state = torch.get_rng_state()
    got = model.denoise(noisy)
    torch.set_rng_state(state)
    noisier = noisy + alpha * STD * torch.randn_like(noisy)
    posterior = signal**2 / (signal**2 + (1 + alpha**2) * STD**2)
    torch.testing.assert_close(got, posterior * noisier, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 47)])
def test_denoising_is_the_mean_over_fresh_draws(height: int, width: int) -> None:
    x = torch.rand(1, 3, height, width, dtype=torch.float64)
    model = small_model(passes=5).eval()
    with torch.no_grad():
        torch.manual_seed(4)
        got = model.denoise(x)
        torch.manual_seed(4)
        expected = torch.stack([model.network(x + 0.5 * STD * torch.randn_like(x)) for _ in range(5)]).mean(0)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
        assert not torch.equal(model.denoise(x), got)
        model.passes = 0
        assert torch.equal(model.denoise(x), model.network(x))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("std", [0.02, 0.1])
def test_the_estimate_is_that_of_the_classical_methods_and_near_the_truth(channels: int, std: float) -> None:
    ramp = torch.linspace(0, 1, 128).expand(2, channels, 128, 128).double()
    noisy = ramp + std * torch.randn_like(ramp)
    got = estimated_std(noisy)
    assert got.shape == (2, 1, 1, 1)
    for n in range(2):
        assert got[n].item() == pytest.approx(classical.estimated_std(noisy[n].permute(1, 2, 0).numpy()), rel=0.03)
        assert got[n].item() == pytest.approx(std, rel=0.06)
    assert torch.isfinite(estimated_std(torch.rand(1, channels, 1, 2))).all()


def test_dncnn_is_that_of_the_released_code() -> None:
    def count(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    assert count(DnCNN(1)) == 556_032
    assert count(DnCNN(3)) == count(Recorrupted2Recorrupted()) == 558_336
    torch.manual_seed(5)
    network = DnCNN(3)
    names = [type(layer).__name__ for layer in network.layers]
    assert names == ["Conv2d", "ReLU", *["Conv2d", "BatchNorm2d", "ReLU"] * 15, "Conv2d"]
    gains = torch.cat([layer.weight.detach() for layer in network.layers if isinstance(layer, nn.BatchNorm2d)])
    assert gains.abs().max() == pytest.approx(0.025)
    inside = (gains.abs() < 0.025).double().mean().item()
    share = math.erf(0.025 / math.sqrt(2 / 576) / math.sqrt(2))
    assert inside == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / len(gains)))
    weights = network.layers[2].weight
    assert isinstance(weights, Tensor)
    assert weights.std().item() == pytest.approx(math.sqrt(2 / 576), rel=0.03)
    x = torch.rand(1, 3, 9, 7)
    torch.testing.assert_close(network(x), x - network.layers(x))


def test_learning_rates_tags_and_refusals() -> None:
    model = small_model()
    assert [model.learning_rate(progress) for progress in (0.0, 0.59, 0.6, 1.0)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    assert small_model(lr=1.0, lr_decay="linear").learning_rate(0.25) == 0.75
    assert model.tags == ("oracle_sigma",)
    assert small_model(sigma=None).tags == ()
    for noise, sigma in (("gaussian15", 15.0), ("gaussian5_50", None), ("camera", None)):
        assert method_settings("method=recorrupted2recorrupted", "budget=smoke", f"noise={noise}").sigma == sigma
    for options in ({"alpha": 0.0}, {"passes": -1}, {"sigma": -1.0}):
        with pytest.raises(ValueError, match=r"method\."):
            small_model(**options)


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("options", [(), pytest.param(("method.target=noisy", "method.alpha=1"), marks=pytest.mark.long)])
def test_a_short_training_lifts_psnr(options: tuple[str, ...]) -> None:
    own = ("budget=quick", "training.steps=500", "noise=gaussian25", "dataset.crop=160")
    (noisy,), (learned,) = compute("method=noisy", *own), compute("method=recorrupted2recorrupted", *own, *options)
    assert mean_psnr(learned) > mean_psnr(noisy) + 4.0
