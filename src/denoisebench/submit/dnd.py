"""DND: the folder `bundled/` of its submission kit."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np

from denoisebench.datasets.dnd import BOXES
from denoisebench.submit.kept import Kept, in_floats

EVAL_VERSION = "1.0"


def write_bundle(kept: Kept, path: Path, about: Mapping[str, str]) -> None:
    """`0001.mat` to `0050.mat` (v5), each a cell array (1, 20) of single (512, 512, 3) in [0, 1]."""
    from scipy.io import savemat

    for image, pieces in groupby(kept.pieces(), key=lambda piece: piece[0].partition("_")[0]):
        crops = [in_floats(box) for _, box in pieces]
        cell = np.empty(len(crops), object)
        for number, crop in enumerate(crops):
            cell[number] = crop
        savemat(path / f"{image}.mat", {"Idenoised": cell, "israw": False, "eval_version": EVAL_VERSION}, oned_as="row")


def read_bundle(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    for index, file in enumerate(sorted(path.iterdir())):
        if file.name != f"{index + 1:04d}.mat":
            raise ValueError(f"{file.name} stands at the place of {index + 1:04d}.mat")
        yield from ((index * BOXES + box, crop) for box, crop in enumerate(_boxes(file)))


def _boxes(file: Path) -> np.ndarray:
    from scipy.io import loadmat

    try:
        content = loadmat(file)
    except Exception as error:  # SciPy has many for a damaged file, and one for v7.3
        raise ValueError(f"{file.name} cannot be read: {error}") from error
    if lacking := [name for name in ("Idenoised", "israw", "eval_version") if name not in content]:
        raise ValueError(f"{file.name} is without {', '.join(lacking)}")
    if content["israw"].item() or content["eval_version"].item() != EVAL_VERSION:
        raise ValueError(f"{file.name} is not of an sRGB bundle of version {EVAL_VERSION}")
    if content["Idenoised"].shape != (1, BOXES):
        raise ValueError(f"Idenoised of {file.name} is {content['Idenoised'].shape}, expected {(1, BOXES)}")
    return content["Idenoised"][0]
