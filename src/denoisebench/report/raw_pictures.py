"""Raw planes in a report: developed copies of what it shows, under `report/developed/`.

Black lies at 0, white balance is gray-world (of the clean image, where there is one), gamma is 2.2: pictures to look at, which
nothing is scored or measured by.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from denoisebench.report.viewer import Group, View, output_of
from denoisebench.store.cell import key_of
from denoisebench.store.pictures import read_png, write_png
from denoisebench.store.rows import Row

SAID = " (raw, developed for the eye: gray-world white balance, gamma 2.2)"


def developed(groups: Sequence[Group], folder: Path) -> list[Group]:
    """Groups of a report in `folder`; in those of raw planes each view has what is `shown` in its place."""
    return [_developed(group, folder / "report" / "developed") if _is_raw(group) else group for group in groups]


def _is_raw(group: Group) -> bool:
    """As the configuration of its first cell says."""
    row = next(row for view in group.views for row in view.rows if row is not None)
    try:
        plain: Any = yaml.safe_load((row["cell"] / "config.yaml").read_text(encoding="utf-8"))
        return any(plain["dataset"].get(step) is not None for step in ("pack", "unprocess"))
    except (OSError, AttributeError, KeyError, TypeError, yaml.YAMLError):
        return False


def _developed(group: Group, place: Path) -> Group:
    own = place / key_of({"dataset": group.dataset, "noise": group.noise})
    return replace(group, views=[replace(view, shown=_shown(view, own)) for view in group.views], said=SAID)


def _shown(view: View, place: Path) -> View:
    """The same view of developed copies; those that are there already are taken, an image that is gone stays as it is."""
    inputs = place / "inputs"
    rows: list[Row | None] = [row and {**row, "cell": place / row["key"]} for row in view.rows]
    clean = None if view.clean is None else inputs / view.clean.name
    shown = View(view.image, inputs / view.noisy.name, clean, rows)
    pairs = [(view.noisy, shown.noisy), *([(view.clean, clean)] if view.clean and clean else [])]
    pairs += [(output_of(row), output_of(new)) for row, new in zip(view.rows, rows, strict=True) if row and new]
    if lacking := [pair for pair in pairs if pair[0].is_file() and not _is_newer(pair[1], pair[0])]:
        from denoisebench.scoring.developed import pictures_of  # PyTorch: reports of other images do without

        reference: np.ndarray = read_png(view.clean or view.noisy)
        for (_, target), picture in zip(
            lacking, pictures_of([read_png(source) for source, _ in lacking], reference), strict=True
        ):
            write_png(target, picture)
    return shown


def _is_newer(copy: Path, source: Path) -> bool:
    return copy.is_file() and copy.stat().st_mtime_ns >= source.stat().st_mtime_ns
