"""What of a cell and of a training goes to Weights & Biases, TensorBoard or a CSV file that grows.

Rows are the truth and loggers are views of them: a failure in one is reported once, and the cell continues.
"""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from denoisebench.progress import console
from denoisebench.store.files import BusyError
from denoisebench.store.pictures import output_name
from denoisebench.store.rows import Row
from denoisebench.tracking.about import About, Logger, Point, Run, measured, metrics

CURVES = ("step", "loss", "lr", "psnr_db", "ssim")


@contextmanager
def no_log() -> Iterator["Log"]:
    """A log that no logger hears."""
    yield Log(About("", "", "", "training", (), {}, Path()), [])


class Log:
    """One run in each of several loggers. A logger that fails is reported once and then only closed."""

    def __init__(self, about: About, loggers: Sequence[Logger]) -> None:
        self.about, self.loggers = about, loggers
        self.broken: set[str] = set()
        self.summary: dict[str, Any] = {}
        self._runs: dict[str, Run] = {}
        self._logged: dict[str, int] = {}
        for logger in loggers:
            with self._guarded(logger.name):
                if about.id:
                    mark_of(about, logger.name).unlink(missing_ok=True)
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
            values = {f"{part}/{name}": float(value) for name, value in point.items() if name != "step" and is_number(value)}
            self._each(lambda run, step=step, values=values: run.log(f"{part}/step", step, values))
        self._logged[part] = len(points)

    def image(self, rows: Sequence[Row]) -> None:
        """Log a finished image; rows: one for each protocol."""
        done = self._logged["test"] = self._logged.get("test", 0) + 1
        values = {f"test/{name}": float(rows[0][name]) for name in metrics(rows[0]) if is_number(rows[0].get(name))}
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
            mark = mark_of(self.about, name)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()

    def finish(self, exit_code: int = 0, reason: str = "", state: str = "") -> None:
        state = state or {0: "done", 130: "interrupted"}.get(exit_code, "failed")
        summary = {**self.summary, "state": state, **({"reason": reason} if reason else {})}
        for name, run in self._runs.items():
            with self._guarded(name):
                run.finish(summary, exit_code)


def is_number(value: Any) -> bool:
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
        for name in measured(own[0]) if prefix else metrics(own[0]):
            values = [float(row[name]) for row in own if row.get(name) is not None]
            if values:
                result[prefix + name] = sum(values) / len(values)
        if not prefix:
            result["images"] = len(own)
    return result


def mark_of(about: About, name: str) -> Path:
    """There once a logger has all of a run."""
    return about.folder / f".{name}" / f"{about.id}.done"


def lacking(loggers: Sequence[Logger], about: About) -> list[Logger]:
    """Those that have not got all of a run."""
    return [logger for logger in loggers if not mark_of(about, logger.name).is_file()]


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
            for part, file in (("validation", "validation.csv"), ("holdout", "holdout.csv"), ("train", "curve.csv")):
                log.curve(part, _read_curve(folder / file))


def _read_curve(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: row[name] for name in CURVES if name in row} for row in csv.DictReader(file)]
