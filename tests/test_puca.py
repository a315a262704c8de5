from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from denoisebench.methods.puca import PUCA
from denoisebench.networks.puca import DilatedAttentionBlock, PUCANetwork, patch_shuffle, patch_unshuffle
from denoisebench.sampling import random_dihedral
from test_slow import compute, mean_psnr


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_patch_unshuffle_moves_whole_patches_and_patch_shuffle_puts_them_back(n: int, c: int, rows: int, columns: int) -> None:
    x = torch.arange(n * c * rows * columns * 16).view(n, c, 4 * rows, 4 * columns)
    y = patch_unshuffle(x)
    assert y.shape == (n, 4 * c, 2 * rows, 2 * columns)
    for r in range(4 * rows):
        for k in range(4 * columns):
            block = 2 * (r % 4 // 2) + k % 4 // 2
            there = y[:, block * c : (block + 1) * c, r // 4 * 2 + r % 2, k // 4 * 2 + k % 2]
            assert torch.equal(there, x[:, :, r, k])
    assert torch.equal(patch_shuffle(y), x)


def small(modules: int = 1, *, attention: bool = True) -> PUCANetwork:
    torch.manual_seed(3)
    network = PUCANetwork(2, 4, modules).double()
    for block in network.modules():
        if isinstance(block, DilatedAttentionBlock) and not attention:
            nn.init.zeros_(block.attention.weight)
            assert block.attention.bias is not None
            nn.init.ones_(block.attention.bias)
    return network


def jacobian(network: PUCANetwork, place: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(H, W): the largest answer of the output at `place` to each input pixel, over channels in and out."""
    torch.manual_seed(4)
    x = torch.rand(1, 2, *size, dtype=torch.float64, requires_grad=True)
    outputs = network(x)[0, :, place[0], place[1]]
    return torch.stack([torch.autograd.grad(v, x, retain_graph=True)[0][0].abs().amax(0) for v in outputs]).amax(0)


@pytest.mark.parametrize(("place", "size"), [((9, 10), (24, 16)), ((0, 0), (13, 18)), ((22, 5), (23, 11))])
@pytest.mark.parametrize("modules", [1, 2])
def test_without_attention_it_sees_no_pixel_at_even_distances_and_all_others_near(
    place: tuple[int, int], size: tuple[int, int], modules: int
) -> None:
    answer = jacobian(small(modules, attention=False), place, size)
    rows, columns = (torch.arange(side) - at for side, at in zip(size, place, strict=True))
    even = (rows[:, None] % 2 == 0) & (columns % 2 == 0)
    near = (rows[:, None].abs() <= 3) & (columns.abs() <= 3)
    assert (answer[even] == 0).all()
    assert (answer[near & ~even] > 0).all()


def test_its_attention_leaks_a_little_of_every_pixel() -> None:
    """Not strictly blind: 1.7e-4 was measured on the released network with random weights, on 56 x 56 pixels."""
    torch.manual_seed(0)
    network = PUCANetwork(2, 16)
    x = torch.rand(1, 2, 56, 56, requires_grad=True)
    [gradient] = torch.autograd.grad(network(x)[0, :, 28, 27].sum(), x)
    answer = gradient[0].abs().amax(0)
    own = (answer[28, 27] / answer.max()).item()
    assert 1e-6 < own < 1e-2
    assert (answer > 0).all()


def test_the_default_network_is_that_of_the_paper() -> None:
    assert sum(p.numel() for p in PUCANetwork().parameters()) == 12_783_491


def slow(network: PUCANetwork, x: Tensor, stride: int) -> Tensor:
    """The network from its parameters alone, taken in the order in which they are registered; modules = 2."""
    weights = iter(network.parameters())

    def conv(z: Tensor, dilation: int = 1, *, masked: bool = False, groups: int = 1) -> Tensor:
        weight, bias = next(weights).clone(), next(weights)
        middle = weight.shape[-1] // 2
        if masked:
            weight[..., middle, middle] = 0
        return F.conv2d(z, weight, bias, padding=dilation * middle, dilation=dilation, groups=groups)

    def norm(z: Tensor) -> Tensor:
        gain, offset = next(weights), next(weights)
        return F.layer_norm(z.movedim(1, -1), z.shape[1:2], gain.flatten(), offset.flatten(), 1e-6).movedim(-1, 1)

    def block(z: Tensor) -> Tensor:
        gain1, gain2 = next(weights), next(weights)  # a module's own parameters come before its children's
        y = conv(norm(z))
        y = conv(y, 2, groups=y.shape[1])
        y = y[:, : z.shape[1]] * y[:, z.shape[1] :]
        y = y * conv(y.mean((-2, -1), keepdim=True))
        z = z + gain1 * conv(y)
        y = conv(norm(z))
        return z + gain2 * conv(y[:, : z.shape[1]] * y[:, z.shape[1] :])

    y = conv(x)
    n, c, height, width = y.shape
    places: list[tuple[int, int]] = []
    if stride > 1:
        tall, wide = height // stride + 4, width // stride + 4
        mosaic = torch.zeros(n, c, stride * tall, stride * wide, dtype=x.dtype)
        places = [
            ((r % stride) * tall + 2 + r // stride, (k % stride) * wide + 2 + k // stride)
            for r in range(height) for k in range(width)
        ]  # fmt: skip
        for (a, b), pixel in zip(places, y.flatten(2).unbind(-1), strict=True):
            mosaic[:, :, a, b] = pixel
        y = mosaic
    full = block(conv(conv(conv(y, masked=True))))
    half = patch_unshuffle(conv(full))
    half = block(block(half))
    quarter = patch_unshuffle(conv(half))
    quarter = block(block(quarter))
    up = patch_shuffle(conv(quarter)) + half
    up = block(block(up))
    up = conv(block(patch_shuffle(conv(up)) + full))
    if stride > 1:
        up = torch.stack([up[:, :, a, b] for a, b in places], dim=-1).view(n, c, height, width)
    up = conv(conv(conv(conv(up))))
    assert next(weights, None) is None
    return up


@pytest.mark.parametrize(("stride", "size"), [(1, (16, 24)), (2, (16, 8)), (4, (8, 16))])
def test_it_is_the_network_written_out_with_parameters_in_forward_order(stride: int, size: tuple[int, int]) -> None:
    network = small(2)
    x = torch.rand(2, 2, *size, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x, stride), slow(network, x, stride), rtol=1e-10, atol=1e-12)


def small_method(**options: Any) -> PUCA:
    torch.manual_seed(1)
    return PUCA(**{"features": 4, "modules": 2, **options}).double()


def test_loss_and_gradients_are_those_of_the_slow_loss() -> None:
    model = small_method()
    parameters = list(model.parameters())
    noisy = torch.rand(2, 3, 10, 8, dtype=torch.float64)
    torch.manual_seed(2)
    got = model.loss(noisy, 0.3)
    got_gradients = torch.autograd.grad(got, parameters)
    torch.manual_seed(2)
    x = 255 * random_dihedral(noisy)[..., :8, :]
    difference = slow(model.network, x, 4) - x  # type: ignore[arg-type]
    expected = difference.abs().sum() / difference.numel()
    expected_gradients = torch.autograd.grad(expected, parameters)
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
    for one, other in zip(got_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * other.abs().max().item())


def test_denoising_is_the_published_order() -> None:
    model = small_method()
    noisy = 2 * torch.rand(1, 3, 8, 16, dtype=torch.float64) - 0.5
    with torch.no_grad():
        torch.manual_seed(3)
        got = model.denoise(noisy)
        torch.manual_seed(3)
        x = 255 * noisy
        once = slow(model.network, x, 2)  # type: ignore[arg-type]
        outputs = []
        for _ in range(8):
            mixed = torch.where(torch.rand_like(x) < 0.16, x, once)
            outputs.append(slow(model.network, F.pad(mixed, (4, 4, 4, 4), mode="reflect"), 1)[..., 4:-4, 4:-4])  # type: ignore[arg-type]
        torch.testing.assert_close(got, torch.stack(outputs).mean(0) / 255, rtol=1e-9, atol=1e-12)


def test_learning_rates() -> None:
    model = PUCA(features=2, modules=1)
    assert [model.learning_rate(p) for p in (0, 0.399, 0.4, 0.799, 0.8)] == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-6])


@pytest.mark.parametrize("options", [{"features": 3}, {"modules": 0}, {"init": "zeros"}, {"pd_train": 0}])
def test_impossible_settings_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"method\." + next(iter(options))):
        PUCA(**{"features": 2, "modules": 1, **options})


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1500)
def test_it_learns_under_correlated_noise() -> None:
    noisy, learned = compute("method=noisy,puca", "budget=quick", "noise=camera", "noise.lam=15", "dataset.crop=128")
    assert mean_psnr(learned) > mean_psnr(noisy) + 2.0
