"""The command as a user types it."""

import io
import os
import pty
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from rich.console import Console

from denoisebench.cli import main
from denoisebench.cli.completion import SCRIPTS
from denoisebench.cli.messages import loading
from denoisebench.streams import steady_output
from denoisebench.study import cell as study_cell

COMMANDS = [
    "run", "denoise", "report", "explain", "status", "retry", "check", "dashboard", "submit", "verify-submission",
    "import-weights", "completion", "data",
]  # fmt: skip
SMALL = ("dataset.crop=48", "trainer=cpu")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from denoisebench.cli import main; code = main(['--help']);"
        "heavy = {'torch', 'hydra', 'numpy', 'rich', 'pytorch_lightning', 'omegaconf'} & set(sys.modules);"
        "sys.exit(f'{heavy} imported' if heavy or code else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "denoisebench run" in done.stdout


def test_the_help_of_run_lists_every_choice_and_imports_nothing_heavy(capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys; from denoisebench.cli import main; main(['run', '--help']);"
        "sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for word in ("neighbor2neighbor", "camera", "photos", "quick", "train_noise"):
        assert word in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"  denoisebench {command} " in capsys.readouterr().out.replace("$(", "  ").partition("Usage:")[2].partition("\n")[2]
    if command != "run":  # alone, `run` computes what it does by default
        assert main([command]) == 2
        assert f"denoisebench {command} " in capsys.readouterr().out


def test_a_sweep_a_report_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "-m", "method=noisy,nlm", "noise=gaussian25,camera", "study=small", *SMALL]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "4 cells: 4 done" in printed.out
    assert "nlm" in printed.out
    assert "Traceback" not in printed.out + printed.err
    before = {path: path.stat().st_mtime_ns for path in Path("runs/small").rglob("*") if path.name in ("rows.csv", "status.json")}
    assert len(before) == 8
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before

    assert main(["report", "small"]) == 0
    assert "oracle_sigma" in capsys.readouterr().out
    assert Path("runs/small/report.md").is_file()
    assert main(["report", "runs/small"]) == 0
    assert main(["status", "small"]) == 0
    assert "4 cells: 4 done" in capsys.readouterr().out


def test_a_failed_cell_does_not_stop_the_others_and_shows_in_the_exit_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("denoisebench.datasets.folder.Folder.damaged", lambda self: [])  # it tears after planning
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(pictures / "broken.png")
    (pictures / "broken.png").write_bytes((pictures / "broken.png").read_bytes()[:45])  # its header is whole
    arguments = ["run", "-m", "method=noisy,nlm", "dataset=folder", f"dataset.noisy={pictures}", "noise=real", "trainer=cpu"]
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert "2 cells: 2 failed" in printed.out
    assert "broken.png" in printed.out
    assert "Traceback" not in printed.out + printed.err
    assert main(["status", "default"]) == 1
    assert main(["report", "default"]) == 1


def test_skipped_cells_are_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-m", "method=noisy", "noise=real,gaussian25", *SMALL]) == 0
    assert "1 done, 1 skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rnu"], "did you mean run"),
        (["report", "x", "--baselin", "nlm"], "--baseline"),
        (["report", "x", "--pictures", "many"], "--pictures"),
        (["submit", "dnd", "x", "--dry-run", "--result", "psnr=3"], "exclude each other"),
        (["submit", "dnd", "x", "--result"], "psnr=38.45"),
        (["submit", "nowhere", "x"], "sidd-kaggle"),
        (["check", "mine"], "name one method"),
        (["check", "noise=real"], "name one method"),
        (["check", "method=nml"], "did you mean nlm"),
        (["run", "method=nosy"], "did you mean noisy"),
        (["run", "-m", "method=noisy,nml"], "did you mean nlm"),
        (["run", "method=noisy", "noise.sigm=3"], "did you mean noise.sigma"),
        (["run", "method=noisy", "dataset=folder", "dataset.noisy=nowhere"], "no such folder"),
        (["run", "method=noisy", "noise=[gaussian25"], "gaussian25"),
        (["report", "nothing"], "no study nothing"),
        (["status", "nothing"], "no study nothing"),
    ],
)
def test_mistakes_end_with_a_line_and_exit_code_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert expected in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not Path("runs").exists()


def test_an_interrupted_run_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise SystemExit(1)  # what Lightning makes of Ctrl-C

    with monkeypatch.context() as patch:
        patch.setattr(study_cell, "computed", interrupted)
        assert main(["run", "-m", "method=noisy,nlm", *SMALL]) == 130
    assert "the same command continues" in capsys.readouterr().err
    assert main(["run", "-m", "method=noisy,nlm", *SMALL]) == 0


def test_an_interrupted_report_promises_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("denoisebench.report.rows.find_study", interrupted)
    assert main(["report", "mine"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_composed_configuration_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "method=nlm", "noise=gaussian50", "--cfg", "job"]) == 0
    assert "denoisebench.methods.nlm.NLM" in capsys.readouterr().out


