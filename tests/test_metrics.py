import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from denoisebench.scoring.measures import measure as metrics
from denoisebench.scoring.measures import psnr, ssim, ssim_uniform, ssim_volume
from denoisebench.scoring.protocol import Protocol

ASTRONAUT = data.astronaut()[0:128, 150:278]
CHELSEA_ODD = data.chelsea()[60:151, 100:233]
SMALLEST = data.astronaut()[80:91, 200:211]
PHOTOGRAPHS = {
    "colour": ASTRONAUT,
    "colour-odd": CHELSEA_ODD,
    "gray": ASTRONAUT[..., 1:2],
    "gray-odd": CHELSEA_ODD[1:, :, :1],
    "smallest": SMALLEST,
}


def damaged(clean: np.ndarray, damage: str) -> np.ndarray:
    if damage == "noise":
        return clean + np.random.default_rng(7).normal(0.0, 0.15, clean.shape)
    if damage == "shift":
        return np.roll(clean, 1, axis=1)
    return 0.7 * clean + 0.2


def batch_of(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())


def skimage_psnr(image: np.ndarray, reference: np.ndarray, data_range: float) -> float:
    return float(peak_signal_noise_ratio(reference, image, data_range=data_range))


def skimage_ssim(image: np.ndarray, reference: np.ndarray, data_range: float) -> float:
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    return float(np.asarray(structural_similarity(image, reference, data_range=data_range, **options)))


def random_pair(seed: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    reference = rng.uniform(0.0, 1.0, shape)
    return torch.from_numpy(reference + rng.normal(0.0, 0.2, shape)), torch.from_numpy(reference)


@pytest.mark.parametrize("damage", ["noise", "shift", "contrast"])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
@pytest.mark.parametrize("photograph", PHOTOGRAPHS)
def test_photographs_score_as_in_skimage(photograph: str, data_range: float, damage: str) -> None:
    clean = PHOTOGRAPHS[photograph] / 255.0
    image, clean = damaged(clean, damage) * data_range, clean * data_range
    got_psnr = psnr(batch_of(image), batch_of(clean), data_range=data_range)
    got_ssim = ssim(batch_of(image), batch_of(clean), data_range=data_range)
    assert got_psnr.item() == pytest.approx(skimage_psnr(image, clean, data_range), abs=1e-5)
    assert got_ssim.item() == pytest.approx(skimage_ssim(image, clean, data_range), abs=1e-6)


def slow_ssim(image: np.ndarray, reference: np.ndarray, data_range: float) -> float:
    offsets = range(-5, 6)
    weights = np.array([[math.exp(-(dy * dy + dx * dx) / (2 * 1.5**2)) for dx in offsets] for dy in offsets])
    weights /= weights.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    height, width, channels = image.shape
    for channel in range(channels):
        for top in range(height - 10):
            for left in range(width - 10):
                x = image[top : top + 11, left : left + 11, channel]
                y = reference[top : top + 11, left : left + 11, channel]
                mean_x, mean_y = (weights * x).sum(), (weights * y).sum()
                variance_x = (weights * (x - mean_x) ** 2).sum()
                variance_y = (weights * (y - mean_y) ** 2).sum()
                covariance = (weights * (x - mean_x) * (y - mean_y)).sum()
                luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
                structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
                values.append(luminance * structure)
    return float(np.mean(values))


@pytest.mark.parametrize("data_range", [1.0, 3.0])
def test_ssim_is_the_mean_over_whole_windows(data_range: float) -> None:
    reference = CHELSEA_ODD[20:34, 30:43] / 255.0
    image = damaged(reference, "noise")
    expected = slow_ssim(image, reference, data_range)
    assert ssim(batch_of(image), batch_of(reference), data_range=data_range).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_constant_error_of_a_tenth_is_20_db(sign: float) -> None:
    reference = batch_of(ASTRONAUT / 255.0)
    assert psnr(reference + sign * 0.1, reference).item() == pytest.approx(20.0, abs=1e-10)


def test_values_outside_the_range_count_in_full() -> None:
    white = torch.ones(1, 1, 12, 12)
    assert psnr(white + 0.5, white).item() == pytest.approx(20 * math.log10(2), abs=1e-12)
    # Flat images leave only the luminance term, which a clipped 1.5 would turn into 1.
    expected = (2 * 1.5 + 1e-4) / (1.5**2 + 1 + 1e-4)
    assert ssim(white + 0.5, white).item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.uint8])
