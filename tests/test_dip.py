from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.methods.dip import DIP, MovingVariance, WindowedVariance
from denoisebench.seeding import isolated_rng
from jobs import method_settings
from learning import gain_db, method_of


def small_model(**options: Any) -> DIP:
    torch.manual_seed(1)
    return DIP(**{"features": 2, "steps": 3, **options})


def images(count: int, spread: Sequence[float] | None = None) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    base = torch.rand(1, 2, 3, 4, generator=generator)
    spreads = spread or [0.3] * count
    return [base + s * (torch.rand(base.shape, generator=generator) - 0.5) for s in spreads]


def test_the_windowed_variance_is_the_loop_over_the_window() -> None:
    variance, seen = WindowedVariance(5), images(23)
    for number, image in enumerate(seen):
        got = variance(image)
        if number < 4:
            assert got is None
            continue
        assert got is not None
        window = [value.double() for value in seen[number - 4 : number + 1]]
        mean = sum(window) / 5  # type: ignore[operator]
        expected = sum(float(((value - mean) ** 2).sum()) for value in window) / 5 / 24
        assert got.item() == pytest.approx(expected, rel=1e-9)


def test_the_windowed_variance_stays_exact_where_images_hardly_differ() -> None:
    base = torch.rand(1, 3, 20, 20)
    variance, seen = WindowedVariance(10), [base + 1e-4 * torch.rand(base.shape) for _ in range(500)]
    got = [variance(image) for image in seen][-1]
    assert got is not None
    window = torch.stack(seen[-10:]).double()
    assert got.item() == pytest.approx(window.var(0, unbiased=False).mean().item(), rel=1e-6)


def test_the_moving_variance_is_the_recursion() -> None:
    variance, seen = MovingVariance(), [image * 1.6 - 0.3 for image in images(140)]
    mean, expected = seen[0].double().flatten().tolist(), 0.0
    for number, image in enumerate(seen):
        got = variance(image.double())
        if number:
            differences = [value - old for value, old in zip(image.double().flatten().tolist(), mean, strict=True)]
            mean = [min(max(old + 0.1 * d, 0.0), 1.0) for old, d in zip(mean, differences, strict=True)]
            expected = 0.9 * (expected + 0.1 * sum(d * d for d in differences))
        assert (got is None) == (number <= 100)
        if got is not None:
            assert got.item() == pytest.approx(expected, rel=1e-9)
    assert variance.mean.flatten().tolist() == pytest.approx(mean, rel=1e-9, abs=1e-12)


def fed(model: DIP, outputs: Sequence[Tensor]) -> DIP:
    model.reset(torch.rand(1, 3, 33, 33))
    for output in outputs:
        model._follow(output)
    return model


def spreads() -> list[float]:
    """Outputs that settle until step 30, and waver more and more from then on, with a lull that comes too late."""
    return [1.0 / (1 + step) if step < 30 else 0.03 + 0.01 * (step - 30) for step in range(80)] + [0.0] * 20


@pytest.mark.parametrize("average", ["ema", "last"])
def test_the_output_at_the_smallest_variance_is_kept_until_patience_is_over(average: str) -> None:
    seen = images(100, spreads())
    model = fed(small_model(stop="es_wmv", window=6, patience=25, average=average), seen)
    scores = [torch.stack(seen[n - 5 : n + 1]).double().var(0, unbiased=False).mean().item() for n in range(5, 100)]
    best, waited = 0, 0
    for number, score in enumerate(scores):
        best, waited = (number, 0) if number == 0 or score < scores[best] else (best, waited + 1)
        if waited == 25:
            break
    step = best + 6  # steps made: the sixth output gives the first score
    assert 25 < step < 40
    assert min(scores) < scores[best], "the lull was to come after the patience"
    assert model.finished()
    assert model.chosen == {"stop_step": step}
    mean = seen[0]
    for output in seen[1:step]:
        mean = 0.99 * mean + 0.01 * output
    torch.testing.assert_close(model.predict(mean), mean if average == "ema" else seen[step - 1])


