"""Training steps on a GPU: seconds and peak memory of every method's step at its paper's patch and batch.

Image learners: a step on one 256 x 256 image, each launched and, where the method allows it, replayed from a CUDA graph.
Data set learners: float32, TF32 and bf16 autocast. Prints a line for each as it ends, and writes them as JSON lines.

    python benchmarks/gpu_steps.py [FILE] [METHOD ...]
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from denoisebench import config
from denoisebench.config.parts import instantiate
from denoisebench.denoiser import Denoiser, ImageDenoiser, SupervisedDenoiser
from denoisebench.seeding import isolated_rng

SIDE, STEPS, WARM_UP = 256, 60, 8


def made(name: str) -> tuple[Any, dict[str, Any]]:
    plain = config.compose_one([f"method={name}"]).plain
    with isolated_rng(0):
        return instantiate(plain["method"], "method", Denoiser).cuda().train(), plain["training"]


def timed(step: Callable[[int], object]) -> tuple[float, float]:
    """Mean seconds of a step after a warm-up, and the peak MiB."""
    for index in range(WARM_UP):
        step(index)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    for index in range(WARM_UP, WARM_UP + STEPS):
        step(index)
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / STEPS, torch.cuda.max_memory_allocated() / 2**20


def of_image(name: str) -> Iterator[dict[str, Any]]:
    image = torch.rand(1, 3, SIDE, SIDE, device="cuda")
    for replayed in (False, True):
        method, _ = made(name)
        if replayed and not method.replayed:
            return
        method.replayed = replayed
        method.reset(image)
        steps = method._steps(image)
        seconds, mib = timed(lambda index, steps=steps: steps(0.1, 1e-4))
        yield {"method": name, "kind": "replayed" if replayed else "launched", "ms": 1e3 * seconds, "mib": mib,
               "steps": method.num_steps, "s_per_image": seconds * method.num_steps}  # fmt: skip


def of_set(name: str) -> Iterator[dict[str, Any]]:
    for kind in ("float32", "tf32", "bf16"):
        method, training = made(name)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = kind == "tf32"
        if kind == "bf16":
            method.to(memory_format=torch.channels_last)
        noisy = torch.rand(training["batch"], 3, training["patch"], training["patch"], device="cuda")
        optimizer = method.configure_optimizers()

        def step(_: int, method: Any = method, noisy: torch.Tensor = noisy, optimizer: Any = optimizer, kind: str = kind) -> None:
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.bfloat16, enabled=kind == "bf16"):
                supervised = isinstance(method, SupervisedDenoiser)
                loss = method.loss(noisy, noisy, 0.1) if supervised else method.loss(noisy, 0.1)
            loss.backward()
            optimizer.step()

        seconds, mib = timed(step)
        yield {"method": name, "kind": kind, "ms": 1e3 * seconds, "mib": mib, "steps": training["steps"],
               "batch": training["batch"], "patch": training["patch"], "hours": seconds * training["steps"] / 3600}  # fmt: skip


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    for name in sys.argv[2:] or config.groups()["method"]:
        method, _ = made(name)
        if method.learns == "nothing":
            continue
        try:
            for line in of_image(name) if isinstance(method, ImageDenoiser) else of_set(name):
                line["device"], line["torch"] = torch.cuda.get_device_name(), torch.__version__
                print({key: round(value, 3) if isinstance(value, float) else value for key, value in line.items()}, flush=True)
                if out:
                    with out.open("a") as file:
                        file.write(json.dumps(line) + "\n")
        except Exception as error:  # noqa: BLE001 (one method's failure is a line of the result)
            print(name, type(error).__name__, error, flush=True)
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
