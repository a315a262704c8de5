"""Noises with structure: each has the variance, autocorrelation or spectrum that it states."""

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from denoisebench.datasets.photos import Photos
from denoisebench.datasets.views import fixed_view
from denoisebench.noise import JPEG, Correlated, DeadPixels, FixedPattern, Gaussian, Placed, Quantised, RowColumn, Stripes
from denoisebench.study.limits import impossible_reason
from jobs import one
from test_noise import generator, global_states, picture

MODELS: dict[str, Any] = {
    "row_column": RowColumn(),
    "row_column, ranges, channels": RowColumn(row_sigma=[1, 20], column_sigma=[0, 5], sigma=[5, 50], per_channel=True),
    "stripes": Stripes(),
    "stripes, rows, ranges": Stripes(along="rows", detectors=0, offset_sigma=[1, 9], gain_std=[0, 0.1], sigma=[1, 9]),
    "fixed_pattern": FixedPattern(),
    "fixed_pattern, 8 bit": FixedPattern(pattern=3, sigma=[5, 10], clip=True, quantise=True),
    "dead_pixels": DeadPixels(amount=0.2),
    "correlated": Correlated(),
    "correlated, kernel": Correlated(sigma=[5, 50], kernel=[[1, 2, 0], [0, 0, -3]]),
    "jpeg": JPEG(),
    "quantised": Quantised(),
}
PLACED = {"fixed_pattern", "fixed_pattern, 8 bit", "dead_pixels", "jpeg"}


def gray(*shape: int) -> torch.Tensor:
    return torch.full(shape, 0.5, dtype=torch.float64)


