"""SIDD (Abdelhamed et al., CVPR 2018): blocks of its validation and benchmark images, frames of SIDD-Medium."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from denoisebench.datasets.images import Files, ImageSet, file_hash, fingerprint_of
from denoisebench.datasets.keys import check_selection
from denoisebench.datasets.looks import hash_of
from denoisebench.datasets.matlab import read_v5
from denoisebench.datasets.matlab73 import Stored
from denoisebench.datasets.places import find
from denoisebench.datasets.reading import middle
from denoisebench.datasets.sidd_frames import MediumFrames
from denoisebench.ranges import Count

PAGE = "https://abdokamel.github.io/sidd/"
FRAMES, BLOCKS, SIDE = 40, 32, 256
FOLDERS = ("SIDD", "SIDD/SIDD_Blocks", "SIDD_Blocks", "SIDD_validation", "SIDD_benchmark", "")
FILES = {
    "validation": ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"),
    "benchmark": ("BenchmarkNoisyBlocksSrgb",),
}
MEDIUM_FOLDERS = ("SIDD", "SIDD/SIDD_Medium_Srgb", "SIDD_Medium_Srgb", "SIDD_Medium", "")
NOISY_FRAMES = "*_NOISY_SRGB_0*.PNG"


class SIDDBlocks(ImageSet):
    """The 40 x 32 blocks of 256 x 256 pixels of `validation` (noisy and clean) or `benchmark` (noisy only), in sRGB.

    Image `0007_31` is block 31 of frame 7, number 7 * 32 + 31 in the flat order of papers and of the submission.
    `is_whole` where it is all of them, as published.
    The arrays are mapped from uncompressed files, else loaded once in a process: 240 MiB each.

    root: folder of data sets; `data` is searched after it. A subset, which is marked in the set's name: frames: of
    these frames only; blocks: so many of each frame; first: so many in all. crop: side of a square from the middle of
    each. Blocks of another number than the published 40 x 32 x 256 x 256 are marked too.

    Raises: FileNotFoundError or ValueError that name the file and the command that mends it.
    """

    kind, published = "sidd", FILES
    colours: tuple[int, ...] = (3,)
    of_files, of_packed = 3, ""

    def __init__(
        self,
        which: Literal["sidd"] = "sidd",
        part: Literal["validation", "benchmark"] = "validation",
        root: str = "data",
        frames: Sequence[int] | None = None,
        blocks: Count | None = None,
        first: Count | None = None,
        crop: Count | None = None,
        channels: Literal[1, 3] | None = None,
    ) -> None:
        check_selection(blocks=blocks, first=first, crop=crop)
        if channels not in (None, self.of_files):
            raise ValueError(f"dataset.channels of {self.kind} is {self.of_files}{self.of_packed}, not {channels}")
        self.which, self.part, self.channels, self.crop = which, part, self.of_files, crop
        whole, files = f"{self.kind}_{part}", [f"{name}.mat" for name in self.published[part]]
        self._mend = f"denoisebench data download {whole}"
        folder = find(whole, root, FOLDERS, files)
        self._files = [folder / file for file in files]
        self._known = Files()
        self._shape = self._checked_shape()
        every = range(self._shape[0])
        if frames is not None and (not frames or set(frames) - set(every) or len(set(frames)) != len(frames)):
            raise ValueError(f"dataset.frames is a list of different numbers from 0 to {every[-1]}, not {list(frames)}")
        of_each = min(blocks or self._shape[1], self._shape[1])
        chosen = [(frame, block) for frame in (every if frames is None else frames) for block in range(of_each)][:first]
        self._index = chosen
        self.names = tuple(f"{frame:04d}_{block:02d}" for frame, block in chosen)
        self.has_clean, self.has_noisy = part == "validation", True
        self.name = whole + self._marks(frames, of_each, first, crop)
        self.is_whole = self.name == whole

    def _marks(self, frames: Sequence[int] | None, of_each: int, first: int | None, crop: int | None) -> str:
        """What of the set is chosen, for its name."""
        some = frames is not None and list(frames) != list(range(self._shape[0]))
        in_all = (self._shape[0] if frames is None else len(frames)) * of_each
        return (
            ("" if self._shape == (FRAMES, BLOCKS, SIDE, SIDE, *self.colours) else "-" + "x".join(map(str, self._shape[:4])))
            + (f"-frames{'_'.join(map(str, frames or ()))}" if some else "")
            + (f"-blocks{of_each}" if of_each < self._shape[1] else "")
            + (f"-first{first}" if first and first < in_all else "")
            + (f"-crop{crop}" if crop and crop < min(self._shape[2:4]) else "")
        )

    def _checked_shape(self) -> tuple[int, ...]:
        arrays = [self._array(file) for file in self._files]
        for file, array in zip(self._files, arrays, strict=True):
            if array.shape[4:] != self.colours or len(array.shape) < 4:
                raise ValueError(
                    f"{file}: expected blocks of {(FRAMES, BLOCKS, SIDE, SIDE, *self.colours)}, got {array.shape}; "
                    f"fetch it again: {self._mend}"
                )
            if array.shape != arrays[0].shape:
                raise ValueError(
                    f"{file}: {array.shape}, but {self._files[0].name} is {arrays[0].shape}; fetch both again: {self._mend}"
                )
        return arrays[0].shape

    def _array(self, file: Path) -> np.ndarray | Stored:
        return read_v5(file, file.stem, self._mend)

    def noisy(self, index: int) -> np.ndarray:
        return self._block(self._files[0], index)

    def clean(self, index: int) -> np.ndarray:
        if not self.has_clean:
            raise ValueError(f"{self.name} has no clean images: they are not public")
        return self._block(self._files[1], index)

    def _block(self, file: Path, index: int) -> np.ndarray:
        self._known.check(file)
        return middle(self._read(file, self._index[index]), self.crop)

    def _read(self, file: Path, place: tuple[int, int]) -> np.ndarray:
        """(H, W, C) of a frame and a block."""
        return np.ascontiguousarray(read_v5(file, file.stem, self._mend)[place])

    def scene(self, index: int) -> str:
        return f"{self._index[index][0]:04d}"

    def size(self, index: int) -> tuple[int, int]:
        height, width = (min(side, self.crop or side) for side in self._shape[2:4])
        return height, width

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.kind, self.names, self.crop, *map(self._known.hash, self._files))

    @property
    def files(self) -> tuple[Path, ...]:
        return self._known.paths

    @property
    def sources(self) -> frozenset[str]:
        pixels = (_pixel_hashes(file, file_hash(file), self._mend) for file in self._files)
        chosen = (hashes[frame][block] for hashes in pixels for frame, block in self._index)
        return frozenset([*(f"sidd_{self.part}/{frame:04d}" for frame, _ in self._index), *chosen])


@functools.cache
def _pixel_hashes(file: Path, _content: str, mend: str) -> list[list[str]]:
    """The hash of each block of each frame, so that blocks exported as image files are known again.

    A frame at a time: its blocks lie strewn over the whole file, and 6 MiB of them are copied at once.
    """
    frames = read_v5(file, file.stem, mend)
    return [[hash_of(block) for block in np.ascontiguousarray(frame)] for frame in frames]


class SIDDMedium(MediumFrames):
    """The 320 frames of SIDD-Medium and their clean partners, tens of megapixels each; `Prepared` trains faster.

    root: folder of data sets; `data` is searched after it. first: so many frames, in the order of their names.
    crop: side of a square from the middle of each.

    Raises: FileNotFoundError or ValueError that name the file and the command that mends it.
    """

    def __init__(
        self, which: Literal["sidd"] = "sidd", root: str = "data", first: Count | None = None, channels: Literal[3] = 3,
        crop: Count | None = None,
    ) -> None:  # fmt: skip
        check_selection(first=first, crop=crop)
        self.which, self.channels, self.crop = which, channels, crop
        chosen = self._find("sidd_medium", root, MEDIUM_FOLDERS, NOISY_FRAMES, first)
        self.names = tuple(path.stem for path in self._frames)
        self.name = f"sidd_medium_frames{chosen}" + (f"-crop{crop}" if crop else "")

    def noisy(self, index: int) -> np.ndarray:
        return middle(self._known.image(self._frames[index], 3), self.crop)

    def clean(self, index: int) -> np.ndarray:
        return middle(self._known.image(self._partner_of(self._frames[index]), 3), self.crop)

    def scene(self, index: int) -> str:
        return self._frames[index].parent.name

    def size(self, index: int) -> tuple[int, int]:
        path = self._frames[index]
        try:
            with Image.open(path) as image:  # the header alone: asked for its EXIF data, Pillow decodes the whole frame
                height, width = image.height, image.width
        except OSError as error:
            raise ValueError(f"{path}: cannot be read as an image ({error}); fetch it again") from error
        return (height, width) if self.crop is None else (min(height, self.crop), min(width, self.crop))

    @property
    def fingerprint(self) -> str:
        files = ((path.stem, path.stat().st_size, self._known.hash(path)) for path in self._with_partners())
        return fingerprint_of(*files, *([("crop", self.crop)] if self.crop else []))
