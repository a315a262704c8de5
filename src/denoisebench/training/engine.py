"""Where a network runs, and how exactly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from denoisebench.denoiser import Denoiser

PRECISIONS = {32: "32-true", "tf32": "32-true", "bf16-mixed": "bf16-mixed"}
BACKEND = "inductor"  # of torch.compile: needs a C++ compiler on a CPU


@dataclass(frozen=True)
class Engine:
    """device: of which kind. devices: how many train together. precision: as Lightning names it. checkpoint_s: seconds
    between checkpoints of a training. tf32: whether a GPU may round the factors of float32 products to 10 bits.
    compiles: whether networks are compiled while they train."""

    device: Literal["cpu", "gpu"] = "cpu"
    devices: int = 1
    precision: str = "32-true"
    checkpoint_s: float = 1e9
    tf32: bool = False
    compiles: bool = False

    @contextmanager
    def exact(self) -> Iterator[None]:
        """PyTorch lets convolutions round to TF32 by default: here only if that is asked for, whatever a variable or a
        module of this process has set for all (`torch.set_float32_matmul_precision`)."""
        cudnn: Any = torch.backends.cudnn
        products, convolutions = _precision_of_products(), cudnn.allow_tf32
        torch.set_float32_matmul_precision("high" if self.tf32 else "highest")
        cudnn.allow_tf32 = self.tf32
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(products)
            cudnn.allow_tf32 = convolutions


@contextmanager
def compiled(method: Denoiser) -> Iterator[None]:
    """The networks of a method compiled by torch.compile meanwhile. Names of weights stay; so do rates and draws, which are
    outside of them. Tests meet images of many sizes, each of which would be compiled anew: they do without."""
    networks = list(method.children())
    for network in networks:
        network.compile(backend=BACKEND)
    try:
        yield
    finally:
        for network in networks:
            network._compiled_call_impl = None


def _precision_of_products() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set by the newer `fp32_precision` of one kind of device alone
        return "highest"
