from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from denoisebench.methods.apbsn import APBSN
from denoisebench.sampling import random_dihedral


def small_model(**options: Any) -> APBSN:
    torch.manual_seed(1)
    return APBSN(**{"features": 4, "modules": 1, "init": "he", **options}).double()


def slow_pd_network(network: Any, x: Tensor, stride: int) -> Tensor:
    """Each pixel to its place in the mosaic and back, one by one."""
    n, channels, height, width = x.shape
    tall, wide = height // stride + 4, width // stride + 4
    mosaic = torch.zeros(n, channels, stride * tall, stride * wide, dtype=x.dtype)
    places = {}
    for r in range(height):
        for c in range(width):
            places[r, c] = (r % stride) * tall + 2 + r // stride, (c % stride) * wide + 2 + c // stride
            mosaic[:, :, places[r, c][0], places[r, c][1]] = x[:, :, r, c]
    output = network(mosaic)
    return torch.stack([output[:, :, a, b] for a, b in places.values()], dim=-1).view(n, channels, height, width)


@pytest.mark.parametrize(
    ("options", "shape"), [({}, (2, 3, 15, 15)), ({"channels": 1}, (1, 1, 13, 13)), ({"pd_train": 2}, (2, 3, 8, 9))]
)
def test_loss_and_gradients_are_those_of_the_slow_loss(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = small_model(**options)
    parameters = list(model.parameters())
    noisy = torch.rand(shape, dtype=torch.float64)
    side = model.pd_train
    torch.manual_seed(2)
    got = model.loss(noisy, 0.3)
    got_gradients = torch.autograd.grad(got, parameters)
    torch.manual_seed(2)
    x = 255 * random_dihedral(noisy)[..., : shape[-2] // side * side, : shape[-1] // side * side]
    difference = slow_pd_network(model.network, x, side) - x
    expected = difference.abs().sum() / difference.numel()
    expected_gradients = torch.autograd.grad(expected, parameters)
    assert got.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, other in zip(got_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6 * other.abs().max().item())


def slow_denoise(model: APBSN, noisy: Tensor) -> Tensor:
    """The published order: pad by zeros to even sides, PD 2, then eight mixtures reflected by 2."""
    height, width = noisy.shape[-2:]
    x = F.pad(noisy * 255, (0, width % 2, 0, height % 2))
    once = slow_pd_network(model.network, x, 2)
    outputs = []
    for _ in range(8):
        mixed = once.clone()
        chosen = torch.rand_like(x) < 0.16
        mixed[chosen] = x[chosen]
        outputs.append(model.network(F.pad(mixed, (2, 2, 2, 2), mode="reflect"))[..., 2:-2, 2:-2])
    return torch.stack(outputs).mean(0)[..., :height, :width] / 255


@pytest.mark.parametrize(("height", "width"), [(8, 6), (7, 10), (9, 5)])
def test_denoising_is_the_published_order_at_even_and_odd_sizes(height: int, width: int) -> None:
    model = small_model()
    noisy = 2 * torch.rand(1, 3, height, width, dtype=torch.float64) - 0.5
    with torch.no_grad():
        torch.manual_seed(3)
        got = model.denoise(noisy)
        torch.manual_seed(3)
        torch.testing.assert_close(got, slow_denoise(model, noisy), rtol=1e-9, atol=1e-12)
        assert not torch.equal(model.denoise(noisy), got)


def test_without_refinement_nothing_is_drawn() -> None:
    model = small_model(refine=False)
    noisy = torch.rand(1, 3, 7, 8, dtype=torch.float64)
    x = F.pad(noisy * 255, (0, 0, 0, 1))
    with torch.no_grad():
        torch.testing.assert_close(
            model.denoise(noisy), slow_pd_network(model.network, x, 2)[..., :7, :] / 255, rtol=1e-9, atol=1e-12
        )
        assert torch.equal(model.denoise(noisy), model.denoise(noisy))


def test_refinement_replaces_a_sixth_of_the_values_anew_each_time() -> None:
    model = small_model()
    mixtures: list[Tensor] = []

    class Record(torch.nn.Module):
        reach = 0

        def forward(self, x: Tensor) -> Tensor:
            mixtures.append(x[..., 2:-2, 2:-2])
            return x

    model.network = Record()  # type: ignore[assignment]
    refined = model.refined(torch.ones(1, 3, 100, 100), torch.zeros(1, 3, 100, 100))
    assert len(mixtures) == 8
    share = torch.stack(mixtures).mean(dim=(1, 2, 3, 4))
    assert (share - 0.16).abs().max() < 5 * (0.16 * 0.84 / 30_000) ** 0.5
    assert len({tuple(m.flatten().tolist()) for m in mixtures}) == 8
    assert not torch.equal(mixtures[0][:, 0], mixtures[0][:, 1])  # per channel
    torch.testing.assert_close(refined, torch.stack(mixtures).mean(0))


def test_learning_rates() -> None:
    model = APBSN(features=2)
    assert [model.learning_rate(p) for p in (0, 0.399, 0.4, 0.799, 0.8)] == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-6])
    assert APBSN(features=2, lr_decay="linear").learning_rate(0.75) == pytest.approx(2.5e-5)


def test_impossible_settings_and_patches_are_named() -> None:
    with pytest.raises(ValueError, match=r"method\.pd_train"):
        APBSN(pd_train=0)
    with pytest.raises(ValueError, match=r"training\.patch"):
        small_model().loss(torch.rand(1, 3, 4, 4, dtype=torch.float64), 0)
