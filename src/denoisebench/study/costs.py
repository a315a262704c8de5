"""What is left of a study, and how long that takes: from its own rows, else from a short measurement."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from denoisebench.datasets.images import ImageSet
from denoisebench.ensemble import VIEWS
from denoisebench.job import Job
from denoisebench.progress import console, counted, roughly
from denoisebench.store.cell import Cell, study_folder
from denoisebench.store.finished import read_finished
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import PartialRows, Row
from denoisebench.study.limits import impossible_reason
from denoisebench.study.speed import Speed, known_speed, speed_of

BUDGETS = ("paper", "hour", "quick", "smoke")  # the longest first
DAY = 86400.0
STEPS_WORTH_MEASURING = 2000  # fewer do not take days
LITTLE = 30.0  # seconds: what processes of their own would take to start


class Costs:
    """Seconds of trainings and tests.

    rows: of finished cells, whose times count before any measurement; one for each image is enough. speed: what else is
    known of a job.
    """

    def __init__(self, rows: Iterable[Row], speed: Callable[[Job], Speed] = lambda job: Speed()) -> None:
        self._speed = speed
        self._images: dict[tuple[str, str, str], list[float]] = {}
        self._steps: dict[tuple[str, str], float] = {}
        self._pixels: dict[int, int | None] = {}
        for row in rows:
            self.add(row)

    def add(self, row: Mapping[str, Any]) -> None:
        """Learn from one more row."""
        label, budget = row["method"], row["budget"] or ""
        if row["seconds"] not in (None, ""):
            self._images.setdefault((label, budget, row["dataset"]), []).append(float(row["seconds"]))
        if row["train_seconds"] not in (None, "") and row["train_steps"] not in (None, ""):
            self._steps[label, budget] = float(row["train_seconds"]) / float(row["train_steps"])

    def training(self, job: Job) -> float | None:
        """Of a job's whole training; None where nothing tells."""
        assert job.learning
        step = self._steps.get((job.cell.label, job.budget))
        step = self._speed(job).step if step is None else step
        return None if step is None else step * job.learning.training.steps

    def image(self, job: Job) -> float | None:
        """Of one image of a job's test, with its share of a network of its stack."""
        seen = self._seen(job)
        return self._measured(job) if seen is None else seen

    def _seen(self, job: Job) -> float | None:
        """The mean over finished images."""
        seconds = self._images.get((job.cell.label, _budget(job), job.cell.dataset))
        return sum(seconds) / len(seconds) if seconds else None

    def _measured(self, job: Job) -> float | None:
        """Of an image that, if the method learns from it, is learned from."""
        speed = self._speed(job)
        pixels = None if speed.image is None else self._pixels_of(job.test_set)
        seconds = None if pixels is None else speed.of_image(pixels)
        return None if seconds is None else seconds * (VIEWS if job.ensemble and not job.learn else 1)

    def _pixels_of(self, images: ImageSet) -> int | None:
        """Of its first image; None if that cannot be read, which its cell will say."""
        if id(images) not in self._pixels:
            self._pixels[id(images)] = _pixels(images)
        return self._pixels[id(images)]

    def testing(self, job: Job) -> float | None:
        """Of the images that are left of a job's test."""
        seen = self._seen(job)
        seconds, count = (self._measured(job), networks_left(job)) if seen is None else (seen, images_left(job))
        return None if seconds is None else seconds * count


def _pixels(images: ImageSet) -> int | None:
    try:
        height, width = images.size(0)
    except (OSError, ValueError):
        return None
    return height * width


def _budget(job: Job) -> str:
    """As its rows have it."""
    return "" if job.method.learns == "nothing" or job.checkpoint is not None else job.budget


