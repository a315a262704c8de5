"""A command line whose values may be ranges: what `tune` searches, and the recipe that it writes.

Ranges are written as for Hydra's sweepers: `interval(1e-4,1e-2)`, `tag(log,interval(1e-4,1e-2))`, `int(interval(8,64))`,
`range(1,5)` (1 to 4, as with `run -m`) and `choice(a,b)` or `a,b`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from denoisebench.config import hydra_internals
from denoisebench.config.compose import user_errors
from denoisebench.config.errors import ConfigError
from denoisebench.config.grids import expand
from denoisebench.config.places import brought, conf_dir, own_folders, own_overrides
from denoisebench.config.yaml_files import readable

TRAINING = ("training.steps", "training.patch", "training.batch")
DIGITS = 4
BUDGET, RECIPE = "budget", "recipe"


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`, both included. whole: integers. step: apart; None for any. log: even in its logarithm."""

    low: float
    high: float
    whole: bool = False
    step: float | None = None
    log: bool = False

    @property
    def ends(self) -> tuple[str, ...]:
        return self.text(self.low), self.text(self.high)

    def text(self, value: float) -> str:
        """As an override has it: four digits, so that labels and recipes are read and typed again."""
        if self.whole:
            return str(int(value))
        return repr(min(self.high, max(self.low, float(f"{value:.{DIGITS}g}"))))


@dataclass(frozen=True)
class Choices:
    """values: as an override has them."""

    values: tuple[str, ...]

    @property
    def ends(self) -> tuple[str, ...]:
        return self.values


Dimension = Interval | Choices


@dataclass(frozen=True)
class Search:
    """fixed: the overrides that every trial has. ranges: by key."""

    fixed: tuple[str, ...]
    ranges: Mapping[str, Dimension]

    def trial(self, values: Mapping[str, str]) -> list[str]:
        """The overrides of a cell with these values. Raises: ConfigError."""
        [job] = expand([*self.fixed, *(f"{key}={value}" for key, value in values.items())], multirun=False)
        return job

    @property
    def corners(self) -> list[dict[str, str]]:
        """Values that show whether each range fits its key: every end of it, the others at their first."""
        first = {key: one.ends[0] for key, one in self.ranges.items()}
        return list({tuple(corner.items()): corner for corner in self._around(first)}.values())

    def _around(self, first: dict[str, str]) -> list[dict[str, str]]:
        return [first | {key: value} for key, one in self.ranges.items() for value in one.ends]


def search_of(overrides: Sequence[str]) -> Search:
    """Raises: ConfigError for what cannot be read or is no setting of a method, and where there is no range."""
    with user_errors(overrides):
        parsed = hydra_internals.parse(overrides)
        ranges = {o.key_or_group: _dimension(o) for o in parsed if o.is_sweep_override()}
        fixed = tuple(o.input_line or "" for o in parsed if not o.is_sweep_override())
    if not ranges:
        raise ConfigError(
            "nothing to tune: give at least one setting of the method a range, "
            "e.g. method.lr='tag(log,interval(1e-4,1e-2))'; denoisebench tune --help lists the kinds"
        )
    return Search(fixed, ranges)


def _dimension(override: Override) -> Dimension:
    key, value = override.key_or_group, override.value()
    if not key.startswith("method.") and key not in TRAINING:
        raise ConfigError(
            f"{override.input_line}: {key} is no setting of the method; tune searches method.KEY and {', '.join(TRAINING)}: "
            "give it one value"
        )
    tags: set[str] = set(getattr(value, "tags", ()))
    if unknown := tags - {"log", "int"}:
        raise ConfigError(f"{override.input_line}: no tag {unknown.pop()}; valid: log, int")
    if isinstance(value, IntervalSweep):
        return _checked(override, Interval(*_ends(value, tags), log="log" in tags))
    if tags or isinstance(value, Glob):
        raise ConfigError(f"{override.input_line} is not valid; tags go with interval(low,high)")
    if isinstance(value, RangeSweep):
        return _checked(override, _steps(override))
    assert isinstance(value, ChoiceSweep)
    return Choices(tuple(dict.fromkeys(override.sweep_string_iterator())))


def _ends(value: IntervalSweep, tags: set[str]) -> tuple[float, float, bool]:
    low, high = value.start, value.end
    assert low is not None
    assert high is not None
    whole = "int" in tags or (isinstance(low, int) and isinstance(high, int))
    return (int(low), int(high), True) if whole else (float(low), float(high), False)


def _steps(override: Override) -> Interval:
    """What `run -m` would run one after the other."""
    values = [float(text) for text in override.sweep_string_iterator()]
    if len(values) < 2:
        raise ConfigError(f"{override.input_line}: expected at least two values; range(1,5) is 1, 2, 3, 4")
    whole = all(value.is_integer() for value in values)
    return Interval(min(values), max(values), whole, abs(values[1] - values[0]))


def _checked(override: Override, found: Interval) -> Interval:
    if not found.low < found.high:
        raise ConfigError(f"{override.input_line}: expected interval(low,high) with low below high")
    if found.log and found.low <= 0:
        raise ConfigError(f"{override.input_line}: a logarithmic range begins above 0")
    return found


def write_recipe(folder: Path, name: str, method: str, overrides: Sequence[str], told: Mapping[str, str]) -> list[Path]:
    """A folder for `--config-dir` with `budget=NAME`: the budget that these overrides name, with what they set on top of it.

    told: `tuned_by`, `base` (the budget that is built upon) and `about`, for its head.
    """
    recipe = _base(told["base"], method, overrides)
    for override in hydra_internals.parse([o for o in overrides if o.startswith(("method.", "training."))]):
        OmegaConf.update(recipe, override.key_or_group, override.value(), force_add=True)
    OmegaConf.update(recipe, "tuned_by", told["tuned_by"], force_add=True)
    head = "# @package _global_\n"
    files = {
        folder / BUDGET / f"{name}.yaml": f"{head}{BUDGET}: {name}\n",
        folder / RECIPE / name / f"{method}.yaml": f"{head}# {told['about']}\n{OmegaConf.to_yaml(recipe)}",
    }
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return list(files)


def _base(budget: str, method: str, overrides: Sequence[str]) -> DictConfig:
    for root in (Path(conf_dir()), *brought(), *own_folders(own_overrides(overrides))):
        file = root / RECIPE / budget / f"{method}.yaml"
        if file.is_file():
            with readable(str(file)):
                found: Any = OmegaConf.load(file)
            return found
    return OmegaConf.create({})
