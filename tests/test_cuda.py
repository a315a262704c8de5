"""On a GPU: every method's loss and denoise, scores, noise, and no hidden wait for the device. Skipped where there is none."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.batch import Batch
from denoisebench.denoiser import DatasetDenoiser, ImageDenoiser, SupervisedDenoiser
from denoisebench.noise import Gaussian, Poisson
from denoisebench.replay import ReplayedSteps, Steps
from denoisebench.scoring.protocol import Protocol
from denoisebench.seeding import isolated_rng
from denoisebench.training.engine import Engine
from jobs import METHODS, built, computed

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device here"),
]


@pytest.fixture(autouse=True)
def _exact() -> Iterator[None]:
    with Engine().exact():
        yield


def on_gpu(name: str, *overrides: str) -> Any:
    with isolated_rng(0):
        return built(f"method={name}", "budget=smoke", *overrides).cuda().eval()


def images(count: int = 1, side: int = 64) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)).cuda()


@contextmanager
def no_waiting() -> Iterator[None]:
    """Any call that waits for the device raises."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", METHODS)
def test_denoises(name: str) -> None:
    method = on_gpu(name)
    with torch.inference_mode():
        output = method.test_step(Batch(images(), seed=3), 0)
    assert output.is_cuda
    assert output.shape == (1, 3, 64, 64)
    assert torch.isfinite(output).all()
    if not method.stochastic:
        with torch.inference_mode():
            expected = method.cpu().test_step(Batch(images().cpu(), seed=3), 0)
        torch.testing.assert_close(output.cpu(), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_step_waits_for_nothing(name: str, precision: torch.dtype) -> None:
    method = on_gpu(name).train()
    noisy = images(2, side=96) if not isinstance(method, ImageDenoiser) else images()

    def loss() -> Tensor:
        with torch.autocast("cuda", precision, enabled=precision != torch.float32):
            if isinstance(method, SupervisedDenoiser):
                return method.loss(noisy, noisy, 0.5)
            assert isinstance(method, DatasetDenoiser | ImageDenoiser)
            return method.loss(noisy, 0.25)

    if not isinstance(method, DatasetDenoiser | SupervisedDenoiser | ImageDenoiser):
        pytest.skip("learns nothing")
    if isinstance(method, ImageDenoiser):
        method.reset(noisy)
    for _ in range(2):
        loss().backward()
    with no_waiting():
        value = loss()
        value.backward()
    assert torch.isfinite(value)


@pytest.mark.parametrize("name", [n for n in METHODS if n in ("zsn2n", "noise2detail", "pixel2pixel", "mash")])
def test_replayed_steps_learn_what_launched_ones_do(name: str) -> None:
    losses = []
    for replayed in (True, False):
        method = on_gpu(name, *(["method.steps=40"] if name != "mash" else ["method.steps=20"]))
        assert isinstance(method, ImageDenoiser)
        assert method.replayed
        method.replayed = replayed
        seen: list[float] = []
        method.on_image_step = lambda step, loss, seen=seen: seen.append(loss)
        assert type(method._steps(images())) is (ReplayedSteps if replayed else Steps)
        with isolated_rng(5), torch.inference_mode():
            output = method.denoise(images())
        losses.append((seen, output))
    (ours, first), (theirs, second) = losses
    assert ours == pytest.approx(theirs, rel=0.05)
    assert (first - second).abs().mean() < 0.02


def test_scores_are_those_of_the_cpu() -> None:
    clean, denoised = images(4, 80), (images(4, 80) + 0.05 * torch.randn(4, 3, 80, 80, device="cuda"))
    for protocol in (Protocol("a"), Protocol("b", rounding="round"), Protocol("c", ssim="uniform"), Protocol("d", ssim="volume")):
        for ours, theirs in zip(protocol.score(denoised, clean), protocol.score(denoised.cpu(), clean.cpu()), strict=True):
            torch.testing.assert_close(ours.cpu(), theirs, atol=1e-9, rtol=0)


def test_fresh_noise_is_drawn_on_the_device() -> None:
    clean = images(2)
    for noise in (Gaussian(sigma=25), Poisson(lam=30)):
        with no_waiting():
            noisy = noise(clean, torch.Generator("cuda").manual_seed(0))
        assert noisy.is_cuda
        assert 0.02 < (noisy - clean).std() < 0.3


def test_a_sweep_runs_and_gives_what_the_cpu_gives() -> None:
    own = ("budget=smoke", "dataset.crop=48", "pictures=0")
    names = "method=nlm,zsn2n,neighbor2neighbor,self2self_plus"
    for cell in computed(names, *own, "trainer=gpu", "root=gpu"):
        assert cell.state == "done", cell.status()
    ours, theirs = (computed("method=nlm,noisy", *own, f"trainer={where}", f"root={where}2") for where in ("gpu", "cpu"))
    for one, other in zip(ours, theirs, strict=True):
        with (one.folder / "rows.csv").open() as first, (other.folder / "rows.csv").open() as second:
            for a, b in zip(csv.DictReader(first), csv.DictReader(second), strict=True):
                assert a["noisy_sha"] == b["noisy_sha"]
                assert float(a["psnr_db"]) == pytest.approx(float(b["psnr_db"]), abs=1e-6)
                assert float(a["ssim"]) == pytest.approx(float(b["ssim"]), abs=1e-6)
