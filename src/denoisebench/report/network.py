"""What rows say of a method's family and of its network's cost."""

from dataclasses import dataclass
from typing import Self

from denoisebench.store.rows import Row


@dataclass(frozen=True)
class Network:
    """Of which family a method is, and what its network costs, as `scoring.cost` counts it; empty in older rows. averaged:
    how many outputs its result is the mean of."""

    family: str = ""
    averaged: float | None = None
    parameters: float | None = None
    gmacs_per_mpix: float | None = None
    weights_bytes: float | None = None

    @classmethod
    def of(cls, row: Row) -> Self:
        numbers = ("averaged", "parameters", "gmacs_per_mpix", "weights_bytes")
        return cls(row.get("family") or "", **{name: float(row[name]) if row.get(name) else None for name in numbers})

    @property
    def said(self) -> bool:
        return bool(self.family) or self.parameters is not None
