from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from denoisebench.config import compose_one
from denoisebench.methods.at_bsn import ATBSN
from denoisebench.networks.laine_unet import LaineUNet
from denoisebench.networks.skip_unet import SkipUNet
from denoisebench.sampling import draw_recharged, draw_window_pairs, random_dihedral
from stages import check_stages
from test_slow import compute, mean_psnr
from test_tm_bsn import agree, mean_distance, slow_pairs, slow_recharged


def small_model(**options: Any) -> ATBSN:
    torch.manual_seed(1)
    model = ATBSN(**{"channels": 2, "features": 2, **options}).double()
    with torch.no_grad():  # biases of zero would hide a mistake in them
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.1, 0.1)
    return model


# --- The blind spot ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(32, 64), (37, 30)])
def test_the_teacher_sees_its_surroundings_but_not_the_square(height: int, width: int) -> None:
    """Zeros within the square; that it ends there, over several images and places: max-pooling hides pixels of each."""
    windows = {hole: torch.zeros(hole + 2, hole + 2, dtype=torch.bool) for hole in (0, 1, 3, 5, 9)}
    for place in range(16):
        torch.manual_seed(place)
        teacher = small_model(features=4).teacher.train()
        row, column = 13 + place % 4, 14 + place // 4
        x = torch.rand(2, 2, height, width, dtype=torch.float64, requires_grad=True)
        views = teacher.trunk(x)
        for hole, window in windows.items():
            output = teacher.at_hole(views, hole)[..., row, column].sum()
            [gradient] = torch.autograd.grad(output, x, retain_graph=True)
            answers, half = gradient.abs().sum((0, 1)), (hole + 2) // 2
            window |= answers[row - half :, column - half :][: hole + 2, : hole + 2] > 0
    for hole, window in windows.items():
        expected = torch.ones_like(window)
        if hole:
            expected[1:-1, 1:-1] = False
        assert torch.equal(window, expected), hole


def test_parameter_counts_are_those_of_the_release() -> None:
    def count(network: nn.Module | None) -> int:
        assert network is not None
        return sum(p.numel() for p in network.parameters())

    model = ATBSN()
    assert count(model.teacher) == 1_268_547
    assert count(model.student) == 1_003_011
    assert count(ATBSN(student="tm_bsn").student) == 1_021_107


# --- Losses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "value_range"), [({}, 255), ({"value_range": 1}, 1), ({"apr": 4.0}, 255)])
def test_the_first_stage_is_the_slow_loss(options: dict[str, Any], value_range: int) -> None:
    model = small_model(**options)
    noisy = torch.rand(1, 2, 32, 32, dtype=torch.float64)
    torch.manual_seed(3)
    got = model.loss(noisy, 0.79)
    torch.manual_seed(3)
    x = value_range * random_dihedral(noisy)
    if "apr" not in options:
        expected = mean_distance(model.teacher(x, 9), x)
    else:
        draw = draw_window_pairs(x)
        h1, h2 = slow_pairs(x, draw)
        f_h1 = model.teacher(h1, 9)
        h1_f, h2_f = slow_pairs(model.teacher(x, 9), draw)
        expected = mean_distance(f_h1, h2) + 4 * mean_distance(f_h1 - h2, h1_f - h2_f)
    agree(model, got, expected, "teacher.")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pad": 16, "recharge": True, "distill_holes": (0, 1, 3), "value_range": 1},
        {"student": "tm_bsn"},
        {"student_activation": False},
    ],
)
def test_the_second_stage_is_the_slow_loss(options: dict[str, Any]) -> None:
    model = small_model(distill_patch=32, **options)
    noisy = torch.rand(1, 2, 34, 36, dtype=torch.float64)
    torch.manual_seed(4)
    got = model.loss(noisy, 0.8)
    torch.manual_seed(4)
    x = (options.get("value_range") or 255) * random_dihedral(noisy)[..., 1:33, 2:34]
    pad, holes = options.get("pad", 0), options.get("distill_holes", (0, 1, 3, 5, 7, 9, 11))
    with torch.no_grad():
        padded = F.pad(x, (pad, pad, pad, pad), mode="reflect")
        targets = torch.stack([model.teacher(padded, k)[..., pad : pad + 32, pad : pad + 32] for k in holes])
    if "recharge" in options:
        targets = slow_recharged(targets, x, draw_recharged(targets))
    assert model.student is not None
    output = model.student(x)
    expected = sum((mean_distance(output, target) for target in targets), torch.zeros((), dtype=x.dtype))
    agree(model, got, expected, "student.")


# --- Stages ------------------------------------------------------------------------------------------------------


def test_teacher_and_student_stand_still_in_the_others_stage(tmp_path: Path) -> None:
    states = check_stages(lambda: ATBSN(features=2, switch=0.5, lr=1e-5), tmp_path)
    assert [bool(state["student_started"]) for state in states] == [False] * 4 + [True] * 3
    for name, teacher in states[3].items():
        if name.startswith("teacher.unet.") and not name.startswith("teacher.unet.decoder.4."):
            student = name.replace("teacher.unet.", "student.trunk.")
            assert (states[4][student] - teacher).abs().max() < 2e-5, "the student's first step starts from the teacher"
            if teacher.ndim > 1:
                assert (states[3][student] - teacher).abs().max() > 1e-2


