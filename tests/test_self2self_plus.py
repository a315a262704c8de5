import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from denoisebench.methods.self2self_plus import Self2SelfPlus
from denoisebench.sampling import bernoulli_mask
from denoisebench.seeding import isolated_rng


def small_model(**options: Any) -> Self2SelfPlus:
    torch.manual_seed(1)
    return Self2SelfPlus(**{"features": 3, "init": "he", "steps": 2, "passes": 3, "iqa": None, **options})


def slow_loss(model: Self2SelfPlus, noisy: Tensor) -> Tensor:
    """Value by value, from the draws in their order: the mask, then whatever the network drops."""
    kept = bernoulli_mask(noisy, model.drop)
    masked = noisy.clone()
    masked[~kept] = 0
    output = model.network(torch.cat([kept.to(noisy.dtype), masked], dim=1))
    total, count = torch.zeros((), dtype=noisy.dtype), 0
    for value, truth, keep in zip(output.flatten(), noisy.flatten(), kept.flatten(), strict=True):
        if not keep:
            total, count = total + (value - truth).abs(), count + 1
    return total / count


@pytest.mark.parametrize(("drop", "size", "channels"), [(0.4, (9, 7), 3), (0.9, (12, 12), 3), (0.5, (6, 6), 1)])
def test_loss_and_gradients_are_those_of_the_slow_loss(drop: float, size: tuple[int, int], channels: int) -> None:
    model = small_model(drop=drop, channels=channels).double()
    noisy = torch.rand(1, channels, *size, dtype=torch.float64)
    parameters = list(model.parameters())
    torch.manual_seed(2)
    got = model.loss(noisy, 0.0)
    got_gradients = torch.autograd.grad(got, parameters)
    torch.manual_seed(2)
    expected = slow_loss(model, noisy)
    expected_gradients = torch.autograd.grad(expected, parameters)
    assert got.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, other in zip(got_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6 * other.abs().max().item())


def test_masks_drop_values_of_pixels_and_channels_apart() -> None:
    mask, _ = small_model(drop=0.3).masked_pass(torch.rand(1, 3, 64, 64))
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert abs(mask.mean().item() - 0.7) < 5 * (0.21 / mask.numel()) ** 0.5
    both = (mask[:, 0] * mask[:, 1]).mean().item()
    assert abs(both - 0.49) < 5 * (0.25 / 4096) ** 0.5


def test_the_network_sees_kept_values_only_and_the_loss_dropped_ones_only() -> None:
    model = small_model().double()
    noisy = torch.rand(1, 3, 20, 70, dtype=torch.float64)
    torch.manual_seed(3)
    mask, output = model.masked_pass(noisy)
    spoiled = torch.where(mask == 0, noisy + 5, noisy)
    torch.manual_seed(3)
    again, other = model.masked_pass(spoiled)
    assert torch.equal(mask, again)
    assert torch.equal(output, other)  # although the border is reflected
    fixed: list[Tensor] = [mask, output]
    model.masked_pass = lambda noisy: (fixed[0], fixed[1])  # type: ignore[method-assign,assignment]
    loss = model.loss(noisy, 0.0)
    assert torch.equal(model.loss(torch.where(mask == 1, noisy + 5, noisy), 0.0), loss)
    assert model.loss(spoiled, 0.0) != loss


def test_bf16_learns_from_one_image_as_float32_does() -> None:
    torch.manual_seed(4)
    noisy = torch.linspace(0, 1, 64).expand(1, 3, 64, 64) + 0.1 * torch.randn(1, 3, 64, 64)
    losses: dict[bool, list[float]] = {False: [], True: []}
    for low, seen in losses.items():
        model = small_model(steps=100, passes=1, lr=3e-3)
        model.on_image_step = lambda step, loss, seen=seen: seen.append(loss)
        torch.manual_seed(5)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            model.denoise(noisy)
    assert losses[False][-1] < 0.75 * losses[False][0]
    assert losses[True] == pytest.approx(losses[False], rel=0.05)


def test_a_pixel_of_which_nothing_is_dropped_gives_no_loss() -> None:
    model = small_model(drop=1e-6)
    assert model.loss(torch.rand(1, 3, 1, 1), 0.0).item() == 0