def test_completion_scripts_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "--query", "run method=nl"]) == 0
    assert capsys.readouterr().out == "method=nlm\n"
    done = subprocess.run(["bash", "-n"], input=SCRIPTS["bash"], text=True, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_released_weights_are_imported_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from denoisebench.methods.sdap import SDAP
    from denoisebench.weights.released import _dbsn_names

    torch.manual_seed(0)
    ours = SDAP().state_dict()
    released = {theirs: ours[f"network.{name}"] for theirs, name in _dbsn_names().items()}
    torch.save(released, tmp_path / "SDAP.pth")
    assert main(["import-weights", "--method", "sdap", str(tmp_path / "SDAP.pth")]) == 0
    told = capsys.readouterr().out.strip().split("denoisebench ")[1]
    assert main([*told.split(), *SMALL]) == 0
    assert "weights given" in next(Path("runs").rglob("rows.csv")).read_text()
    assert main(["import-weights", "--method", "nlm", str(tmp_path / "SDAP.pth")]) == 2
    assert "there are those of neighbor2neighbor, sdap" in capsys.readouterr().err


# --- Output is never fatal -----------------------------------------------------------------------------------------

SWEEP = ("-m", "method=noisy,tv,wavelet", "noise=gaussian25,gaussian50", *SMALL)


def states() -> list[str]:
    return sorted(file.read_text().partition('"state": "')[2].partition('"')[0] for file in Path("runs").rglob("status.json"))


@pytest.mark.slow
def test_a_sweep_outlives_the_reader_of_its_output() -> None:
    command = f"{sys.executable} -m denoisebench run {' '.join(SWEEP)} 2>&1 | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    first, code = done.stdout.splitlines()
    assert first.startswith("done ")
    assert (code, done.stderr) == ("0", "")
    assert states() == ["done"] * 6


@pytest.mark.slow
def test_a_sweep_outlives_its_terminal() -> None:
    # A session's leader that opens a terminal gets it as its own: closing it then hangs up.
    own = "import os, sys; os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    terminal, end = pty.openpty()
    command = [sys.executable, "-c", own, "-m", "denoisebench", "run", *SWEEP]
    with subprocess.Popen(command, stdin=end, stdout=end, stderr=end, start_new_session=True) as process:
        os.close(end)
        seen = b""
        while b"done " not in seen:
            seen += os.read(terminal, 4096)
        os.close(terminal)
        assert process.wait(120) == 0
    assert states() == ["done"] * 6


class Deaf(io.StringIO):
    """A stream that nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError


def test_lost_output_is_dropped_and_streams_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = Deaf()
    monkeypatch.setattr(sys, "stdout", deaf)
    monkeypatch.setattr(sys, "stderr", None)
    with steady_output():
        print("lost", flush=True)
        Console().print("lost too")
        Console(stderr=True).print("nowhere")
    assert sys.stdout is deaf
    with pytest.raises(BrokenPipeError):
        print("not steady", flush=True)


def test_letters_that_a_stream_does_not_know_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with steady_output():
        print("café")
    assert raw.getvalue() == b"caf?\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "after_s", "told"), [(Terminal(), 0.05, "loading PyTorch ..."), (Terminal(), 5.0, ""), (io.StringIO(), 0.05, "")]
)
def test_loading_is_told_on_a_terminal_where_it_takes_long(
    stream: io.StringIO, after_s: float, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with loading(after_s=after_s):
        time.sleep(0.3)
    assert stream.getvalue().partition("\r")[0] == told
    assert stream.getvalue().endswith("\x1b[K") == bool(told)  # the line is taken away again


# --- Quoting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["a(b)", "photos (1)", "a=b", "it's", "a,b", "run#1", "a&b", "{a}", "a{b}", "[x", 'a"b', "a'b\"c\\", "café", "~x", "20261126",
     "null", "nan", "true"],
)  # fmt: skip
def test_a_name_that_needs_quotes_is_answered_with_them(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "method=noisy", f"study={name}", *SMALL]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "hydra" not in line.lower()
    assert "mismatched" not in line
    [word] = shlex.split(line[line.rindex(": ") + 2 :])
    assert main(["run", "method=noisy", word, "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["study"] == name


# --- Files of the configuration --------------------------------------------------------------------------------------

TARGET = "_target_: denoisebench.methods.nlm.NLM\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TARGET + "x: !!python/object/apply:os.system [touch called]\n", ", line 2: "),
        (TARGET + "x: !foo 1\n", ", line 2: "),
        (TARGET + "patch_size: 3\npatch_size: 5\n", ", line 3: found duplicate key patch_size"),
        (TARGET + "  x: [1\n", ", line 2: "),
        (TARGET + "\tx: 1\n", ", line 2: "),
        (TARGET + "x: [1\n", ", line 3: "),
        (b"_target_: \xff\n", ": not UTF-8"),
        ("_target_: a\0b\n", ": special characters are not allowed"),
        ("_target_: ${oc.env\n", ": "),
        ("- 1\n", " holds a list; expected keys with values"),
        (TARGET + "5: 3\n", ": the key 5 is no text"),
    ],
)
@pytest.mark.parametrize("command", [["run"], ["run", "--cfg", "job"], ["check"]])
def test_a_file_that_is_no_configuration_is_told_with_its_line(
    text: str | bytes, said: str, command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "conf" / "method" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main([*command, "method=mine", "--config-dir", str(tmp_path / "conf")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"denoisebench: {file}{said}")
    assert line.count(str(file)) == 1
    assert not Path("called").exists()


PARTS = {
    "dataset": "dataset=mine", "noise": "noise=mine", "method": "method=mine", "protocol": "protocol=[mine]",
    "logger": "logger=mine",
}  # fmt: skip
HEADS = {"protocol": "# @package protocols.mine\nname: mine\n", "logger": "# @package loggers.mine\n"}


@pytest.mark.parametrize("target", ["subprocess.Popen", "os.system", "denoisebench.tiling.tiled", "Popen", "5", "null"])
@pytest.mark.parametrize("group", PARTS)
def test_a_foreign_class_is_refused_before_it_is_called(
    group: str, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def called(*_: object, **__: object) -> None:
        raise AssertionError("it was called")

    monkeypatch.setattr("subprocess.Popen.__init__", called)
    monkeypatch.setattr("os.system", called)
    file = tmp_path / "conf" / group / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"{HEADS.get(group, '')}_target_: {target}\nargs: touch called\n")
    choice = [PARTS[group]] if group == "method" else ["method=noisy", PARTS[group]]
    assert main(["run", *choice, "--config-dir", str(tmp_path / "conf")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"{group}" in line
    assert not Path("called").exists()
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("name", "nearest"), [("a/b", "a_b"), ("../x", "x"), ("..", "default"), ("", "default"), ("a" * 300, "a" * 80),
                          ("b" * 80 + "1", "b" * 80), (".hidden", "hidden"), ("a b", "a_b")],
)  # fmt: skip
def test_a_study_s_name_is_its_folder_s(name: str, nearest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "inner").mkdir()
    os.chdir(tmp_path / "inner")
    assert main(["run", "method=noisy", f"study={name}", *SMALL]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith(f"did you mean study={nearest}?")
    assert os.listdir(tmp_path) == ["inner"]
    assert os.listdir() == []
    assert main(["run", "method=noisy", f"study={nearest}", "--plan", *SMALL]) == 0


def test_a_key_of_a_method_that_no_cell_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["run", "-m", "method=noisy,tv"], ["run", "method=tv"]):
        assert main([*command, "method.nlm.patch_size=5", "--plan", *SMALL]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("denoisebench: method.nlm.patch_size: none of these cells has method=nlm")
    assert main(["run", "-m", "method=noisy,nlm", "method.nlm.patch_size=3,5", "--plan", *SMALL]) == 0


def test_a_key_that_one_method_of_a_sweep_lacks_names_those_that_have_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-m", "method=noisy,tv,nlm", "method.patch_size=5", "--plan", *SMALL]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("denoisebench: no key method.patch_size of method=noisy; ")
    assert line.endswith("; nlm of this sweep can be given it: method.nlm.patch_size=VALUE")
    assert main(["run", "-m", "method=noisy,tv", "method.patch_size=5", "--plan", *SMALL]) == 2
    assert "of this sweep" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nan", "null", "yes", "true", "1e3"])
def test_a_method_may_have_a_name_that_yaml_reads_otherwise(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "conf" / "method" / f"{name}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("_target_: denoisebench.methods.noisy.Noisy\n")
    own = ["--config-dir", str(tmp_path / "conf"), "--plan", *SMALL]
    if name != "yes":
        assert main(["run", f"method={name}", *own]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"denoisebench: method={name} names no method: {name} is read as ")
        assert shlex.split(line[line.rindex(": ") + 2 :]) == [f'method="{name}"']
    assert main(["run", f'method="{name}"', *own]) == 0
    assert f"│ {name} " in capsys.readouterr().out
    assert main(["run", "-m", f'method="{name}",nlm', *own]) == 0


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("method=nan", "no method=nan; did you mean"),
        ("noise=5", "no noise=5; "),
        ("method.nml.patch_size=5", "no key method.nml.patch_size: no method=nml; did you mean nlm"),
        ("study=null", "study=null is not valid; expected a text"),
        ("study=20261126", "study=20261126 is not valid; expected a text, or quote it if it is one text: 'study=\"20261126\"'"),
        ("study=1_000", "study=1_000 is not valid; expected a text, or quote it if it is one text: 'study=\"1_000\"'"),
        ("study=1e5", "study=1e5 is not valid; expected a text, or quote it if it is one text: 'study=\"1e5\"'"),
        ("root=/proc/nope", "/proc/nope: No such file or directory"),
    ],
)
def test_what_names_nothing_is_told_in_words(setting: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    method = [] if setting.startswith("method=") else ["method=nlm"]
    assert main(["run", *method, setting, *SMALL]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"denoisebench: {said}")
    assert not any(word in line for word in ("Errno", "float", "NoneType", "None"))