def test_the_student_takes_over_the_teachers_trunk_once_but_for_the_last_block() -> None:
    model = small_model()
    assert isinstance(model.student, LaineUNet)
    own = {name: tensor.clone() for name, tensor in model.student.trunk.state_dict().items()}
    model.loss(torch.rand(1, 2, 32, 32, dtype=torch.float64), 0.5)
    assert not model.student_started
    model.loss(torch.rand(1, 2, 32, 32, dtype=torch.float64), 0.9)
    assert model.student_started
    for name, tensor in model.student.trunk.state_dict().items():
        expected = own if name.startswith("decoder.4.") else model.teacher.unet.state_dict()
        assert torch.equal(tensor, expected[name]), name
    resumed = small_model()
    resumed.load_state_dict(model.state_dict())
    for parameter in resumed.student.parameters() if resumed.student else ():
        nn.init.constant_(parameter, 0.5)
    resumed.loss(torch.rand(1, 2, 32, 32, dtype=torch.float64), 0.9)
    assert resumed.student is not None
    assert all((parameter == 0.5).all() for parameter in resumed.student.parameters())


def test_the_other_student_starts_from_its_own_weights() -> None:
    model = small_model(student="tm_bsn")
    assert isinstance(model.student, SkipUNet)
    own = {name: tensor.clone() for name, tensor in model.student.state_dict().items()}
    model.loss(torch.rand(1, 2, 32, 32, dtype=torch.float64), 0.9)
    assert model.student_started
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.student.state_dict().items())


def test_learning_rates() -> None:
    model = ATBSN(features=1)
    steps = {0: 3e-4, 200_000: 1.5e-4, 399_999.9: 0, 400_000: 3e-4, 450_000: 1.5e-4, 499_999.9: 0}
    for step, expected in steps.items():
        assert model.learning_rate(step / 500_000) == pytest.approx(expected, rel=1e-6, abs=1e-9), step
    assert ATBSN(features=1, distill=False).learning_rate(0.5) == pytest.approx(1.5e-4)
    linear = ATBSN(features=1, lr_decay="linear")
    assert [linear.learning_rate(p) for p in (0.2, 0.8, 0.9)] == pytest.approx([2.25e-4, 3e-4, 1.5e-4])


@pytest.mark.parametrize("method", ["at_bsn", "tm_bsn"])
def test_without_distillation_the_published_length_is_that_of_the_first_stage(method: str) -> None:
    plain, distilled = (compose_one([f"method={method}", f"method.distill={flag}"]).plain for flag in ("false", "true"))
    assert plain["training"]["steps"] == distilled["method"]["switch"] * distilled["training"]["steps"]


# --- Inference ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad", [0, 16])
def test_the_teacher_denoises_by_tiles_as_the_whole(pad: int) -> None:
    model = small_model(distill=False, pad=pad, hole=1).eval()
    noisy = torch.rand(1, 2, 650, 70, dtype=torch.float64)
    with torch.no_grad():
        padded = F.pad(255 * noisy, (pad, pad, pad, pad), mode="reflect")
        expected = model.teacher(padded, 1)[..., pad : pad + 650, pad : pad + 70] / 255
        torch.testing.assert_close(model.denoise(noisy), expected, rtol=0, atol=1e-12)
        model.tile = 128
        torch.testing.assert_close(model.denoise(noisy), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("student", ["at_bsn", "tm_bsn"])
def test_the_student_denoises_alone_in_its_range(student: Any) -> None:
    model = small_model(student=student)
    noisy = torch.rand(2, 2, 32, 64, dtype=torch.float64)
    assert model.student is not None
    with torch.no_grad():
        before = model.denoise(noisy)
        torch.testing.assert_close(before, model.student(255 * noisy) / 255, rtol=0, atol=1e-12)
        for parameter in model.teacher.parameters():
            parameter.fill_(torch.nan)
        assert torch.equal(model.denoise(noisy), before)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"value_range": 2}, "value_range"), ({"switch": 1.0}, "switch"), ({"hole": 4}, "hole"),
        ({"distill_holes": (3, 2)}, "hole"), ({"distill_holes": ()}, "distill_holes"),
        ({"student": "a"}, "student"), ({"distill_patch": 0}, "distill_patch"),
    ],
)  # fmt: skip
def test_impossible_settings_are_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=rf"method\..*{key}"):
        ATBSN(**{"features": 1, **options})


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("distill", ["true", pytest.param("false", marks=pytest.mark.long)])
def test_it_learns_real_noise(data_root: Path, distill: str) -> None:
    root = data_root / "SIDD_val_5"
    own = ("dataset=folder", f"dataset.noisy={root / 'noisy'}", f"dataset.clean={root / 'clean'}", "noise=real")
    [noisy] = compute("method=noisy", *own)
    [learned] = compute("method=at_bsn", f"method.distill={distill}", "budget=quick", *own)
    assert mean_psnr(learned) > mean_psnr(noisy) + 2.0, learned.label