def test_equal_images_are_perfect(dtype: torch.dtype) -> None:
    image = batch_of(ASTRONAUT, ASTRONAUT[::-1]).to(dtype)
    assert psnr(image, image.clone(), data_range=255.0).tolist() == [math.inf, math.inf]
    assert ssim(image, image.clone(), data_range=255.0).numpy() == pytest.approx(np.ones(2), abs=1e-12)


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_low_precision_inputs_are_scored_in_float64(metric: Any, dtype: torch.dtype) -> None:
    image, reference = (t.to(dtype) for t in random_pair(3, (2, 3, 24, 21)))
    expected = metric(image.double(), reference.double())
    assert expected.dtype == torch.float64
    got = metric(image, reference)
    assert got.dtype == torch.float64
    assert got.shape == (2,)
    assert torch.equal(got, expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(metric(image, reference), expected)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_mixed_dtypes_are_scored_in_float64(metric: Any) -> None:
    image, reference = random_pair(4, (1, 3, 16, 16))
    assert torch.equal(metric(image.float(), reference), metric(image.float().double(), reference))


def test_eight_bit_differences_do_not_wrap_around() -> None:
    image, reference = CHELSEA_ODD, np.roll(CHELSEA_ODD, 2, axis=0)
    got = psnr(batch_of(image), batch_of(reference), data_range=255.0)
    assert got.item() == pytest.approx(skimage_psnr(image.astype(float), reference.astype(float), 255.0), abs=1e-5)
    got = ssim(batch_of(image), batch_of(reference), data_range=255.0)
    assert got.item() == pytest.approx(skimage_ssim(image.astype(float), reference.astype(float), 255.0), abs=1e-6)


def test_tiny_errors_on_bright_images_keep_their_precision() -> None:
    # In float32 an error of 1e-9 beside 1.0 would vanish, and the PSNR would be infinite.
    reference = torch.ones(1, 1, 11, 11, dtype=torch.float64)
    assert psnr(reference + 1e-9, reference).item() == pytest.approx(180.0, abs=1e-4)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_a_batch_gives_each_image_its_own_value(metric: Any) -> None:
    image, reference = random_pair(5, (4, 3, 17, 23))
    image = reference + (image - reference) * torch.tensor([0.01, 0.1, 1.0, 5.0], dtype=torch.float64).reshape(4, 1, 1, 1)
    got = metric(image, reference)
    singly = torch.cat([metric(image[n : n + 1], reference[n : n + 1]) for n in range(4)])
    assert got.shape == (4,)
    assert torch.allclose(got, singly, rtol=0, atol=1e-12)
    # The four are far apart, so a pooled value could not pass for them.
    assert (got[:-1] - got[1:]).abs().min() > 0.001


def test_the_mean_of_two_values_is_not_the_value_of_the_pool() -> None:
    reference = torch.zeros(2, 1, 11, 11)
    image = reference + torch.tensor([0.1, 0.01]).reshape(2, 1, 1, 1)
    assert psnr(image, reference).mean().item() == pytest.approx(30.0, abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    channels=st.integers(1, 4),
    height=st.integers(11, 19),
    width=st.integers(11, 19),
    scale=st.floats(0.01, 300.0),
)
def test_symmetries(seed: int, channels: int, height: int, width: int, scale: float) -> None:
    image, reference = random_pair(seed, (2, channels, height, width))
    image_before, reference_before = image.clone(), reference.clone()
    for metric in (psnr, ssim):
        value = metric(image, reference)
        variants = {
            "swapped": metric(reference, image),
            "mirrored": metric(image.flip(-1), reference.flip(-1)),
            "upside down": metric(image.flip(-2), reference.flip(-2)),
            "transposed": metric(image.transpose(-1, -2), reference.transpose(-1, -2)),
            "channels reversed": metric(image.flip(1), reference.flip(1)),
            "images reversed": metric(image.flip(0), reference.flip(0)).flip(0),
            "other unit": metric(image * scale, reference * scale, data_range=scale),
        }
        for name, variant in variants.items():
            assert torch.allclose(variant, value, rtol=0, atol=1e-9), (metric.__name__, name)
    assert (ssim(image, reference) < 1).all()
    assert (ssim(image, reference) > -1).all()
    assert torch.equal(image, image_before)
    assert torch.equal(reference, reference_before)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(1.01, 50.0))
