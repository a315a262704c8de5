"""Measures beyond PSNR and SSIM, asked for by name: `measures=[psnr,ssim,lpips]`. The list of all of them stands here alone.

They share no code with `scoring.measures`, whose sources every cell's code counts: a further measure makes no study stale.
PyTorch is imported where something is scored: reports read names and directions of measures only.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisebench.scoring import measures
from denoisebench.scoring.further.colour import CIEDE2000
from denoisebench.scoring.further.measure import Further, UnavailableError, from_description
from denoisebench.scoring.further.microscopy import MICROSCOPY
from denoisebench.scoring.further.piq import PIQ
from denoisebench.scoring.further.pyiqa import PREFIX, metric
from denoisebench.scoring.further.residual import RESIDUALS
from denoisebench.scoring.measures import Measure, parts
from denoisebench.store.files import DamagedError, read_json, write_atomic

if TYPE_CHECKING:
    from torch import Tensor

    from denoisebench.scoring.protocol import Protocol

FURTHER = {one.name: one for one in (CIEDE2000, *MICROSCOPY, *PIQ, *RESIDUALS)}
FILE = "measures.json"
PROBLEMS: dict[str, str] = {}  # what a library said where it could not score an image, by column

__all__ = [
    "FILE", "FURTHER", "PREFIX", "Further", "UnavailableError", "columns_in", "further_of", "keep", "kept", "known_columns",
    "scores",
]  # fmt: skip


def further_of(names: Iterable[str]) -> tuple[Further, ...]:
    """The measures of these names, those that rows always have left out. Raises: ValueError for an unknown one."""
    always = {measure.name for measure in measures.MEASURES}
    return tuple(_one(name) for name in dict.fromkeys(names) if name not in always)


def _one(name: str) -> Further:
    if name.startswith(PREFIX):
        return metric(name)
    if name not in FURTHER:
        known = [*(measure.name for measure in measures.MEASURES), *FURTHER]
        close = difflib.get_close_matches(name, known, n=1)
        told = f"did you mean {close[0]}? " if close else ""
        raise ValueError(f"measures: no measure {name}; {told}Valid: {', '.join(known)}, and pyiqa:NAME")
    return FURTHER[name]


def scores(
    wanted: Sequence[Further], protocol: Protocol, denoised: Tensor, clean: Tensor | None, noisy: Tensor | None
) -> dict[str, Tensor]:
    """Each measure of each image by its column: (N,), NaN where it, or an image that it needs, is not there.

    The output is clipped, rounded and cut as the protocol says.
    """
    import torch

    found: dict[str, list[Tensor]] = {measure.column: [] for measure in wanted}
    height, width = denoised.shape[-2:]
    inner = ..., slice(protocol.border, height - protocol.border), slice(protocol.border, width - protocol.border)
    for part in parts(8, denoised, clean, noisy) if wanted else ():
        image = protocol.prepare(part[0])[inner]
        others = {name: None if one is None else one[inner] for name, one in zip(("clean", "noisy"), part[1:], strict=True)}
        for measure in wanted:
            found[measure.column].append(_scored(measure, image, others))
    return {name: torch.cat(own) for name, own in found.items()}


def _scored(measure: Further, image: Tensor, others: dict[str, Tensor | None]) -> Tensor:
    import torch

    nothing = image.new_full((len(image),), torch.nan, dtype=torch.float64)
    given = {name: one for name, one in others.items() if name in measure.needs}
    if measure.least > min(image.shape[-2:]) or any(one is None for one in given.values()) or measure.lacking():
        return nothing
    try:
        return measure.score(image, given.get("clean"), given.get("noisy"))
    except torch.OutOfMemoryError:
        raise
    except (UnavailableError, RuntimeError, ValueError, AssertionError) as error:  # what a library cannot score has no score
        told = f"{type(error).__name__}: {error}".replace(str(Path.home()), "~")
        PROBLEMS[measure.column] = " ".join(told.split())[:200]
        return nothing


def keep(folder: Path, wanted: Iterable[Further]) -> None:
    """Note beside a cell's rows what its further measures are, and why one of them has no scores."""
    told = {measure.column: _told(measure) for measure in wanted}
    if told:
        write_atomic(folder / FILE, json.dumps(_kept(folder) | told, indent=1))


def _told(measure: Further) -> dict[str, Any]:
    lacking = measure.lacking()
    return {**measure.described(), "lacking": bool(lacking), "reason": lacking or PROBLEMS.get(measure.column)}


def _kept(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / FILE)
    except (FileNotFoundError, DamagedError):
        return {}


def was_lacking(folder: Path, measure: Further) -> bool:
    """Whether a cell's column of a measure is empty because the measure could not be had when it was written."""
    return bool(_kept(folder).get(measure.column, {}).get("lacking"))


def kept(folder: Path) -> dict[str, tuple[Further, str | None]]:
    """The further measures of a cell by their columns, and why one has no scores."""
    found = {}
    for column, told in _kept(folder).items():
        try:
            found[column] = from_description(column, told), told.get("reason")
        except (KeyError, TypeError, AttributeError, ValueError):
            continue
    return found


def known_columns() -> dict[str, Measure]:
    """All measures that go by a fixed name, by their columns in rows."""
    return {measure.column: measure for measure in (*measures.MEASURES, *FURTHER.values())}


def columns_in(row: Iterable[str]) -> tuple[str, ...]:
    """The columns of measures that a row has, PSNR and SSIM first."""
    known = known_columns()
    return tuple(dict.fromkeys((*measures.columns(), *(name for name in row if name in known or name.startswith(PREFIX)))))
