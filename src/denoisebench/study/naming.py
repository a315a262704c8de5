"""`denoisebench weights add`: the network of a finished cell, kept under a name with a card."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from denoisebench.bayer import unpack
from denoisebench.config import ConfigError, named_weights
from denoisebench.config.jobs import job_of
from denoisebench.datasets.views import NoisyViews
from denoisebench.job import Job
from denoisebench.networks.layout import unwrapped
from denoisebench.networks.weight_files import as_safetensors, read_file
from denoisebench.packs.contents import portable
from denoisebench.progress import track
from denoisebench.report.results import summarise
from denoisebench.report.rows import read_cells
from denoisebench.report.statistics import ERROR, FEWEST_PHOTOGRAPHS, intervals
from denoisebench.seeding import isolated_rng
from denoisebench.store.cell import Cell
from denoisebench.store.files import read_json, whole_folder
from denoisebench.store.manifest import commit
from denoisebench.store.named import CARD, NAME, NamedWeights, card_text, own_shelf
from denoisebench.store.rows import Row
from denoisebench.store.trainings import WEIGHTS, weights_in
from denoisebench.study.export import cell_at, why_untrained
from denoisebench.training.origin import origin_of
from denoisebench.training.weights import load_weights

TRIED = 8  # test images of each cell on which both storages are compared
MARK = "denoisebench"


@dataclass(frozen=True)
class About:
    """What only a person knows of a network. licence: of the weights. data_licence: of what they were trained on."""

    text: str
    not_for: str
    licence: str
    data_licence: str


def add(name: str, place: Path, about: About) -> NamedWeights:
    """Keep the network of a finished cell as half-precision weights with a card, on the user's own shelf.

    Raises: ConfigError for a name that is taken or not valid, and for a cell whose network was not trained here or that was
    tested without clean images.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} is no name for weights: letters, digits, - and _")
    folder = own_shelf() / name
    if folder.exists():
        raise ConfigError(f"{folder} is there already: remove it first, or choose another name")
    cell, siblings = _cells(place)
    job, source = job_of(cell.overrides), weights_in(cell.training)
    if not job.test_set.has_clean:
        raise ConfigError(f"{job.test_set.name} has no clean images: cards tell scores, test on a set that has them")
    origin = origin_of(source)
    if origin is None:
        raise ConfigError(f"{cell.training}: nothing there says what {source.name} was trained on; train again with force=true")
    halves = _halved(unwrapped(read_file(source)))
    settings = named_weights.settings_of(cell.overrides, job.method.name)
    told = {"method": job.method.name, "budget": "paper", "channels": job.test_set.channels, "settings": json.dumps(settings)}
    with whole_folder(folder) as part:
        (part / WEIGHTS).write_bytes(as_safetensors(halves, {MARK: json.dumps(told)}))
        trained = read_json(cell.training / "training.json")
        kept = NamedWeights(part, {})
        card = {
            "name": name, "about": about.text, "not_for": about.not_for, "method": job.method.name,
            "channels": job.test_set.channels, "settings": settings, "sha256": kept.sha256(),
            "bytes": kept.file.stat().st_size, "storage": "float16",
            "storage_difference_db": _storage_difference([job_of(one.overrides) for one in siblings], source, kept.file),
            "licence": about.licence, "trained_on": origin.trained_on, "data_licence": about.data_licence,
            "train_noise": origin.train_noise, "selection": origin.selection, "steps": origin.steps, "seconds": origin.seconds,
            "recipe": list(portable(cell.overrides)), "commit": commit(), "scores": list(_scores(siblings)),
        }  # fmt: skip
        (part / "training.json").write_text(json.dumps({**trained, "weights": card["sha256"]}), encoding="utf-8")
        (part / CARD).write_text(card_text(card), encoding="utf-8")
    return NamedWeights(folder, card)


def _cells(place: Path) -> tuple[Cell, list[Cell]]:
    """The cell of a folder, and all finished cells of its study that were tested with the same training."""
    cell, plan = cell_at(place)
    if cell.train_key is None:
        raise ConfigError(f"{cell} trained no network: {why_untrained(job_of(cell.overrides))}")
    siblings = [one for one in plan.values() if one.train_key == cell.train_key and one.state == "done"]
    if cell not in siblings:
        raise ConfigError(f"{cell} is not finished: the same `denoisebench run` finishes it")
    return cell, siblings


def _halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    halves = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    if wide := [name for name, value in halves.items() if value.is_floating_point() and not bool(value.isfinite().all())]:
        raise ConfigError(f"{', '.join(wide[:3])} ({len(wide)} in all) hold numbers beyond what 16 bit can store")
    return halves


def _storage_difference(jobs: Sequence[Job], whole: Path, halved: Path) -> float:
    """The largest difference in dB between both storages, of the mean PSNR over the first images of each cell that has clean
    ones."""
    found, scored = [], [job for job in jobs if job.test_set.has_clean]
    with track("comparing both storages", len(scored)) as advance:
        for number, job in enumerate(scored):
            means = [float(np.mean(list(_psnr(job, file)))) for file in (whole, halved)]
            found.append(abs(means[1] - means[0]))
            advance(number + 1, str(job.cell))
    return round(max(found), 5)


def _psnr(job: Job, file: Path) -> Iterator[float]:
    """Of the first images of a set that has clean ones, as rows have it: planes that are packed for the method are unpacked."""
    method = job.method.make().eval()
    load_weights(method, file)
    method.tile = job.tile
    views = NoisyViews(job.test_set, job.noise, job.seed, 1, ())
    for number in range(min(TRIED, len(views))):
        batch = views.given(number)
        assert batch.clean is not None
        with isolated_rng(batch.seed), torch.no_grad():
            pair = method.denoise(batch.noisy).double(), batch.clean.double()
        denoised, clean = map(unpack, pair) if job.test_set.packed else pair
        yield job.protocols[0].scores(denoised, clean, None)["psnr_db"].item()


def _scores(cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    """Means with 95 % intervals over photographs, where there are enough of them."""
    for result in summarise(read_cells(cells)):
        yield {
            "dataset": result.dataset, "noise": result.noise, "protocol": result.protocol, "images": result.images,
            "photographs": result.photographs, "tags": result.tags,
            **{column: _mean(result.rows, column) for column in ("psnr_db", "ssim")},
        }  # fmt: skip


def _mean(rows: Sequence[Row], column: str) -> dict[str, float | None]:
    """Of a measure over photographs, each the mean of its rows; the interval is None of fewer than it holds for."""
    photographs: dict[str, list[float]] = {}
    for row in rows:
        if row[column] is not None:
            photographs.setdefault(row["scene"], []).append(row[column])
    if not photographs:
        return {"mean": None, "low": None, "high": None}
    means = np.array([np.mean(own) for own in photographs.values()])
    if len(means) < FEWEST_PHOTOGRAPHS:
        return {"mean": float(means.mean()), "low": None, "high": None}
    [[[low], [high]]] = intervals(means[None], (1 - ERROR,))
    return {"mean": float(means.mean()), "low": float(low), "high": float(high)}
