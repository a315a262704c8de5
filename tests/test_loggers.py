"""What loggers are told, read back from the files that they wrote; and that nothing in them touches a cell."""

import csv
import hashlib
import importlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import denoisebench
import jobs
from denoisebench import cli
from denoisebench.config import ConfigError
from denoisebench.networks.weight_files import read_file
from denoisebench.store.cell import Cell
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import Row
from denoisebench.study.cell import compute
from denoisebench.study.finished import is_left
from denoisebench.tracking import tensorboard_logger, wandb_logger
from denoisebench.tracking.about import run_id, table_columns
from denoisebench.training import callbacks as training
from denoisebench.training.callbacks import TrainingLog

SMALL = ("dataset.crop=48", "budget=smoke", "trainer=cpu", "pictures=2")
LEARNED = ("method=neighbor2neighbor", "training.steps=12", "validation.every=6", "validation.images=2")


# --- Reading W&B's offline runs --------------------------------------------------------------------------------------


def records(file: Path) -> Iterator[Any]:
    """The records of a `.wandb` file: a LevelDB log of protocol buffers, after a header of seven bytes.

    W&B's service may still be writing: a record whose bytes are not all there yet ends the file.
    """
    messages: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")

    data, at, parts = file.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # no room for a header: the block ends in zeros
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        if at + 7 + length > len(data):
            return
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or its last part
            record = messages.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


@dataclass
class Offline:
    """One offline run, as W&B would be told of it."""

    folder: Path
    id: str = ""
    group: str = ""
    kind: str = ""
    name: str = ""
    resume: bool = False
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    artifact_files: dict[str, Path] = field(default_factory=dict)
    exit_code: int | None = None

    def curve(self, part: str) -> list[dict[str, float]]:
        """The points of a part, without its name."""
        rows = [
            {key.partition("/")[2]: value for key, value in row.items() if key.startswith(f"{part}/")} for row in self.history
        ]
        return [row for row in rows if row]


def offline_run(folder: Path) -> Offline:
    """A finished run; W&B's service may write its last records some milliseconds after `finish` came back."""
    [file] = folder.glob("*.wandb")
    for _ in range(500):
        found = Offline(folder)
        for record in records(file):
            _take(record, found)
        if found.exit_code is not None:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{folder}: never finished")


def _take(record: Any, found: Offline) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "run":
        run_ = record.run
        found.id, found.group, found.kind, found.name = run_.run_id, run_.run_group, run_.job_type, run_.display_name
        found.tags, found.resume = tuple(run_.tags), run_.resume
        found.config = {item.key: json.loads(item.value_json) for item in run_.config.update}
    elif kind == "history":
        found.history.append({item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item})
    elif kind == "summary":
        found.summary |= {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.summary.update}
    elif kind == "artifact":
        found.artifact_files |= {entry.path: Path(entry.local_path) for entry in record.artifact.manifest.contents}
    elif kind == "exit":
        found.exit_code = record.exit.exit_code


def offline_runs(study: Path) -> dict[str, Offline]:
    """By id; each once."""
    found = [offline_run(folder) for folder in sorted((study / ".wandb").glob("offline-run-*"))]
    assert len({one.id for one in found}) == len(found)
    return {one.id: one for one in found}


# --- Studies ---------------------------------------------------------------------------------------------------------


def computed(*overrides: str) -> list[Cell]:
    return jobs.computed(*SMALL, *overrides)


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def numbers(path: Path, *columns: str) -> list[dict[str, float]]:
    return [{name: float(row[name]) for name in columns} for row in read(path)]


def without_costs(cell: Cell) -> list[Row]:
    costs = ("seconds", "train_seconds", "peak_mib", "commit", "study")
    return [{name: value for name, value in row.items() if name not in costs} for row in read(cell.folder / "rows.csv")]


@pytest.fixture(autouse=True)
def _no_wandb_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, whatever this machine has."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setattr(wandb_logger, "NETRC_FILES", ())
    monkeypatch.setattr(training, "STEPS_BETWEEN_READINGS", 5)