def images_left(job: Job) -> int:
    views = job.views if job.shard is None else -(-job.views // int(job.shard.partition("/")[2]))
    done = 0 if job.force else len(PartialRows(job.cell.folder).all())
    return max(0, views - done)


def networks_left(job: Job) -> int:
    """Of the images that are left, each of which costs a training where the method learns from it: with `learn=stack` the
    slices of one stack count once."""
    if not job.learn:
        return images_left(job)
    done = set() if job.force else {(rows[0]["image"], rows[0]["repeat"]) for rows in PartialRows(job.cell.folder).all()}
    stacks = job.test_set.stacks
    return len({(stacks.get(name, (name,)), repeat) for name, repeat in job.own_views if (name, repeat) not in done})


def needs_training(job: Job) -> bool:
    return job.learning is not None and (job.force or not (job.cell.training / "training.json").is_file())


def study_rows(jobs: Sequence[Job]) -> Iterator[Row]:
    """Of the finished cells of the studies that these jobs belong to, one for each image."""
    studies = dict.fromkeys((job.cell.root, job.cell.study) for job in jobs)
    cells = [cell for root, study in studies for cell in read_plan(study_folder(root, study)).values()]
    for cell in cells:
        if cell.state == "done":
            yield from _of_first_protocol(cell)


def _of_first_protocol(cell: Cell) -> list[Row]:
    rows = read_finished(cell.folder)
    return [row for row in rows if row["protocol"] == rows[0]["protocol"]]


def expected_of(jobs: Sequence[Job]) -> list[tuple[float | None, float | None]]:
    """Seconds of the training and the test of each job, as far as they are known without measuring; one training counts once."""
    costs = Costs(study_rows(jobs), lambda job: known_speed(job) or Speed())
    trained: set[str | None] = set()
    expected = []
    for job in jobs:
        fresh = needs_training(job) and job.cell.train_key not in trained
        trained.add(job.cell.train_key)
        test = 0.0 if job.cell.state == "done" and not job.force else costs.testing(job)
        expected.append((costs.training(job) if fresh else 0.0, test))
    return expected


# --- Of a whole command ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """What a command has to compute. seconds: of all of which the time is known; unknown: labels of what it is not known."""

    cells: int
    done: int
    impossible: int
    trainings: int
    seconds: float
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        todo = self.cells - self.done - self.impossible
        parts = [f"{self.done} done"] if self.done else []
        parts += [f"{self.impossible} impossible"] if self.impossible else []
        if todo:
            parts += [f"{todo} to compute", *([counted(self.trainings, "training")] if self.trainings else []), self._time()]
        return f"{counted(self.cells, 'cell')}: {', '.join(parts)}"

    def _time(self) -> str:
        if self.unknown and not self.seconds:
            return "time not known"
        without = f" without {', '.join(self.unknown)}" if self.unknown else ""
        return f"about {roughly(self.seconds)} on this machine{without}"


def left_of(jobs: Sequence[Job], costs: Costs) -> Left:
    todo = [job for job in jobs if job.cell.state != "done" or job.force]
    possible = [job for job in todo if impossible_reason(job) is None]
    networks = {job.cell.train_key: job for job in possible if needs_training(job)}
    times = [(job, costs.training(job)) for job in networks.values()] + [(job, costs.testing(job)) for job in possible]
    cells, left = ({(job.cell.root, job.cell.study, job.cell.key) for job in some} for some in (jobs, todo))
    ready = {(job.cell.root, job.cell.study, job.cell.key) for job in possible}
    return Left(
        len(cells), len(cells) - len(left), len(left - ready), len(networks), sum(time or 0.0 for _, time in times),
        tuple(dict.fromkeys(job.cell.label for job, time in times if time is None)),
    )  # fmt: skip


def warn_of_days(jobs: Sequence[Job]) -> None:
    """Before it begins, of a command that takes more than a day on this machine. Little work is not measured."""
    todo = [job for job in jobs if job.cell.state != "done" or job.force]
    if sum(map(_steps, todo)) < STEPS_WORTH_MEASURING:
        return
    left = left_of(jobs, Costs(study_rows(jobs), speed_of))
    if left.seconds < DAY:
        return
    told = f"this takes about {roughly(left.seconds)} on this machine"
    if shorter := list(_shorter(todo)):
        told += f"; shorter: {', '.join(f'budget={name}' for name in shorter)}"
    console.print(told, style="yellow", markup=False)


def seconds_of_little(jobs: Sequence[Job]) -> float | None:
    """The seconds that these jobs take, if that is little; None if it is more, or not known."""
    if sum(map(_steps, jobs)) >= STEPS_WORTH_MEASURING:
        return None
    left = left_of(jobs, Costs(study_rows(jobs), speed_of))
    return None if left.unknown or left.seconds > LITTLE else left.seconds


def _steps(job: Job) -> int:
    """Of training, of one network or anew for each image."""
    if job.learning:
        return job.learning.training.steps if needs_training(job) else 0
    steps = job.method.settings.get("steps", 0) if job.method.learns == "image" else 0
    return steps * networks_left(job) if isinstance(steps, int) else 0


def _shorter(jobs: Sequence[Job]) -> Iterator[str]:
    """The budgets below the longest that is asked for; `hour` is none for those that learn from each image."""
    asked = [BUDGETS.index(job.budget) for job in jobs if job.budget in BUDGETS and job.method.learns != "nothing"]
    anew = any(job.method.learns == "image" for job in jobs)
    for name in BUDGETS[min(asked, default=len(BUDGETS)) + 1 :]:
        if not (name == "hour" and anew):
            yield name
