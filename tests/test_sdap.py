from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.methods.sdap import SDAP
from denoisebench.sampling import draw_permutations, random_dihedral


def small_model(**options: Any) -> SDAP:
    torch.manual_seed(1)
    return SDAP(**{"features": 4, "modules": 1, "init": "he", **options}).double()


def slow_loss(network: Any, y: Tensor, draw: Tensor, side: int) -> Tensor:
    """Equation by equation, with a loop over each cell and each sub-image."""
    n, channels, height, width = y.shape
    rows, columns = height // side, width // side
    subs = [torch.zeros(n, channels, rows, columns, dtype=y.dtype) for _ in range(side * side)]
    for j in range(side * side):
        for image in range(n):
            for r in range(rows):
                for c in range(columns):
                    a, b = divmod(int(draw[image, j, r, c]), side)
                    subs[j][image, :, r, c] = y[image, :, side * r + a, side * c + b]
    total = torch.zeros((), dtype=y.dtype)
    for j in range(side * side):
        difference = network(subs[j]) - subs[(j + 1) % (side * side)]
        total = total + difference.abs().sum() / difference.numel()
    return total


@pytest.mark.parametrize(
    ("options", "shape"), [({}, (2, 3, 15, 15)), ({"channels": 1}, (1, 1, 13, 13)), ({"subsample": 2}, (2, 3, 9, 6))]
)
def test_loss_and_gradients_are_those_of_the_slow_loss(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = small_model(**options)
    noisy = torch.rand(shape, dtype=torch.float64)
    before = noisy.clone()
    parameters = list(model.parameters())
    for seed in (2, 3):
        torch.manual_seed(seed)
        got = model.loss(noisy, 0.3)
        got_gradients = torch.autograd.grad(got, parameters)
        torch.manual_seed(seed)
        y = random_dihedral(noisy)
        expected = slow_loss(model.network, y, draw_permutations(y, model.subsample), model.subsample)
        expected_gradients = torch.autograd.grad(expected, parameters)
        assert got.ndim == 0
        assert got.item() == pytest.approx(expected.item(), rel=1e-6)
        for one, other in zip(got_gradients, expected_gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6 * other.abs().max().item())
    assert torch.equal(noisy, before)


def test_each_call_of_the_loss_draws_anew() -> None:
    model, noisy = small_model(), torch.rand(2, 3, 10, 10, dtype=torch.float64)
    assert model.loss(noisy, 0).item() != model.loss(noisy, 0).item()


@pytest.mark.parametrize("enhance", [False, True])
@pytest.mark.parametrize("pd", [1, 2, 3])
def test_denoising_runs_on_each_sublattice_and_once_more_if_enhanced(enhance: bool, pd: int) -> None:
    model = small_model(enhance=enhance, pd=pd)
    noisy = 2 * torch.rand(2, 3, 12, 6, dtype=torch.float64) - 0.5
    with torch.no_grad():
        expected = torch.zeros_like(noisy)
        for i in range(pd):
            for j in range(pd):
                expected[..., i::pd, j::pd] = model.network(noisy[..., i::pd, j::pd])
        if enhance:
            expected = model.network(expected)
        torch.testing.assert_close(model.denoise(noisy), expected, rtol=1e-10, atol=1e-12)


def test_odd_sizes_are_denoised_as_their_reflection() -> None:
    model = small_model()
    noisy = torch.rand(1, 3, 5, 7, dtype=torch.float64)
    grown = torch.nn.functional.pad(noisy, (0, 1, 0, 1), mode="reflect")
    with torch.no_grad():
        assert torch.equal(model.denoise(noisy), model.denoise(grown)[..., :5, :7])


def test_learning_rates() -> None:
    assert SDAP(features=2).learning_rate(0.99) == 1e-4
    stages = SDAP(features=2, lr_decay="two_stages")
    assert [stages.learning_rate(p) for p in (0, 0.599, 0.6, 0.99)] == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])
    assert SDAP(features=2, lr_decay="linear").learning_rate(0.75) == pytest.approx(2.5e-5)


def test_impossible_settings_and_patches_are_named() -> None:
    with pytest.raises(ValueError, match=r"method\.subsample"):
        SDAP(subsample=1)
    with pytest.raises(ValueError, match="5 x 5 cell"):
        small_model().loss(torch.rand(1, 3, 4, 4, dtype=torch.float64), 0)
