from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoisebench.networks.laine_unet import (
    MULTIPLE,
    REACH,
    BlindLaineUNet,
    LaineUNet,
    Trunk,
    blind_reach,
    initialise,
    rows_down,
    shift_down,
)
from denoisebench.tiling import in_tiles


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def blind(features: int = 3, seed: int = 1, **options: Any) -> BlindLaineUNet:
    torch.manual_seed(seed)
    network = BlindLaineUNet(features=features, init="he", **options).double()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.1, 0.1)
    return network


def sensitivity(network: nn.Module, x: Tensor, hole: int, row: int, column: int) -> Tensor:
    """Where an output pixel sees: the largest derivative over channels, (H, W)."""
    x = x.clone().requires_grad_()
    torch.manual_seed(3)
    weights = torch.rand(x.shape[1], dtype=x.dtype)
    (gradient,) = torch.autograd.grad((network(x, hole)[0, :, row, column] * weights).sum(), x)
    return gradient[0].abs().amax(0)


def test_parameter_counts_are_those_of_the_released_networks() -> None:
    assert count(LaineUNet()) == 1_102_371
    assert count(LaineUNet(head="single")) == 1_083_747
    assert count(LaineUNet(head="none")) == 1_003_011
    assert count(LaineUNet(out=1)) == 1_102_177
    assert count(BlindLaineUNet()) == 1_268_547
    assert count(BlindLaineUNet(out=9)) == 1_269_129
    assert count(BlindLaineUNet(out=6)) == 1_268_838
    assert count(BlindLaineUNet(channels=1, out=2)) == 1_265_858


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 32), (37, 70), (71, 33)])
@pytest.mark.parametrize("hole", [1, 3, 5, 9])
def test_the_blind_network_is_blind_on_exactly_the_square(height: int, width: int, hole: int) -> None:
    network = blind().train()
    x = torch.rand(1, 3, height, width, dtype=torch.float64)
    radius = (hole - 1) // 2
    for row, column in [(height // 2, width // 2), (13, 17), (0, 0), (height - 1, width - 1), (height - 2, 4)]:
        seen = sensitivity(network, x, hole, row, column)
        rows, columns = (slice(max(0, at - radius), at + radius + 1) for at in (row, column))
        assert (seen[rows, columns] == 0).all(), (row, column)
    assert sensitivity(network, x, 0, 13, 17)[13, 17] > 0


@pytest.mark.parametrize("hole", [1, 3, 5, 9])
def test_the_blind_network_sees_the_rim_of_the_square(hole: int) -> None:
    # What a max-pool hides of a pixel of one image, it shows of another one at another place.
    network, side = blind().train(), hole + 2
    unseen = torch.ones(side, side, dtype=torch.bool)
    for place in range(16):
        torch.manual_seed(place)
        image = torch.rand(1, 3, 32, 64, dtype=torch.float64)
        row, column = 12 + place % 4, 20 + place // 4
        seen = sensitivity(network, image, hole, row, column)
        unseen &= seen[row - side // 2 :, column - side // 2 :][:side, :side] == 0
    expected = torch.zeros_like(unseen)
    expected[1:-1, 1:-1] = True
    assert torch.equal(unseen, expected)


def test_in_evaluation_only_the_mirrored_border_sees_itself() -> None:
    network = blind().eval()
    x = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    assert sensitivity(network, x, 3, 62, 94)[61:, 93:].max() == 0
    x = torch.rand(1, 3, 60, 90, dtype=torch.float64)
    assert sensitivity(network, x, 1, 58, 20)[58, 20] > 0
    with torch.no_grad():
        padded = F.pad(x, (0, 6, 0, 4), mode="reflect")
        torch.testing.assert_close(network(x), network(padded)[..., :60, :90], rtol=0, atol=1e-12)


def test_one_trunk_serves_every_hole() -> None:
    network = blind()
    x = torch.rand(2, 3, 40, 33, dtype=torch.float64)
    views = network.trunk(x)
    for hole in (0, 1, 3, 11):
        assert torch.equal(network.at_hole(views, hole), network(x, hole))
    with pytest.raises(ValueError, match=r"odd.*got 4.*method\.hole"):
        network(x, 4)
    assert [rows_down(k) for k in (0, 1, 3, 5, 9, 11)] == [0, 1, 2, 3, 5, 6]


def literal_trunk(trunk: Trunk, x: Tensor) -> Tensor:
    """Layer by layer as the notes of the released code say: one zero row above, the last row of the result dropped."""

    def conv(layer: nn.Module, y: Tensor) -> Tensor:
        assert isinstance(layer, nn.Conv2d)
        y = F.conv2d(F.pad(y, (0, 0, 1, 0)), layer.weight, layer.bias, padding=1)[:, :, :-1]
        return torch.where(y > 0, y, 0.1 * y)

    def block(layers: nn.Module, y: Tensor) -> Tensor:
        for layer in list(layers.children())[::2]:
            y = conv(layer, y)
        return y

    skips, y = [x], x
    for layers in trunk.encoder:
        y = F.max_pool2d(F.pad(block(layers, y), (0, 0, 1, 0))[:, :, :-1], 2)
        skips.append(y)
    y = block(trunk.bottom, skips.pop())
    for layers in trunk.decoder:
        y = block(layers, torch.cat([y.repeat_interleave(2, 2).repeat_interleave(2, 3), skips.pop()], 1))
    return y


def test_the_blind_network_is_the_literal_one_on_a_square() -> None:
    network = blind()
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    views = [literal_trunk(network.unet, torch.rot90(x, turn, (2, 3))) for turn in range(4)]
    shifted = [F.pad(view, (0, 0, 2, 0))[:, :, :-2] for view in views]
    joined = torch.cat([torch.rot90(view, -turn, (2, 3)) for turn, view in enumerate(shifted)], 1)
    torch.testing.assert_close(network(x, 3), network.head(joined), rtol=0, atol=1e-12)


def test_a_turned_image_gives_turned_blocks_of_the_head() -> None:
    network = blind()
    x = torch.rand(1, 3, 32, 64, dtype=torch.float64)
    turned = network(x.rot90(1, (2, 3)), 1).rot90(-1, (2, 3))
    first = network.head[0]
    assert isinstance(first, nn.Conv2d)
    with torch.no_grad():
        first.weight.copy_(torch.cat(first.weight.chunk(4, 1)[-1:] + first.weight.chunk(4, 1)[:-1], 1))
    torch.testing.assert_close(network(x, 1), turned, rtol=0, atol=1e-12)


@pytest.mark.parametrize("head", ["deep", "single", "none"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 47), (32, 64)])
def test_the_plain_network_keeps_every_size_and_pads_by_reflection(head: Any, height: int, width: int) -> None:
    torch.manual_seed(5)
    network = LaineUNet(features=3, head=head, init="he").double()
    x = torch.rand(2, 3, height, width, dtype=torch.float64)
    assert network(x).shape == x.shape
    if height > 32:
        padded = F.pad(x, (0, -width % 32, 0, -height % 32), mode="reflect")
        torch.testing.assert_close(network(x), network(padded)[..., :height, :width], rtol=0, atol=1e-12)


def test_without_a_head_the_last_activation_is_an_option() -> None:
    torch.manual_seed(6)
    with_activation, without = (LaineUNet(features=3, head="none", last_activation=on) for on in (True, False))
    without.load_state_dict(with_activation.state_dict())
    x = torch.randn(1, 3, 32, 32)
    assert (without(x) < 0).any()
    torch.testing.assert_close(with_activation(x), F.leaky_relu(without(x), 0.1))


@pytest.mark.parametrize(("height", "width"), [(40, 700), (480, 34)])
def test_networks_see_no_further_than_they_say(height: int, width: int) -> None:
    x = torch.rand(1, 1, height, width, dtype=torch.float64)
    torch.manual_seed(7)
    plain = LaineUNet(1, features=2, init="he").double().eval()
    hole = 5
    network = blind(features=2, channels=1).eval()
    with torch.no_grad():
        torch.testing.assert_close(in_tiles(plain, x, 96, REACH, MULTIPLE), plain(x), rtol=0, atol=1e-12)
        tiled = in_tiles(lambda part: network(part, hole), x, 96, blind_reach(hole), MULTIPLE)
        torch.testing.assert_close(tiled, network(x, hole), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("init", "gain"), [("he", 2**0.5), ("leaky_he", (2 / 1.01) ** 0.5)])
def test_weights_start_normal_and_the_last_layer_smaller(init: Any, gain: float) -> None:
    torch.manual_seed(8)
    network = BlindLaineUNet(init=init)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for convolution in convolutions:
        fan_in = convolution.in_channels * convolution.kernel_size[0] ** 2
        expected = (1.0 if convolution is convolutions[-1] else gain) / fan_in**0.5
        assert convolution.weight.std().item() == pytest.approx(expected, rel=4 / convolution.weight.numel() ** 0.5)
        assert convolution.bias is not None
        assert (convolution.bias == 0).all()
    assert convolutions[-1] is network.head[-1]


def test_default_weights_are_those_of_pytorch() -> None:
    torch.manual_seed(9)
    network = LaineUNet(features=4)
    largest = 1 / (4 * 9) ** 0.5
    bottom = network.trunk.bottom[0]
    assert isinstance(bottom, nn.Conv2d)
    assert 0.9 * largest < bottom.weight.abs().max().item() <= largest
    initialise(network, "he")
    assert bottom.weight.abs().max().item() > largest


def test_shifting_down_brings_zeros_in() -> None:
    x = torch.arange(1.0, 7).reshape(1, 1, 3, 2)
    assert shift_down(x, 1).flatten().tolist() == [0, 0, 1, 2, 3, 4]
    assert shift_down(x, 5).flatten().tolist() == [0] * 6
    assert torch.equal(shift_down(x, 0), x)
