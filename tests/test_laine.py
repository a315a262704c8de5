import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import jobs
from denoisebench.config import compose_one
from denoisebench.methods.laine import Laine, covariance, solved
from test_slow import compute, mean_psnr

SIGMA = 25 / 255


def small_model(**options: Any) -> Laine:
    torch.manual_seed(1)
    model = Laine(**{"features": 3, "sigma": 25.0, **options}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim < 2:
                parameter.uniform_(-0.1, 0.1)
            elif not parameter.any():
                parameter.uniform_(-0.5, 0.5)  # the last layer of the second network, whose zeros would hide the others
    return model


def literal_covariance(a: Tensor) -> Tensor:
    """As the formulas for RGB are printed, one entry after the other, and the square for gray."""
    if len(a) == 1:
        return a.square().reshape(1, 1)
    a0, a1, a2, a3, a4, a5 = a
    s00, s01, s02 = a0**2 + a1**2 + a2**2, a1 * a3 + a2 * a4, a2 * a5
    s11, s12, s22 = a3**2 + a4**2, a4 * a5, a5**2
    return torch.stack([s00, s01, s02, s01, s11, s12, s02, s12, s22]).reshape(3, 3)


def slow_std(model: Laine, noisy: Tensor, mu: Tensor, image: int) -> Tensor:
    """The standard deviation of each channel of a pixel with this mu."""
    if model.known is not None:
        level: Any = torch.tensor(SIGMA if model.noise_model == "gaussian" else 1 / 30, dtype=torch.float64)
    else:
        raw = model.level if hasattr(model, "level") else model.level_network(noisy[image : image + 1]).mean()
        level = torch.log1p(torch.exp(raw - 4)) + 1e-3
    if model.noise_model == "gaussian":
        return level.expand(len(mu))
    return torch.stack([torch.sqrt(value.clamp(min=1e-3) * level) for value in mu])


def slow_prior(model: Laine, a: Tensor) -> Tensor:
    return torch.diag(a.square()) if model.diagonal else literal_covariance(a)


def slow_loss(model: Laine, noisy: Tensor) -> Tensor:
    said = model.network(noisy, 1)
    images, channels, height, width = noisy.shape
    total = stds = torch.zeros((), dtype=noisy.dtype)
    for n in range(images):
        for i in range(height):
            for j in range(width):
                mu, x = said[n, :channels, i, j], noisy[n, :, i, j]
                std = slow_std(model, noisy, mu, n)
                t = slow_prior(model, said[n, channels:, i, j]) + torch.diag(std**2)
                total = total + (x - mu) @ torch.linalg.inv(t) @ (x - mu) + torch.log(torch.linalg.det(t))
                stds = stds + std.mean()
    pixels = images * height * width
    reward = 0.1 * stds / pixels if model.known is None else 0.0
    return total / pixels * (1.0 if channels == 1 else 0.5) - reward


VARIANTS: list[dict[str, Any]] = [
    {},
    {"channels": 1},
    {"covariance": "diagonal"},
    {"sigma": None, "unknown": "global"},
    {"sigma": None, "unknown": "per_image", "channels": 1},
    {"noise_model": "poisson", "lam": 30},
    {"noise_model": "poisson", "unknown": "global"},
    {"noise_model": "poisson", "lam": [5, 50], "covariance": "diagonal"},
]


@pytest.mark.parametrize("options", VARIANTS)
def test_loss_and_gradients_are_those_of_the_slow_loss(options: dict[str, Any]) -> None:
    model = small_model(**options)
    noisy = torch.rand(2, options.get("channels", 3), 4, 5, dtype=torch.float64)
    got, expected = model.loss(noisy, 0.5), slow_loss(model, noisy)
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
    parameters = list(model.parameters())
    ours, theirs = torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters)
    assert sum(gradient.abs().max() > 0 for gradient in theirs) > 0.8 * len(parameters)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9 * max(1.0, other.abs().max().item()))


def test_the_loss_of_mu_is_the_mean_square() -> None:
    model = small_model(estimate="mu")
    noisy = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    assert model.loss(noisy, 0.0).item() == pytest.approx(((model.network(noisy, 1) - noisy) ** 2).mean().item(), rel=1e-12)
    assert torch.equal(model.denoise(noisy), model.network(noisy, 1))


