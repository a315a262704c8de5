"""How long a Slurm job is waited for: seconds after its end, without accounting too, and without a word."""

import subprocess
import time
from collections.abc import Iterable, Mapping
from typing import Any

SECONDS_BETWEEN_QUESTIONS = 10.0
ENDED = "COMPLETED"
QUEUED = ("PENDING", "RUNNING", "REQUEUED", "COMPLETING", "SUSPENDED", "CONFIGURING", "STOPPED", "RESIZING", "SIGNALING")


def states(printed: str) -> dict[str, str]:
    """What `squeue -h -r -o '%i|%T'` prints: the state of each job, of arrays each of theirs."""
    pairs = [line.strip().split("|") for line in printed.splitlines() if "|" in line]
    return {job: state for job, *_, state in pairs}


def state_of(job: str, known: Mapping[str, str]) -> str:
    """A job that the queue no longer has came to its end, whatever that was: its result says which."""
    found = known.get(job, ENDED)
    return "RUNNING" if found in QUEUED else found


def asked(jobs: Iterable[str]) -> dict[str, str] | None:
    """The states of queued jobs; None if the queue does not answer. (Asked for a job that has gone, `squeue` fails: all of the
    user's are asked for.)"""
    command = ["squeue", "--me", "-h", "-r", "-o", "%i|%T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    known = states(done.stdout)
    return {job: state_of(job, known) for job in jobs}


def watch() -> None:
    """Makes submitit ask the queue instead of `sacct`, which needs accounting, and at even intervals.

    A job's result is looked for every second anyway; the queue is asked for jobs that ended without one.
    """
    import submitit
    from submitit.slurm.slurm import SlurmInfoWatcher

    class Queue(SlurmInfoWatcher):
        def update_if_long_enough(self, mode: str) -> None:
            self._delay_s = int(SECONDS_BETWEEN_QUESTIONS)
            self._start_time = 0.0  # its own delay grows with the time since then, up to that one
            super().update_if_long_enough(mode)

        def update(self) -> None:
            waited_for = self._registered - self._finished
            found = asked(waited_for)
            self._last_status_check = time.time()
            for job, state in (found or {}).items():
                told: dict[str, Any] = {"JobID": job, "State": state}
                self._info_dict[job] = told
                if state == ENDED:
                    self._finished.add(job)

    submitit.SlurmJob.watcher = Queue()
