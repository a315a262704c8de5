"""What the framework costs beside the work: until the first training step, for each plan, cell, image, finished cell and step.

.venv/bin/python benchmarks/overhead.py                        # minutes
.venv/bin/python benchmarks/overhead.py --quick                # few cells and steps: does it run?
.venv/bin/python benchmarks/overhead.py start plans cells images blocks finished step      # some of it only
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

START = """
import sys, time
began = float(sys.argv[1])
def tell(what): print(f"{time.time() - began:.2f} {time.process_time():.2f} {what}", flush=True)
tell("Python started")
from denoisebench import config
tell("Hydra imported")
composed = config.compose_all(sys.argv[2:], multirun=False)
tell("configuration composed")
from denoisebench import cli
from denoisebench.config.jobs import made_or_not
from denoisebench.study import planning, sweep
planned = planning.plan(made_or_not(composed)[0])
tell("planned")
import torch
tell("PyTorch imported")
import pytorch_lightning
tell("Lightning imported")
from denoisebench.training import callbacks as training
def first(*_): tell("first training step begins"); raise KeyboardInterrupt
training.SeededSteps.on_train_batch_start = first
sweep.launcher(planned)()
"""
SWEEP = "import sys; from denoisebench.cli import main; sys.exit(main())"
CHEAP = ("method=noisy", "dataset.crop=32", "dataset.part=test", "pictures=0", "trainer=cpu", "trainer.threads=1")
FOLDER = ("method=noisy", "dataset=folder", "noise=real", "trainer=cpu", "trainer.threads=1")
ROWS = ("astronaut", "chelsea", "rocket")


def timed(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds of a process that ends well, those of the processor in it, and the MiB it held at most."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(said.read().decode(errors="replace"))
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


@contextmanager
def own_cache(folder: Path) -> Iterator[None]:
    """An empty cache folder: the first command within it knows nothing of earlier ones."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    try:
        yield
    finally:
        del os.environ["XDG_CACHE_HOME"]
        if before is not None:
            os.environ["XDG_CACHE_HOME"] = before


# --- From the command to the first training step -------------------------------------------------------------------


def start(quick: bool) -> None:
    """The moments of a run of Neighbor2Neighbor, which was planned once before; of several runs the median of each."""
    print("\nfrom the command to the first training step: seconds since the command, and of the processor")
    moments: dict[str, list[tuple[float, float]]] = {}
    settings = ["method=neighbor2neighbor", "budget=quick", "trainer=cpu", "trainer.threads=1"]
    with tempfile.TemporaryDirectory() as folder, own_cache(Path(folder)):
        for number in range(2 if quick else 4):
            shutil.rmtree(Path(folder, "runs"), ignore_errors=True)
            command = [sys.executable, "-c", START, repr(time.time()), *settings]
            printed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout
            for line in printed.splitlines() if number else ():
                seconds, used, what = line.split(" ", 2)
                moments.setdefault(what, []).append((float(seconds), float(used)))
    if "first training step begins" not in moments:
        raise RuntimeError("no training step began")
    for what, each in moments.items():
        print(f"  {statistics.median(s for s, _ in each):6.2f} {statistics.median(u for _, u in each):6.2f}  {what}")


# --- What computes nothing -------------------------------------------------------------------------------------------


def plans(quick: bool) -> None:
    """Plans of 24 cells, the first that this installation's cache folder sees and those after it, another, and a mistyped key."""
    methods = "noisy,nlm" if quick else "noisy,nlm,wavelet,tv,neighbor2neighbor,self2self_plus"
    sweep = ["-m", f"method={methods}", "noise=gaussian15,gaussian25,gaussian50,poisson30", "budget=smoke", "--plan"]
    commands = {
        "a first plan": sweep, "the same plan": sweep, "again": sweep, "the same with another seed": [*sweep, "seed=1"],
        "that one again": [*sweep, "seed=1"], "a mistake": ["methd=nlm"],
    }  # fmt: skip
    print("\nseconds of the whole command, and of the processor in it")
    with tempfile.TemporaryDirectory() as folder, own_cache(Path(folder)):
        for what, settings in commands.items():
            before, began = os.times(), time.perf_counter()
            subprocess.run([sys.executable, "-c", SWEEP, "run", *settings], cwd=folder, capture_output=True, check=False)
            seconds, after = time.perf_counter() - began, os.times()
            used = after.children_user + after.children_system - before.children_user - before.children_system
            print(f"  {seconds:6.2f} {used:6.2f}  {what}")


