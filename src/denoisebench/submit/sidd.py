"""SIDD: the CSV of its Kaggle competitions (AbdoKamel/sidd_kaggle_submit at 27710f7) and `SubmitSrgb.mat` and `SubmitRaw.mat` of
its first server (the MATLAB kit's SIDD_Denoise.m).
"""

import base64
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from denoisebench.submit.kept import Kept, in_8_bit, in_floats, plane_in_floats

MAT73_TEXT = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created by: denoisebench HDF5 schema 1.00 ."
MAT73_VERSION = bytes(8) + b"\x00\x02IM"


def write_csv_of_blocks(kept: Kept, path: Path, about: Mapping[str, str]) -> None:
    """`ID,BLOCK`: 0 to 1279, and the bytes of a block (H, W, C) in base64."""
    with path.open("w", encoding="ascii", newline="") as file:
        file.write("ID,BLOCK\n")
        for number, (_, image) in enumerate(kept.pieces()):
            file.write(f"{number},{base64.b64encode(in_8_bit(image).tobytes()).decode()}\n")


def read_csv_of_blocks(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    with path.open(encoding="ascii", newline="") as file:
        if file.readline() != "ID,BLOCK\n":
            raise ValueError("its first line is not ID,BLOCK")
        for line in file:
            number, _, block = line.rstrip("\n").partition(",")
            values = np.frombuffer(base64.b64decode(block, validate=True), np.uint8)
            side = math.isqrt(values.size // 3)
            yield int(number), values.reshape(side, side, 3)


@dataclass(frozen=True)
class Mat:
    """A v7.3 file: a cell array (40, 32) of single, seconds per megapixel, and who did it.

    kind: as its variables' names end. cast: a kept image as a block in single.
    """

    kind: str
    cast: Callable[[np.ndarray], np.ndarray]

    def write(self, kept: Kept, path: Path, about: Mapping[str, str]) -> None:
        frames = sorted({name.partition("_")[0] for name in kept.images.names})
        count, pixels = len(kept.images.names), 0
        with h5py.File(path, "w", userblock_size=512, libver="earliest") as file:
            blocks = file.create_dataset(f"DenoisedBlocks{self.kind}", (count // len(frames), len(frames)), h5py.ref_dtype)
            blocks.attrs["MATLAB_class"] = np.bytes_("cell")
            for number, (_, image) in enumerate(kept.pieces()):
                frame, block = divmod(number, blocks.shape[0])  # MATLAB's axes lie in a file in the reverse order
                blocks[block, frame] = _matlab(file, f"#refs#/{number:04d}", self.cast(image).T, "single").ref
                pixels += image.shape[0] * image.shape[1]
            seconds = sum(float(row["seconds"]) for row in kept.rows.values())
            _matlab(file, f"TimeMP{self.kind}", np.array([[seconds * 1024 * 1024 / pixels]]), "double")
            file.create_group("OptionalData").attrs["MATLAB_class"] = np.bytes_("struct")
            for name, text in about.items():
                letters = np.frombuffer(text.encode("utf-16-le"), np.uint16)
                _matlab(file, f"OptionalData/{name}", letters[:, None], "char").attrs["MATLAB_int_decode"] = np.int32(2)
        with path.open("rb+") as file:
            file.write(MAT73_TEXT.ljust(116) + MAT73_VERSION)

    def read(self, path: Path) -> Iterator[tuple[int, np.ndarray]]:
        with path.open("rb") as file:
            if not file.read(128).endswith(MAT73_VERSION):
                raise ValueError("it has no header of MATLAB 7.3")
        with h5py.File(path, "r") as file:
            references = np.asarray(file[f"DenoisedBlocks{self.kind}"])
            for number, reference in enumerate(references.T.ravel()):
                yield number, np.asarray(file[reference]).T


SRGB, RAW = Mat("Srgb", in_floats), Mat("Raw", plane_in_floats)


def _matlab(file: h5py.File, name: str, values: np.ndarray, kind: str) -> h5py.Dataset:
    dataset = file.create_dataset(name, data=values)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    return dataset
