"""Pictures of a report: where each image lies, its hardest crops, and what a method left of the noise.

Whole images are not copied: the page links the kept outputs and loads one when it is looked at. For some images (evenly
over the scores, hardest and easiest among them, as many as take seconds) crops are written to `report/crops/`, and the
residual noisy - denoised is measured.
"""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np

from denoisebench.report.results import Result, all_images
from denoisebench.report.study import Report
from denoisebench.report.table import tags_of
from denoisebench.scoring.measures import MEASURES
from denoisebench.store.cell import key_of
from denoisebench.store.pictures import output_name, read_png, write_png
from denoisebench.store.rows import MEANS, Row

CROP_SIDE = 64
CROPS = 3
LAGS = 4
ANALYSED_OUTPUTS = 200
THREADS = 4


@dataclass(frozen=True)
class View:
    """One noisy image, and the rows of the methods that were given exactly it (None of those that were not).

    shown: where pictures of it lie, if they are others than what was scored.
    """

    image: str
    noisy: Path
    clean: Path | None
    rows: list[Row | None]
    shown: "View | None" = None


@dataclass(frozen=True)
class Group:
    """The test images of one data set under one noise, and the methods that denoised them. said: of its pictures, after
    the noise."""

    dataset: str
    noise: str
    protocol: str
    results: list[Result]
    views: list[View]
    said: str = ""


def groups_of(report: Report) -> list[Group]:
    """A group for each data set and noise, scored under the first protocol that the studies hold."""
    places = {(r.dataset, r.noise): r.protocol for r in reversed(report.results) if r.scored_by == "local"}
    found = [_group(report, dataset, noise, places[dataset, noise]) for dataset, noise in reversed(places)]
    return [group for group in found if group.views]


def _group(report: Report, dataset: str, noise: str, protocol: str) -> Group:
    results = [r for r in report.at((dataset, noise, protocol)) if any(map(_is_kept, r.rows))]
    seed = min((row["seed"] for r in results for row in r.rows), key=lambda text: (len(text), text), default="0")
    at = [
        {row["image"]: row for row in r.rows if row["repeat"] == "0" and row["seed"] == seed and _is_kept(row)} for r in results
    ]
    images = dict.fromkeys(image for rows in at for image in rows)
    return Group(dataset, noise, protocol, results, [_view(image, [rows.get(image) for rows in at]) for image in images])


def _is_kept(row: Row) -> bool:
    """Whether images are here: a pack has no inputs, and a mean has nothing."""
    if row["scored_by"] in MEANS:
        return False
    return not row.get("lab") or (output_of(row).is_file() and (inputs_of(row) / f"{row['noisy_sha']}-noisy.png").is_file())


def _view(image: str, rows: Sequence[Row | None]) -> View:
    first = next(row for row in rows if row is not None)
    inputs = inputs_of(first)
    same = [row if row is not None and row["noisy_sha"] == first["noisy_sha"] else None for row in rows]
    clean = inputs / f"{first['clean_sha']}-clean.png" if first["clean_sha"] else None
    return View(image, inputs / f"{first['noisy_sha']}-noisy.png", clean, same)


def inputs_of(row: Row) -> Path:
    """The folder of a study's noisy and clean images, from one of its rows."""
    return row["cell"].parents[3] / ".inputs"


def output_of(row: Row) -> Path:
    return row["cell"] / "images" / output_name(row["image"], int(row["repeat"]))


def chosen(views: Sequence[View], count: int) -> list[View]:
    """So many views, evenly from the hardest (least mean PSNR over the methods) to the easiest."""
    if count >= len(views):
        return list(views)
    by_score = sorted(views, key=_mean_psnr)
    return [by_score[round(i)] for i in np.linspace(0, len(views) - 1, count)] if count else []


def _mean_psnr(view: View) -> float:
    known = [row["psnr_db"] for row in view.rows if row is not None and row["psnr_db"] is not None]
    return float(np.mean(known)) if known else math.inf


