"""How many training patches a second the loader reads, and how many the training step of Neighbor2Neighbor uses.

Both go through the very classes that a run uses: `DataModule.train_dataloader` and `Neighbor2Neighbor.loss`. The images
are tiles of the photographs in scikit-image, and frames as large as those of SIDD-Medium made from them with noise.

Each line: patches a second that the loader alone reads; milliseconds that a step waits for them while it trains; and that
the step itself takes then.

    .venv/bin/python benchmarks/reading.py            # five minutes
    .venv/bin/python benchmarks/reading.py --quick    # small frames, short timings: does it run?
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from denoisebench.datasets import views
from denoisebench.datasets.datamodule import DataModule, TrainingData
from denoisebench.datasets.folder import Folder
from denoisebench.datasets.images import ImageSet
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.prepared import Prepared, prepare
from denoisebench.datasets.sidd import SIDDMedium
from denoisebench.datasets.training import Training
from denoisebench.datasets.views import Patches
from denoisebench.methods.neighbor2neighbor import Neighbor2Neighbor
from denoisebench.noise import Gaussian, NoiseModel, Real

RECIPES = {
    "quick": Training(steps=1200, patch=64, batch=1, noise="fresh"),
    "paper": Training(steps=1108200, patch=256, batch=4, noise="fresh"),
}
TILE, TILES, FRAMES = 512, 64, 6


class Source(NamedTuple):
    """A training set, and how it is read: all cached at once (`warm`), or nothing ever (`cold`)."""

    name: str
    images: ImageSet
    noise: NoiseModel
    warm: bool


def make_tiles(folder: Path) -> Path:
    """PNGs of 512 x 512, cut from the photographs."""
    folder.mkdir()
    photos = [Photos(part).clean(index) for part in ("train", "test") for index in range(len(Photos(part).names))]
    rng = np.random.default_rng(0)
    for number in range(TILES):
        photo = photos[number % len(photos)]
        photo = np.tile(photo, (2, 2, 1))
        top, left = rng.integers(photo.shape[0] - TILE + 1), rng.integers(photo.shape[1] - TILE + 1)
        _write(folder / f"{number:03d}.png", photo[top : top + TILE, left : left + TILE])
    return folder


def make_frames(root: Path, height: int, width: int) -> Path:
    """Frames in SIDD-Medium's layout."""
    rng = np.random.default_rng(1)
    for number in range(1, FRAMES + 1):
        photo = Photos("train").clean(number % 5)
        clean = cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC)
        noisy = np.clip(clean + rng.normal(0, 12, clean.shape), 0, 255).astype(np.uint8)
        scene = root / "SIDD" / "Data" / f"{number:04d}_001"
        scene.mkdir(parents=True)
        for kind, image in (("NOISY", noisy), ("GT", clean)):
            _write(scene / f"{number:04d}_{kind}_SRGB_010.PNG", image)
    return root


def _write(path: Path, image: np.ndarray) -> None:
    assert cv2.imwrite(str(path), image[..., ::-1])


def sources(folder: Path, height: int, width: int) -> list[Source]:
    tiles = Folder(clean=str(make_tiles(folder / "tiles")))
    frames = SIDDMedium(root=str(make_frames(folder / "frames", height, width)))
    prepare(frames, folder / "frames" / "SIDD" / "sidd_medium.h5")
    patches = Prepared(root=str(folder / "frames"))
    return [
        Source(f"{TILES} PNGs of {TILE} x {TILE}, decoded each time", tiles, Gaussian(sigma=25), warm=False),
        Source("the same, kept in memory", tiles, Gaussian(sigma=25), warm=True),
        Source(f"PNG frames of {height} x {width}, decoded each time", frames, Real(), warm=False),
        Source("the same frames as prepared patches", patches, Real(), warm=True),
    ]


def loader_of(source: Source, training: Training) -> Iterator[Patches]:
    """Training steps of a source; if it is read warm, after a pass over all its images."""
    views.CACHE_BYTES = 4 * 2**30 if source.warm else 0
    data = DataModule(source.images, source.noise, 0, train=TrainingData(source.images, source.noise, training))
    steps = iter(data.train_dataloader())
    for _ in range(-(-len(source.images.names) // training.batch) if source.warm else 0):
        next(steps)
    return steps


def reading_rate(source: Source, training: Training, seconds: float) -> float:
    """Patches a second that the loader gives if nothing else is done."""
    steps = loader_of(source, training)
    for _ in range(views.AHEAD):  # read while it was waited for nothing
        next(steps)
    return training.batch / mean_of(lambda: next(steps), seconds)


def training_step(training: Training) -> Callable[[], None]:
    """One optimiser step of Neighbor2Neighbor as in a run, on the CPU."""
    method = Neighbor2Neighbor()
    optimizer = method.configure_optimizers()
    noisy = torch.rand(training.batch, 3, training.patch, training.patch)

    def step() -> None:
        optimizer.zero_grad()
        method.loss(noisy, 0.5).backward()
        optimizer.step()

    step()
    return step


def while_training(source: Source, training: Training, seconds: float) -> tuple[float, float]:
    """Seconds that a step waits for its patches, and that it takes then, while the loader reads the next ones."""
    steps, step = loader_of(source, training), training_step(training)
    next(steps)  # nothing is read ahead of the first
    step()
    waited = worked = 0.0
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end or count < 3:
        began = time.perf_counter()
        next(steps)
        ready = time.perf_counter()
        step()
        count, waited, worked = count + 1, waited + ready - began, worked + time.perf_counter() - ready
    return waited / count, worked / count


def mean_of(act: Callable[[], object], seconds: float) -> float:
    """Mean seconds of a call."""
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds or count < 3:
        act()
        count += 1
    return (time.perf_counter() - began) / count


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args(arguments).quick
    seconds, height, width = (0.2, 600, 1100) if quick else (4.0, 3000, 5328)
    with tempfile.TemporaryDirectory() as folder:
        every = sources(Path(folder), height, width)
        for name, training in RECIPES.items():
            step_s = mean_of(training_step(training), seconds)
            print(f"\n{name}, {training.batch} patches of {training.patch} x {training.patch} a step:")
            print(f"the training step alone: {1e3 * step_s:.0f} ms, {training.batch / step_s:.1f} patches/s")
            for source in every:
                wait_s, work_s = while_training(source, training, seconds)
                rate = reading_rate(source, training, seconds)
                print(f"| {source.name} | {rate:.1f} | {1e3 * wait_s:.1f} | {1e3 * work_s:.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
