"""Looking through a folder of somebody's own images before its scores are believed."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from denoisebench.datasets.folder import Folder
from denoisebench.datasets.listing import IMAGE_SUFFIXES, listed, looks_cut
from denoisebench.datasets.reading import read_image, to_unit
from denoisebench.datasets.slices import opened
from denoisebench.datasets.verify import Verdict, read_all
from denoisebench.progress import track

JPEG_MARK = b"\xff\xd8\xff"
SMALLEST_COMPARED = 16  # pixels: of less, no shift can be told
LESS_ERROR = 0.98  # of the squared error, at most, is left where the pair is shifted back


def verify_folder(folder: Path) -> Verdict:
    """Read every image of a folder, or of its `noisy` and `clean` folders, as `dataset=folder` would; note what makes a set
    worse than it looks.

    Raises: FileNotFoundError or ValueError if there is no image, or images without a partner.
    """
    verdict = Verdict(str(folder), notes=["checksums unchecked: not a set of the catalogue"])
    sides = {side: str(folder / side) for side in ("noisy", "clean") if (folder / side).is_dir()} or {"noisy": str(folder)}
    first = Path(next(iter(sides.values())))
    images = Folder(
        noisy=sides.get("noisy"), clean=sides.get("clean"), channels=_channels(first),
        recursive=not any(path.is_file() for path in first.iterdir()),
    )  # fmt: skip
    read_all(images, verdict, None)
    verdict.problems += images.passed_over()
    verdict.notes += _notes(images)
    return verdict


def _channels(folder: Path) -> int:
    """Those of the first image that can be read."""
    for path in sorted(folder.rglob("*")):
        if (stack := opened(path, None)) is not None:
            return 3 if stack.samples > 2 else 1
        if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
            for channels in (3, 1):
                try:
                    return read_image(path, channels).shape[2]
                except ValueError:
                    continue
    return 3


def _notes(images: Folder) -> Iterator[str]:
    looks = images.looks()
    jpeg = [name for name, (path, _) in looks.get("clean", {}).items() if _starts(path, JPEG_MARK)]
    if jpeg:
        yield f"clean images stored as JPEG, whose losses every method is measured against: {listed(jpeg)}"
    gray, shifted = _read_again(images)
    if gray:
        yield f"gray stored as colour, three equal channels: {listed(gray)}; dataset.channels=1 reads it as gray"
    if shifted:
        yield f"pairs shifted against each other, noisy against clean in rows and columns: {listed(shifted)}"
    equal = [name for name in images.names if len({str(side[name][1]) for side in looks.values()}) < len(looks)]
    if equal:
        yield f"noisy and clean are equal to the pixel: {listed(equal)}"
    if not images.holds_stacks and (cut := looks_cut(images.names)):
        yield f"{listed(cut)} look like cuts of one photograph; dataset.scene=PATTERN says so"


def _starts(path: Path, mark: bytes) -> bool:
    if path.is_dir():  # a Zarr folder
        return False
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _read_again(images: Folder) -> tuple[list[str], list[str]]:
    """Names of gray images stored as colour, and of shifted pairs with their shift."""
    gray, shifted = [], []
    with track(f"looking through {images.name}", len(images.names)) as advance:
        for index, name in enumerate(images.names):
            try:
                views = [to_unit(read(index)) for has, read in _sides(images) if has]
            except (OSError, ValueError):
                continue  # told as a problem
            if all(_is_gray(view) for view in views):
                gray.append(name)
            if len(views) == 2 and (shift := shift_of(*views)) != (0, 0):
                shifted.append(f"{name} by {shift[0]}, {shift[1]}")
            advance(index + 1, name)
    return gray, shifted


def _sides(images: Folder) -> Iterator[tuple[bool, Callable[[int], np.ndarray]]]:
    return iter(((images.has_noisy, images.noisy), (images.has_clean, images.clean)))


def _is_gray(image: np.ndarray) -> bool:
    return image.shape[2] == 3 and all((image[..., a] == image[..., b]).all() for a, b in pairwise(range(3)))


def shift_of(noisy: np.ndarray, clean: np.ndarray) -> tuple[int, int]:
    """By how many whole rows and columns a noisy image (H, W, C) lies off its clean one; (0, 0) where it fits best unshifted.

    Phase correlation proposes a shift; it counts where the squared error of the common part falls by it.
    """
    if noisy.shape != clean.shape or min(noisy.shape[:2]) < SMALLEST_COMPARED:
        return 0, 0
    ours, theirs = (np.ascontiguousarray(image.mean(axis=2), np.float32) for image in (noisy, clean))
    window = cv2.createHanningWindow(ours.shape[::-1], cv2.CV_32F)
    (across, down), _ = cv2.phaseCorrelate(theirs, ours, window)
    rows, columns = round(down), round(across)
    height, width = ours.shape
    if (rows, columns) == (0, 0) or max(2 * abs(rows) - height, 2 * abs(columns) - width) > 0:
        return 0, 0
    kept = np.s_[max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)]
    back = np.s_[max(-rows, 0) : height + min(-rows, 0), max(-columns, 0) : width + min(-columns, 0)]
    before, after = np.square(ours[kept] - theirs[kept]).mean(), np.square(ours[kept] - theirs[back]).mean()
    return (rows, columns) if after < LESS_ERROR * before else (0, 0)
