"""Measures: numbers that say how good an output is. One file for each; the list of all of them stands here alone.

Rows, reports and loggers take names, units and directions from `MEASURES`: a further measure is a file and a place in it.
"""

from denoisebench.scoring.measures.error import PSNR, psnr
from denoisebench.scoring.measures.measure import Measure, against_clean, parts
from denoisebench.scoring.measures.similarity import SSIM_WINDOW, SSIMS, UNIFORM_WINDOW, ssim, ssim_uniform, ssim_volume

MEASURES: tuple[Measure, ...] = (PSNR, SSIMS["gaussian"])
"""The first is the one that methods are ranked by. A protocol says which kind of SSIM is meant."""
ALWAYS_SHOWN = 2  # of these; the others where there are scores of them

__all__ = [
    "ALWAYS_SHOWN", "MEASURES", "SSIMS", "SSIM_WINDOW", "UNIFORM_WINDOW", "Measure", "PSNR", "against_clean", "columns", "parts",
    "psnr", "ssim", "ssim_uniform", "ssim_volume",
]  # fmt: skip


def columns() -> tuple[str, ...]:
    """The columns of all measures in rows."""
    return tuple(measure.column for measure in MEASURES)
