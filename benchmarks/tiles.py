"""What `tile=` changes, and what it saves: the largest difference to the whole image, seconds, and memory.

.venv/bin/python benchmarks/tiles.py            # minutes: 2 megapixels for the difference, 24 for the memory of a whole run
.venv/bin/python benchmarks/tiles.py --quick    # 0.1 and 0.4 megapixels: does it run?
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

import overhead
from denoisebench.config.jobs import job_of
from denoisebench.denoiser import Denoiser

METHODS = ("sdap", "apbsn", "cbsn", "neighbor2neighbor")


def built(name: str) -> Denoiser:
    """At quick width, with the first weights of that recipe."""
    torch.manual_seed(0)
    return job_of([f"method={name}", "budget=quick"]).method.make().eval()


def photograph(height: int, width: int) -> np.ndarray:
    """Smooth structure and Gaussian noise of 20 grey levels: (H, W, 3), 8 bit."""
    draw = np.random.default_rng(0)
    small = draw.integers(0, 255, (max(2, height // 70), max(2, width // 70), 3)).astype(np.float32)
    image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + 20 * draw.standard_normal(image.shape, np.float32), 0, 255).astype(np.uint8)


def timed(act: Callable[[], Tensor]) -> tuple[Tensor, float]:
    torch.manual_seed(1)
    began = time.perf_counter()
    with torch.no_grad():
        result = act()
    return result, time.perf_counter() - began


def difference(name: str, noisy: Tensor, tile: int) -> None:
    method = built(name)
    whole, whole_s = timed(lambda: method.denoise(noisy))
    method.tile = tile
    tiled, tiled_s = timed(lambda: method.denoise(noisy))
    most = (tiled - whole).abs().max().item()
    scale = whole.abs().max().item()
    print(f"{name:18} largest difference {most:.1e} of values up to {scale:.2f}; whole {whole_s:.1f} s, tiles {tiled_s:.1f} s")


def memory(name: str, folder: Path, tile: int | None) -> None:
    """Of a whole run on one photograph: reading, denoising, keeping, in a process of its own."""
    command = [
        sys.executable, "-c", overhead.SWEEP, "run", f"method={name}", "budget=quick", "training.steps=1", "dataset=folder",
        f"dataset.noisy={folder}", "noise=real", "train_set=photos", "train_noise=gaussian25", "pictures=0",
        f"tile={'null' if tile is None else tile}", f"root={folder / 'runs'}", f"study=tile{tile}",
    ]  # fmt: skip
    try:
        seconds, _, mib = overhead.timed(command, folder)
    except RuntimeError as error:
        print(f"{name:18} tile={tile}: failed, {str(error).strip().splitlines()[-1:]}")
        return
    print(f"{name:18} tile={tile}: {mib / 1024:.2f} GiB at most, {seconds:.0f} s with all imports")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    height, width, tile = (300, 400, 100) if quick else (1200, 1600, 512)
    noisy = torch.from_numpy(photograph(height, width)).permute(2, 0, 1)[None].float() / 255
    print(f"{height} x {width}, tile={tile}, {torch.get_num_threads()} threads")
    for name in METHODS:
        difference(name, noisy, tile)
    height, width = (500, 800) if quick else (4000, 6000)
    print(f"{height} x {width}: the run of one photograph")
    # Neighbor2Neighbor's U-Net would hold more than 30 GiB of the whole.
    for name, side in (("sdap", None), ("sdap", 512), ("neighbor2neighbor", 512), ("neighbor2neighbor", 1024)):
        with tempfile.TemporaryDirectory() as folder:
            cv2.imwrite(str(Path(folder) / "photograph.png"), photograph(height, width))
            memory(name, Path(folder), side)


if __name__ == "__main__":
    main()
