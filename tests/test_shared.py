"""Processes and folders that are shared: workers end with their parent, locks and files name who and what is in the way."""

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from denoisebench import cli
from denoisebench.report import write
from denoisebench.store import files
from denoisebench.store.cell import Cell
from denoisebench.store.files import BusyError, LostOwnerError, held, marker, sweep, whole_file, write_atomic
from denoisebench.store.rows import read_csv
from denoisebench.study import again, ownership
from jobs import computed, planned
from studies import STUDY, add_cell

SMALL = ("dataset.crop=33", "trainer=cpu", "pictures=0")

# --- Workers ------------------------------------------------------------------------------------------------------

PARENT = """
import multiprocessing, os, signal, sys, time
from denoisebench.study.workers import end_with_parent

def child(late):
    print(os.getpid(), flush=True)
    asked = []
    if late < 0:
        signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    time.sleep(max(late, 0))
    end_with_parent()
    while late < 0 and not asked:
        time.sleep(0.05)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(60)

process = multiprocessing.get_context("fork").Process(target=child, args=(float(sys.argv[1]),))
process.start()
process.join()
"""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
@pytest.mark.parametrize("late", [0.0, 1.0, -1.0], ids=["at work", "still loading", "a training that saves"])
def test_a_worker_ends_when_its_parent_is_killed(late: float) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(late)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        worker = int(parent.stdout.readline())
        assert is_running(worker)
        time.sleep(0.3)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 20  # workers of joblib would wait for more work, for ever
        while is_running(worker) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not is_running(worker)


# --- Half-written files -------------------------------------------------------------------------------------------


def orphans(folder: Path) -> list[Path]:
    return sorted(folder.rglob(".*.part"))


def leave(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f".{'0' * 32}.part").write_text("half")


def test_what_killed_reports_left_is_swept_by_the_next_report_and_the_next_plan() -> None:
    add_cell("noisy", {"a": 20.0})
    for place in (STUDY, STUDY / "report" / "crops"):
        leave(place)
    assert cli.main(["report", str(STUDY)]) == 0
    assert orphans(STUDY) == []
    leave(STUDY)
    add_cell("nlm", {"a": 20.0})
    assert orphans(STUDY) == []


def test_nothing_is_swept_while_another_process_writes_a_report() -> None:
    add_cell("noisy", {"a": 20.0})
    leave(STUDY)
    with held(STUDY / write.LOCK):
        add_cell("nlm", {"a": 20.0})
        assert len(orphans(STUDY)) == 1
    sweep(STUDY, STUDY / write.LOCK)
    assert orphans(STUDY) == []


