"""Small raw SIDD files of exactly the real layout: MATLAB v5 and v7.3, blocks and frames."""

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

from denoisebench.datasets.sidd_raw import FILES

SHAPE = (3, 4, 16, 16)


def planes(name: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Values of 10 bits in float32, as sensors give them."""
    return (np.random.default_rng(len(name)).integers(0, 1024, shape) / np.float32(1023)).astype(np.float32)


def save_v73(path: Path, variable: str, values: np.ndarray) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset(variable, data=values.T).attrs["MATLAB_class"] = np.bytes_("single")


def make_raw_blocks(root: Path, part: str = "validation", *, v73: bool = False, compressed: bool = False) -> Path:
    (root / "SIDD").mkdir(parents=True, exist_ok=True)
    for name in FILES[part]:
        path = root / "SIDD" / f"{name}.mat"
        if v73:
            save_v73(path, name, planes(name))
        else:
            savemat(path, {name: planes(name)}, do_compression=compressed)
    return root


def make_raw_frames(root: Path, scenes: int = 3, height: int = 50, width: int = 71) -> Path:
    for number in range(1, scenes + 1):
        folder = root / "SIDD" / "Data" / f"{number:04d}_001_S6_00100_00060_3200_L"
        folder.mkdir(parents=True, exist_ok=True)
        for kind in ("NOISY", "GT"):
            for shot in ("010", "011"):
                name = f"{number:04d}_{kind}_RAW_{shot}"
                values = np.random.default_rng(number * 100 + len(kind) * 10 + int(shot)).random((height, width), np.float32)
                save_v73(folder / f"{name}.MAT", "x", values)
    return root
