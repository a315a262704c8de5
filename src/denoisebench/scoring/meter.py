"""What a method costs: seconds and peak memory."""

import time

import torch

from denoisebench.scoring import memory


class Meter:
    """Seconds and peak memory of what happens between `start` and `stop`, with the device synchronised at both.

    Peak memory in MiB: on a GPU the most that tensors held; on the CPU what the resident set of the process grew by
    (outside Linux beyond the largest it ever was).
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def start(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            memory.give_back_freed()  # or it would be used again without a trace
            memory.reset_peak()
            self.held_mib = memory.peak_mib()
        self.began = time.perf_counter()

    def stop(self) -> tuple[float, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        seconds = time.perf_counter() - self.began
        if self.device.type == "cuda":
            return seconds, torch.cuda.max_memory_allocated(self.device) / 2**20
        return seconds, memory.peak_mib() - self.held_mib
