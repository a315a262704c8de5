"""Trained networks that have a name: those that come with this package, and the user's own.

Each is a folder: `weights.safetensors`, the `training.json` that says where they come from, and `card.json`, which says
what they are, what they were trained on, how they scored and what they are not for.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from denoisebench.store.files import DamagedError, read_json
from denoisebench.store.trainings import WEIGHTS

CARD = "card.json"
SHIPPED = Path(__file__).resolve().parents[1] / "weights" / "shipped"
NAME = re.compile(r"[A-Za-z0-9][\w-]*")
KEYS = {"method": str, "channels": int, "settings": dict, "sha256": str, "bytes": int, "trained_on": str, "scores": list}


@dataclass(frozen=True)
class NamedWeights:
    """folder: where they lie. card: what `card.json` says."""

    folder: Path
    card: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def file(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def shipped(self) -> bool:
        return self.folder.parent == SHIPPED

    def sha256(self) -> str:
        """Of the file of weights. Raises: OSError."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def damage(self) -> str | None:
        """What is wrong with the file of weights, and the way out; None if it is the one of the card."""
        way_out = "install denoisebench again" if self.shipped else "add them again"
        try:
            same = self.sha256() == self.card["sha256"]
        except OSError as error:
            return f"{self.file}: {error.strerror}; {way_out}"
        return None if same else f"{self.file} is not the file of its card (other SHA-256); {way_out}"


def own_shelf() -> Path:
    """The folder of the user's own: DENOISEBENCH_NETWORKS, or one in the home directory."""
    given = os.environ.get("DENOISEBENCH_NETWORKS")
    return Path(given).expanduser() if given else Path.home() / ".local" / "share" / "denoisebench" / "networks"


def every_name() -> list[str]:
    """Of all that have a card; the user's own hide the shipped ones of the same name."""
    return sorted({card.parent.name for shelf in (own_shelf(), SHIPPED) for card in shelf.glob(f"*/{CARD}")})


def named(name: str) -> NamedWeights:
    """Raises: ValueError for a name that nothing has, with the nearest there is; DamagedError for a card that is none."""
    for shelf in (own_shelf(), SHIPPED):
        if NAME.fullmatch(name) and (shelf / name / CARD).is_file():
            return NamedWeights(shelf / name, _card(shelf / name / CARD))
    known = every_name()
    close = get_close_matches(name, known, n=1)
    if close:
        raise ValueError(f"no weights {name}; did you mean {close[0]}? Valid: {', '.join(known)}")
    there = f"there are: {', '.join(known)}" if known else "there are none yet: denoisebench weights add NAME CELL"
    raise ValueError(f"no weights {name}; {there}")


def _card(path: Path) -> dict[str, Any]:
    card = read_json(path)
    if wrong := [key for key, kind in KEYS.items() if not isinstance(card.get(key), kind)]:
        raise DamagedError(
            f"{path} is damaged ({', '.join(wrong)} missing or of another type): remove its folder, or add it again"
        )
    return card


def card_text(card: Mapping[str, Any]) -> str:
    return json.dumps(card, indent=1, ensure_ascii=False) + "\n"