def test_an_error_names_the_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    with pytest.raises(PermissionError) as caught, whole_file(path) as part:
        raise PermissionError(errno.EACCES, "Permission denied", str(part))
    assert str(path) in str(caught.value)
    assert ".part" not in str(caught.value)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_report_of_a_read_only_study_names_out(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    add_cell("noisy", {"a": 20.0})
    real = os.open

    def read_only(path: Any, flags: int, *arguments: Any, **more: Any) -> int:
        if flags & os.O_CREAT and str(STUDY) in str(path):
            raise OSError(number, os.strerror(number), str(path))
        return real(path, flags, *arguments, **more)

    monkeypatch.setattr(os, "open", read_only)
    assert cli.main(["report", str(STUDY)]) == 2
    assert "--out" in capsys.readouterr().err
    assert cli.main(["report", str(STUDY), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.html").is_file()


# --- Locks --------------------------------------------------------------------------------------------------------


def without_flock(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_lock_of_another_machine_without_flock_names_file_process_and_machine_and_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch, errno.ENOSYS)
    lock = tmp_path / ".lock"
    with held(lock):
        assert f"on {socket.gethostname()}" in str(marker(lock))
    assert marker(lock) is None
    lock.write_text("4711\nelsewhere\n")
    with pytest.raises(BusyError, match=r"\.lock.*process 4711 on elsewhere"), held(lock):
        pass
    clock = time.monotonic() + files.SECONDS_FOR_A_SIGN
    monkeypatch.setattr(files, "monotonic", lambda: clock + 1)
    with pytest.raises(LostOwnerError, match=r"process 4711 on elsewhere.*delete .*\.lock"), held(lock):
        pass
    lock.write_text("4712\nelsewhere\n")  # a sign of life: another process has it now
    with pytest.raises(BusyError), held(lock):
        pass


@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_cell_that_is_locked_elsewhere_is_waited_for_with_words_and_not_without_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_flock(monkeypatch, errno.ENOSYS)
    [job] = planned(*SMALL, "method=noisy")
    job.cell.folder.mkdir(parents=True, exist_ok=True)
    (job.cell.folder / ".lock").write_text("4711\nelsewhere\n")
    assert "process 4711 on elsewhere" in ownership.holder(job.cell)
    monkeypatch.setattr(files, "SECONDS_FOR_A_SIGN", 0.5)
    assert cli.main(["run", "method=noisy", *SMALL]) == 1
    err = capsys.readouterr().err
    assert "process 4711 on elsewhere" in err
    assert f"delete {job.cell.folder / '.lock'}" in err


@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOLCK, "lock service"), (errno.EOPNOTSUPP, "lock service"), (errno.EPERM, "chmod")]
)
def test_a_lock_that_cannot_be_had_says_why_in_words(
    number: int, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_flock(monkeypatch, number)
    with pytest.raises(OSError, match=word) as caught, held(tmp_path / ".lock"):
        pass
    assert str(tmp_path / ".lock") in str(caught.value)


# --- force=true ---------------------------------------------------------------------------------------------------


def shard_of(cell: Cell) -> list[str]:
    return [row["image"] for row in read_csv(cell.folder / "rows.csv")]


def test_forced_shards_count_nothing_of_before_and_end_with_all_rows() -> None:
    force = (*SMALL, "method=noisy", "force=true")
    computed(*SMALL, "method=noisy", "shard=2/2")  # finished before
    [first, second] = computed(*force, "shard=1/2,2/2")
    assert first.folder == second.folder
    assert first.state == "done"
    assert len(shard_of(first)) == 3
    # Each forced by a command of its own, in either order, and once more.
    for order in (("1/2", "2/2"), ("2/2", "1/2")):
        [_, cell] = [computed(*force, f"shard={shard}")[0] for shard in order]
        assert cell.state == "done"
        assert len(shard_of(cell)) == 3


def test_a_shard_of_before_does_not_enter_a_forced_cell() -> None:
    [job] = planned(*SMALL, "method=noisy", "shard=2/2")
    computed(*SMALL, "method=noisy", "shard=2/2")
    [partial] = job.cell.folder.glob("rows.part.2of2.jsonl")
    partial.write_text("".join(json.dumps([{**row, "psnr_db": 1.0} for row in json.loads(line)]) + "\n"
                               for line in partial.read_text().splitlines()))  # fmt: skip
    [cell, _] = computed(*SMALL, "method=noisy", "force=true", "shard=1/2,2/2")
    assert cell.state == "done"
    assert min(float(row["psnr_db"]) for row in read_csv(cell.folder / "rows.csv")) > 10


def test_force_trains_again_whatever_the_clock_says_and_once_for_a_command() -> None:
    small = (*SMALL, "method=noise2clean", "budget=smoke", "noise=gaussian25", "dataset.crop=33,48", "train_noise=gaussian25")
    cells = computed(*small)
    [training] = {cell.training for cell in cells}
    future = time.time() + 1e6
    for path in training.iterdir():
        os.utime(path, (future, future))
    jobs = planned(*small, "force=true")
    assert [again.trains_again(job) for job in jobs] == [True, True]
    computed(*small, "force=true")
    assert (training / "training.json").stat().st_mtime < future - 1e5, "it was not trained again"
    before = (training / "weights.safetensors").stat().st_mtime_ns
    [job, _] = jobs
    write_atomic(job.cell.folder / again.FORCED, json.loads((training / "training.json").read_text())["forced"])
    assert not again.trains_again(job), "a command trains a network once"
    assert (training / "weights.safetensors").stat().st_mtime_ns == before
