"""The short measurement of how fast this machine is with a method."""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from denoisebench.batch import Batch
from denoisebench.denoiser import Denoiser, ImageDenoiser, SupervisedDenoiser
from denoisebench.job import Job
from denoisebench.seeding import isolated_rng
from denoisebench.study.engines import device_of
from denoisebench.study.speed import Speed
from denoisebench.training.surroundings import sheltered

SIDES = (48, 96)  # of the images that are timed
PATCH = 64  # the largest patch that is timed
REPEATS = 5
SLOW = 0.5  # seconds: no further call is timed after them
ENOUGH = 2.0  # seconds: of what takes longer with a small image, no larger one is timed


def measured(job: Job) -> Speed:
    """Nothing for a method that raises: its error is reported when it runs."""
    device = "cuda" if device_of(job.trainer) == "gpu" else "cpu"
    try:
        with isolated_rng(0), sheltered(), _threads(job.trainer.threads):
            method = job.method.make().to(device)
            with torch.autocast(device, torch.bfloat16, enabled=job.precision == "bf16-mixed"):
                return Speed(_step(job, method), _image(job, method))
    except Exception:
        return Speed()


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _images(job: Job, method: Denoiser, count: int, side: int) -> Tensor:
    device = next((p.device for p in method.parameters()), torch.device("cpu"))
    return torch.rand(count, job.test_set.channels, side, side, device=device)


def _step(job: Job, method: Denoiser) -> float | None:
    """Of one image and of two, in patches that may be smaller; from there to the batch in proportion."""
    if job.learning is None:
        return None
    patch, batch = job.learning.training.patch, job.learning.training.batch
    side = min(patch, PATCH)
    optimizer: Any = method.configure_optimizers()

    def seconds(count: int) -> float:
        return _seconds(functools.partial(_learn, method, optimizer, _images(job, method, count, side)))

    fixed, each = _line(seconds, 1, 2)
    return fixed + each * batch * (patch / side) ** 2


def _line(seconds: Callable[[int], float], small: int, large: int) -> tuple[float, float]:
    """The fixed part and the one in proportion, from a small amount and a large one; from the small one alone if it is slow."""
    one = seconds(small)
    if one > ENOUGH:
        return 0.0, one / small
    other = seconds(large)
    each = max((other - one) / (large - small), 0.1 * other / large)
    return max(one - each * small, 0.0), each


def _learn(method: Any, optimizer: torch.optim.Optimizer, noisy: Tensor) -> None:
    method.train()
    optimizer.zero_grad()
    loss = method.loss(noisy, noisy, 0.0) if isinstance(method, SupervisedDenoiser) else method.loss(noisy, 0.0)
    loss.backward()
    optimizer.step()


def _image(job: Job, method: Denoiser) -> tuple[float, float]:
    """The fixed part and that of a million pixels, from images of two sizes."""

    def line(seconds: Callable[[Tensor], float]) -> tuple[float, float]:
        return _line(lambda pixels: seconds(_images(job, method, 1, round(pixels**0.5))), *(side**2 for side in SIDES))

    fixed, each = _of_learning(method, line) if isinstance(method, ImageDenoiser) else line(functools.partial(_test, method))
    return fixed, 1e6 * each


def _test(method: Denoiser, noisy: Tensor) -> float:
    method.eval()
    with torch.no_grad():
        return _seconds(lambda: method.test_step(Batch(noisy), 0))


Line = Callable[[Callable[[Tensor], float]], tuple[float, float]]


def _of_learning(method: ImageDenoiser, line: Line) -> tuple[float, float]:
    """All steps from a few of them, all passes from one. Steps and passes have a line each: the sum of thousands is none that
    was timed, and would look slow where each is fast."""
    with _one_pass(method) as passes:
        steps, results = line(functools.partial(_one_step, method)), line(functools.partial(_one_result, method))
    fixed, each = (method.num_steps * step + passes * result for step, result in zip(steps, results, strict=True))
    return fixed, each


def _one_step(method: ImageDenoiser, noisy: Tensor) -> float:
    method.reset(noisy)
    return _seconds(functools.partial(_learn, method, method.configure_optimizers(), noisy))


def _one_result(method: ImageDenoiser, noisy: Tensor) -> float:
    method.reset(noisy)
    _learn(method, method.configure_optimizers(), noisy)
    method.eval()
    try:
        with torch.no_grad():
            return _seconds(lambda: method.predict(noisy))
    except (AttributeError, AssertionError):  # its result is made while it learns
        return 0.0


@contextmanager
def _one_pass(method: Any) -> Iterator[int]:
    """One pass of a method whose result is the mean of many; yields how many it would have been."""
    passes = method.__dict__.get("passes")
    if passes is None:
        yield 1
        return
    method.passes = 1
    try:
        yield passes
    finally:
        method.passes = passes


def _seconds(act: Callable[[], object]) -> float:
    """The least of a few calls after a first one, which may load code: it never counts, however long it took."""
    _timed(act)
    times = [_timed(act)]
    while len(times) < REPEATS and sum(times) < SLOW:
        times.append(_timed(act))
    return min(times)


def _timed(act: Callable[[], object]) -> float:
    _wait()
    began = time.perf_counter()
    act()
    _wait()
    return time.perf_counter() - began


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
