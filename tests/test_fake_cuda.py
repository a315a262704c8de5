"""Every method, protocol and noise on a GPU that is not there: PyTorch's fake CUDA tensors need no driver.

They have a shape and a device, and no values: whatever mixes devices, or reads a value (`.item()`, `if tensor:`), raises.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import jobs
from denoisebench import config
from denoisebench.classical import ClassicalDenoiser
from denoisebench.config.choosing import class_named
from denoisebench.config.parts import instantiate
from denoisebench.denoiser import Denoiser, ImageDenoiser, SupervisedDenoiser
from denoisebench.methods import noise2fast
from denoisebench.methods.mash import MASH
from denoisebench.noise import NoiseModel
from denoisebench.scoring.measures.similarity import gaussian_taps
from denoisebench.scoring.protocol import Protocol

# What is asked once for an image, on the CPU, is given here: the noise level, and which ratio MASH trains with.
GIVEN = {"pixel2pixel": ("method.sigma=25",), "ffdnet": ("method.sigma=25",)}
PROGRESS = (0.0, 0.5, 0.99)  # the stages that methods have


CLASSES = {name: class_named(name) for name in jobs.METHODS}
METHODS = [name for name, cls in CLASSES.items() if not issubclass(cls, ClassicalDenoiser)]


class NoReading(TorchDispatchMode):
    """Raises where a tensor is copied from the device to the CPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sources = [a for a in args if isinstance(a, Tensor)]
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default) and isinstance(result, Tensor):
            assert not (result.device.type == "cpu" and any(s.device.type == "cuda" for s in sources)), "read from the device"
        return result


@contextmanager
def fake_gpu(*modules: torch.nn.Module) -> Iterator[None]:
    """Within it tensors are fake; these modules are on a fake GPU."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with mode:
            for module in modules:
                module.to("cuda")
        mode.allow_non_fake_inputs = False
        with mode, NoReading():
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


def images(count: int = 1, side: int = 48, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, side, side, device="cuda")


def loss_of(method: Any, noisy: Tensor, progress: float) -> Tensor:
    return method.loss(noisy, noisy, progress) if isinstance(method, SupervisedDenoiser) else method.loss(noisy, progress)


def trained(method: Any, noisy: Tensor) -> None:
    """A loss at each stage, as far as nothing is learned from it."""
    if isinstance(method, ImageDenoiser):
        method.reset(noisy)
    if isinstance(method, MASH):
        method._ratio = 0.5
    method.train()
    for progress in PROGRESS:
        loss = loss_of(method, noisy, progress)
        assert loss.device.type == "cuda"
        assert loss.shape == ()


def denoised(method: Any, noisy: Tensor) -> Tensor:
    if not isinstance(method, ImageDenoiser):
        return method.denoise(noisy)
    if isinstance(method, noise2fast.Noise2Fast):
        return method._averaged(noisy)[0]  # what `predict` returns, once its channels are known to be alive
    return method.predict(noisy)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_stays_on_its_device_and_reads_nothing_from_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise2fast, "_drawn_pair", lambda: 1)  # drawn on the CPU, where drawing a number is no waiting
    of = jobs.subject(name, *GIVEN.get(name, ()))
    method = of.build(0)
    count = 1 if of.cls.learns == "image" else 2
    with fake_gpu(method):
        noisy = images(count)
        if of.cls.learns != "nothing":
            trained(method, noisy)
        method.eval()
        with torch.no_grad():
            output = denoised(method, noisy)
        assert output.device.type == "cuda"
        assert output.shape == noisy.shape


@pytest.mark.parametrize("name", [name for name in METHODS if CLASSES[name].tiles])
def test_tiles_stay_on_the_device(name: str) -> None:
    method = jobs.subject(name).build(0)
    method.tile = 128
    with fake_gpu(method), torch.no_grad():
        assert method.denoise(images(side=200)).device.type == "cuda"


@pytest.mark.parametrize("name", config.groups()["protocol"])
def test_scores_stay_on_the_device(name: str) -> None:
    node = config.compose_one([f"protocol=[{name}]"]).plain["protocols"][name]
    protocol: Protocol = instantiate(node, "protocols", Protocol)
    gaussian_taps()  # read once, from no device
    with fake_gpu():
        denoised, clean, noisy = (images(2, side=70) for _ in range(3))
        if name == "developed":  # scores Bayer planes
            denoised, clean, noisy = (one[:, :1] for one in (denoised, clean, noisy))
        for score in protocol.scores(denoised, clean, noisy).values():
            assert score.device.type == "cuda"
            assert score.shape == (2,)


@pytest.mark.parametrize("name", [n for n in config.groups()["noise"] if not n.startswith(("real", "stored"))])
def test_noise_is_made_on_the_device_of_the_image(name: str) -> None:
    node = config.compose_one([f"noise={name}"]).plain["noise"]
    noise: NoiseModel = instantiate(node, "noise", NoiseModel)
    with fake_gpu():
        clean = images(2, side=33)
        noisy = noise(clean, None)  # type: ignore[arg-type]  # a generator of a GPU needs its driver
        assert noisy.device.type == "cuda"
        assert noisy.shape == clean.shape


# --- That the fake GPU finds what it is for ---------------------------------------------------------------------------


class Reads(Denoiser):
    """Reads a value."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy / noisy.max().item()


class Branches(Denoiser):
    """Asks a tensor."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy if noisy.mean() > 0 else -noisy


class Mixes(Denoiser):
    """Makes a tensor elsewhere."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy + torch.rand(noisy.shape)


class Copies(Denoiser):
    """Goes by way of the CPU."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy.cpu().cuda()


class Forgets(Denoiser):
    """Has a tensor that is not moved with it."""

    def __init__(self) -> None:
        super().__init__()
        self.window = torch.ones(3, 1, 1)

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy * self.window


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (Reads, DataDependentOutputException),
        (Branches, DataDependentOutputException),
        (Mixes, Exception),
        (Copies, AssertionError),
        (Forgets, Exception),
    ],
)
def test_a_wrong_method_is_found(wrong: Callable[[], Denoiser], error: type[Exception]) -> None:
    method = wrong()
    with fake_gpu(method):
        noisy = images()
        with pytest.raises(error):
            method.denoise(noisy)
