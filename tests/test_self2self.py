from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.methods.self2self import Self2Self, flipped
from denoisebench.sampling import bernoulli_mask
from denoisebench.seeding import isolated_rng
from jobs import method_settings
from learning import gain_db, method_of


def small_model(**options: Any) -> Self2Self:
    torch.manual_seed(1)
    return Self2Self(**{"features": 3, "steps": 2, "passes": 3, **options})


def slow_loss(model: Self2Self, noisy: Tensor) -> Tensor:
    """Value by value, from the draws in their order: the flips, the mask, then whatever the network drops."""
    upside_down, mirrored = (torch.rand(2, 1, 1, 1, 1) < 0.5).flatten().tolist()
    axes = [-2] * upside_down + [-1] * mirrored
    turned = noisy.flip(axes)
    kept = bernoulli_mask(turned, model.mask_drop)
    masked = turned.clone()
    masked[~kept] = 0
    output = model.network(masked, kept.to(noisy.dtype))
    total, count = torch.zeros((), dtype=noisy.dtype), 0
    for value, truth, keep in zip(output.flatten(), turned.flatten(), kept.flatten(), strict=True):
        if not keep:
            total, count = total + (value - truth) ** 2, count + 1
    return total / count


@pytest.mark.parametrize(("seed", "channels"), [(0, 3), (1, 1), (2, 3), (3, 1), (4, 3)])
def test_loss_and_gradients_are_those_of_the_slow_loss(seed: int, channels: int) -> None:
    model = small_model(channels=channels).double()
    noisy = torch.rand(1, channels, 9, 7, dtype=torch.float64)
    parameters = list(model.parameters())
    torch.manual_seed(seed)
    got = model.loss(noisy, 0.0)
    got_gradients = torch.autograd.grad(got, parameters)
    torch.manual_seed(seed)
    expected = slow_loss(model, noisy)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    for one, other in zip(got_gradients, torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def turn_of(masked: Tensor, image: Tensor) -> tuple[bool, bool]:
    """Whether `masked`, some values of `image` and else zeros, is upside down, and whether it is mirrored."""
    known = masked != 0
    turns = [(rows, columns) for rows in (False, True) for columns in (False, True)]
    [found] = [turn for turn in turns if torch.equal(masked, image.flip([-2] * turn[0] + [-1] * turn[1]) * known)]
    return found


def test_flips_undo_themselves_and_are_drawn_for_each_image() -> None:
    x = torch.rand(4, 3, 5, 6)
    draw = torch.tensor([[False, False, True, True], [False, True, False, True]])[..., None, None, None]
    assert torch.equal(flipped(flipped(x, draw), draw), x)
    assert torch.equal(flipped(x, draw), torch.stack([x[0], x[1].flip(-1), x[2].flip(-2), x[3].flip(-1, -2)]))
    seen = set()
    model = small_model()
    given: list[Tensor] = []
    model.network.forward = lambda x, mask: (given.append(x), x)[1]  # type: ignore[method-assign]
    ramp = torch.arange(1.0, 901).view(1, 1, 30, 30).expand(2, 3, -1, -1)
    for _ in range(20):
        mask, output = model.masked_pass(ramp)
        assert torch.equal(output, ramp * mask), "the flip is undone, of the mask too"
        seen.add(tuple(turn_of(image, ramp[0]) for image in given[-1]))
    assert {turn for both in seen for turn in both} == {(False, False), (False, True), (True, False), (True, True)}
    assert any(one != other for one, other in seen), "the two images of a batch would turn together"


def test_masks_drop_values_of_pixels_and_channels_apart() -> None:
    mask, _ = small_model(mask_drop=0.3).masked_pass(torch.rand(1, 3, 64, 64))
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert abs(mask.mean().item() - 0.7) < 5 * (0.21 / mask.numel()) ** 0.5
    both = (mask[:, 0] * mask[:, 1]).mean().item()
    assert abs(both - 0.49) < 5 * (0.25 / 4096) ** 0.5


def test_the_network_sees_kept_values_only_and_the_loss_dropped_ones_only() -> None:
    model = small_model().double()
    noisy = torch.rand(1, 3, 20, 70, dtype=torch.float64)
    torch.manual_seed(3)
    mask, output = model.masked_pass(noisy)
    spoiled = torch.where(mask == 0, noisy + 5, noisy)
    torch.manual_seed(3)
    again, other = model.masked_pass(spoiled)
    assert torch.equal(mask, again)
    assert torch.equal(output, other)
    fixed = [mask, output]
    model.masked_pass = lambda noisy: (fixed[0], fixed[1])  # type: ignore[method-assign]
    loss = model.loss(noisy, 0.0)
    assert torch.equal(model.loss(torch.where(mask == 1, noisy + 5, noisy), 0.0), loss)
    assert model.loss(spoiled, 0.0) != loss


def test_the_loss_is_the_error_to_the_clean_image_and_the_variance_of_the_noise_on_average() -> None:
    model = small_model()
    clean, sigma = torch.rand(1, 3, 40, 40), 0.4
    torch.manual_seed(5)
    mask, _ = model.masked_pass(clean)
    losses = []
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for noise in [torch.zeros_like(clean), *(sigma * torch.randn(clean.shape, generator=generator) for _ in range(200))]:
            torch.manual_seed(5)
            losses.append(model.loss(clean + (1 - mask) * noise, 0.0))
    excess = torch.stack(losses[1:]).double() - losses[0]
    assert abs(excess.mean().item() - sigma**2) < 5 * excess.std().item() / 200**0.5
    assert excess.std().item() / 200**0.5 < sigma**2 / 20, "the test would miss a wrong tenth"


def test_resampled_inputs_have_the_same_mean_and_the_variance_of_counts() -> None:
    model = small_model(photons=25.0)
    model.network.forward = lambda x, mask: x  # type: ignore[method-assign]
    noisy = torch.tensor([-0.5, 0.2, 0.9]).view(1, 3, 1, 1).expand(1, 3, 200, 200)
    mask, output = model.masked_pass(noisy)
    for channel, value in enumerate((0.0, 0.2, 0.9)):
        seen = output[0, channel][mask[0, channel] == 1].double()
        assert abs(seen.mean().item() - value) <= 5 * (value / 25 / len(seen)) ** 0.5
        assert seen.var().item() == pytest.approx(value / 25, rel=0.1)
    assert not output[mask == 0].any()


@pytest.mark.parametrize(("size", "batches"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (8, [5])])
def test_the_result_is_the_mean_of_passes_with_masks_of_their_own(size: int, batches: list[int]) -> None:
    model = small_model(passes=5, passes_per_batch=size)
    noisy = torch.rand(1, 3, 10, 12)
    outputs: list[Tensor] = []
    masks: list[Tensor] = []
    inner = model.masked_pass

    def recorded(noisy: Tensor) -> tuple[Tensor, Tensor]:
        mask, output = inner(noisy)
        masks.append(mask)
        outputs.append(output)
        return mask, output

    model.masked_pass = recorded  # type: ignore[method-assign]
    with torch.no_grad():
        result = model.predict(noisy)
    assert [len(output) for output in outputs] == batches
    torch.testing.assert_close(result, torch.cat(outputs).mean(0, keepdim=True))
    assert len({tuple(mask.flatten().tolist()) for mask in torch.cat(masks)}) == 5
    assert model._passes_at_once(torch.empty(1, 3, 32, 32)) > model._passes_at_once(torch.empty(1, 3, 96, 96)) >= 1


def test_the_average_of_the_training_is_that_of_its_outputs() -> None:
    model = small_model(result="training", steps=4)
    outputs: list[Tensor] = []
    inner = model.masked_pass

    def recorded(noisy: Tensor) -> tuple[Tensor, Tensor]:
        mask, output = inner(noisy)
        outputs.append(output.detach())
        return mask, output

    model.masked_pass = recorded  # type: ignore[method-assign]
    with isolated_rng(1):
        result = model.denoise(torch.rand(1, 3, 10, 12))
    weights = [0.99**age for age in (3, 2, 1, 0)]
    mean = sum((weight * output for weight, output in zip(weights, outputs, strict=True)), torch.zeros_like(result))
    torch.testing.assert_close(result, mean / sum(weights))
    assert len(outputs) == 4


def test_bf16_learns_from_one_image_as_float32_does() -> None:
    torch.manual_seed(4)
    noisy = torch.linspace(0, 1, 64).expand(1, 3, 64, 64) + 0.1 * torch.randn(1, 3, 64, 64)
    losses: dict[bool, list[float]] = {False: [], True: []}
    for low, seen in losses.items():
        model = small_model(steps=50, passes=1, lr=3e-3)
        model.on_image_step = lambda step, loss, seen=seen: seen.append(loss)
        torch.manual_seed(5)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            assert model.denoise(noisy).dtype == torch.float32
    assert losses[True] == pytest.approx(losses[False], rel=0.05)


def test_learning_rates() -> None:
    assert small_model().learning_rate(0.99) == 1e-4
    assert small_model(lr_decay="linear").learning_rate(0.75) == pytest.approx(2.5e-5)


def test_real_noise_and_polyu_have_their_published_settings() -> None:
    cases = {("kodak", "gaussian25"): (None, "passes"), ("sidd_validation", "real"): (25, "passes")}
    cases[("polyu", "real")] = (25, "training")
    for (dataset, noise), expected in cases.items():
        method = method_settings("method=self2self", f"dataset={dataset}", f"noise={noise}")
        assert (method.photons, method.result) == expected


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"drop": 1.0}, "method.drop"),
        ({"mask_drop": 0.0}, "method.mask_drop"),
        ({"photons": 0.0}, "method.photons"),
        ({"result": "best"}, "method.result"),
        ({"passes": 0}, "method.passes"),
        ({"steps": 0, "result": "training"}, "method.steps"),
    ],
)
def test_impossible_settings_are_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        Self2Self(**{"features": 3, **options})


@pytest.mark.slow
def test_it_lifts_psnr_on_independent_noise() -> None:
    gain = gain_db(method_of("self2self", "budget=quick"))
    assert gain > 3, gain
