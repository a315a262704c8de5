import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from denoisebench.networks.gated_autoencoder import GatedAutoencoder
from denoisebench.sampling import bernoulli_mask


def test_the_default_network_is_that_of_the_paper() -> None:
    assert sum(p.numel() for p in GatedAutoencoder().parameters()) == 1_253_571


def slow(network: GatedAutoencoder, x: Tensor, drop: float) -> Tensor:
    """The network written out, from its parameters in the order in which they are registered."""
    weights = iter(network.parameters())

    def conv(z: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(F.pad(z, (1, 1, 1, 1), mode="reflect"), weight, bias)

    def gated(z: Tensor) -> Tensor:
        both = next(weights), next(weights)
        (feature_weight, gate_weight), (feature_bias, gate_bias) = (part.chunk(2) for part in both)
        return F.leaky_relu(conv(z, feature_weight, feature_bias), 0.2) * torch.sigmoid(conv(z, gate_weight, gate_bias))

    maps = [gated(gated(x))]
    for _ in range(5):
        maps.append(gated(F.max_pool2d(maps[-1], 2)))
    y = maps.pop()
    for skip in reversed(maps):
        y = torch.cat([y.repeat_interleave(2, -1).repeat_interleave(2, -2), skip], dim=1)
        for _ in range(2):
            y = y * bernoulli_mask(y, drop) / (1 - drop)
            y = F.leaky_relu(conv(y, next(weights), next(weights)), 0.2)
    y = conv(y, next(weights), next(weights))
    assert next(weights, None) is None
    return y


@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_network_written_out_and_drops_in_either_mode(training: bool) -> None:
    network = GatedAutoencoder(2, 4, 3, 0.3, "he").double().train(training)
    x = torch.rand(2, 4, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        torch.manual_seed(1)
        got, again = network(x), network(x)
        torch.manual_seed(1)
        expected = slow(network, x, 0.3)
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-12)
    assert not torch.equal(got, again)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (33, 70), (64, 65)])
def test_any_size_is_reflected_to_multiples_of_32_and_64_at_least(height: int, width: int) -> None:
    network = GatedAutoencoder(1, 1, 2, 0.4, "he").double()
    x = torch.rand(1, 1, height, width, dtype=torch.float64)
    torch.manual_seed(2)
    got = network(x)
    assert got.shape == (1, 1, height, width)
    bottom, right = (max(64, -(-side // 32) * 32) - side for side in (height, width))
    if bottom < height and right < width:
        torch.manual_seed(2)
        padded = network(F.pad(x, (0, right, 0, bottom), mode="reflect"))
        assert torch.equal(got, padded[..., :height, :width])


@pytest.mark.parametrize("init", ["released", "he"])
def test_weights_start_normal_and_biases_at_zero(init: str) -> None:
    network = GatedAutoencoder(init=init)  # type: ignore[arg-type]
    first = next(network.parameters()).detach().clone()
    for name, parameter in network.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == 0).all(), name
            continue
        std = 0.02 if init == "released" else (2 / 1.04 / parameter[0].numel()) ** 0.5
        assert abs(parameter.std().item() / std - 1) < 5 / (2 * parameter.numel()) ** 0.5, name
    network.reset()
    assert not torch.equal(next(network.parameters()), first)


def test_impossible_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"method\.features"):
        GatedAutoencoder(features=0)
    with pytest.raises(ValueError, match=r"method\.init"):
        GatedAutoencoder(init="zeros")  # type: ignore[arg-type]
