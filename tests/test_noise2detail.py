from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from denoisebench.methods.noise2detail import Noise2Detail
from learning import gain_db, method_of
from written_out import conv_stack


def small_model(channels: int = 3, **options: Any) -> Noise2Detail:
    torch.manual_seed(1)
    return Noise2Detail(channels=channels, **{"features": 4, "steps": 4, **options})


def slow_pair(x: Tensor) -> list[Tensor]:
    """The two diagonals, by slices."""
    height, width = (side // 2 * 2 for side in x.shape[-2:])
    x = x[..., :height, :width]
    other = (x[..., 0::2, 1::2] + x[..., 1::2, 0::2]) / 2
    main = (x[..., 0::2, 0::2] + x[..., 1::2, 1::2]) / 2
    return [other, main]


def mean_square(difference: Tensor) -> Tensor:
    total = difference.new_zeros(())
    for value in difference.flatten():
        total = total + value * value
    return total / difference.numel()


def slow_loss(targets: list[Tensor], predicted: list[Tensor], whole: Tensor) -> Tensor:
    d = slow_pair(whole)
    residual = mean_square(targets[0] - predicted[1]) + mean_square(targets[1] - predicted[0])
    return residual / 2 + (mean_square(predicted[0] - d[0]) + mean_square(predicted[1] - d[1])) / 2


def slow_guide(model: Noise2Detail, noisy: Tensor) -> Tensor:
    """Sub-image by sub-image; sides are multiples of 4."""

    def denoised(x: Tensor) -> Tensor:
        return (x - model.first(x)).clamp(0, 1)

    views = [denoised(noisy)]
    for stride in (2, 4):
        together = torch.empty_like(noisy)
        for i in range(stride):
            for j in range(stride):
                together[..., i::stride, j::stride] = denoised(noisy[..., i::stride, j::stride].contiguous())
        views.append(denoised(together))
    return (views[0] + views[1] + views[2]) / 3


@pytest.mark.parametrize(("channels", "size"), [(3, (8, 12)), (1, (9, 7))])
def test_the_first_loss_and_its_gradients_are_those_of_the_slow_loss(channels: int, size: tuple[int, int]) -> None:
    model = small_model(channels).double()
    noisy = torch.rand(1, channels, *size, dtype=torch.float64)
    model.reset(noisy)
    got = model.loss(noisy, 0.25)
    pair = slow_pair(noisy)
    expected = slow_loss(pair, [half - model.first(half) for half in pair], noisy - model.first(noisy))
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    parameters = list(model.first.parameters())
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("channels", [3, 1])
def test_the_second_loss_and_its_gradients_are_those_of_the_slow_loss(channels: int) -> None:
    model = small_model(channels).double()
    noisy = torch.rand(1, channels, 8, 12, dtype=torch.float64)
    model.reset(noisy)
    got = model.loss(noisy, 0.5)
    with torch.no_grad():
        guide = slow_guide(model, noisy)
    expected = slow_loss(slow_pair(noisy), [model.second(half) for half in slow_pair(guide)], model.second(guide))
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    parameters = list(model.second.parameters())
    gradients = torch.autograd.grad(got, parameters, retain_graph=True)
    for one, other in zip(gradients, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    of_first = torch.autograd.grad(got, list(model.first.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in of_first), "the first network is trained in the second's steps"


def test_whole_training_is_that_of_two_loops_with_optimisers_of_their_own() -> None:
    noisy = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    model, literal = small_model().double(), small_model().double()
    torch.manual_seed(2)
    got = model.denoise(noisy)
    torch.manual_seed(2)
    literal.first.reset()
    literal.second.reset()
    pair = slow_pair(noisy)
    for network in (literal.first, literal.second):
        with torch.no_grad():
            guide = slow_guide(literal, noisy)
        adam = torch.optim.Adam(network.parameters(), lr=1e-3)
        for step in range(4):
            adam.param_groups[0]["lr"] = 1e-3 if step < 2 else 5e-4
            adam.zero_grad()
            if network is literal.first:
                loss = slow_loss(pair, [half - network(half) for half in pair], noisy - network(noisy))
            else:
                loss = slow_loss(pair, [network(half) for half in slow_pair(guide)], network(guide))
            loss.backward()
            adam.step()
    with torch.no_grad():
        torch.testing.assert_close(got, literal.second(guide).clamp(0, 1), rtol=0, atol=1e-9)


def test_the_guide_is_made_once_for_an_image_and_anew_for_the_next() -> None:
    model = small_model()
    first, second = torch.rand(2, 1, 3, 9, 10).unbind()
    model.reset(first)
    guide = model.guide(first)
    assert model.guide(first) is guide
    assert not guide.requires_grad
    model.reset(second)
    assert not torch.equal(model.guide(second), guide)


def test_both_networks_are_those_of_zs_n2n_and_the_guide_of_any_size_is_padded_by_reflection() -> None:
    model = small_model().double()
    noisy = torch.rand(1, 3, 9, 10, dtype=torch.float64)
    for network in (model.first, model.second):
        torch.testing.assert_close(network(noisy), conv_stack(network.body, 2, noisy), rtol=0, atol=1e-12)
    model.reset(noisy)

    def denoised(x: Tensor) -> Tensor:
        return (x - conv_stack(model.first.body, 2, x)).clamp(0, 1)

    views = [denoised(noisy)]
    for stride, height, width in ((2, 10, 10), (4, 12, 12)):
        larger = torch.from_numpy(np.pad(noisy.numpy(), ((0, 0), (0, 0), (0, height - 9), (0, width - 10)), mode="reflect"))
        together = torch.empty_like(larger)
        for i, j in product(range(stride), repeat=2):
            together[..., i::stride, j::stride] = denoised(larger[..., i::stride, j::stride])
        views.append(denoised(together[..., :9, :10]))
    torch.testing.assert_close(model.guide(noisy), sum(views, torch.zeros_like(noisy)) / 3, rtol=0, atol=1e-12)


def test_a_step_that_may_be_replayed_trains_the_network_of_its_phase() -> None:
    model = small_model(steps=3)
    assert [model.phase(step / 6) for step in range(6)] == [0, 0, 0, 1, 1, 1]


def test_two_networks_of_zs_n2n_and_their_learning_rates() -> None:
    assert sum(parameter.numel() for parameter in Noise2Detail().parameters()) == 2 * 22_275
    rates = [small_model().learning_rate(progress) for progress in (0, 0.2499, 0.25, 0.4999, 0.5, 0.7499, 0.75, 0.9999)]
    assert rates == [1e-3, 1e-3, 5e-4, 5e-4, 1e-3, 1e-3, 5e-4, 5e-4]
    assert Noise2Detail(steps=2000).num_steps == 4000


def test_images_of_one_pixel_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        small_model().denoise(torch.rand(1, 3, 8, 1))


@pytest.mark.slow
def test_it_learns_from_the_noisy_photograph_alone() -> None:
    assert gain_db(method_of("noise2detail", "budget=quick"), crop=128) > 5.0
