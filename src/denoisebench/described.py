"""What a method says about itself: its family, how many outputs it averages, its blind networks, what it lacks."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn


class Described(nn.Module):
    """The part of a method that rows, the audit, the report's table of families and planning read."""

    family: ClassVar[str] = ""
    """Its idea in the field's word: `blind spot`, `masking`, `sub-sampling`, `recorruption`."""

    @property
    def averaged(self) -> int:
        """How many outputs for one image its result is the mean of: 1, a single pass, or an ensemble."""
        return 1

    @property
    def blind_networks(self) -> list[Callable[[Tensor], Tensor]]:
        """Its networks that must not see the pixel at the output's own place, with the hole used at inference."""
        return [part for part in self.modules() if getattr(part, "blind_spot", False)]

    def lacking(self) -> str | None:
        """What it needs and this machine lacks, and how to get it; asked once, before anything runs."""
        return None

    timed: ClassVar[bool] = True
    """Whether the time of `denoise` is the method's own; of images that were made elsewhere it is not."""

    @classmethod
    def identity(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """What of its settings identifies a cell: a file is not where it lies but what it holds. Raises: ValueError, OSError."""
        return settings

    @classmethod
    def labelled(cls, settings: Mapping[str, Any]) -> str | None:
        """What tables call it, where that is a setting of its own."""
        return None
