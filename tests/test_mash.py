from math import cos, pi
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from denoisebench.methods.mash import MASH, flat_tiles
from denoisebench.noise import Camera
from denoisebench.sampling import bernoulli_mask, draw_permutations
from jobs import built
from learning import gain_db, method_of


def small_model(channels: int = 3, **options: Any) -> MASH:
    torch.manual_seed(1)
    return MASH(channels=channels, **{"features": 3, "steps": 4, "passes": 2, **options})


def slow_loss(network: nn.Module, noisy: Tensor, ratio: float, target: Tensor) -> Tensor:
    """Value by value, from the next draw of a mask."""
    kept = bernoulli_mask(noisy, ratio)
    masked = noisy.clone()
    masked[~kept] = 0
    output = network(masked)
    total = output.new_zeros(())
    for value, truth, keep in zip(output.flatten(), target.flatten(), kept.flatten(), strict=True):
        if not keep:
            total = total + (value - truth).abs()
    return total / noisy.numel()


def slow_mean(network: nn.Module, noisy: Tensor, ratio: float, passes: int) -> Tensor:
    with torch.no_grad():
        return torch.stack([network(noisy * bernoulli_mask(noisy, ratio)) for _ in range(passes)]).mean(0)


def slow_deviation(residual: Tensor) -> float:
    values = residual.flatten().tolist()
    mean = sum(values) / len(values)
    return (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5


def slow_tiles(image: Tensor, share: float) -> list[tuple[int, int]]:
    """The corners of the flat tiles of (1, C, H, W), pixel by pixel."""
    gray = image[0].mean(0)
    height, width = gray.shape
    rough = {}
    for i in range(0, height, 2):
        for j in range(0, width, 2):
            cell = [gray[i + a, j + b].item() for a in range(2) for b in range(2)]
            mean = sum(cell) / 4
            deviation = (sum((value - mean) ** 2 for value in cell) / 4) ** 0.5
            rough |= {(i + a, j + b): deviation for a in range(2) for b in range(2)}
    most = max(rough.values())
    corners = [(i, j) for i in range(0, height, 4) for j in range(0, width, 4)]
    return [(i, j) for i, j in corners if all(rough[i + a, j + b] / most < share for a in range(4) for b in range(4))]


def slow_shuffled(noisy: Tensor, denoised: Tensor, share: float) -> Tensor:
    """From the next draw of permutations."""
    height, width = (side // 4 * 4 for side in noisy.shape[-2:])
    draw = draw_permutations(noisy[..., :height, :width], 4)
    target = noisy.clone()
    for i, j in slow_tiles(denoised[..., :height, :width], share):
        for position in range(16):
            source = int(draw[0, position, i // 4, j // 4])
            target[..., i + position // 4, j + position % 4] = noisy[..., i + source // 4, j + source % 4]
    return target


# --- The loss ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "size", "ratio"), [(3, (9, 7), 0.2), (1, (8, 8), 0.8), (3, (4, 5), 0.9)])
def test_loss_and_gradients_are_those_of_the_slow_loss(channels: int, size: tuple[int, int], ratio: float) -> None:
    model = small_model(channels).double()
    noisy, target = torch.rand(2, 1, channels, *size, dtype=torch.float64).unbind()
    torch.manual_seed(2)
    got = model.blind_loss(1, noisy, ratio, target)
    torch.manual_seed(2)
    expected = slow_loss(model.networks[1], noisy, ratio, target)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    parameters = list(model.networks[1].parameters())
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_networks_see_kept_values_only_and_the_loss_masked_ones_only() -> None:
    model = small_model().double()
    noisy = torch.rand(1, 3, 20, 70, dtype=torch.float64)
    torch.manual_seed(3)
    mask, output = model._masked_pass(0, noisy, 0.5)
    spoiled = torch.where(mask == 0, noisy + 5, noisy)
    torch.manual_seed(3)
    assert torch.equal(model._masked_pass(0, spoiled, 0.5)[1], output)  # although the border is reflected
    torch.manual_seed(3)
    loss = model.blind_loss(0, noisy, 0.5, noisy)
    torch.manual_seed(3)
    assert torch.equal(model.blind_loss(0, noisy, 0.5, torch.where(mask == 1, noisy + 5, noisy)), loss)
    assert abs(mask.mean().item() - 0.5) < 5 * (0.25 / mask.numel()) ** 0.5


def test_whole_training_is_that_of_three_loops_with_optimisers_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rule that always shuffles, in float64."""
    monkeypatch.setattr("denoisebench.methods.mash.RULES", {"released": (-2.0, -1.0, (0.1, 0.5, 0.9))})
    noisy = torch.rand(1, 3, 9, 8, dtype=torch.float64)
    model, literal = small_model(shuffle_at=0.5).double(), small_model().double()
    torch.manual_seed(2)
    got = model.denoise(noisy)
    torch.manual_seed(2)
    for network in literal.networks:
        network.reset()  # type: ignore[operator]
    target = noisy
    for network, ratio in zip(literal.networks, (0.2, 0.8, 0.9), strict=True):
        if ratio == 0.9:
            spread = [slow_deviation(slow_mean(literal.networks[i], noisy, r, 2) - noisy) for i, r in ((0, 0.2), (1, 0.8))]
            assert model.chosen["gap"] == pytest.approx(255 * abs(spread[0] - spread[1]), abs=1e-6)
        adam = torch.optim.Adam(network.parameters(), lr=4e-4)
        for step in range(4):
            if ratio == 0.9 and step == 2:
                target = slow_shuffled(noisy, slow_mean(network, noisy, ratio, 2), 0.5)
            adam.param_groups[0]["lr"] = 4e-4 * (1 + cos(pi * step / 4)) / 2
            adam.zero_grad()
            slow_loss(network, noisy, ratio, target).backward()
            adam.step()
    assert not torch.equal(target, noisy)
    assert model.chosen["ratio"] == 0.9
    torch.testing.assert_close(got, slow_mean(literal.networks[2], noisy, 0.9, 2), rtol=0, atol=1e-8)


# --- What is measured and chosen ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "gap", "ratio", "shuffled"), [
    ("released", 0.5, 0.1, False), ("released", 1.0, 0.5, False), ("released", 1.9, 0.5, False), ("released", 2.1, 0.9, True),
    ("paper", 1.4, 0.2, False), ("paper", 2.4, 0.5, False), ("paper", 2.6, 0.8, True),
])  # fmt: skip
def test_the_gap_chooses_ratio_and_shuffling(rule: Any, gap: float, ratio: float, shuffled: bool) -> None:
    noisy = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    noisy = (noisy - noisy.mean()) / noisy.std(correction=0)
    for permitted in (True, False):
        model = small_model(rule=rule, shuffle=permitted)
        assert model.chosen == {}
        # Networks whose residuals have a standard deviation of 5 and 5 - gap grey levels.
        spread = {0: 5.0, 1: 5.0 - gap - 1e-6}
        model.denoised = lambda network, noisy, ratio, spread=spread: noisy * (1 + spread[network] / 255) + 0.3  # type: ignore[method-assign]
        assert model.decision(noisy) == (ratio, shuffled and permitted)
        assert model.chosen["ratio"] == ratio
        assert model.chosen["gap"] == pytest.approx(gap, abs=1e-4)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_flat_tiles_are_those_of_the_slow_rule(share: float) -> None:
    torch.manual_seed(4)
    image = torch.rand(1, 3, 16, 12, dtype=torch.float64) * torch.linspace(0, 1, 12, dtype=torch.float64)
    flat = flat_tiles(image, share)
    expected = torch.zeros(16, 12, dtype=torch.bool)
    for i, j in slow_tiles(image, share):
        expected[i : i + 4, j : j + 4] = True
    assert torch.equal(flat[0, 0], expected)
    assert expected.any()
    assert not expected.all()
    assert torch.equal(flat_tiles(torch.ones(1, 1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4, dtype=torch.bool))


def test_shuffling_moves_whole_pixels_inside_flat_tiles_only() -> None:
    model = small_model()
    noisy = torch.rand(1, 3, 18, 13, dtype=torch.float64)
    denoised = torch.rand_like(noisy) * torch.linspace(0, 1, 13, dtype=torch.float64)
    torch.manual_seed(5)
    got = model.shuffled(noisy, denoised)
    torch.manual_seed(5)
    assert torch.equal(got, slow_shuffled(noisy, denoised, 0.5))
    flat = slow_tiles(denoised[..., :16, :12], 0.5)
    moved = torch.zeros(18, 13, dtype=torch.bool)
    for i, j in flat:
        moved[i : i + 4, j : j + 4] = True
        before, after = (x[0, :, i : i + 4, j : j + 4].flatten(1).T.tolist() for x in (noisy, got))
        assert sorted(before) == sorted(after)
    assert 0 < len(flat) < 12
    assert torch.equal(got[..., ~moved], noisy[..., ~moved])
    assert (got != noisy).any()


def test_each_place_of_a_tile_is_filled_from_each_alike() -> None:
    draw = draw_permutations(torch.empty(1, 1, 256, 256), 4).flatten(2)[0]  # 4096 tiles
    counts = torch.stack([(draw == source).sum(1) for source in range(16)])
    assert ((counts - 256).abs() < 5 * (4096 * 15 / 256) ** 0.5).all()


# --- Schedule, sizes ---------------------------------------------------------------------------------------------


def test_networks_schedule_and_impossible_settings() -> None:
    assert sum(parameter.numel() for parameter in MASH().parameters()) == 3 * 991_203
    assert MASH().shuffle_step == 51
    assert MASH(steps=700, shuffle_at=101 / 700).shuffle_step == 101
    model = small_model(steps=800)
    rates = [model.learning_rate(step / 2400) for step in (0, 400, 799, 800, 1200, 1600, 2399)]
    last = 4e-4 * (1 + cos(pi * 799 / 800)) / 2
    assert rates == pytest.approx([4e-4, 2e-4, last, 4e-4, 2e-4, 4e-4, last])
    with pytest.raises(ValueError, match="at least 4"):
        model.denoise(torch.rand(1, 3, 3, 9))
    wrong: list[tuple[dict[str, Any], str]]
    wrong = [({"steps": 0}, r"method\.steps"), ({"passes": 0}, r"method\.passes"), ({"rule": "x"}, r"method\.rule")]
    for options, key in wrong:
        with pytest.raises(ValueError, match=key):
            small_model(**options)


def test_a_step_that_may_be_replayed_trains_the_network_of_its_phase_towards_the_target_of_its_phase() -> None:
    model = small_model(steps=4, shuffle_at=0.5)
    assert [model.phase(step / 12) for step in range(12)] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3]


def test_fmdd_and_other_sets_have_their_published_settings() -> None:
    found = []
    for dataset in ("fmdd", "kodak"):
        model = built("method=mash", f"dataset={dataset}", "noise=real" if dataset == "fmdd" else "noise=gaussian25")
        found.append((model.steps, model.shuffle_step, model.flatness))
    assert found == [(700, 101, 0.1), (800, 51, 0.5)]


@pytest.mark.slow
def test_it_learns_from_a_photograph_with_camera_noise_alone() -> None:
    """On strong independent noise it takes tau 0.9 too, and so short a training then gains nothing."""
    assert gain_db(method_of("mash", "budget=quick"), Camera(lam=15), crop=128, index=2) > 3.0