def test_a_larger_error_lowers_psnr_by_its_decibels(seed: int, factor: float) -> None:
    image, reference = random_pair(seed, (1, 2, 6, 5))
    larger = reference + factor * (image - reference)
    drop = psnr(image, reference) - psnr(larger, reference)
    assert drop.item() == pytest.approx(20 * math.log10(factor), abs=1e-9)


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize(
    ("image_shape", "reference_shape"),
    [
        ((1, 3, 16, 16), (1, 3, 16, 15)),
        ((1, 3, 16, 16), (1, 1, 16, 16)),
        ((2, 3, 16, 16), (1, 3, 16, 16)),
        ((1, 3, 16, 16), (3, 16, 16)),
        ((3, 16, 16), (3, 16, 16)),
        ((16, 16), (16, 16)),
        ((1, 1, 3, 16, 16), (1, 1, 3, 16, 16)),
    ],
)
def test_shapes_that_do_not_match_are_refused(
    metric: Any, image_shape: tuple[int, ...], reference_shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError):
        metric(torch.rand(image_shape), torch.rand(reference_shape))


@pytest.mark.parametrize("size", [(10, 11), (11, 10), (10, 10), (1, 40)])
def test_ssim_refuses_images_smaller_than_its_window(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    with pytest.raises(ValueError):
        ssim(image, image)
    assert psnr(image, image).item() == math.inf


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("metric", [psnr, ssim])
def test_a_gpu_gives_the_same_values_on_the_gpu(metric: Any) -> None:
    image, reference = (t.float() for t in random_pair(6, (3, 3, 40, 37)))
    expected = metric(image, reference)
    got = metric(image.cuda(), reference.cuda())
    assert got.device.type == "cuda"
    assert torch.allclose(got.cpu(), expected, rtol=0, atol=1e-9)
    with torch.autocast("cuda", dtype=torch.float16):
        assert torch.allclose(metric(image.cuda(), reference.cuda()).cpu(), expected, rtol=0, atol=1e-9)


# Every tie k + 1/2, both neighbours of every level, and values beyond the range.
LEVELS = torch.cat(
    [
        torch.arange(256, dtype=torch.float64) / 255,
        (torch.arange(255, dtype=torch.float64) + 0.5) / 255,
        (torch.arange(255, dtype=torch.float64) + 0.4999) / 255,
        (torch.arange(255, dtype=torch.float64) + 0.9999) / 255,
        torch.tensor([-3.0, -0.001, 1.001, 7.0, 0.5], dtype=torch.float64),
    ]
).reshape(1, 1, 1, -1)


def test_prepare_leaves_an_unclipped_image_alone() -> None:
    prepared = Protocol(name="raw", clip=False).prepare(LEVELS.float())
    assert prepared.dtype == torch.float64
    assert torch.equal(prepared, LEVELS.float().double())


def test_prepare_clips_by_default() -> None:
    prepared = Protocol(name="plain").prepare(LEVELS)
    assert torch.equal(prepared, torch.from_numpy(np.clip(LEVELS.numpy(), 0, 1)))


def test_prepare_rounds_halves_up() -> None:
    prepared = Protocol(name="rounded", rounding="round").prepare(LEVELS)
    assert torch.equal(prepared, torch.from_numpy(np.floor(255 * np.clip(LEVELS.numpy(), 0, 1) + 0.5) / 255))
    assert torch.equal(prepared, Protocol(name="rounded", rounding="round").prepare(prepared))
    assert torch.equal(prepared[..., :256], LEVELS[..., :256])
    assert prepared.flatten()[-1].item() == 128 / 255


def test_prepare_truncates_downwards() -> None:
    prepared = Protocol(name="truncated", rounding="truncate").prepare(LEVELS)
    assert torch.equal(prepared, torch.from_numpy(np.floor(255 * np.clip(LEVELS.numpy(), 0, 1)) / 255))
    # Everything between two levels falls to the lower one; white stays white.
    below = torch.arange(255, dtype=torch.float64) / 255
    assert torch.equal(prepared.flatten()[256:511], below)
    assert torch.equal(prepared.flatten()[766:1021], below)
    assert prepared.flatten()[-2].item() == prepared.flatten()[255].item() == 1.0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_prepare_moves_a_value_less_than_a_level(seed: int, dtype: torch.dtype) -> None:
    denoised = random_pair(seed, (2, 3, 5, 4))[0].to(dtype)
    before = denoised.clone()
    clipped = np.clip(denoised.double().numpy(), 0, 1)
    rounded = Protocol(name="a", rounding="round").prepare(denoised)
    truncated = Protocol(name="b", rounding="truncate").prepare(denoised)
    assert rounded.dtype == truncated.dtype == torch.float64
    assert np.abs(rounded.numpy() - clipped).max() <= 0.5 / 255 + 1e-12
    assert (clipped - truncated.numpy()).min() >= -1e-12
    assert (clipped - truncated.numpy()).max() < 1 / 255
    assert torch.equal(denoised, before)


@pytest.mark.parametrize("border", [0, 1, 7])
@pytest.mark.parametrize("rounding", ["none", "round", "truncate"])
def test_score_is_that_of_skimage_on_the_prepared_and_cut_image(rounding: Any, border: int) -> None:
    # The clean image lies between the levels, so rounding it too would show.
    clean = np.stack([ASTRONAUT[:40, :51], ASTRONAUT[60:100, 40:91]]) / 257.3
    denoised = clean + np.random.default_rng(8).normal(0.0, 0.3, clean.shape)
    prepared = np.clip(denoised, 0, 1)
    if rounding == "round":
        prepared = np.floor(255 * prepared + 0.5) / 255
    if rounding == "truncate":
        prepared = np.floor(255 * prepared) / 255
    protocol = Protocol(name="p", rounding=rounding, border=border)
    got_psnr, got_ssim = protocol.score(batch_of(*denoised), batch_of(*clean))
    assert got_psnr.shape == got_ssim.shape == (2,)
    for n in range(2):
        inner = (n, slice(border, 40 - border), slice(border, 51 - border))
        assert got_psnr[n].item() == pytest.approx(skimage_psnr(prepared[inner], clean[inner], 1.0), abs=1e-5)
        assert got_ssim[n].item() == pytest.approx(skimage_ssim(prepared[inner], clean[inner], 1.0), abs=1e-6)


@pytest.mark.parametrize("values", [1, 500, 2000, 2**18])
@pytest.mark.parametrize("kind", ["gaussian", "uniform", "volume"])
def test_how_much_is_scored_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch, kind: Any, values: int) -> None:
    monkeypatch.setattr(metrics, "CPU_VALUES", values)  # down to one image, and 11 rows of it, at a time
    protocol = Protocol(name="p", ssim=kind, border=2)
    clean = np.stack([ASTRONAUT[n : n + 40, :31] for n in range(0, 70, 4)]) / 255
    denoised = (
        clean + np.random.default_rng(9).normal(0.0, 0.1, clean.shape) * np.linspace(0.1, 2, len(clean))[:, None, None, None]
    )
    image, reference = batch_of(*denoised), batch_of(*clean)
    before = image.clone()
    got = protocol.score(image, reference)
    assert torch.equal(image, before)
    prepared, inner = protocol.prepare(image)[..., 2:-2, 2:-2].numpy(), clean[:, 2:-2, 2:-2]
    for n, picture in enumerate(prepared.transpose(0, 2, 3, 1)):
        assert got[0][n].item() == pytest.approx(skimage_psnr(picture, inner[n], 1.0), abs=1e-9)
        if kind == "gaussian":
            assert got[1][n].item() == pytest.approx(skimage_ssim(picture, inner[n], 1.0), abs=1e-9)
    monkeypatch.undo()
    one_by_one = [protocol.score(image[n : n + 1], reference[n : n + 1])[1] for n in range(len(image))]
    assert torch.allclose(got[1], torch.cat(one_by_one), rtol=0, atol=1e-12)


