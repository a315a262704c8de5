import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from denoisebench.networks.skip_net import SkipNet


@pytest.mark.parametrize(("features", "parameters"), [(128, 2_217_831), (64, 572_455), (32, 152_199)])
def test_parameters_are_those_of_the_released_code(features: int, parameters: int) -> None:
    assert sum(p.numel() for p in SkipNet(features=features).parameters()) == parameters


def written_out(network: SkipNet, x: Tensor) -> Tensor:
    """The network from its parameters in the order in which they are registered, for sides of any parity."""
    names = dict(network.named_parameters())
    taken: set[str] = set()

    def take(prefix: str) -> tuple[Tensor, Tensor]:
        taken.update((f"{prefix}.weight", f"{prefix}.bias"))
        return names[f"{prefix}.weight"], names[f"{prefix}.bias"]

    def norm(z: Tensor, prefix: str) -> Tensor:
        weight, bias = take(prefix)
        mean, variance = z.mean((0, 2, 3), keepdim=True), z.var((0, 2, 3), keepdim=True, unbiased=False)
        return (z - mean) / (variance + 1e-5).sqrt() * weight[:, None, None] + bias[:, None, None]

    def layer(z: Tensor, prefix: str, stride: int = 1) -> Tensor:
        weight, bias = take(f"{prefix}.0")
        if weight.shape[-1] == 3:
            z = F.pad(z, (1, 1, 1, 1), mode="reflect")
        return F.leaky_relu(norm(F.conv2d(z, weight, bias, stride), f"{prefix}.1"), 0.2)

    def scale(z: Tensor, prefix: str, depth: int) -> Tensor:
        skip = layer(z, f"{prefix}.skip")
        deep = layer(layer(z, f"{prefix}.down.0", 2), f"{prefix}.down.1")
        if depth < 4:
            deep = scale(deep, f"{prefix}.inner", depth + 1)
        deep = F.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
        # ceil(h / 2) doubled exceeds h by one at most, and half of one, rounded down, is nothing: the crop is at the end.
        deep = deep[..., : skip.shape[-2], : skip.shape[-1]]
        y = norm(torch.cat([skip, deep], dim=1), f"{prefix}.joined.0")
        return layer(layer(y, f"{prefix}.joined.1"), f"{prefix}.joined.2")

    y = torch.sigmoid(F.conv2d(scale(x, "body", 0), *take("head")))
    assert taken == set(names)
    return y


@pytest.mark.parametrize("size", [(64, 96), (33, 47)])
@pytest.mark.parametrize("training", [True, False])
def test_it_is_the_network_written_out_in_either_mode(size: tuple[int, int], training: bool) -> None:
    network = SkipNet(2, 5, 3).double().train(training)
    x = torch.rand(1, 5, *size, dtype=torch.float64)
    got = network(x)
    assert got.shape == (1, 2, *size)
    torch.testing.assert_close(got, written_out(network, x), rtol=1e-9, atol=1e-12)


def test_weights_are_drawn_anew_as_pytorch_does() -> None:
    network = SkipNet(3, 5, 4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)
    torch.manual_seed(3)
    network.reset()
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    drawn = network.head.weight.clone()
    network.reset()
    assert not torch.equal(network.head.weight, drawn)
    with pytest.raises(ValueError, match=r"method\.features"):
        SkipNet(features=0)
