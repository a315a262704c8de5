from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from denoisebench.methods.mm_bsn import MMBSN
from denoisebench.networks.mmbsn import MASKS, MultiMaskBSN, mask_of
from denoisebench.sampling import random_dihedral
from test_apbsn import slow_pd_network
from test_slow import compute, mean_psnr

MM = (("centre", "antidiagonal"), ("centre", "antidiagonal"))
AM = (("centre",), ("diagonals",))


def small(masks: Any = MM, modules: int = 1, *, positive: bool = True) -> MultiMaskBSN:
    """Positive weights leave no ReLU dead and nothing to cancel: a Jacobian of zero is then a path that is not there."""
    torch.manual_seed(3)
    network = MultiMaskBSN(2, 4, modules, masks=masks).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(0.01, 0.1) if positive or parameter.ndim == 1 else parameter.normal_(std=0.3)
    return network


def moved(places: set[tuple[int, int]], offsets: list[tuple[int, int]], size: tuple[int, int]) -> set[tuple[int, int]]:
    """Where one can get from `places` without leaving the image."""
    there = {(r + a, c + b) for r, c in places for a, b in offsets}
    return {(r, c) for r, c in there if 0 <= r < size[0] and 0 <= c < size[1]}


def seen(network: MultiMaskBSN, place: tuple[int, int], size: tuple[int, int]) -> set[tuple[int, int]]:
    """The input pixels that the output at `place` depends on, in any channel."""
    x = torch.rand(1, 2, *size, dtype=torch.float64, requires_grad=True)
    [gradient] = torch.autograd.grad(network(x)[0, :, place[0], place[1]].sum(), x)
    return {(r, c) for r, c in (gradient[0].abs().amax(0) > 0).nonzero().tolist()}


MASKED = {  # what the masks hide at dilation d, as offsets
    "centre": lambda a, b: a == b == 0,
    "antidiagonal": lambda a, b: a == -b,
    "diagonal": lambda a, b: a == b,
    "diagonals": lambda a, b: abs(a) == abs(b),
    "row": lambda a, b: a == 0,
    "column": lambda a, b: b == 0,
}


@pytest.mark.parametrize("masks", [MM, AM, (("row", "column"), ("diagonal", "diagonals"))])
@pytest.mark.parametrize(("place", "size"), [((11, 12), (23, 25)), ((0, 0), (13, 8)), ((12, 3), (13, 17))])
def test_it_sees_exactly_what_its_masks_leave_and_never_the_centre(
    masks: Any, place: tuple[int, int], size: tuple[int, int]
) -> None:
    expected = set()
    for d, own in zip((2, 3), masks, strict=True):
        near = [(a, b) for a in range(1 - d, d) for b in range(1 - d, d) if not all(MASKED[m](a, b) for m in own)]
        far = {place}
        for _ in range(3):  # two modules before and one after the masks are joined
            far = moved(far, [(a, b) for a in (-d, 0, d) for b in (-d, 0, d)], size)
        expected |= moved(far, near, size)
    assert place not in expected
    assert seen(small(masks), place, size) == expected


@pytest.mark.parametrize("name", MASKS)
def test_masks_hide_the_lines_that_they_are_named_after(name: str) -> None:
    for size in (3, 5):
        half = size // 2
        hidden = {(r - half, c - half) for r, c in (mask_of(name, size) == 0).nonzero().tolist()}
        span = range(-half, half + 1)
        assert hidden == {(a, b) for a in span for b in span if MASKED[name](a, b)}


@pytest.mark.parametrize(("masks", "count"), [(MM, 5_297_987), (AM, 3_837_251)])
def test_the_default_networks_are_those_of_the_papers(masks: Any, count: int) -> None:
    assert sum(p.numel() for p in MultiMaskBSN(masks=masks).parameters()) == count


def slow(network: MultiMaskBSN, x: Tensor, masks: Any, modules: int) -> Tensor:
    """The network from its parameters alone, taken in the order in which they are registered."""
    weights = iter(network.parameters())

    def taken(count: int) -> list[tuple[Tensor, Tensor]]:
        return [(next(weights), next(weights)) for _ in range(count)]

    def conv(z: Tensor, layer: tuple[Tensor, Tensor], dilation: int = 1, hidden: Any = None) -> Tensor:
        weight, middle = layer[0].clone(), layer[0].shape[-1] // 2
        for r in range(weight.shape[-2]):
            for c in range(weight.shape[-1]):
                if hidden is not None and hidden(r - middle, c - middle):
                    weight[..., r, c] = 0
        return F.conv2d(z, weight, layer[1], padding=dilation * middle, dilation=dilation)

    def residual(z: Tensor, count: int, d: int) -> Tensor:
        for _ in range(count):
            first, second = taken(2)
            z = z + conv(conv(z, first, d).relu(), second)
        return conv(z, taken(1)[0]).relu()

    head = conv(x, taken(1)[0]).relu()
    u, w = {}, {}
    for d, own in zip((2, 3), masks, strict=True):
        for mask in own:
            masked, *points = taken(4)
            z = conv(head, masked, hidden=MASKED[mask]).relu()
            for point in points:
                z = conv(z, point).relu()
            u[mask, d], v = z, residual(z, 2, d)
            w[mask, d] = conv(torch.cat([z, v], dim=1), taken(1)[0]).relu()
    [shared] = taken(1)
    t = [
        residual(conv(torch.cat([w[m, d] for m in own], dim=1), shared).relu(), modules, d)
        for d, own in zip((2, 3), masks, strict=True)
    ]
    order = [(m, d) for pair in zip(*masks, strict=True) for m, d in zip(pair, (2, 3), strict=True)]
    y = torch.cat([*(u[key] for key in order), *t], dim=1)
    *hidden, last = taken(4)
    for layer in hidden:
        y = conv(y, layer).relu()
    assert next(weights, None) is None
    return conv(y, last)


