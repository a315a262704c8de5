"""The model card of a network that was trained here: what it is, what it learned from, how well it does, what it is not for."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from denoisebench.citations import described_at
from denoisebench.config import conf_dir
from denoisebench.datasets.catalogue import CATALOGUE
from denoisebench.report.health import recorded
from denoisebench.report.plain import markdown_table, markdown_text
from denoisebench.report.published import base_of, set_of
from denoisebench.report.results import summarise
from denoisebench.report.rows import read_rows
from denoisebench.report.table import TAG_TEXTS, seconds_text, training_text
from denoisebench.store.plan import plan_around
from denoisebench.store.rows import Row
from denoisebench.store.trainings import WEIGHTS, weights_in


def card(folder: Path) -> str:
    """Markdown, from what the cell recorded. Raises: ValueError for a cell without a network that was trained here."""
    rows = read_rows(folder)
    first = rows[0]
    if first["learns"] != "dataset" or first["selection"] == "given":
        raise ValueError(f"{folder}: {first['method']} trained no network here, so there is no model card")
    plain = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    manifest = recorded(folder / "manifest.json")
    parts = [
        _title(first, plain),
        _weights(folder, first, plain),
        _training(first, plain, manifest),
        _scores(rows),
        _limits(first),
    ]
    return "\n\n".join(["\n".join(part) for part in parts]) + "\n"


def _title(row: Row, plain: Any) -> Iterator[str]:
    about = described_at(plain["method"]["_target_"])
    yield f"# {row['method']}, trained on {row['trained_on']}\n"
    yield f"{about.what}\n"
    if about.told:
        yield f"{about.told}"


def _weights(folder: Path, row: Row, plain: Any) -> Iterator[str]:
    yield "## Weights\n"
    yield from markdown_table(["", ""], [[name, text] for name, text in (
        ("parameters", f"{float(row['parameters']):,.0f}" if row.get("parameters") else "not recorded"),
        ("bytes", f"{float(row['weights_bytes']):,.0f}" if row.get("weights_bytes") else "not recorded"),
        ("SHA-256 of the weights", row.get("weights_sha") or "not recorded"),
        ("selected", row["selection"]), ("key of the cell", row["key"]), ("commit", row["commit"]),
    )], texts=(0, 1)).splitlines()  # fmt: skip
    yield "\n```python\nimport denoisebench\n"
    settings = "".join(f", {key}={value!r}" for key, value in _needed(base_of(row["method"]), plain["method"]).items())
    yield f"denoiser = denoisebench.load({_file(folder, row)!r}, method={base_of(row['method'])!r}{settings})"
    yield "denoised = denoiser(noisy)  # (H, W, C), uint8, uint16 or float in [0, 1]\n```"


def _file(folder: Path, row: Row) -> str:
    """Where the weights are, below this folder if they are; only their name if they are not on this machine."""
    planned = plan_around(folder.resolve()).get(row["key"])
    file = weights_in(planned.training) if planned and planned.train_key else Path(WEIGHTS)
    if not file.is_file():
        return file.name
    return os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file)


def _needed(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without which the weights would not fit or the method would be another: those that its YAML does not say."""
    path = Path(conf_dir()) / "method" / f"{name}.yaml"
    usual = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    usual |= {"_target_": settings["_target_"], "channels": 3}
    return {key: value for key, value in settings.items() if not _same(value, usual.get(key, ...))}


def _same(value: Any, other: Any) -> bool:
    """Whether two values of a YAML are one; PyYAML reads 3e-4 as text."""
    try:
        return value == other or float(value) == float(other)
    except (TypeError, ValueError):
        return False


def _training(row: Row, plain: Any, manifest: Any) -> Iterator[str]:
    known = CATALOGUE.get(set_of(row["trained_on"]))
    training = plain["training"]
    hardware = manifest.get("hardware", {})
    devices = ", ".join(hardware.get("gpus", [])) or hardware.get("cpu", "not recorded")
    yield "## Training\n"
    yield from markdown_table(["", ""], [[name, markdown_text(str(text))] for name, text in (
        ("images", row["trained_on"]), ("their licence", known.licence if known else "not known"), ("noise", row["train_noise"]),
        ("steps", row["train_steps"]), ("patch, batch", f"{training['patch']}, {training['batch']}"), ("budget", row["budget"]),
        ("seed", row["seed"]), ("time", training_text(row["train_seconds"])), ("on", devices),
        ("settings", ", ".join(f"{k}={v}" for k, v in plain["method"].items() if k != "_target_")),
    )], texts=(0, 1)).splitlines()  # fmt: skip


def _scores(rows: Sequence[Row]) -> Iterator[str]:
    yield "## Scores\n"
    body = [
        [markdown_text(r.dataset), r.noise, r.protocol, str(r.images), "" if r.psnr_db is None else f"{r.psnr_db:.2f}",
         "" if r.ssim is None else f"{r.ssim:.4f}", seconds_text(r.seconds)]
        for r in summarise([{"lab": "", **row} for row in rows])
    ]  # fmt: skip
    yield from markdown_table(
        ["data set", "noise", "protocol", "images", "PSNR in dB", "SSIM", "per image"], body, texts=(0, 1, 2)
    ).splitlines()


def _limits(row: Row) -> Iterator[str]:
    yield "## Limits\n"
    yield f"- It was trained on {row['trained_on']} under {row['train_noise']}; the scores above are all that was tested."
    if row["budget"] != "paper":
        yield f"- Its budget is {row['budget']}: it says nothing about the published method."
    for tag in row["tags"].split():
        yield f"- {tag}: {TAG_TEXTS.get(tag, 'see the documentation')}."
    yield "- A denoiser invents what noise has hidden. Do not measure or diagnose on its output alone."
