"""What opening and reading SIDD's blocks and DND's boxes takes, on files of the real size that this script makes.

    python benchmarks/reading_memory.py [FOLDER]

FOLDER (by default a temporary one) takes 1.2 GiB. Prints a Markdown table: seconds, the most that was allocated (as
tracemalloc sees it: NumPy's arrays) and by how much the resident set grew (pages of mapped files count, and may be dropped
by the system at any time). Reads are warm: the files were just written.
"""

import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.io import savemat

from denoisebench.datasets import matlab
from denoisebench.datasets.dnd import DND
from denoisebench.datasets.sidd import SIDDBlocks
from denoisebench.datasets.views import NoisyViews
from denoisebench.noise import Real
from denoisebench.scoring.meter import Meter

BLOCKS = (40, 32, 256, 256, 3)
PHOTOGRAPH = (4912, 7360, 3)  # 36 megapixels: the largest camera of DND
CHUNK = (1, 64, 64)


def make_sidd(folder: Path, *, compressed: bool) -> None:
    """The two files of the validation blocks; smooth, so that they compress about as photographs do."""
    (folder / "SIDD").mkdir(parents=True)
    levels = np.random.default_rng(0).integers(100, 116, BLOCKS, np.uint8)
    for name in ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"):
        savemat(folder / "SIDD" / f"{name}.mat", {name: levels}, do_compression=compressed)


def make_dnd(folder: Path) -> None:
    """One photograph and its 20 boxes: `info.mat` with references, the image transposed, in compressed chunks."""
    home = folder / "DND" / "dnd_2017"
    (home / "images_srgb").mkdir(parents=True)
    height, width, _ = PHOTOGRAPH
    rng = np.random.default_rng(0)
    tops, lefts = rng.integers(0, height - 511, 20), rng.integers(0, width - 511, 20)
    boxes = np.stack([tops + 1, lefts + 1, tops + 512, lefts + 512]).astype(np.float64)
    with h5py.File(home / "info.mat", "w", userblock_size=512) as file:
        references = file.create_dataset("info/boundingboxes", (1, 1), h5py.ref_dtype)
        references[0, 0] = file.create_dataset("#refs#/a", data=boxes).ref
    with h5py.File(home / "images_srgb" / "0001.mat", "w", userblock_size=512) as file:
        stored = file.create_dataset("InoisySRGB", (3, width, height), np.float32, chunks=CHUNK, compression=1)
        for channel in range(3):
            stored[channel] = rng.integers(0, 256, (width, height)).astype(np.float32) / 255


def measured(act: Callable[[], object], *, cold: bool) -> tuple[float, float, float]:
    """(seconds, MiB allocated, MiB of resident set); seconds are taken apart: tracing takes time.

    cold: without what a process keeps of a compressed file once it is read.
    """
    meter = Meter()
    meter.start(torch.empty(0))
    act()
    seconds, resident = meter.stop()
    if cold:
        matlab._read_v5.cache_clear()
    tracemalloc.start()
    act()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return seconds, peak / 2**20, resident


def line(what: str, act: Callable[[], object]) -> None:
    seconds, allocated, resident = measured(act, cold=what.endswith("open"))
    print(f"| {what} | {seconds:.3f} | {allocated:.1f} | {resident:.0f} |", flush=True)


def main(home: Path) -> None:
    make_sidd(home / "plain", compressed=False)
    make_sidd(home / "packed", compressed=True)
    make_dnd(home)
    print("| | seconds | MiB allocated | MiB resident |\n|---|---:|---:|---:|")
    for kind in ("plain", "packed"):
        root = str(home / kind)
        line(f"SIDD validation, {kind}: open", lambda root=root: SIDDBlocks(root=root))
        images = SIDDBlocks(root=root)
        line(f"SIDD validation, {kind}: one block", lambda images=images: images.noisy(700))
        line(f"SIDD validation, {kind}: fingerprint, once in a process", lambda images=images: images.fingerprint)
        del images
        matlab._read_v5.cache_clear()
    root = str(home)
    line("DND, one photograph: open", lambda: DND(root=root))
    boxes, margin, whole = DND(root=root), DND(root=root, margin=64), DND(root=root, mode="whole")
    line("DND: a box", lambda: boxes.noisy(7))
    line("DND: a box with a margin of 64", lambda: margin.noisy(7))
    line("DND: a whole photograph of 36 megapixels", lambda: whole.noisy(0))
    views = NoisyViews(whole, Real(), 0, 1, ())
    line("DND: the same as a test view, as any method is given it", lambda: views[0])
    size = boxes.fingerprint and (home / "DND/dnd_2017/images_srgb/0001.mat").stat().st_size
    print(f"\nA fingerprint reads each file once in a process; this photograph's has {int(size) / 2**20:.0f} MiB.")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as own:
            main(Path(own))
