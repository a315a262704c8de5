"""What a method costs: seconds and peak memory."""

import time

import torch
from torch import Tensor

from denoisebench.scoring import memory

QUICK_S = 0.05  # a method that takes no longer would be held up by the measurement
ENOUGH = 3  # times that the memory of a quick one is measured for images of one shape


class Meter:
    """Seconds and peak memory of what happens between `start` and `stop`, with the device synchronised at both.

    Peak memory in MiB: on a GPU the most that tensors held; on the CPU what the resident set of the process grew by
    (outside Linux beyond the largest it ever was). There it takes 10 to 20 ms: of a method that is quicker than `QUICK_S` it
    is measured `ENOUGH` times for images of one shape, and the most of these is taken for the others.
    """

    def __init__(self) -> None:
        self._found: dict[torch.Size, list[float]] = {}
        self._quick = False

    def start(self, image: Tensor) -> None:
        """image: what is given, on the device of the work."""
        self.device, self._of_shape = image.device, self._found.setdefault(image.shape, [])
        self._known = self._quick and len(self._of_shape) >= ENOUGH
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        elif not self._known:
            memory.give_back_freed()  # or it would be used again without a trace
            memory.reset_peak()
            self.held_mib = memory.peak_mib()
        self.began = time.perf_counter()

    def stop(self) -> tuple[float, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        seconds = time.perf_counter() - self.began
        self._quick = seconds <= QUICK_S
        if self.device.type == "cuda":
            return seconds, torch.cuda.max_memory_allocated(self.device) / 2**20
        if not self._known:
            self._of_shape.append(memory.peak_mib() - self.held_mib)
        return seconds, max(self._of_shape) if self._known else self._of_shape[-1]