@dataclass
class Study:
    folder: Path
    code: int
    err: str
    cells: dict[str, Cell]
    runs: dict[str, Offline]

    def cell(self, method: str, noise: str) -> Cell:
        return next(cell for cell in self.cells.values() if (cell.label.partition("[")[0], cell.noise) == (method, noise))

    def run(self, cell: Cell) -> Offline:
        return self.runs[run_id(cell.study, cell.key)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def study(root: Path, capfd: pytest.CaptureFixture[str]) -> Study:
    """One command in this process: two methods x two noises, one of them impossible; computed once."""
    folder = root / "multi"
    arguments = (
        *SMALL, "method=noisy,neighbor2neighbor", "noise=gaussian25,real", *LEARNED[1:], "logger=[wandb,csv]",
        "study=multi", "protocol=[default,neighbor2neighbor]", f"root={root}",
    )  # fmt: skip
    if not (root / "code").exists():
        before = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
        code = cli.main(["run", "-m", *arguments])
        (root / "code").write_text(str(code))
        (root / "err").write_text(capfd.readouterr().err)
        after = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
        assert before == after, "a logger moved the global generators"
        assert list(Path.cwd().iterdir()) == [], "a logger wrote into the working folder"
    return Study(folder, int((root / "code").read_text()), (root / "err").read_text(), read_plan(folder), offline_runs(folder))


# --- What Weights & Biases is told -----------------------------------------------------------------------------------


def test_each_cell_and_each_training_is_a_run_and_skipped_cells_are_none(study: Study) -> None:
    assert study.code == 0
    noisy, learned = study.cell("noisy", "gaussian25"), study.cell("neighbor2neighbor", "gaussian25")
    training = f"multi-training-{learned.train_key}"
    assert {one.id: one.kind for one in study.runs.values()} == {
        f"multi-{noisy.key}": "cell", f"multi-{learned.key}": "cell", training: "training",
    }  # fmt: skip
    assert {(one.group, one.exit_code, one.resume, one.summary["state"]) for one in study.runs.values()} == {
        ("multi", 0, True, "done")
    }
    assert study.run(noisy).tags == ("noisy", "photos-crop48", "gaussian25")
    assert study.run(learned).tags == ("neighbor2neighbor", "photos-crop48", "gaussian25", "smoke")
    assert study.run(learned).config["train_run"] == training
    assert "train_run" not in study.run(noisy).config


def test_a_runs_config_is_the_resolved_one(study: Study) -> None:
    cell = study.cell("neighbor2neighbor", "gaussian25")
    told = study.run(cell).config
    from omegaconf import OmegaConf

    composed: Any = OmegaConf.to_container(OmegaConf.load(cell.folder / "config.yaml"))
    assert {name: told[name] for name in composed} == composed
    assert told["cell"] == {
        "line": f"{cell.label} | {cell.dataset} | {cell.noise}",
        "method": cell.label, "dataset": cell.dataset, "noise": cell.noise, "key": cell.key, "setup": cell.setup,
    }  # fmt: skip
    training = study.runs[told["train_run"]].config
    assert training["method"] == composed["method"]
    assert not {"dataset", "noise", "protocols", "root"} & training.keys(), "a shared training belongs to no one cell"


def test_the_curves_of_a_training_are_those_of_its_files(study: Study) -> None:
    cell = study.cell("neighbor2neighbor", "gaussian25")
    told = study.runs[f"multi-training-{cell.train_key}"]
    assert told.curve("train") == numbers(cell.training / "curve.csv", "step", "loss", "lr")
    assert [point["step"] for point in told.curve("train")] == [5, 10, 12]
    assert told.curve("validation") == numbers(cell.training / "validation.csv", "step", "psnr_db", "ssim")


@pytest.mark.parametrize("method", ["noisy", "neighbor2neighbor"])
def test_the_table_of_a_cell_is_its_rows_with_pictures(study: Study, method: str) -> None:
    cell = study.cell(method, "gaussian25")
    told, rows = study.run(cell), read(cell.folder / "rows.csv")
    table = json.loads(told.artifact_files["per_image.table.json"].read_text())
    columns = table_columns()
    assert table["columns"][:6] == list(columns)
    shown = [dict(zip(columns, line, strict=False)) for line in table["data"]]
    assert shown == [{name: row[name] if name in ("image", "protocol") else float(row[name]) for name in columns} for row in rows]
    assert len(rows) == 6
    pictures = [line[6] for line in table["data"]]
    kept = [(cell.folder / "pictures" / f"{row['image']}.png").read_bytes() for row in rows[::2][:2]]
    assert [told.artifact_files[p["path"]].read_bytes() for p in pictures if p] == kept
    assert [bool(picture) for picture in pictures] == [True, False, True, False, False, False]
    assert {path.read_bytes() for path in (told.folder / "files" / "media" / "images").iterdir()} == set(kept)
    assert all(study.folder in path.parents for path in told.artifact_files.values()), "a table's files leave the study"
    assert [point["image"] for point in told.curve("test")] == [1, 2, 3]
    assert [point["psnr_db"] for point in told.curve("test")] == [float(row["psnr_db"]) for row in rows[::2]]


def test_the_summary_of_a_cell_is_its_means(study: Study) -> None:
    for cell in (study.cell("noisy", "gaussian25"), study.cell("neighbor2neighbor", "gaussian25")):
        told, rows = study.run(cell).summary, read(cell.folder / "rows.csv")
        for protocol, prefix in (("default", ""), ("neighbor2neighbor", "neighbor2neighbor/")):
            own = [row for row in rows if row["protocol"] == protocol]
            for name in ("psnr_db", "ssim"):
                assert told[prefix + name] == pytest.approx(np.mean([float(row[name]) for row in own]), rel=1e-12)
        assert told["images"] == 3


def test_the_console_has_one_line_of_wandb(study: Study) -> None:
    lines = [line for line in study.err.splitlines() if "wandb" in line.lower()]
    assert lines == [f"W&B: wandb sync {study.folder / '.wandb'}"]


def test_wandb_sync_would_upload_every_run_once(study: Study) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("wandb")), "sync", "--dry-run", str(study.folder / ".wandb")],
        capture_output=True, text=True, timeout=60, env={**os.environ, "WANDB_SILENT": "false"}, check=True,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert "Would sync 3 run(s)" in told
    assert all(f"run-{one}.wandb" in told for one in study.runs)


