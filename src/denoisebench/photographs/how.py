"""How files are denoised: by which method, and how it learns."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from denoisebench.config import ConfigError
from denoisebench.config.choosing import Chosen, choose
from denoisebench.photographs.reading import Reading
from denoisebench.ranking import CANDIDATES
from denoisebench.stack_learning import can_learn_from_slices

AUTO = "auto"  # the method that ranks best on each image


@dataclass(frozen=True)
class How:
    """By which method, and how its outputs are written. budget: None for `hour` where a set is learned from, else `paper`.
    memory: bytes to use at most. force: denoise again what is done, or was made otherwise. learn: `stack` for one network that
    learns from all slices of a stack."""

    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    budget: str | None = None
    checkpoint: Path | None = None
    seed: int = 0
    reading: Reading = field(default_factory=Reading)
    memory: int | None = None
    force: bool = False
    learn: Literal["stack"] | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that may be used."""
        return CANDIDATES if self.method == AUTO else (self.method,)

    def chosen(self, channels: int, method: str) -> Chosen:
        """Raises: ConfigError."""
        if self.method == AUTO and (self.settings or self.checkpoint):
            raise ConfigError("--method auto takes no --set, no --checkpoint and no --weights: name a method for them")
        cls = choose(method, channels, settings=self.settings).cls
        learns = cls.learns
        if self.learn and (self.method == AUTO or not can_learn_from_slices(cls)):
            raise ConfigError(
                f"--learn stack: {self.method} is not of those that can learn from one image and from several; name one, e.g. "
                "--method zsn2n"
            )
        budget = self.budget or ("hour" if learns == "dataset" and self.checkpoint is None else "paper")
        return choose(method, channels, budget=budget, settings=self.settings)
