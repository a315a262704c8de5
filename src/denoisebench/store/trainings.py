"""Where a training keeps its weights."""

from pathlib import Path

WEIGHTS, OLDER_WEIGHTS = "weights.safetensors", "weights.pt"


def weights_in(folder: Path) -> Path:
    """The weights that a finished training left in its folder: of safetensors, or of PyTorch as they were kept before."""
    older = folder / OLDER_WEIGHTS
    return older if older.is_file() and not (folder / WEIGHTS).is_file() else folder / WEIGHTS
