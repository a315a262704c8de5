"""Where a network runs, and how exactly."""

from dataclasses import dataclass
from typing import Literal

PRECISIONS = {32: "32-true", "bf16-mixed": "bf16-mixed"}


@dataclass(frozen=True)
class Engine:
    """device: of which kind. devices: how many train together. precision: as Lightning names it. checkpoint_s: seconds
    between checkpoints of a training."""

    device: Literal["cpu", "gpu"] = "cpu"
    devices: int = 1
    precision: str = "32-true"
    checkpoint_s: float = 1e9
