"""The benchmarks that score on a server, and how each wants its images."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from denoisebench.submit.dnd import read_bundle, write_bundle
from denoisebench.submit.kept import Kept, in_8_bit, in_floats, plane_in_floats
from denoisebench.submit.sidd import RAW, RAW_CSV, SRGB, SRGB_CSV


@dataclass(frozen=True)
class Kind:
    """The format in which a benchmark expects images.

    test_set: what the cell must be of; twin: the set with clean images that a dry run takes. output: the name of what is
    sent, to page. value_bytes: what a value takes in it. cast: kept uint16 -> what the server is given. write: to a path;
    read: (number, piece) back, in the order of the file.
    """

    test_set: str
    twin: str | None
    output: str
    page: str
    value_bytes: float
    cast: Callable[[np.ndarray], np.ndarray]
    write: Callable[[Kept, Path, Mapping[str, str]], None]
    read: Callable[[Path], Iterator[tuple[int, np.ndarray]]]


KAGGLE = "kaggle.com/competitions/sidd-benchmark-srgb-psnr and -ssim"
KAGGLE_RAW = "kaggle.com/competitions/sidd-benchmark-raw-psnr and -ssim"
FIRST_SERVER = "the first server of SIDD (down; Kaggle took its place)"
KINDS = {
    "sidd-kaggle": Kind(
        "sidd_benchmark", "sidd_validation", "SubmitSrgb.csv", KAGGLE,
        4 / 3, in_8_bit, SRGB_CSV.write, SRGB_CSV.read,
    ),
    "sidd-mat": Kind(
        "sidd_benchmark", "sidd_validation", "SubmitSrgb.mat", FIRST_SERVER,
        4, in_floats, SRGB.write, SRGB.read,
    ),
    "sidd-raw-kaggle": Kind(
        "sidd_raw_benchmark", "sidd_raw_validation", "SubmitRaw.csv", KAGGLE_RAW,
        16 / 3, plane_in_floats, RAW_CSV.write, RAW_CSV.read,
    ),
    "sidd-raw": Kind(
        "sidd_raw_benchmark", "sidd_raw_validation", "SubmitRaw.mat", FIRST_SERVER,
        4, plane_in_floats, RAW.write, RAW.read,
    ),
    "dnd": Kind(
        "dnd", None, "bundled", "noise.visinf.tu-darmstadt.de/submit (all files of the folder)",
        4, in_floats, write_bundle, read_bundle,
    ),
}  # fmt: skip
