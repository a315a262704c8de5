import dataclasses
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from denoisebench.noise import Camera, Gaussian, Poisson, PoissonGaussian, Real, SaltAndPepper, Speckle, Stored

MODELS: dict[str, Any] = {
    "gaussian": Gaussian(),
    "gaussian, range, clipped": Gaussian(sigma=[5, 50], clip=True),
    "gaussian, 8 bit": Gaussian(clip=True, quantise=True),
    "poisson": Poisson(),
    "poisson, range, 8 bit": Poisson(lam=[5, 50], clip=True, quantise=True),
    "poisson_gaussian": PoissonGaussian(),
    "poisson_gaussian, ranges": PoissonGaussian(lam=[5, 50], sigma=[0, 20]),
    "speckle": Speckle(),
    "salt_and_pepper": SaltAndPepper(),
    "salt_and_pepper, range, channels": SaltAndPepper(amount=[0.05, 0.3], per_channel=True),
    "camera": Camera(),
    "camera, clipped, 8 bit": Camera(clip=True, quantise=True),
}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def global_states() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), kind, np.asarray(keys).tolist(), rest, random.getstate()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_noise_depends_on_its_generator_alone(name: str, dtype: torch.dtype) -> None:
    model, clean = MODELS[name], picture(1, 3, 3, 9, 14, dtype=dtype)
    before, states = clean.clone(), global_states()
    source = generator(2)
    first, second = model(clean, source), model(clean, source)
    assert first.dtype == dtype
    assert first.shape == clean.shape
    assert first.isfinite().all()
    assert not torch.equal(first, second)
    assert torch.equal(model(clean, generator(2)), first)
    assert not torch.equal(model(clean, generator(3)), first)
    assert torch.equal(clean, before)
    assert global_states() == states


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(["gaussian", "poisson", "poisson_gaussian", "speckle", "salt_and_pepper", "camera"]),
    images=st.integers(1, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
)
def test_clipping_and_rounding_come_after_the_noise(seed: int, name: str, images: int, height: int, width: int) -> None:
    model, clean = MODELS[name], picture(seed, images, 3, height, width)
    noisy = model(clean, generator(seed))
    clipped = dataclasses.replace(model, clip=True)(clean, generator(seed))
    both = dataclasses.replace(model, clip=True, quantise=True)(clean, generator(seed))
    assert torch.equal(clipped, noisy.clamp(0, 1))
    assert (both * 255 - (both * 255).round()).abs().max() < 1e-9
    assert (both - clipped).abs().max() <= 0.5 / 255 + 1e-12
    assert both.min() >= 0
    assert both.max() <= 1


@pytest.mark.parametrize("name", ["gaussian", "poisson", "camera"])
def test_noise_leaves_the_range_unless_clipped(name: str) -> None:
    clean = torch.linspace(0, 1, 48).expand(1, 3, 48, 48)
    noisy = MODELS[name](clean, generator(4))
    assert noisy.max() > 1
    # Photon noise alone cannot make a pixel negative; the normal kinds can.
    assert (noisy.min() < 0) == (name != "poisson")
    clipped = dataclasses.replace(MODELS[name], clip=True)(clean, generator(4))
    assert clipped.min() == 0
    assert clipped.max() == 1


@pytest.mark.parametrize("sigma", [5, 25.0, 50])
def test_gaussian_noise_is_normal_with_its_sigma_in_gray_levels(sigma: float) -> None:
    # Two million values tell 255 grey levels from 256.
    clean = picture(5, 2, 3, 600, 600)
    noise = ((Gaussian(sigma=sigma)(clean, generator(6)) - clean) * 255 / sigma).flatten().numpy()
    assert stats.kstest(noise[::20], "norm").pvalue > 1e-3
    assert abs(noise.mean()) < 5 / noise.size**0.5
    assert abs(noise.std() - 1) < 5 / (2 * noise.size) ** 0.5
    # Neither the brightness nor a neighbour says anything about the noise.
    assert abs(np.corrcoef(noise, clean.flatten().numpy())[0, 1]) < 5 / noise.size**0.5
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 5 / noise.size**0.5