def test_a_failed_cell_ends_with_its_reason(root: Path) -> None:
    [cell] = computed(*LEARNED, "method.lr=1e30", "logger=wandb", "study=failed", f"root={root}")
    assert cell.state == "failed"
    runs = offline_runs(root / "failed")
    assert sorted(one.kind for one in runs.values()) == ["cell", "training"]
    for one in runs.values():
        assert (one.exit_code, one.summary["state"]) == (1, "failed")
        assert one.summary["reason"] == cell.status()["reason"]
        assert "lower method.lr" in one.summary["reason"]


# --- Taken up again --------------------------------------------------------------------------------------------------


def interrupted(step: int, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> None:
    """Compute until a training step, with a checkpoint every step up to 3 steps before; then Ctrl-C."""
    log_step = TrainingLog.on_train_batch_end

    def until(self: TrainingLog, trainer: Any, *rest: Any) -> None:
        self.checkpoint_s = 0 if trainer.global_step <= step - 3 else 1e9
        log_step(self, trainer, *rest)
        if trainer.global_step == step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "on_train_batch_end", until)
        with pytest.raises(KeyboardInterrupt):
            computed(*overrides)


def test_a_finished_cell_that_a_logger_lacks_is_logged_from_its_rows(study: Study, tmp_path: Path) -> None:
    """It was done before the logger was asked for, or killed between its rows and the end of its run."""
    wanted = (*LEARNED, "study=multi", f"root={tmp_path}", "protocol=[default,neighbor2neighbor]")
    [cell] = computed(*wanted)
    rows = (cell.folder / "rows.csv").stat().st_mtime_ns
    [job] = jobs.planned(*SMALL, *wanted, "logger=wandb")
    assert is_left(job)
    compute(job)
    assert not is_left(job)
    [told] = offline_runs(tmp_path / "multi").values()
    live = study.run(study.cell("neighbor2neighbor", "gaussian25"))
    assert (told.id, told.exit_code, told.tags) == (live.id, 0, live.tags)
    own = numbers(cell.folder / "rows.csv", "psnr_db", "ssim", "seconds")[::2]
    assert told.curve("test") == [{**row, "image": i + 1} for i, row in enumerate(own)]
    assert told.summary["psnr_db"] == live.summary["psnr_db"]
    table = json.loads(told.artifact_files["per_image.table.json"].read_text())
    assert [len(line) for line in table["data"]] == [7] * 6
    assert (cell.folder / "rows.csv").stat().st_mtime_ns == rows, "it was computed again"


