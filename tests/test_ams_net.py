from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from denoisebench.methods import ams_net
from denoisebench.methods.ams_net import AMSNet
from denoisebench.sampling import random_dihedral
from test_slow import compute, mean_psnr


def small_model(**options: Any) -> AMSNet:
    torch.manual_seed(1)
    return AMSNet(**{"features": 2, "init_gain": 1.0, **options}).double()


class Recorded(nn.Module):
    """Returns `answer`, or else its input, and keeps what it was given."""

    def __init__(self, answer: Tensor | None = None) -> None:
        super().__init__()
        self.answer = answer
        self.inputs: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.inputs.append(x)
        return x if self.answer is None else self.answer


def recording(model: AMSNet, answer: Tensor | None = None) -> Recorded:
    recorded = Recorded(answer)
    model.network = recorded  # type: ignore[assignment]
    return recorded


def slow_loss(model: AMSNet, noisy: Tensor) -> Tensor:
    """Cell by cell, pixel by pixel, with the same draws."""
    side = model.pd_train
    x = random_dihedral(noisy)
    rows, columns = x.shape[-2] // side, x.shape[-1] // side
    y = torch.empty(len(x) * side * side, x.shape[1], rows, columns, dtype=x.dtype)
    for image in range(len(x)):
        for i in range(side):
            for j in range(side):
                for r in range(rows):
                    for c in range(columns):
                        y[image * side * side + i * side + j, :, r, c] = x[image, :, side * r + i, side * c + j]
    coins = torch.rand(len(y), 1, rows, columns, dtype=x.dtype) < 0.5
    y0 = y.clone()
    y0[coins.expand_as(y)] = 0
    f = model.network(y0)
    errors = [
        (f[n, ch, r, c] - y[n, ch, r, c]).abs() for n, _, r, c in coins.nonzero().tolist() for ch in range(y.shape[1])
    ]  # fmt: skip
    return torch.stack(errors).sum() / len(errors)


@pytest.mark.parametrize(
    ("options", "shape"), [({}, (2, 3, 10, 10)), ({"channels": 1}, (1, 1, 11, 13)), ({"pd_train": 2}, (2, 3, 8, 9))]
)
def test_loss_and_gradients_are_those_of_the_slow_loss(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = small_model(**options)
    parameters = list(model.parameters())
    noisy = torch.rand(shape, dtype=torch.float64)
    torch.manual_seed(2)
    got = model.loss(noisy, 0.3)
    got_gradients = torch.autograd.grad(got, parameters)
    torch.manual_seed(2)
    expected = slow_loss(model, noisy)
    expected_gradients = torch.autograd.grad(expected, parameters)
    assert got.item() == pytest.approx(expected.item(), rel=1e-9)
    for one, other in zip(got_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9 * other.abs().max().item())


def test_the_loss_ignores_what_the_network_makes_of_visible_pixels() -> None:
    model = small_model()
    answer = torch.full((25, 3, 8, 8), 2.0, dtype=torch.float64, requires_grad=True)
    recorded = recording(model, answer)
    model.loss(torch.rand(1, 3, 40, 40, dtype=torch.float64) + 0.1, 0).backward()
    [given] = recorded.inputs
    assert answer.grad is not None
    assert torch.equal(answer.grad != 0, given == 0)
    assert 0.4 < (given == 0).double().mean() < 0.6
    assert torch.equal(given[:, 0] == 0, given[:, 1] == 0)  # a pixel is masked in all its channels


def test_sub_images_without_masked_pixels_have_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ams_net, "draw_mask", lambda x: torch.zeros_like(x[:, :1], dtype=torch.bool))
    assert small_model().loss(torch.rand(1, 3, 5, 5, dtype=torch.float64), 0).item() == 0


def test_the_two_passes_have_complementary_masks_new_at_each_call() -> None:
    model = small_model()
    recorded = recording(model)
    x = torch.rand(2, 3, 20, 15, dtype=torch.float64) + 0.1
    assert torch.equal(model.in_two_passes(x), torch.zeros_like(x))  # each pixel comes from where it was masked
    model.in_two_passes(x)
    zero = [given == 0 for given in recorded.inputs]
    for first, second in (zero[:2], zero[2:]):
        assert torch.equal(first, ~second)
    for given, masked in zip(recorded.inputs, zero, strict=True):
        assert torch.equal(given[~masked], x[~masked])
    assert not torch.equal(zero[0], zero[2])
    assert not torch.equal(zero[0][0], zero[0][1])