def correlation(noise: torch.Tensor, down: int, right: int) -> float:
    """Of (N, C, H, W) with itself, so far down and to the right of it; its mean is known to be 0."""
    height, width = noise.shape[-2:]
    product = noise[..., : height - down, : width - right] * noise[..., down:, right:]
    return (product.mean() / noise.square().mean()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_noise_depends_on_its_generator_alone(name: str, dtype: torch.dtype) -> None:
    model = MODELS[name]
    for channels in (1, 3, 4):
        clean = picture(1, 2, channels, 9, 14, dtype=dtype)
        before, states = clean.clone(), global_states()
        source = generator(2)
        first, second = model(clean, source), model(clean, source)
        assert first.dtype == dtype
        assert first.shape == clean.shape
        assert first.isfinite().all()
        assert not torch.equal(first, second)
        assert torch.equal(model(clean, generator(2)), first)
        assert torch.equal(clean, before)
        assert global_states() == states
    assert isinstance(model, Placed) == (name in PLACED)


@pytest.mark.parametrize("per_channel", [False, True])
def test_rows_and_columns_share_their_part_of_the_variance(per_channel: bool) -> None:
    noise = 255 * (
        RowColumn(row_sigma=12, column_sigma=6, sigma=8, per_channel=per_channel)(gray(6, 3, 512, 512), generator(1)) - 0.5
    )
    total = 12**2 + 6**2 + 8**2
    assert noise.square().mean().item() == pytest.approx(total, rel=0.05)
    for down, right, expected in ((0, 1, 144 / total), (0, 9, 144 / total), (1, 0, 36 / total), (7, 0, 36 / total), (3, 5, 0)):
        assert correlation(noise, down, right) == pytest.approx(expected, abs=0.03), (down, right)
    between = (noise[:, 0] * noise[:, 1]).mean().item() / total
    assert between == pytest.approx(0 if per_channel else 180 / total, abs=0.03)
    own = noise - noise.mean(dim=3, keepdim=True) - noise.mean(dim=2, keepdim=True) + noise.mean(dim=(2, 3), keepdim=True)
    assert own.std().item() == pytest.approx(8, rel=0.01), "what is left without rows and columns is the independent part"


@pytest.mark.parametrize("along", ["rows", "columns"])
def test_stripes_have_the_spectrum_of_their_period(along: Any) -> None:
    """All their power is at frequency 0 along the lines, and across them at multiples of size / detectors."""
    noise = Stripes(detectors=16, along=along, offset_sigma=10, gain_std=0, sigma=0)(gray(2, 3, 64, 128), generator(2)) - 0.5
    size = 64 if along == "rows" else 128
    power = torch.fft.fft2(noise).abs().square()
    across = power[..., :, 0] if along == "rows" else power[..., 0, :]
    comb = across[..., :: size // 16]
    assert power.sum().item() == pytest.approx(across.sum().item(), rel=1e-9)
    assert across.sum().item() == pytest.approx(comb.sum().item(), rel=1e-9)
    assert (comb[..., 1:9] > 0).all()


@pytest.mark.parametrize("along", ["rows", "columns"])
def test_stripes_vary_as_gain_offset_and_noise_do(along: Any) -> None:
    clean = gray(30, 3, 256, 256)
    noise = Stripes(detectors=0, along=along, offset_sigma=8, gain_std=0.06, sigma=6)(clean, generator(3)) - clean
    lines, total = 8**2 + (0.06 * 0.5 * 255) ** 2, 8**2 + (0.06 * 0.5 * 255) ** 2 + 6**2
    assert (255 * noise).square().mean().item() == pytest.approx(total, rel=0.03)
    along_lines, across = ((0, 5), (5, 0)) if along == "rows" else ((5, 0), (0, 5))
    assert correlation(noise, *along_lines) == pytest.approx(lines / total, abs=0.02)
    assert correlation(noise, *across) == pytest.approx(0, abs=0.02)
    dark = 255 * Stripes(detectors=0, along=along, offset_sigma=8, gain_std=0.06, sigma=6)(0 * clean, generator(3))
    assert dark.square().mean().item() == pytest.approx(8**2 + 6**2, rel=0.03), "black has no gain"


def test_a_fixed_pattern_is_what_all_images_share() -> None:
    model, clean = FixedPattern(offset_sigma=9, gain_std=0.05, sigma=12, pattern=4), gray(1, 3, 300, 400)
    first, second = (255 * (model(clean, generator(seed)) - clean) for seed in (1, 2))
    shared, total = 9**2 + (0.05 * 0.5 * 255) ** 2, 9**2 + (0.05 * 0.5 * 255) ** 2 + 12**2
    assert first.var().item() == pytest.approx(total, rel=0.02)
    assert (first * second).mean().item() / total == pytest.approx(shared / total, abs=0.01)
    mean = torch.stack([model(clean, generator(seed)) for seed in range(16)]).mean(dim=0) - clean
    pattern = FixedPattern(offset_sigma=9, gain_std=0.05, sigma=0, pattern=4)(clean, generator(0)) - clean
    assert (255 * (mean - pattern)).std().item() == pytest.approx(12 / math.sqrt(16), rel=0.02), "frames averaged leave it"
    assert abs(correlation(first, 0, 1)) < 0.01
    assert abs(correlation(first, 1, 1)) < 0.01
    other = FixedPattern(offset_sigma=9, gain_std=0.05, sigma=0, pattern=5)(clean, generator(0)) - clean
    assert abs((pattern * other).mean() / pattern.square().mean()) < 0.01, "another sensor"


@pytest.mark.parametrize("model", [FixedPattern(sigma=0), DeadPixels(amount=0.3, sigma=0)])
def test_places_of_a_sensor_are_the_same_in_images_of_all_sizes(model: Any) -> None:
    whole = model(gray(1, 3, 520, 300), generator(0))
    assert torch.equal(model(gray(2, 3, 300, 280), generator(1)), whole[..., :300, :280].expand(2, -1, -1, -1))
    assert torch.equal(model(gray(1, 1, 9, 7), generator(1)), whole[:, :1, :9, :7])
    half = model(gray(1, 3, 20, 20).float(), generator(1))
    assert torch.allclose(half.double(), whole[..., :20, :20], atol=1e-6)


def test_dead_pixels_are_as_many_as_stated_and_stay_where_they_are() -> None:
    model, clean = DeadPixels(amount=0.1, sigma=10), picture(3, 1, 3, 300, 400) * 0.4 + 0.3
    first, second = (model(clean, generator(seed)) for seed in (1, 2))
    dead = ((first == 0) | (first == 1)).all(dim=1)
    assert torch.equal(dead, ((second == 0) | (second == 1)).all(dim=1))
    band = 5 * math.sqrt(0.25 / dead.numel())
    assert dead.double().mean().item() == pytest.approx(0.1, abs=band)
    assert (first[:, 0] == 1).double().mean().item() == pytest.approx(0.05, abs=band)
    alive = ~dead[:, None].expand_as(first)
    noise = 255 * (first - clean)[alive]
    assert noise.std().item() == pytest.approx(10, rel=0.01)
    assert stats.kstest(noise[::20].numpy() / 10, "norm").pvalue > 1e-3
    assert torch.equal(DeadPixels(amount=0, sigma=10)(clean, generator(1)), Gaussian(sigma=10)(clean, generator(1)))


@pytest.mark.parametrize("length", [0.7, 1.0, 2.5])
def test_correlated_noise_has_the_autocorrelation_of_a_gaussian(length: float) -> None:
    noise = 255 * (Correlated(sigma=20, length=length)(gray(4, 3, 512, 512), generator(5)) - 0.5)
    assert noise.std().item() == pytest.approx(20, rel=0.02)
    for down, right in ((0, 1), (1, 0), (1, 1), (2, 0), (1, 3), (0, 6)):
        expected = math.exp(-(down**2 + right**2) / (4 * length**2))
        assert correlation(noise, down, right) == pytest.approx(expected, abs=0.025), (down, right)
    assert stats.kstest(noise[..., ::32, ::32].flatten().numpy() / 20, "norm").pvalue > 1e-3
    edges = torch.cat([noise[..., :2, :].flatten(), noise[..., :, -2:].flatten()])
    assert edges.std().item() == pytest.approx(20, rel=0.05), "stationary up to the border"


def test_correlated_noise_has_the_autocorrelation_and_spectrum_of_its_kernel() -> None:
    kernel = [[1.0, 2.0, 0.0], [0.0, 0.0, -3.0]]
    noise = Correlated(sigma=255, kernel=kernel)(gray(8, 3, 256, 256), generator(6)) - 0.5
    taps = np.array(kernel) / math.sqrt(14)
    for down, right in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)):
        later = taps[down:, right:]
        expected = float((taps[: later.shape[0], : later.shape[1]] * later).sum())
        assert correlation(noise, down, right) == pytest.approx(expected, abs=0.01), (down, right)
    power = torch.fft.fft2(noise).abs().square().mean(dim=(0, 1)) / 256**2
    transfer = torch.from_numpy(np.abs(np.fft.fft2(taps, (256, 256))) ** 2)
    blocks = [x.unflatten(0, (16, 16)).unflatten(-1, (16, 16)).mean(dim=(1, 3)) for x in (power, transfer)]
    assert torch.allclose(*blocks, rtol=0.1, atol=0.02)