def test_a_resumed_training_goes_on_in_its_run(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = study.cell("neighbor2neighbor", "gaussian25")
    again = (*LEARNED, "logger=[wandb,csv]", "study=multi", f"root={tmp_path}", "protocol=[default,neighbor2neighbor]")
    interrupted(11, monkeypatch, *again)
    first = offline_runs(tmp_path / "multi")
    training = first[f"multi-training-{undisturbed.train_key}"]
    assert [one.exit_code for one in first.values()] == [130, 130]
    assert [point["step"] for point in training.curve("train")] == [5, 10]
    [cell] = computed(*again)
    second = offline_runs(tmp_path / "multi")
    assert first.keys() == second.keys()
    assert {one.exit_code for one in second.values()} == {0}
    told = second[training.id]
    assert told.curve("train")[:2] == training.curve("train"), "a step was logged again with other values"
    assert told.curve("train") == study.runs[training.id].curve("train")
    assert told.curve("validation") == study.runs[training.id].curve("validation")
    for name in ("curve.csv", "validation.csv"):
        assert (cell.training / name).read_bytes() == (undisturbed.training / name).read_bytes()
    assert without_costs(cell) == without_costs(undisturbed)
    growing = read(tmp_path / "multi" / ".csv" / f"{training.id}.csv")
    assert [row["step"] for row in growing if row["name"] == "train/loss"] == ["5", "10", "12"]


KILLED = """
import os, signal, sys
from denoisebench.config.jobs import jobs
from denoisebench.study.cell import compute
from denoisebench.study.planning import plan
from denoisebench.training import callbacks as training
from denoisebench.training.callbacks import TrainingLog
training.STEPS_BETWEEN_READINGS = 5
log_step = TrainingLog.on_train_batch_end
def until(self, trainer, *rest):
    self.checkpoint_s = 0 if trainer.global_step <= 8 else 1e9
    log_step(self, trainer, *rest)
    if trainer.global_step == 11:
        os.kill(os.getpid(), signal.SIGKILL)
TrainingLog.on_train_batch_end = until
[job] = plan(jobs(sys.argv[1:], multirun=False))
compute(job)
"""


@pytest.mark.slow
def test_a_killed_training_leaves_one_whole_run_in_the_end(tmp_path: Path) -> None:
    overrides = (*LEARNED, "logger=wandb", "study=killed", f"root={tmp_path}")
    done = subprocess.run([sys.executable, "-c", KILLED, *SMALL, *overrides], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert len(list((tmp_path / "killed" / ".wandb").glob("offline-run-*"))) == 2
    [cell] = computed(*overrides)
    runs = offline_runs(tmp_path / "killed")
    told = runs[f"killed-training-{cell.train_key}"]
    assert told.curve("train") == numbers(cell.training / "curve.csv", "step", "loss", "lr")
    assert [point["step"] for point in told.curve("train")] == [5, 10, 12]
    assert {one.exit_code for one in runs.values()} == {0}


def test_a_resumed_test_logs_every_image_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from denoisebench.scoring.evaluator import Evaluator

    finish, overrides = Evaluator._finish_image, ("method=noisy", "logger=wandb", "study=resumed", f"root={root}")
    with monkeypatch.context() as patch:
        patch.setattr(
            Evaluator, "_finish_image", lambda self, *rest: finish(self, *rest) if self.done < 2 else pytest.fail("killed")
        )
        with pytest.raises(pytest.fail.Exception):
            computed(*overrides)
    [cell] = computed(*overrides)
    [told] = offline_runs(root / "resumed").values()
    assert [point["psnr_db"] for point in told.curve("test")] == [float(r["psnr_db"]) for r in read(cell.folder / "rows.csv")]


def test_a_training_of_another_study_is_logged_from_its_files(study: Study, root: Path) -> None:
    [cell] = computed(*LEARNED, "dataset.crop=48,33", "logger=csv", "study=later", f"root={root}")[:1]
    done = study.cell("neighbor2neighbor", "gaussian25")
    assert cell.train_key == done.train_key
    name = f"training-{cell.train_key}.csv"
    ours, theirs = (read(root / of / ".csv" / f"{of}-{name}") for of in ("later", "multi"))
    by_name = [sorted((row["name"], row["step"], row["value"]) for row in rows) for rows in (ours, theirs)]
    assert by_name[0] == by_name[1]
    assert len([row for row in ours if row["name"] == "exit_code"]) == 1, "two cells logged it twice"


# --- No logger touches a cell ----------------------------------------------------------------------------------------


def test_rows_weights_and_keys_are_the_same_without_a_logger(study: Study, tmp_path: Path) -> None:
    with_it = study.cell("neighbor2neighbor", "gaussian25")
    [without] = computed(*LEARNED, "protocol=[default,neighbor2neighbor]", f"root={tmp_path}")
    assert (without.key, without.train_key, without.label) == (with_it.key, with_it.train_key, with_it.label)
    assert without_costs(without) == without_costs(with_it)
    weights = [read_file(cell.training / "weights.safetensors") for cell in (with_it, without)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    images = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (cell.folder / "images").iterdir()}
        for cell in (with_it, without)
    ]
    assert images[0] == images[1]
    assert not [path for path in (tmp_path / "default").iterdir() if path.name in (".wandb", ".csv", ".tensorboard")]


# --- Under an agent of a W&B sweep -----------------------------------------------------------------------------------


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What `wandb agent` sets for the command that it starts."""
    import wandb

    file = tmp_path / "config.yaml"
    file.write_text("wandb_version: 1\nseed: {value: 7}\n")
    told = {"WANDB_SWEEP_ID": "sweep123", "WANDB_RUN_ID": "agent456", "WANDB_SWEEP_PARAM_PATH": str(file)}
    wandb.teardown()  # it reads the environment once
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    yield told
    wandb.teardown()


def test_cells_under_an_agent_are_runs_of_their_own_and_say_of_which_sweep(agent: dict[str, str], tmp_path: Path) -> None:
    cells = computed("method=noisy", "seed=0,1", "logger=wandb", "study=swept", f"root={tmp_path}")
    runs = offline_runs(tmp_path / "swept")
    assert runs.keys() == {run_id("swept", cell.key) for cell in cells}
    assert {one.config["wandb_sweep"] for one in runs.values()} == {"sweep123"}
    assert {one.config["seed"] for one in runs.values()} == {0, 1}, "the agent's parameters replaced the cell's own"
    assert {name: os.environ[name] for name in agent} == agent, "the agent's variables are gone for others"


def test_other_variables_of_wandb_name_no_run_and_join_no_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    Path("theirs.yaml").write_text("wandb_version: 1\nseed: {value: 7}\nstray: {value: 1}\n")
    wandb.teardown()
    foreign = {"CONFIG_PATHS": "theirs.yaml", "NAME": "theirs", "RUN_GROUP": "theirs", "TAGS": "theirs", "PROJECT": "theirs"}
    for name, value in foreign.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    cells = computed("method=noisy", "seed=0,1", "logger=wandb", "study=named", f"root={tmp_path}")
    runs = offline_runs(tmp_path / "named")
    assert runs.keys() == {run_id("named", cell.key) for cell in cells}
    assert {one.config["seed"] for one in runs.values()} == {0, 1}
    assert not any("stray" in one.config for one in runs.values())
    assert "stopped" not in capfd.readouterr().err
    wandb.teardown()


def test_a_run_that_is_not_ours_is_never_written_to(
    agent: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    monkeypatch.delenv("WANDB_SWEEP_PARAM_PATH")  # W&B leaves that file open
    wandb.setup(wandb.Settings(silent=True, quiet=True))  # as a plugin might have done before
    [cell] = computed("method=noisy", "logger=wandb", "study=early", f"root={tmp_path}")
    assert cell.state == "done"
    assert "W&B opened run agent456 instead of early-" in capfd.readouterr().err
    [told] = offline_runs(tmp_path / "early").values()
    assert (told.id, told.history, told.exit_code) == ("agent456", [], 1)


def test_without_an_agent_no_sweep_is_named(study: Study) -> None:
    assert not [one.id for one in study.runs.values() if "wandb_sweep" in one.config]


def failing(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["init", "log", "table", "summary", "finish", "folder", "define_metric"])
def test_a_failing_wandb_is_told_once_and_fails_no_cell(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb
    from wandb.sdk import wandb_summary

    if where == "init":
        monkeypatch.setattr(wandb, "init", failing)
    elif where == "table":
        monkeypatch.setattr(wandb, "Table", failing)
    elif where == "summary":
        monkeypatch.setattr(wandb_summary.Summary, "update", failing)
    elif where == "folder":
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / ".wandb").write_text("a file")
    else:
        finish = wandb.Run.finish
        monkeypatch.setattr(
            wandb.Run, where, lambda self, *a, **k: [finish(self, *a, **k) if where == "finish" else None, failing()]
        )
    [cell] = computed("method=noisy", "logger=[csv,wandb]", "study=broken", f"root={tmp_path}")
    err = capfd.readouterr().err
    assert cell.state == "done", (cell.status(), err)
    assert len(read(cell.folder / "rows.csv")) == 3
    assert err.count("logger=wandb stopped") == 1, err
    assert "goes on without it" in err
    assert "wandb:" not in err
    growing = read(tmp_path / "broken" / ".csv" / f"broken-{cell.key}.csv")
    assert [row["value"] for row in growing if row["name"] == "state"] == ["done"], "one logger's failure reached another"


def test_a_failure_at_the_start_leaves_no_run_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    with monkeypatch.context() as patch:
        patch.setattr(wandb.Run, "define_metric", failing)
        computed("method=noisy", "logger=wandb", "study=first", f"root={tmp_path}")
    [first] = offline_runs(tmp_path / "first").values()
    assert first.exit_code == 1
    [cell] = computed("method=noisy", "logger=wandb", "study=second", f"root={tmp_path}")
    [second] = offline_runs(tmp_path / "second").values()
    assert (second.id, second.exit_code) == (f"second-{cell.key}", 0)


# --- Online or not ---------------------------------------------------------------------------------------------------


def closed_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_without_a_key_no_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it asked"))
    assert wandb_logger.Wandb()._mode() == "offline"


def test_with_a_key_it_is_online_where_the_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        assert wandb_logger._server_answers(f"http://127.0.0.1:{server.getsockname()[1]}")
    assert not wandb_logger._server_answers(f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_logger.Wandb()._mode() == "disabled"
    assert wandb_logger.Wandb(mode="online")._mode() == "online"


def test_keys_are_found_in_the_environment_and_in_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert not wandb_logger._has_key("api.example.org")
    file = tmp_path / "netrc"
    file.write_text(f"machine api.example.org login user password {'0' * 40}\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    assert wandb_logger._has_key("api.example.org")
    assert not wandb_logger._has_key("other.example.org")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert wandb_logger._has_key("other.example.org")


def test_an_unreachable_server_leaves_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import wandb

    monkeypatch.setattr(wandb_logger, "_UNREACHABLE", [])
    wandb.teardown()  # it reads the environment once
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{closed_port()}")
    [cell] = computed(
        "method=noisy", "logger=wandb", "loggers.wandb.mode=online", "loggers.wandb.timeout_s=1", "study=far", f"root={tmp_path}"
    )
    assert cell.state == "done"
    [told] = offline_runs(tmp_path / "far").values()
    assert (told.exit_code, len(told.curve("test"))) == (0, 3)
    err = capfd.readouterr().err
    assert err.count("goes on offline") == 1, err
    assert not re.search("^wandb:", err, re.MULTILINE)
    wandb.teardown()


# --- The others ------------------------------------------------------------------------------------------------------


def test_the_csv_grows_with_what_wandb_is_told(study: Study) -> None:
    for one in study.runs.values():
        rows = read(study.folder / ".csv" / f"{one.id}.csv")
        points = [(row["name"], float(row["value"])) for row in rows if row["step"]]
        told = [(name, value) for row in one.history for name, value in row.items() if re.match("(train|validation|test)/", name)]
        assert sorted(points) == sorted(pair for pair in told if not pair[0].endswith(("/step", "/image")))
        assert {row["name"]: row["value"] for row in rows if not row["step"]}["exit_code"] == "0"


def test_tensorboard_is_told_the_same(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [cell] = computed("method=noisy", "logger=tensorboard", f"root={tmp_path}")
    events = EventAccumulator(str(tmp_path / "default" / ".tensorboard" / f"default-{cell.key}"))
    events.Reload()
    rows = read(cell.folder / "rows.csv")
    assert [event.value for event in events.Scalars("test/psnr_db")] == pytest.approx([float(row["psnr_db"]) for row in rows])
    assert set(events.Tags()["images"]) == {f"pictures/{row['image']}" for row in rows[:2]}
    assert events.Scalars("summary/psnr_db")[0].value == pytest.approx(np.mean([float(row["psnr_db"]) for row in rows]))


def test_a_missing_tensorboard_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard_logger, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'denoisebench\[tensorboard\]'"):
        computed("method=noisy", "logger=tensorboard")


def test_loggers_are_chosen_as_protocols_are() -> None:
    def chosen(*overrides: str) -> list[str]:
        return [logger.name for logger in jobs.one(*SMALL, *overrides).loggers]

    assert [chosen(), chosen("logger=none"), chosen("logger=csv")] == [[], [], ["csv"]]
    assert chosen("logger=[wandb,tensorboard]") == ["wandb", "tensorboard"]
    with pytest.raises(ConfigError, match="did you mean wandb"):
        chosen("logger=wandbb")
    with pytest.raises(ConfigError, match="offline"):
        computed("method=noisy", "logger=wandb", "loggers.wandb.mode=off")


@pytest.mark.parametrize("name", ["default", "a b", "a_b", "\u00e4/\u00f6", "x" * 300, ""])
def test_ids_are_safe_and_differ(name: str) -> None:
    made = run_id(name, "training-0123456789ab")
    assert re.fullmatch("[A-Za-z0-9_-]{1,128}", made)
    assert made == run_id(name, "training-0123456789ab") != run_id(name + "-", "training-0123456789ab")


def test_wandb_is_imported_only_when_asked_for() -> None:
    for file in Path(denoisebench.__file__).parent.rglob("*.py"):
        assert not re.search(r"^(import|from) (wandb|tensorboard|torch\.utils\.tensorboard)\b", file.read_text(), re.MULTILINE)
