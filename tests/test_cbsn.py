from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from denoisebench.methods.cbsn import CBSN, normalised, ramp
from denoisebench.sampling import draw_pixels, random_dihedral


def small_model(**options: Any) -> CBSN:
    torch.manual_seed(1)
    return CBSN(**{"features": 4, "modules": 1, **options}).double()


def slow_normalised(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    for n in range(len(x)):
        for c in range(x.shape[1]):
            values = x[n, c].flatten()
            mean = values.sum() / len(values)
            std = ((values - mean) ** 2).sum().div(len(values)).sqrt()
            y[n, c] = (x[n, c] - mean) / max(float(std), len(values) ** -0.5)
    return y


def slow_pick(x: Tensor, draw: Tensor) -> Tensor:
    images = []
    for n in range(len(x)):
        rows = []
        for r in range(draw.shape[1]):
            places = [(2 * r + int(d) // 2, 2 * c + int(d) % 2) for c, d in enumerate(draw[n, r])]
            rows.append(torch.stack([x[n, :, a, b] for a, b in places], dim=-1))
        images.append(torch.stack(rows, dim=-2))
    return torch.stack(images)


def mean_abs(difference: Tensor) -> Tensor:
    return difference.abs().sum() / difference.numel()


def slow_loss(network: Any, x: Tensor, draw: Tensor, t: float, weight: float) -> Tensor:
    blind = torch.zeros((), dtype=x.dtype)
    for i in range(5):
        for j in range(5):
            sublattice = x[..., i::5, j::5]
            blind = blind + mean_abs(network(sublattice) - sublattice) / 25
    unblind = network(x, blind=False)
    invariance = mean_abs(slow_pick(unblind, draw) - network(slow_pick(x, draw)).detach())
    return blind + t * (mean_abs(unblind - x) + weight * invariance)


@pytest.mark.parametrize(
    ("options", "progress", "t", "shape"),
    [
        ({}, 0.1, 0.25, (2, 3, 10, 10)),
        ({"invariance": 3.0}, 0.9, 1.0, (1, 3, 17, 17)),
        ({"channels": 1}, 0.4, 1.0, (2, 1, 11, 11)),
    ],
)
def test_loss_and_gradients_are_those_of_the_slow_loss(
    options: dict[str, Any], progress: float, t: float, shape: tuple[int, ...]
) -> None:
    model = small_model(**options)
    parameters = list(model.parameters())
    noisy = 3 * torch.rand(shape, dtype=torch.float64) - 1
    torch.manual_seed(2)
    got = model.loss(noisy, progress)
    got_gradients = torch.autograd.grad(got, parameters)
    torch.manual_seed(2)
    side = shape[-1] // 5 * 5
    x = slow_normalised(random_dihedral(noisy)[..., :side, :side])
    expected = slow_loss(model.network, x, draw_pixels(x, 2), t, model.invariance)
    expected_gradients = torch.autograd.grad(expected, parameters)
    assert got.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, other in zip(got_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6 * other.abs().max().item())


def test_the_gradient_of_the_invariance_term_reaches_the_unblind_side_alone() -> None:
    model = small_model()
    noisy = torch.rand(1, 3, 10, 10, dtype=torch.float64)
    calls: list[Tensor] = []
    network = model.network

    class Apart(torch.nn.Module):
        def forward(self, x: Tensor, blind: bool = True) -> Tensor:
            y = network(x, blind=blind)
            calls.append(y)
            return y

    model.network = Apart()  # type: ignore[assignment]
    model.loss(noisy, 0.9)
    by_sublattice, unblind, blind_sub = calls
    assert by_sublattice.requires_grad
    assert unblind.requires_grad
    assert not blind_sub.requires_grad


def test_the_terms_without_blind_spot_are_absent_at_the_first_step() -> None:
    assert [ramp(p) for p in (0, 0.2, 0.4, 0.7, 1)] == pytest.approx([0, 0.5, 1, 1, 1])
    model = small_model()
    noisy = torch.rand(1, 3, 10, 10, dtype=torch.float64)
    model.loss(noisy, 0.0).backward()
    assert all((gradient == 0).all() for gradient in centre_gradients(model))
    model.zero_grad()
    model.loss(noisy, 0.1).backward()
    assert all((gradient != 0).any() for gradient in centre_gradients(model))


def centre_gradients(model: CBSN) -> list[Tensor]:
    """The gradients of the weights that only an unblind network has."""
    gradients = [p.grad for name, p in model.named_parameters() if name.endswith("masked.weight")]
    return [g[..., g.shape[-1] // 2, g.shape[-1] // 2] for g in gradients if g is not None]


@pytest.mark.parametrize(("height", "width"), [(40, 35), (33, 47), (5, 2), (1, 1)])
def test_denoising_is_unblind_once_on_the_whole_image(height: int, width: int) -> None:
    model = small_model()
    noisy = 2 * torch.rand(2, 3, height, width, dtype=torch.float64) - 0.5
    with torch.no_grad():
        got = model.denoise(noisy)
        for n in range(2):
            mean = noisy[n].mean(dim=(1, 2), keepdim=True)
            std = noisy[n].std(dim=(1, 2), correction=0, keepdim=True).clamp(min=(height * width) ** -0.5)
            x = ((noisy[n] - mean) / std)[None]
            top, left = min(32, height - 1), min(32, width - 1)
            padded = F.pad(x, (left, left, top, top), mode="reflect")
            expected = model.network(padded, blind=False)[0, :, top : top + height, left : left + width] * std + mean
            torch.testing.assert_close(got[n], expected, rtol=1e-9, atol=1e-12)


def test_a_constant_image_is_divided_by_the_least_std() -> None:
    x, mean, std = normalised(torch.full((1, 3, 10, 10), 0.3, dtype=torch.float64))
    assert x.abs().max() < 1e-12
    assert mean.flatten().tolist() == pytest.approx([0.3] * 3)
    assert std.flatten().tolist() == pytest.approx([0.1] * 3)


def test_learning_rates_are_halved_each_fifth() -> None:
    model = CBSN(features=2)
    for k in range(5):
        for progress in (k / 5, k * 0.2, (k + 0.999) / 5):
            assert model.learning_rate(progress) == pytest.approx(1e-4 / 2**k), progress
    assert CBSN(features=2, lr_decay="linear").learning_rate(0.75) == pytest.approx(2.5e-5)


def test_impossible_settings_and_patches_are_named() -> None:
    with pytest.raises(ValueError, match=r"method\.stride_blind"):
        CBSN(stride_blind=0)
    with pytest.raises(ValueError, match=r"training\.patch=4.*method.stride_blind=5"):
        small_model().loss(torch.rand(1, 3, 4, 4, dtype=torch.float64), 0)
