from itertools import product
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from denoisebench.networks.noise2noise_unet import Noise2NoiseUNet, PartialConv, PartialUNet
from denoisebench.sampling import bernoulli_mask


def mirrored(position: int, size: int) -> int:
    position = abs(position)
    return position if position < size else 2 * (size - 1) - position


@pytest.mark.parametrize(("channels", "parameters"), [(3, 991_203), (1, 988_609)])
def test_parameters_are_those_of_the_released_code(channels: int, parameters: int) -> None:
    for network in (Noise2NoiseUNet(channels), PartialUNet(channels)):
        assert sum(p.numel() for p in network.parameters()) == parameters


def written_out(network: Noise2NoiseUNet, x: Tensor) -> Tensor:
    """The network from its parameters in the order in which they are registered."""
    weights = iter(network.parameters())

    def conv(z: Tensor) -> Tensor:
        return F.leaky_relu(F.conv2d(F.pad(z, (1, 1, 1, 1)), next(weights), next(weights)), 0.1)

    maps = [x, F.max_pool2d(conv(conv(x)), 2)]
    for _ in range(4):
        maps.append(F.max_pool2d(conv(maps[-1]), 2))
    y = conv(maps.pop())
    for skip in reversed(maps):
        y = conv(conv(torch.cat([y.repeat_interleave(2, -1).repeat_interleave(2, -2), skip], dim=1)))
    y = F.conv2d(F.pad(y, (1, 1, 1, 1)), next(weights), next(weights))
    assert next(weights, None) is None
    return y


def test_the_plain_network_is_the_network_written_out() -> None:
    network = Noise2NoiseUNet(2, features=3).double()
    x = torch.rand(2, 2, 64, 96, dtype=torch.float64)
    torch.testing.assert_close(network(x), written_out(network, x), rtol=1e-12, atol=1e-12)
    before = network.encoder[0].weight.clone()  # type: ignore[operator]
    network.reset()
    assert not torch.equal(network.encoder[0].weight, before)  # type: ignore[arg-type]


def literal_partial_conv(conv: PartialConv, x: Tensor, mask: Tensor, released: bool) -> tuple[Tensor, Tensor]:
    """Sums over windows, pixel by pixel, for one image."""
    channels, height, width = x.shape
    weight, bias = conv.weight, conv.bias
    assert bias is not None
    features, known = torch.zeros(len(weight), height, width).to(x), torch.zeros(1, height, width).to(x)
    for i, j in product(range(height), range(width)):
        total, count = torch.zeros(len(weight)).to(x), 0.0
        for c, di, dj in product(range(channels), range(3), range(3)):
            row, column = mirrored(i + di - 1, height), mirrored(j + dj - 1, width)
            seen = mask[c if len(mask) > 1 else 0, row, column]
            total += weight[:, c, di, dj] * x[c, row, column] * seen
            count += float(seen)
        ratio = (9 if released else 9 * channels) / count if count else 0
        features[:, i, j] = total * ratio + bias
        known[0, i, j] = count > 0
    return features, known


