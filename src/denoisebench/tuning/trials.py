"""The trials of a search, one cell after the other, each suggested by Optuna from those before.

Nothing of Optuna is kept: its suggestions follow from the seed and the values so far, and these from finished cells. The
same command makes the same suggestions, finds their cells done and continues.
"""

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from denoisebench.config import ConfigError, quoted
from denoisebench.config.jobs import job_of
from denoisebench.config.search import Choices, Dimension, Search, search_of
from denoisebench.job import Job
from denoisebench.store.cell import study_folder
from denoisebench.store.plan import read_plan
from denoisebench.study.finished import is_left
from denoisebench.study.planning import plan
from denoisebench.study.sweep import launcher
from denoisebench.tuning.objective import DEFAULT, ORACLE, check_objective, value_of

OWN = {"trials": "20", "objective": DEFAULT, "images": "4"}
STARTUP = 10  # random trials, before the first that heeds others


@dataclass(frozen=True)
class Trial:
    """values: of the settings that are searched. value: of the objective, None where the cell failed."""

    number: int
    values: Mapping[str, str]
    job: Job
    value: float | None

    @property
    def settings(self) -> str:
        return " ".join(f"{key}={value}" for key, value in self.values.items())


@dataclass(frozen=True)
class Tuning:
    """What a command line asks for. first: the job of a trial, for what all of them share."""

    search: Search
    trials: int
    objective: str
    images: int
    first: Job = field(repr=False)

    @property
    def is_oracle(self) -> bool:
        return self.objective == ORACLE


def tuning_of(overrides: Sequence[str]) -> Tuning:
    """Raises: ConfigError for what is not valid; FileNotFoundError."""
    given = {key: value for key, equals, value in (o.partition("=") for o in overrides) if equals and key in OWN}
    numbers = {key: _count(key, given.get(key, OWN[key])) for key in ("trials", "images")}
    objective = given.get("objective", OWN["objective"])
    search = search_of([o for o in overrides if o.partition("=")[0] not in OWN])
    fixed = (*_study(search.fixed, objective), f"tuned_by={quoted(objective)}")
    search = Search(fixed, search.ranges)
    jobs = [job_of(search.trial(corner)) for corner in search.corners]
    check_objective(objective, jobs[0])
    _check_training(search, jobs[0])
    _check_study(jobs[0], objective)
    return Tuning(search, numbers["trials"], objective, numbers["images"], jobs[0])


def _count(key: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ConfigError(f"{key}={text} is not valid; expected an integer from 1")
    return int(text)


def _study(fixed: Sequence[str], objective: str) -> list[str]:
    """Trials have a study of their own, those of an oracle another one."""
    if any(o.startswith("study=") for o in fixed):
        return list(fixed)
    method = next((o.partition("=")[2] for o in reversed(fixed) if o.startswith("method=")), "")
    if not method:
        raise ConfigError("tune needs a method: method=NAME")
    return [*fixed, f"study=tune-{method}{'-oracle' if objective == ORACLE else ''}"]


def _check_training(search: Search, job: Job) -> None:
    useless = [key for key in search.ranges if key.startswith("training.")]
    if useless and job.learning is None:
        raise ConfigError(f"{useless[0]} makes no difference: method={job.method.name} is not trained on a set of images here")


def _check_study(job: Job, objective: str) -> None:
    """That no cell of this study was computed for something else: its rows would say so, or hide it."""
    mark = f"tuned_by={quoted(objective)}"
    if any(mark not in cell.overrides for cell in read_plan(study_folder(job.cell.root, job.cell.study)).values()):
        raise ConfigError(
            f"study={job.cell.study} holds cells that are no trials of objective={objective}: choose another study="
        )


def optuna() -> types.ModuleType:
    """Raises: ConfigError where it is not installed."""
    try:
        import optuna as found
    except ImportError as error:
        raise ConfigError("tune needs Optuna: pip install 'denoisebench[tune]'") from error
    found.logging.set_verbosity(found.logging.WARNING)
    return found


def run(tuning: Tuning, told: Callable[[Trial], None]) -> list[Trial]:
    """Compute what is missing of the trials. Raises: LaunchError; ConfigError."""
    done = []
    for trial in _run(tuning):
        told(trial)
        done.append(trial)
    return done


def _run(tuning: Tuning) -> Iterator[Trial]:
    package = optuna()
    sampler = package.samplers.TPESampler(seed=tuning.first.seed, n_startup_trials=STARTUP)
    study = package.create_study(direction="minimize", sampler=sampler)
    distributions = {key: _distribution(one) for key, one in tuning.search.ranges.items()}
    for number in range(tuning.trials):
        asked = study.ask(distributions)
        values = {key: _text(one, asked.params[key]) for key, one in tuning.search.ranges.items()}
        trial = _tried(tuning, number, values)
        if trial.value is None:
            study.tell(asked, state=package.trial.TrialState.FAIL)
        else:
            study.tell(asked, trial.value)
        yield trial


def _tried(tuning: Tuning, number: int, values: Mapping[str, str]) -> Trial:
    [job] = plan([job_of(tuning.search.trial(values))])
    if is_left(job):
        launcher([job])()
    done = job.cell.state == "done"
    return Trial(number, values, job, value_of(tuning.objective, job, tuning.images) if done else None)


def _text(one: Dimension, value: object) -> str:
    return str(value) if isinstance(one, Choices) else one.text(value)  # type: ignore[arg-type]


def _distribution(one: Dimension) -> object:
    kinds = optuna().distributions
    if isinstance(one, Choices):
        return kinds.CategoricalDistribution(one.values)
    if one.whole:
        return kinds.IntDistribution(int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
    return kinds.FloatDistribution(one.low, one.high, log=one.log, step=one.step)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The first of the best; None where all failed."""
    return min((one for one in trials if one.value is not None), key=lambda one: one.value or 0.0, default=None)
