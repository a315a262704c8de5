"""Several images at once on a CPU: steps of ZS-N2N on 256 x 256, in one process and in one process for each core.

    python benchmarks/images_at_once.py [--json FILE] [--side 256] [--rounds 12] [--steps 4]

Four arrangements take turns, each in processes that stay alive between its turns:

- plain: the loop of `literal_steps.py` on all cores, with the C library's usual memory management.
- kept: the same loop, keeping freed memory, as `denoisebench run` does: what of our gain is due to that.
- one: ours on all cores, keeping freed memory.
- each: ours, one process with one thread for each core, each with its own image, as `shard=1/2,2/2 launcher=joblib` runs them.

Before that, a plain step and ours must give the same loss, gradients and weights. Milliseconds are those of a step of one image:
the wall time of a turn by the steps of all its processes.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import torch

from denoisebench.scoring.memory import keep_freed
from paired import full_float32, picture
from peers import same, stepping, zsn2n
from speed import flops_of, machine, peak_flops

CORES = len(os.sched_getaffinity(0))
ARRANGEMENTS = {"plain": ("plain", 1, CORES), "kept": ("plain", 1, CORES), "one": ("ours", 1, CORES), "each": ("ours", CORES, 1)}
"""Whose step, in how many processes, with how many threads each. All but `plain` keep freed memory."""


@dataclass(frozen=True)
class Found:
    """ms: of a step of one image, by arrangement, of each round. ratios: plain / ours, of each round.
    floor_ms: the step's convolutions at the rate of a plain convolution on all cores."""

    side: int
    steps: int
    ms: dict[str, list[float]]
    ratios: dict[str, list[float]]
    floor_ms: float
    gflop: float
    peak_gflops: float
    equal: dict[str, float]


class Workers:
    """The processes of one arrangement, which wait for their turn."""

    def __init__(self, name: str, side: int) -> None:
        _, processes, threads = ARRANGEMENTS[name]
        command = [sys.executable, __file__, "--worker", name, "--threads", str(threads), "--side", str(side)]
        self.processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
        ]

    def turn(self, steps: int) -> float:
        """Seconds for a step of one image. Raises: RuntimeError if a process has ended."""
        began = time.perf_counter()
        for process in self.processes:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # which reading tells of
                print(steps, file=process.stdin, flush=True)
        for process in self.processes:
            assert process.stdout is not None
            if process.stdout.readline() != "done\n":
                raise RuntimeError(f"a process of this benchmark ended with {process.wait()}")
        return (time.perf_counter() - began) / (steps * len(self.processes))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.communicate()


def work(name: str, threads: int, side: int) -> None:
    """One process: take as many steps as each line of its input says."""
    torch.set_num_threads(threads)
    if name != "plain":
        keep_freed()
    pair = zsn2n(False, torch.float32, False, "cpu")
    own, other = pair.optimizers()
    loss, optimizer = (pair.ours, own) if ARRANGEMENTS[name][0] == "ours" else (pair.other, other)
    step = stepping(loss, optimizer, picture(1, side, side, "cpu")[1], "cpu")
    step()
    for line in sys.stdin:
        for _ in range(int(line)):
            step()
        print("done", flush=True)


def measured(side: int, rounds: int, steps: int) -> Found:
    noisy = picture(1, side, side, "cpu")[1]
    with full_float32():
        equal = same(zsn2n(False, torch.float32, True, "cpu"), noisy)
    pair = zsn2n(False, torch.float32, False, "cpu")
    flops, peak = flops_of(lambda: pair.ours(noisy).backward()), peak_flops("cpu", "32", (1, 128), 10)
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Workers(name, side)) for name in ARRANGEMENTS}
        for each in workers.values():  # all have started, and have the processor to themselves from now on
            each.turn(1)
        turns = [{name: 1e3 * each.turn(steps) for name, each in workers.items()} for _ in range(rounds)]
    ms = {name: [turn[name] for turn in turns] for name in ARRANGEMENTS}
    ratios = {name: [turn["plain"] / turn[name] for turn in turns] for name in ARRANGEMENTS if name != "plain"}
    return Found(side, steps, ms, ratios, 1e3 * flops / peak, flops / 1e9, peak / 1e9, asdict(equal))


def said(found: Found) -> Sequence[str]:
    lines = [f"ZS-N2N, {found.side} x {found.side}, float32, {CORES} cores; a step of one image:"]
    for name, (whose, processes, threads) in ARRANGEMENTS.items():
        lines.append(f"{name:6}{statistics.median(found.ms[name]):7.1f} ms   {whose}, processes: {processes}, threads: {threads}")
        if name in found.ratios:
            low, middle, high = statistics.quantiles(found.ratios[name], n=4, method="inclusive")
            lines[-1] += f"; {middle:.2f} times as fast as plain ({low:.2f} to {high:.2f})"
    floor = f"{found.gflop:.1f} GFLOP at {found.peak_gflops:.0f} GFLOP/s, a plain convolution on all cores"
    return [*lines, f"floor {found.floor_ms:7.1f} ms   {floor}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--worker", choices=tuple(ARRANGEMENTS), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.worker, given.threads, given.side)
        return
    found = measured(given.side, given.rounds, given.steps)
    print("\n".join(said(found)))
    if given.json:
        given.json.write_text(json.dumps({"machine": machine("cpu"), **asdict(found)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
