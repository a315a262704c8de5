"""SIDD: the CSVs of its Kaggle competitions (AbdoKamel/sidd_kaggle_submit at 27710f7) and `SubmitSrgb.mat` and `SubmitRaw.mat` of
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

CSV_HEAD = "ID,BLOCK\n"
MAT73_NAME = b"MATLAB 7.3"
MAT73_TEXT = MAT73_NAME + b" MAT-file, Platform: GLNXA64, Created by: denoisebench HDF5 schema 1.00 ."
MAT73_VERSION = bytes(8) + b"\x00\x02IM"


@dataclass(frozen=True)
class Csv:
    """`ID,BLOCK`: 0 to 1279, and the bytes of a block in base64, of the shape and type of the noisy one.

    cast: a kept image as a block. dtype: its type in the file. colours: the axes of a block after its rows and columns.
    """

    cast: Callable[[np.ndarray], np.ndarray]
    dtype: np.dtype
    colours: tuple[int, ...]

    def write(self, kept: Kept, path: Path, about: Mapping[str, str]) -> None:
        with path.open("w", encoding="ascii", newline="") as file:
            file.write(CSV_HEAD)
            for number, (_, image) in enumerate(kept.pieces()):
                block = self.cast(image).astype(self.dtype)
                file.write(f"{number},{base64.b64encode(block.tobytes()).decode()}\n")

    def read(self, path: Path) -> Iterator[tuple[int, np.ndarray]]:
        with path.open(encoding="ascii", newline="") as file:
            if (head := file.readline()) != CSV_HEAD:
                crlf = head == CSV_HEAD.replace("\n", "\r\n")
                raise ValueError("its lines end in CRLF, expected LF alone" if crlf else "its first line is not ID,BLOCK")
            for at, line in enumerate(file, 1):
                number, _, block = line.rstrip("\n").partition(",")
                content = base64.b64decode(block, validate=True)
                if number.isdecimal() and self.is_double(len(content)):
                    raise ValueError(f"number {number}: its values are in float64, expected {self.dtype.name}")
                if not number.isdecimal() or not self.is_square(len(content)):
                    raise ValueError(
                        f"cut off or damaged after line {at}: {len(content)} bytes of number {number[:20]!r} are no square block"
                    )
                side = self._side(len(content))
                values = np.frombuffer(content, self.dtype).astype(self.dtype.newbyteorder("="))
                yield int(number), values.reshape(side, side, *self.colours)

    def is_square(self, size: int) -> bool:
        """Whether so many bytes are a square block. None is one of both kinds, as 3 s² = 4 t² has no solution."""
        return size == self._side(size) ** 2 * self._pixel

    def is_double(self, size: int) -> bool:
        """Whether so many bytes are a square block in float64, and float32 is expected."""
        return self.dtype.kind == "f" and 0 < size == 2 * self._side(size // 2) ** 2 * self._pixel

    def _side(self, size: int) -> int:
        return math.isqrt(size // self._pixel)

    @property
    def _pixel(self) -> int:
        """Bytes."""
        return math.prod(self.colours) * self.dtype.itemsize


@dataclass(frozen=True)
class Mat:
    """A v7.3 file: a cell array (40, 32) of single, seconds per megapixel, and who did it.

    kind: as its variables' names end. cast: a kept image as a block in single.
    """

    kind: str
    cast: Callable[[np.ndarray], np.ndarray]

    @property
    def blocks(self) -> str:
        return f"DenoisedBlocks{self.kind}"

    def write(self, kept: Kept, path: Path, about: Mapping[str, str]) -> None:
        frames = sorted({name.partition("_")[0] for name in kept.images.names})
        count, pixels = len(kept.images.names), 0
        with h5py.File(path, "w", userblock_size=512, libver="earliest") as file:
            blocks = file.create_dataset(self.blocks, (count // len(frames), len(frames)), h5py.ref_dtype)
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
            references = np.asarray(file[self.blocks])
            for number, reference in enumerate(references.T.ravel()):
                if not reference:
                    raise ValueError(f"the cell of number {number} is empty")
                yield number, np.asarray(file[reference]).T

    def check_head(self, file: h5py.File, path: Path, frames_and_blocks: tuple[int, int]) -> None:
        """That the three variables are there and of their kinds. Raises: ValueError that names the one that is not."""
        seconds, about = f"TimeMP{self.kind}", "OptionalData"
        if lacking := [name for name in (self.blocks, seconds, about) if name not in file]:
            raise ValueError(f"{path}: without {', '.join(lacking)}; the server expects {self.blocks}, {seconds} and {about}")
        blocks, time, stated = file[self.blocks], file[seconds], file[about]
        if not isinstance(blocks, h5py.Dataset) or blocks.dtype != h5py.ref_dtype:
            held = f"an array {blocks.shape[::-1]} of {blocks.dtype}" if isinstance(blocks, h5py.Dataset) else "a struct"
            raise ValueError(f"{path}: {self.blocks} is {held}, expected a cell array with one block in each cell")
        if (found := blocks.shape[::-1]) != frames_and_blocks:
            raise ValueError(
                f"{path}: {self.blocks} has {' x '.join(map(str, found))} cells, expected "
                f"{' x '.join(map(str, frames_and_blocks))}: frames in rows, their blocks in columns"
            )
        values = np.asarray(time) if isinstance(time, h5py.Dataset) else np.empty(0)
        if values.size != 1 or values.dtype.kind not in "iuf" or not 0 <= values.item() < math.inf:
            raise ValueError(f"{path}: {seconds} is not one number of seconds, 0 or above")
        if not isinstance(stated, h5py.Group):
            raise ValueError(f"{path}: {about} is not a struct (of MethodName, Authors, PaperTitle and Venue)")


SRGB, RAW = Mat("Srgb", in_floats), Mat("Raw", plane_in_floats)
SRGB_CSV, RAW_CSV = Csv(in_8_bit, np.dtype(np.uint8), (3,)), Csv(plane_in_floats, np.dtype("<f4"), ())


def _matlab(file: h5py.File, name: str, values: np.ndarray, kind: str) -> h5py.Dataset:
    dataset = file.create_dataset(name, data=values)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    return dataset
