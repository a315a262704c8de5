"""What of a cell and of a training goes to Weights & Biases, TensorBoard or a CSV file that grows.

Rows are the truth and loggers are views of them: whatever fails in one is told once, and the cell goes on.
"""

import csv
import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from filelock import FileLock

from denoisebench.progress import console
from denoisebench.store.cells import Cell, Row, study_folder
from denoisebench.store.files import BusyError
from denoisebench.store.pictures import output_name, read_png

TABLE = ("image", "repeat", "protocol", "psnr_db", "ssim", "seconds")
CURVES = ("step", "loss", "lr", "psnr_db", "ssim")
METRICS = ("psnr_db", "ssim", "seconds")
TRAINING = ("study", "seed", "method", "budget", "training", "train_set", "train_noise", "validation", "precision")
LONGEST_ID, LONGEST_TAG = 128, 64

Point = Mapping[str, Any]
Live = Callable[[str, Sequence[Point]], None]
"""Called with a part (`train`, `validation`) and its whole curve so far, as often as that grows."""


@dataclass(frozen=True)
class About:
    """What a run is about. id: the same whenever this cell or training is taken up again. folder: the study's."""

    id: str
    name: str
    study: str
    kind: Literal["cell", "training"]
    tags: tuple[str, ...]
    config: dict[str, Any]
    folder: Path


class Run(Protocol):
    """One cell's or training's run of a logger."""

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None: ...

    def table(self, rows: Sequence[Row], pictures: Mapping[tuple[str, int], Path]) -> None:
        """All rows of a cell, and its kept pictures by image and repeat."""

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None: ...


class Logger(Protocol):
    name: str

    def start(self, about: About) -> Run: ...

    def note(self, study: Path) -> str | None:
        """What a user should know at the end of a command; None for nothing."""


@contextmanager
def no_log() -> Iterator["Log"]:
    """A log that no logger hears."""
    yield Log(About("", "", "", "training", (), {}, Path()), [])


# --- What runs are about -----------------------------------------------------------------------------------------


def run_id(study: str, key: str) -> str:
    """An id of letters, digits, `_` and `-`, another for each study and key."""
    key = key.replace("/", "of")
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", study)[: LONGEST_ID // 2]
    if safe != study:
        safe += "_" + hashlib.sha256(study.encode()).hexdigest()[:6]
    return f"{safe}-{key}"


def _training_id(cell: Cell) -> str:
    return run_id(cell.study, f"training-{cell.train_key}")


def _tags(*texts: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text[:LONGEST_TAG] for text in texts if text))


def about_cell(cell: Cell, job: Mapping[str, Any], learns: str, shard: str | None = None) -> About:
    """job: its resolved configuration. learns: from what. A shard's run is one of its own."""
    method = cell.label.partition("[")[0]
    line = f"{cell.label} | {cell.dataset} | {cell.noise}"
    names = {
        "line": line, "method": cell.label, "dataset": cell.dataset, "noise": cell.noise, "key": cell.key, "setup": cell.setup,
    }  # fmt: skip
    link = {"train_run": _training_id(cell)} if cell.train_key else {}
    budget = None if learns == "nothing" else job["budget"]
    return About(
        id=run_id(cell.study, cell.key if shard is None else f"{cell.key}-{shard}"),
        name=str(cell) + (f" | shard {shard}" if shard else ""), study=cell.study, kind="cell",
        tags=_tags(method, cell.dataset, cell.noise, budget), config={**job, "cell": names, **link},
        folder=study_folder(cell.root, cell.study),
    )  # fmt: skip


def about_training(cell: Cell, job: Mapping[str, Any], train_set: str, train_noise: str) -> About:
    """Of the training that a cell shares with others: nothing here is of the cell's own."""
    method = cell.label.partition("[")[0]
    config = {name: job[name] for name in TRAINING if name in job}
    names = {"method": method, "train_set": train_set, "train_noise": train_noise, "key": cell.train_key}
    return About(
        id=_training_id(cell), name=f"training {method} | {train_set} | {train_noise} | seed {cell.seed}",
        study=cell.study, kind="training", tags=_tags(method, train_set, train_noise, job["budget"]),
        config={**config, "train": names}, folder=study_folder(cell.root, cell.study),
    )  # fmt: skip


# --- Logging -----------------------------------------------------------------------------------------------------