@pytest.mark.parametrize("ratio", ["usual", "released"])
@pytest.mark.parametrize("of_each_channel", [True, False])
def test_a_partial_convolution_is_the_loop_over_windows(ratio: Literal["usual", "released"], of_each_channel: bool) -> None:
    conv = PartialConv(3, 4, ratio).double()
    x = torch.rand(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    mask = (torch.rand(2, 3 if of_each_channel else 1, 5, 6) < 0.3).double()
    mask[..., :3, :3] = 0  # somewhere nothing is known
    got, known = conv(x, mask)
    expected = [literal_partial_conv(conv, *pair, ratio == "released") for pair in zip(x, mask, strict=True)]
    torch.testing.assert_close(got, torch.stack([pair[0] for pair in expected]), rtol=1e-9, atol=1e-12)
    assert torch.equal(known, torch.stack([pair[1] for pair in expected]))
    assert not known.all()
    direction = torch.rand_like(got)
    wanted = torch.stack([pair[0] for pair in expected])
    parameters = [x, *conv.parameters()]
    for one, other in zip(
        torch.autograd.grad((got * direction).sum(), parameters),
        torch.autograd.grad((wanted * direction).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_usual_ratio_leaves_a_whole_image_alone_and_completes_a_constant_one() -> None:
    conv = PartialConv(3, 4).double()
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    plain = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), conv.weight, conv.bias)
    torch.testing.assert_close(conv(x, torch.ones_like(x))[0], plain, rtol=1e-12, atol=1e-12)
    torch.nn.init.constant_(conv.weight, 0.1)
    constant = torch.full_like(x, 0.5)
    mask = (torch.rand_like(x) < 0.6).double()
    torch.testing.assert_close(conv(constant, mask)[0], conv(constant, torch.ones_like(x))[0], rtol=1e-12, atol=1e-12)


def partial_written_out(network: PartialUNet, x: Tensor, mask: Tensor) -> Tensor:
    weights = iter(network.decoder.parameters())

    def conv(z: Tensor) -> Tensor:
        z = z * bernoulli_mask(z, network.drop) / (1 - network.drop)
        return F.conv2d(F.pad(z, (1, 1, 1, 1), mode="reflect"), next(weights), next(weights))

    maps = [x * mask]
    y = x
    for number, partial in enumerate(network.encoder):
        y, mask = partial(y, mask)
        y = F.leaky_relu(y, 0.1)
        if 1 <= number <= 5:
            y, mask = F.max_pool2d(y, 2), F.max_pool2d(mask, 2)
            maps.append(y)
    maps.pop()
    for skip in reversed(maps):
        y = torch.cat([y.repeat_interleave(2, -1).repeat_interleave(2, -2), skip], dim=1)
        y = F.leaky_relu(conv(y), 0.1)
        y = F.leaky_relu(conv(y), 0.1)
    return torch.sigmoid(conv(y))


@pytest.mark.parametrize("training", [True, False])
def test_the_partial_network_is_the_network_written_out_and_drops_in_either_mode(training: bool) -> None:
    network = PartialUNet(2, features=3).double().train(training)
    x = torch.rand(1, 2, 64, 96, dtype=torch.float64)
    mask = (torch.rand_like(x) < 0.3).double()
    torch.manual_seed(1)
    got, again = network(x, mask), network(x, mask)
    torch.manual_seed(1)
    torch.testing.assert_close(got, partial_written_out(network, x, mask), rtol=1e-9, atol=1e-12)
    assert not torch.equal(got, again)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 47), (5, 100)])
def test_what_the_mask_hides_is_not_seen_at_any_size(height: int, width: int) -> None:
    network = PartialUNet(3, features=3).double()
    x = torch.rand(1, 3, height, width, dtype=torch.float64)
    mask = (torch.rand_like(x) < 0.5).double()
    outputs = []
    for seen in (x, torch.where(mask == 0, x + 7, x), x + mask):
        torch.manual_seed(2)
        outputs.append(network(seen, mask))
        assert outputs[-1].shape == x.shape
    assert torch.equal(outputs[0], outputs[1])
    if mask.any():
        assert not torch.equal(outputs[0], outputs[2])
    assert Noise2NoiseUNet(3, features=3).double()(x).shape == x.shape


def test_initial_weights_have_the_released_spread() -> None:
    network = PartialUNet()
    for number, conv in enumerate((*network.encoder, *network.decoder)):
        weight, bias = conv.weight, conv.bias
        assert isinstance(weight, Tensor)
        assert isinstance(bias, Tensor)
        fan_in, fan_out = weight[0].numel(), weight[:, 0].numel()
        variance = 2 / (fan_in + fan_out) if number < 7 else (1 if number == 17 else 2) / fan_in
        assert abs(weight.var().item() / variance - 1) < 5 * (2 / weight.numel()) ** 0.5, number
        assert not bias.any()


def test_impossible_settings_are_named() -> None:
    for network in (Noise2NoiseUNet, PartialUNet):
        with pytest.raises(ValueError, match=r"method\.features"):
            network(features=4)
    with pytest.raises(ValueError, match=r"method\.ratio"):
        PartialUNet(ratio="none")  # type: ignore[arg-type]
