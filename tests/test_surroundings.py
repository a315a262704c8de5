"""A run in hostile surroundings gives what it gives in quiet ones, bit for bit, and a polite kill loses no step."""

import csv
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from denoisebench import cli
from denoisebench.config.jobs import job_of
from denoisebench.environment import own_environment
from denoisebench.networks.weight_files import read_file
from denoisebench.store.cell import Cell
from denoisebench.study.cell import compute
from denoisebench.study.making import method_and_data
from denoisebench.study.planning import plan
from denoisebench.training.callbacks import TrainingLog
from denoisebench.training.engine import Engine
from denoisebench.training.fit import Course, trained
from denoisebench.training.surroundings import Stop, sheltered

SLURM = {
    "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0", "SLURM_NODELIST": "n1",
}  # fmt: skip
HOSTILE = {
    "slurm": SLURM,
    "four tasks": {**SLURM, "SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "2"},
    "lightning": {
        "PL_TRAINER_FAST_DEV_RUN": "1", "PL_TRAINER_LIMIT_TRAIN_BATCHES": "1", "PL_TRAINER_GRADIENT_CLIP_VAL": "0.001",
        "PL_TRAINER_MAX_TIME": "00:00:00:00", "PL_TRAINER_LIMIT_TEST_BATCHES": "1", "PL_TRAINER_PRECISION": "16-mixed",
        "PL_GLOBAL_SEED": "3", "PL_SEED_WORKERS": "1",
    },
    "elastic": {"RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "8", "NODE_RANK": "1", "MASTER_ADDR": "nowhere", "MASTER_PORT": "1",
                "TORCHELASTIC_RUN_ID": "x", "GROUP_RANK": "1"},
}  # fmt: skip
JOBS = {
    "neighbor2neighbor": ("method=neighbor2neighbor", "budget=smoke"),
    "noise2clean": ("method=noise2clean", "budget=smoke"),
    "given": ("method=neighbor2neighbor", "budget=smoke", "checkpoint=given.pt"),
    "nlm": ("method=nlm",),
}
COSTS = ("seconds", "train_seconds", "peak_mib", "study", "commit")


def computed(root: str, overrides: Sequence[str]) -> Cell:
    [job] = plan([job_of([*overrides, "dataset.crop=48", "pictures=0", "trainer=cpu", f"root={root}"])])
    assert compute(job) == "done", job.cell.status()
    return job.cell


def rows_of(cell: Cell) -> list[dict[str, str]]:
    return read_rows(cell.folder / "rows.csv")


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return [{name: value for name, value in row.items() if name not in COSTS} for row in csv.DictReader(file)]


def leave_foreign_checkpoint() -> None:
    """What Lightning writes into the current folder when Slurm announces the end of another training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_JOB_ID", "7")
        method, data = method_and_data(job_of([*JOBS["neighbor2neighbor"], "seed=9", "trainer=cpu"]))
        with run_quietly():
            trainer = pl.Trainer(
                accelerator="cpu", max_steps=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
                enable_model_summary=False, limit_val_batches=0,
            )  # fmt: skip
            trainer.fit(method, data)
        trainer.save_checkpoint("hpc_ckpt_1.ckpt")


def run_quietly() -> Any:
    from denoisebench.training.fit import quiet

    return quiet()


@functools.cache
def quiet() -> tuple[bytes, dict[str, list[dict[str, str]]]]:
    """What `JOBS` give in quiet surroundings: the weights that the first one trains, which the third is given, and the rows."""
    rows, weights = {}, b""
    for name, overrides in JOBS.items():
        cell = computed("quiet", overrides)
        rows[name] = rows_of(cell)
        if name == "neighbor2neighbor":
            weights = (cell.training / "weights.safetensors").read_bytes()
            Path("given.pt").write_bytes(weights)
    return weights, rows


@pytest.mark.parametrize("surroundings", HOSTILE)
def test_variables_and_foreign_checkpoints_change_no_number(
    surroundings: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    srun = Path("bin/srun")
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\nexit 1\n")
    srun.chmod(0o755)
    weights, clean = quiet()
    Path("given.pt").write_bytes(weights)
    leave_foreign_checkpoint()
    before = set(Path().iterdir())
    monkeypatch.setenv("PATH", f"{srun.parent.resolve()}{os.pathsep}{os.environ['PATH']}")
    for name, value in HOSTILE[surroundings].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("denoisebench.training.surroundings._told", set())
    hostile = {name: rows_of(computed("hostile", overrides)) for name, overrides in JOBS.items()}
    assert hostile == clean
    assert set(Path().iterdir()) - before == {Path("hostile")}
    assert dict(os.environ).items() >= HOSTILE[surroundings].items(), "they are there again for what runs next"
    told = capsys.readouterr()
    assert ("ignoring PL_" in told.err + told.out) == (surroundings == "lightning")


def test_a_training_that_ends_early_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(self: TrainingLog, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = True

    monkeypatch.setattr(TrainingLog, "on_train_batch_end", ends)
    [job] = plan([job_of([*JOBS["neighbor2neighbor"], "training.steps=5", "dataset.crop=48"])])
    assert compute(job) == "failed"
    assert "training ended after 1 of 5 steps" in job.cell.status()["reason"]
    assert not (job.cell.training / "weights.safetensors").exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_polite_kill_saves_the_step_and_the_same_command_continues(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", *JOBS["neighbor2neighbor"], "training.steps=6", "dataset.crop=48", "pictures=0", "trainer=cpu"]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    for key, value in SLURM.items():
        monkeypatch.setenv(key, value)
    seen = TrainingLog.on_train_batch_end

    def killed(self: TrainingLog, trainer: pl.Trainer, *rest: Any) -> None:
        if trainer.global_step == 3:
            os.kill(os.getpid(), getattr(signal, name))
        seen(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "on_train_batch_end", killed)
        assert cli.main([*command, "root=killed"]) == 130
    said = capsys.readouterr()
    assert "saved at step 3 of 6" in said.out + said.err
    assert not list(Path().glob("hpc_ckpt*"))
    [checkpoint] = Path("killed/.trained").glob("*/last.ckpt")
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 3
    steps: list[int] = []

    def counted(self: TrainingLog, trainer: pl.Trainer, *rest: Any) -> None:
        steps.append(trainer.global_step)
        seen(self, trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "on_train_batch_end", counted)
        assert cli.main([*command, "root=killed"]) == 0
    assert steps == [4, 5, 6]
    said = capsys.readouterr()
    assert "goes on from step 3 of 6" in said.out + said.err
    assert cli.main([*command, "root=undisturbed"]) == 0
    said = capsys.readouterr()
    assert "goes on from step" not in said.out + said.err
    [resumed], [undisturbed] = (list(Path(root, ".trained").glob("*/weights.safetensors")) for root in ("killed", "undisturbed"))
    ours, theirs = read_file(resumed), read_file(undisturbed)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Killed(BaseException):
    """Nothing that runs afterwards, but for what Python cannot leave out."""


@pytest.mark.parametrize("last", ["write_csv", "write_atomic"])
def test_a_kill_after_the_weights_are_written_and_before_they_are_said_done_trains_on_from_the_last_step(
    last: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    def train(folder: str) -> dict[str, torch.Tensor]:
        method, data = method_and_data(job_of([*JOBS["neighbor2neighbor"], "training.steps=6", "dataset.crop=48", "trainer=cpu"]))
        trained(method, data, tmp_path / folder, Course(0, Engine(checkpoint_s=0)))
        return method.state_dict()

    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / "weights.pt").write_bytes(b"of a training that an older version began")
    with monkeypatch.context() as patch:
        patch.setattr(f"denoisebench.training.fit.{last}", killed)
        with pytest.raises(Killed):
            train("killed")
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    assert {"weights.safetensors", "last.ckpt"} <= left
    assert "training.json" not in left, "so that nobody takes it for done"
    resumed = train("killed")
    assert "goes on from step 5 of 6" in " ".join(capsys.readouterr().err.split())
    assert {path.name for path in (tmp_path / "killed").glob("*.*[!k]")} == {"weights.safetensors", "curve.csv", "training.json"}
    undisturbed = train("undisturbed")
    assert all(torch.equal(resumed[key], undisturbed[key]) for key in undisturbed)


def test_a_second_request_interrupts_at_once_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stop = Stop()
    with stop.heeded():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_ranks_of_our_own_keep_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("SLURM_PROCID", "4")
    with sheltered(alone=False):
        assert os.environ["LOCAL_RANK"] == "1"
        assert "SLURM_PROCID" not in os.environ
    with sheltered():
        assert "LOCAL_RANK" not in os.environ
    assert (os.environ["LOCAL_RANK"], os.environ["SLURM_PROCID"]) == ("1", "4")


FOLDER = {  # what a folder may hold where a command is typed
    "tempfile.py": "raise SystemExit('not this one')",
    "numpy.py": "raise SystemExit('not this one')",
    ".env": "PL_TRAINER_FAST_DEV_RUN=1\n",
    "config.yaml": "seed: 9\n",
    "conf/config.yaml": "seed: 9\n",
    "conf/method/nlm.yaml": "_target_: os.system\n",
    ".hydra/overrides.yaml": "- seed=9\n",
    "config-defaults.yaml": "seed: {value: 9}\n",
    "wandb/settings": "[default]\nmode = online\n",
    "matplotlibrc": "font.size: 3\n",
    "lightning_logs/version_0/checkpoints/last.ckpt": "",
    "last.ckpt": "",
    "weights.pt": "",
    "weights.safetensors": "",
    "tunableop_results0.csv": "Validator,PT_VERSION,1\n",
}
VARIABLES = {
    **HOSTILE["four tasks"], **HOSTILE["lightning"], **HOSTILE["elastic"],
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1", "NVIDIA_TF32_OVERRIDE": "1", "PYTORCH_TUNABLEOP_ENABLED": "1", "XLA_USE_BF16": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":16:8", "ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "SCIPY_ARRAY_API": "1", "MPLBACKEND": "nonsense",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1",
    "HYDRA_FULL_ERROR": "1", "HYDRA_MAIN_MODULE": "mine", "WANDB_MODE": "online", "WANDB_RUN_ID": "x", "WANDB_SWEEP_ID": "y",
    "PYTHONHASHSEED": "5", "PYTHONOPTIMIZE": "2", "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "ascii", "TZ": "Asia/Tokyo",
}  # fmt: skip


@pytest.mark.slow
def test_a_command_in_a_hostile_folder_and_environment_computes_the_same_bit_for_bit() -> None:
    names = ("neighbor2neighbor", "nlm", "zsn2n")
    quiet = [computed("quiet", [f"method={name}", "budget=smoke"]) for name in names]
    hostile, root = Path("folder"), Path("hostile").resolve()
    for name, text in FOLDER.items():
        (hostile / name).parent.mkdir(parents=True, exist_ok=True)
        (hostile / name).write_text(text)
    before = sorted(hostile.rglob("*"))
    command = [
        "run",
        "-m",
        f"method={','.join(names)}",
        "budget=smoke",
        "dataset.crop=48",
        "pictures=0",
        "trainer=cpu",
        f"root={root}",
    ]
    code = f"from denoisebench.cli import main; raise SystemExit(main({command}))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={**os.environ, **VARIABLES},
        cwd=hostile,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("ignoring ")]
    for name in (
        "PL_TRAINER_FAST_DEV_RUN",
        "NVIDIA_TF32_OVERRIDE",
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
        "PYTORCH_TUNABLEOP_ENABLED",
    ):
        assert any(name in line for line in told), f"{name} is not told"
    assert sorted(hostile.rglob("*")) == before, "something is left there"
    for cell in quiet:
        assert read_rows(root / cell.folder.relative_to("quiet") / "rows.csv") == rows_of(cell)


def test_variables_that_round_or_end_are_hidden_told_and_back_afterwards(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tempfile.py").write_text("raise SystemExit('not this one')")
    hidden = {"NVIDIA_TF32_OVERRIDE": "0", "MPLBACKEND": "nonsense", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    for name, value in hidden.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setattr("denoisebench.environment._told", set())
    before = dict(os.environ)
    for _ in range(2):
        with own_environment():
            assert not hidden.keys() & os.environ.keys()
            assert subprocess.run([sys.executable, "-c", "import tempfile"], check=False).returncode == 0
        assert dict(os.environ) == before
    assert capsys.readouterr().err == "ignoring NVIDIA_TF32_OVERRIDE: only precision= says how exactly is computed\n"


@pytest.mark.parametrize("asked", ["highest", "high", "medium"])
@pytest.mark.parametrize("tf32", [False, True])
def test_products_are_as_exact_as_precision_says_whatever_another_module_asked_for(asked: str, tf32: bool) -> None:
    torch.set_float32_matmul_precision(asked)
    try:
        with Engine(tf32=tf32).exact():
            assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
            assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is tf32
        assert torch.get_float32_matmul_precision() == asked
        assert torch.backends.cudnn.allow_tf32 is True
    finally:
        torch.set_float32_matmul_precision("highest")