def test_gaussian_noise_of_sigma_zero_is_none() -> None:
    clean = picture(7, 1, 3, 5, 5)
    assert torch.equal(Gaussian(sigma=0)(clean, generator(8)), clean)


def test_gaussian_levels_are_uniform_over_the_range_and_one_per_image() -> None:
    clean = torch.full((2000, 3, 24, 24), 0.5)
    noise = (Gaussian(sigma=[5, 50])(clean, generator(9)) - clean) * 255
    levels = noise.square().mean(dim=(1, 2, 3)).sqrt()
    assert stats.kstest(levels.numpy(), stats.uniform(5, 45).cdf).pvalue > 1e-3
    # Within an image nothing varies but the estimate: 576 pixels know their level to 3 per cent.
    for part in (noise[:, :1], noise[:, 1:2], noise[..., :16, :], noise[..., :, :16]):
        ratio = part.square().mean(dim=(1, 2, 3)).sqrt() / levels
        assert (ratio - 1).abs().max() < 0.15


def test_poisson_levels_are_uniform_over_the_range_and_one_per_image() -> None:
    clean = torch.full((300, 3, 48, 48), 0.5)
    noise = Poisson(lam=(5, 50))(clean, generator(10)) - clean
    levels = 0.5 / noise.square().mean(dim=(1, 2, 3))
    assert stats.kstest(levels.numpy(), stats.uniform(5, 45).cdf).pvalue > 1e-3
    for channel in range(3):
        ratio = 0.5 / noise[:, channel].square().mean(dim=(1, 2)) / levels
        assert (ratio - 1).abs().max() < 0.2


@pytest.mark.parametrize("lam", [0.7, 30, 500.0])
@pytest.mark.parametrize("brightness", [0.02, 0.5, 1.0])
def test_poisson_noise_counts_photons(lam: float, brightness: float) -> None:
    clean = torch.full((1, 3, 120, 120), brightness, dtype=torch.float64)
    noisy = Poisson(lam=lam)(clean, generator(11))
    counts = (noisy * lam).flatten().numpy()
    assert np.abs(counts - counts.round()).max() < 1e-9
    law = stats.poisson(lam * brightness)
    n = counts.size
    assert abs(counts.mean() - law.mean()) < 5 * law.std() / n**0.5
    kurtosis = float(law.stats("k"))
    assert abs(counts.var() / law.var() - 1) < 5 * ((2 + kurtosis) / n) ** 0.5
    # Bins of equal probability as far as a discrete law allows.
    edges = np.unique(law.ppf(np.linspace(0, 1, 9)[1:-1]))
    edges = edges[law.sf(edges) * n > 10]
    expected = n * np.diff([0.0, *law.cdf(edges), 1.0])
    observed = np.bincount(np.searchsorted(edges, counts.round()), minlength=len(expected))
    assert len(expected) >= 2
    assert stats.chisquare(observed, expected).pvalue > 1e-3


@pytest.mark.parametrize("brightness", [0.0, 0.3, 1.0])
def test_poisson_gaussian_noise_has_both_variances(brightness: float) -> None:
    clean = torch.full((1, 3, 300, 300), brightness, dtype=torch.float64)
    noise = (PoissonGaussian(lam=20, sigma=12)(clean, generator(20)) - clean).flatten()
    variance = brightness / 20 + (12 / 255) ** 2
    assert abs(noise.mean().item()) < 5 * (variance / noise.numel()) ** 0.5
    assert noise.var().item() == pytest.approx(variance, rel=0.02)
    assert (noise.numpy() * 20 % 1).std() > 0.2, "no whole photons: the Gaussian part is on every pixel"


def test_poisson_gaussian_noise_without_its_gaussian_part_is_poisson_noise() -> None:
    clean = picture(21, 1, 3, 9, 9)
    assert torch.equal(PoissonGaussian(lam=7, sigma=0)(clean, generator(1)), Poisson(lam=7)(clean, generator(1)))