def analysed_count(groups: Sequence[Group], pictures: int | None) -> int:
    """How many images of each group are analysed: as asked for, or about 200 outputs in all."""
    methods = sum(len(group.results) for group in groups)
    return pictures if pictures is not None else max(2, ANALYSED_OUTPUTS // max(methods, 1))


def write_pictures(groups: Sequence[Group], folder: Path, pictures: int | None) -> list[dict[str, Any]]:
    """Write the crops under `folder`/report/crops; returns the data of the page's viewer, links relative to `folder`.

    pictures: images of each group to analyse; None for as many as take seconds.
    """
    count = analysed_count(groups, pictures)
    jobs = [(group, view) for group in groups for view in chosen(group.views, count)]
    with ThreadPoolExecutor(THREADS) as pool:
        analyses = list(pool.map(lambda job: _analysed(job[0], job[1], folder), jobs))
    found = {(id(group), view.image): one for (group, view), one in zip(jobs, analyses, strict=True)}
    return [_as_data(group, folder, {v.image: found.get((id(group), v.image)) for v in group.views}) for group in groups]


def _as_data(group: Group, folder: Path, analyses: dict[str, dict[str, Any] | None]) -> dict[str, Any]:
    images = all_images(group.results)
    cells = [
        next(row["cell"] for view in group.views if (row := (view.shown or view).rows[i]) is not None) for i in _shown(group)
    ]
    return {
        "dataset": group.dataset,
        "noise": group.noise + group.said,
        "protocol": group.protocol,
        "methods": [
            {
                "name": group.results[i].method,
                "tags": tags_of(group.results[i], images),
                "base": link(cell / "images", folder) + "/",
            }
            for i, cell in zip(_shown(group), cells, strict=True)
        ],
        "inputs": link((group.views[0].shown or group.views[0]).noisy.parent, folder) + "/",
        "images": [_image_data(group, view, analyses[view.image]) for view in group.views],
    }


def _shown(group: Group) -> list[int]:
    """The methods that have a picture: `noisy` is shown once, as the input."""
    seen = {i for view in group.views for i, row in enumerate(view.rows) if row is not None}
    return [i for i in sorted(seen) if group.results[i].method != "noisy"]


def _image_data(group: Group, view: View, analysis: dict[str, Any] | None) -> dict[str, Any]:
    rows = [view.rows[i] for i in _shown(group)]
    data = {
        "name": view.image,
        "file": quote(output_name(view.image, 0)),
        "noisy": view.noisy.name,
        "clean": view.clean.name if view.clean else None,
        "psnr": [_short(row["psnr_db"] if row else None, 2) for row in rows],
        "ssim": [_short(row["ssim"] if row else None, 4) for row in rows],
        "more": [_more(group, row) for row in rows],
    }
    return data | (analysis or {})


def _more(group: Group, row: Row | None) -> str:
    """` / LPIPS 0.1234`: the further measures of an output."""
    own = [m for m in group.results[0].measures if m not in MEASURES and row is not None and row.get(m.column) is not None]
    return "".join(f" / {m.title} {m.text(row[m.column])}" for m in own if row is not None)


def _short(value: float | None, digits: int) -> float | str | None:
    """JSON has no infinity."""
    return None if value is None else round(value, digits) if math.isfinite(value) else "inf"


def link(path: Path, folder: Path) -> str:
    """A relative address of a file or folder, as a page in `folder` writes it."""
    return quote(Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix())


# --- What is measured of one image -------------------------------------------------------------------------------


def _analysed(group: Group, view: View, folder: Path) -> dict[str, Any]:
    """Crops and residuals of one image; only the reason where an image of it is gone."""
    try:
        return _measured(group, view, folder)
    except (OSError, ValueError) as error:
        return {"problem": str(error)}


def _measured(group: Group, view: View, folder: Path) -> dict[str, Any]:
    noisy, clean, outputs = _images(group, view)
    known = [output for output in outputs if output is not None] or [noisy]
    side = crop_side(*noisy.shape[:2])
    corners = hardest(error_map(known, clean), side, CROPS)
    first, last, others = (noisy, clean, outputs) if view.shown is None else _images(group, view.shown)
    columns = [first, *(output if output is not None else np.zeros_like(first) for output in others)]
    columns += [last] if last is not None else []
    sheet = contact_sheet(columns, corners, side)
    name = f"{key_of({'place': [group.dataset, group.noise], 'image': view.image})}.png"
    write_png(folder / "report" / "crops" / name, sheet)
    residuals = [None if output is None else residual(noisy, output) for output in outputs]
    return {
        "size": [noisy.shape[1], noisy.shape[0]],
        "sheet": f"report/crops/{name}",
        "crops": [[x, y] for y, x in corners],
        "side": side,
        "residual": residuals,
        "true": None if clean is None else residual(noisy, clean),
    }


def _images(group: Group, view: View) -> tuple[np.ndarray, np.ndarray | None, list[np.ndarray | None]]:
    """The noisy image, the clean one, and the output of each method that has a picture."""
    rows = [view.rows[i] for i in _shown(group)]
    clean = None if view.clean is None else read_png(view.clean).astype(np.float32)
    outputs = [None if row is None else read_png(output_of(row)).astype(np.float32) for row in rows]
    return read_png(view.noisy).astype(np.float32), clean, outputs


def crop_side(height: int, width: int) -> int:
    """64 pixels, or a third of a small image, so that several crops find room."""
    return min(CROP_SIDE, max(16, min(height, width) // 3), height, width)


def error_map(outputs: Sequence[np.ndarray], clean: np.ndarray | None) -> np.ndarray:
    """Mean squared error over methods and channels, (H, W); without a clean image, the variance over the methods."""
    if clean is None:
        return np.var(np.stack(outputs), axis=0).mean(axis=2)
    return np.mean([(output - clean) ** 2 for output in outputs], axis=0).mean(axis=2)


def hardest(errors: np.ndarray, side: int, count: int) -> list[tuple[int, int]]:
    """The corners (row, column) of the squares of greatest mean error, none touching another; fewer where no room is left."""
    sums = cv2.integral(errors.astype(np.float64))
    means = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    found: list[tuple[int, int]] = []
    while len(found) < count and np.isfinite(means).any() and means.max() > -math.inf:
        row, column = map(int, np.unravel_index(int(means.argmax()), means.shape))
        found.append((row, column))
        means[max(row - side + 1, 0) : row + side, max(column - side + 1, 0) : column + side] = -math.inf
    return found


def contact_sheet(columns: Sequence[np.ndarray], corners: Sequence[tuple[int, int]], side: int) -> np.ndarray:
    """The crops of each image (H, W, C) below each other, the images side by side."""
    strips = [np.concatenate([image[y : y + side, x : x + side] for y, x in corners]) for image in columns]
    return np.concatenate(strips, axis=1)


def residual(noisy: np.ndarray, denoised: np.ndarray) -> dict[str, Any]:
    """What was taken away: mean and standard deviation in 8-bit grey levels, and its autocorrelation at small lags.

    The noisy image is the kept one, clipped and in 8 bit. lags: 4 x 4, at (down, right) from (0, 0) to (3, 3), mean
    over channels; where the noise is white and nothing of the image was taken, all but the first are near 0.
    """
    left = noisy - denoised
    centred = left - left.mean(axis=(0, 1))
    height, width = left.shape[:2]
    variance = _mean_product(centred, centred)
    lags = [
        _mean_product(centred[: height - dy, : width - dx], centred[dy:, dx:]) / variance if variance > 0 else 0.0
        for dy in range(min(LAGS, height))
        for dx in range(min(LAGS, width))
    ]
    return {
        "mean": round(float(left.mean()) * 255, 2),
        "std": round(math.sqrt(variance) * 255, 2),
        "lags": [round(lag, 2) for lag in lags],
    }


def _mean_product(one: np.ndarray, other: np.ndarray) -> float:
    """The mean of a product, which is never held as an image of its own."""
    return float(np.einsum("hwc,hwc->c", one, other).sum()) / one.size
