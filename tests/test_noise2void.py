import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoisebench.masking import draw_marks, draw_neighbor_values, window_statistic
from denoisebench.methods.noise2void import Noise2Void
from denoisebench.networks.n2v_unet import MULTIPLE, REACH, N2VUNet, _BlurPool
from denoisebench.tiling import in_tiles
from jobs import method_settings
from test_slow import compute, mean_psnr


def small_model(**options: Any) -> Noise2Void:
    torch.manual_seed(1)
    model = Noise2Void(**{"features": 3, "init": "he", **options}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.empty_like(parameter).uniform_(-0.1, 0.1))
    return model


def slow_loss(model: Noise2Void, noisy: Tensor, seed: int) -> Tensor:
    torch.manual_seed(seed)
    marks = draw_marks(noisy, model.box, model.joint_channels)
    if model.replacement in ("uniform", "other"):
        values = draw_neighbor_values(noisy, marks, model.radius, model.replacement == "uniform")
    else:
        values = window_statistic(noisy, marks, model.radius, model.replacement)  # type: ignore[arg-type]
    marked = marks.marked.expand_as(noisy).nonzero().tolist()
    hidden = noisy.clone()
    for n, c, i, j in marked:
        hidden[n, c, i, j] = values[n, c, i // model.box, j // model.box]
    if model.structure != "none":
        random, radius = torch.rand_like(noisy), model.structure_radius
        steps = [step for step in range(-radius, radius + 1) if step]
        for n, c, i, j in marked:
            places = [(i, j + step) for step in steps if model.structure != "columns"]
            places += [(i + step, j) for step in steps if model.structure != "rows"]
            for row, column in places:
                if 0 <= row < noisy.shape[2] and 0 <= column < noisy.shape[3] and [n, c, row, column] not in marked:
                    hidden[n, c, row, column] = random[n, c, row, column]
    said = model.network(hidden)
    total = torch.zeros((), dtype=noisy.dtype)
    for n, c, i, j in marked:
        error = said[n, c, i, j] - noisy[n, c, i, j]
        total = total + (error**2 if model.norm == "square" else error.abs())
    return total / len(marked)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (2, 3, 16, 19)),
        ({"channels": 1, "network": "paper", "residual": True, "box": 5, "norm": "absolute"}, (2, 1, 13, 11)),
        ({"network": "n2v2", "replacement": "median", "radius": 2, "box": 4}, (1, 3, 9, 12)),
        ({"replacement": "mean", "joint_channels": True}, (2, 3, 16, 16)),
        ({"replacement": "other", "structure": "rows", "structure_radius": 3}, (2, 3, 17, 16)),
        ({"structure": "columns", "joint_channels": True}, (2, 3, 16, 16)),
        ({"structure": "both", "channels": 1, "structure_radius": 2}, (2, 1, 16, 16)),
    ],
)
def test_loss_and_gradients_are_those_of_the_slow_loss(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = small_model(**options)
    noisy = torch.rand(shape, dtype=torch.float64)
    before, parameters = noisy.clone(), list(model.parameters())
    torch.manual_seed(5)
    got, expected = model.loss(noisy, 0.5), slow_loss(model, noisy, 5)
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9 * max(1.0, other.abs().max().item()))
    assert torch.equal(noisy, before)
    assert model.loss(noisy, 0.5).item() != got.item()


@pytest.mark.parametrize(
    "options", [{"replacement": "other"}, {"replacement": "median"}, {"replacement": "mean", "structure": "both"}]
)
def test_a_replaced_pixel_is_not_seen(options: dict[str, Any]) -> None:
    model = small_model(**options)
    x = torch.rand(1, 3, 32, 40, dtype=torch.float64)
    torch.manual_seed(3)
    marks = draw_marks(x, model.box, False)
    y = torch.where(marks.marked, x + 0.3, x)
    hidden = []
    for image in (x, y):
        torch.manual_seed(4)
        hidden.append(model._hidden(image, marks))
    # Windows of radius 5 hold other marked pixels, but no value stays at a marked one.
    assert (hidden[0] != x)[marks.marked].all()
    only = y.clone()
    n, c, i, j = marks.marked.nonzero()[7].tolist()
    only = x.clone()
    only[n, c, i, j] += 0.3
    torch.manual_seed(4)
    changed = model._hidden(only, marks)
    assert changed[n, c, i, j] == hidden[0][n, c, i, j]


def test_nothing_marked_is_no_loss() -> None:
    model = small_model(box=1000)
    torch.manual_seed(0)
    assert model.loss(torch.rand(1, 3, 4, 4, dtype=torch.float64), 0.0).item() == 0.0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 47), (8, 30)])
@pytest.mark.parametrize("network", ["laine", "paper", "n2v2"])
def test_denoising_is_the_network_and_the_ensemble_its_mean_over_symmetries(network: Any, height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, dtype=torch.float64)
    plain, ensemble = small_model(network=network).eval(), small_model(network=network, ensemble=True).eval()
    with torch.no_grad():
        assert torch.equal(plain.denoise(x), plain.network(x))
        got = ensemble.denoise(x)
        torch.testing.assert_close(ensemble.denoise(x.transpose(-2, -1)), got.transpose(-2, -1), rtol=0, atol=1e-12)
        torch.testing.assert_close(ensemble.denoise(x.flip(-2)), got.flip(-2), rtol=0, atol=1e-12)
        whole = torch.stack([undo(plain.network(do(x))) for do, undo in SYMMETRIES]).mean(0)
        torch.testing.assert_close(got, whole, rtol=0, atol=1e-12)


