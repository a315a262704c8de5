"""The standard sets of the field, found where people keep them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from denoisebench.datasets.headers import damaged_files
from denoisebench.datasets.images import Files, ImageSet, fingerprint_of
from denoisebench.datasets.keys import check_chosen, check_gray
from denoisebench.datasets.listing import IMAGE_SUFFIXES
from denoisebench.datasets.looks import IN_GRAY, pixel_hash
from denoisebench.datasets.places import in_any_case
from denoisebench.datasets.reading import Reading, gray_of, image_size, middle
from denoisebench.ranges import Count

SetName = Literal[
    "cbsd68", "kodak", "set14", "bsd300", "bsds500", "polyu", "cc", "set12", "bsd68", "mcmaster", "urban100"
]  # fmt: skip
Part = Literal["test", "train", "train+test"]

BSD68: Sequence[str] = """
    3096 12084 14037 16077 19021 21077 24077 33039 101085 101087 102061 103070 105025 106024 108005 108070 108082 109053
    119082 123074 126007 130026 134035 143090 145086 147091 148026 148089 157055 159008 160068 163085 167062 167083 170057
    175032 175043 182053 189080 196073 197017 208001 210088 216081 219090 220075 223061 227092 229036 236037 241004 241048
    253027 253055 260058 271035 285079 291000 295087 296007 296059 299086 300091 302008 304034 304074 306005 351093
""".split()  # noqa: SIM905
BSD300_WITHOUT_BSD68: Sequence[str] = """
    8023 37073 38082 38092 41033 41069 42012 42049 43074 45096 54082 55073 58060 62096 65033 66053 69015 69020 69040 76053
    78004 85048 86000 86016 86068 87046 89072 97033 156065 361010 376043 385039
