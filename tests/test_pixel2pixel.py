from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.methods import pixel2pixel
from denoisebench.methods.pixel2pixel import Distance, Pixel2Pixel, pixel_bank
from jobs import method_settings
from learning import gain_db, method_of
from written_out import conv_stack


def small_model(**options: Any) -> Pixel2Pixel:
    torch.manual_seed(1)
    return Pixel2Pixel(**{"features": 3, "neighbours": 3, "steps": 2, **options})


def mirrored(position: int, size: int) -> int:
    position = abs(position)
    return position if position < size else 2 * (size - 1) - position


def literal_nearest(image: Tensor, row: int, column: int, distance: Distance, window: int, patch: int) -> list[Tensor]:
    """The centres in the window of one pixel, the most similar first: value by value."""
    channels, height, width = image.shape
    around = range(-(patch // 2), patch // 2 + 1)
    found: list[tuple[float, int, Tensor]] = []
    for down, right in product(range(-(window // 2), window - window // 2), repeat=2):
        total = 0.0
        for c, i, j in product(range(channels), around, around):
            here = image[c, mirrored(row + i, height), mirrored(column + j, width)]
            there = image[c, mirrored(row + down + i, height), mirrored(column + right + j, width)]
            total += abs(float(here - there)) if distance == "l1" else float(here - there) ** 2
        centre = image[:, mirrored(row + down, height), mirrored(column + right, width)]
        found.append((total, len(found), centre))
    return [centre for _, _, centre in sorted(found, key=lambda item: item[:2])]


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize(("channels", "size", "window"), [(3, (7, 6), 4), (1, (6, 9), 5)])
def test_the_bank_is_the_loop_over_pixels_offsets_and_patches(
    distance: Distance, channels: int, size: tuple[int, int], window: int
) -> None:
    image = torch.rand(1, channels, *size, dtype=torch.float64)
    bank = pixel_bank(image, 5, distance, window, patch=3)
    assert bank.shape == (5, channels, *size)
    for row, column in product(*map(range, size)):
        expected = torch.stack(literal_nearest(image[0], row, column, distance, window, 3)[:5])
        assert torch.equal(bank[:, :, row, column], expected)


def test_the_bank_of_the_published_window_and_patch_has_the_literal_pixels() -> None:
    image = torch.rand(1, 1, 25, 31, dtype=torch.float64)
    bank = pixel_bank(image, 4)
    for row, column in ((0, 0), (24, 30), (11, 17)):
        expected = torch.stack(literal_nearest(image[0], row, column, "l1", 40, 7)[:4])
        assert torch.equal(bank[:, :, row, column], expected)


def test_strips_change_nothing_and_hold_no_more_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(1, 3, 37, 29)
    whole = pixel_bank(image, 6)
    strip, rows = pixel2pixel._strip, []

    def counted(padded: Tensor, top: int, count: int, *rest: Any) -> Tensor:
        rows.append(count)
        return strip(padded, top, count, *rest)

    monkeypatch.setattr(pixel2pixel, "_strip", counted)
    monkeypatch.setattr(pixel2pixel, "PIXELS", 5 * 1600 * 29)
    assert torch.equal(pixel_bank(image, 6), whole)
    assert rows == [5, 5, 5, 5, 5, 5, 5, 2]


def test_a_pixel_comes_first_in_its_own_bank_and_one_that_repeats_comes_next() -> None:
    tile = torch.rand(1, 3, 12, 10)
    image = tile.tile(1, 1, 4, 4)  # each pixel has its equals within the window
    bank = pixel_bank(image, 4)
    torch.testing.assert_close(bank[:1], image, rtol=0, atol=0)
    assert torch.equal(bank[1:, :, 12:36, 10:30], image.expand(3, -1, -1, -1)[:, :, 12:36, 10:30])


def literal_loss(model: Pixel2Pixel) -> Tensor:
    first, second = model.draw_pair()
    bank = model._bank
    _, channels, height, width = bank.shape
    source = torch.zeros_like(bank[:1])
    for c, i, j in product(range(channels), range(height), range(width)):
        source[0, c, i, j] = bank[first[i, j], c, i, j]
    output = model.network(source)
    total = torch.zeros((), dtype=bank.dtype)
    for c, i, j in product(range(channels), range(height), range(width)):
        difference = output[0, c, i, j] - bank[second[i, j], c, i, j]
        total = total + (difference.abs() if model.distance == "l1" else difference**2)
    return total / (channels * height * width)


@pytest.mark.parametrize(("distance", "sigmoid", "channels"), [("l1", True, 3), ("l2", False, 1)])
def test_loss_and_gradients_are_those_of_the_slow_loss(distance: Distance, sigmoid: bool, channels: int) -> None:
    model = small_model(distance=distance, sigmoid=sigmoid, channels=channels).double()
    noisy = torch.rand(1, channels, 25, 27, dtype=torch.float64)
    model.reset(noisy)
    torch.manual_seed(2)
    got = model.loss(noisy, 0.0)
    torch.manual_seed(2)
    expected = literal_loss(model)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    parameters = list(model.parameters())
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [2, 4])
def test_a_pixel_is_never_its_own_target_and_each_pair_is_as_frequent_as_it_should_be(count: int) -> None:
    model = small_model(neighbours=count)
    model._bank = torch.zeros(count, 1, 300, 400)
    first, second = model.draw_pair()
    assert not (first == second).any()
    pixels = first.numel()
    for i, j in product(range(count), repeat=2):
        share = 0.0 if i == j else (2 if j == (i + 1) % count else 1) / count**2
        seen = ((first == i) & (second == j)).double().mean().item()
        assert abs(seen - share) <= 5 * (share * (1 - share) / pixels) ** 0.5, (i, j)
    for drawn in (first, second):  # so that each entry is source and target equally often
        assert abs(drawn.double().mean().item() - (count - 1) / 2) < 5 * ((count**2 - 1) / 12 / pixels) ** 0.5
    neighbours = ((first[:, 1:] == first[:, :-1]) & (second[:, 1:] == second[:, :-1])).double().mean().item()
    same = sum((2 if j == (i + 1) % count else 1) ** 2 for i, j in product(range(count), repeat=2) if i != j) / count**4
    assert abs(neighbours - same) < 5 * (same / pixels) ** 0.5, "pixels are not drawn independently"


@pytest.mark.parametrize(("channels", "parameters"), [(3, 149_699), (1, 148_417)])
def test_the_network_is_the_released_one(channels: int, parameters: int) -> None:
    model = Pixel2Pixel(channels)
    assert sum(p.numel() for p in model.parameters()) == parameters
    model.reset(torch.rand(1, channels, 24, 24))
    for name, parameter in model.network.named_parameters():
        if parameter.ndim == 1:
            assert not parameter.any(), name
            continue
        rows = parameter.detach().flatten(1)
        gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
        torch.testing.assert_close(gram, torch.eye(len(gram)), rtol=0, atol=1e-5)
    before = model.network[0].weight.clone()  # type: ignore[union-attr,operator]
    model.reset(torch.rand(1, channels, 24, 24))
    assert not torch.equal(model.network[0].weight, before)  # type: ignore[arg-type]


def written_out(model: Pixel2Pixel, x: Tensor, sigmoid: bool) -> Tensor:
    x = conv_stack(model.network, 5, x)
    return 1 / (1 + (-x).exp()) if sigmoid else x


@pytest.mark.parametrize("sigmoid", [True, False])
def test_the_network_is_five_convolutions_with_leaky_relus_and_one_of_single_pixels(sigmoid: bool) -> None:
    model = small_model(sigmoid=sigmoid).double()
    noisy = torch.randn(1, 3, 24, 26, dtype=torch.float64)
    model.reset(noisy)
    torch.testing.assert_close(model.network(noisy), written_out(model, noisy, sigmoid), rtol=0, atol=1e-12)


def test_whole_training_is_that_of_a_loop_with_adamw() -> None:
    noisy = torch.rand(1, 3, 24, 26, dtype=torch.float64)
    model, literal = small_model(steps=6).double(), small_model(steps=6).double()
    torch.manual_seed(2)
    got = model.denoise(noisy)
    torch.manual_seed(2)
    literal.reset(noisy)
    adam = torch.optim.AdamW(literal.parameters(), lr=1e-3, weight_decay=0.01)
    for rate in (1, 1, 1, 1 / 2, 1 / 4, 1 / 8):  # of 3000 steps: after 1500, 2000, 2500
        adam.param_groups[0]["lr"] = 1e-3 * rate
        adam.zero_grad()
        literal_loss(literal).backward()
        adam.step()
    with torch.no_grad():
        torch.testing.assert_close(got, written_out(literal, noisy, sigmoid=True).clamp(0, 1), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("sigma", "neighbours"), [(10, 2), (25, 4), (50, 8)])
def test_neighbours_follow_the_estimated_noise_level(sigma: int, neighbours: int) -> None:
    clean = torch.linspace(0.2, 0.8, 64).expand(1, 3, 64, 64)
    model = small_model(neighbours=None)
    model.reset(clean + torch.randn(1, 3, 64, 64) * sigma / 255)
    assert model.chosen["neighbours"] == neighbours == len(model._bank)
    assert model.chosen["sigma"] == pytest.approx(sigma, rel=0.1)
    assert model.tags == ()


def test_being_told_the_noise_level_is_tagged() -> None:
    told = small_model(neighbours=None, sigma=25)
    told.reset(torch.rand(1, 3, 24, 24))
    assert told.tags == ("oracle_sigma",)
    assert told.chosen == {"neighbours": 4, "sigma": 25}
    fixed = small_model(neighbours=20)
    fixed.reset(torch.rand(1, 3, 24, 24))
    assert fixed.tags == ()
    assert fixed.chosen == {"neighbours": 20}


def test_the_optimiser_and_its_rates_are_the_published_ones() -> None:
    model = Pixel2Pixel()
    optimizer = model.configure_optimizers()
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["weight_decay"] == 0.01
    steps = (0, 1499, 1500, 1999, 2000, 2499, 2500, 2999)
    rates = [model.learning_rate(step / 3000) / 1e-3 for step in steps]
    assert rates == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_the_result_is_one_clipped_pass_over_the_noisy_image() -> None:
    model = small_model(sigmoid=False, steps=0)
    noisy = torch.rand(1, 3, 24, 30) * 3 - 1
    output = model.denoise(noisy)
    with torch.no_grad():
        assert torch.equal(output, model.network(noisy).clamp(0, 1))
    assert output.min() == 0


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"neighbours": 1}, "method.neighbours"),
        ({"sigma": -1.0}, "method.sigma"),
        ({"distance": "l3"}, "method.distance"),
        ({"features": 0}, "method.features"),
        ({"steps": -1}, "method.steps"),
    ],
)
def test_impossible_settings_are_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        Pixel2Pixel(**options)


def test_real_noise_gaussian_noise_and_any_other_have_their_published_settings() -> None:
    cases = {("polyu", "real"): (20, "l2", False), ("kodak", "poisson30"): (8, "l1", True)}
    cases |= dict.fromkeys((("kodak", "gaussian50"), ("cbsd68", "stored50")), (None, "l1", True))
    for (dataset, noise), expected in cases.items():
        one = method_settings("method=pixel2pixel", f"dataset={dataset}", f"noise={noise}")
        assert (one.neighbours, one.distance, one.sigmoid) == expected


@pytest.mark.slow
def test_it_lifts_psnr_on_independent_noise() -> None:
    gain = gain_db(method_of("pixel2pixel", "budget=quick"))
    assert gain > 6, gain
