"""Where a weights file comes from: what the `training.json` beside it says about our training."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from denoisebench.datasets.images import file_hash

DIGITS = 16  # of a photograph's hash or name, which are kept by the hundred


@dataclass(frozen=True)
class Origin:
    """trained_on, train_noise, budget, selection: as the rows of its cells say. sources: of the training photographs."""

    trained_on: str
    train_noise: str = ""
    budget: str = ""
    selection: str = ""
    sources: frozenset[str] = field(default=frozenset())
    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, trained_on: str, train_noise: str, budget: str, selection: str, sources: Iterable[str]) -> Self:
        return cls(trained_on, train_noise, budget, selection, frozenset(map(_short, sources)))

    def told(self) -> dict[str, Any]:
        """As `training.json` keeps it, which has steps and seconds of its own."""
        kept = asdict(self) | {"sources": sorted(self.sources)}
        return {name: value for name, value in kept.items() if name not in ("steps", "seconds")}

    def shares_photographs(self, sources: Iterable[str]) -> bool:
        return not self.sources.isdisjoint(map(_short, sources))


def _short(source: str) -> str:
    """A hash cut short; a name as it is."""
    return source if "/" in source else source[:DIGITS]


def origin_of(weights: Path) -> Origin | None:
    """The training of ours that these weights are the result of; None if it is not known."""
    try:
        told = json.loads((weights.parent / "training.json").read_text(encoding="utf-8"))
        kept = told["origin"]
        if told["weights"] != file_hash(weights):
            return None
        known = {name: str(kept[name]) for name in ("trained_on", "train_noise", "budget", "selection")}
        return Origin(**known, sources=frozenset(kept["sources"]), steps=told["steps"], seconds=told["seconds"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