@pytest.mark.parametrize("masks", [MM, AM])
def test_it_is_the_network_written_out_with_parameters_in_forward_order(masks: Any) -> None:
    network = small(masks, 2, positive=False)
    x = torch.rand(2, 2, 11, 9, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), slow(network, x, masks, 2), rtol=1e-10, atol=1e-12)


def test_masked_weights_get_no_gradient() -> None:
    network = small()
    network(torch.rand(1, 2, 9, 9, dtype=torch.float64)).square().mean().backward()
    weight = dict(network.named_parameters())["branches.1.1.near.0.weight"]
    assert weight.shape[-1] == 5
    assert weight.grad is not None
    assert torch.equal(weight.grad.abs().amax((0, 1)) > 0, mask_of("antidiagonal", 5) > 0)


def small_method(**options: Any) -> MMBSN:
    torch.manual_seed(1)
    return MMBSN(**{"features": 4, "modules": 0, "init": "he", **options}).double()


@pytest.mark.parametrize("options", [{}, {"masks_d2": ["centre"], "masks_d3": ["diagonals"]}])
def test_loss_and_gradients_are_those_of_the_slow_loss(options: dict[str, Any]) -> None:
    model = small_method(**options)
    parameters = list(model.parameters())
    noisy = torch.rand(2, 3, 13, 10, dtype=torch.float64)
    torch.manual_seed(2)
    got = model.loss(noisy, 0.3)
    got_gradients = torch.autograd.grad(got, parameters)
    torch.manual_seed(2)
    x = 255 * random_dihedral(noisy)[..., :10, :]
    difference = slow_pd_network(model.network, x, 5) - x
    expected = difference.abs().sum() / difference.numel()
    expected_gradients = torch.autograd.grad(expected, parameters)
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
    for one, other in zip(got_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * other.abs().max().item())


@pytest.mark.parametrize("blend", [0.0, 0.2])
@pytest.mark.parametrize(("height", "width"), [(10, 20), (7, 9)])
def test_denoising_is_the_published_order(height: int, width: int, blend: float) -> None:
    model = small_method(blend=blend)
    noisy = 2 * torch.rand(1, 3, height, width, dtype=torch.float64) - 0.5
    with torch.no_grad():
        torch.manual_seed(3)
        got = model.denoise(noisy)
        torch.manual_seed(3)
        x = F.pad(noisy * 255, (0, width % 2, 0, height % 2))
        once = slow_pd_network(model.network, x, 2)
        tall, wide = x.shape[-2:]
        coarse = slow_pd_network(model.network, F.pad(x, (0, -wide % 5, 0, -tall % 5)), 5)[..., :tall, :wide]
        once = (1 - blend) * once + blend * coarse
        outputs = []
        for _ in range(8):
            mixed = torch.where(torch.rand_like(x) < 0.16, x, once)
            outputs.append(model.network(F.pad(mixed, (2, 2, 2, 2), mode="reflect"))[..., 2:-2, 2:-2])
        expected = torch.stack(outputs).mean(0)[..., :height, :width] / 255
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)


def test_learning_rates() -> None:
    model = MMBSN(features=2)
    rates = [model.learning_rate(p) for p in (0, 0.266, 0.267, 0.533, 0.534, 0.799, 0.8)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-6, 1e-6, 1e-7])
    assert MMBSN(features=2, lr_decay="linear").learning_rate(0.75) == pytest.approx(2.5e-5)


@pytest.mark.parametrize(
    "options",
    [{"features": 0}, {"init": "zeros"}, {"masks_d2": ["cross"]}, {"masks_d2": ["centre"]}, {"blend": 2.0}, {"pd": 0}],
)
def test_impossible_settings_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"method\." + next(iter(options))):
        MMBSN(**{"features": 2, "modules": 0, **options})


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1500)
def test_it_learns_under_correlated_noise() -> None:
    noisy, learned = compute("method=noisy,mm_bsn", "budget=quick", "noise=camera", "noise.lam=15", "dataset.crop=128")
    assert mean_psnr(learned) > mean_psnr(noisy) + 2.0