def test_no_pixel_is_predicted_from_itself() -> None:
    model = small_model()
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(5)
    output = model.in_two_passes(x)
    for row, column in [(0, 0), (7, 8), (16, 31), (20, 3), (31, 31), (11, 12)]:
        answers = [torch.autograd.grad(v, x, retain_graph=True)[0][0].abs() for v in output[0, :, row, column]]
        gradient = torch.stack(answers).amax(0)
        assert (gradient[:, row, column] == 0).all()
        assert gradient.max() > 0


def slow_denoise(model: AMSNet, noisy: Tensor) -> Tensor:
    def two_passes(y: Tensor) -> Tensor:
        masked = (torch.rand(len(y), 1, *y.shape[-2:], dtype=y.dtype) < 0.5).expand_as(y)
        outputs = [model.network(torch.where(m, torch.zeros_like(y), y)) for m in (masked, ~masked)]
        return torch.where(masked, *outputs)

    height, width = noisy.shape[-2:]
    x = F.pad(noisy, (0, width % 2, 0, height % 2), mode="reflect")
    y = two_passes(torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]))
    denoised = torch.empty_like(x)
    for k in range(4):
        denoised[:, :, k // 2 :: 2, k % 2 :: 2] = y[k]
    if model.refine:
        mixed = (torch.where(torch.rand(1, 1, *x.shape[-2:], dtype=x.dtype) < 0.16, x, denoised) for _ in range(8))
        denoised = torch.stack([two_passes(m) for m in mixed]).mean(0)
    return denoised[..., :height, :width]


@pytest.mark.parametrize("refine", [False, True])
@pytest.mark.parametrize(("height", "width"), [(8, 6), (7, 10), (9, 5)])
def test_denoising_is_the_published_order_at_even_and_odd_sizes(height: int, width: int, refine: bool) -> None:
    model = small_model(refine=refine)
    noisy = 2 * torch.rand(1, 3, height, width, dtype=torch.float64) - 0.5
    with torch.no_grad():
        torch.manual_seed(3)
        got = model.denoise(noisy)
        torch.manual_seed(3)
        torch.testing.assert_close(got, slow_denoise(model, noisy), rtol=1e-9, atol=1e-12)
        assert not torch.equal(model.denoise(noisy), got)


def test_refinement_puts_back_a_sixth_of_the_pixels_anew_each_time() -> None:
    model = small_model()
    mixtures: list[Tensor] = []
    model.in_two_passes = lambda x: mixtures.append(x) or x  # type: ignore[method-assign,assignment,func-returns-value]
    refined = model.refined(torch.ones(1, 3, 100, 100), torch.zeros(1, 3, 100, 100))
    assert len(mixtures) == 8
    share = torch.stack(mixtures).mean(dim=(1, 2, 3, 4))
    assert (share - 0.16).abs().max() < 5 * (0.16 * 0.84 / 10_000) ** 0.5
    assert len({tuple(m.flatten().tolist()) for m in mixtures}) == 8
    assert torch.equal(mixtures[0][:, 0], mixtures[0][:, 1])  # all channels
    torch.testing.assert_close(refined, torch.stack(mixtures).mean(0))


def test_the_default_network_is_that_of_the_paper() -> None:
    assert sum(p.numel() for p in AMSNet().parameters()) == 7_935_555


def test_learning_rates() -> None:
    model = AMSNet(features=2)
    assert [model.learning_rate(p) for p in (0, 0.5, 0.99)] == [1e-4] * 3
    assert AMSNet(features=2, lr_decay="linear").learning_rate(0.75) == pytest.approx(2.5e-5)


def test_impossible_settings_and_patches_are_named() -> None:
    with pytest.raises(ValueError, match=r"method\.pd_train"):
        AMSNet(pd_train=0)
    with pytest.raises(ValueError, match=r"training\.patch"):
        small_model().loss(torch.rand(1, 3, 4, 4, dtype=torch.float64), 0)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_it_learns_under_correlated_noise() -> None:
    own = ("budget=quick", "training.steps=120", "noise=camera", "noise.lam=15", "dataset.crop=128")
    noisy, learned = compute("method=noisy,ams_net", *own)
    assert mean_psnr(learned) > mean_psnr(noisy) + 1.5
