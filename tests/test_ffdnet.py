"""FFDNet against a literal program of its own, with random weights and, where they are, with the released ones.

The released files are looked for in DENOISEBENCH_WEIGHTS, or in `weights` beside the folder of the data sets.
"""

import csv
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from denoisebench.batch import Batch
from denoisebench.classical import estimated_std
from denoisebench.datasets.images import read_image
from denoisebench.methods.ffdnet import FFDNet
from denoisebench.training.fit import load_weights
from jobs import computed
from test_slow import mean_psnr

RELEASED = {3: (96, 12), 1: (64, 15)}  # width, convolutions


def released_tensors(channels: int, width: int, layers: int) -> dict[str, Tensor]:
    """Random weights under the released names."""
    widths = [4 * channels + 1] + [width] * (layers - 1) + [4 * channels]
    weights = {}
    for layer, (before, after) in enumerate(pairwise(widths)):
        weights[f"model.{2 * layer}.weight"] = torch.randn(after, before, 3, 3) * (2 / (9 * before)) ** 0.5
        weights[f"model.{2 * layer}.bias"] = 0.1 * torch.randn(after)
    return weights


def literal(weights: dict[str, Tensor], noisy: Tensor, sigma: float) -> Tensor:
    """One image (C, H, W): strided sub-images, no pixel-(un)shuffle, no padding by torch."""
    channels, height, width = noisy.shape
    y = noisy.double()
    if height % 2:
        y = torch.cat([y, y[:, -1:]], dim=1)
    if width % 2:
        y = torch.cat([y, y[:, :, -1:]], dim=2)
    z = torch.stack([y[c, i::2, j::2] for c in range(channels) for i in range(2) for j in range(2)])
    z = torch.cat([z, torch.full_like(z[:1], sigma / 255)])[None]
    layers = len(weights) // 2
    for layer in range(layers):
        weight, bias = (weights[f"model.{2 * layer}.{kind}"].double() for kind in ("weight", "bias"))
        z = F.conv2d(z.float(), weight.float(), bias.float(), padding=1)
        z = z if layer == layers - 1 else z.clamp(min=0)
    result = torch.empty_like(y)
    for c in range(channels):
        for i in range(2):
            for j in range(2):
                result[c, i::2, j::2] = z[0, 4 * c + 2 * i + j]
    return result[:, :height, :width]


def small(**options: Any) -> FFDNet:
    return FFDNet(**{"features": 5, "layers": 3, "sigma": 25.0, **options})


@pytest.mark.parametrize(("channels", "count"), [(3, 852_108), (1, 485_316)])
def test_the_networks_have_the_released_sizes(channels: int, count: int) -> None:
    features, layers = RELEASED[channels]
    assert sum(parameter.numel() for parameter in FFDNet(channels, features, layers).parameters()) == count


@pytest.mark.parametrize(("channels", "size"), [(3, (8, 6)), (3, (7, 9)), (1, (5, 2)), (1, (1, 1)), (3, (30, 31))])
def test_a_released_file_loads_and_gives_what_the_literal_program_gives(
    channels: int, size: tuple[int, int], tmp_path: Path
) -> None:
    weights = released_tensors(channels, 5, 4)
    torch.save(weights, tmp_path / "released.pth")
    method = small(channels=channels, layers=4)
    load_weights(method, tmp_path / "released.pth")
    noisy = torch.rand(2, channels, *size)
    with torch.no_grad():
        for tile in (None, 6):
            method.tile = tile
            expected = torch.stack([literal(weights, image, 25) for image in noisy]).float()
            torch.testing.assert_close(method.denoise(noisy), expected, rtol=1e-4, atol=1e-5)


def test_our_own_files_load_too_and_others_are_refused_with_the_settings_they_need(tmp_path: Path) -> None:
    method, other = small(), small()
    torch.save(method.state_dict(), tmp_path / "ours.pt")
    load_weights(other, tmp_path / "ours.pt")
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in method.state_dict().items())
    torch.save(released_tensors(1, 64, 15), tmp_path / "gray.pth")
    with pytest.raises(ValueError, match=r"gray\.pth.*dataset\.channels=1.*method\.features=64.*method\.layers=15"):
        load_weights(method, tmp_path / "gray.pth")
    torch.save({"weight": torch.ones(3)}, tmp_path / "another.pth")
    with pytest.raises(ValueError, match=r"FFDNet, colour or gray"):
        load_weights(method, tmp_path / "another.pth")


def test_the_level_is_the_true_one_or_estimated_and_matters() -> None:
    told, estimating = small(sigma=40.0), small(sigma=None)
    estimating.load_state_dict(told.state_dict())
    noisy = 0.5 + 0.1 * torch.randn(2, 3, 40, 40)
    assert told.tags == ("supervised", "oracle_sigma")
    assert estimating.tags == ("supervised",)
    with torch.no_grad():
        output = estimating.denoise(noisy)
        assert not torch.equal(output, told.denoise(noisy))
        for image, got in zip(noisy, output, strict=True):
            told.sigma = 255 * estimated_std(image.permute(1, 2, 0).numpy())
            torch.testing.assert_close(told.denoise(image[None])[0], got, rtol=0, atol=1e-6)