# --- Cells -----------------------------------------------------------------------------------------------------------


def cells(quick: bool) -> None:
    """Cells of three crops of 32 x 32 that nothing denoises: what is left is planning, files, scoring, Lightning."""
    from denoisebench.config.jobs import jobs
    from denoisebench.store.finished import read_finished
    from denoisebench.study.cell import compute
    from denoisebench.study.planning import plan

    count = 5 if quick else 100
    print(f"\na sweep of {count} cells in one process: noisy, three images of 32 x 32")
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        torch.set_num_threads(1)
        [warm] = plan(jobs([*CHEAP, "study=warm"], multirun=False))
        compute(warm)
        composed, composing = _measured(lambda: jobs([*CHEAP, f"seed=range(0,{count})"], multirun=True))
        planned, planning = _measured(lambda: plan(composed))
        cells = {job.cell.key: job.cell for job in planned}
        _, computing = _measured(lambda: [compute(job, cells) for job in planned])
        tested = sum(float(row["seconds"]) for job in planned for row in read_finished(job.cell.folder))
    for what, seconds in (("composing", composing), ("planning", planning), ("computing", computing)):
        print(f"  {1000 * seconds / count:7.1f} ms a cell {what}")
    print(f"  {1000 * tested / count:7.1f} ms of them in the method")


# --- One run on many images ------------------------------------------------------------------------------------------


def images(quick: bool) -> None:
    """A folder of pairs that nothing denoises: read, scored, kept, and their rows written."""
    counts, side = ((2, 6), 32) if quick else ((10, 100, 1000, 4000), 128)
    print(f"\na run on a folder of pairs of {side} x {side}, noisy, three pictures: its own process, imports and all")
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            for name in ("clean", "noisy"):
                pairs = Path(folder, str(count), name)
                pairs.mkdir(parents=True)
                for index in range(count):
                    cv2.imwrite(str(pairs / f"{index:05}.png"), draw.integers(0, 256, (side, side, 3), dtype=np.uint8))
            options = [f"dataset.{name}={count}/{name}" for name in ("clean", "noisy")]
            command = [sys.executable, "-c", SWEEP, "run", *FOLDER, *options, f"study=of{count}"]
            seconds, _, mib = timed(command, Path(folder))
            print(f"  {count:5} images {seconds:7.1f} s {mib:7.0f} MiB at most")


def blocks(quick: bool) -> None:
    """Blocks of the size of SIDD's, which nothing denoises, each cell's second half against its first: without its start."""
    from denoisebench.config.jobs import jobs
    from denoisebench.store.finished import read_finished
    from denoisebench.study.cell import compute
    from denoisebench.study.planning import plan

    count, side = (8, 64) if quick else (160, 256)
    print(f"\nblocks of {side} x {side} on a disk, noisy, no pictures, in one process: ms a block")
    draw = np.random.default_rng(0)
    smooth = cv2.resize(draw.random((32, 32, 3), dtype=np.float32), (2 * side, 2 * side), interpolation=cv2.INTER_CUBIC)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        for index in range(count):
            top, left = draw.integers(0, side, 2)
            clean = smooth[top : top + side, left : left + side] * 255
            noisy = clean + draw.normal(0, 15, clean.shape)
            for name, image in (("clean", clean), ("noisy", noisy)):
                Path(name).mkdir(exist_ok=True)
                cv2.imwrite(f"{name}/{index:05}.png", np.clip(image + 0.5, 0, 255).astype(np.uint8))
        options = [*FOLDER, "dataset.clean=clean", "dataset.noisy=noisy", "pictures=0"]
        for protocols in ("default", "[default,sidd_matlab,apbsn]"):
            for study in ("warm", "timed"):
                [job] = plan(jobs([*options, f"protocol={protocols}", f"study={study}{protocols.count(',')}"], multirun=False))
                _, seconds = _measured(lambda job=job: compute(job))
            rows = read_finished(job.cell.folder)
            own = sum(float(row["seconds"]) for row in rows if row["protocol"] == "default")
            print(f"  {1000 * seconds / count:7.1f}  under protocol={protocols}; {1000 * own / count:.1f} of them in the method")


