"""The contents of a cell's `status.json`."""

from pathlib import Path
from typing import Any, Literal, get_args

from denoisebench.store.files import read_json

State = Literal["planned", "running", "done", "failed", "skipped"]
STATES = {"done": "done", "skipped": "skipped", "failed": "failed", "running": "unfinished", "planned": "missing"}  # for people


def read_status(folder: Path) -> dict[str, Any]:
    """What a cell's `status.json` says; `planned` without one, or with an unreadable one."""
    try:
        status = read_json(folder / "status.json")
    except (OSError, ValueError):
        return {"state": "planned"}
    return status if status.get("state") in get_args(State) else {"state": "planned"}
