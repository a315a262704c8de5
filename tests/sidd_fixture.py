"""Small SIDD blocks and frames in files of exactly the real layout: v5 `.mat`, and the tree of SIDD-Medium."""

from pathlib import Path

import cv2
import numpy as np
from scipy.io import savemat

from denoisebench.datasets.sidd import FILES

SHAPE = (3, 4, 32, 32, 3)


def blocks(name: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(len(name)).integers(0, 256, shape, dtype=np.uint8)


def make_blocks(root: Path, part: str = "validation", *, compressed: bool = False, folder: str = "SIDD") -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name in FILES[part]:
        savemat(root / folder / f"{name}.mat", {name: blocks(name)}, do_compression=compressed)
    return root


def make_frames(root: Path, scenes: int = 3, height: int = 70, width: int = 100) -> Path:
    for number in range(1, scenes + 1):
        folder = root / "SIDD" / "Data" / f"{number:04d}_001_S6_00100_00060_3200_L"
        folder.mkdir(parents=True)
        for kind in ("NOISY", "GT"):
            for shot in ("010", "011"):
                rng = np.random.default_rng(number * 100 + len(kind) * 10 + int(shot))
                pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
                assert cv2.imwrite(str(folder / f"{number:04d}_{kind}_SRGB_{shot}.PNG"), pixels)
    return root