@pytest.mark.parametrize(("size", "batches"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (8, [5])])
def test_the_result_is_the_mean_of_passes_with_masks_of_their_own(size: int, batches: list[int]) -> None:
    model = small_model(passes=5, passes_per_batch=size)
    noisy = torch.rand(1, 3, 10, 12)
    outputs: list[Tensor] = []
    masks: list[Tensor] = []
    inner = model.masked_pass

    def recorded(noisy: Tensor) -> tuple[Tensor, Tensor]:
        mask, output = inner(noisy)
        masks.append(mask)
        outputs.append(output)
        return mask, output

    model.masked_pass = recorded  # type: ignore[method-assign]
    with torch.no_grad():
        result = model.predict(noisy)
    assert [len(output) for output in outputs] == batches
    torch.testing.assert_close(result, torch.cat(outputs).mean(0, keepdim=True))
    assert len({tuple(mask.flatten().tolist()) for mask in torch.cat(masks)}) == 5


def test_passes_at_a_time_shrink_with_the_image() -> None:
    model = small_model()
    assert model._passes_at_once(torch.empty(1, 3, 32, 32)) > model._passes_at_once(torch.empty(1, 3, 96, 96)) >= 1
    assert model._passes_at_once(torch.empty(1, 3, 4000, 4000, device="meta")) == 1


def test_learning_rates() -> None:
    assert Self2SelfPlus(features=2).learning_rate(0.99) == 4e-4
    assert Self2SelfPlus(features=2, lr_decay="linear").learning_rate(0.75) == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"drop": 0.0}, "method.drop"),
        ({"drop": 1.0}, "method.drop"),
        ({"passes": 0}, "method.passes"),
        ({"passes_per_batch": 0}, "method.passes_per_batch"),
        ({"steps": -1}, "method.steps"),
        ({"iqa": "paq2piq", "channels": 1}, "method.iqa=null"),
    ],
)
def test_impossible_settings_are_named(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=key):
        Self2SelfPlus(**{"features": 2, **options})


# --- What the harness is told of each image ----------------------------------------------------------------------


def test_progress_is_told_every_fifty_steps_and_at_the_end_with_the_mean_loss() -> None:
    model = small_model(steps=120)
    told: list[tuple[int, float]] = []
    losses: list[float] = []
    rates: list[float] = []
    inner = model.loss

    def recorded(noisy: Tensor, progress: float) -> Tensor:
        loss = inner(noisy, progress)
        losses.append(loss.item())
        rates.append(progress)
        return loss

    model.loss = recorded  # type: ignore[method-assign]
    model.on_image_step = lambda step, loss: told.append((step, loss))
    model.denoise(torch.rand(1, 3, 4, 4))
    assert [step for step, _ in told] == [50, 100, 120]
    means = [sum(part) / len(part) for part in (losses[:50], losses[50:100], losses[100:])]
    assert [loss for _, loss in told] == pytest.approx(means, rel=1e-5)
    assert rates == pytest.approx([step / 120 for step in range(120)])


def test_the_learning_rate_follows_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model(steps=4, lr_decay="linear", lr=1e-3)
    rates: list[float] = []

    class Recording(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(model, "configure_optimizers", lambda: Recording(model.parameters(), lr=1.0))
    model.denoise(torch.rand(1, 3, 4, 4))
    assert rates == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])


def test_a_loss_that_is_not_finite_ends_the_image_and_names_the_step() -> None:
    model = small_model(steps=60)
    inner = model.loss
    model.loss = lambda noisy, progress: (
        inner(noisy, progress)
        * (  # type: ignore[method-assign]
            float("nan") if progress == 52 / 60 else 1
        )
    )
    with pytest.raises(FloatingPointError, match=r"nan at step 53.*method\.lr"):
        model.denoise(torch.rand(1, 3, 4, 4))


def test_another_network_is_drawn_for_each_image() -> None:
    model = small_model(steps=1)
    with isolated_rng(5):
        first = model.denoise(torch.rand(1, 3, 8, 8))
    with isolated_rng(5):
        assert torch.equal(model.denoise(torch.rand(1, 3, 8, 8)), first)


# --- The image quality term --------------------------------------------------------------------------------------


