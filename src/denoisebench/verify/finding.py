"""What was found of a packed cell."""

from dataclasses import dataclass, field
from typing import Literal

from denoisebench.packs.contents import Packed

Word = Literal["verified", "consistent", "contradicted"]
WORDS: tuple[Word, ...] = ("verified", "consistent", "contradicted")


@dataclass
class Finding:
    """contradictions: what is wrong. checked: what was looked at and agrees. unchecked: what could not be looked at, and why.
    recomputed: whether the cell was computed again here, and came out the same."""

    cell: Packed
    contradictions: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    recomputed: bool = False

    @property
    def word(self) -> Word:
        """`verified`: computed again. `consistent`: nothing contradicts it, of what could be checked."""
        return "contradicted" if self.contradictions else "verified" if self.recomputed else "consistent"

    def leave(self, text: str) -> None:
        """Tell once what could not be looked at."""
        if text not in self.unchecked:
            self.unchecked.append(text)

    def lines(self) -> list[str]:
        told = [*(f"contradiction: {text}" for text in self.contradictions)]
        told += [f"checked: {'; '.join(self.checked)}"] if self.checked else []
        return told + [f"not checked: {text}" for text in self.unchecked]


def some(texts: list[str], most: int = 3) -> str:
    """The first of several names, and how many more there are."""
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
