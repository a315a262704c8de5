"""Where the rows of a site come from: packs, studies of one's own and `results.csv` files; and how packs were verified."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from denoisebench.packs.read import ORIGIN, Pack
from denoisebench.packs.record import record_of
from denoisebench.report.health import recorded
from denoisebench.report.rows import find_study
from denoisebench.report.study import name_of
from denoisebench.site.names import pack_file
from denoisebench.store.cell import Cell
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import Row

NOT_VERIFIED = "not verified"


@dataclass(frozen=True)
class Source:
    """name: as it was given. about: what its origin says. record: what `verify-pack --record` found, of this very pack.
    left_out: unfinished cells that are not in it."""

    name: str
    folder: Path
    about: Mapping[str, Any]
    record: Mapping[str, Any]
    cells: Sequence[Cell]
    left_out: Sequence[Mapping[str, Any]] = field(default=())

    @property
    def is_pack(self) -> bool:
        return bool(self.about)

    @property
    def file(self) -> str:
        """Its page."""
        return pack_file(self.name, str(self.about.get("digest", self.folder.resolve())))

    def has(self, row: Row) -> bool:
        """Whether a row was read from it."""
        if self.folder.suffix == ".csv":
            return row["image"] == "" and row["cell"] == self.folder.resolve().parent
        return row["image"] != "" and Path(row["cell"]).is_relative_to(self.folder)

    @property
    def lab(self) -> str:
        return str(self.about.get("lab", ""))

    @property
    def verified(self) -> str:
        """`3 verified, 11 consistent, 0 contradicted on 2026-11-26`."""
        if self.folder.suffix == ".csv":
            return "cannot be verified: means only"
        if not self.is_pack:
            return "not packed"
        return f"{self.record['counts']}, on {self.record['when'][:10]}" if self.record else NOT_VERIFIED

    @property
    def when(self) -> str:
        """The days on which its cells were finished, as far as their manifests tell."""
        days = sorted({told[:10] for cell in self.cells if (told := recorded(cell.folder / "manifest.json").get("finished"))})
        return "not recorded" if not days else days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"

    def word(self, key: str) -> str:
        return str(self.record.get("cells", {}).get(key, {}).get("word", NOT_VERIFIED)) if self.is_pack else ""


def source_of(name: str) -> Source:
    """Raises: FileNotFoundError; ValueError for what is no pack."""
    folder = find_study(name)
    cells = [] if folder.suffix == ".csv" else [cell for cell in read_plan(folder).values() if cell.state == "done"]
    if not (folder / ORIGIN).is_file():
        return Source(name_of(folder), folder, {}, {}, cells)
    about = recorded(folder / ORIGIN)
    with Pack(Path(name).expanduser()) as pack:
        return Source(Path(name).name, folder, about, record_of(Path(name), about["digest"]), cells, pack.head.not_packed)