def test_correlated_noise_is_the_sum_of_shifted_normal_values() -> None:
    kernel = [[0.5, -1.0], [2.0, 0.25], [1.0, 3.0]]
    norm = math.sqrt(sum(value**2 for row in kernel for value in row))
    clean = picture(7, 1, 2, 4, 5)
    drawn = torch.randn(1, 2, 6, 6, generator=generator(8), dtype=torch.float64)
    expected = clean.clone()
    for c in range(2):
        for i in range(4):
            for j in range(5):
                total = sum(kernel[a][b] * drawn[0, c, i + a, j + b].item() for a in range(3) for b in range(2))
                expected[0, c, i, j] += 30 / 255 * total / norm
    assert torch.allclose(Correlated(sigma=30, kernel=kernel)(clean, generator(8)), expected, rtol=0, atol=1e-12)


def test_a_short_length_is_independent_noise() -> None:
    noise = Correlated(sigma=25, length=0.05)(gray(1, 3, 128, 128), generator(9)) - 0.5
    assert abs(correlation(noise, 0, 1)) < 0.02
    assert (255 * noise).std().item() == pytest.approx(25, rel=0.02)


@pytest.mark.parametrize("bits", [1, 3, 4, 8])
def test_quantised_noise_has_so_many_levels_and_the_nearest(bits: int) -> None:
    clean = picture(10, 1, 3, 100, 100)
    noisy, before = Quantised(sigma=20, bits=bits)(clean, generator(11)), Gaussian(sigma=20, clip=True)(clean, generator(11))
    steps = 2**bits - 1
    assert (noisy * steps - (noisy * steps).round()).abs().max() < 1e-9
    assert len(noisy.mul(steps).round().unique()) == 2**bits
    assert (noisy - before).abs().max() <= 0.5 / steps + 1e-12


