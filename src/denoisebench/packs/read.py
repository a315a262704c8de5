"""A pack, read without trust: names, sizes and hashes are checked before anything in it is used."""

import hashlib
import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from denoisebench.packs.contents import HEAD, Head, Packed
from denoisebench.store.cell import Cell, study_folder
from denoisebench.store.files import whole_file, write_atomic
from denoisebench.store.plan import add_to_plan

LARGEST_HEAD = 256 * 2**20
ORIGIN = "origin.json"
BROKEN = (zipfile.BadZipFile, EOFError, RuntimeError, UnicodeDecodeError, OSError)


class Pack:
    """An open pack. head: the contents of `pack.json`. digest: SHA-256 of `pack.json`, which names every other file's.

    Raises: ValueError if it is not a pack; FileNotFoundError.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file")
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
            self._check_names()
            text = self.archive.read(HEAD)
            self.head = Head.read(json.loads(text))
        except (*BROKEN, KeyError, RecursionError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not a pack ({error})") from error
        except ValueError as error:
            raise ValueError(f"{path} is not a pack: {error}") from error
        self.digest = hashlib.sha256(text).hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.archive.close()

    def _check_names(self) -> None:
        infos = self.archive.infolist()
        if twice := [name for name, count in Counter(info.filename for info in infos).items() if count > 1]:
            raise ValueError(f"it holds {twice[0]} twice")
        if packed := [info.filename for info in infos if info.compress_type != zipfile.ZIP_STORED]:
            raise ValueError(f"{packed[0]} is compressed; files in a pack are not")
        head = next((info for info in infos if info.filename == HEAD), None)
        if head is None or head.file_size > LARGEST_HEAD:
            raise ValueError(f"it has no {HEAD}")

    @property
    def names(self) -> set[str]:
        return {*self.archive.namelist()} - {HEAD}

    def read(self, name: str) -> bytes:
        """A file as its hash says it is. Raises: ValueError naming it, where it is another or not there."""
        try:
            content = self.archive.read(name)
        except (*BROKEN, KeyError) as error:
            raise ValueError(f"{name} is missing or broken") from error
        if hashlib.sha256(content).hexdigest() != self.head.files.get(name):
            raise ValueError(f"{name} is not what {HEAD} says: its SHA-256 differs")
        return content

    def faults(self, key: str | None = None) -> Iterator[str]:
        """What is wrong with the files: of a cell, or those that belong to none."""
        if key is None:
            yield from (f"{name} is not in the list of files" for name in sorted(self.names - self.head.files.keys()))
            return
        for name in sorted(name for name in self.head.files if name.split("/")[1] == key):
            try:
                self.read(name)
            except ValueError as error:
                yield str(error)


def unpacked(pack: Pack, root: Path) -> Path:
    """The pack as a study below a folder, for whatever reads studies; `origin.json` says where it comes from.

    Raises: ValueError for files that are not what they should be.
    """
    study = study_folder(str(root), pack.head.study)
    cells = [cell_of(packed, root, pack.head.study) for packed in pack.head.cells]
    for packed, cell in zip(pack.head.cells, cells, strict=True):
        put(pack, packed, cell.folder)
    add_to_plan(study, cells)
    author = pack.head.author
    about = {
        "pack": pack.path.name, "digest": pack.digest, "lab": author.called, "author": author.name, "contact": author.contact,
        "licence": author.licence, "denoisebench": pack.head.denoisebench,
    }  # fmt: skip
    write_atomic(study / ORIGIN, json.dumps(about, indent=1))
    return study


def cell_of(packed: Packed, root: Path, study: str) -> Cell:
    return Cell(
        str(root), study, packed.label, packed.dataset, packed.noise, packed.seed, packed.key, packed.setup, packed.train_key,
        packed.overrides,
    )  # fmt: skip


def put(pack: Pack, packed: Packed, folder: Path) -> None:
    """The files of one cell, and a status that says it is done."""
    start = f"cells/{packed.key}/"
    for name in sorted(name for name in pack.head.files if name.startswith(start)):
        with whole_file(folder / name.removeprefix(start)) as part:
            part.write_bytes(pack.read(name))
    write_atomic(folder / "status.json", json.dumps({"state": "done", "images": packed.images}))


def opened_study(path: Path, root: Path) -> Path:
    """A file of a pack as a study below `root`, unpacked once. Raises: ValueError, FileNotFoundError."""
    with Pack(path) as pack:
        place = root / ".packs" / pack.digest[:16]
        study = study_folder(str(place), pack.head.study)
        return study if (study / ORIGIN).is_file() else unpacked(pack, place)
