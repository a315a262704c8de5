"""The filters that are told the noise as diagnosed: its spectrum, what they make of it, and what they are good for."""

import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import bm3d
import numpy as np
import pytest
import torch

from denoisebench import correlated
from denoisebench.datasets.photos import Photos
from denoisebench.diagnosis.correlation import REACH
from denoisebench.diagnosis.diagnosis import Diagnosis, diagnosed
from denoisebench.diagnosis.simulated import unit_noise
from denoisebench.diagnosis.spectra import OPPONENT, mixed_spectra, spectrum
from denoisebench.methods.bm3d import BM3D
from denoisebench.methods.bm3d_correlated import BM3DCorrelated
from denoisebench.methods.wavelet import Wavelet
from denoisebench.methods.wavelet_correlated import WaveletCorrelated
from denoisebench.noise import Camera, Gaussian, NoiseModel

Method = Callable[..., Any]
METHODS: dict[str, Method] = {"bm3d": functools.partial(BM3DCorrelated, profile="lc"), "wavelet": WaveletCorrelated}
BOTH = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
CLEAN = torch.from_numpy(Photos(crop=128).clean(1).transpose(2, 0, 1)[None].astype(np.float32) / 255)


def noisy(model: NoiseModel, clean: torch.Tensor = CLEAN) -> torch.Tensor:
    return model(clean, torch.Generator().manual_seed(0))


def psnr(image: torch.Tensor, clean: torch.Tensor = CLEAN) -> float:
    return float(-10 * (image - clean).square().mean().log10())


def lags_of(kernel: np.ndarray) -> np.ndarray:
    """The autocorrelation (2 REACH + 1, 2 REACH + 1) of white noise filtered with a kernel: pairs of its weights, one by one."""
    lags = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    for (i, j), first in np.ndenumerate(kernel):
        for (k, m), second in np.ndenumerate(kernel):
            lags[REACH + k - i, REACH + m - j] += first * second
    return lags / lags[REACH, REACH]


def told(lags: np.ndarray, colours: np.ndarray, sigmas: tuple[float, ...]) -> Diagnosis:
    """A diagnosis with these of its parts."""
    found = diagnosed(noisy(Gaussian(sigma=25))[0].double().numpy())
    correlation = replace(found.correlation, lags=np.stack([lags] * len(sigmas)), colours=colours)
    return replace(found, correlation=correlation, level=replace(found.level, sigma=float(np.mean(sigmas)), sigmas=sigmas))


@pytest.mark.parametrize("size", [(32, 32), (33, 48)])
@pytest.mark.parametrize("kernel", [[[1.0]], [[1.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]], [[1.0], [-1.0]]])
def test_the_spectrum_is_that_of_the_filter_that_correlates(kernel: list[list[float]], size: tuple[int, int]) -> None:
    weights = np.array(kernel)
    expected = np.abs(np.fft.fft2(weights, size)) ** 2 / np.square(weights).sum()
    np.testing.assert_allclose(spectrum(lags_of(weights), size), expected, atol=1e-12)


def test_mixed_spectra_are_those_of_mixed_noise() -> None:
    """The mean periodogram of 300 draws, averaged over 8 x 8 frequencies: it varies by 1 %."""
    colours = np.array([[1, 0.5, 0.2], [0.5, 1, 0.4], [0.2, 0.4, 1]])
    stds = np.array([0.2, 0.1, 0.15])
    of = told(lags_of(np.array([[1.0, 2.0], [2.0, 1.0]])), colours, tuple(255 * stds))
    rng = np.random.default_rng(0)
    total = np.zeros((3, 32, 32))
    for _ in range(300):
        noise = unit_noise((3, 32, 32), of, rng) * stds[:, None, None]
        total += np.abs(np.fft.fft2(np.einsum("kc,chw->khw", OPPONENT, noise))) ** 2 / 32**2
    got = mixed_spectra(of.correlation, stds, OPPONENT, (32, 32))
    blocks = [values.reshape(3, 4, 8, 4, 8).mean((2, 4)) for values in (total / 300, got)]
    np.testing.assert_allclose(blocks[1], blocks[0], rtol=0.06)
    variances = np.einsum("kc,kd,cd->k", OPPONENT, OPPONENT, colours * np.outer(stds, stds))
    np.testing.assert_allclose(got.mean((1, 2)), variances, rtol=1e-9)


