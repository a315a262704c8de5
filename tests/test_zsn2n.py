from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.methods.zsn2n import ZSN2N
from denoisebench.networks.conv_stack import ConvStack
from denoisebench.sampling import diagonal_pair
from learning import gain_db, method_of


def small_model(channels: int = 3, **options: Any) -> ZSN2N:
    torch.manual_seed(1)
    return ZSN2N(channels=channels, **{"features": 4, "steps": 3, **options})


# --- The pair down-sampler ---------------------------------------------------------------------------------------


def slow_pair(x: Tensor) -> tuple[Tensor, Tensor]:
    """Cell by cell."""
    n, channels, height, width = x.shape
    first, second = (x.new_zeros(n, channels, height // 2, width // 2) for _ in range(2))
    for i in range(height // 2):
        for j in range(width // 2):
            a, b = x[..., 2 * i, 2 * j], x[..., 2 * i, 2 * j + 1]
            c, d = x[..., 2 * i + 1, 2 * j], x[..., 2 * i + 1, 2 * j + 1]
            first[..., i, j], second[..., i, j] = (b + c) / 2, (a + d) / 2
    return first, second


@pytest.mark.parametrize("shape", [(1, 3, 6, 8), (2, 1, 7, 5), (3, 2, 2, 2)])
def test_the_pair_is_that_of_the_slow_down_sampler(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, dtype=torch.float64)
    torch.testing.assert_close(diagonal_pair(x), torch.cat(slow_pair(x)), rtol=0, atol=1e-15)


def test_each_pixel_of_a_whole_cell_is_in_one_sub_image_only_by_half() -> None:
    x = torch.rand(1, 1, 5, 6, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(diagonal_pair, x)
    assert isinstance(jacobian, Tensor)
    weights = jacobian.view(2, 6, 5, 6).sum(1)  # of each sub-image's values for each pixel
    assert set(weights.unique().tolist()) == {0.0, 0.5}
    assert torch.equal(weights.sum(0)[:4], torch.full((4, 6), 0.5, dtype=torch.float64))
    assert not weights[:, 4].any()  # the odd last row


def test_pairs_of_independent_noise_are_uncorrelated_and_half_as_strong() -> None:
    noise = torch.randn(1, 1, 512, 512)
    first, second = diagonal_pair(noise).flatten(1)
    bound = 5 / len(first) ** 0.5
    assert abs((first * second).mean() / 0.5) < bound
    assert abs(first.var() / 0.5 - 1) < 2**0.5 * bound
    assert abs(second.var() / 0.5 - 1) < 2**0.5 * bound


# --- The loss ----------------------------------------------------------------------------------------------------


def mean_square(difference: Tensor) -> Tensor:
    total = difference.new_zeros(())
    for value in difference.flatten():
        total = total + value * value
    return total / difference.numel()


def slow_loss(model: ZSN2N, noisy: Tensor) -> Tensor:
    """One pass for each term and value by value, as the paper writes it."""

    def denoised(x: Tensor) -> Tensor:
        return x - model.network(x)

    first, second = slow_pair(noisy)
    residual = mean_square(first - denoised(second)) + mean_square(second - denoised(first))
    of_whole = slow_pair(denoised(noisy))
    consistency = mean_square(denoised(first) - of_whole[0]) + mean_square(denoised(second) - of_whole[1])
    return residual / 2 + consistency / 2


@pytest.mark.parametrize(("channels", "size"), [(3, (8, 10)), (1, (7, 9)), (3, (2, 2))])
def test_loss_and_gradients_are_those_of_the_slow_loss(channels: int, size: tuple[int, int]) -> None:
    model = small_model(channels).double()
    noisy = torch.rand(1, channels, *size, dtype=torch.float64)
    model.reset(noisy)
    got, expected = model.loss(noisy, 0.3), slow_loss(model, noisy)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    parameters = list(model.parameters())
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_whole_training_is_that_of_a_literal_loop() -> None:
    """Ten steps with PyTorch's plain Adam, in float64."""
    noisy = torch.rand(1, 3, 12, 15, dtype=torch.float64)
    model = small_model(steps=10).double()
    torch.manual_seed(2)
    got = model.denoise(noisy)
    literal = small_model(steps=10).double()
    torch.manual_seed(2)
    literal.network.reset()
    adam = torch.optim.Adam(literal.parameters(), lr=1e-3)
    for step in range(10):
        adam.param_groups[0]["lr"] = 1e-3 if step < 7.5 else 5e-4
        adam.zero_grad()
        slow_loss(literal, noisy).backward()
        adam.step()
    with torch.no_grad():
        torch.testing.assert_close(got, (noisy - literal.network(noisy)).clamp(0, 1), rtol=0, atol=1e-9)


# --- Network, schedule, sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "layers", "features", "count"), [
    (3, 2, 48, 22_275), (1, 2, 48, 21_313), (1, 8, 64, 259_201), (3, 8, 64, 260_483), (3, 5, 64, 149_699),
])  # fmt: skip
def test_parameter_counts_are_those_of_the_papers(channels: int, layers: int, features: int, count: int) -> None:
    assert sum(parameter.numel() for parameter in ConvStack(channels, features, layers).parameters()) == count


def test_activations_in_place_leave_output_and_gradients_as_they_are() -> None:
    stack = ConvStack(3, 5, layers=3, slope=0.2).double()
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64, requires_grad=True)
    y = x
    for layer in list(stack.body)[:-1:2]:
        y = torch.nn.functional.leaky_relu(layer(y), 0.2)
    y = stack.body[-1](y)
    torch.testing.assert_close(stack(x), y)
    inputs = [x, *stack.parameters()]
    for one, other in zip(torch.autograd.grad(stack(x).square().sum(), inputs), torch.autograd.grad(y.square().sum(), inputs),
                          strict=True):  # fmt: skip
        torch.testing.assert_close(one, other)


def test_resetting_draws_the_first_weights_as_building_does() -> None:
    torch.manual_seed(4)
    built = ConvStack(3, 5).state_dict()
    other = ConvStack(3, 5)
    torch.manual_seed(4)
    other.reset()
    assert all(torch.equal(built[name], value) for name, value in other.state_dict().items())


def test_the_learning_rate_is_halved_once_at_three_quarters_or_where_it_is_told() -> None:
    rates = [ZSN2N(features=2).learning_rate(progress) for progress in (0, 0.7495, 0.75, 0.9995)]
    assert rates == [1e-3, 1e-3, 5e-4, 5e-4]
    notebook = ZSN2N(features=2, steps=3000, halvings=[1 / 3, 2 / 3])
    assert [notebook.learning_rate(step / 3000) for step in (999, 1000, 1999, 2000)] == [1e-3, 5e-4, 5e-4, 2.5e-4]


def test_the_result_is_clipped_and_images_of_one_pixel_are_refused() -> None:
    method = small_model()
    result = method.denoise(torch.rand(1, 3, 9, 8) * 3 - 1)
    assert result.min() == 0
    assert result.max() == 1
    with pytest.raises(ValueError, match="at least 2"):
        method.denoise(torch.rand(1, 3, 1, 8))
    with pytest.raises(ValueError, match=r"method\.steps"):
        ZSN2N(steps=-1)


@pytest.mark.slow
def test_it_learns_from_the_noisy_photograph_alone() -> None:
    assert gain_db(method_of("zsn2n", "budget=quick"), crop=128) > 5.0
