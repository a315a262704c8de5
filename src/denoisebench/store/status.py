"""What a cell says of itself in its `status.json`."""

import json
from pathlib import Path
from typing import Any, Literal, get_args

State = Literal["planned", "running", "done", "failed", "skipped"]
STATES = {"done": "done", "skipped": "skipped", "failed": "failed", "running": "unfinished", "planned": "missing"}  # for people


def read_status(folder: Path) -> dict[str, Any]:
    """What a cell's `status.json` says; `planned` without one, or with an unreadable one."""
    try:
        status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        status = None
    return status if isinstance(status, dict) and status.get("state") in get_args(State) else {"state": "planned"}