@pytest.mark.parametrize("kernel", [[[1.0]], [[1.0, 1.0]]])
@pytest.mark.parametrize("channels", [1, 3])
def test_colours_apart_it_is_what_the_package_makes_of_that_spectrum(
    kernel: list[list[float]], channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noisy(Gaussian(sigma=25))[:, :channels, :48, :40]
    found = told(lags_of(np.array(kernel)), np.eye(channels), (25.0, 20.0, 30.0)[:channels])
    monkeypatch.setattr(correlated, "diagnosed", lambda planes: found)
    denoised = BM3DCorrelated(profile="lc").denoise(image)[0].permute(1, 2, 0).numpy()
    variance = np.square(np.array(found.level.sigmas) / 255)
    psd = spectrum(lags_of(np.array(kernel)), (48, 40))[..., None] * variance * 48 * 40
    pixels, profile = image[0].permute(1, 2, 0).double().numpy(), bm3d.BM3DProfileLC()
    profile.num_threads = 1
    if channels == 3:
        expected = bm3d.bm3d_rgb(pixels, psd, profile)
    else:  # the package leaves the range of one plane as it is
        low, high = pixels.min(), pixels.max()
        expected = np.reshape(bm3d.bm3d((pixels - low) / (high - low), psd / (high - low) ** 2, profile), (48, 40, 1))
        expected = expected * (high - low) + low
    np.testing.assert_allclose(denoised, expected, atol=1e-5)


def draws(of: Diagnosis, side: int, count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield unit_noise((1, side, side), of, rng)[0]


@pytest.mark.parametrize("kernel", [[[1.0]], [[1.0, 2.0], [2.0, 1.0]], [[1.0], [-1.0]]])
def test_the_noise_of_each_band_is_that_of_transformed_noise(kernel: list[list[float]]) -> None:
    """Of 60 draws, from the finest band on: in coarser ones fewer values are independent."""
    of, method = told(lags_of(np.array(kernel)), np.eye(1), (255.0,)), WaveletCorrelated(levels=3)
    bands = [method.transformed(noise)[1:] for noise in draws(of, 64, 60)]
    power = spectrum(of.correlation.lags[0], (64, 64))
    for number, gain in enumerate(method.gains((64, 64))):
        measured = np.mean([np.square(own[number]).mean() for own in bands])
        assert (power * gain).mean() == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("wavelet", ["sym4", "haar", "db5"])
def test_the_energies_of_the_bands_add_up_and_give_the_plane_back(wavelet: str) -> None:
    plane, method = np.random.default_rng(0).random((48, 64)), WaveletCorrelated(wavelet, levels=3)
    smooth, *details = method.transformed(plane)
    assert len(details) == 9
    assert np.square(smooth).sum() + sum(np.square(band).sum() for band in details) == pytest.approx(np.square(plane).sum())
    np.testing.assert_allclose(method.back([smooth, *details]), plane, atol=1e-12)


def test_bands_are_thresholded_and_then_weighed_pixel_by_pixel() -> None:
    rng = np.random.default_rng(0)
    plane, noises, method = rng.random((16, 16)), (0.1, 0.08, 0.05), WaveletCorrelated("haar", levels=1, threshold=2.0)
    smooth, *details = method.transformed(plane)
    kept = [np.zeros((16, 16)) for _ in details]
    for band, noise, own in zip(details, noises, kept, strict=True):
        for at, value in np.ndenumerate(band):
            own[at] = value if abs(value) > 2 * noise else 0
    pilot = method.transformed(method.back([smooth, *kept]))[1:]
    weighed = [np.zeros((16, 16)) for _ in details]
    for band, energies, noise, own in zip(details, pilot, noises, weighed, strict=True):
        for row, column in np.ndindex(16, 16):
            around = [energies[(row + i) % 16, (column + j) % 16] ** 2 for i in (-1, 0, 1) for j in (-1, 0, 1)]
            energy = sum(around) / 9
            own[row, column] = band[row, column] * energy / (energy + noise**2)
    np.testing.assert_allclose(method.shrunk(plane, noises), method.back([smooth, *weighed]), atol=1e-12)


@BOTH
def test_they_remove_correlated_noise_that_filters_for_white_noise_keep(method: Method) -> None:
    image = noisy(Camera(lam=30))
    plain = max(psnr(BM3D(profile="lc").denoise(image)), psnr(Wavelet().denoise(image)))
    assert psnr(method().denoise(image)) > psnr(image) + 3
    assert psnr(method().denoise(image)) > plain + 2


def test_on_independent_noise_they_are_near_the_filters_for_it() -> None:
    """A correlation of 0.1, taken at its word, would cost BM3D 1.3 dB."""
    image = noisy(Gaussian(sigma=25))
    assert 0.05 < diagnosed(image[0].double().numpy()).correlation.largest < 0.2
    assert psnr(BM3DCorrelated(profile="lc").denoise(image)) > psnr(BM3D(25, profile="lc").denoise(image)) - 0.4
    assert psnr(WaveletCorrelated().denoise(image)) > psnr(Wavelet(25).denoise(image))


@BOTH
def test_strength_filters_for_more(method: Method) -> None:
    image = noisy(Camera(lam=30))[..., :64, :64]
    removed = [float((method(strength=strength).denoise(image) - image).std()) for strength in (0.5, 1.0, 2.0)]
    assert removed == sorted(removed)
    assert removed[2] > 1.1 * removed[0]


@BOTH
def test_a_gray_image_stored_as_colour_stays_gray(method: Method) -> None:
    gray = CLEAN[:, :1, :64, :64]
    image = noisy(Gaussian(sigma=25), gray).expand(1, 3, 64, 64)
    denoised = method().denoise(image)
    assert (denoised - denoised[:, :1]).abs().max() < 1e-5
    assert psnr(denoised, gray) > psnr(image, gray) + 1


@BOTH
def test_without_noise_an_image_is_kept_and_not_shared(method: Method) -> None:
    flat = torch.full((1, 3, 40, 40), 0.4)
    denoised = method().denoise(flat)
    torch.testing.assert_close(denoised, flat, atol=1e-6, rtol=0)
    assert denoised.data_ptr() != flat.data_ptr()


@BOTH
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (31, 64), (45, 67)])
def test_any_size_is_denoised(method: Method, size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    denoised = method().denoise(image)
    assert denoised.shape == image.shape
    assert denoised.isfinite().all()


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ImportError, match=r"method=bm3d_correlated .*pip install 'denoisebench\[bm3d\]'"):
        BM3DCorrelated()


def test_an_unknown_wavelet_and_no_level_are_refused() -> None:
    for name in ("db99", "bior2.2"):
        with pytest.raises(ValueError, match=rf"method\.wavelet is an orthogonal wavelet .*not '{name}'"):
            WaveletCorrelated(name)
    with pytest.raises(ValueError, match=r"method\.levels is 1 or more, got 0"):
        WaveletCorrelated(levels=0)
