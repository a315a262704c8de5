"""What a verification found, kept beside the pack."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from denoisebench.store.files import read_json, write_atomic

ENDING = ".verified.json"


def record_of(pack: Path, digest: str) -> Mapping[str, Any]:
    """What was recorded of this very pack; nothing of another that had its name."""
    try:
        record = read_json(pack.with_name(pack.name + ENDING))
    except (OSError, ValueError):
        return {}
    return record if record.get("digest") == digest else {}


def write_record(pack: Path, record: Mapping[str, Any]) -> Path:
    path = pack.with_name(pack.name + ENDING)
    write_atomic(path, json.dumps(record, indent=1, sort_keys=True) + "\n")
    return path
