"""Calibrate the proxies that rank methods without ground truth, on sets that have it.

    python benchmarks/ranking.py --data DIR --weights DIR --out scores.csv [--minutes 3]

Adds a row for each image and method to `scores.csv`: true PSNR, and every proxy. Started again, it goes on where it stopped;
`benchmarks/ranking_table.py` makes the tables of experiments/ranking. --weights: a folder with released networks
(`ffdnet_color.pth`, `tmbsn_student_sidd.pth`, `aprrd_student_1.00M_sidd.pth`); those that lack are left out.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

import denoisebench
from denoisebench import noise
from denoisebench.datasets.reading import middle, read_image
from denoisebench.diagnosis.diagnosis import Diagnosis, diagnosed
from denoisebench.diagnosis.proxies import PROXIES, Subject
from denoisebench.ranking import CANDIDATES
from denoisebench.seeding import seed_from

CROP = 96
SYNTHETIC = {
    "gaussian15": noise.Gaussian(sigma=15), "gaussian25": noise.Gaussian(sigma=25), "gaussian50": noise.Gaussian(sigma=50),
    "poisson30": noise.Poisson(lam=30), "camera": noise.Camera(),
}  # fmt: skip
FILTERS = tuple(name for name in CANDIDATES if name != "zsn2n")  # which is trained for less here
RELEASED = {"ffdnet": "ffdnet_color.pth", "tm_bsn": "tmbsn_student_sidd.pth", "at_bsn": "aprrd_student_1.00M_sidd.pth"}
COUNTS = {"cbsd68": 3, "kodak": 3, "sidd_validation": 14, "polyu": 10}
HEAD = ("set", "noise", "image", "method", "psnr_db", "seconds", *PROXIES)
Denoise = Callable[[np.ndarray], np.ndarray]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Case:
    dataset: str
    noise: str
    image: str
    noisy: np.ndarray  # (C, H, W), the whole image
    clean: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--data", "--weights", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=1e9)
    given = parser.parse_args()
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * given.minutes
    methods = methods_of(given.weights)
    done = {(row["set"], row["noise"], row["image"], row["method"]) for row in rows_of(given.out)}
    for case in cases(given.data):
        diagnosis = diagnosed(case.noisy)
        for name, denoise in methods.items():
            if (case.dataset, case.noise, case.image, name) in done:
                continue
            if time.monotonic() > end:
                raise SystemExit(75)  # to be started again
            append(given.out, row_of(case, name, denoise, diagnosis))


def rows_of(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: dict[str, object]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, HEAD)
        if new:
            writer.writeheader()
        writer.writerow(row)


def methods_of(weights: Path) -> dict[str, Denoise]:
    methods: dict[str, Denoise] = {name: _of_array(name) for name in FILTERS}
    methods["zsn2n"] = _of_array("zsn2n", steps=200, features=24)
    for name, file in RELEASED.items():
        if (weights / file).exists():
            methods[name] = _planes(denoisebench.load(weights / file, name, channels=3))
    return methods


def _of_array(name: str, **settings: Any) -> Denoise:
    return _planes(lambda image: denoisebench.denoise(image, name, device="cpu", **settings))


def _planes(call: Callable[[np.ndarray], np.ndarray]) -> Denoise:
    def denoise(planes: np.ndarray) -> np.ndarray:
        image = np.ascontiguousarray(planes.transpose(1, 2, 0), np.float32)
        return call(image).transpose(2, 0, 1).astype(np.float64)

    return denoise


def row_of(case: Case, name: str, denoise: Denoise, diagnosis: Diagnosis) -> dict[str, object]:
    began = time.perf_counter()
    noisy = _middle(case.noisy)
    denoised = denoise(noisy)
    seconds = time.perf_counter() - began
    error = np.square(np.clip(denoised, 0, 1) - _middle(case.clean)).mean()
    of = Subject(noisy, denoised, denoise, diagnosis)
    about = {"set": case.dataset, "noise": case.noise, "image": case.image, "method": name}
    scores = {proxy: f"{judge(of):.6g}" for proxy, judge in PROXIES.items()}
    return {**about, "psnr_db": f"{-10 * np.log10(error):.4f}", "seconds": f"{seconds:.3f}", **scores}


def cases(data: Path) -> Iterator[Case]:
    """By turns from every set, so that a part of them is a fair part."""
    parts = [_synthetic(data, "cbsd68"), _synthetic(data, "kodak"), _pairs(data, "sidd_validation"), _pairs(data, "polyu")]
    while parts:
        for part in list(parts):
            case = next(part, None)
            if case is None:
                parts.remove(part)
            else:
                yield case


def _synthetic(data: Path, dataset: str) -> Iterator[Case]:
    folder = data / {"cbsd68": "CBSD68/original_png", "kodak": "Kodak"}[dataset]
    for path in _spread(sorted(folder.glob("*.png")), COUNTS[dataset]):
        clean = _read(path)
        for name, model in SYNTHETIC.items():
            generator = torch.Generator().manual_seed(seed_from(0, dataset, path.stem, name))
            noisy = model(torch.from_numpy(clean)[None], generator)[0].numpy()
            yield Case(dataset, name, path.stem, noisy, clean)


def _pairs(data: Path, dataset: str) -> Iterator[Case]:
    if dataset == "polyu":
        noisy = sorted((data / "PolyU" / "CroppedImages").glob("*_real.JPG"))
        pairs = [(path, path.with_name(path.name.replace("_real", "_mean"))) for path in noisy]
    else:
        noisy = sorted((data / "SIDD_val_320" / "noisy").glob("*.png"))
        pairs = [(path, path.parents[1] / "clean" / path.name) for path in noisy]
    for first, second in _spread(pairs, COUNTS[dataset]):
        yield Case(dataset, "real", first.stem, _read(first), _read(second))


def _spread(items: list[Item], count: int) -> list[Item]:
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, count)]


def _read(path: Path) -> np.ndarray:
    """An image, (C, H, W) in [0, 1]."""
    return read_image(path, 3).transpose(2, 0, 1).astype(np.float64) / 255


def _middle(planes: np.ndarray) -> np.ndarray:
    """What methods are tried on; the diagnosis sees the whole image."""
    return middle(planes.transpose(1, 2, 0), CROP).transpose(2, 0, 1)


if __name__ == "__main__":
    main()