class Log:
    """One run in each of several loggers. A logger that fails is told of once, and hears nothing more but the end."""

    def __init__(self, about: About, loggers: Sequence[Logger]) -> None:
        self.about, self.loggers = about, loggers
        self.broken: set[str] = set()
        self.summary: dict[str, Any] = {}
        self._runs: dict[str, Run] = {}
        self._logged: dict[str, int] = {}
        for logger in loggers:
            with self._guarded(logger.name):
                if about.id:
                    _mark(about, logger.name).unlink(missing_ok=True)
                self._runs[logger.name] = logger.start(about)

    @contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if name not in self.broken:
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                told = f"logger={name} stopped ({reason}); {self.about.name} goes on without it"
                console.print(told, style="yellow", markup=False)
            self.broken.add(name)

    @property
    def working(self) -> list[Logger]:
        return [logger for logger in self.loggers if logger.name not in self.broken]

    def _each(self, act: Callable[[Run], None]) -> None:
        for name, run in self._runs.items():
            if name not in self.broken:
                with self._guarded(name):
                    act(run)

    def curve(self, part: str, points: Sequence[Point]) -> None:
        """Log those points of a growing curve that were not logged yet: after a resumption all of it, once."""
        for point in points[self._logged.get(part, 0) :]:
            step = int(point["step"])
            values = {f"{part}/{name}": float(value) for name, value in point.items() if name != "step" and _is_number(value)}
            self._each(lambda run, step=step, values=values: run.log(f"{part}/step", step, values))
        self._logged[part] = len(points)

    def image(self, rows: Sequence[Row]) -> None:
        """Log a finished image; rows: one for each protocol."""
        done = self._logged["test"] = self._logged.get("test", 0) + 1
        values = {f"test/{name}": float(rows[0][name]) for name in METRICS if rows[0][name] is not None}
        self._each(lambda run: run.log("test/image", done, values))

    def done(self, rows: Sequence[Row], folder: Path) -> None:
        """Log the rows of a finished cell and the pictures that its folder keeps."""
        self.summary |= means(rows)
        kept = {(row["image"], row["repeat"]): folder / "pictures" / output_name(row["image"], row["repeat"]) for row in rows}
        pictures = {image: path for image, path in kept.items() if path.is_file()}
        self._each(lambda run: run.table(rows, pictures))

    def mark(self, name: str) -> None:
        """Say that a logger has all of this run."""
        with self._guarded(name):
            mark = _mark(self.about, name)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()

    def finish(self, exit_code: int = 0, reason: str = "", state: str = "") -> None:
        state = state or {0: "done", 130: "interrupted"}.get(exit_code, "failed")
        summary = {**self.summary, "state": state, **({"reason": reason} if reason else {})}
        for name, run in self._runs.items():
            with self._guarded(name):
                run.finish(summary, exit_code)


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


@contextmanager
def opened(loggers: Sequence[Logger], about: About) -> Iterator[Log]:
    """A run in each logger, finished whatever happens: with what an exception said, if one came through."""
    log = Log(about, loggers)
    try:
        yield log
    except BusyError:  # it is taken up again
        log.finish(state="waiting")
        raise
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)  # SystemExit: what Lightning makes of Ctrl-C
        log.finish(130 if stopped else 1, f"{type(error).__name__}: {error}")
        raise
    log.finish()
    for logger in log.working:
        log.mark(logger.name)


def means(rows: Sequence[Row]) -> dict[str, float]:
    """Means over images and repeats: those of the first protocol by their names, others as `apbsn/psnr_db`."""
    result: dict[str, float] = {}
    for protocol in dict.fromkeys(row["protocol"] for row in rows):
        own = [row for row in rows if row["protocol"] == protocol]
        prefix = "" if protocol == rows[0]["protocol"] else f"{protocol}/"
        for name in METRICS if not prefix else METRICS[:2]:
            values = [float(row[name]) for row in own if row[name] is not None]
            if values:
                result[prefix + name] = sum(values) / len(values)
        if not prefix:
            result["images"] = len(own)
    return result


# --- Trainings that cells share ----------------------------------------------------------------------------------


def _mark(about: About, name: str) -> Path:
    """There once a logger has all of a run."""
    return about.folder / f".{name}" / f"{about.id}.done"


def lacking(loggers: Sequence[Logger], about: About) -> list[Logger]:
    """Those that have not got all of a run."""
    return [logger for logger in loggers if not _mark(about, logger.name).is_file()]


class Shared:
    """The run of a training: logged live by the process that trains, from its files by one that finds it done."""

    def __init__(self, loggers: Sequence[Logger], about: About) -> None:
        self.loggers, self.about = loggers, about
        self.live = False

    def __call__(self) -> AbstractContextManager[Log]:
        self.live = True
        return opened(self.loggers, self.about)

    def catch_up(self, folder: Path) -> None:
        """Log it where a logger has not got it: trained in another study, or before that logger was asked for."""
        if self.live or not lacking(self.loggers, self.about):
            return
        self.about.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.about.folder / f".{self.about.id}.lock"), opened(lacking(self.loggers, self.about), self.about) as log:
            for part, file in (("validation", "validation.csv"), ("train", "curve.csv")):
                log.curve(part, _read_curve(folder / file))


def _read_curve(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: row[name] for name in CURVES if name in row} for row in csv.DictReader(file)]


# --- CSV and TensorBoard -----------------------------------------------------------------------------------------


class Csv:
    """One growing file for each run, `<study>/.csv/<run>.csv`: step, name, value; its summary has no step."""

    name = "csv"

    def start(self, about: About) -> "CsvRun":
        return CsvRun(about.folder / ".csv" / f"{about.id}.csv")

    def note(self, study: Path) -> str | None:
        return None


class CsvRun:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", newline="", buffering=1)
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(("step", "name", "value"))

    def log(self, axis: str, step: int, values: Mapping[str, float]) -> None:
        self._writer.writerows((step, name, value) for name, value in values.items())

    def table(self, rows: Sequence[Row], pictures: Mapping[tuple[str, int], Path]) -> None:
        """Its rows are in rows.csv."""

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        with self._file:
            self._writer.writerows(("", name, value) for name, value in {**summary, "exit_code": exit_code}.items())


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
        lines = ["|".join(TABLE), "|".join("-" for _ in TABLE), *("|".join(_shown(row[name]) for name in TABLE) for row in rows)]
        self._writer.add_text("images", "\n".join(lines))
        for (image, repeat), path in pictures.items():
            self._writer.add_image(f"pictures/{image}", read_png(path), repeat, dataformats="HWC")

    def finish(self, summary: Mapping[str, Any], exit_code: int) -> None:
        for name, value in summary.items():
            if _is_number(value):
                self._writer.add_scalar(f"summary/{name}", float(value))
        self._writer.add_text("state", f"{summary.get('state')} {summary.get('reason', '')}", walltime=time.time())
        self._writer.close()


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
