import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.methods.tm_bsn import TMBSN
from denoisebench.networks.skip_unet import SkipUNet
from denoisebench.networks.triangular import TriangularBSN
from denoisebench.sampling import draw_recharged, draw_window_pairs, random_dihedral, recharged, window_pairs
from stages import check_stages
from test_slow import compute, mean_psnr


def small_network(modules: int = 1) -> TriangularBSN:
    return TriangularBSN(2, 6, modules).double()


def small_model(**options: Any) -> TMBSN:
    torch.manual_seed(1)
    model = TMBSN(**{"channels": 2, "features": 3, "modules": 1, "pad": 4, **options}).double()
    with torch.no_grad():  # biases of zero would hide a mistake in them
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.1, 0.1)
    return model


# --- The network -------------------------------------------------------------------------------------------------


def seen(network: TriangularBSN, x: Tensor, hole: int, row: int, column: int) -> Tensor:
    x = x.clone().requires_grad_()
    [gradient] = torch.autograd.grad(network(x, hole)[..., row, column].sum(), x)
    return gradient.abs().sum((0, 1))


@pytest.mark.parametrize(("height", "width"), [(11, 14), (17, 12)])
@pytest.mark.parametrize("hole", [0, 1, 2, 5])
def test_the_network_sees_everything_but_the_diamond(hole: int, height: int, width: int) -> None:
    for row, column in ((height // 2, width // 2), (0, 0), (height - 1, 3), (2, width - 2)):
        answers = torch.zeros(height, width, dtype=torch.float64)
        for seed in range(4):  # a ReLU may hide a pixel of one image
            torch.manual_seed(seed)
            network = small_network()
            answers += seen(network, torch.rand(1, 2, height, width, dtype=torch.float64), hole, row, column)
        rows, columns = torch.arange(height)[:, None], torch.arange(width)
        distance = (rows - row).abs() + (columns - column).abs()
        assert (answers[distance <= hole - 1] == 0).all()
        near = torch.maximum((rows - row).abs(), (columns - column).abs()) <= 13
        assert (answers[(distance > hole - 1) & near] > 0).all()


def test_the_network_reaches_57_pixels_and_the_hole() -> None:
    assert TriangularBSN(3, 2).reach(0) == 57
    network = small_network()
    for hole in (0, 3):
        answers = seen(network, torch.rand(1, 2, 41, 45, dtype=torch.float64), hole, 20, 22)
        rows, columns = answers.nonzero().T
        far = max((rows - 20).abs().max().item(), (columns - 22).abs().max().item())
        assert far == network.reach(hole) == 13 + hole


def test_parameter_counts_are_those_of_the_release() -> None:
    teacher, student = TriangularBSN(), SkipUNet()
    assert sum(p.numel() for p in teacher.parameters()) == 1_350_339
    masked = sum(p[0, 0].numel() // 3 * p.shape[0] * p.shape[1] for p in teacher.parameters() if p.shape[2:] == (3, 3))
    assert 1_350_339 - masked == 962_835
    assert sum(p.numel() for p in student.parameters()) == 1_021_107


def literal_network(network: TriangularBSN, x: Tensor, hole: int) -> Tensor:
    """As released: one batch of four turned squares."""
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    trunk, head = convolutions[:-3], convolutions[-3:]

    def triangular(y: Tensor) -> Tensor:
        layer = trunk.pop(0)
        weight = layer.weight.clone()
        for i in range(3):
            for j in range(3):
                if j < i:
                    weight[:, :, i, j] = 0
        return F.conv2d(y, weight, layer.bias, padding=1)

    n, _, side, _ = x.shape
    h0 = triangular(torch.cat([torch.rot90(x, turn, (3, 2)) for turn in range(4)]))
    y = h0
    while len(trunk) > 1:
        group = y
        for _ in range(5):
            block = y
            y = triangular(F.relu(triangular(y))) + block
        y = triangular(y) + group
    y = triangular(y) + h0
    moved = torch.zeros(4 * n, 2 * y.shape[1], side, side, dtype=x.dtype)
    moved[:, : y.shape[1], hole:] = y[:, :, : side - hole]
    moved[:, y.shape[1] :, :, : side - hole] = y[..., hole:]
    back = [torch.rot90(part, turn, (2, 3)) for turn, part in enumerate(moved.split(n))]
    y = torch.cat(back, 1)
    for layer in head[:-1]:
        y = F.relu(layer(y))
    return head[-1](y)


@pytest.mark.parametrize("hole", [0, 2, 5])
def test_the_network_is_the_literal_one_on_squares(hole: int) -> None:
    network = small_network(2)
    x = torch.rand(2, 2, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(network(x, hole), literal_network(network, x, hole), rtol=0, atol=1e-12)
    torch.testing.assert_close(network.predictions(x, [1, hole])[1], network(x, hole), rtol=0, atol=1e-12)


def test_masked_weights_get_no_gradient() -> None:
    network = TriangularBSN(3, 4, 1)
    network(torch.rand(1, 3, 9, 7), 1).sum().backward()
    triangles = [p.grad for p in network.parameters() if p.shape[2:] == (3, 3)]
    for gradient in triangles:
        assert gradient is not None
        assert gradient.tril(-1).abs().max() == 0
        assert gradient.triu().abs().max() > 0


# --- Pixels rearranged -------------------------------------------------------------------------------------------


def test_the_pairs_of_the_window_are_all_72_of_different_offsets() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    pairs = set()
    for value in range(72):
        h1, h2 = window_pairs(image, torch.full((1, 3, 3), value))
        pairs.add((h1[0, 0, 1, 1].item(), h2[0, 0, 1, 1].item()))
    assert pairs == {(float(i), float(j)) for i in range(9) for j in range(9) if i != j}


def test_the_pairs_are_drawn_uniformly() -> None:
    torch.manual_seed(0)
    draw = draw_window_pairs(torch.empty(2, 3, 240, 300))
    assert draw.shape == (2, 240, 300)
    counts = draw.flatten().bincount(minlength=72)
    assert len(counts) == 72
    assert (counts - 2000).abs().max() < 5 * math.sqrt(2000)


def slow_pairs(x: Tensor, draw: Tensor) -> tuple[Tensor, Tensor]:
    n, _, height, width = x.shape
    offsets = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    pairs = [(first, second) for first in offsets for second in offsets if first != second]
    results = []
    for which in range(2):
        rows = []
        for image in range(n):
            for row in range(height):
                for column in range(width):
                    dy, dx = pairs[int(draw[image, row, column])][which]
                    place = min(max(row + dy, 0), height - 1), min(max(column + dx, 0), width - 1)
                    rows.append(x[image, :, place[0], place[1]])
        results.append(torch.stack(rows).view(n, height, width, -1).permute(0, 3, 1, 2))
    return results[0], results[1]


def slow_recharged(targets: Tensor, x: Tensor, draw: Tensor) -> Tensor:
    result = targets.clone()
    for image in range(x.shape[0]):
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                result[draw[image, row, column], image, :, row, column] = x[image, :, row, column]
    return result


def test_pairs_and_recharging_are_the_slow_ones() -> None:
    x = torch.rand(2, 3, 4, 6)
    draw = draw_window_pairs(x)
    for fast, slow in zip(window_pairs(x, draw), slow_pairs(x, draw), strict=True):
        assert torch.equal(fast, slow)
    targets = torch.rand(5, 2, 3, 4, 6)
    chosen = draw_recharged(targets)
    assert set(chosen.flatten().tolist()) == set(range(5))
    assert torch.equal(recharged(targets, x, chosen), slow_recharged(targets, x, chosen))


# --- Losses ------------------------------------------------------------------------------------------------------


def agree(model: nn.Module, got: Tensor, expected: Tensor, prefix: str) -> None:
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
    names, parameters = zip(*((n, p) for n, p in model.named_parameters() if n.startswith(prefix)), strict=True)
    ours = torch.autograd.grad(got, parameters, retain_graph=True)
    theirs = torch.autograd.grad(expected, parameters)
    for name, one, other in zip(names, ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * other.abs().max().item(), msg=name)
    assert sum(other.abs().max() > 0 for other in theirs) > 0.7 * len(theirs)


def mean_distance(a: Tensor, b: Tensor) -> Tensor:
    total = torch.zeros((), dtype=a.dtype)
    for one, other in zip(a.flatten(), b.flatten(), strict=True):
        total = total + (one - other).abs()
    return total / a.numel()


@pytest.mark.parametrize("value_range", [None, 255])
@pytest.mark.parametrize("apr", [None, 4.0, 1.5])
def test_the_first_stage_is_the_slow_loss(apr: float | None, value_range: int | None) -> None:
    model = small_model(apr=apr, value_range=value_range)
    noisy = torch.rand(2, 2, 5, 6, dtype=torch.float64)
    torch.manual_seed(3)
    got = model.loss(noisy, 0.49)
    torch.manual_seed(3)
    x = (value_range or 1) * random_dihedral(noisy)
    if apr is None:
        expected = mean_distance(model.teacher(x, 5), x)
    else:
        draw = draw_window_pairs(x)
        h1, h2 = slow_pairs(x, draw)
        f_h1 = model.teacher(h1, 5)
        h1_f, h2_f = slow_pairs(model.teacher(x, 5), draw)
        expected = mean_distance(f_h1, h2) + apr * mean_distance(f_h1 - h2, h1_f - h2_f)
    agree(model, got, expected, "teacher.")


@pytest.mark.parametrize("recharge", [False, True])
@pytest.mark.parametrize("holes", [(2, 3, 4, 5, 6), (1,)])
def test_the_second_stage_is_the_slow_loss(recharge: bool, holes: tuple[int, ...]) -> None:
    model = small_model(recharge=recharge, distill_holes=holes)
    noisy = torch.rand(1, 2, 32, 32, dtype=torch.float64)
    torch.manual_seed(4)
    got = model.loss(noisy, 0.5)
    torch.manual_seed(4)
    x = random_dihedral(noisy)
    with torch.no_grad():
        padded = F.pad(x, (4, 4, 4, 4), mode="reflect")
        targets = torch.stack([model.teacher(padded, hole)[..., 4:-4, 4:-4] for hole in holes])
    if recharge:
        targets = slow_recharged(targets, x, draw_recharged(targets))
    assert model.student is not None
    output = model.student(x)
    expected = sum((mean_distance(output, target) for target in targets), torch.zeros((), dtype=x.dtype))
    agree(model, got, expected, "student.")


def test_each_call_of_the_loss_draws_anew() -> None:
    for options, progress in (({"apr": 4.0}, 0.1), ({}, 0.7)):
        model, noisy = small_model(**options), torch.rand(1, 2, 32, 32, dtype=torch.float64)
        assert model.loss(noisy, progress).item() != model.loss(noisy, progress).item()


def test_without_the_second_stage_there_is_no_student() -> None:
    model = small_model(distill=False)
    assert model.student is None
    noisy = torch.rand(1, 2, 6, 6, dtype=torch.float64)
    torch.manual_seed(5)
    late = model.loss(noisy, 0.99)
    torch.manual_seed(5)
    assert late.item() == model.loss(noisy, 0.1).item()


# --- Stages, rates, inference ------------------------------------------------------------------------------------


def test_teacher_and_student_stand_still_in_the_others_stage(tmp_path: Path) -> None:
    check_stages(lambda: TMBSN(features=2, modules=1, lr=1e-3), tmp_path)


def test_learning_rates() -> None:
    model = TMBSN(features=1, modules=0)
    steps = {0: 1e-4, 200_000: 1e-4, 350_000: 0.505e-4, 499_999.9: 1e-6, 500_000: 1e-4, 750_000: 0.5e-4, 999_999.9: 0}
    for step, expected in steps.items():
        assert model.learning_rate(step / 1_000_000) == pytest.approx(expected, rel=1e-4, abs=1e-10), step
    plain = TMBSN(features=1, modules=0, distill=False)
    assert plain.learning_rate(0.7) == pytest.approx(0.505e-4)
    linear = TMBSN(features=1, modules=0, lr_decay="linear")
    assert [linear.learning_rate(p) for p in (0.25, 0.5, 0.75)] == pytest.approx([5e-5, 1e-4, 5e-5])


def test_the_teacher_denoises_within_a_frame_of_reflection_and_by_tiles() -> None:
    model = small_model(distill=False, hole=3).eval()
    noisy = torch.rand(2, 2, 70, 45, dtype=torch.float64)
    with torch.no_grad():
        expected = model.teacher(F.pad(noisy, (4, 4, 4, 4), mode="reflect"), 3)[..., 4:-4, 4:-4]
        torch.testing.assert_close(model.denoise(noisy), expected, rtol=0, atol=1e-12)
        model.tile = 32
        torch.testing.assert_close(model.denoise(noisy), expected, rtol=0, atol=1e-12)


def test_the_student_denoises_alone_in_its_range() -> None:
    model = small_model(value_range=255)
    noisy = torch.rand(2, 2, 32, 64, dtype=torch.float64)
    assert model.student is not None
    with torch.no_grad():
        torch.testing.assert_close(model.denoise(noisy), model.student(255 * noisy) / 255, rtol=0, atol=1e-12)
        before = model.denoise(noisy)
        nn.init.constant_(model.teacher.first.weight, torch.nan)
        assert torch.equal(model.denoise(noisy), before)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"value_range": 2}, "value_range"),
        ({"switch": 1.0}, "switch"),
        ({"hole": -1}, "hole"),
        ({"distill_holes": ()}, "distill"),
    ],
)
def test_impossible_settings_are_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=rf"method\..*{key}"):
        TMBSN(**{"features": 1, "modules": 0, **options})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_stages_learn_real_noise(data_root: Path) -> None:
    root = data_root / "SIDD_val_5"
    own = ("dataset=folder", f"dataset.noisy={root / 'noisy'}", f"dataset.clean={root / 'clean'}", "noise=real")
    [noisy] = compute("method=noisy", *own)
    for cell in compute("method=tm_bsn", "method.distill=true,false", "budget=quick", "training.steps=500", *own):
        assert mean_psnr(cell) > mean_psnr(noisy) + 2.0, cell.label
