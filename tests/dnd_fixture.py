"""A small DND of exactly the real layout: v7.3 files with a user block, object references, arrays transposed."""

from pathlib import Path

import h5py
import numpy as np

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Fri Jan  6 10:00:00 2017 HDF5 schema 1.00 ."


def mat73(path: Path) -> h5py.File:
    return h5py.File(path, "w", userblock_size=512, libver="earliest")


def seal(path: Path) -> None:
    with path.open("rb+") as file:
        file.write(HEADER.ljust(116) + bytes(8) + b"\x00\x02IM")


def make_dnd(root: Path, images: int = 2, side: int = 16, height: int = 60, width: int = 90) -> tuple[Path, list[np.ndarray]]:
    """20 boxes in each image; returns the root and the images (H, W, 3)."""
    folder = root / "DND" / "dnd_2017"
    (folder / "images_srgb").mkdir(parents=True)
    pixels = []
    with mat73(folder / "info.mat") as file:
        info = file.create_group("info")
        references = info.create_dataset("boundingboxes", (1, images), h5py.ref_dtype)
        for index in range(images):
            rng = np.random.default_rng(index)
            tops, lefts = rng.integers(0, height - side + 1, 20), rng.integers(0, width - side + 1, 20)
            tops[:2], lefts[:2] = (0, height - side), (0, width - side)
            boxes = np.stack([tops + 1, lefts + 1, tops + side, lefts + side], axis=1).astype(np.float64)
            references[0, index] = file.create_dataset(f"#refs#/box{index}", data=boxes.T).ref
        camera = np.array([ord(letter) for letter in "Sony A7R"], np.uint16)[:, None]
        info.create_dataset("camera", data=camera)
    seal(folder / "info.mat")
    for index in range(images):
        image = np.random.default_rng(100 + index).random((height, width, 3), np.float32)
        with mat73(folder / "images_srgb" / f"{index + 1:04d}.mat") as file:
            file.create_dataset("InoisySRGB", data=image.T, chunks=(1, 32, 32), compression="gzip")
        seal(folder / "images_srgb" / f"{index + 1:04d}.mat")
        pixels.append(image)
    return root, pixels
