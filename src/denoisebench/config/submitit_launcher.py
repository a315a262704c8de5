"""A sweep's work items as jobs of Slurm, or as the same processes on this machine: each a list of strings."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from denoisebench.config import slurm_jobs
from denoisebench.config.errors import ConfigError, LaunchError
from denoisebench.progress import console, counted

Run = Callable[[Sequence[str]], Any]
SECONDS_BETWEEN_LOOKS = 0.5
OWN = ("cluster", "submitit_folder", "max_num_timeout")  # all other fields are for the queue
OF_ANY_QUEUE = frozenset(("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name"))


@dataclass(frozen=True)
class SubmititLauncher:
    """What `sbatch` is asked for, in submitit's words. max_num_timeout: how often a job is queued again that its time limit
    ended. signal_delay_s: how long before that it is told."""

    cluster: Literal["slurm", "local"] = "slurm"
    submitit_folder: str = ""
    timeout_min: int = 240
    cpus_per_task: int | None = None
    gpus_per_node: int | None = None
    tasks_per_node: int = 1
    mem_gb: int | None = None
    nodes: int = 1
    name: str = "denoisebench"
    partition: str | None = None
    qos: str | None = None
    comment: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    gres: str | None = None
    cpus_per_gpu: int | None = None
    gpus_per_task: int | None = None
    mem_per_gpu: str | None = None
    mem_per_cpu: str | None = None
    account: str | None = None
    signal_delay_s: int = 120
    max_num_timeout: int = 0
    array_parallelism: int = 256
    setup: list[str] | None = None
    additional_parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if find_spec("submitit") is None:
            raise ConfigError(f"launcher={self.cluster} is not installed: pip install 'denoisebench[slurm]'")

    def launch(self, items: Sequence[Sequence[str]], run: Run) -> Iterator[Any]:
        """Yields what the items return, as they finish. All are finished before the first that raised is raised again."""
        import submitit
        from submitit.core.utils import FailedJobError

        if self.cluster == "slurm":
            slurm_jobs.watch()
        try:
            executor = submitit.AutoExecutor(self.submitit_folder, self.cluster, **self._requeued())
            executor.update_parameters(**self._asked())
            waiting = executor.map_array(slurm_jobs.Limited(run), [list(item) for item in items])
        except (RuntimeError, FailedJobError) as error:  # no Slurm here, or sbatch refuses
            raise LaunchError(f"launcher={self.cluster}: {slurm_jobs.told(error)}") from error
        yield from _results(waiting)

    def _requeued(self) -> dict[str, int]:
        return {"slurm_max_num_timeout": self.max_num_timeout} if self.cluster == "slurm" else {}

    def _asked(self) -> dict[str, Any]:
        wanted = {name: value for name, value in asdict(self).items() if name not in OWN and value not in (None, {})}
        if self.cluster != "slurm":
            return {name: value for name, value in wanted.items() if name in OF_ANY_QUEUE}
        return {name if name in OF_ANY_QUEUE else f"slurm_{name}": value for name, value in wanted.items()}


def _results(waiting: list[Any]) -> Iterator[Any]:
    failure: LaunchError | None = None
    while waiting:
        for job in [job for job in waiting if job.done()]:
            waiting.remove(job)
            try:
                yield job.results()[0]
            except Exception as error:
                told = f"job {job.job_id}: {slurm_jobs.told(error)}"
                failure = failure or LaunchError(f"{told} (its output: {job.paths.stderr})")
                if waiting:
                    console.print(f"{told}; {counted(len(waiting), 'other')} left", style="red", markup=False)
        if waiting:
            time.sleep(SECONDS_BETWEEN_LOOKS)
    if failure is not None:
        raise failure