def _measured(act: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = act()
    return result, time.perf_counter() - began


def finished(quick: bool) -> None:
    """A sweep that is done already, started again; its cells were written by the library, not computed."""
    from denoisebench.config.jobs import jobs
    from denoisebench.study.planning import plan

    seeds = 1 if quick else 50
    grid = [
        "method=noisy,nlm,wavelet,tv,neighbor2neighbor", "noise=gaussian15,gaussian25,gaussian50,poisson30",
        f"seed=range(0,{seeds})", "budget=smoke",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, chdir(folder), own_cache(Path(folder)):
        planned = plan(jobs(grid, multirun=True))
        for job in planned:
            _write_as_done(job)
        print(f"\na sweep of {len(planned)} finished cells, started again: seconds of the command, and of the processor in it")
        for what in ("the first time", "again"):
            seconds, used, _ = timed([sys.executable, "-c", SWEEP, "run", "-m", *grid], Path(folder))
            print(f"  {seconds:6.2f} {used:6.2f}  {what}")


def _write_as_done(job: Any) -> None:
    """A finished cell's folder."""
    from denoisebench.store.code import keep_code
    from denoisebench.store.rows import COLUMNS, write_csv

    cell = job.cell
    same: Mapping[str, Any] = dict.fromkeys(COLUMNS, "") | {
        "study": cell.study, "method": cell.label, "dataset": cell.dataset, "noise": cell.noise, "seed": cell.seed, "repeat": 0,
        "protocol": "default", "psnr_db": 20.0, "ssim": 0.5, "seconds": 0.1, "peak_mib": 1.0, "key": cell.key,
        "setup": cell.setup, "status": "done", "scored_by": "local",
    }  # fmt: skip
    write_csv(cell.folder / "rows.csv", COLUMNS, [{**same, "image": image} for image in ROWS])
    keep_code(cell.folder, job.code)
    cell.set_status("done", images=len(ROWS))


# --- Steps -----------------------------------------------------------------------------------------------------------


def step(quick: bool) -> None:
    """Neighbor2Neighbor's quick recipe at 3 x 128 x 128: the training of a run against a bare loop on the same patches."""
    steps, rounds = (10, 1) if quick else (100, 5)
    torch.set_num_threads(1)
    print(f"\na training step of neighbor2neighbor, one patch of 128 x 128, one thread; {rounds} times {steps} steps each")
    bare, ours = [], []
    _in_lightning(3)  # imports
    for _ in range(rounds):
        bare.append(1000 * _bare(steps))
        ours.append(1000 * _in_lightning(steps))
    differences = sorted(b - a for a, b in zip(bare, ours, strict=True))
    print(f"  {statistics.median(bare):7.1f} ms a bare loop")
    print(f"  {statistics.median(ours):7.1f} ms a run's training")
    print(f"  {statistics.median(differences):7.1f} ms more ({differences[0]:.1f} to {differences[-1]:.1f})")


def _method_and_data(steps: int) -> tuple[Any, Any]:
    from denoisebench.config.jobs import job_of
    from denoisebench.study.making import method_and_data

    wanted = ["method=neighbor2neighbor", "budget=quick", f"training.steps={steps}", "training.patch=128"]
    return method_and_data(job_of(wanted))


def _bare(steps: int) -> float:
    """Seconds of a step: read a patch, add noise, loss, gradient, Adam."""
    from denoisebench.noise import Gaussian

    method, data = _method_and_data(steps)
    optimizer, noise = method.configure_optimizers(), Gaussian(sigma=25)
    generator = torch.Generator().manual_seed(0)
    patches = iter(data.train_dataloader())
    began = time.perf_counter()
    for number in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = method.learning_rate(number / steps)
        loss = method.loss(noise(next(patches).clean, generator), number / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - began) / steps


def _in_lightning(steps: int) -> float:
    from denoisebench.training.engine import Engine
    from denoisebench.training.fit import Course, trained

    method, data = _method_and_data(steps)
    with tempfile.TemporaryDirectory() as folder:
        about = trained(method, data, Path(folder), Course(0, Engine(checkpoint_s=60.0)))
    return about["seconds"] / steps


PARTS: Mapping[str, Callable[[bool], None]] = {
    "start": start,
    "plans": plans,
    "cells": cells,
    "images": images,
    "blocks": blocks,
    "finished": finished,
    "step": step,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="does it run?")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for part in given.parts or PARTS:
        PARTS[part](given.quick)


if __name__ == "__main__":
    main()
