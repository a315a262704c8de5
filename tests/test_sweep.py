"""Sweeps: what a launcher is given, cells that are in other hands, failures, retries, shards."""

import importlib
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from denoisebench import cli, config
from denoisebench.config import ConfigError, composed, hydra_internals
from denoisebench.config.jobs import jobs
from denoisebench.config.paths import absolute
from denoisebench.job import Work
from denoisebench.store import plan as plans
from denoisebench.store.cell import Cell
from denoisebench.store.files import held
from denoisebench.store.plan import read_plan
from denoisebench.study import costs, sweep
from denoisebench.study.cell import compute
from denoisebench.study.planning import plan
from denoisebench.study.speed import Speed
from jobs import planned as in_plan
from test_run import SMALL, photos_in, rows_of, without_costs


def denoisebench(*arguments: str) -> int:
    return cli.main(["run", "-m", *SMALL, *arguments])


def planned() -> list[Cell]:
    return list(read_plan(Path("runs/default")).values())


def states() -> list[str]:
    return [cell.state for cell in planned()]


def test_a_basic_launcher_gets_one_job_and_others_one_for_each_training(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(config.Launcher, "__call__", lambda self, items: given.extend(items))
    grid = ["method=noisy,noise2clean", "noise=gaussian25", "dataset.crop=48,64", "train_noise=gaussian25"]
    for launcher, sizes in ((["basic"], [4]), (["joblib", "hydra.launcher.n_jobs=2"], [1, 1, 2])):
        given.clear()
        sweep.launcher(in_plan(*SMALL, *grid, f"launcher={launcher[0]}", *launcher[1:]))()
        cells = [next(o for o in item if o.startswith("cells=")).count("'") // 2 for item in given]
        assert cells == sizes
    assert any(o.startswith("threads=") for o in given[0])


def test_little_work_stays_in_this_process_and_more_of_it_does_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[tuple[bool, int]] = []
    monkeypatch.setattr(config.Launcher, "__call__", lambda self, items: given.append((self.in_this_process, len(items))))
    speed = Speed(image=(0.1, 0.0))
    monkeypatch.setattr(costs, "speed_of", lambda job: speed)
    wanted = (*SMALL, "method=noisy", "noise=gaussian25,camera", "launcher=joblib")
    sweep.launcher(in_plan(*wanted))()
    assert "about a second of work: computed in this process" in capsys.readouterr().err
    speed = Speed(image=(20.0, 0.0))
    sweep.launcher(in_plan(*wanted))()
    speed = Speed()
    sweep.launcher(in_plan(*wanted))()
    assert given == [(True, 1), (False, 2), (False, 2)]
    assert capsys.readouterr().err == ""


def test_a_cell_in_other_hands_comes_last_and_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (job.cell for job in in_plan(*SMALL, "method=noisy", "noise=gaussian25,camera"))
    lock = FileLock(first.folder / ".lock", thread_local=False)
    lock.acquire()

    def let_go() -> None:
        while second.state != "done":
            threading.Event().wait(0.05)
        threading.Event().wait(0.3)
        lock.release()

    thread = threading.Thread(target=let_go)
    thread.start()
    sweep.work(Work("runs", "default", [first.key, second.key], shard=None, threads=None, on_error="continue"))
    thread.join()
    assert states() == ["done", "done"]
    printed = capsys.readouterr().err
    assert printed.count("another process has it in hand") == 1
    assert printed.index(f"done     {second}") < printed.index(f"done     {first}")


def test_a_network_that_another_process_trains_is_waited_for_last() -> None:
    [job] = in_plan(*SMALL, "method=noise2clean")
    job.cell.training.mkdir(parents=True)
    with FileLock(job.cell.training / ".lock"):
        assert compute(job) == "busy"
    assert compute(job) == "done"


@pytest.fixture
def torn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files tear after planning, which would refuse them."""
    monkeypatch.setattr("denoisebench.datasets.folder.Folder.damaged", lambda self: [])


def corrupt_folder(tmp_path: Path) -> Path:
    folder = photos_in(tmp_path / "mine", "a", "b")
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:60])
    return folder


@pytest.mark.usefixtures("torn")
def test_a_failure_stops_its_cell_alone_or_the_sweep_if_it_is_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = corrupt_folder(tmp_path)
    own = ["dataset=folder", f"dataset.clean={folder}", "dataset.noisy=null", "noise=gaussian25"]
    small = ["pictures=1", "trainer=cpu", "method=noisy,wavelet"]
    assert cli.main(["run", "-m", *small, *own, "on_error=stop"]) == 1
    assert "on_error=stop; the same command goes on" in capsys.readouterr().err
    assert states() == ["failed", "planned"]
    assert cli.main(["run", "-m", *small, *own]) == 1
    assert states() == ["failed", "failed"]
    assert "b.png" in planned()[0].status()["reason"]


@pytest.mark.usefixtures("torn")
def test_retry_takes_what_failed_and_a_mended_file_is_another_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = corrupt_folder(tmp_path)
    own = ["dataset=folder", f"dataset.clean={folder}", "dataset.noisy=null", "noise=gaussian25", "trainer=cpu"]
    assert cli.main(["run", "method=noisy", *own]) == 1
    assert cli.main(["run", "method=noisy", *SMALL]) == 0
    [failed] = [cell for cell in planned() if cell.state == "failed"]
    Image.new("RGB", (30, 40), "green").save(folder / "b.png")
    assert cli.main(["retry", "default"]) == 0
    assert states() == ["done", "done"]
    assert failed.key not in read_plan(Path("runs/default"))
    assert cli.main(["retry", "default"]) == 0
    assert "nothing failed" in capsys.readouterr().out


def test_retry_from_another_folder_finds_what_a_relative_path_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos_in(tmp_path / "mine", "a", "b")
    for name in ("started", "elsewhere"):
        (tmp_path / name).mkdir()
    own = ["dataset=folder", f"dataset.clean=../{folder.name}", "dataset.noisy=null", "noise=gaussian25", "trainer=cpu"]
    monkeypatch.chdir(tmp_path / "started")
    with monkeypatch.context() as patch:
        patch.setattr("denoisebench.methods.noisy.Noisy.denoise", lambda self, noisy: {}["missing"])
        assert cli.main(["run", "method=noisy", *own]) == 1
    study = tmp_path / "started" / "runs" / "default"
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli.main(["retry", str(study)]) == 0
    assert [cell.state for cell in read_plan(study).values()] == ["done"]
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("gone", ["yaml", "folder", "class"])
def test_retry_of_others_goes_on_where_a_failed_cell_can_no_longer_be_composed(
    gone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # which the folder joins
    name = f"retried_{gone}"  # a module of its own, which no other case has imported
    own = tmp_path / "own"
    (own / "method").mkdir(parents=True)
    (own / "method" / "mine.yaml").write_text(f"_target_: {name}.Mine\n")
    (own / f"{name}.py").write_text("from denoisebench.methods.noisy import Noisy\nclass Mine(Noisy):\n    pass\n")
    with monkeypatch.context() as patch:
        patch.setattr("denoisebench.methods.noisy.Noisy.denoise", lambda self, noisy: {}["missing"])
        assert denoisebench("method=mine", "--config-dir", str(own)) == 1
        assert denoisebench("method=noisy") == 1
    mine, noisy = planned()
    for cell in (mine, noisy):
        (cell.folder / "crash.txt").write_text("Fatal Python error: Aborted\n")
    if gone == "class":
        (own / f"{name}.py").unlink()
        monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
    else:
        shutil.rmtree(own if gone == "folder" else own / "method")
        hydra_internals.forget_files()  # as a new process: it has read none yet
        composed._unchanged.cache_clear()
    capsys.readouterr()
    assert cli.main(["retry", "default"]) == 1
    assert states() == ["failed", "done"]
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"impossible  {mine}: ")]
    assert {"yaml": "mine", "folder": str(own), "class": f"{name}.Mine"}[gone] in said.removeprefix(f"impossible  {mine}: ")
    assert [len(list(cell.folder.glob("crash*"))) for cell in (mine, noisy)] == [1, 0]


def test_retry_with_a_wrong_setting_is_refused_and_forgets_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("denoisebench.methods.noisy.Noisy.denoise", lambda self, noisy: {}["missing"])
        assert denoisebench("method=noisy") == 1
    [cell] = planned()
    (cell.folder / "crash.txt").write_text("Fatal Python error: Aborted\n")
    assert cli.main(["retry", "default", "tyle=64"]) == 2
    assert "did you mean tile" in capsys.readouterr().err
    assert (cell.folder / "crash.txt").is_file()


@pytest.mark.parametrize("key", ["file", "folder", "manifest"])
def test_a_plan_holds_what_a_method_reads_as_absolute_paths(key: str) -> None:
    assert absolute(f"method.{key}=mine/x") == f"method.{key}='{Path.cwd() / 'mine' / 'x'}'"


def test_a_plan_that_another_process_keeps_locked_is_refused_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plans, "SECONDS_FOR_A_PLAN", 0.05)
    with held(Path("runs/default/.plan.lock")):
        assert cli.main(["run", "method=noisy", *SMALL]) == 2
    assert "another process has runs/default/.plan.lock" in capsys.readouterr().err


def test_a_failure_is_told_once_and_its_traceback_is_a_file_of_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(self: object, noisy: object) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr("denoisebench.methods.noisy.Noisy.denoise", fails)
    assert cli.main(["run", "method=noisy", *SMALL]) == 1
    said = capsys.readouterr()
    assert (said.out + said.err).count("it broke") == 1
    [cell] = planned()
    assert "traceback" not in cell.status()
    lines = (cell.folder / "traceback.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "RuntimeError: it broke"
    assert str(cell.folder / "traceback.txt") in (said.out + said.err)


def test_a_plan_alone_computes_and_keeps_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert denoisebench("method=noisy") == 0
    before = (Path("runs/default/plan.json")).read_bytes()
    capsys.readouterr()
    assert denoisebench("method=noisy,noise2clean", "noise=gaussian25,real", "--plan") == 0
    printed = capsys.readouterr().out
    counted = [printed.count(word) for word in ("done", "missing", "impossible: ")]
    assert counted == [2, 3, 2]  # the training is missing too, and the sum says done
    assert "1 cell of noise2clean" in printed
    assert Path("runs/default/plan.json").read_bytes() == before


def test_shards_end_in_the_rows_of_the_whole() -> None:
    one = ("method=nlm", "repeats=2")
    assert denoisebench(*one, "study=whole") == 0
    assert denoisebench(*one, "shard=1/4,3/4,4/4") == 1
    assert states() == ["running"]
    assert not list(planned()[0].folder.glob("rows.csv"))
    assert denoisebench(*one, "shard=2/4") == 0
    [cell], [whole] = planned(), read_plan(Path("runs/whole")).values()
    assert without_costs(rows_of(cell)) == [{**row, "study": "default"} for row in without_costs(rows_of(whole))]
    assert not list(cell.folder.glob("rows.part*"))


def test_what_a_shard_left_is_finished_by_the_whole() -> None:
    assert denoisebench("method=noisy", "shard=1/3") == 1
    assert denoisebench("method=noisy") == 0
    assert [row["image"] for row in rows_of(planned()[0])] == ["astronaut", "chelsea", "rocket"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("launcher=jobib",), "did you mean joblib"),
        (("on_error=halt",), "Valid: continue, stop"),
        (("shard=5/4",), "from 1 to n"),
        (("shard=half",), "from 1 to n"),
        (("launcher=basic,joblib",), "one sweep has one launcher"),
        (("launcher=joblib", "hydra.launcher.n_job=2"), "hydra.launcher.n_job"),
        (("method=neighbor2neighbor", "shard=1/2"), "leave shard out"),
        (("launcher=ray",), "denoisebench[ray]"),
    ],
)
def test_what_a_sweep_cannot_be(overrides: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    if overrides == ("launcher=ray",) and find_spec("ray"):
        pytest.skip("Ray is installed")
    assert denoisebench(*overrides) == 2
    assert message in capsys.readouterr().err


def test_settings_of_the_launcher_change_no_identity() -> None:
    plain, launched = (
        jobs([*SMALL, "method=nlm", *more], multirun=True)
        for more in ((), ("launcher=joblib", "on_error=stop", "hydra.launcher.n_jobs=2", "shard=1/2"))
    )
    assert [job.cell.key for job in plan(plain)] == [job.cell.key for job in plan(launched)]
    assert launched[0].shard == "1/2"
    with pytest.raises(ConfigError, match="did you mean shard"):
        jobs(["method=nlm", "shrad=1/2"], multirun=True)


@pytest.mark.parametrize("text", ["plain", "with space", "a'b", "back\\", "a\\'b", "x=(1,2)[3]{4}", "ü$y", "#hash"])
def test_any_path_survives_as_an_override(text: str) -> None:
    seen: list[Work] = []
    config.Launcher([f"root={config.quoted('elsewhere')}"], named(seen.append))([[f"root={config.quoted(text)}", "study=s"]])
    assert [item.root for item in seen] == [text]


def named(act: Callable[[Work], None]) -> Callable[[Work], None]:
    """A function with a name of its own, as launchers ask for."""

    def task(item: Work) -> None:
        act(item)

    return task


@pytest.mark.slow
def test_processes_share_the_work_of_a_sweep() -> None:
    grid = ("method=noisy,nlm", "noise=gaussian25,camera,real", "launcher=joblib", "hydra.launcher.n_jobs=2")
    assert denoisebench(*grid) == 0
    assert sorted(states()) == ["done"] * 4 + ["skipped"] * 2


def test_protocols_one_at_a_time_for_one_cell_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert denoisebench("method=noisy", "protocol=default,apbsn") == 2
    assert "write protocol=[apbsn,default]" in capsys.readouterr().err
    assert denoisebench("method=noisy", "protocol=[default,apbsn]") == 0


def test_the_whole_waits_for_shards_and_a_shard_for_the_whole() -> None:
    [job] = in_plan(*SMALL, "method=noisy")
    job.cell.folder.mkdir(parents=True)
    with FileLock(job.cell.folder / ".lock.1of2"):
        assert compute(job) == "busy"
        assert compute(replace(job, shard="2/2")) == "partly"
    assert compute(replace(job, shard="1/2")) == "done"


@pytest.mark.usefixtures("torn")
def test_a_shard_that_failed_stays_failed_while_others_finish(tmp_path: Path) -> None:
    folder = corrupt_folder(tmp_path)
    own = ["dataset=folder", f"dataset.clean={folder}", "dataset.noisy=null", "noise=gaussian25", "trainer=cpu"]
    assert cli.main(["run", "-m", "method=noisy", *own, "shard=2/2,1/2"]) == 1
    [cell] = planned()
    assert cell.state == "failed"
    assert "b.png" in cell.status()["reason"]
    assert len(rows_done(cell)) == 1


def rows_done(cell: Cell) -> list[Path]:
    return list(cell.folder.glob("images/*.png"))


def test_force_makes_a_shard_forget_what_it_had() -> None:
    assert denoisebench("method=noisy", "shard=1/3") == 1
    [cell] = planned()
    [part] = cell.folder.glob("rows.part*")
    part.write_text(part.read_text().replace('"psnr_db": 2', '"psnr_db": 9'))
    assert denoisebench("method=noisy", "shard=1/3", "force=true") == 1
    assert '"psnr_db": 9' not in part.read_text()


@pytest.mark.usefixtures("torn")
def test_on_error_stop_stops_other_jobs_of_the_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = corrupt_folder(tmp_path)
    own = ["dataset=folder", f"dataset.clean={folder}", "dataset.noisy=null", "noise=gaussian25", "trainer=cpu"]
    monkeypatch.setattr("denoisebench.config.launching.BASIC", "none")  # as a parallel launcher: a job for each cell
    assert cli.main(["run", "-m", "method=noisy,wavelet,tv", *own, "on_error=stop"]) == 1
    assert states() == ["failed", "planned", "planned"]


def test_the_same_words_elsewhere_take_no_unfinished_cell_out_of_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = []
    for place in ("here", "there"):
        photos_in(tmp_path / place / "pics", place)
        Image.new("RGB", (30, 40), "red" if place == "here" else "blue").save(tmp_path / place / "pics" / "a.png")
        monkeypatch.chdir(tmp_path / place)
        words = ["dataset=folder", "dataset.clean=pics", "dataset.noisy=null", f"root={tmp_path / 'runs'}"]
        plans += [job.cell for job in plan(jobs(words, multirun=False))]
    assert set(read_plan(tmp_path / "runs" / "default")) == {cell.key for cell in plans}
    assert len({cell.key for cell in plans}) == 2
