"""The command as a user types it."""

import subprocess
import sys
from pathlib import Path

import pytest

from denoisebench.cli.app import COMPLETION, main
from denoisebench.study import cell as study_cell

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


def test_the_help_of_run_lists_every_choice_without_torch(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; from denoisebench.cli import main; main(['run', '--help']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for word in ("neighbor2neighbor", "camera", "photos", "quick", "train_noise"):
        assert word in done.stdout


@pytest.mark.parametrize("verb", ["run", "report", "status", "data", "import-weights"])
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert f"denoisebench {verb}" in capsys.readouterr().out


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
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
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
    assert "the same command goes on" in capsys.readouterr().err
    assert main(["run", "-m", "method=noisy,nlm", *SMALL]) == 0


def test_a_composed_configuration_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "method=nlm", "noise=gaussian50", "--cfg", "job"]) == 0
    assert "denoisebench.methods.nlm.NLM" in capsys.readouterr().out


def test_completion_scripts_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "--query", "run method=nl"]) == 0
    assert capsys.readouterr().out == "method=nlm\n"
    done = subprocess.run(["bash", "-n"], input=COMPLETION["bash"], text=True, check=False, capture_output=True)
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
