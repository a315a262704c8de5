"""What a trial is judged by: a proxy of the noisy images alone, or as an oracle the PSNR."""

import json
import statistics
from pathlib import Path

import numpy as np
import torch

from denoisebench.config import ConfigError, nearest
from denoisebench.datasets.images import file_hash
from denoisebench.datasets.reading import middle
from denoisebench.datasets.views import NoisyViews
from denoisebench.denoiser import Denoiser
from denoisebench.diagnosis.diagnosis import diagnosed
from denoisebench.diagnosis.proxies import PROXIES, Denoise, Subject
from denoisebench.job import Job
from denoisebench.seeding import isolated_rng
from denoisebench.store.files import read_json, write_atomic
from denoisebench.store.finished import read_finished
from denoisebench.store.trainings import weights_in
from denoisebench.study.engines import engine_of
from denoisebench.study.making import method_and_data
from denoisebench.training.weights import load_weights

DEFAULT = "sure_diagnosed"
ORACLE = "oracle"
CROP = 128  # side in pixels of what a proxy is computed on, as in `ranking`
FILE = "objective.json"


def check_objective(name: str, job: Job) -> None:
    """Raises: ConfigError for an unknown one, and for an oracle without clean images."""
    if name not in {*PROXIES, ORACLE}:
        raise ConfigError(f"no objective={name}; {nearest(name, {*PROXIES, ORACLE})}")
    if name == ORACLE and not job.test_set.has_clean:
        raise ConfigError(
            f"objective=oracle is the PSNR, and {job.test_set.name} has no clean images: leave it out, and {DEFAULT} judges by "
            "the noisy images alone"
        )


def value_of(name: str, job: Job, images: int) -> float:
    """Of a finished cell; the smaller the better. A proxy's value is kept beside the rows that it goes with."""
    if name == ORACLE:
        rows = read_finished(job.cell.folder)
        return -statistics.fmean(float(row["psnr_db"]) for row in rows if row["protocol"] == rows[0]["protocol"])
    file, made_of = job.cell.folder / FILE, {"of": name, "images": images, "rows": file_hash(job.cell.folder / "rows.csv")}
    kept = _kept(file, made_of)
    if kept is None:
        kept = _proxy(name, job, images)
        write_atomic(file, json.dumps({**made_of, "value": kept}))
    return kept


def _kept(file: Path, made_of: dict[str, object]) -> float | None:
    content = read_json(file) if file.is_file() else None
    same = content is not None and {**content, "value": None} == {**made_of, "value": None}
    return float(content["value"]) if content is not None and same else None


def _proxy(name: str, job: Job, images: int) -> float:
    """The mean over the first images of the test set: a proxy says nothing of one image alone."""
    method, views = _denoiser(job), NoisyViews(job.test_set, job.noise, job.seed, 1, ())
    values = []
    for number in range(min(images, len(views))):
        batch = views.given(number)
        whole = batch.noisy[0].numpy()
        denoise = _denoise(method, batch.seed)
        part = middle(whole.transpose(1, 2, 0), min(CROP, *whole.shape[1:])).transpose(2, 0, 1).astype(np.float64)
        values.append(PROXIES[name](Subject(part, denoise(part), denoise, diagnosed(whole), job.seed)))
    return statistics.fmean(values)


def _denoiser(job: Job) -> Denoiser:
    """The method of a finished cell with the weights that it was tested with."""
    method, _ = method_and_data(job, validated=False)
    if weights := job.checkpoint or (weights_in(job.cell.training) if job.learning else None):
        load_weights(method, weights)
    return method.to("cuda" if engine_of(job).device == "gpu" else "cpu").eval()


def _denoise(method: Denoiser, seed: int) -> Denoise:
    """The method for planes (C, H, W), always with the same random numbers."""

    def denoise(planes: np.ndarray) -> np.ndarray:
        noisy = torch.from_numpy(np.ascontiguousarray(planes, np.float32))[None].to(method.device)
        with torch.no_grad(), isolated_rng(seed):
            return method.denoise(noisy)[0].double().cpu().numpy()

    return denoise
