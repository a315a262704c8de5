"""A finished cell to submit: checks that it is complete and was computed from the present images."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from denoisebench.config.jobs import test_set_of
from denoisebench.datasets.bayer import Packed
from denoisebench.datasets.dnd import DND
from denoisebench.datasets.reading import read_image
from denoisebench.datasets.sidd import SIDDBlocks
from denoisebench.datasets.views import fixed_view
from denoisebench.noise import Real
from denoisebench.progress import track
from denoisebench.report.rows import read_local
from denoisebench.scoring.kept import image_hash
from denoisebench.store.pictures import output_name
from denoisebench.store.plan import plan_around
from denoisebench.store.rows import Row
from denoisebench.store.status import read_status


@dataclass(frozen=True)
class Kept:
    """The outputs of a finished cell: its folder and data set, and its rows of one protocol and the first noisy view."""

    folder: Path
    images: SIDDBlocks | DND
    rows: Mapping[str, Row]

    def pieces(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name, (H, W, C) uint16) of each scored block or box, in the order of the server; one image in memory at a time."""
        with track(f"reading {self.folder / 'images'}", len(self.images.names)) as advance:
            for index, name in enumerate(self.images.names):
                image = _read(path_of(self.folder, name), self.images.size(index), self.images.channels)
                inner = self.images.inner(index) if isinstance(self.images, DND) else [(name, slice(None), slice(None))]
                for piece, rows, columns in inner:
                    yield piece, image[rows, columns]
                advance(index + 1, name)


def finished(folder: Path, test_set: str) -> Kept:
    """A finished cell of the whole of a test set.

    Raises: FileNotFoundError or ValueError that say what is wrong with the folder and which command mends it.
    """
    state = read_status(folder)["state"]
    if not (folder / "status.json").is_file() or not (folder / "config.yaml").is_file():
        raise FileNotFoundError(
            f"{folder} is not a cell's folder, e.g. runs/STUDY/METHOD/{test_set}/real/seed0-KEY: no status.json or config.yaml"
        )
    if state != "done" or not (folder / "rows.csv").is_file():
        raise ValueError(f"{folder}: this cell is {state}, not done; {_again(folder)} goes on with it")
    first, rows = {}, read_local(folder)
    for row in rows:
        if row["repeat"] == "0" and row["protocol"] == rows[0]["protocol"]:
            first[row["image"]] = row
    own = rows[0]["dataset"]
    if own.partition("-")[0] != test_set:
        way = _again(folder, f"dataset={test_set}", "noise=real")
        raise ValueError(f"{folder}: a cell of {own}, expected one of {test_set}; {way} makes one")
    images = test_set_of(folder / "config.yaml")
    if isinstance(images, Packed) and images.crop is None:
        images = images.images  # outputs are kept as planes
    if not isinstance(images, SIDDBlocks | DND) or not images.is_whole or set(images.names) != set(first):
        raise ValueError(
            f"{folder}: {own} has {len(first)} images and is not the whole of {test_set} as it is published, which the "
            f"benchmark scores; run it without dataset.first, frames, blocks and crop"
        )
    return Kept(folder, images, first)


def _again(folder: Path, *more: str) -> str:
    """The command that planned a cell."""
    cell = plan_around(folder.resolve()).get(folder.name.rpartition("-")[2])
    changed = {word.partition("=")[0] for word in more}
    kept = [word for word in cell.overrides if word.partition("=")[0] not in changed] if cell else ["..."]
    return f"`denoisebench run {shlex.join([*kept, *more])}`"


def path_of(folder: Path, image: str) -> Path:
    return folder / "images" / output_name(image, 0)


def _read(path: Path, size: tuple[int, int], channels: int) -> np.ndarray:
    image = read_image(path, channels)
    if image.dtype != np.uint16 or image.shape != (*size, channels):
        raise ValueError(f"{path}: expected {(*size, channels)} in uint16, got {image.shape} in {image.dtype}; {_mended(path)}")
    return image


def _mended(path: Path) -> str:
    return f"{_again(path.parents[1], 'force=true')} computes its cell again"


def check_files(kept: Kept) -> None:
    """That each image is there, and that the data set still gives each name the pixels that were denoised under it."""
    lacking = [path for name in kept.images.names if not (path := path_of(kept.folder, name)).is_file()]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise FileNotFoundError(f"{lacking[0]}{more}: this kept image is gone; {_mended(lacking[0])}")
    with track(f"comparing {kept.images.name} with what was denoised", len(kept.images.names)) as advance:
        for index, name in enumerate(kept.images.names):
            noisy, _ = fixed_view(kept.images, Real(), index, 0, 0)
            if image_hash(noisy[0]) != kept.rows[name]["noisy_sha"]:
                raise ValueError(
                    f"{kept.folder}: {name} of {kept.images.name} has other pixels than those that were denoised; "
                    f"{_again(kept.folder)} denoises what is there now"
                )
            advance(index + 1, name)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While no run computes this cell."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise ValueError(f"{folder}: a run computes this cell now; wait for it") from error


def in_floats(kept: np.ndarray) -> np.ndarray:
    """uint16 -> float32 in [0, 1]."""
    return (kept / 65535).astype(np.float32)


def plane_in_floats(kept: np.ndarray) -> np.ndarray:
    """(H, W, 1) uint16 -> (H, W) float32 in [0, 1]."""
    return in_floats(kept)[..., 0]


def in_8_bit(kept: np.ndarray) -> np.ndarray:
    """uint16 -> uint8, rounded half up; what was 8 bit comes back exactly."""
    return ((2 * kept.astype(np.uint32) + 257) // 514).astype(np.uint8)
