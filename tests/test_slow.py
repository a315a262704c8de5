"""Learning, killing and packaging: minutes, so only in `make test-slow`."""

import csv
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image

from denoisebench.store.cell import Cell
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import Row
from denoisebench.tracking.about import run_id
from jobs import computed as compute
from test_loggers import Offline, numbers, offline_runs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
COSTS = ("seconds", "train_seconds", "peak_mib", "commit", "study")


def rows_of(cell: Cell) -> list[Row]:
    with (cell.folder / "rows.csv").open() as file:
        return list(csv.DictReader(file))


def without_costs(cell: Cell) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in COSTS} for row in rows_of(cell)]


def mean_psnr(cell: Cell) -> float:
    scores = [float(row["psnr_db"]) for row in rows_of(cell)]
    return sum(scores) / len(scores)


@pytest.mark.parametrize(("method", "gain_db"), [("neighbor2neighbor", 5.0), ("noise2clean", 6.0)])
def test_a_short_training_lifts_psnr(method: str, gain_db: float) -> None:
    own = ("budget=quick", "training.steps=500", "noise=gaussian25", "dataset.crop=160")
    noisy, learned = compute(f"method=noisy,{method}", *own)
    assert mean_psnr(learned) > mean_psnr(noisy) + gain_db


def test_self2self_plus_learns_from_the_noisy_image_alone() -> None:
    noisy, learned = compute("method=noisy,self2self_plus", "budget=quick", "noise=gaussian25", "dataset.crop=96")
    assert learned.label == "self2self_plus[iqa=null]"
    assert mean_psnr(learned) > mean_psnr(noisy) + 4.0


BLIND_SPOT = ("cbsn", "sdap", "apbsn")


@pytest.mark.long
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
    noisy, neighbors, *blind = compute(methods, "budget=quick", "training.steps=800", *own)
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
        assert without_costs(ours) == without_costs(theirs)
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
    assert "the same command continues where it stopped" in printed
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
    assert "1 cell: 1 done" in done.stdout


# --- Sweeps of several processes -----------------------------------------------------------------------------------

PHOTOS = ("dataset.crop=48",)
OF_SWEEP = ("budget=smoke", "training.steps=40", "trainer=cpu", "trainer.checkpoint_s=0", "trainer.threads=1", "pictures=1")
SWEEP = """
import sys
from denoisebench.cli import run
from denoisebench.config.jobs import jobs
from denoisebench.datasets.folder import Folder
Folder.damaged = lambda self: []  # an image tears after planning, which would refuse it
grids = " ".join(sys.argv[1:]).split(" + ")
sys.exit(run._compute(lambda: ([job for grid in grids for job in jobs(grid.split(), multirun=True)], [])))
"""


def grids_of(corrupt: Path) -> list[tuple[str, ...]]:
    """27 cells: two impossible, one with a corrupt image, the others of 13 trainings and of none."""
    return [
        (*PHOTOS, "method=noisy,nlm,wavelet,neighbor2neighbor,sdap,noise2clean", "noise=gaussian25,poisson30,camera"),
        (*PHOTOS, "method=noisy,neighbor2neighbor,cbsn,self2self_plus,apbsn", "noise=gaussian15", "repeats=2"),
        (*PHOTOS, "method=neighbor2neighbor", "noise=gaussian25", "seed=1"),
        (*PHOTOS, "method=noisy,neighbor2neighbor", "noise=real"),
        ("dataset=folder", f"dataset.clean={corrupt}", "method=nlm", "noise=gaussian25"),
    ]


def corrupt_photos(folder: Path) -> Path:
    folder.mkdir()
    for image in ("a", "b", "c"):
        pixels = torch.randint(0, 256, (40, 44, 3), dtype=torch.uint8).numpy()
        Image.fromarray(pixels).save(folder / f"{image}.png")
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:-60])
    return folder


