"""BM3D for correlated noise: the spectrum it is told, the package's own result, and what it is good for."""

import sys
from dataclasses import replace

import bm3d
import numpy as np
import pytest
import torch

from denoisebench.datasets.photos import Photos
from denoisebench.diagnosis.correlation import REACH
from denoisebench.diagnosis.diagnosis import Diagnosis, diagnosed
from denoisebench.diagnosis.simulated import spectrum, unit_noise
from denoisebench.methods import bm3d_correlated
from denoisebench.methods.bm3d import BM3D
from denoisebench.methods.bm3d_correlated import OPPONENT, BM3DCorrelated, mixed_spectra
from denoisebench.noise import Camera, Gaussian, NoiseModel

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
    monkeypatch.setattr(bm3d_correlated, "diagnosed", lambda planes: found)
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


def test_it_removes_correlated_noise_that_plain_bm3d_keeps() -> None:
    image = noisy(Camera(lam=30))
    plain, told_more = (method(profile="lc").denoise(image) for method in (BM3D, BM3DCorrelated))
    assert psnr(told_more) > psnr(image) + 3
    assert psnr(told_more) > psnr(plain) + 2


def test_on_independent_noise_it_is_near_plain_bm3d() -> None:
    """A correlation of 0.1, taken at its word, would cost 1.3 dB."""
    image = noisy(Gaussian(sigma=25))
    assert 0.05 < diagnosed(image[0].double().numpy()).correlation.largest < 0.2
    assert psnr(BM3DCorrelated(profile="lc").denoise(image)) > psnr(BM3D(25, profile="lc").denoise(image)) - 0.4


def test_strength_filters_for_more() -> None:
    image = noisy(Camera(lam=30))[..., :64, :64]
    removed = [float((BM3DCorrelated("lc", strength).denoise(image) - image).std()) for strength in (0.5, 1.0, 2.0)]
    assert removed == sorted(removed)
    assert removed[2] > 1.1 * removed[0]


def test_a_gray_image_stored_as_colour_stays_gray() -> None:
    gray = CLEAN[:, :1, :64, :64]
    image = noisy(Gaussian(sigma=25), gray).expand(1, 3, 64, 64)
    denoised = BM3DCorrelated("lc").denoise(image)
    assert (denoised - denoised[:, :1]).abs().max() < 1e-5
    assert psnr(denoised, gray) > psnr(image, gray) + 1


def test_without_noise_an_image_is_kept_and_not_shared() -> None:
    flat = torch.full((1, 3, 40, 40), 0.4)
    denoised = BM3DCorrelated().denoise(flat)
    torch.testing.assert_close(denoised, flat, atol=1e-6, rtol=0)
    assert denoised.data_ptr() != flat.data_ptr()


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (31, 64)])
def test_an_image_too_small_to_be_diagnosed_is_extended(size: tuple[int, int]) -> None:
    image = torch.rand(1, 3, *size)
    denoised = BM3DCorrelated("lc").denoise(image)
    assert denoised.shape == image.shape
    assert denoised.isfinite().all()


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ImportError, match=r"method=bm3d_correlated .*pip install 'denoisebench\[bm3d\]'"):
        BM3DCorrelated()
