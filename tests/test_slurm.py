"""A sweep through a real Slurm cluster of one node, which is started here."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from denoisebench import cli
from denoisebench.store.cell import Cell
from denoisebench.store.plan import read_plan
from test_run import SMALL, rows_of, without_costs

SCRIPT = Path(__file__).parent / "engines" / "slurm.sh"
MOODY = """\
import time
from pathlib import Path
from denoisebench.methods.noise2clean import Noise2Clean
class Moody(Noise2Clean):
    def denoise(self, noisy):
        width = noisy.shape[-1]
        if Path("fails").exists() and width == 32:
            raise ValueError("not today")
        if Path("hangs").exists() and width == 48:
            Path("hanging").touch()
            time.sleep(600)
        return super().denoise(noisy)
"""

ASKED = ("cpus_per_task=1", "timeout_min=10", "signal_delay_s=1")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Slurm's commands find a cluster that lasts as long as the test."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in ("slurmctld", "slurmd", "munged", "sbatch", "setpriv") if not shutil.which(name, path=path)]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started as root here")
    place = Path(tempfile.mkdtemp(prefix="slurm-"))  # munged wants every folder above its socket open to it
    place.chmod(0o755)
    monkeypatch.setenv("SLURM_CONF", str(place / "cluster" / "slurm.conf"))
    try:
        subprocess.run([SCRIPT, "start", place / "cluster"], check=True, timeout=60)
        yield
    finally:
        subprocess.run([SCRIPT, "stop", place / "cluster"], check=True, timeout=60)
        shutil.rmtree(place)


@pytest.fixture
def moody(tmp_path: Path) -> list[str]:
    """A method that fails on small images and hangs on larger ones while the files `fails` and `hangs` are there."""
    own = tmp_path / "own"
    (own / "method").mkdir(parents=True)
    (own / "moody.py").write_text(MOODY)
    shutil.copy(SCRIPT.parents[2] / "conf" / "method" / "noise2clean.yaml", own / "method" / "moody.yaml")
    text = (own / "method" / "moody.yaml").read_text().replace("denoisebench.methods.noise2clean.Noise2Clean", "moody.Moody")
    (own / "method" / "moody.yaml").write_text(text)
    for name in ("fails", "hangs"):
        (tmp_path / name).touch()
    return ["--config-dir", str(own), "method=noise2clean,moody", "dataset.crop=32,48", "method.features=8", "training.steps=3"]


def run(*arguments: str) -> int:
    return cli.main(["run", "-m", *(one for one in SMALL if "crop" not in one), *arguments])


def cells(study: str) -> dict[tuple[str, str], Cell]:
    return {(cell.label, cell.dataset): cell for cell in read_plan(Path("runs") / study).values()}


def let_time_run_out(job: str, after: Path) -> None:
    """Slurm's limits are whole minutes: the end of a job that hangs is moved to the next second."""
    while not after.exists():
        time.sleep(0.1)
    end = datetime.now() + timedelta(seconds=2)
    subprocess.run(["scontrol", "update", f"JobId={job}", f"EndTime={end:%Y-%m-%dT%H:%M:%S}"], check=True)


def state_of_job(job: str) -> str:
    """Its last, which it takes some moments to reach."""
    for _ in range(100):
        if (state := _state(job)) != "COMPLETING":
            return state
        time.sleep(0.1)
    return "COMPLETING"


def _state(job: str) -> str:
    told = subprocess.run(["scontrol", "show", "job", job], check=True, capture_output=True, text=True).stdout
    return told.partition("JobState=")[2].split()[0]


@pytest.mark.slow
def test_a_sweep_with_a_failure_and_a_job_out_of_time_is_finished_by_retry_and_by_the_same_command(
    cluster: None, moody: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    slurm = [*moody, "study=by_slurm", "launcher=slurm", *(f"hydra.launcher.{own}" for own in ASKED)]
    watch = threading.Thread(target=let_time_run_out, args=("1_1", tmp_path / "hanging"))
    watch.start()
    assert run(*slurm) == 1
    watch.join()
    assert time.time() - (tmp_path / "hanging").stat().st_mtime < 45, "Slurm looks at limits every 30 s; the rest is waiting"
    assert state_of_job("1_1") == "TIMEOUT"
    assert [cell.state for cell in cells("by_slurm").values()] == ["done", "done", "failed", "running"]
    printed = capfd.readouterr().err.strip().splitlines()
    assert len(printed) == 1, "nothing of accounting, which is off"
    assert "job 1_1: ended before its work was done" in printed[0]
    assert "1_1_0_log.err" in printed[0]
    for name in ("fails", "hangs"):
        (tmp_path / name).unlink()
    assert cli.main(["retry", "by_slurm"]) == 0
    assert [cell.state for cell in cells("by_slurm").values()] == ["done", "done", "done", "running"]
    assert run(*slurm) == 0
    jobs = {path.name for path in Path("runs/by_slurm/.hydra/slurm").iterdir() if list(path.glob("*_submitted.pkl"))}
    assert {"1_0", "1_1"} < jobs, "one job for each training"
    assert len(jobs) == 3, "and a third for what was left"
    assert run(*moody, "study=here") == 0
    for key, cell in cells("here").items():
        theirs = [{**row, "study": "here"} for row in without_costs(rows_of(cells("by_slurm")[key]))]
        assert without_costs(rows_of(cell)) == theirs