@pytest.mark.parametrize("sigma", [10, 50.0])
def test_speckle_is_normal_and_grows_with_the_brightness(sigma: float) -> None:
    clean = picture(22, 1, 3, 300, 300) + 0.01
    relative = ((Speckle(sigma=sigma)(clean, generator(23)) - clean) / clean * 255 / sigma).flatten().numpy()
    assert stats.kstest(relative[::5], "norm").pvalue > 1e-3
    assert abs(relative.std() - 1) < 5 / (2 * relative.size) ** 0.5
    black = torch.zeros(1, 1, 4, 4)
    assert torch.equal(Speckle()(black, generator(0)), black)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("amount", [0.0, 0.1, 0.6, 1.0])
def test_salt_and_pepper_replace_their_share_and_nothing_else(amount: float, per_channel: bool) -> None:
    clean = picture(24, 1, 3, 200, 200) * 0.8 + 0.1
    noisy = SaltAndPepper(amount=amount, per_channel=per_channel)(clean, generator(25))
    salt, pepper, kept = noisy == 1, noisy == 0, noisy == clean
    assert (salt | pepper | kept).all()
    band = 5 * (0.25 / clean[0, 0].numel()) ** 0.5
    for share in (salt, pepper):
        assert abs(share.double().mean().item() - amount / 2) <= (band if 0 < amount < 1 or amount == 1 else 0)
    together = (kept == kept[:, :1]).all().item()
    assert together == (not per_channel or amount in (0.0, 1.0))
    if not per_channel:
        assert torch.equal(salt, salt[:, :1].expand_as(salt))