@pytest.mark.parametrize("bits", [3, 4, 5])
def test_rounding_adds_a_twelfth_of_a_squared_step_to_the_variance(bits: int) -> None:
    step = 255 / (2**bits - 1)
    sigma = 0.6 * step
    clean = torch.linspace(0.45, 0.55, 400, dtype=torch.float64).expand(1, 3, 400, 400)
    error = 255 * (Quantised(sigma=sigma, bits=bits)(clean, generator(12)) - clean)
    assert error.var().item() == pytest.approx(sigma**2 + step**2 / 12, rel=0.02)
    assert abs(error.mean().item()) < 0.02 * step
    less = 255 * (Quantised(sigma=0, bits=bits)(clean, generator(12)) - clean)
    assert correlation(less - less.mean(), 1, 0) == pytest.approx(1), "without noise, the error follows the image"


def test_quantised_to_8_bits_is_gaussian_noise_stored_so() -> None:
    clean, same = picture(13, 1, 3, 40, 40), Gaussian(sigma=15, clip=True, quantise=True)
    assert torch.equal(Quantised(sigma=15, bits=8)(clean, generator(1)), same(clean, generator(1)))


def library_jpeg(levels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(file)).astype(int)


@pytest.mark.parametrize("quality", [10, 49, 75, 95, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_that_of_the_library_within_its_rounding(quality: int, channels: Any) -> None:
    clean = fixed_view(Photos(crop=101, channels=channels), Gaussian(sigma=0), 0, 0, 0)[0].double()
    before = Gaussian(sigma=10, clip=True, quantise=True)(clean, generator(1))
    levels = (before[0] * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
    library = library_jpeg(levels[..., 0] if channels == 1 else levels, quality)
    ours = (JPEG(sigma=10, quality=quality)(clean, generator(1))[0] * 255).round().permute(1, 2, 0).numpy()
    difference = np.abs(ours - library.reshape(ours.shape))
    assert np.mean(difference <= 2) > 0.85, "but blocks in which the library's integer transform took another step"
    assert difference.mean() < 1
    assert np.abs(ours - levels).mean() > 5 * difference.mean() or quality > 90, "storing changes more than rounding does"


def test_jpeg_rounds_each_coefficient_of_a_block_to_multiples_of_its_step() -> None:
    """On flat gray, a coefficient is normal: what rounding leaves of its variance is known."""
    sigma, quality = 14, 60
    noisy = JPEG(sigma=sigma, quality=quality)(gray(1, 1, 800, 800), generator(3))
    blocks = (noisy * 255 - 128).unflatten(-1, (-1, 8)).unflatten(-3, (-1, 8))
    k, n = np.arange(8)[:, None], np.arange(8)[None]
    basis = torch.from_numpy(np.where(k == 0, math.sqrt(1 / 8), 0.5) * np.cos((2 * n + 1) * k * math.pi / 16))
    found = torch.einsum("ui,ncyixj,vj->ncyuxv", basis, blocks, basis).permute(3, 5, 0, 1, 2, 4).flatten(2)
    for u, v, step in ((0, 1, 9), (1, 0, 10), (2, 2, 13), (3, 4, 41), (7, 7, 79)):  # of the standard's table at 60
        multiples = step * np.arange(-60, 61)
        spread = math.sqrt(sigma**2 + 1 / 12)
        share = stats.norm.cdf((multiples + step / 2) / spread) - stats.norm.cdf((multiples - step / 2) / spread)
        assert found[u, v].square().mean().item() == pytest.approx(
            float((share * multiples**2).sum()) + 1 / 12, rel=0.05, abs=0.05
        )
        off = found[u, v] - step * (found[u, v] / step).round()
        assert off.abs().max() < 2.5, "but for rounding to 8 bits"


def test_jpeg_of_quality_100_only_rounds() -> None:
    clean = picture(14, 1, 1, 33, 41)
    before = Gaussian(sigma=5, clip=True, quantise=True)(clean, generator(1))
    assert (255 * (JPEG(sigma=5, quality=100)(clean, generator(1)) - before)).abs().max() <= 2


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (RowColumn(), "row_column-rows10-columns5-gaussian10"),
        (RowColumn(row_sigma=[1, 2], per_channel=True), "row_column-rows1_2-columns5-gaussian10-channels"),
        (Stripes(clip=True), "stripes16-columns-offset10-gain0.02-gaussian5-clip"),
        (FixedPattern(), "fixed_pattern-offset10-gain0.02-gaussian10"),
        (FixedPattern(pattern=2), "fixed_pattern-offset10-gain0.02-gaussian10-pattern2"),
        (DeadPixels(), "dead_pixels0.01-gaussian10"),
        (DeadPixels(pattern=1), "dead_pixels0.01-gaussian10-pattern1"),
        (Correlated(), "correlated25-length1"),
        (Correlated(kernel=[[1, 1]]), "correlated25-kernel1x2-3f3d00"),
        (JPEG(quality=50), "jpeg50-gaussian25"),
        (Quantised(), "quantised4-gaussian10"),
    ],
)
def test_names(model: Any, name: str) -> None:
    assert model.name == name
    assert hash(model) == hash(model)


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (RowColumn, {"row_sigma": -1}, "row_sigma"),
        (RowColumn, {"column_sigma": [5, 1]}, "column_sigma"),
        (RowColumn, {"quantise": True}, "clip=true"),
        (Stripes, {"detectors": -1}, "detectors"),
        (Stripes, {"detectors": 1.5}, "detectors"),
        (Stripes, {"along": "diagonal"}, "rows or columns"),
        (FixedPattern, {"offset_sigma": [1, 2]}, "the same in all images"),
        (FixedPattern, {"pattern": -1}, "seed"),
        (DeadPixels, {"amount": 1.1}, "share"),
        (DeadPixels, {"amount": [0, 0.1]}, "share"),
        (Correlated, {"length": 0}, "length"),
        (Correlated, {"kernel": [[1, 2], [3]]}, "equally many"),
        (Correlated, {"kernel": [[0, 0]]}, "not all 0"),
        (Correlated, {"kernel": []}, "list of rows"),
        (JPEG, {"quality": 0}, "quality"),
        (JPEG, {"clip": True}, "by itself"),
        (Quantised, {"bits": 0}, "bits"),
        (Quantised, {"clip": True, "quantise": True}, "by itself"),
    ],
)
def test_senseless_noise_is_refused(kind: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**options)


@pytest.mark.parametrize("noise", ["fixed_pattern", "dead_pixels", "jpeg"])
def test_noise_of_places_is_not_drawn_on_patches(noise: str) -> None:
    of = ["method=neighbor2neighbor", f"noise={noise}", "budget=smoke"]
    reasons = [impossible_reason(one(*of, f"training.noise={how}")) for how in ("fresh", "fixed")]
    assert reasons[1] is None
    assert "set training.noise=fixed" in (reasons[0] or "")
    assert impossible_reason(one("method=neighbor2neighbor", "noise=row_column", "budget=smoke")) is None
