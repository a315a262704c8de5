"""MLflow and Trackio are told what the rows say: read back from their own databases, and MLflow's from a real server."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jobs
from denoisebench.config import ConfigError
from denoisebench.store.cell import Cell
from denoisebench.store.finished import read_finished
from denoisebench.study.cell import compute
from denoisebench.study.planning import plan
from denoisebench.tracking import mlflow_logger, trackio_logger
from denoisebench.tracking.about import About

SMALL = ("dataset.crop=48", "budget=smoke", "trainer=cpu", "pictures=2")
LEARNED = ("method=neighbor2neighbor", "training.steps=12", "validation.every=6", "validation.images=2")
ABOUT = {"study": "s", "kind": "cell", "tags": ("tv",), "config": {"method": {"lr": 0.1}}}
# What these packages do with theirs.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*noload.*")


def computed(*overrides: str) -> Cell:
    [job] = plan([jobs.one(*SMALL, *overrides)])
    assert compute(job) == "done"
    return job.cell


@pytest.mark.parametrize(("module", "name"), [(mlflow_logger, "mlflow"), (trackio_logger, "trackio")])
def test_a_missing_package_says_what_to_install(module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"pip install 'denoisebench\[{name}\]'"):
        jobs.one(*SMALL, "method=noisy", f"logger={name}")


# --- MLflow -------------------------------------------------------------------------------------------------------------


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A real one with SQLite."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    address = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder / 'm.db'}",
        "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            _answers(address, process, folder / "log")
            yield address
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


def _answers(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
    raise AssertionError(log.read_text())


def check_mlflow(client: Any, cell: Cell) -> None:
    """One experiment with one run of the cell and one of its training."""
    experiment = client.get_experiment_by_name("default")
    runs = {run.data.tags["denoisebench.id"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {f"default-{cell.key}", f"default-training-{cell.train_key}"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    tested, training = runs[f"default-{cell.key}"], runs[f"default-training-{cell.train_key}"]
    rows = read_finished(cell.folder)
    history = client.get_metric_history(tested.info.run_id, "test/psnr_db")
    assert [(one.step, one.value) for one in history] == [
        (number, pytest.approx(float(row["psnr_db"]))) for number, row in enumerate(rows, 1)
    ]
    assert tested.data.metrics["summary/psnr_db"] == pytest.approx(np.mean([float(row["psnr_db"]) for row in rows]))
    assert tested.data.params["training.steps"] == "12"
    assert [one.step for one in client.get_metric_history(training.info.run_id, "validation/psnr_db")] == [6, 12]
    assert {one.path for one in client.list_artifacts(tested.info.run_id)} == {"config.json", "per_image.csv", "pictures"}
    assert len(client.list_artifacts(tested.info.run_id, "pictures")) == 2


@pytest.mark.slow
def test_mlflow_is_told_by_a_server_and_by_a_file(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed: its pyarrow is another one")
    cell = computed(*LEARNED, "logger=mlflow", f"root={tmp_path / 'file'}")
    check_mlflow(mlflow.MlflowClient(f"sqlite:///{tmp_path}/file/default/.mlflow/mlflow.db"), cell)
    with server(tmp_path / "server") as address:
        there = ("logger=mlflow", f"loggers.mlflow.server={address}", f"root={tmp_path / 'served'}")
        check_mlflow(mlflow.MlflowClient(address), computed(*LEARNED, *there))


@pytest.mark.slow
def test_an_mlflow_run_taken_up_again_is_the_same_one(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed: its pyarrow is another one")
    about = About(id="s-1", name="n", folder=tmp_path / "s", **ABOUT)  # type: ignore[arg-type]
    logger = mlflow_logger.MLflow()
    first = logger.start(about)
    for step in (1, 2):
        first.log("train/step", step, {"train/loss": 1.0 / step})
    first.finish({"state": "interrupted"}, 130)
    again = logger.start(about)
    for step in (1, 2, 3):
        again.log("train/step", step, {"train/loss": 1.0 / step})
    again.finish({"state": "failed", "reason": "ValueError: x"}, 1)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/s/.mlflow/mlflow.db")
    [run] = client.search_runs([client.get_experiment_by_name("s").experiment_id])
    assert [one.step for one in client.get_metric_history(run.info.run_id, "train/loss")] == [1, 2, 3]
    assert run.info.status == "FAILED"
    assert (run.data.tags["reason"], run.data.params) == ("ValueError: x", {"method.lr": "0.1"})


# --- Trackio ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def trackio() -> Any:
    pytest.importorskip("trackio", reason="the extra trackio is not installed: it needs pillow below 13")
    return pytest.importorskip("trackio.sqlite_storage").SQLiteStorage


@pytest.mark.slow
def test_trackio_is_told_the_rows_once(trackio: Any, tmp_path: Path) -> None:
    project = f"p{tmp_path.name}"
    own = ("logger=trackio", f"loggers.trackio.project={project}", f"root={tmp_path}")
    cell = computed(*LEARNED, *own)
    computed(*LEARNED, *own, "force=true")
    names = {run["name"]: run for run in trackio.get_run_records(project)}
    tested = next(run for name, run in names.items() if name.endswith(f"(default-{cell.key})"))
    training = next(run for name, run in names.items() if name.endswith(f"(default-training-{cell.train_key})"))
    assert len(names) == 2
    logs = trackio.get_logs(project, tested["name"], run_id=tested["id"])
    rows = read_finished(cell.folder)
    assert [one["test/psnr_db"] for one in logs if "test/psnr_db" in one] == pytest.approx(
        [float(row["psnr_db"]) for row in rows]
    )
    assert any("per_image" in one and sum(name.startswith("pictures/") for name in one) == 2 for one in logs)
    assert [one["summary/state"] for one in logs if "summary/state" in one] == ["done"]
    curve = trackio.get_logs(project, training["name"], run_id=training["id"])
    assert [one["step"] for one in curve if "validation/psnr_db" in one] == [6, 12]
    assert trackio.get_run_config(project, tested["name"], run_id=tested["id"])["training"]["steps"] == 12
