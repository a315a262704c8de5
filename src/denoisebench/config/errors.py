"""Errors for invalid settings: which one, what was expected, and the nearest valid one."""

import difflib
from collections.abc import Iterable

SEVERAL_DEVICES = (
    "trainer=ddp (or trainer.devices) is for a single run of one cell, without -m: it would take every GPU for each cell, and "
    "start its processes anew for each. In a sweep give each cell a GPU: trainer.devices=1, and launcher=slurm with "
    "hydra.launcher.gpus_per_node=1 for many at once"
)


class ConfigError(ValueError):
    """A setting that is not valid; its text is for the user, without a traceback."""


class DataError(ConfigError):
    """A set of images that is not available as requested; other cells of a sweep may still run."""


class UnknownKeyError(ConfigError):
    """key: as given, of a choice of its group that has no such parameter."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


class LaunchError(Exception):
    """A sweep ended before all its cells were computed."""


MOST_LISTED = 40  # more than there are methods


def nearest(word: str, choices: Iterable[str]) -> str:
    """`did you mean ...? Valid: ...`, for the end of an error."""
    valid = sorted(choices)
    close = difflib.get_close_matches(word, valid, n=3, cutoff=0.5)
    listed = ", ".join(valid[:MOST_LISTED]) + (f" and {len(valid) - MOST_LISTED} more" if len(valid) > MOST_LISTED else "")
    return (f"did you mean {' or '.join(close)}? " if close else "") + f"Valid: {listed}"
