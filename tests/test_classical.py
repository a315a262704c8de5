"""The training-free methods: true and estimated noise level, any size, gray and colour, and what they are good for."""

import sys
from typing import Any

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_chambolle, denoise_wavelet, estimate_sigma

from denoisebench.classical import ClassicalDenoiser, estimated_std
from denoisebench.config.jobs import job_of
from denoisebench.datasets.photos import Photos
from denoisebench.methods.bm3d import BM3D
from denoisebench.methods.nlm import NLM
from denoisebench.methods.tv import TV
from denoisebench.methods.wavelet import Wavelet

METHODS: tuple[Any, ...] = (BM3D, NLM, TV, Wavelet)


def picture(side: int = 64) -> np.ndarray:
    """(1, 3, side, side) in [0, 1]: a cat."""
    return Photos(crop=side).clean(1).transpose(2, 0, 1)[None].astype(np.float32) / 255


def with_noise(clean: np.ndarray, sigma: float, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(clean + np.random.default_rng(seed).normal(0, sigma / 255, clean.shape).astype(np.float32))


def psnr(image: torch.Tensor, clean: np.ndarray) -> float:
    return float(-10 * np.log10(((image.numpy() - clean) ** 2).mean()))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (5, 2), (3, 3), (8, 8), (17, 1)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sigma", [25.0, None])
@pytest.mark.parametrize("method", METHODS)
def test_any_size_is_denoised(method: Any, sigma: float | None, channels: int, size: tuple[int, int]) -> None:
    if method is BM3D and (sigma is None or channels == 3) and size not in ((1, 1), (8, 8)):
        pytest.skip("takes a second or two, and differs in nothing")
    noisy = torch.rand(1 if method is BM3D else 2, channels, *size) * 1.4 - 0.2
    denoised = method(sigma).denoise(noisy)
    assert denoised.shape == noisy.shape
    assert denoised.dtype == noisy.dtype
    assert denoised.isfinite().all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_noise_goes_away(method: Any, channels: int) -> None:
    clean = picture()[:, :channels]
    noisy = with_noise(clean, 25)
    for sigma in (25, None):
        assert psnr(method(sigma).denoise(noisy), clean) > psnr(noisy, clean) + 3


@pytest.mark.parametrize("method", METHODS)
def test_without_noise_an_image_is_kept_and_not_shared(method: Any) -> None:
    noisy = torch.rand(1, 3, 20, 20)
    denoised = method(0).denoise(noisy)
    assert torch.equal(denoised, noisy)
    assert denoised.data_ptr() != noisy.data_ptr()


@pytest.mark.parametrize("method", METHODS)
def test_a_flat_image_stays_flat(method: Any) -> None:
    flat = torch.full((1, 3, 24, 24), 0.4)
    for sigma in (25, None):
        torch.testing.assert_close(method(sigma).denoise(flat), flat, atol=1e-3, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_gray_image_stored_as_colour_stays_gray(method: Any) -> None:
    clean = picture()[:, :1].repeat(3, axis=1)
    noisy = with_noise(clean[:, :1], 25).expand(1, 3, 64, 64)
    denoised = method(25).denoise(noisy)
    assert denoised.isfinite().all()
    assert (denoised - denoised[:, :1]).abs().max() < 1e-2
    assert psnr(denoised, clean) > psnr(noisy, clean) + 1


@pytest.mark.parametrize("method", METHODS)
def test_the_true_level_is_told_apart_from_an_estimate(method: Any) -> None:
    assert method(25).tags == ("oracle_sigma",)
    assert method().tags == ()
    with pytest.raises(ValueError, match=r"method\.sigma"):
        method(-1)


@pytest.mark.parametrize("name", ["bm3d", "nlm", "tv", "wavelet"])
@pytest.mark.parametrize(
    ("noise", "sigma"),
    [("gaussian50", 50), ("gaussian5_50", None), ("poisson30-gaussian10", None), ("speckle25", None), ("stored25", None)],
)
def test_only_plain_gaussian_noise_of_one_level_tells_its_level(name: str, noise: str, sigma: float | None) -> None:
    method: Any = job_of([f"method={name}", f"noise={noise}"]).method.make()
    assert method.sigma == sigma


@pytest.mark.parametrize("sigma", [5, 25, 50])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_estimate_is_that_of_scikit_image(sigma: float, channels: int) -> None:
    image = with_noise(picture()[:, :channels], sigma)[0].permute(1, 2, 0).numpy()
    assert estimated_std(image) == pytest.approx(float(np.mean(estimate_sigma(image, channel_axis=-1))), rel=1e-12)
    assert sigma * 0.7 < estimated_std(image) * 255 < sigma * 1.1 + 3  # fine texture counts as noise


def test_an_unknown_level_is_estimated_for_each_image() -> None:
    levels: list[float] = []

    class Spy(ClassicalDenoiser):
        def filtered(self, image: np.ndarray, std: float) -> np.ndarray:
            levels.append(std * 255)
            return image

    Spy().denoise(torch.cat([with_noise(picture(), 10), with_noise(picture(), 40)]))
    assert levels == pytest.approx([10, 40], rel=0.25)
    levels.clear()
    Spy(7).denoise(with_noise(picture(), 40))
    assert levels == pytest.approx([7])


def test_wavelet_and_tv_are_those_of_scikit_image() -> None:
    noisy = with_noise(picture(), 25)
    image, std = noisy[0].permute(1, 2, 0).numpy(), 25 / 255
    expected = denoise_wavelet(
        image, sigma=std, mode="soft", method="BayesShrink", convert2ycbcr=True, rescale_sigma=True, channel_axis=-1
    )
    np.testing.assert_array_equal(Wavelet(25).denoise(noisy)[0].permute(1, 2, 0).numpy(), expected)
    expected = denoise_tv_chambolle(image, weight=0.5 * std, channel_axis=-1)
    np.testing.assert_array_equal(TV(25, strength=0.5).denoise(noisy)[0].permute(1, 2, 0).numpy(), expected)


def test_bm3d_is_that_of_its_authors() -> None:
    import bm3d

    noisy = with_noise(picture(32), 25)
    image = noisy[0].permute(1, 2, 0).numpy().astype(np.float64)
    denoised = BM3D(25).denoise(noisy)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(denoised, np.asarray(bm3d.bm3d_rgb(image, 25 / 255)).astype(np.float32), atol=1e-5)
    assert torch.equal(BM3D(25).denoise(noisy), BM3D(25).denoise(noisy))  # by default the library gives other last digits
    assert not np.array_equal(BM3D(25, profile="lc").denoise(noisy)[0].permute(1, 2, 0).numpy(), denoised)


def test_bm3d_beats_the_others_on_gaussian_noise() -> None:
    clean = picture()
    noisy = with_noise(clean, 25)
    scores = {method: psnr(method(25).denoise(noisy), clean) for method in METHODS}
    assert max(scores, key=lambda method: scores[method]) is BM3D


def test_without_the_package_bm3d_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ImportError, match=r"pip install 'denoisebench\[bm3d\]'") as error:
        BM3D()
    assert "non-commercial" in str(error.value)


def test_an_unknown_wavelet_is_refused() -> None:
    with pytest.raises(ValueError, match=r"method\.wavelet"):
        Wavelet(25, wavelet="db99")
