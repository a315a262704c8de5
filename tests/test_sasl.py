from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from denoisebench.methods.sasl import SASL, stage_of, texture
from denoisebench.networks.lan import LAN
from denoisebench.sampling import random_dihedral
from denoisebench.training.engine import Engine
from denoisebench.training.fit import Course, trained
from test_denoiser import data_for
from test_slow import compute, mean_psnr

PARTS = ("blind", "lan", "network")


def small_model(**options: Any) -> SASL:
    torch.manual_seed(1)
    return SASL(**{"features": 3, **options})


def test_the_default_networks_are_those_of_the_paper() -> None:
    model = SASL()
    counts = [sum(p.numel() for p in getattr(model, part).parameters()) for part in PARTS]
    assert counts == [1_268_547, 94_939, 1_083_747]


def slow_texture(b: Tensor, flat: float, textured: float) -> Tensor:
    n, channels, height, width = b.shape
    a = torch.empty(n, 1, height, width, dtype=b.dtype)

    def reflected(i: int, size: int) -> int:
        return -i if i < 0 else 2 * (size - 1) - i if i >= size else i

    for image in range(n):
        for r in range(height):
            for c in range(width):
                rows = [reflected(r + i, height) for i in range(-3, 4)]
                columns = [reflected(c + j, width) for j in range(-3, 4)]
                values = torch.stack([b[image, :, i, j].sum() / channels for i in rows for j in columns])
                deviation = ((values - values.sum() / 49) ** 2).sum().div(49).sqrt()
                bound = flat if deviation < flat else textured if deviation > textured else deviation
                a[image, 0, r, c] = 1 / (1 + torch.exp(bound - deviation))
    return a


@pytest.mark.parametrize("shape", [(2, 3, 9, 8), (1, 1, 4, 11)])
def test_texture_is_the_slow_one_and_has_its_three_kinds(shape: tuple[int, ...]) -> None:
    b = torch.rand(shape, dtype=torch.float64) * torch.linspace(0.1, 60, shape[-1], dtype=torch.float64)
    got = texture(b, 1.0, 5.0)
    torch.testing.assert_close(got, slow_texture(b, 1.0, 5.0), rtol=1e-9, atol=1e-12)
    assert (got > 0.5).any()
    assert (texture(b / 40, 1.0, 5.0) < 0.5).any()
    assert (texture(b / 10, 0.0, 1e3) == 0.5).all()
    assert texture(torch.full((1, 3, 9, 9), 200.0), 1.0, 5.0).sub(torch.sigmoid(torch.tensor(-1.0))).abs().max() < 1e-4


def slow_loss(model: SASL, noisy: Tensor, stage: int) -> Tensor:
    x = 255 * random_dihedral(noisy)
    b, lan, u = model.blind(x, 9), model.lan(x), model.network(x)
    a = slow_texture(b.detach(), 1.0, 5.0) if stage == 2 else torch.empty(0)
    total = torch.zeros((), dtype=x.dtype)
    for n, ch, r, c in torch.ones_like(x).nonzero().tolist():
        at = (n, ch, r, c)
        if stage == 0:
            total = total + (b[at] - x[at]).abs()
        elif stage == 1:
            total = total + (lan[at] - b[at].detach()).abs()
        else:
            weight = a[n, 0, r, c]
            total = total + ((1 - weight) * (u[at] - b[at].detach())).abs() + (weight * (u[at] - lan[at].detach())).abs()
    return total / x.numel()


@pytest.mark.parametrize(("progress", "stage"), [(0.2, 0), (0.34, 1), (0.9, 2)])
def test_loss_and_gradients_are_those_of_the_slow_loss(progress: float, stage: int) -> None:
    model = small_model().double()
    noisy = torch.rand(2, 3, 8, 7, dtype=torch.float64)
    parameters = list(getattr(model, PARTS[stage]).parameters())
    others = [p for part in PARTS if part != PARTS[stage] for p in getattr(model, part).parameters()]
    torch.manual_seed(2)
    got = model.loss(noisy, progress)
    gradients = torch.autograd.grad(got, [*parameters, *others], allow_unused=True)
    torch.manual_seed(2)
    expected = slow_loss(model, noisy, stage)
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
    assert all(gradient is None for gradient in gradients[len(parameters) :])
    for one, other in zip(gradients, torch.autograd.grad(expected, parameters), strict=False):
        assert one is not None
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * other.abs().max().item())


