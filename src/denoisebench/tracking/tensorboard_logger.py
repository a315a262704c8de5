"""TensorBoard: event files."""

import json
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from denoisebench.store.pictures import read_png
from denoisebench.store.rows import Row
from denoisebench.tracking.about import About, table_columns
from denoisebench.tracking.log import is_number


class TensorBoard:
    """Event files in `<study>/.tensorboard/<run>/`.

    Raises: ValueError where TensorBoard is not installed.
    """

    name = "tensorboard"

    def __init__(self) -> None:
        if find_spec("tensorboard") is None:
            raise ValueError("logger=tensorboard needs the package tensorboard: pip install 'denoisebench[tensorboard]'")

    def start(self, about: About) -> "TensorBoardRun":
        return TensorBoardRun(about)

    def note(self, study: Path) -> str | None:
        return f"TensorBoard: tensorboard --logdir {study / '.tensorboard'}" if (study / ".tensorboard").is_dir() else None


class TensorBoardRun:
    def __init__(self, about: About) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        folder = about.folder / ".tensorboard" / about.id
        for older in folder.glob("events.out.tfevents.*"):  # of an interrupted run: this one logs its points again
            older.unlink()
        self._writer = SummaryWriter(str(folder))
        self._writer.add_text("run", f"{about.name}\n\n{', '.join(about.tags)}")
        self._writer.add_text("config", f"```\n{json.dumps(about.config, indent=1)}\n```")

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def table(self, rows: Sequence[Row], pictures: Mapping[tuple[str, int], Path]) -> None:
        columns = table_columns(rows)
        body = ["|".join(_shown(row.get(name)) for name in columns) for row in rows]
        lines = ["|".join(columns), "|".join("-" for _ in columns), *body]
        self._writer.add_text("images", "\n".join(lines))
        for (image, repeat), path in pictures.items():
            self._writer.add_image(f"pictures/{image}", read_png(path), repeat, dataformats="HWC")

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        for name, value in summary.items():
            if is_number(value):
                self._writer.add_scalar(f"summary/{name}", float(value))
        self._writer.add_text("state", f"{summary.get('state')} {summary.get('reason', '')}", walltime=time.time())
        self._writer.close()


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
