"""What is said of the noise of an image, against noise whose parameters are known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import denoisebench
from denoisebench import noise
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.reading import read_image
from denoisebench.diagnosis.correlation import REACH
from denoisebench.diagnosis.diagnosis import Diagnosis, diagnosed
from denoisebench.diagnosis.families import FAMILIES, advice
from denoisebench.diagnosis.simulated import std_map, unit_noise
from denoisebench.diagnosis.storing import bits_of
from denoisebench.noise import NoiseModel
from jobs import NEED_FILES

PHOTOS = [Photos().clean(number)[:400, :450].transpose(2, 0, 1) / 255.0 for number in (0, 1)]  # astronaut, chelsea


def noisy(model: NoiseModel, clean: np.ndarray) -> np.ndarray:
    return model(torch.from_numpy(clean)[None], torch.Generator().manual_seed(3))[0].numpy()


def told(model: NoiseModel, number: int) -> Diagnosis:
    return diagnosed(noisy(model, PHOTOS[number]))


def _misfit(found: Diagnosis, sigma: Callable[[float], float]) -> float:
    """The median relative error of the level over areas of 0.1 of white and more."""
    return float(np.median([abs(p.sigma / sigma(p.intensity) - 1) for p in found.level.curve if p.intensity > 0.1]))


BOTH = pytest.mark.parametrize("number", [0, 1])


# --- Level: every noise model of the project, to a stated tolerance ------------------------------------------------------


@BOTH
@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_gaussian_noise_is_constant_and_its_level_is_found_to_5_percent(sigma: int, number: int) -> None:
    found = told(noise.Gaussian(sigma=sigma), number)
    assert found.level.sigma == pytest.approx(sigma, rel=0.05)
    assert found.level.sigmas == pytest.approx((sigma,) * 3, rel=0.06)
    assert (found.level.law, found.independent, found.verdict) == ("constant", True, "noisy")
    assert found.level.read == pytest.approx(sigma, rel=0.1)
    assert found.correlation.largest < (0.2 if sigma == 10 else 0.08)
    assert found.correlation.between_colours < (0.25 if sigma == 10 else 0.1)


@BOTH
@pytest.mark.parametrize("lam", [10, 30, 100])
def test_photons_are_counted_to_20_percent(lam: int, number: int) -> None:
    found = told(noise.Poisson(lam=lam), number)
    assert found.level.law == "photon"
    assert found.level.lam == pytest.approx(lam, rel=0.2)
    assert found.level.read < 0.35 * 255 / lam**0.5
    assert _misfit(found, lambda x: 255 * (x / lam) ** 0.5) < 0.1


@BOTH
def test_photon_and_read_noise_are_told_apart(number: int) -> None:
    """The variance of both together to 15 % everywhere, photons to 30 %, the read noise to 5 grey levels."""
    found = told(noise.PoissonGaussian(lam=30, sigma=10), number)
    assert found.level.law == "photon"
    assert found.level.lam == pytest.approx(30, rel=0.3)
    assert found.level.read == pytest.approx(10, abs=5)
    x = np.array([0.1, 0.4, 0.7])
    assert 255 * found.level.std_at(x) == pytest.approx(255 * (x / 30 + (10 / 255) ** 2) ** 0.5, rel=0.15)


@BOTH
def test_speckle_grows_with_intensity_to_20_percent(number: int) -> None:
    """Over the intensities that an image has, a line and a parabola may be hard to tell: the level itself is not."""
    found = told(noise.Speckle(sigma=40), number)
    assert found.level.law in ("proportional", "photon")
    assert _misfit(found, lambda x: 40 * x) < 0.1
    if found.level.law == "proportional":
        assert found.level.speckle == pytest.approx(40, rel=0.2)


@BOTH
@pytest.mark.parametrize("amount", [0.02, 0.1])
@pytest.mark.parametrize("per_channel", [False, True])
def test_impulses_are_counted_to_15_percent_and_kept_out_of_the_level(amount: float, per_channel: bool, number: int) -> None:
    found = told(noise.SaltAndPepper(amount=amount, per_channel=per_channel), number)
    assert found.storing.impulses == pytest.approx(amount, rel=0.15)
    assert found.level.sigma == pytest.approx(diagnosed(PHOTOS[number]).level.sigma, abs=1)
    assert found.verdict == "noisy"
    assert {one.fits for one in advice(found)} == {None}


@BOTH
def test_camera_noise_is_correlated_as_it_is_made(number: int) -> None:
    """The level to 15 %, every correlation to 0.1, against the same noise on a gray card."""
    image, gray = noisy(noise.Camera(lam=30), PHOTOS[number]), np.full_like(PHOTOS[number], 0.5)
    found, card = diagnosed(image), noisy(noise.Camera(lam=30), gray) - gray
    assert found.independent is False
    assert 1 <= found.correlation.radius <= 2
    card = (card - card.mean((1, 2), keepdims=True)) / card.std((1, 2), keepdims=True)
    for down, right in ((0, 1), (1, 0), (1, 1), (0, 2), (3, 0)):
        height, width = card.shape[1:]
        expected = (card[:, : height - down, : width - right] * card[:, down:, right:]).mean((1, 2))
        assert found.correlation.lags[:, REACH + down, REACH + right] == pytest.approx(expected, abs=0.1)
    true = 255 * np.median([_local_std(plane) for plane in image - PHOTOS[number]])
    assert found.level.sigma == pytest.approx(true, rel=0.2)


def _local_std(plane: np.ndarray) -> np.ndarray:
    blocks = plane[: plane.shape[0] // 16 * 16, : plane.shape[1] // 16 * 16].reshape(plane.shape[0] // 16, 16, -1, 16)
    return np.median(blocks.std((1, 3)))


def test_correlation_between_colours_is_found_to_a_twentieth() -> None:
    rng = np.random.default_rng(0)
    mixed = np.einsum(
        "cd,dhw->chw", np.linalg.cholesky([[1, 0.6, 0.2], [0.6, 1, 0.4], [0.2, 0.4, 1]]), rng.normal(size=(3, 200, 220))
    )
    found = diagnosed(0.5 + 0.08 * mixed)
    assert found.correlation.colours == pytest.approx(np.array([[1, 0.6, 0.2], [0.6, 1, 0.4], [0.2, 0.4, 1]]), abs=0.05)
    assert found.independent is True


def test_a_level_of_each_channel() -> None:
    rng = np.random.default_rng(1)
    image = 0.5 + rng.normal(size=(3, 160, 160)) * np.array([0.02, 0.05, 0.1])[:, None, None]
    assert diagnosed(image).level.sigmas == pytest.approx((5.1, 12.75, 25.5), rel=0.05)


# --- Storing ------------------------------------------------------------------------------------------------------------


@BOTH
def test_clipping_and_quantisation_are_counted(number: int) -> None:
    image = noisy(noise.Gaussian(sigma=50, clip=True, quantise=True), PHOTOS[number])
    found = diagnosed(image)
    assert (found.storing.low, found.storing.high) == (pytest.approx((image == 0).mean()), pytest.approx((image == 1).mean()))
    assert found.storing.bits == 8
    assert found.storing.impulses < 0.002
    assert told(noise.Gaussian(sigma=50), number).storing.bits is None


@pytest.mark.parametrize("bits", [1, 4, 8, 10, 12, 14, 16])
def test_the_depth_that_values_fill(bits: int) -> None:
    levels = np.random.default_rng(2).integers(0, 2**bits, (1, 300, 300)) / (2**bits - 1)
    assert bits_of(levels) == bits
    assert bits_of(levels.astype(np.float32)) == bits


@BOTH
def test_jpeg_blocks_are_seen_where_they_are(number: int) -> None:
    clean = (PHOTOS[number].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    for quality in (20, 50):
        _, file = cv2.imencode(".jpg", clean, [cv2.IMWRITE_JPEG_QUALITY, quality])
        stored = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR)).transpose(2, 0, 1) / 255
        assert diagnosed(stored).storing.blocks
        assert diagnosed(stored[:, 3:, 5:]).storing.blocks, "cut after it was stored"
    for sigma in (0, 10, 40):
        assert not told(noise.Gaussian(sigma=sigma), number).storing.blocks


def test_gray_saved_as_colour() -> None:
    assert diagnosed(np.repeat(PHOTOS[0][:1], 3, axis=0)).storing.gray
    assert diagnosed(PHOTOS[0][:1]).storing.gray
    assert not diagnosed(PHOTOS[0]).storing.gray


# --- Real sets ----------------------------------------------------------------------------------------------------------


def of_files(paths: list[Path]) -> list[Diagnosis]:
    return [diagnosed(read_image(path, 3).transpose(2, 0, 1) / 255.0) for path in paths]


@pytest.mark.slow
def test_clean_images_come_out_clean(data_root: Path) -> None:
    found = of_files(sorted((data_root / "CBSD68" / "original_png").glob("*.png"))[::4])
    assert np.median([one.level.sigma for one in found]) < 3
    assert np.mean([one.verdict != "noisy" for one in found]) >= 0.7


@pytest.mark.slow
def test_blocks_of_sidd_come_out_correlated(data_root: Path) -> None:
    found = of_files(sorted((data_root / "SIDD_val_320" / "noisy").glob("*.png"))[::20])
    assert all(one.correlation.neighbours > 0.2 for one in found)
    noisy_ones = [one for one in found if one.verdict == "noisy"]
    assert len(noisy_ones) >= len(found) / 2
    assert all(one.independent is not True for one in noisy_ones)


@pytest.mark.slow
def test_polyu_comes_out_nearly_clean(data_root: Path) -> None:
    found = of_files(sorted((data_root / "PolyU" / "CroppedImages").glob("*_real.JPG"))[::8])
    assert all(one.level.sigma < 6 for one in found)
    assert np.mean([one.storing.blocks for one in found]) > 0.6


# --- What follows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "fits"),
    [
        (noise.Gaussian(sigma=25), {"filters", "one image, pixels independent", "a set of images, pixels independent"}),
        (noise.Poisson(lam=30), {"one image, pixels independent", "a set of images, pixels independent"}),
        (noise.Camera(lam=30), {"filters, correlated noise", "one image, correlated noise", "a set of images, correlated noise"}),
        (noise.Gaussian(sigma=0), set()),
    ],
)
def test_families_that_can_work(model: NoiseModel, fits: set[str]) -> None:
    assert {one.family.name for one in advice(told(model, 1)) if one.fits} == fits


def test_every_method_has_its_family() -> None:
    known = {name: family for family in FAMILIES for name in family.methods}
    ours = {one.name: one for one in denoisebench.methods() if not one.supervised and one.name not in ("noisy", *NEED_FILES)}
    assert known.keys() == ours.keys()
    assert all(ours[name].learns == family.learns for name, family in known.items())


def test_simulated_noise_is_as_diagnosed() -> None:
    """Drawn from a diagnosis, it is diagnosed again as it was: level to 7 %, correlations to 0.15."""
    image = noisy(noise.Camera(lam=30), PHOTOS[1])
    found = diagnosed(image)
    flat = np.full_like(image, 0.5)
    again = diagnosed(flat + std_map(flat, found) * unit_noise(flat.shape, found, np.random.default_rng(0)))
    assert again.level.sigma == pytest.approx(255 * found.level.std_at(np.array(0.5)), rel=0.07)
    near = slice(REACH - 2, REACH + 3)
    assert again.correlation.lags[:, near, near] == pytest.approx(found.correlation.lags[:, near, near], abs=0.15)
    assert again.correlation.colours == pytest.approx(found.correlation.colours, abs=0.1)


def test_from_python() -> None:
    image = (noisy(noise.Gaussian(sigma=25, clip=True), PHOTOS[1]).transpose(1, 2, 0) * 255 + 0.5).astype(np.uint8)
    found = denoisebench.diagnose(image)
    assert found.level.sigma == pytest.approx(25, rel=0.05)
    assert found.storing.bits == 8
    again = json.loads(json.dumps(found.as_dict()))
    assert (again["height"], again["width"], again["channels"]) == (*image.shape,)
    assert again["photons_at_white"] is None or again["photons_at_white"] > 0
    tensor = denoisebench.diagnose(torch.from_numpy(image.transpose(2, 0, 1).copy()))
    assert tensor.as_dict() == found.as_dict()


@pytest.mark.parametrize(
    ("image", "said"),
    [(np.zeros((20, 90)), "at least 32 x 32"), (torch.zeros(2, 3, 64, 64), "a batch of 2"), (np.zeros((40, 40, 2)), "(H, W, C)")],
)
def test_what_cannot_be_diagnosed(image: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r"expected|image") as caught:
        denoisebench.diagnose(image)
    assert said in str(caught.value)


def test_a_flat_image_has_no_noise() -> None:
    found = diagnosed(np.full((1, 64, 64), 0.5))
    assert (found.level.sigma, found.verdict, found.independent) == (pytest.approx(0, abs=1e-3), "clean", None)


def test_a_large_image_is_sampled() -> None:
    tile = noisy(noise.Gaussian(sigma=20), PHOTOS[1])[:1]
    assert diagnosed(np.tile(tile, (1, 6, 7))).level.sigma == pytest.approx(20, rel=0.07)
