"""What data sets there are, whose they are, where they are had and what their files must be.

`checksums/*.sha256` hold a line `SHA-256  name` for each file of a set, as sha256sum prints and checks them, computed
from the copies at the commits below. Where another copy is encoded otherwise, its checksums differ.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath

GITHUB = "https://raw.githubusercontent.com/"
NEIGHBOR2NEIGHBOR = GITHUB + "TaoHuang2018/Neighbor2Neighbor/e66389ebef1e64d306d8fcb95f096cf427243452/validation/"
CBSD68 = GITHUB + "clausmichele/CBSD68-dataset/51a07a95884ac7c8bdd5d1614f9da781adc3c4a0/CBSD68/"
POLYU = GITHUB + "csjunxu/PolyU-Real-World-Noisy-Images-Dataset/3af0f2646b267a00446fe4b7113a15e67bc80b4e/CroppedImages/"
CC = GITHUB + "csjunxu/MCWNNM-ICCV2017/e6db69b01ff21e89461cc49893c89afb1a9a941c/Real_ccnoise_denoised_part/"
DNCNN = GITHUB + "cszn/DnCNN/e93b27812d3ff523a3a79d19e5e50d233d7a8d0a/testsets/"
SWINIR = GITHUB + "JingyunLiang/SwinIR/6545850fbf8df298df73d81f3e8cba638787c8bd/testsets/"
BSDS500 = GITHUB + "BIDS/BSDS500/a04b7c6c3a9f0ace74bf205c72a43d32e1c72722/BSDS500/data/images/"
SIDD_BLOCKS = "http://130.63.97.225/share/SIDD_Blocks/"
SIDD_PAGE = "https://abdokamel.github.io/sidd/"
BERKELEY = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/"
BERKELEY_LICENCE = "non-commercial, research"
NONE_STATED = "none stated: see its page"
FRAMES_TREE = "Data/*/*_SRGB_0*.PNG"
RAW_FRAMES_TREE = "Data/*/*_RAW_0*.MAT"


@dataclass(frozen=True)
class Part:
    """A folder of a set, below a root, as `download` makes it.

    files: the SHA-256 of each file by its name, None where none is known. url: where each is had, by its name.
    """

    folder: str
    files: Mapping[str, str | None]
    url: str | None = None


@dataclass(frozen=True)
class Entry:
    """A data set. size: bytes on the disk. parts: its folders. sides: of each image, in
    either order, where all are alike. trees: what its files look like below the folder of its only part, where their names
    are not known; the first that fits counts. by_hand: what a person has to do, in words. channels: of its images.
    """

    what: str
    page: str
    licence: str
    size: int
    parts: tuple[Part, ...] = ()
    sides: tuple[int, int] | None = None
    trees: tuple[str, ...] = ()
    by_hand: str = ""
    channels: int = 3

    @property
    def fetched(self) -> bool:
        """Whether `download` can get it without a person."""
        return any(part.url for part in self.parts)

    def place(self, member: PurePosixPath) -> str | None:
        """Where a file of an archive goes, below a root; None for what is no part of the set.

        A file counts by its name and that of its folder, or by its name alone at the top of an archive.
        """
        for tree in self.trees:
            tail = PurePosixPath(*member.parts[-len(PurePosixPath(tree).parts) :])
            if tail.match(tree):
                return f"{self.parts[0].folder}/{tail}"
        for part in self.parts:
            parent = member.parent.name.lower()
            if member.name in part.files and parent in ("", PurePosixPath(part.folder).name.lower()):
                return f"{part.folder}/{member.name}"
        return None


def _sums(name: str) -> dict[str, str | None]:
    """The checksums of a list, by file name."""
    text = (files("denoisebench") / "datasets" / "checksums" / f"{name}.sha256").read_text(encoding="ascii")
    return {file: checksum for checksum, file in (line.split("  ", 1) for line in text.splitlines())}


def _stored(level: int, size: int) -> Entry:
    """The stored noise of CBSD68 at a level."""
    return Entry(
        f"stored noise: noise=stored{level}",
        "https://github.com/clausmichele/CBSD68-dataset",
        BERKELEY_LICENCE,
        size,
        (Part(f"CBSD68/noisy{level}", _sums(f"cbsd68_noisy{level}"), f"{CBSD68}noisy{level}/"),),
        sides=(321, 481),
    )


CATALOGUE: dict[str, Entry] = {
    "photos": Entry("8 photographs inside scikit-image", "https://scikit-image.org/", "public domain or CC0", 0),
    "cbsd68": Entry(
        "68 test images",
        "https://github.com/clausmichele/CBSD68-dataset",
        BERKELEY_LICENCE,
        20084133,
        (Part("CBSD68/original_png", _sums("cbsd68"), CBSD68 + "original_png/"),),
        sides=(321, 481),
    ),
    "cbsd68_noisy15": _stored(15, 26699123),
    "cbsd68_noisy25": _stored(25, 28787832),
    "cbsd68_noisy50": _stored(50, 30969705),
    "kodak": Entry(
        "24 photographs",
        "http://r0k.us/graphics/kodak/",
        NONE_STATED,
        15394305,
        (Part("Kodak", _sums("kodak"), NEIGHBOR2NEIGHBOR + "Kodak/"),),
        sides=(512, 768),
    ),
    "set14": Entry(
        "12 colour images of Set14",
        "http://vllab.ucmerced.edu/wlai24/LapSRN",
        NONE_STATED,
        4502713,
        (Part("Set14", _sums("set14"), NEIGHBOR2NEIGHBOR + "Set14/"),),
    ),
    "bsd300": Entry(
        "100 test images of BSDS300",
        BERKELEY + "bsds/",
        BERKELEY_LICENCE,
        27258576,
        (Part("BSD300/test", _sums("bsd300"), NEIGHBOR2NEIGHBOR + "BSD300/test/"),),
        sides=(321, 481),
    ),
    "bsds500": Entry(
        "400 images: a training set",
        BERKELEY + "grouping/resources.html",
        BERKELEY_LICENCE,
        29295324,
        tuple(Part(f"BSDS500/{part}", _sums(f"bsds500_{part}"), f"{BSDS500}{part}/") for part in ("train", "test")),
        sides=(321, 481),
    ),
    "polyu": Entry(
        "100 real noisy crops and their means",
        "https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset",
        "non-commercial use",
        4688609,
        (Part("PolyU/CroppedImages", _sums("polyu"), POLYU),),
        sides=(512, 512),
    ),
    "cc": Entry(
        "15 real noisy crops and their means",
        "https://github.com/csjunxu/MCWNNM-ICCV2017",
        "non-commercial use",
        10202160,
        (Part("CC", _sums("cc"), CC),),
        sides=(512, 512),
    ),
    "set12": Entry(
        "12 gray test images",
        "https://github.com/cszn/DnCNN",
        NONE_STATED,
        1195905,
        (Part("Set12", _sums("set12"), SWINIR + "Set12/"),),
        channels=1,
    ),
    "bsd68": Entry(
        "68 gray test images",
        "https://github.com/cszn/DnCNN",
        BERKELEY_LICENCE,
        6450605,
        (Part("BSD68", _sums("bsd68"), DNCNN + "BSD68/"),),
        sides=(321, 481),
        channels=1,
    ),
    "mcmaster": Entry(
        "18 colour photographs",
        "https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
        NONE_STATED,
        13610142,
        (Part("McMaster", _sums("mcmaster"), SWINIR + "McMaster/"),),
        sides=(500, 500),
    ),
    "urban100": Entry(
        "100 photographs of buildings",
        "https://github.com/jbhuang0604/SelfExSR",
        NONE_STATED,
        135 * 10**6,
        (Part("Urban100", {f"img_{number:03d}.png": None for number in range(1, 101)}),),
        by_hand="fetch the 100 full-size images and name them img_001.png to img_100.png",
    ),
    "fmdd": Entry(
        "240 fields of view of fluorescence microscopy, 50 noisy shots each",
        "https://github.com/yinhaoz/denoising-fluorescence",
        NONE_STATED,
        4 * 10**9,
        (Part("FMDD", {}),),
        trees=("test_mix/*/*.png", "*/*/*/*.png"),
        by_hand="fetch the archives of its 12 kinds of image (Confocal_FISH.tar and others) and of their mix (test_mix.tar) from "
        "the links on its page",
    ),
    "sidd_validation": Entry(
        "1280 real noisy blocks and clean ones",
        SIDD_PAGE,
        "MIT",
        503316480,
        (Part("SIDD", {"ValidationNoisyBlocksSrgb.mat": None, "ValidationGtBlocksSrgb.mat": None}, SIDD_BLOCKS),),
        by_hand="fetch the two files of validation blocks (sRGB)",
    ),
    "sidd_benchmark": Entry(
        "1280 real noisy blocks",
        SIDD_PAGE,
        "MIT",
        251658240,
        (Part("SIDD", {"BenchmarkNoisyBlocksSrgb.mat": None}, SIDD_BLOCKS),),
        by_hand="fetch the file of benchmark blocks (sRGB)",
    ),
    "sidd_medium": Entry(
        "320 real noisy frames and clean ones",
        SIDD_PAGE,
        "MIT",
        12 * 10**9,
        (Part("SIDD", {}),),
        trees=(FRAMES_TREE,),
        by_hand=(
            "fetch SIDD-Medium, sRGB; its parts SIDD_Medium_Srgb_Parts.zip, .z01 to .z12 are joined by "
            "`zip -FF SIDD_Medium_Srgb_Parts.zip --out SIDD_Medium_Srgb.zip`"
        ),
    ),
    "sidd_raw_validation": Entry(
        "1280 real noisy Bayer planes and clean ones",
        SIDD_PAGE,
        "MIT",
        671088640,
        (Part("SIDD", {"ValidationNoisyBlocksRaw.mat": None, "ValidationGtBlocksRaw.mat": None}),),
        by_hand="fetch the two files of validation blocks (raw)",
        channels=1,
    ),
    "sidd_raw_benchmark": Entry(
        "1280 real noisy Bayer planes",
        SIDD_PAGE,
        "MIT",
        335544320,
        (Part("SIDD", {"BenchmarkNoisyBlocksRaw.mat": None}),),
        by_hand="fetch the file of benchmark blocks (raw)",
        channels=1,
    ),
    "sidd_raw_medium": Entry(
        "320 real noisy raw frames and clean ones",
        SIDD_PAGE,
        "MIT",
        20 * 10**9,
        (Part("SIDD", {}),),
        trees=(RAW_FRAMES_TREE,),
        by_hand="fetch SIDD-Medium, raw, and join its parts as its page says",
        channels=1,
    ),
    "dnd": Entry(
        "1000 boxes of 50 real noisy photographs",
        "https://noise.visinf.tu-darmstadt.de/downloads/",
        "see its page",
        12_800_000_000,
        (
            Part("DND/dnd_2017", {"info.mat": None}),
            Part("DND/dnd_2017/images_srgb", {f"{image:04d}.mat": None for image in range(1, 51)}),
        ),
        by_hand="fetch dnd_2017: info.mat and the sRGB images",
    ),
}


def entry_of(name: str) -> Entry:
    """Raises: ValueError with the nearest valid names."""
    if name not in CATALOGUE:
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(f"no data set {name}; {hint}Valid: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