@pytest.mark.parametrize("options", VARIANTS)
def test_the_posterior_mean_is_the_closed_form(options: dict[str, Any]) -> None:
    model = small_model(**options).eval()
    channels = options.get("channels", 3)
    noisy = torch.rand(2, channels, 6, 5, dtype=torch.float64)
    with torch.no_grad():
        got, said = model.denoise(noisy), model.network(noisy, 1)
        for n in range(2):
            for i in range(6):
                for j in range(5):
                    mu, x = said[n, :channels, i, j], noisy[n, :, i, j]
                    precision = torch.diag(slow_std(model, noisy, mu, n) ** -2)
                    prior = torch.linalg.inv(slow_prior(model, said[n, channels:, i, j]))
                    expected = torch.linalg.inv(prior + precision) @ (prior @ mu + precision @ x)
                    torch.testing.assert_close(got[n, :, i, j], expected, rtol=1e-6, atol=1e-8)


def test_the_posterior_mean_is_that_of_random_draws() -> None:
    """Bayes by simulation: clean values from the prior, noise on them, and the mean of those that came out near y."""
    torch.manual_seed(2)
    draws, std, mu, a = 4_000_000, 0.3, 0.4, 0.5
    clean = mu + a * torch.randn(draws, dtype=torch.float64)
    noisy = clean + std * torch.randn(draws, dtype=torch.float64)
    near = clean[(noisy - 0.9).abs() < 0.01]
    model = small_model(channels=1, sigma=std * 255)
    y = torch.full((1, 1, 1, 1), 0.9, dtype=torch.float64)
    prior = torch.full((1, 1, 1, 1, 1), a**2, dtype=torch.float64)
    weighted, _ = model._solved(prior, torch.tensor(std).double(), y - mu)
    expected = mu + (prior[:, 0] * weighted).item()
    assert near.mean().item() == pytest.approx(expected, abs=5 * near.std().item() / math.sqrt(len(near)))