@contextmanager
def started(arguments: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A sweep in a process group of its own; whatever of it is left in the end is killed."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    with (folder / "printed.txt").open("a") as printed:
        sweep = subprocess.Popen(
            [sys.executable, "-c", SWEEP, *arguments], cwd=folder, stdout=printed, stderr=printed, text=True,
            env={**plain, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}, start_new_session=True,
        )  # fmt: skip
    try:
        yield sweep
    finally:
        with suppress(ProcessLookupError):
            os.killpg(sweep.pid, signal.SIGKILL)  # before it is waited for: until then its number is its own
        sweep.wait()


def ended(study: Path) -> int:
    return sum(cell.state in ("done", "skipped", "failed") for cell in read_plan(study).values())


def killed_at(sweep: subprocess.Popen[str], study: Path, cells: int, later_s: float, whole_group: bool) -> str:
    """SIGKILL some time after so many cells have ended; says what was killed when."""
    began = time.monotonic()
    while ended(study) < cells:
        assert sweep.poll() is None, "the sweep got through before it was killed"
        time.sleep(0.05)
    time.sleep(later_s)
    assert sweep.poll() is None, "the sweep got through before it was killed"
    (os.killpg if whole_group else os.kill)(sweep.pid, signal.SIGKILL)
    what = "all its processes" if whole_group else "the process that was started, not its workers"
    return f"{what}, {time.monotonic() - began:.1f} s after the start, {ended(study)} cells ended"


@pytest.mark.timeout(1800)  # four starts of three processes: on a busy machine minutes each
def test_a_sweep_of_processes_killed_at_random_ends_with_the_right_rows_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DENOISEBENCH_KILL_SEED=N repeats one: the seed chooses what is killed after how many cells."""
    seed = int(os.environ.get("DENOISEBENCH_KILL_SEED") or random.SystemRandom().randrange(10**6))
    rng = random.Random(seed)
    grids = [(*grid, *OF_SWEEP) for grid in grids_of(corrupt_photos(tmp_path / "corrupt"))]
    settings = ("launcher=joblib", "hydra.launcher.n_jobs=2", "logger=wandb", "study=killed")
    arguments = " + ".join(" ".join((*grid, *settings)) for grid in grids).split()
    study = tmp_path / "runs" / "killed"
    print(f"\nDENOISEBENCH_KILL_SEED={seed}")
    groups = rng.sample([True, True, False], 3)
    with ExitStack() as processes:  # workers without their parent go on beside the sweep that is started next
        for cells, whole_group in zip(sorted(rng.sample(range(1, 20), 3)), groups, strict=True):
            sweep = processes.enter_context(started(arguments, tmp_path))
            print("killed", killed_at(sweep, study, cells, rng.uniform(0, 1.5), whole_group))
        sweep = processes.enter_context(started(arguments, tmp_path))
        assert sweep.wait(timeout=400) == 1, (tmp_path / "printed.txt").read_text()
    torch.set_num_threads(1)
    monkeypatch.setattr("denoisebench.datasets.folder.Folder.damaged", lambda self: [])
    undisturbed = [cell for grid in grids for cell in compute(*grid, "study=undisturbed")]
    check_cells(study, undisturbed)
    check_runs(study)


def check_cells(study: Path, undisturbed: Sequence[Cell]) -> None:
    """Every cell as without the kills: state, reason, rows, each once."""
    plan = read_plan(study)
    assert plan.keys() == {cell.key for cell in undisturbed}
    assert Counter(cell.state for cell in plan.values()) == {"done": 24, "skipped": 2, "failed": 1}
    for theirs in undisturbed:
        ours = plan[theirs.key]
        assert (ours.state, ours.status().get("reason")) == (theirs.state, theirs.status().get("reason"))
        if theirs.state == "done":
            assert without_costs(ours) == without_costs(theirs)
            assert len({(row["image"], row["repeat"]) for row in rows_of(ours)}) == len(rows_of(ours))
            assert not list(ours.folder.glob("rows.part*"))
    assert not [*study.rglob(".*.part"), *(study.parent / ".trained").rglob("last.ckpt")]


def check_runs(study: Path) -> None:
    """A complete run of W&B for each cell that is done, for the failed one, and for each training."""
    cells = {run_id(cell.study, cell.key): cell for cell in read_plan(study).values() if cell.state != "skipped"}
    trainings = {run_id(c.study, f"training-{c.train_key}"): c for c in cells.values() if c.train_key}
    runs = offline_runs(study)
    assert runs.keys() == cells.keys() | trainings.keys()
    for name, cell in cells.items():
        check_run_of_cell(runs[name], cell)
    for name, cell in trainings.items():
        assert (runs[name].exit_code, runs[name].summary["state"]) == (0, "done")
        assert runs[name].curve("train") == numbers(cell.training / "curve.csv", "step", "loss", "lr")


def check_run_of_cell(told: Offline, cell: Cell) -> None:
    assert (told.exit_code, told.summary["state"]) == ((0, "done") if cell.state == "done" else (1, "failed"))
    if cell.state == "failed":
        assert told.summary["reason"] == cell.status()["reason"]
        return
    rows = numbers(cell.folder / "rows.csv", "psnr_db", "ssim")
    points = [{name: point[name] for name in ("psnr_db", "ssim")} for point in told.curve("test")]
    assert sorted(points, key=lambda point: point["psnr_db"]) == sorted(rows, key=lambda row: row["psnr_db"])
    assert "per_image.table.json" in told.artifact_files


@pytest.mark.parametrize(("launcher", "module"), [("local", "submitit"), ("ray", "ray")])
def test_other_launchers_compute_and_log_a_sweep(launcher: str, module: str, tmp_path: Path) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    grid = (*PHOTOS, "method=noisy,neighbor2neighbor", "noise=gaussian25", *OF_SWEEP)
    with started([*grid, f"launcher={launcher}", "logger=wandb", "study=launched"], tmp_path) as sweep:
        assert sweep.wait(timeout=300) == 0, (tmp_path / "printed.txt").read_text()
    check_runs(tmp_path / "runs" / "launched")
    assert [cell.state for cell in read_plan(tmp_path / "runs" / "launched").values()] == ["done", "done"]
