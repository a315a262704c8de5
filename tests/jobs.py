"""From overrides to jobs and cells, in this process, without Hydra's launcher."""

from denoisebench.config.jobs import job_of, jobs
from denoisebench.job import Job
from denoisebench.store.cell import Cell
from denoisebench.study.cell import compute
from denoisebench.study.planning import plan


def planned(*overrides: str) -> list[Job]:
    """The jobs of a sweep, in the plan of their study."""
    return plan(jobs(overrides, multirun=True))


def one(*overrides: str) -> Job:
    """One job, not planned."""
    return job_of(overrides)


def computed(*overrides: str) -> list[Cell]:
    """The cells of a sweep, planned and computed."""
    result = planned(*overrides)
    for job in result:
        compute(job)
    return [job.cell for job in result]
