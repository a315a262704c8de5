"""What a pack holds: `pack.json` and files of cells; docs/packs.md describes both.

pack.json                      who, which cells, and the SHA-256 of every other file
cells/KEY/rows.csv             its rows
cells/KEY/config.yaml          its configuration, without what belongs to a machine
cells/KEY/manifest.json        versions, commit, hardware, durations
cells/KEY/code.json            digests of the code that computed it
cells/KEY/measures.json        what its further measures are
cells/KEY/server.csv           what an online benchmark answered
cells/KEY/images/*.png         its outputs, if they were packed
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

FORMAT = "denoisebench-pack/1"
HEAD = "pack.json"
MEMBER = re.compile(r"cells/[0-9a-f]{12}/(rows\.csv|config\.yaml|(manifest|code|measures)\.json|server\.csv|images/[^/\\]+\.png)")
SHA = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Author:
    """Whose results these are. lab: what tables call them. contact: how to reach them. licence: of the rows and outputs."""

    name: str = "not stated"
    contact: str = "not stated"
    lab: str = ""
    licence: str = "CC-BY-4.0"

    @property
    def called(self) -> str:
        return self.lab or self.name


@dataclass(frozen=True)
class Packed:
    """A finished cell of a pack. overrides: the settings that gave it. images: distinct noisy images that were denoised."""

    key: str
    setup: str
    label: str
    dataset: str
    noise: str
    seed: int
    train_key: str | None
    overrides: tuple[str, ...]
    images: int

    def __str__(self) -> str:
        return f"{self.label} | {self.dataset} | {self.noise} | seed {self.seed}"

    def member(self, name: str) -> str:
        return f"cells/{self.key}/{name}"


@dataclass(frozen=True)
class Head:
    """`pack.json`. not_packed: cells of the study that were not finished. outputs: whether images are in it."""

    study: str
    author: Author
    denoisebench: str
    cells: tuple[Packed, ...]
    not_packed: tuple[Mapping[str, Any], ...]
    outputs: bool
    files: Mapping[str, str]

    @property
    def plain(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Self:
        """Raises: ValueError if it is not a `pack.json` of this format."""
        if not isinstance(plain, Mapping):
            raise ValueError(f"{HEAD} is no object of JSON")
        if plain.get("format") != FORMAT:
            raise ValueError(f"{HEAD}: format is {plain.get('format')!r}, and this version reads {FORMAT}")
        try:
            head = cls(
                study=plain["study"], author=Author(**plain["author"]), denoisebench=plain["denoisebench"],
                cells=tuple(Packed(**{**cell, "overrides": tuple(cell["overrides"])}) for cell in plain["cells"]),
                not_packed=tuple(plain["not_packed"]), outputs=plain["outputs"], files=plain["files"],
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise ValueError(f"{HEAD} is not valid: {error}") from error
        if wrong := next(_wrong(head), None):
            raise ValueError(f"{HEAD} is not valid: {wrong}")
        return head


def _wrong(head: Head) -> Any:
    texts = [head.study, head.denoisebench, *asdict(head.author).values()]
    texts += [
        text for cell in head.cells for text in (cell.key, cell.setup, cell.label, cell.dataset, cell.noise, *cell.overrides)
    ]
    if not all(isinstance(text, str) for text in texts):
        yield "a name is not text"
    if len({cell.key for cell in head.cells}) < len(head.cells):
        yield "a cell is listed twice"
    if not all(type(cell.seed) is int and type(cell.images) is int for cell in head.cells):
        yield "a seed or a number of images is not an integer"
    if not isinstance(head.files, Mapping):
        yield "files is no object"
        return
    for name, sha in head.files.items():
        if not MEMBER.fullmatch(name) or name.split("/")[-1] in (".png", "..png") or not SHA.fullmatch(str(sha)):
            yield f"the file {name!r} with hash {sha!r}"
    keys = {name.split("/")[1] for name in head.files}
    if keys != {cell.key for cell in head.cells}:
        yield "its files and its cells do not agree"


def without_machine(value: Any) -> Any:
    """Configuration without roots, and absolute paths as their last part: what names a place on somebody's disk."""
    if isinstance(value, Mapping):
        return {str(name): without_machine(inner) for name, inner in value.items() if name != "root"}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [without_machine(inner) for inner in value]
    return without_place(value) if isinstance(value, str) else value


def without_place(text: str) -> str:
    return re.sub(r"^['\"]?(?:~|/|[A-Za-z]:\\).*[/\\]([^/\\]+)$", r"\1", text)


IDENTITY = (
    "method", "dataset", "noise", "protocols", "training", "train_set", "train_noise", "validation", "seed", "repeats",
    "precision", "budget", "tile", "ensemble", "learn", "stop", "holdout", "checkpoint", "weights", "init",
)  # fmt: skip
"""What of a configuration is packed: the rest says where and how it ran."""
GROUPS = (*IDENTITY, "protocol", "recipe", "experiment", "tuned_by")
SETTING = re.compile(rf"\+?({'|'.join(GROUPS)})((?:[.@/][\w-]+)*)=(.*)", re.DOTALL)


def portable(overrides: Sequence[str]) -> tuple[str, ...]:
    """Those overrides that decide what a cell is, without places on a disk."""
    found = [(override, SETTING.fullmatch(override)) for override in overrides]
    return tuple(
        override[: match.start(3)] + _without_place(match[3]) for override, match in found if match and match[2] != ".root"
    )


def _without_place(value: str) -> str:
    """Of a value as it is written in an override: its quotes stay."""
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[0] + without_place(value[1:-1]) + value[0]
    return without_place(value)


def unsafe(overrides: Sequence[str]) -> list[str]:
    """Those that a stranger's pack may not ask for: classes, places of configuration, values from the environment, and trust
    in a file that runs code."""
    return [o for o in overrides if not SETTING.fullmatch(o) or any(word in o for word in ("_target_", "${", ".root=", "trust"))]
