"""A study -> one zip: the same study gives the same bytes, on every machine (nothing in it is compressed or dated)."""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

import denoisebench
from denoisebench.packs.contents import HEAD, IDENTITY, Author, Head, Packed, portable, without_machine
from denoisebench.store.cell import Cell
from denoisebench.store.code import FILE as CODE
from denoisebench.store.code import kept_code
from denoisebench.store.files import DamagedError, read_json, whole_file
from denoisebench.store.finished import read_finished
from denoisebench.store.pictures import output_name, read_stored, stored_sha
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import SERVER_ROWS, Row, csv_text, read_server_rows, rows_text

Content = bytes | Path
MEASURES = "measures.json"  # as cells keep it
NOT_HAD = "it could not be had where this was computed"


def write_pack(study: Path, to: Path, author: Author, *, images: bool = False) -> Head:
    """Write the finished cells of a study to a zip, completely or not at all. images: with their outputs.

    Raises: ValueError if nothing is finished, or a kept output is not the one that was scored; with `images`,
    FileNotFoundError for an output that is gone.
    """
    planned = sorted(read_plan(study).values(), key=lambda cell: cell.key)
    done = [cell for cell in planned if cell.state == "done"]
    if not done:
        raise ValueError(f"{study}: no finished cell to pack; `denoisebench status {study.name}` says why")
    content = {name: one for cell in done for name, one in _members(cell, images=images)}
    head = Head(
        study.resolve().name, author, denoisebench.__version__, tuple(map(_packed, done)),
        tuple(_left_out(cell) for cell in planned if cell.state != "done"), images,
        {name: _sha(content[name]) for name in sorted(content)},
    )  # fmt: skip
    with whole_file(to) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, HEAD, json.dumps(head.plain, indent=1, sort_keys=True).encode())
        for name in sorted(content):
            _add(archive, name, content[name])
    return head


def _packed(cell: Cell) -> Packed:
    views = len({(row["image"], row["repeat"]) for row in read_finished(cell.folder)})
    return Packed(
        cell.key, cell.setup, cell.label, cell.dataset, cell.noise, cell.seed, cell.train_key, portable(cell.overrides), views
    )


def _left_out(cell: Cell) -> dict[str, Any]:
    return {"label": cell.label, "dataset": cell.dataset, "noise": cell.noise, "seed": cell.seed, "state": cell.state}


def _members(cell: Cell, *, images: bool) -> Iterator[tuple[str, Content]]:
    place, rows = f"cells/{cell.key}", _with_hashes(cell, must_exist=images)
    yield f"{place}/rows.csv", rows_text([{**row, "study": cell.study} for row in rows]).encode()
    yield f"{place}/config.yaml", _config(cell.folder / "config.yaml").encode()
    yield f"{place}/manifest.json", _json(read_json(cell.folder / "manifest.json"))
    if code := kept_code(cell.folder):
        yield f"{place}/{CODE}", _json({name: one for name, one in code.items() if not one["root"]})
    if measures := _measures(cell.folder):
        yield f"{place}/{MEASURES}", _json(measures)
    if answers := read_server_rows(cell.folder):
        yield f"{place}/{SERVER_ROWS}", csv_text(tuple(answers[0]), answers).encode()
    for name in sorted({output_name(row["image"], int(row["repeat"])) for row in rows}) if images else ():
        yield f"{place}/images/{name}", cell.folder / "images" / name


def _config(path: Path) -> str:
    plain = without_machine(yaml.safe_load(path.read_text(encoding="utf-8")))
    return yaml.safe_dump({name: plain[name] for name in IDENTITY if name in plain}, sort_keys=True, allow_unicode=True)


def _measures(folder: Path) -> dict[str, Any]:
    """What the further measures of a cell are. Why one has no scores names places of this machine: that stays here."""
    try:
        kept = read_json(folder / MEASURES)
    except (FileNotFoundError, DamagedError):
        return {}
    return {name: {**told, "reason": NOT_HAD if told.get("reason") else None} for name, told in kept.items()}


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()


def _with_hashes(cell: Cell, *, must_exist: bool) -> list[Row]:
    """The rows, each with the hash of its kept output, which rows of older versions lack. An output that is gone leaves the
    hash that its row has, if any. Raises: ValueError."""
    return [{**row, "output_sha": _output_sha(cell, row, must_exist=must_exist)} for row in read_finished(cell.folder)]


def _output_sha(cell: Cell, row: Row, *, must_exist: bool) -> str | None:
    path, told = cell.folder / "images" / output_name(row["image"], int(row["repeat"])), row.get("output_sha")
    if not must_exist and not path.exists():
        return told
    own = stored_sha(read_stored(path))
    if told not in (None, "", own):
        raise ValueError(
            f"{cell}: the kept output of {row['image']} is not the one that was scored; force=true computes it again"
        )
    return own


def _sha(content: Content) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add(archive: zipfile.ZipFile, name: str, content: Content) -> None:
    about = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    about.create_system, about.external_attr = 3, 0o644 << 16
    archive.writestr(about, content if isinstance(content, bytes) else content.read_bytes())
