"""Learning, killing and packaging: minutes, so only in `make test-slow`."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch

from denoisebench import config, run
from denoisebench.cells import Cell, Row

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
COSTS = ("seconds", "train_seconds", "peak_mib", "commit", "study")


def rows_of(cell: Cell) -> list[Row]:
    with (cell.folder / "rows.csv").open() as file:
        return list(csv.DictReader(file))


def compute(*overrides: str) -> list[Cell]:
    jobs = config.jobs(list(overrides), multirun=True)
    cells = run.plan(jobs)
    for job in jobs:
        run.main(job.config)
    return cells


def mean_psnr(cell: Cell) -> float:
    scores = [float(row["psnr_db"]) for row in rows_of(cell)]
    return sum(scores) / len(scores)


@pytest.mark.parametrize(("method", "gain_db"), [("neighbor2neighbor", 5.0), ("noise2clean", 6.0)])
def test_a_minute_of_training_lifts_psnr(method: str, gain_db: float) -> None:
    noisy, learned = compute(f"method=noisy,{method}", "budget=quick", "noise=gaussian25", "dataset.crop=160")
    assert mean_psnr(learned) > mean_psnr(noisy) + gain_db


def test_self2self_plus_learns_from_the_noisy_image_alone() -> None:
    noisy, learned = compute("method=noisy,self2self_plus", "budget=quick", "noise=gaussian25", "dataset.crop=96")
    assert learned.label == "self2self_plus[iqa=null]"
    assert mean_psnr(learned) > mean_psnr(noisy) + 4.0


BLIND_SPOT = ("cbsn", "sdap", "apbsn")


def test_blind_spot_methods_learn_under_correlated_noise_and_neighbor2neighbor_does_not() -> None:
    """Strong camera noise. At the preset's milder one, so short a training of SDAP loses more detail than it removes noise."""
    methods = f"method=noisy,neighbor2neighbor,{','.join(BLIND_SPOT)}"
    noisy, neighbors, *blind = compute(methods, "budget=quick", "noise=camera", "noise.lam=15", "dataset.crop=128")
    for cell in blind:
        assert mean_psnr(cell) > mean_psnr(noisy) + 2.0, cell.label
        assert mean_psnr(cell) > mean_psnr(neighbors) + 1.0, cell.label


def test_blind_spot_methods_learn_on_real_noise_and_beat_neighbor2neighbor(data_root: Path) -> None:
    root = data_root / "SIDD_val_5"
    own = ("dataset=folder", f"dataset.noisy={root / 'noisy'}", f"dataset.clean={root / 'clean'}", "noise=real")
    methods = f"method=noisy,neighbor2neighbor,{','.join(BLIND_SPOT)}"
    noisy, neighbors, *blind = compute(methods, "budget=quick", *own)
    for cell in blind:
        assert mean_psnr(cell) > mean_psnr(noisy) + 2.0, cell.label
        assert mean_psnr(cell) > mean_psnr(neighbors) + 1.0, cell.label


def test_a_study_killed_at_any_instant_ends_in_the_same_rows() -> None:
    """A child computes the study; SIGKILL after a random time, again and again, until it gets through."""
    overrides = (
        "method=noisy,neighbor2neighbor,noise2clean", "budget=smoke", "training.steps=12", "dataset.crop=64",
        "trainer.checkpoint_s=0", "trainer.threads=1", "repeats=2",
    )  # fmt: skip
    torch.set_num_threads(1)  # a forked child must not meet OpenMP threads that only its parent has
    undisturbed = compute(*overrides, "study=undisturbed")
    rng = random.Random(0)
    kills = 0
    for attempt in range(400):
        child = os.fork()
        if child == 0:
            compute(*overrides, "study=killed", "root=elsewhere")
            os._exit(0)
        time.sleep(rng.uniform(0.05, 0.5 + attempt * 0.02))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            break
        kills += 1
    killed = compute(*overrides, "study=killed", "root=elsewhere")
    assert kills >= 10, "the study got through before it was killed often enough"
    for ours, theirs in zip(killed, undisturbed, strict=True):
        assert ours.state == "done"
        strip = lambda rows: [{name: row[name] for name in row if name not in COSTS} for row in rows]  # noqa: E731
        assert strip(rows_of(ours)) == strip(rows_of(theirs))
        for image in (theirs.folder / "images").iterdir():
            assert (ours.folder / "images" / image.name).read_bytes() == image.read_bytes()


def test_a_polite_kill_ends_a_run_and_the_same_command_goes_on(tmp_path: Path) -> None:
    code = "import sys; from denoisebench.cli import main; sys.exit(main())"
    arguments = [
        "run",
        "-m",
        "method=noisy,nlm,neighbor2neighbor",
        "budget=smoke",
        "repeats=30",
        "dataset.crop=96",
        "trainer.threads=1",
    ]
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not any(path.stat().st_size for path in tmp_path.glob("runs/default/nlm/*/*/*/rows.part.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "the same command goes on where it was" in printed
    assert len(list(tmp_path.glob("runs/default/*/*/*/*/rows.csv"))) == 1
    [first] = tmp_path.glob("runs/default/nlm/*/*/*/images/astronaut.png")
    written = first.stat().st_mtime_ns
    assert subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).returncode == 0
    assert first.stat().st_mtime_ns == written, "a finished image was computed again"


def test_an_installed_wheel_runs_with_its_own_configuration(tmp_path: Path) -> None:
    checkout = Path(__file__).parents[1]
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), str(checkout)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    assert (tmp_path / "installed" / "denoisebench" / "py.typed").is_file()
    code = (
        "import sys, denoisebench; from denoisebench import config; from denoisebench.cli import main;"
        "print(denoisebench.__file__, config.conf_dir()); sys.exit(main(['run', 'method=noisy', 'dataset.crop=64']))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    where = done.stdout.splitlines()[0].split()
    assert all(Path(path).is_relative_to(tmp_path / "installed") for path in where)
    assert "1 cells: 1 done" in done.stdout
