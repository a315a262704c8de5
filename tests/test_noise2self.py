from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.methods.noise2self import Noise2Self
from jobs import method_settings
from test_slow import compute, mean_psnr


def small_model(**options: Any) -> Noise2Self:
    torch.manual_seed(1)
    model = Noise2Self(**{"features": 3, "init": "he", **options}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.empty_like(parameter).uniform_(-0.1, 0.1))
    return model


def slow_input(model: Noise2Self, x: Tensor, phase: int) -> tuple[Tensor, Tensor]:
    """The masked images, and the mask of phase `phase`: row phase % cell, column phase // cell."""
    images, channels, height, width = x.shape
    masked, mask = x.clone(), torch.zeros(height, width, dtype=x.dtype)
    for i in range(phase % model.cell, height, model.cell):
        for j in range(phase // model.cell, width, model.cell):
            mask[i, j] = 1
            for n in range(images):
                for c in range(channels):
                    total = 0.0
                    for di in (-1, 0, 1):
                        for dj in (-1, 0, 1):
                            if (di or dj) and 0 <= i + di < height and 0 <= j + dj < width:
                                total += (0.5 if di and dj else 1.0) * x[n, c, i + di, j + dj].item()
                    masked[n, c, i, j] = total / 6 if model.replacement == "neighbors" else 0.0
    if model.mask_channel:
        masked = torch.cat([masked, mask.expand(images, 1, height, width)], 1)
    return masked, mask


VARIANTS: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({}, (2, 3, 9, 12)),
    ({"cell": 3, "replacement": "zero", "mask_channel": True}, (2, 3, 8, 7)),
    ({"network": "dncnn", "channels": 1}, (2, 1, 8, 9)),
]


@pytest.mark.parametrize(("options", "shape"), VARIANTS)
def test_loss_and_gradients_are_those_of_the_slow_loss(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = small_model(**options)
    noisy = torch.rand(shape, dtype=torch.float64)
    torch.manual_seed(3)
    got = model.loss(noisy, 0.5)
    torch.manual_seed(3)
    masked, mask = slow_input(model, noisy, int(torch.randint(model.cell**2, ())))
    said, expected = model.network(masked), torch.zeros((), dtype=noisy.dtype)
    for n in range(shape[0]):
        for c in range(shape[1]):
            for i in range(shape[2]):
                for j in range(shape[3]):
                    expected = expected + ((said[n, c, i, j] - noisy[n, c, i, j]) * mask[i, j]) ** 2
    expected = expected / noisy.numel()
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
    parameters = list(model.parameters())
    for one, other in zip(torch.autograd.grad(got, parameters), torch.autograd.grad(expected, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9 * max(1.0, other.abs().max().item()))


@pytest.mark.parametrize(("options", "shape"), VARIANTS)
def test_the_blind_output_predicts_each_pixel_once_and_without_itself(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = small_model(**options).eval()
    x = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    height, width = shape[-2:]
    got = model.denoise(x)
    with torch.no_grad():
        expected = torch.zeros_like(x)
        for phase in range(model.cell**2):
            masked, mask = slow_input(model, x.detach(), phase)
            expected = expected + mask * model.network(masked)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    for row, column in ((3, 4), (0, 0), (height - 1, width - 1)):
        (gradient,) = torch.autograd.grad(got[0, :, row, column].sum(), x, retain_graph=True)
        assert (gradient[0, :, row, column] == 0).all()
        assert gradient[0].abs().max() > 0


def test_the_visible_output_is_one_pass_with_nothing_hidden() -> None:
    x = torch.rand(2, 3, 33, 40, dtype=torch.float64)
    model = small_model(output="visible").eval()
    torch.testing.assert_close(model.denoise(x), model.network(x), rtol=0, atol=0)
    model = small_model(output="visible", mask_channel=True).eval()
    torch.testing.assert_close(model.denoise(x), model.network(torch.cat([x, 0 * x[:, :1]], 1)), rtol=0, atol=0)


@pytest.mark.parametrize("options", [{"network": "dncnn", "cell": 3}, {"cell": 5, "mask_channel": True}])
def test_tiles_are_those_of_the_whole_image(options: dict[str, Any]) -> None:
    model = small_model(channels=1, **{"features": 2, **options}).eval()
    x = torch.rand(1, 1, 391 if model.multiple > 1 else 91, 35, dtype=torch.float64)
    with torch.no_grad():
        whole = model.denoise(x)
        model.tile = 20
        torch.testing.assert_close(model.denoise(x), whole, rtol=0, atol=1e-12)


def test_every_phase_is_drawn() -> None:
    model = small_model(cell=2)
    x = torch.rand(1, 3, 4, 4, dtype=torch.float64)
    hidden = [model._phases(x) == phase for phase in range(4)]
    losses = {torch.where(one, model._predicted(x, one) - x, 0).square().mean().item() for one in hidden}
    drawn = Counter(model.loss(x, 0.0).item() for _ in range(200))
    assert set(drawn) == losses
    assert len(losses) == 4
    assert min(drawn.values()) > 20


def test_networks_and_learning_rates() -> None:
    assert sum(parameter.numel() for parameter in Noise2Self().parameters()) == 1_102_371
    convolutions = [m for m in Noise2Self(network="dncnn").modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 8
    assert Noise2Self(features=1).learning_rate(0.9) == 1e-3
    assert Noise2Self(features=1, lr=1.0, lr_decay="linear").learning_rate(0.25) == 0.75
    for network, lr in (("laine", 1e-3), ("dncnn", 1e-2)):
        assert method_settings("method=noise2self", f"method.network={network}").lr == lr
    assert method_settings("method=noise2self", "budget=hour", "method.network=dncnn").lr == 1e-3
    with pytest.raises(ValueError, match=r"method\.cell"):
        Noise2Self(cell=1)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_short_training_lifts_psnr() -> None:
    own = ("budget=quick", "training.steps=400", "noise=gaussian25", "dataset.crop=160")
    noisy, learned = compute("method=noisy,noise2self", *own)
    assert mean_psnr(learned) > mean_psnr(noisy) + 3.0
