from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.methods import pixel_refilling
from denoisebench.methods.pixel_refilling import PixelRefilling, refill_image
from denoisebench.noise import Camera, Gaussian, NoiseModel
from denoisebench.sampling import bernoulli_mask
from jobs import method_settings
from learning import gain_db, method_of


def small_model(**options: Any) -> PixelRefilling:
    torch.manual_seed(1)
    return PixelRefilling(**{"features": 4, "modules": 1, "steps": 2, "passes": 3, **options})


def literal_refill(image: Tensor) -> Tensor:
    """Patch by patch, value by value."""
    channels, height, width = image.shape
    coarse = torch.zeros(channels, height // 2, width // 2, dtype=image.dtype)
    for c, i, j in product(range(channels), range(height // 2), range(width // 2)):
        coarse[c, i, j] = sum(float(image[c, 2 * i + a, 2 * j + b]) for a, b in product((0, 1), (0, 1))) / 4
    total, count = torch.zeros_like(image), torch.zeros_like(image)
    places = list(product(range(0, height // 2 - 7, 2), range(0, width // 2 - 7, 2)))
    for i, j in product(range(0, height - 7, 2), range(0, width - 7, 2)):
        patch = image[:, i : i + 8, j : j + 8]
        errors = []
        for a, b in places:
            pairs = zip(patch.flatten().tolist(), coarse[:, a : a + 8, b : b + 8].flatten().tolist(), strict=True)
            errors.append(sum((one - other) ** 2 for one, other in pairs))
        a, b = places[errors.index(min(errors))]
        total[:, i : i + 8, j : j + 8] += coarse[:, a : a + 8, b : b + 8]
        count[:, i : i + 8, j : j + 8] += 1
    assert count.min() >= 1
    return total / count


@pytest.mark.parametrize("shape", [(1, 20, 22), (3, 20, 18)])
def test_the_auxiliary_image_is_the_loop_over_patches(shape: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.rand(1, *shape, dtype=torch.float64)
    expected = literal_refill(image[0])[None]
    torch.testing.assert_close(refill_image(image), expected, rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(pixel_refilling, "DISTANCES", 1)  # one row of patches at a time
    torch.testing.assert_close(refill_image(image), expected, rtol=1e-9, atol=1e-12)


def test_an_image_that_is_its_own_coarse_version_is_refilled_with_itself_and_noise_is_lessened() -> None:
    edge = (torch.arange(40) >= 20).double().expand(1, 2, 40, 40)
    torch.testing.assert_close(refill_image(edge), edge, rtol=0, atol=1e-12)
    noise = 0.3 * torch.randn(1, 3, 64, 64, dtype=torch.float64)
    assert refill_image(noise).std() < 0.5 * noise.std()


def literal_downsampled(model: PixelRefilling, u: Tensor) -> Tensor:
    """PD without frames: sub-image (i, j) has the pixels (2 a + i, 2 b + j), and stands in quarter (i, j)."""
    _, _, height, width = u.shape
    mosaic, result = torch.zeros_like(u), torch.zeros_like(u)
    places = list(product(range(height), range(width)))
    for i, j in places:
        mosaic[..., i % 2 * (height // 2) + i // 2, j % 2 * (width // 2) + j // 2] = u[..., i, j]
    output = model.network(mosaic)
    for i, j in places:
        result[..., i, j] = output[..., i % 2 * (height // 2) + i // 2, j % 2 * (width // 2) + j // 2]
    return result


def literal_loss(model: PixelRefilling, noisy: Tensor) -> Tensor:
    kept = bernoulli_mask(noisy, model.refill)
    u = noisy.clone()
    u[~kept] = model._auxiliary[~kept]
    output = model.network(u) if model.pd == 1 else literal_downsampled(model, u)
    plain = model.network(u)
    fit, agree = torch.zeros((), dtype=noisy.dtype), torch.zeros((), dtype=noisy.dtype)
    values = zip(output.flatten(), plain.flatten(), noisy.flatten(), kept.flatten(), strict=True)
    for one, other, truth, keep in values:
        if not keep:
            fit, agree = fit + (one - truth).abs(), agree + (one - other).abs()
    return (fit + model.consistency * agree) / noisy.numel()


@pytest.mark.parametrize(("pd", "channels"), [(2, 3), (2, 1), (1, 3)])
def test_loss_and_gradients_are_those_of_the_slow_loss(pd: int, channels: int) -> None:
    model = small_model(pd=pd, channels=channels).double()
    noisy = torch.rand(1, channels, 16, 18, dtype=torch.float64)
    model.reset(noisy)
    parameters = list(model.parameters())
    torch.manual_seed(2)
    got = model.loss(noisy, 0.0)
    torch.manual_seed(2)
    expected = literal_loss(model, noisy)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=0)
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_each_value_is_the_noisy_or_the_auxiliary_one_and_the_share_is_the_set_one() -> None:
    model = small_model(refill=0.7)
    x = torch.rand(1, 3, 64, 64)
    model.reset(x)
    masked, u = model.refilled(x)
    assert set(masked.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(u, masked * model._auxiliary + (1 - masked) * x)
    assert abs(masked.mean().item() - 0.7) < 5 * (0.21 / masked.numel()) ** 0.5
    assert abs((masked[:, 0] * masked[:, 1]).mean().item() - 0.49) < 5 * (0.25 / 4096) ** 0.5, "channels are masked apart"


@pytest.mark.parametrize("pd", [1, 2])
def test_an_output_pixel_does_not_see_the_input_pixel_there(pd: int) -> None:
    model = small_model(pd=pd, features=16).double()  # narrower ones can start dead
    u = torch.rand(1, 3, 16, 20, dtype=torch.float64, requires_grad=True)
    output = model._downsampled(u)
    for row, column in ((0, 0), (7, 11), (15, 19)):
        [gradient] = torch.autograd.grad(output[..., row, column].sum(), u, retain_graph=True)
        assert not gradient[..., row, column].any()
        assert gradient.any()


def test_the_loss_sees_refilled_values_only_and_on_average_the_noise_of_each() -> None:
    model = small_model(pd=1)
    clean, width = torch.rand(1, 3, 32, 32), 3.0  # so wide that no output passes beyond the noise
    model.reset(clean)
    torch.manual_seed(4)
    masked, u = model.refilled(clean)
    generator, losses = torch.Generator().manual_seed(6), []
    with torch.no_grad():
        for _ in range(200):
            sign = torch.where(torch.rand(clean.shape, generator=generator) < 0.5, -width, width)
            torch.manual_seed(4)
            losses.append(model.loss(clean + masked * sign, 0.0).double())
    excess = torch.stack(losses)
    expected = width * masked.mean().item()  # symmetric noise beyond the error moves an absolute error by its own size
    assert abs(excess.mean().item() - expected) < 5 * excess.std().item() / 200**0.5
    assert excess.std().item() / 200**0.5 < 0.05 * expected, "the test would miss a wrong twentieth"
    model.refilled = lambda x: (masked, u)  # type: ignore[method-assign]
    loss = model.loss(clean, 0.0)
    assert torch.equal(model.loss(torch.where(masked == 0, clean + 5, clean), 0.0), loss)
    assert model.loss(torch.where(masked == 1, clean + 5, clean), 0.0) != loss


def test_parameters_are_those_of_the_released_code_and_drawn_anew() -> None:
    model = PixelRefilling()
    assert sum(p.numel() for p in model.parameters()) == 504_803
    small = small_model()
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.fill_(torch.nan)
    small.reset(torch.rand(1, 3, 16, 16))
    assert all(parameter.isfinite().all() for parameter in small.parameters())


@pytest.mark.parametrize("pd", [1, 2, 3])
def test_the_result_is_the_clipped_mean_of_passes_at_any_size(pd: int) -> None:
    model = small_model(pd=pd)
    noisy = torch.rand(1, 3, 17, 23) * 3 - 1
    model.reset(noisy)
    outputs = []
    inner = model._downsampled

    def recorded(u: Tensor) -> Tensor:
        outputs.append(inner(u) * 20)
        return outputs[-1]

    model._downsampled = recorded  # type: ignore[method-assign]
    with torch.no_grad():
        result = model.predict(noisy)
    assert len({output.sum().item() for output in outputs}) == 3, "each pass has its own mask"
    torch.testing.assert_close(result, torch.stack(outputs).mean(0).clamp(0, 1)[..., :17, :23])


def test_the_learning_rate_is_a_cosine() -> None:
    model = PixelRefilling(features=4, modules=0)
    assert [model.learning_rate(at) for at in (0.0, 1 / 3, 0.5, 1.0)] == pytest.approx([1e-4, 0.75e-4, 0.5e-4, 0.0])


NEIGHBOURS = ("camera", "correlated", "jpeg", "row_column", "stripes")  # share noise
APART = ("gaussian25", "poisson30", "dead_pixels", "fixed_pattern", "speckle25")
EXPECTED = {**dict.fromkeys(NEIGHBOURS, (0.7, 2)), **dict.fromkeys(APART, (0.5, 1))}


def test_independent_noise_has_settings_of_its_own() -> None:
    for noise, expected in EXPECTED.items():
        method = method_settings("method=pixel_refilling", f"noise={noise}")
        assert (method.refill, method.pd) == expected
    real = method_settings("method=pixel_refilling", "dataset=polyu", "noise=real")
    assert (real.refill, real.pd) == (0.7, 2)


@pytest.mark.parametrize(
    ("options", "key"),
    [({"refill": 0.0}, "method.refill"), ({"pd": 0}, "method.pd"), ({"passes": 0}, "method.passes"), ({"steps": -1}, "steps")],
)
def test_impossible_settings_are_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        PixelRefilling(**{"features": 4, "modules": 0, **options})


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "photo", "gain"), [(Camera(lam=15), 2, 3.0), (Gaussian(sigma=25), 0, 2.5)])
def test_it_lifts_psnr_on_correlated_and_on_independent_noise(noise: NoiseModel, photo: int, gain: float) -> None:
    name = "camera" if isinstance(noise, Camera) else "gaussian25"
    got = gain_db(method_of("pixel_refilling", "budget=quick", f"noise={name}"), noise, index=photo)
    assert got > gain, got