def test_score_ignores_the_border_on_all_four_sides() -> None:
    image, reference = random_pair(9, (1, 3, 30, 26))
    spoiled = reference.clone()
    spoiled[..., 4:26, 4:22] = image[..., 4:26, 4:22]
    whole = Protocol(name="p", clip=False, border=4).score(image, reference)
    cut = Protocol(name="p", clip=False, border=4).score(spoiled, reference)
    assert torch.equal(whole[0], cut[0])
    assert torch.equal(whole[1], cut[1])
    for row, column in [(4, 10), (25, 10), (10, 4), (10, 21)]:
        touched = image.clone()
        touched[..., row, column] += 1.0
        assert Protocol(name="p", clip=False, border=4).score(touched, reference)[0] != whole[0]


@pytest.mark.parametrize(
    ("height", "width", "border", "has_ssim"),
    [(11, 11, 0, True), (10, 11, 0, False), (11, 10, 0, False), (13, 13, 1, True), (13, 12, 1, False), (3, 40, 1, False)],
)
def test_ssim_is_nan_where_its_window_does_not_fit(height: int, width: int, border: int, has_ssim: bool) -> None:
    image, reference = random_pair(10, (2, 1, height, width))
    got_psnr, got_ssim = Protocol(name="p", border=border).score(image, reference)
    assert got_psnr.isfinite().all()
    assert got_ssim.shape == (2,)
    assert (got_ssim.isfinite() if has_ssim else got_ssim.isnan()).all()


