"""Schedules that several methods share, as functions of the trained fraction."""

from math import floor

EPOCHS = 100
# Of Neighbor2Neighbor's released code, and of those that took it over.
HALVED_AFTER = (19, 39, 59, 79)


def finished_epochs(progress: float) -> int:
    """How many of 100 epochs are over at `progress` in [0, 1]."""
    return floor(progress * EPOCHS + 1e-9)  # 0.29 * 100 is 28.999999999999996