def test_the_loss_is_the_mean_absolute_error_at_each_patchs_own_level() -> None:
    method = small().double()
    noisy, clean = torch.rand(2, 3, 6, 4, dtype=torch.float64), torch.rand(2, 3, 6, 4, dtype=torch.float64)
    got = method._batch_loss(Batch(noisy, target=clean), 0.0)
    total = torch.zeros((), dtype=torch.float64)
    for image, truth in zip(noisy, clean, strict=True):
        squares = torch.zeros((), dtype=torch.float64)
        for a, b in zip(image.flatten(), truth.flatten(), strict=True):
            squares = squares + (a - b) ** 2
        output = method.network(image[None], (squares / 72).sqrt()[None])[0]
        for a, b in zip(output.flatten(), truth.flatten(), strict=True):
            total = total + (a - b).abs()
    torch.testing.assert_close(got, total / noisy.numel(), rtol=1e-9, atol=0)
    parameters = list(method.parameters())
    expected = torch.autograd.grad(total / noisy.numel(), parameters)
    for one, other in zip(torch.autograd.grad(got, parameters), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_learning_rates_and_impossible_settings() -> None:
    assert [small().learning_rate(progress) for progress in (0, 0.2, 0.99)] == pytest.approx([1e-4, 5e-5, 6.25e-6])
    assert small(lr_decay="linear").learning_rate(0.75) == pytest.approx(2.5e-5)
    for options, key in (({"layers": 1}, r"method\.layers"), ({"features": 0}, r"method\.features"), ({"sigma": -1.0}, "sigma")):
        with pytest.raises(ValueError, match=key):
            small(**options)


# --- The released weights ----------------------------------------------------------------------------------------


@pytest.fixture
def released_files(data_root: Path) -> Path:
    folder = Path(os.environ.get("DENOISEBENCH_WEIGHTS", data_root.parent / "weights"))
    if not (folder / "ffdnet_color.pth").is_file():
        pytest.skip("FFDNet's released weights are not here: set DENOISEBENCH_WEIGHTS to their folder")
    return folder


def psnr_db(image: Tensor, clean: Tensor) -> float:
    return -10 * (image.double().clamp(0, 1) - clean).square().mean().log10().item()


SUBSETS = [(3, "CBSD68/original_png", 15), (3, "CBSD68/original_png", 25), (3, "CBSD68/original_png", 50), (1, "BSD68", 25)]


@pytest.mark.parametrize(("channels", "images", "sigma"), SUBSETS)
def test_the_released_networks_score_on_real_images_as_the_literal_program_does(
    released_files: Path, data_root: Path, channels: int, images: str, sigma: int
) -> None:
    file = released_files / ("ffdnet_color.pth" if channels == 3 else "ffdnet_gray.pth")
    weights = torch.load(file, weights_only=True)
    method = FFDNet(channels, *RELEASED[channels], sigma=sigma)
    load_weights(method, file)
    gains = []
    for index, path in enumerate(sorted((data_root / images).iterdir())[5:35:5]):
        pixels = read_image(path, channels)[60:189, 80:209]
        clean = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).double() / 255
        noisy = (clean + sigma / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(index))).float()
        with torch.no_grad():
            ours = psnr_db(method.denoise(noisy[None])[0], clean)
        assert ours == pytest.approx(psnr_db(literal(weights, noisy, sigma), clean), abs=0.001)
        gains.append(ours - psnr_db(noisy, clean))
    assert np.mean(gains) > 6


PUBLISHED = [
    ("color", ("dataset=cbsd68",), 15, 33.88), ("color", ("dataset=cbsd68",), 25, 31.21),
    ("color", ("dataset=cbsd68",), 50, 27.96),
    ("gray", ("dataset=set12",), 25, 30.446),
    ("gray", ("dataset=bsd68",), 25, 29.201),
    ("color", ("dataset=mcmaster",), 25, 32.360),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize(("file", "dataset", "sigma", "measured_db"), PUBLISHED)
def test_whole_sets_score_as_measured_with_an_independent_program(
    released_files: Path, data_root: Path, file: str, dataset: tuple[str, ...], sigma: int, measured_db: float
) -> None:
    """From the file to the rows. Print: CBSD68 33.87, 31.21, 27.96 dB; Set12 30.43; BSD68 29.19; McMaster 32.35."""
    checkpoint = f"checkpoint={released_files / f'ffdnet_{file}.pth'}"
    (cell,) = computed("method=ffdnet", checkpoint, f"noise=gaussian{sigma}", "pictures=0", *dataset)
    assert cell.state == "done"
    with (cell.folder / "rows.csv").open() as rows:
        scores = list(csv.DictReader(rows))
    assert set(scores[0]["tags"].split()) >= {"supervised", "oracle_sigma"}
    assert np.mean([float(row["psnr_db"]) for row in scores]) == pytest.approx(measured_db, abs=0.03)


@pytest.mark.slow
def test_a_short_training_lifts_psnr() -> None:
    own = ("budget=quick", "noise=gaussian25", "dataset.crop=160")
    noisy, learned = computed("method=noisy,ffdnet", *own)
    assert mean_psnr(learned) > mean_psnr(noisy) + 3.0
