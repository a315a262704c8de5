"""A sweep's work items as Ray tasks: each a list of strings, each result taken as it comes."""

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from denoisebench.config.errors import ConfigError, LaunchError
from denoisebench.job import Work
from denoisebench.progress import console, counted

Run = Callable[[Sequence[str]], Any]
"""Computes a work item from its overrides, in whatever process."""


class RayLauncher:
    """address: of a cluster; None starts a Ray of its own on this machine. num_cpus, num_gpus: of each task. max_retries: how
    often a task starts again whose node or process has died."""

    def __init__(self, address: str | None = None, num_cpus: float = 1, num_gpus: float = 0, max_retries: int = 3) -> None:
        if find_spec("ray") is None:
            raise ConfigError("launcher=ray is not installed: pip install 'denoisebench[ray]'")
        self.address, self.num_cpus, self.num_gpus, self.max_retries = address, num_cpus, num_gpus, max_retries

    def launch(self, items: Sequence[Sequence[str]], run: Run) -> Iterator[Any]:
        """Yields what the items return, as they finish. All are finished before the first that raised is raised again."""
        import ray  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

        ours = not ray.is_initialized()
        if ours:
            # "local": None would join a cluster that runs here, or wait for one that a killed head left word of.
            ray.init(address=self.address or "local", include_dashboard=None if self.address else False, configure_logging=False)
        try:
            yield from self._results(ray, items, run)
        finally:
            if ours:
                ray.shutdown()

    def _results(self, ray: Any, items: Sequence[Sequence[str]], run: Run) -> Iterator[Any]:
        wanted = {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus, "max_retries": self.max_retries}
        task = ray.remote(name="denoisebench", retry_exceptions=False, **wanted)(_at)
        waiting = [task.remote(run, list(item), os.getcwd()) for item in items]
        failure: Exception | None = None
        while waiting:
            finished, waiting = ray.wait(waiting, num_returns=1)
            try:
                yield ray.get(finished[0])
            except Exception as error:
                cause = getattr(error, "cause", None) or error  # Ray wraps what a task raised
                failure = failure or cause
                told = str(cause).strip().splitlines()[-1:] or [type(cause).__name__]
                console.print(f"a Ray task failed, {counted(len(waiting), 'other')} left: {told[0]}", style="red", markup=False)
        if failure is not None:
            raise failure


def _at(run: Run, item: Sequence[str], folder: str) -> Any:
    """In a Ray worker, which starts in a folder of its own: relative paths are those of the command."""
    if not Path(folder).is_dir():
        raise LaunchError(f"{platform.node()} has no folder {folder}: start denoisebench in a folder that all nodes share")
    os.chdir(folder)
    return run(item)


def check_shared(work: Work) -> None:
    """Raises: LaunchError where a node does not see the runs folder of the command."""
    if not (Path(work.root) / work.study / "plan.json").is_file():
        place = Path(work.root).resolve()
        raise LaunchError(f"{platform.node()} does not see {place}: set root to a folder that all nodes share")