def state_of(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


def train(folder: Path, fail_at: int | None = None) -> tuple[SASL, list[dict[str, Tensor]]]:
    """Six steps, two for each stage, and the weights of each network before each step."""
    model = small_model()
    states: list[dict[str, Tensor]] = []
    loss: Any = model.loss

    def recorded(noisy: Tensor, progress: float) -> Tensor:
        if len(states) == fail_at:
            raise RuntimeError("killed")
        states.append({part: state_of(getattr(model, part)) for part in PARTS})
        return loss(noisy, progress)

    model.loss = recorded  # type: ignore[method-assign]
    data = data_for(model, steps=6)
    trained(model, data, folder, Course(0, Engine(checkpoint_s=0)))
    states.append({part: state_of(getattr(model, part)) for part in PARTS})
    return model, states


def test_each_stage_trains_one_network_and_leaves_the_others_bit_equal(tmp_path: Path) -> None:
    _, states = train(tmp_path)
    assert len(states) == 7
    for step, (before, after) in enumerate(pairwise(states)):
        changed = [part for part in PARTS if not torch.equal(before[part], after[part])]
        assert changed == [PARTS[step // 2]]


def test_training_resumed_before_at_and_after_a_switch_equals_training_undisturbed(tmp_path: Path) -> None:
    undisturbed, _ = train(tmp_path / "undisturbed")
    expected = undisturbed.state_dict()
    for fail_at in (1, 2, 3, 4):
        with pytest.raises(RuntimeError, match="killed"):
            train(tmp_path / str(fail_at), fail_at)
        resumed, states = train(tmp_path / str(fail_at))
        assert len(states) == 7 - fail_at
        assert all(torch.equal(value, expected[name]) for name, value in resumed.state_dict().items())


def test_stages_and_learning_rates() -> None:
    assert [stage_of(step / 6)[0] for step in range(6)] == [0, 0, 1, 1, 2, 2]
    assert [stage_of(step / 3) for step in range(3)] == [(0, 0.0), (1, 0.0), (2, 0.0)]
    model = small_model()
    assert [model.learning_rate(p) for p in (0, 1 / 3, 2 / 3)] == pytest.approx([3e-4] * 3)
    assert [model.learning_rate(p) for p in (1 / 6, 1 / 2)] == pytest.approx([1.5e-4] * 2)
    assert model.learning_rate(0.33333) < 1e-8


def test_lan_sees_3_by_3_pixels_and_by_its_attention_all() -> None:
    torch.manual_seed(0)
    network = LAN(2, 6).double()
    x = torch.rand(1, 2, 9, 11, dtype=torch.float64, requires_grad=True)

    def seen() -> Tensor:
        return torch.autograd.grad(network(x)[0, :, 4, 5].sum(), x)[0][0].abs().amax(0) > 0

    assert seen().all()
    for module in network.modules():
        if isinstance(module, nn.Sequential) and isinstance(module[-1], nn.Sigmoid):
            for parameter in module.parameters():
                nn.init.zeros_(parameter)
    near = torch.zeros(9, 11, dtype=torch.bool)
    near[3:6, 4:7] = True
    assert torch.equal(seen(), near)


def test_only_the_u_net_denoises_in_0_to_255() -> None:
    model = small_model().double()
    noisy = torch.rand(1, 3, 33, 20, dtype=torch.float64)
    with torch.no_grad():
        for part in ("blind", "lan"):
            for parameter in getattr(model, part).parameters():
                parameter.fill_(torch.nan)
        torch.testing.assert_close(model.denoise(noisy), model.network(255 * noisy) / 255, rtol=0, atol=0)


@pytest.mark.parametrize(("options", "key"), [({"flat": 6.0}, "flat"), ({"flat": -1.0}, "flat")])
def test_impossible_settings_are_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=rf"method\.{key}"):
        SASL(**{"features": 2, **options})


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1500)
def test_it_learns_under_correlated_noise() -> None:
    noisy, learned = compute("method=noisy,sasl", "budget=quick", "noise=camera", "noise.lam=15", "dataset.crop=128")
    assert mean_psnr(learned) > mean_psnr(noisy) + 2.0
