"""Steps of the quick recipes in `bf16-mixed` against float32: is bfloat16 faster on this machine, method by method?

python benchmarks/precision.py [--seconds 8] [--json FILE] [METHOD ...]

For each method that learns from a data set, the network, patch and batch of `conf/recipe/quick`. Each round takes a step in
float32 and one in bfloat16, one after the other, from the same weights; a ratio is the median over rounds. What training
in bfloat16 costs in PSNR is another question, which whole runs answer:

denoisebench run -m method=neighbor2neighbor budget=quick precision=32,bf16-mixed seed=0,1,2
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from denoisebench import config
from denoisebench.config.parts import instantiate
from denoisebench.denoiser import Denoiser, SupervisedDenoiser
from denoisebench.seeding import isolated_rng

LEAST = 4  # rounds
PHASES = (0.1, 0.9)  # trained fractions: the two stages of the methods that have two


@dataclass
class Line:
    """ratio: float32 / bfloat16, above 1 where bfloat16 is faster."""

    method: str
    progress: float
    batch: int
    patch: int
    float32_ms: float
    bf16_ms: float
    ratio: float
    rounds: int


def stepper(plain: Mapping[str, Any], precision: str, progress: float) -> Callable[[], float]:
    """Takes a step, as a run in this precision does, and returns its seconds."""
    with isolated_rng(0):
        method: Any = instantiate(plain["method"], "method", Denoiser).train()
        side, batch = plain["training"]["patch"], plain["training"]["batch"]
        noisy, target = torch.rand(2, batch, 3, side, side)
    if precision == "bf16":
        method.to(memory_format=torch.channels_last)
    optimizer = method.configure_optimizers()

    def loss() -> Tensor:
        return method.loss(noisy, target, progress) if isinstance(method, SupervisedDenoiser) else method.loss(noisy, progress)

    def step() -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return time.perf_counter() - began

    return step


def line(name: str, progress: float, seconds: float) -> Line:
    plain = config.compose_one([f"method={name}", "budget=quick"]).plain
    single, half = (stepper(plain, precision, progress) for precision in ("32", "bf16"))
    for step in (single, half):
        step()
    began, rounds = time.perf_counter(), []
    while len(rounds) < LEAST or time.perf_counter() - began < seconds:
        rounds.append((single(), half()))
    float32, bf16 = (1000 * statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(one / other for one, other in rounds)
    training = plain["training"]
    return Line(name, progress, training["batch"], training["patch"], float32, bf16, ratio, len(rounds))


def learning() -> list[str]:
    """The methods that learn from a data set: those with a recipe of an hour."""
    return sorted(file.stem for file in Path(config.conf_dir(), "recipe", "hour").glob("*.yaml"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--seconds", type=float, default=8, help="for the rounds of one line")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    lines: list[Line] = []
    for name in given.methods or learning():
        for progress in PHASES:
            lines.append(line(name, progress, given.seconds))
            told = lines[-1]
            print(f"{name:24} at {progress}: {told.float32_ms:8.1f} {told.bf16_ms:8.1f} ms, {told.ratio:.2f}", flush=True)
    if given.json:
        given.json.write_text(json.dumps([asdict(told) for told in lines], indent=1) + "\n")
    print(f"{torch.__version__}, {torch.get_num_threads()} threads", file=sys.stderr)


if __name__ == "__main__":
    main()
