from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoisebench.networks.dbsn import DBSN

PLACES = [(7, 8), (0, 0), (14, 3), (0, 16), (5, 1)]


def small(*, positive: bool = True, **options: Any) -> DBSN:
    """Positive weights leave no ReLU dead and nothing to cancel: a Jacobian of zero is then a path that is not there."""
    torch.manual_seed(3)
    network = DBSN(**{"channels": 2, "features": 6, "modules": 2, **options}).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(0.01, 0.1) if positive or parameter.ndim == 1 else parameter.normal_(std=0.3)
    return network


def jacobian(network: DBSN, place: tuple[int, int], **options: Any) -> Tensor:
    """(C, C, H, W): how the output at `place` depends on every input pixel."""
    torch.manual_seed(4)
    x = torch.rand(1, 2, 15, 17, dtype=torch.float64, requires_grad=True)
    output = network(x, **options)[0, :, place[0], place[1]]
    return torch.stack([torch.autograd.grad(value, x, retain_graph=True)[0][0] for value in output])


def trained(network: DBSN) -> DBSN:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for step in range(4):
        x = torch.rand(2, 2, 9, 9, dtype=torch.float64)
        optimizer.zero_grad()
        (network(x, blind=step % 2 == 0) - x).square().mean().backward()
        optimizer.step()
    return network


def reloaded(network: DBSN, folder: Path) -> DBSN:
    torch.save(network.state_dict(), folder / "weights.pt")
    other = small()
    other.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return other


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("history", ["fresh", "trained", "reloaded"])
def test_blind_it_does_not_see_the_pixel_and_unblind_it_does(place: tuple[int, int], history: str, tmp_path: Path) -> None:
    network = small()
    if history != "fresh":
        network = trained(network)
    if history == "reloaded":
        network = reloaded(network, tmp_path)
    row, column = place
    blind, unblind = jacobian(network, place), jacobian(network, place, blind=False)
    assert (blind[..., row, column] == 0).all()
    assert blind.abs().amax(dim=(-2, -1)).min() > 0  # yet it sees others
    assert unblind[..., row, column].abs().min() > 0


def test_its_two_branches_see_what_their_dilations_reach_and_never_the_centre() -> None:
    seen = (jacobian(small(), (7, 8)).abs().amax(dim=(0, 1)) > 0).nonzero()
    offsets = {(int(row) - 7, int(column) - 8) for row, column in seen}
    expected = set()
    for dilation in (2, 3):
        near = range(1 - dilation, dilation)
        starts = {(a, b) for a in near for b in near} - {(0, 0)}
        far = [dilation * k for k in range(-2, 3)]  # two modules
        expected |= {(a + p, b + q) for a, b in starts for p in far for q in far}
    assert (0, 0) not in expected
    assert offsets == {(a, b) for a, b in expected if -7 <= a <= 7 and -8 <= b <= 8}


def test_training_blind_leaves_the_centre_weights_alone() -> None:
    network = small()
    masked = [p for name, p in network.named_parameters() if name.endswith("masked.weight")]
    before = [weight.detach().clone() for weight in masked]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(torch.rand(1, 2, 9, 9, dtype=torch.float64)).square().mean().backward()
    optimizer.step()
    assert [weight.shape[-1] for weight in masked] == [3, 5]
    for new, old in zip(masked, before, strict=True):
        centre = new.shape[-1] // 2
        assert torch.equal(new[..., centre, centre], old[..., centre, centre])
        assert (old[..., centre, centre] != 0).all()
        assert not torch.equal(new, old)


def test_the_mask_is_no_parameter_and_not_saved() -> None:
    network = DBSN(features=4, modules=1)
    assert not [name for name in network.state_dict() if "mask" in name.split(".")]
    assert network.state_dict().keys() == dict(network.named_parameters()).keys()


@pytest.mark.parametrize("options", [{}, {"module_relu": True, "tail_features": 64, "init": "he"}])
def test_the_default_network_is_that_of_the_papers(options: dict[str, Any]) -> None:
    assert sum(p.numel() for p in DBSN(**options).parameters()) == 3_656_131


def slow(network: DBSN, x: Tensor, *, relu: bool, blind: bool) -> Tensor:
    """The network of methods.md from its parameters alone, taken in the order in which they are registered."""
    weights = iter(network.parameters())

    def conv(z: Tensor, dilation: int = 1, centre: bool = True) -> Tensor:
        weight, bias = next(weights).clone(), next(weights)
        middle = weight.shape[-1] // 2
        if not centre:
            weight[..., middle, middle] = 0
        return F.conv2d(z, weight, bias, padding=dilation * middle, dilation=dilation)

    head = conv(x).relu()
    branches = []
    for dilation in (2, 3):
        z = conv(head, centre=not blind).relu()
        z = conv(conv(z).relu()).relu()
        for _ in range(2):
            y = conv(conv(z, dilation).relu())
            z = z + (y.relu() if relu else y)
        branches.append(conv(z).relu())
    y = conv(torch.cat(branches, dim=1)).relu()
    y = conv(conv(conv(y).relu()).relu())
    assert next(weights, None) is None
    return y


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("blind", [False, True])
def test_it_is_the_network_written_out_with_parameters_in_forward_order(relu: bool, blind: bool) -> None:
    network = small(positive=False, module_relu=relu, tail_features=5)
    x = torch.rand(2, 2, 11, 9, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x, blind=blind), slow(network, x, relu=relu, blind=blind), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 2), (13, 8)])
def test_any_size_is_kept(size: tuple[int, int]) -> None:
    assert DBSN(features=4, modules=1)(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_he_weights_have_the_std_of_their_fan_in() -> None:
    network = DBSN(modules=2, init="he")
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        assert module.bias is not None
        assert (module.bias == 0).all()
        scaled = module.weight.detach() / (2 / module.weight[0].numel()) ** 0.5
        assert abs(scaled.std().item() - 1) < 6 / scaled.numel() ** 0.5, name
        cut = 2 / 0.8796 + 1e-3
        if name.endswith("masked"):
            assert scaled.abs().max() > cut + 0.5
        else:
            assert scaled.abs().max() <= cut


def test_impossible_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"method\.features"):
        DBSN(features=0)
    with pytest.raises(ValueError, match=r"method\.init"):
        DBSN(init="zeros")  # type: ignore[arg-type]
