"""Hydra's launchers, which carry a sweep's work to processes and clusters, and Hydra's own flags."""

import functools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from denoisebench.config import hydra_internals, parts
from denoisebench.config.compose import composed, user_errors
from denoisebench.config.errors import ConfigError, LaunchError, nearest
from denoisebench.config.grids import expand
from denoisebench.config.places import conf_dir, search_path
from denoisebench.config.ray_launcher import RayLauncher, check_shared
from denoisebench.config.submitit_launcher import SubmititLauncher
from denoisebench.job import Work

BASIC = "BasicLauncher"
OWN: dict[str, type[RayLauncher | SubmititLauncher]] = {"RayLauncher": RayLauncher, "SubmititLauncher": SubmititLauncher}
ON_ERROR = ("continue", "stop")


class Launcher:
    """The launcher that these settings choose; `task` is given each work item, in whatever process.

    Raises: ConfigError.
    """

    def __init__(self, settings: Sequence[str], task: Callable[[Work], Any]) -> None:
        with user_errors(settings):
            chosen, plugin = hydra_internals.launcher(conf_dir(), settings, _Task(task), _own)
        self._launch = _launching(plugin, task)
        self._settings = [o for o in settings if not o.lstrip("+~").startswith("hydra")]  # Hydra gives its own to each job itself
        if chosen.on_error not in ON_ERROR:
            raise ConfigError(f"on_error={chosen.on_error}; {nearest(chosen.on_error, ON_ERROR)}")
        self.threads: int | None = chosen.threads
        self.in_this_process = str(chosen.hydra.launcher._target_).endswith(BASIC)

    def __call__(self, items: Sequence[Sequence[str]]) -> None:
        """items: the overrides of `conf/work.yaml` for each. Raises: LaunchError for what an item raised."""
        try:
            for _ in self._launch([[*self._settings, *overrides] for overrides in items]):
                pass
        except Exception as error:
            raise LaunchError(str(error) or type(error).__name__) from error


def _own(chosen: DictConfig) -> RayLauncher | SubmititLauncher | None:
    """A launcher of our own, not Hydra's."""
    node: Any = OmegaConf.to_container(chosen.hydra.launcher, resolve=True)
    ours = OWN.get(str(node["_target_"]).rpartition(".")[2])
    return parts.instantiate(node, "hydra.launcher", ours) if ours else None


def _launching(plugin: Any, task: Callable[[Work], Any]) -> Callable[[Sequence[Sequence[str]]], Iterator[Any]]:
    if isinstance(plugin, (RayLauncher, SubmititLauncher)):
        return lambda items: plugin.launch(items, functools.partial(_remotely, task))
    return lambda items: (item.return_value for item in plugin.launch(items, initial_job_idx=0))  # raises what the item raised


def _remotely(task: Callable[[Work], Any], overrides: Sequence[str]) -> Any:
    work = work_of(overrides)
    check_shared(work)
    return task(work)


def work_of(overrides: Sequence[str]) -> Work:
    """A work item from its overrides. Raises: ConfigError."""
    with user_errors(overrides):
        return _work(hydra_internals.work(conf_dir(), overrides))


def _work(config: DictConfig) -> Work:
    settings: Any = OmegaConf.to_container(config, resolve=True)
    return Work(**{name: value for name, value in settings.items() if name in Work.__dataclass_fields__})


class _Task:
    """What launchers pickle and call: a work item's configuration becomes plain values before anything sees it."""

    def __init__(self, act: Callable[[Work], Any]) -> None:
        self.act = act
        self.__name__ = act.__name__

    def __call__(self, config: DictConfig) -> Any:
        return self.act(_work(config))


def hydra_flags(arguments: Sequence[str], overrides: Sequence[str], *, multirun: bool) -> None:
    """What Hydra's own flags print, as `--cfg job`. Raises: ConfigError for what cannot be composed, of which Hydra would
    print a traceback."""
    with user_errors(overrides):
        for job in expand([o for o in overrides if "=" in o], multirun=multirun):  # not `job` of `--cfg job`
            composed(job)
    argv = sys.argv
    # Hydra's parser takes overrides in one row only: ours joins the others.
    first = next((place for place, word in enumerate(arguments) if re.match(r"[^-][^=]*=", word)), len(arguments))
    sys.argv = ["denoisebench run", *arguments[:first], *search_path(()), *arguments[first:]]
    try:
        hydra_internals.run_flags(conf_dir(), _nothing)
    finally:
        sys.argv = argv


def _nothing(_: object) -> None:
    """A task that Hydra's flags do not run."""