SYMMETRIES: list[Any] = [
    (lambda x: x, lambda x: x),
    (lambda x: x.flip(-1), lambda x: x.flip(-1)),
    (lambda x: x.flip(-2), lambda x: x.flip(-2)),
    (lambda x: x.flip(-1, -2), lambda x: x.flip(-1, -2)),
    (lambda x: x.transpose(-1, -2), lambda x: x.transpose(-1, -2)),
    (lambda x: x.transpose(-1, -2).flip(-1), lambda x: x.flip(-1).transpose(-1, -2)),
    (lambda x: x.transpose(-1, -2).flip(-2), lambda x: x.flip(-2).transpose(-1, -2)),
    (lambda x: x.transpose(-1, -2).flip(-1, -2), lambda x: x.flip(-1, -2).transpose(-1, -2)),
]


@pytest.mark.parametrize("n2v2", [False, True])
def test_the_networks_see_no_further_than_they_say(n2v2: bool) -> None:
    torch.manual_seed(6)
    network = N2VUNet(1, 2, n2v2=n2v2).double().eval()
    x = torch.rand(1, 1, 150, 91, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(in_tiles(network, x, 20, REACH, MULTIPLE), network(x), rtol=0, atol=1e-12)


def test_tiles_of_the_ensemble_are_those_of_the_whole_image() -> None:
    model = small_model(network="paper", ensemble=True, channels=1).eval()
    x = torch.rand(1, 1, 130, 77, dtype=torch.float64)
    with torch.no_grad():
        whole = model.denoise(x)
        model.tile = 33
        torch.testing.assert_close(model.denoise(x), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (6, 10)])
def test_blurred_pooling_is_the_literal_one(height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    largest = torch.zeros_like(x)
    for i in range(height):
        for j in range(width):
            largest[..., i, j] = x[..., i : i + 2, j : j + 2].amax((-2, -1))
    kernel = torch.tensor([1.0, 2, 1], dtype=torch.float64)
    kernel = (kernel[:, None] * kernel / 16).expand(3, 1, 3, 3)
    expected = F.conv2d(F.pad(largest, (0, 1, 0, 1)), kernel, stride=2, groups=3)
    torch.testing.assert_close(_BlurPool()(x), expected, rtol=0, atol=1e-12)


def test_parameter_counts_are_those_of_the_released_networks() -> None:
    def count(network: nn.Module) -> int:
        return sum(parameter.numel() for parameter in network.parameters())

    assert count(N2VUNet(1)) == 2_576_833
    assert count(N2VUNet(3)) == 2_578_755
    assert count(N2VUNet(3, n2v2=True)) == 2_910_819
    assert count(Noise2Void()) == 1_102_371
    norms = [module for module in N2VUNet(3).modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_the_residual_adds_the_input_and_values_are_normalised_inside() -> None:
    model = small_model(network="paper", residual=True)
    with torch.no_grad():
        for parameter in model.network.head.parameters():  # type: ignore[union-attr]
            parameter.zero_()
    x = torch.rand(1, 3, 9, 10, dtype=torch.float64)
    torch.testing.assert_close(model.denoise(x), x, rtol=0, atol=1e-12)
    model.network.residual = False  # type: ignore[assignment]
    torch.testing.assert_close(model.denoise(x), torch.full_like(x, 0.5), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("overrides", "masks"),
    [
        (("dataset=bsd68", "method.network=paper"), (22, 2, True)),
        (("dataset=kodak", "method.network=paper"), (22, 2, False)),  # the release refuses residual for colour
        (("dataset=bsd68", "method.network=n2v2"), (8, 5, False)),
        (("dataset=bsd68",), (8, 5, False)),
        (("dataset=bsd68", "method.network=paper", "method.box=8"), (8, 2, True)),
    ],
)
def test_the_paper_network_has_the_masks_of_the_run_on_bsd68(overrides: tuple[str, ...], masks: tuple[int, int, bool]) -> None:
    method = method_settings("method=noise2void", *overrides)
    assert (method.box, method.radius, method.residual) == masks


def test_learning_rates_and_refusals() -> None:
    rates = [Noise2Void(features=1, lr=1.0).learning_rate(progress) for progress in (0.0, 1 / 3, 0.5, 1.0)]
    assert rates == pytest.approx([1.0, 0.75, 0.5, 0.0], abs=1e-12)
    assert Noise2Void(features=1, lr=1.0, lr_decay="linear").learning_rate(1 / 3) == pytest.approx(2 / 3)
    assert math.isclose(Noise2Void(features=1).learning_rate(0.0), 4e-4)
    refused: list[dict[str, Any]] = [{"box": 0}, {"radius": 0}, {"structure_radius": 0}, {"residual": True}]
    for options in refused:
        with pytest.raises(ValueError, match=r"method\."):
            Noise2Void(**options)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_short_training_lifts_psnr() -> None:
    own = ("budget=quick", "training.steps=400", "noise=gaussian25", "dataset.crop=160")
    noisy, learned = compute("method=noisy,noise2void", *own)
    assert mean_psnr(learned) > mean_psnr(noisy) + 3.0