@pytest.mark.parametrize("covariance_kind", ["full", "diagonal"])
def test_little_noise_gives_the_pixel_and_much_noise_gives_mu(covariance_kind: Any) -> None:
    noisy = torch.rand(1, 3, 32, 40, dtype=torch.float64)
    little = small_model(sigma=1e-3, covariance=covariance_kind)
    little.known = 1e-9
    torch.testing.assert_close(little.denoise(noisy), noisy, rtol=0, atol=1e-6)
    much = small_model(sigma=1e9, covariance=covariance_kind)
    torch.testing.assert_close(much.denoise(noisy), much.network(noisy, 1)[:, :3], rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_solving_is_that_of_linear_algebra(channels: int) -> None:
    rng = np.random.default_rng(3)
    factors = torch.from_numpy(rng.normal(size=(2, channels * (channels + 1) // 2, 3, 2)))
    right = torch.from_numpy(rng.normal(size=(2, channels, 3, 2)))
    matrix = covariance(factors, channels) + 0.1 * torch.eye(channels)[:, :, None, None]
    solution, log_det = solved(matrix, right)
    last = matrix.permute(0, 3, 4, 1, 2)
    expected = torch.linalg.solve(last, right.permute(0, 2, 3, 1))
    torch.testing.assert_close(solution.permute(0, 2, 3, 1), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_det, torch.linalg.slogdet(last).logabsdet, rtol=1e-9, atol=1e-9)
    upper = torch.zeros(channels, channels, dtype=torch.float64)
    upper[tuple(torch.triu_indices(channels, channels))] = factors[0, :, 0, 0]
    torch.testing.assert_close(covariance(factors, channels)[0, :, :, 0, 0], upper @ upper.T)


@pytest.mark.parametrize("unknown", ["global", "per_image"])
def test_a_learned_level_starts_small_and_is_one_number_per_image(unknown: Any) -> None:
    torch.manual_seed(4)
    model = Laine(features=4, unknown=unknown)
    level = model._level(torch.rand(3, 3, 32, 64))
    assert level.shape == (() if unknown == "global" else (3, 1, 1, 1))
    torch.testing.assert_close(level, torch.full_like(level, math.log1p(math.exp(-4)) + 1e-3))
    assert model.tags == ()


def test_without_the_reward_the_learned_level_would_only_be_pushed_down() -> None:
    model = small_model(sigma=None, unknown="global")
    noisy = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    said = model.network(noisy, 1)
    mu, prior = model._split(said, noisy)
    std = model._level(noisy)
    weighted, log_det = model._solved(prior, std, noisy - mu)
    bare = 0.5 * (((noisy - mu) * weighted).sum(1) + log_det).mean()
    (with_reward,) = torch.autograd.grad(model.loss(noisy, 0.0), model.level)
    (without,) = torch.autograd.grad(bare, model.level)
    slope = torch.sigmoid(model.level - 4).item()
    assert with_reward.item() == pytest.approx(without.item() - 0.1 * slope, rel=1e-9)


def test_tiles_share_the_level_of_the_whole_image() -> None:
    model = small_model(sigma=None, channels=1, noise_model="poisson", features=2).eval()
    noisy = torch.rand(2, 1, 420, 40, dtype=torch.float64)
    with torch.no_grad():
        whole = model.denoise(noisy)
        model.tile = 64
        torch.testing.assert_close(model.denoise(noisy), whole, rtol=0, atol=1e-12)


def test_learning_rates_ramp_up_and_down() -> None:
    model = Laine(features=1, estimate="mu", lr=2.0)
    got = [model.learning_rate(progress) for progress in (0.0, 0.05, 0.1, 0.5, 0.7, 0.85, 1.0)]
    assert got == pytest.approx([0, 1, 2, 2, 2, 0.5, 0], abs=1e-12)
    assert model.learning_rate(0.025) == pytest.approx(2 * (0.5 - 0.5 * math.cos(math.pi / 4)))
    assert Laine(features=1, lr=1.0, lr_decay="linear").learning_rate(0.25) == 0.75
    assert model.configure_optimizers().param_groups[0]["betas"] == (0.9, 0.99)


def test_parameter_counts_are_those_of_the_released_networks() -> None:
    def count(**options: Any) -> int:
        return sum(parameter.numel() for parameter in Laine(**options).parameters())

    assert count(estimate="mu") == 1_268_547
    assert count(sigma=25.0) == 1_269_129
    assert count(sigma=25.0, covariance="diagonal") == 1_268_838
    assert count(sigma=25.0, channels=1) == 1_265_858
    assert count(unknown="global") == 1_269_129 + 1
    assert count(unknown="per_image") == 1_269_129 + 1_102_177


def test_the_noise_says_which_level_is_known() -> None:
    def built(*overrides: str) -> Laine:
        return jobs.built("method=laine", "budget=smoke", *overrides)

    gaussian, photons = built("noise=gaussian25"), built("noise=poisson30")
    assert (gaussian.noise_model, gaussian.known, gaussian.tags) == ("gaussian", pytest.approx(SIGMA), ("oracle_sigma",))
    assert (photons.noise_model, photons.known, photons.tags) == ("poisson", pytest.approx(1 / 30), ("oracle_sigma",))
    for noise in ("gaussian5_50", "poisson5_50", "poisson30-gaussian10", "camera"):
        model = built(f"noise={noise}")
        assert model.known is None
        assert model.tags == ()
        assert model.noise_model == ("poisson" if noise == "poisson5_50" else "gaussian")
    assert built("noise=gaussian25", "method.estimate=mu").tags == ()


@pytest.mark.parametrize("method", ["laine", "recorrupted2recorrupted"])
def test_the_level_in_the_loss_is_that_of_the_training_noise(method: str) -> None:
    found = compose_one((f"method={method}", "noise=gaussian25", "train_noise=gaussian50"))
    assert (found.plain["method"]["sigma"], found.changed) == (50.0, ())
    assert compose_one((f"method={method}", "noise=gaussian25", "train_noise=gaussian5_50")).plain["method"]["sigma"] is None


def test_the_noise_model_of_laine_is_that_of_the_training_noise() -> None:
    model = jobs.built("method=laine", "budget=smoke", "noise=gaussian25", "train_noise=poisson30")
    assert (model.noise_model, model.known) == ("poisson", pytest.approx(1 / 30))


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("options", "gain_db"),
    [
        ((), 5.0),
        pytest.param(("method.estimate=mu",), 4.0, marks=pytest.mark.long),
        # A level that is learned needs a slower start.
        pytest.param(("method.sigma=null", "method.lr=4e-4", "method.lr_decay=ramps"), 3.0, marks=pytest.mark.long),
    ],
)
def test_a_short_training_lifts_psnr(options: tuple[str, ...], gain_db: float) -> None:
    own = ("budget=quick", "noise=gaussian25", "dataset.crop=160")
    (noisy,), (learned,) = compute("method=noisy", *own), compute("method=laine", *own, *options)
    assert mean_psnr(learned) > mean_psnr(noisy) + gain_db
