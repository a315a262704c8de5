"""How long a Slurm job is waited for, seconds after its end and quietly; and how one ends that has used up its time."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import Any, NoReturn

SECONDS_BETWEEN_QUESTIONS = 10.0
ENDED = "COMPLETED"
ENDED_EARLY = (
    "ended before its work was done, by Slurm's time limit or a kill: the same command continues; "
    "hydra.launcher.timeout_min=MINUTES gives it longer, hydra.launcher.max_num_timeout=N queues it again by itself"
)
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


# --- In the job ---------------------------------------------------------------------------------------------------


class Limited:
    """Runs a work item in a job. When Slurm says that its time is nearly over or that the node is wanted, it stops as by
    Ctrl-C: what is unfinished stays so, and a training writes its checkpoint first. submitit then queues the job again
    where it was told to."""

    def __init__(self, run: Callable[[Sequence[str]], Any]) -> None:
        self.run = run

    def checkpoint(self, item: Sequence[str]) -> Any:
        """What submitit queues again."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, item)

    def __call__(self, item: Sequence[str]) -> Any:
        if not hasattr(signal, "SIGUSR2") or threading.current_thread() is not threading.main_thread():
            return self.run(item)
        theirs, said = signal.getsignal(signal.SIGUSR2), list[int]()

        def stop(number: int, frame: FrameType | None) -> None:
            said.append(number)
            polite = signal.getsignal(signal.SIGUSR1)  # a training's own while it trains
            (polite if callable(polite) else _interrupt)(number, frame)

        signal.signal(signal.SIGUSR1, _interrupt)
        signal.signal(signal.SIGUSR2, stop)
        try:
            return self.run(item)
        except KeyboardInterrupt:
            if said and callable(theirs):
                theirs(said[0], None)  # queues it again, or raises
            raise InterruptedError(ENDED_EARLY) from None


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def told(error: BaseException) -> str:
    """What submitit tells of a job in one line: the last one of its traceback, or how one continues that had no time to end."""
    text = str(error)
    if "not requeued because" in text or "has not produced any output" in text or ENDED_EARLY in text:
        return ENDED_EARLY
    parts = [part.strip() for part in text.split("-" * 22)]  # what happened, the traceback, where the logs are
    lines = (parts[1] if len(parts) > 2 else text).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