""".split()  # noqa: SIM905
SET14 = (
    "baboon", "barbara", "coastguard", "comic", "face", "flowers", "foreman", "lenna", "monarch", "pepper", "ppt3", "zebra",
)  # fmt: skip
BERKELEY = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/"


@dataclass(frozen=True)
class _Set:
    """folders: of each part, where it may lie under a root, whatever the case of letters. page: where it is had.

    count: images in a part. names: of the images, if they are known. other_names: a second naming, in the same order.
    clean_suffix, noisy_suffix: ends of the stems; with a noisy one the set brings its own noise. gray: its files are gray.
    """

    folders: dict[Part, tuple[str, ...]]
    page: str
    count: int
    names: tuple[str, ...] = ()
    other_names: tuple[str, ...] = ()
    clean_suffix: str = ""
    noisy_suffix: str | None = None
    gray: bool = False


SETS: dict[SetName, _Set] = {
    "cbsd68": _Set(
        {"test": ("CBSD68/original_png", "CBSD68-dataset/CBSD68/original_png", "CBSD68")},
        "https://github.com/clausmichele/CBSD68-dataset",
        68,
        tuple(BSD68),
        tuple(f"{index:04d}" for index in range(68)),
    ),
    "kodak": _Set(
        {"test": ("Kodak", "Kodak24", "KodakDataset", "kodak-dataset")},
        "http://r0k.us/graphics/kodak/",
        24,
        tuple(f"kodim{number:02d}" for number in range(1, 25)),
        tuple(str(number) for number in range(1, 25)),
    ),
    "set14": _Set({"test": ("Set14", "Set14/original")}, "http://vllab.ucmerced.edu/wlai24/LapSRN", 12, SET14),
    "bsd300": _Set(
        {"test": ("BSD300/test", "BSD300/images/test", "BSDS300/images/test", "BSDS300/test")},
        BERKELEY + "bsds/",
        100,
        tuple(sorted([*BSD68, *BSD300_WITHOUT_BSD68], key=int)),
    ),
    "bsds500": _Set(
        {
            "train": ("BSDS500/train", "BSDS500/data/images/train", "BSDS500/images/train", "BSR/BSDS500/data/images/train"),
            "test": ("BSDS500/test", "BSDS500/data/images/test", "BSDS500/images/test", "BSR/BSDS500/data/images/test"),
        },
        BERKELEY + "grouping/resources.html",
        200,
    ),
    "polyu": _Set(
        {"test": ("PolyU/CroppedImages", "PolyU-Real-World-Noisy-Images-Dataset/CroppedImages", "PolyU")},
        "https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset",
        100,
        clean_suffix="_mean",
        noisy_suffix="_real",
    ),
    "cc": _Set(
        {
            "test": (
                "CC",
                "CC/Real_ccnoise_denoised_part",
                "Real_ccnoise_denoised_part",
                "MCWNNM-ICCV2017/Real_ccnoise_denoised_part",
            )
        },
        "https://github.com/csjunxu/MCWNNM-ICCV2017",
        15,
        clean_suffix="_mean",
        noisy_suffix="_real",
    ),
    "set12": _Set(
        {"test": ("Set12", "testsets/Set12")},
        "https://github.com/cszn/DnCNN",
        12,
        tuple(f"{number:02d}" for number in range(1, 13)),
        gray=True,
    ),
    "bsd68": _Set(
        {"test": ("BSD68", "testsets/BSD68")},
        "https://github.com/cszn/DnCNN",
        68,
        tuple(BSD68),
        # test001 to test068 are in the order of the numbers as text; each was matched to its colour image.
        tuple(f"test{sorted(BSD68).index(number) + 1:03d}" for number in BSD68),
        gray=True,
    ),
    "mcmaster": _Set(
        {"test": ("McMaster", "testsets/McMaster", "McM")},
        "https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
        18,
        tuple(str(number) for number in range(1, 19)),
    ),
    "urban100": _Set(
        {"test": ("Urban100", "Urban100/HR", "Urban100_HR")},
        "https://github.com/jbhuang0604/SelfExSR",
        100,
        tuple(f"img_{number:03d}" for number in range(1, 101)),
        tuple(f"img{number:03d}" for number in range(1, 101)),
    ),
}


class Standard(ImageSet):
    """One of `SETS`: test sets `cbsd68`, `kodak`, `set14` (its 12 colour images), `bsd300` (its 100 test images), `polyu`
    (100 real noisy crops and their means), `cc` (15 of them), `mcmaster`, `urban100`, and in gray `set12` and `bsd68`;
    training set `bsds500` (train and test parts, disjoint from all test sets).

    root: folder of data sets; `data` is searched after it. part: of bsds500, `train+test` unless said.
    first: only so many images, in the order of `names`. crop: side of a square from the middle of each image.
    channels: 3, or 1: converted to gray, Rec. 601 luma rounded to 8 bit, as MATLAB's rgb2gray does. Gray sets have 1 alone.
    stored: level of the 8-bit noise that the popular copy of CBSD68 keeps beside its clean images, in noisy25/ for 25.
    What is chosen of a set is part of its name. Images are named by the set itself, whatever the files are called.

    Raises: FileNotFoundError or ValueError that say where it was looked for, where it is had, and what is missing.
    """

    def __init__(
        self,
        which: SetName,
        root: str = "data",
        part: Part | None = None,
        first: Count | None = None,
        crop: Count | None = None,
        channels: Literal[1, 3] = 3,
        stored: int | None = None,
    ) -> None:
        if which not in SETS:
            raise ValueError(f"dataset.which is one of {', '.join(SETS)}, not {which!r}")
        check_chosen(channels, first, crop)
        own = SETS[which]
        if own.gray:
            check_gray(which, channels)
        every: Part = "train+test" if len(own.folders) > 1 else "test"
        parts: list[Part] = [name for name in own.folders if part in (None, every, name)]
        if not parts:
            raise ValueError(f"dataset.part of {which} is {' or '.join([*own.folders, every])}, not {part}")
        if stored is not None and (which != "cbsd68" or channels != 3):
            raise ValueError(f"dataset.stored={stored}: only cbsd68, in colour, comes with stored noise; set dataset.stored=null")
        self.which: SetName = which
        self.channels, self.crop, self.stored = channels, crop, stored
        self._files: dict[str, tuple[Path, Path | None]] = {}
        self._read_files = Files()
        for name in parts:
            self._files |= _found(which, name, (Path(root).expanduser(), Path("data")), stored)
        self.names = tuple(self._files)[:first]
        self.has_clean = True
        self.has_noisy = own.noisy_suffix is not None or stored is not None
        self.name = (
            which
            + (f"-{part}" if part not in (None, every) else "")
            + "-gray" * (channels == 1 and not own.gray)
            + (f"-first{first}" if first and first < len(self._files) else "")
            + (f"-crop{crop}" if crop else "")
        )

    @property
    def folder(self) -> Path:
        """Where its clean images lie; of several parts, the folder that holds them all."""
        return Path(os.path.commonpath([clean.parent for clean, _ in self._files.values()]))

    def clean(self, index: int) -> np.ndarray:
        return self._read(self._files[self.names[index]][0])

    def noisy(self, index: int) -> np.ndarray:
        noisy = self._files[self.names[index]][1]
        if noisy is None:
            raise ValueError(f"{self.name} has no noisy images of its own")
        return self._read(noisy)

    def files_of(self, index: int) -> tuple[Path | None, Path | None]:
        clean, noisy = self._files[self.names[index]]
        return (None, None) if self.crop else (noisy, clean)

    def scene(self, index: int) -> str:
        """A crop of PolyU is `camera_aperture_exposure_iso_object_number`: crops that differ in the number alone are taken
        for one photograph, which joins a few of its 40 scenes and parts none."""
        name = self.names[index]
        return name.rpartition("_")[0].rstrip("_") if self.which == "polyu" else name

    def size(self, index: int) -> tuple[int, int]:
        height, width = image_size(self._files[self.names[index]][0])
        return (height, width) if self.crop is None else (min(height, self.crop), min(width, self.crop))

    def damaged(self) -> list[str]:
        pairs = [self._files[name] for name in self.names]
        clean = dict(zip(self.names, (clean for clean, _ in pairs), strict=True))
        noisy = {name: noisy for name, (_, noisy) in zip(self.names, pairs, strict=True) if noisy}
        return [line for _, line in damaged_files([clean, noisy], Reading(self._stored_channels))]

    def _read(self, path: Path) -> np.ndarray:
        image = middle(self._read_files.image(path, self._stored_channels), self.crop)
        return image if self.channels == self._stored_channels else gray_of(image)

    @property
    def _stored_channels(self) -> int:
        return 1 if SETS[self.which].gray else 3

    @property
    def fingerprint(self) -> str:
        files = [(name, *(path and self._read_files.hash(path) for path in self._files[name])) for name in self.names]
        return fingerprint_of(self.channels, self.crop, *files)

    @property
    def files(self) -> tuple[Path, ...]:
        return self._read_files.paths

    @property
    def sources(self) -> frozenset[str]:
        berkeley = self.which in ("cbsd68", "bsd68", "bsd300", "bsds500")
        family = "bsd" if berkeley else self.which  # one archive, one numbering
        files = [path for name in self.names for path in self._files[name] if path is not None]
        kinds = [self._stored_channels, *([IN_GRAY] if self.channels == 1 < self._stored_channels else [])]
        pixels = (pixel_hash(path, kind) for path in files for kind in kinds)
        return frozenset([*(f"{family}/{name}" for name in self.names), *pixels])


def _found(which: SetName, part: Part, roots: tuple[Path, ...], stored: int | None) -> dict[str, tuple[Path, Path | None]]:
    """The clean file of each image, and its noisy one or None, by name."""
    own = SETS[which]
    places = list(dict.fromkeys(root / folder for root in roots for folder in own.folders[part]))
    folders = [folder for place in places if (folder := in_any_case(place)) is not None]
    complete = [folder for folder in folders if not _problem(own, folder, own.clean_suffix)]
    if not complete:
        looked = ", ".join(map(str, places))
        if not folders:
            raise FileNotFoundError(
                f"{which} is not here; looked for {looked}. Get it by `denoisebench data download {which}`, or from {own.page}, "
                "or set DENOISEBENCH_DATA to the folder of your data sets"
            )
        raise ValueError(f"{folders[0]}: {_problem(own, folders[0], own.clean_suffix)}; {_get(which)}")
    folder = complete[0]
    noisy_folder = folder
    if stored is not None:
        noisy_folder = folder.parent / f"noisy{stored}"
        if not noisy_folder.is_dir():
            raise FileNotFoundError(f"dataset.stored={stored}: no folder {noisy_folder}; it comes with {own.page}")
    clean = _named(own, _stems(folder, own.clean_suffix))
    if stored is None and own.noisy_suffix is None:
        return {name: (path, None) for name, path in clean.items()}
    noisy_suffix = own.noisy_suffix or ""
    if problem := _problem(own, noisy_folder, noisy_suffix):
        raise ValueError(f"{noisy_folder}: {problem}; {_get(which)}")
    noisy = _named(own, _stems(noisy_folder, noisy_suffix))
    if lonely := sorted(clean.keys() ^ noisy.keys()):
        raise ValueError(f"{noisy_folder}: noisy and clean images pair by name; without a partner: {', '.join(lonely[:5])}")
    return {name: (path, noisy[name]) for name, path in clean.items()}


def _get(which: SetName) -> str:
    return f"get it by `denoisebench data download {which}`, or from {SETS[which].page}"


def _stems(folder: Path, suffix: str) -> dict[str, Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."))
    return {path.stem.removesuffix(suffix): path for path in files if path.stem.endswith(suffix)}


def _problem(own: _Set, folder: Path, suffix: str) -> str | None:
    """What a folder lacks to be this set; None for nothing."""
    stems = _stems(folder, suffix)
    if not own.names:
        return None if len(stems) == own.count else f"expected {own.count} images, got {len(stems)}"
    lacks = min(([name for name in naming if name not in stems] for naming in (own.names, own.other_names) if naming), key=len)
    listed = ", ".join(lacks[:8]) + (f" and {len(lacks) - 8} more" if len(lacks) > 8 else "")
    return f"expected {own.count} images, missing {listed}" if lacks else None


def _named(own: _Set, stems: dict[str, Path]) -> dict[str, Path]:
    """Files by the names that the set gives its images, in its order; what else lies in the folder is left out."""
    if not own.names:
        return dict(sorted(stems.items()))
    naming = own.names if all(name in stems for name in own.names) else own.other_names
    return {name: stems[file] for name, file in zip(own.names, naming, strict=True)}
