"""Where a network runs, and how exactly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

PRECISIONS = {32: "32-true", "tf32": "32-true", "bf16-mixed": "bf16-mixed"}


@dataclass(frozen=True)
class Engine:
    """device: of which kind. devices: how many train together. precision: as Lightning names it. checkpoint_s: seconds
    between checkpoints of a training. tf32: whether a GPU may round the factors of float32 products to 10 bits."""

    device: Literal["cpu", "gpu"] = "cpu"
    devices: int = 1
    precision: str = "32-true"
    checkpoint_s: float = 1e9
    tf32: bool = False

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


def _precision_of_products() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # set by the newer `fp32_precision` of one kind of device alone
        return "highest"
