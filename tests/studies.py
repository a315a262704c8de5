"""A study as runs leave it, with given scores."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from denoisebench.store.cell import Cell
from denoisebench.store.pictures import output_name, write_png
from denoisebench.store.plan import add_to_plan
from denoisebench.store.rows import write_rows

STUDY = Path("runs/study")


def add_cell(
    method: str, psnrs: Mapping[str, float | None], *, dataset: str = "set", noise: str = "gaussian25", seed: int = 0,
    setup: str = "setup", ssim: float | None = 0.5, scenes: Mapping[str, str] | None = None, repeats: int = 1, **columns: Any,
) -> Cell:  # fmt: skip
    """A finished cell as a run leaves it, with given scores; scenes: the photograph of each image, if rows tell it."""
    key = hashlib.sha256(repr((method, dataset, noise, seed, setup)).encode()).hexdigest()[:12]
    cell = Cell("runs", "study", method, dataset, noise, seed, key, setup)
    rows = [
        {"study": "study", "method": method, "dataset": dataset, "noise": noise, "seed": seed, "repeat": repeat, "image": image,
         "protocol": "default", "psnr_db": psnr, "ssim": None if psnr is None else ssim, "seconds": 0.25, "peak_mib": 100.0,
         "learns": "nothing", "tags": "", "noisy_sha": f"{dataset}{noise}{seed}{image}".replace("/", ""),
         "clean_sha": "" if psnr is None else f"clean{dataset}{image}".replace("/", ""),
         "status": "unscored" if psnr is None else "done", "key": key, "setup": setup, "commit": "abc",
         "scene": (scenes or {}).get(image, ""), **columns}
        for repeat in range(repeats) for image, psnr in psnrs.items()
    ]  # fmt: skip
    write_rows(cell.folder / "rows.csv", rows)
    rng = np.random.default_rng(0)
    for row in rows:
        write_png(cell.folder / "images" / output_name(row["image"], row["repeat"]), rng.random((12, 16, 3)), bits=16)
        write_png(cell.inputs / f"{row['noisy_sha']}-noisy.png", rng.random((12, 16, 3)))
        if row["psnr_db"] is not None:
            write_png(cell.inputs / f"{row['clean_sha']}-clean.png", rng.random((12, 16, 3)), bits=16)
    cell.set_status("done", images=len(rows))
    add_to_plan(STUDY, [cell])
    return cell