class Quality(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return 60 + 10 * image.mean()


def test_the_quality_term_is_the_squared_distance_to_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("denoisebench.methods.self2self_plus.paq2piq", lambda device: Quality())
    plain, judged = small_model(), small_model(iqa="paq2piq", iqa_weight=0.5)
    noisy = torch.rand(1, 3, 8, 8)
    torch.manual_seed(4)
    _, output = plain.masked_pass(noisy)
    term = 0.5 * (100 - (60 + 10 * output.mean())) ** 2
    torch.manual_seed(4)
    expected = plain.loss(noisy, 0) + term
    expected_gradients = torch.autograd.grad(term, list(plain.parameters()), retain_graph=True, allow_unused=True)
    torch.manual_seed(4)
    got = judged.loss(noisy, 0)
    torch.testing.assert_close(got, expected)
    torch.manual_seed(4)
    base = torch.autograd.grad(plain.loss(noisy, 0), list(plain.parameters()))
    for one, two, both in zip(base, expected_gradients, torch.autograd.grad(got, list(judged.parameters())), strict=True):
        torch.testing.assert_close(both, one + two, rtol=1e-4, atol=1e-5)
    assert not [name for name in judged.state_dict() if "quality" in name]
    assert judged.state_dict().keys() == plain.state_dict().keys()
    assert not [module for module in judged.modules() if isinstance(module, Quality)]


def test_without_pyiqa_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(RuntimeError, match=r"denoisebench\[iqa\].*method\.iqa=null"):
        small_model(iqa="paq2piq").denoise(torch.rand(1, 3, 8, 8))


OFFLINE = """
import socket, sys, warnings
def refuse(*args, **kwargs): raise OSError("no network here")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import torch
from pathlib import Path
from denoisebench.methods.self2self_plus import Self2SelfPlus, paq2piq
hub = Path(torch.hub.get_dir())
names = ("checkpoints/resnet18-f37072fd.pth", "pyiqa/P2P_RoIPoolModel-fit.10.bs.120-ca69882e.pth")

def refused(*words):
    try:
        paq2piq(torch.device("cpu"))
    except RuntimeError as error:
        text = str(error)
        for word in (*words, "method.iqa=null", *(name.split("/")[1] for name in names), str(hub / "pyiqa")):
            assert word in text, (word, text)
    else:
        raise AssertionError("built without its weights")

refused(str(hub / names[0]))
import torchvision
from pyiqa.archs import paq2piq_arch
torch.manual_seed(0)
for folder in ("checkpoints", "pyiqa"):
    (hub / folder).mkdir(parents=True, exist_ok=True)
torch.save(torchvision.models.resnet18(weights=None).state_dict(), hub / names[0])
refused(str(hub / names[1]))
whole = paq2piq_arch.PAQ2PIQ
build = paq2piq_arch.load_pretrained_network
paq2piq_arch.load_pretrained_network = lambda *args, **kwargs: None
network = whole()
paq2piq_arch.load_pretrained_network = build
(hub / names[1]).write_bytes(b"not weights")
refused("both are there")
torch.save(network.state_dict(), hub / names[1])

before = torch.get_rng_state()
quality = paq2piq(torch.device("cpu"))
assert torch.equal(torch.get_rng_state(), before), "building it moved our random numbers"
image = (torch.rand(1, 3, 48, 40) * 1.5 - 0.2).requires_grad_()
score = quality(image)
assert score.ndim == 0 and score.isfinite(), score
[gradient] = torch.autograd.grad(score, image)
assert gradient.abs().max() > 0
assert not any(p.requires_grad for p in quality.parameters())
assert not any(m.training for m in quality.modules())

def run(**options):
    torch.manual_seed(1)
    model = Self2SelfPlus(**{"features": 3, "steps": 2, "passes": 2, "init": "he", "lr": 1e-2, "iqa": None, **options})
    with torch.inference_mode():
        torch.manual_seed(2)
        return model, model.denoise(image.detach())

judged, output = run(iqa="paq2piq", iqa_weight=1e-2)
assert judged._quality is not None
assert not any(m.training for m in judged._quality[0].modules()), "training switched it"
assert output.isfinite().all()
assert not torch.equal(output, run()[1]), "the term did nothing"
assert torch.equal(run(iqa="paq2piq", iqa_weight=0.0)[1], run()[1]), "its draws shifted the masks"
assert len(list(judged.parameters())) == len(list(run()[0].parameters()))
print("well")
"""


def test_the_quality_term_really_runs_offline_with_weights_in_their_folders(tmp_path: Path) -> None:
    pytest.importorskip("pyiqa")
    environment = {
        **os.environ, "TORCH_HOME": str(tmp_path / "torch"), "HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1",
        "http_proxy": "", "https_proxy": "",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "well"