def test_unclipped_scores_count_the_overshoot() -> None:
    clean = torch.ones(1, 1, 12, 12)
    assert Protocol(name="p", clip=False).score(clean + 0.1, clean)[0].item() == pytest.approx(20.0, abs=1e-4)
    assert Protocol(name="p").score(clean + 0.1, clean)[0].item() == math.inf


@pytest.mark.parametrize(
    "options",
    [
        {"rounding": "up"},
        {"rounding": ""},
        {"clip": False, "rounding": "round"},
        {"clip": False, "rounding": "truncate"},
        {"border": -1},
    ],
)
def test_senseless_protocols_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Protocol(name="p", **options)


@pytest.mark.parametrize(("height", "width", "border"), [(8, 20, 4), (20, 8, 4), (7, 7, 4), (1, 1, 1)])
def test_a_border_that_leaves_nothing_is_refused(height: int, width: int, border: int) -> None:
    image = torch.rand(1, 3, height, width)
    with pytest.raises(ValueError):
        Protocol(name="p", border=border).score(image, image)


@pytest.mark.parametrize("shape", [(1, 3, 16, 15), (1, 1, 16, 16), (2, 3, 16, 16)])
def test_score_refuses_images_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        Protocol(name="p").score(torch.rand(shape), torch.rand(1, 3, 16, 16))


def test_a_protocol_is_frozen() -> None:
    protocol = Protocol(name="p")
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.border = 3  # pyright: ignore[reportAttributeAccessIssue]
    assert protocol == Protocol(name="p", clip=True, rounding="none", border=0)


def slow_ssim_of_the_volume(image: np.ndarray, reference: np.ndarray) -> float:
    """MATLAB's `ssim` on H x W x C: a Gaussian 11 x 11 x 11 window, all borders replicated. Looped over its 1331 weights."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    cube = weights[:, None, None] * weights[None, :, None] * weights
    cube /= cube.sum()

    def blurred(x: np.ndarray) -> np.ndarray:
        padded = np.pad(x, 5, mode="edge")
        result = np.zeros_like(x)
        for i, j, k in np.ndindex(11, 11, 11):
            result += cube[i, j, k] * padded[i : i + x.shape[0], j : j + x.shape[1], k : k + x.shape[2]]
        return result

    mu_x, mu_y = blurred(image), blurred(reference)
    var_x, var_y = blurred(image**2) - mu_x**2, blurred(reference**2) - mu_y**2
    covariance = blurred(image * reference) - mu_x * mu_y
    top = (2 * mu_x * mu_y + 0.01**2) * (2 * covariance + 0.03**2)
    return float((top / ((mu_x**2 + mu_y**2 + 0.01**2) * (var_x + var_y + 0.03**2))).mean())


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_of_the_volume_is_matlab_s(channels: int) -> None:
    clean = ASTRONAUT[60:83, 50:69, :channels] / 255
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 0.1, clean.shape), 0, 1)
    expected = slow_ssim_of_the_volume(noisy, clean)
    assert ssim_volume(batch_of(noisy), batch_of(clean)).item() == pytest.approx(expected, abs=1e-10)
    if channels == 3:
        assert expected > ssim(batch_of(noisy), batch_of(clean)).item() + 0.02, "it would not be told from the mean over channels"


@pytest.mark.parametrize("photograph", ["astronaut", "coffee", "chelsea"])
def test_uniform_ssim_is_the_default_of_skimage(photograph: str) -> None:
    clean = getattr(data, photograph)()[:120, :100] / 255
    noisy = clean + np.random.default_rng(0).normal(0, 0.1, clean.shape)
    expected = structural_similarity(noisy, clean, channel_axis=-1, data_range=1.0)
    assert ssim_uniform(batch_of(noisy), batch_of(clean)).item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "side", "scored"),
    [("gaussian", 10, False), ("gaussian", 11, True), ("uniform", 6, False), ("uniform", 7, True), ("volume", 1, True)],
)
def test_each_kind_of_ssim_has_its_least_side(kind: Any, side: int, scored: bool) -> None:
    image, reference = random_pair(0, (2, 3, side, 20))
    similarity = Protocol(name="p", ssim=kind).score(image, reference)[1]
    assert bool(similarity.isfinite().all()) == scored
