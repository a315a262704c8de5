"""The noisy images as they are, the method `noisy`, and what is worse than those that it was given."""

import math
from collections.abc import Mapping, Sequence

from denoisebench.store.rows import Row

NOISY = "noisy"
TAG = "below_input"
BELOW_DB = 1.0

View = tuple[str, ...]


def is_input(method: str) -> bool:
    """Whether a label is that of the noisy images; where several labs ran it, it carries their names."""
    return method == NOISY or method.startswith(f"{NOISY} @ ")


def scores_of_inputs(rows: Sequence[Row]) -> Mapping[View, float]:
    """By view: what its noisy image scores as it is."""
    own = [row for row in rows if is_input(row["method"]) and row["noisy_sha"] and row.get("psnr_db") is not None]
    return {_view(row): row["psnr_db"] for row in own}


def harms(rows: Sequence[Row], inputs: Mapping[View, float]) -> bool:
    """Whether its mean is below that of its inputs, over the images that have both; the three steps of `smoke` never suffice."""
    gains = [row["psnr_db"] - inputs[_view(row)] for row in rows if row.get("psnr_db") is not None and _view(row) in inputs]
    finite = [gain for gain in gains if math.isfinite(gain)]
    return bool(finite) and rows[0]["budget"] != "smoke" and math.fsum(finite) / len(finite) < -BELOW_DB


def _view(row: Row) -> View:
    return row["dataset"], row["image"], row["noisy_sha"], row["protocol"]
