"""What surrounds a run and must not change its numbers: Lightning's and a cluster's variables, and polite kills."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from denoisebench.environment import without
from denoisebench.progress import console

# Lightning takes defaults of its Trainer and seeds from PL_..., and its ranks, devices and checkpoints from a scheduler's.
OBEYED = ("PL_", "LT_", "SLURM_", "TORCHELASTIC_", "GROUP_RANK", "JSM_NAMESPACE_", "LSB_", "KUBERNETES_", "OMPI_COMM_", "PMI_")
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
STOPPING = ("SIGINT", "SIGTERM", "SIGUSR1")

_told: set[str] = set()


@contextmanager
def sheltered(*, alone: bool = True) -> Iterator[None]:
    """Without the variables that Lightning obeys; what would have set a Trainer's arguments is reported once.

    alone: also without those that number ranks, which only a training on several devices sets, for itself.
    """
    hidden = {name for name in os.environ if name.startswith(OBEYED) or (alone and name in RANKS)}
    _tell({name for name in hidden if name.startswith("PL_")})
    with without(hidden):
        yield


def _tell(names: set[str]) -> None:
    if new := sorted(names - _told):
        _told.update(new)
        console.print(
            f"ignoring {', '.join(new)}: only a job's own settings count, e.g. training.steps or trainer",
            style="yellow",
            markup=False,
        )


class Stop:
    """Whether this process was asked to stop, by Ctrl-C, SIGTERM or SIGUSR1, since `heeded` began.

    The first request waits for whoever looks at `asked`; a second one interrupts at once.
    """

    def __init__(self) -> None:
        self.asked = False

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Takes over the signals; outside a process's main thread, which alone can, they stay as they are."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._ask) for number in _numbers(STOPPING)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _numbers(names: Sequence[str]) -> list[signal.Signals]:
    return [getattr(signal, name) for name in names if hasattr(signal, name)]  # SIGUSR1 is not everywhere