@pytest.mark.parametrize("average", ["ema", "last"])
def test_the_moving_variance_keeps_its_own_mean_or_the_output(average: str) -> None:
    seen = images(250, [1.0] * 130 + [0.01] * 20 + [1.0] * 100)
    model = fed(small_model(stop="es_emv", patience=40, average=average), seen)
    step = int(model.chosen["stop_step"])
    assert 145 <= step <= 150
    assert model.finished()
    mean = seen[0]
    for output in seen[1:step]:
        mean = (mean + 0.1 * (output - mean)).clamp(0, 1)
    torch.testing.assert_close(model.predict(mean), mean if average == "ema" else seen[step - 1])


@pytest.mark.parametrize("stop", ["es_wmv", "es_emv", "steps"])
def test_the_newest_is_kept_where_no_rule_has_a_say(stop: str) -> None:
    seen = images(7)
    model = fed(small_model(stop=stop, average="last"), seen)
    assert torch.equal(model.predict(seen[0]), seen[-1])
    assert model.chosen == {"stop_step": 7}
    assert not model.finished()


def test_the_result_does_not_depend_on_when_the_rule_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = torch.rand(1, 3, 33, 33)
    results, done = [], []
    for every in (1, 11, 1000):
        monkeypatch.setattr("denoisebench.denoiser.STEPS_BETWEEN_READINGS", every)
        model = small_model(stop="es_wmv", window=3, patience=6, steps=60)
        last: list[int] = []
        model.on_image_step = lambda step, loss, last=last: last.append(step)
        with isolated_rng(3):
            results.append((model.denoise(noisy), model.chosen))
        done.append(last[-1])
    assert done[0] < done[1] < done[2] == 60
    assert done[0] == results[0][1]["stop_step"] + 6  # type: ignore[operator]
    for output, chosen in results[1:]:
        assert torch.equal(output, results[0][0])
        assert chosen == results[0][1]


def test_the_loss_is_the_squared_error_of_what_the_jittered_input_gives() -> None:
    model = small_model(input_std=0.05).double()
    noisy = torch.rand(1, 3, 33, 34, dtype=torch.float64)
    model.reset(noisy)
    z = model._input.clone()
    assert 0 <= z.min() < 0.001 < 0.099 < z.max() <= 0.1
    torch.manual_seed(2)
    got = model.loss(noisy, 0.0)
    torch.manual_seed(2)
    output = model.network(z + 0.05 * torch.randn_like(z))
    total = torch.zeros((), dtype=torch.float64)
    for value, truth in zip(output.flatten(), noisy.flatten(), strict=True):
        total = total + (value - truth) ** 2
    expected = total / noisy.numel()
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    parameters = list(model.parameters())
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert torch.equal(model._input, z), "the input itself stays"


def test_the_noisy_image_is_the_target_only() -> None:
    model = small_model(steps=1, average="last")
    with isolated_rng(4):
        first = model.denoise(torch.rand(1, 3, 33, 40))
    with isolated_rng(4):
        assert torch.equal(model.denoise(torch.rand(1, 3, 33, 40)), first)


def test_steps_belong_to_the_stopping_rule() -> None:
    for stop, steps in (("es_wmv", 5000), ("es_emv", 5000), ("steps", 3000)):
        assert method_settings("method=dip", f"method.stop={stop}").steps == steps


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"stop": "oracle"}, "method.stop"),
        ({"average": "best"}, "method.average"),
        ({"window": 1}, "method.window"),
        ({"patience": 0}, "method.patience"),
        ({"steps": 0}, "method.steps"),
        ({"input_std": -1.0}, "method.input_std"),
    ],
)
def test_impossible_settings_are_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        DIP(**{"features": 2, **options})


@pytest.mark.slow
def test_it_lifts_psnr_on_independent_noise() -> None:
    gain = gain_db(method_of("dip", "budget=quick"))
    assert gain > 2, gain