def test_poisson_noise_follows_each_pixel() -> None:
    clean = torch.linspace(0, 1, 5, dtype=torch.float64).reshape(1, 1, 1, 5).expand(1, 1, 20_000, 5)
    noisy = Poisson(lam=30)(clean, generator(12))[0, 0]
    assert (noisy[:, 0] == 0).all()
    brightness = clean[0, 0, 0]
    assert ((noisy.mean(dim=0) - brightness).abs() <= 5 * (brightness / 30 / 20_000).sqrt()).all()
    assert torch.allclose(noisy.var(dim=0), brightness / 30, rtol=0.08, atol=0)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Gaussian(), "gaussian25"),
        (Gaussian(sigma=25), "gaussian25"),
        (Gaussian(sigma=12.5), "gaussian12.5"),
        (Gaussian(sigma=[5, 50]), "gaussian5_50"),
        (Gaussian(sigma=(5.0, 50.0)), "gaussian5_50"),
        (Gaussian(sigma=[2.5, 50]), "gaussian2.5_50"),
        (Gaussian(sigma=25, clip=True), "gaussian25-clip"),
        (Gaussian(sigma=25, clip=True, quantise=True), "gaussian25-clip-8bit"),
        (Poisson(lam=30), "poisson30"),
        (Poisson(), "poisson30"),
        (Poisson(lam=[5, 50], clip=True, quantise=True), "poisson5_50-clip-8bit"),
        (Camera(), "camera"),
        (Camera(lam=60), "camera"),
        (Camera(lam=50), "camera-lam50"),
        (Camera(clip=True, quantise=True), "camera-clip-8bit"),
        (Camera(lam=50, clip=True, quantise=True), "camera-lam50-clip-8bit"),
        (PoissonGaussian(), "poisson30-gaussian10"),
        (PoissonGaussian(lam=[5, 50], sigma=2.5, clip=True), "poisson5_50-gaussian2.5-clip"),
        (Speckle(sigma=40), "speckle40"),
        (SaltAndPepper(), "salt_and_pepper0.1"),
        (SaltAndPepper(amount=[0, 0.5], per_channel=True), "salt_and_pepper0_0.5-channels"),
        (Stored(level=50), "stored50"),
    ],
)
def test_names(model: Any, name: str) -> None:
    assert model.name == name


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Gaussian, {"sigma": -1.0}),
        (Gaussian, {"sigma": [-5, 50]}),
        (Gaussian, {"sigma": [50, 5]}),
        (Gaussian, {"sigma": [5, 25, 50]}),
        (Poisson, {"lam": 0}),
        (Poisson, {"lam": -3}),
        (Poisson, {"lam": [0, 50]}),
        (Poisson, {"lam": [50, 5]}),
        (Poisson, {"lam": (5, 25, 50)}),
        (Camera, {"lam": 0.0}),
        (Camera, {"lam": [50, 5]}),
        (Camera, {"lam": [5, 25, 50]}),
        (Real, {"clip": True}),
        (PoissonGaussian, {"lam": 0}),
        (PoissonGaussian, {"sigma": -1}),
        (Speckle, {"sigma": -1}),
        (SaltAndPepper, {"amount": 1.2}),
        (SaltAndPepper, {"amount": [0.1, 2]}),
        (SaltAndPepper, {"amount": -0.1}),
        (Stored, {"clip": True}),
        *((kind, {"quantise": True}) for kind in (Gaussian, Poisson, PoissonGaussian, Speckle, SaltAndPepper, Camera)),
    ],
)
def test_senseless_noise_is_refused(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        kind(**options)


def test_real_noise_cannot_be_added() -> None:
    with pytest.raises(ValueError):
        Real()(torch.rand(1, 3, 8, 8), generator(0))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_camera_takes_colour_images_only(channels: int) -> None:
    with pytest.raises(ValueError):
        Camera()(torch.rand(1, channels, 8, 8), generator(0))


@pytest.mark.parametrize("kind", [Gaussian, Poisson, PoissonGaussian, Speckle, SaltAndPepper, Camera])
def test_noise_is_frozen_and_takes_keywords_only(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind(20.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        kind().clip = True


def linear_from_srgb(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def srgb_from_linear(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


RED, GREEN, BLUE = range(3)
BROAD = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
CROSS = [[0, 1, 0], [1, 4, 1], [0, 1, 0]]


def colour_at(row: int, column: int) -> int:
    if (row % 2, column % 2) == (0, 0):
        return RED
    return BLUE if (row % 2, column % 2) == (1, 1) else GREEN


def slow_camera(clean: np.ndarray, source: torch.Generator, lam: float, read_std: float, gains: list[float]) -> np.ndarray:
    images, _, height, width = clean.shape
    raw = np.zeros((images, 1, height, width))
    for n in range(images):
        for r in range(height):
            for c in range(width):
                colour = colour_at(r, c)
                raw[n, 0, r, c] = linear_from_srgb(clean[n, colour, r, c]) / gains[colour]
    photons = torch.poisson(torch.from_numpy(lam * raw), generator=source).numpy()
    noise = photons / lam - raw + read_std * torch.randn(raw.shape, generator=source, dtype=torch.float64).numpy()
    noisy = np.zeros_like(clean)
    for n in range(images):
        for colour in range(3):
            kernel = CROSS if colour == GREEN else BROAD
            for r in range(height):
                for c in range(width):
                    total = weights = 0.0
                    for dr in (-1, 0, 1):
                        for dc in (-1, 0, 1):
                            inside = 0 <= r + dr < height and 0 <= c + dc < width
                            if inside and colour_at(r + dr, c + dc) == colour:
                                total += kernel[dr + 1][dc + 1] * noise[n, 0, r + dr, c + dc]
                                weights += kernel[dr + 1][dc + 1]
                    # Where no sample is in reach (images of a pixel or a row) there is no noise to spread.
                    spread = total / weights if weights else 0.0
                    noisy[n, colour, r, c] = srgb_from_linear(linear_from_srgb(clean[n, colour, r, c]) + gains[colour] * spread)
    return noisy


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (7, 1), (2, 2), (5, 8), (6, 7)])
@pytest.mark.parametrize("options", [{}, {"lam": 7.0, "read_std": 0.05, "gain_red": 1.3, "gain_blue": 2.7}])
def test_camera_noise_is_that_of_the_slow_camera(options: dict[str, Any], height: int, width: int) -> None:
    # A third of the image is nearly black, where the curve is straight and the noise goes below zero.
    clean = picture(13, 2, 3, height, width)
    clean[..., : width // 3] *= 0.03
    model = Camera(**options)
    gains = [options.get("gain_red", 2.0), 1.0, options.get("gain_blue", 1.6)]
    lam, read_std = options.get("lam", 60.0), options.get("read_std", 0.005)
    expected = slow_camera(clean.numpy(), generator(14), lam, read_std, gains)
    got = model(clean, generator(14)).numpy()
    assert np.abs(got - expected).max() < 1e-10
    assert np.abs(got - clean.numpy()).max() > 1e-3


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (7, 1), (2, 3), (33, 47)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("brightness", [0.0, 0.01, 1.0])
def test_camera_noise_is_finite_at_any_size(height: int, width: int, dtype: torch.dtype, brightness: float) -> None:
    clean = torch.full((2, 3, height, width), brightness, dtype=dtype)
    noisy = Camera(read_std=0.05)(clean, generator(15))
    assert noisy.shape == clean.shape
    assert noisy.dtype == dtype
    assert noisy.isfinite().all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), height=st.integers(1, 20), width=st.integers(1, 20))
def test_a_camera_with_endless_light_takes_the_clean_image(seed: int, height: int, width: int) -> None:
    clean = picture(seed, 2, 3, height, width)
    noisy = Camera(lam=1e14, read_std=0.0)(clean, generator(seed))
    assert torch.allclose(noisy, clean, rtol=0, atol=1e-4)


def autocorrelation(noise: torch.Tensor, axis: int) -> list[float]:
    size = noise.shape[axis]
    one, other = noise.narrow(axis, 0, size - 1), noise.narrow(axis, 1, size - 1)
    return [float(np.corrcoef(one[:, c].flatten(), other[:, c].flatten())[0, 1]) for c in range(3)]


@pytest.mark.parametrize("axis", [2, 3])
def test_camera_noise_is_spatially_correlated_and_gaussian_noise_is_not(axis: int) -> None:
    clean = torch.full((2, 3, 128, 128), 0.5)
    assert min(autocorrelation(Camera()(clean, generator(16)) - clean, axis)) > 0.25
    assert max(abs(value) for value in autocorrelation(Gaussian()(clean, generator(16)) - clean, axis)) < 0.03


def linear(image: torch.Tensor) -> torch.Tensor:
    return torch.where(image <= 0.04045, image / 12.92, ((image.clamp(min=0) + 0.055) / 1.055) ** 2.4)


SITES = {RED: (slice(0, None, 2), slice(0, None, 2)), BLUE: (slice(1, None, 2), slice(1, None, 2))}


@pytest.mark.parametrize(("colour", "gain"), [(RED, 2.0), (BLUE, 1.6)])
def test_camera_noise_at_its_own_sites_has_the_variance_of_the_sensor(colour: int, gain: float) -> None:
    # Interpolation keeps a sample as it is at its own site, so photon and read noise show there undiluted.
    lam, read_std = 60.0, 0.03
    variances = []
    for brightness in (0.0, 0.2, 0.5, 1.0):
        clean = torch.full((1, 3, 256, 256), brightness, dtype=torch.float64)
        light = linear(clean)[0, 0, 0, 0].item()
        noise = (linear(Camera(lam=lam, read_std=read_std)(clean, generator(17))) - light)[0, colour][SITES[colour]]
        expected = gain**2 * (light / gain / lam + read_std**2)
        assert noise.var().item() == pytest.approx(expected, rel=0.08)
        assert abs(noise.mean().item()) < 5 * (expected / noise.numel()) ** 0.5
        variances.append(noise.var().item())
    assert variances == sorted(variances)
    assert variances[-1] > 5 * variances[0]


def test_camera_noise_grows_with_the_light_in_every_channel() -> None:
    deviations = []
    for brightness in (0.1, 0.3, 0.6, 0.95):
        clean = torch.full((1, 3, 128, 128), brightness, dtype=torch.float64)
        noise = linear(Camera()(clean, generator(18))) - linear(clean)
        deviations.append(noise.std(dim=(0, 2, 3)))
    growth = torch.stack(deviations)
    assert (growth[1:] > 1.3 * growth[:-1]).all()
