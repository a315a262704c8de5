"""Files of a study that were cut, edited or written by a newer version: told, left out, computed again; never believed."""

import csv
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from denoisebench import cli
from denoisebench.report.rows import damaged, read_study
from denoisebench.store.finished import damage
from denoisebench.store.plan import read_plan
from denoisebench.store.rows import SERVER_COLUMNS, PartialRows, read_csv, write_csv
from denoisebench.store.status import read_status
from studies import add_cell
from test_older_studies import SETTINGS, STUDY

STUDY_FOLDER = Path("runs/old")
SCORE = "21.03555556094726"


@pytest.fixture
def cell() -> Path:
    """A finished cell of three images under two protocols, in a study with others."""
    with zipfile.ZipFile(STUDY) as archive:
        archive.extractall()
    return next(STUDY_FOLDER.glob("noisy/*/*/seed0-*"))


def edited(change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda path: path.write_text(change(path.read_text()))


def without_column(path: Path, name: str = "noisy_sha") -> None:
    with path.open() as file:
        rows = [{key: value for key, value in row.items() if key != name} for row in csv.DictReader(file)]
    write_csv(path, list(rows[0]), rows)


FAULTS = {
    "last row lost": (edited(lambda text: "".join(text.splitlines(keepends=True)[:-1])), "5 rows"),
    "last image lost": (edited(lambda text: "".join(text.splitlines(keepends=True)[:-2])), "status.json says 3"),
    "row twice": (edited(lambda text: text + text.splitlines(keepends=True)[-1]), "twice"),
    "image renamed": (edited(lambda text: text.replace("chelsea,default", "other,default")), "6 rows"),
    "empty": (edited(lambda text: ""), "empty"),
    "header only": (edited(lambda text: text.splitlines(keepends=True)[0]), "no rows"),
    "NUL": (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "cut"),
    "cut in a row": (edited(lambda text: text[:-70]), "cut"),
    "cut in the last name": (edited(lambda text: text[:-3]), "cut"),
    "short row": (edited(lambda text: text.replace(",9448a13d4ef1,rocket\n", "\n", 1)), "cells of the header"),
    "semicolons": (edited(lambda text: text.replace(",", ";")), "no column"),
    "a column gone": (without_column, "no column noisy_sha"),
    "not UTF-8": (lambda path: path.write_bytes(path.read_bytes().replace(b"rocket", b"rock\xff")), "utf-8"),
    "psnr_db nan": (edited(lambda text: text.replace(SCORE, "nan")), "psnr_db is nan"),
    "psnr_db -1e308": (edited(lambda text: text.replace(SCORE, "-1e308")), "psnr_db is -1e308"),
    "psnr_db a word": (edited(lambda text: text.replace(SCORE, "good")), "psnr_db is good"),
    "seconds empty": (edited(lambda text: text.replace("0.0014143280000098457", "")), "seconds is empty"),
    "scored_by server": (edited(lambda text: text.replace(",local,", ",server,", 1)), "scored_by server"),
    "another cell's": (edited(lambda text: text.replace("73caa8790beb", "82855a0a893e")), "another cell"),
    "missing": (lambda path: path.unlink(), "missing"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_damaged_rows_are_told_with_their_file_and_not_believed(cell: Path, name: str) -> None:
    spoil, told = FAULTS[name]
    [planned] = [one for one in read_plan(STUDY_FOLDER).values() if one.label == "noisy"]
    assert planned.state == "done"
    whole = (cell / "rows.csv").read_bytes()
    spoil(cell / "rows.csv")
    assert not (cell / "rows.csv").exists() or (cell / "rows.csv").read_bytes() != whole
    assert planned.state == "planned"
    assert told in str(damage(cell))
    assert str(cell / "rows.csv") in str(damage(cell))
    assert {row["method"] for row in read_study(STUDY_FOLDER)} == {"nlm", "neighbor2neighbor"}
    [note] = damaged(STUDY_FOLDER)
    assert note.startswith(f"left out: {cell / 'rows.csv'} is ")


def test_a_run_computes_damaged_cells_again_and_a_report_leaves_them_out(cell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = read_csv(cell / "rows.csv")
    FAULTS["last image lost"][0](cell / "rows.csv")
    other = next(STUDY_FOLDER.glob("nlm/*/gaussian25/seed0-*"))
    (other / "status.json").write_text("[" * 100_000)
    assert cli.main(["report", "old"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for path in (cell / "rows.csv", other / "status.json"):
        assert f"mind: left out: {path} is damaged" in out
        assert str(path) in (STUDY_FOLDER / "report.md").read_text().replace("\\", "")
    assert {row["method"] for row in read_csv(STUDY_FOLDER / "results.csv")} == {"neighbor2neighbor"}
    assert cli.main(["status", "old"]) == 1
    assert f"damaged: noisy | photos-crop33 | gaussian25 | seed 0: {cell / 'rows.csv'}" in capsys.readouterr().out
    assert cli.main(["run", "-m", "method=noisy,nlm", *SETTINGS]) == 0
    assert f"{cell / 'rows.csv'} is damaged" in capsys.readouterr().err
    names = ("image", "repeat", "protocol", "psnr_db", "ssim", "noisy_sha")
    assert [[row[name] for name in names] for row in read_csv(cell / "rows.csv")] == [
        [row[name] for name in names] for row in whole
    ]
    assert damaged(STUDY_FOLDER) == []


def test_a_study_of_damaged_cells_alone_says_why_there_is_no_report(cell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rows in STUDY_FOLDER.rglob("rows.csv"):
        rows.write_text("")
    assert cli.main(["report", "old"]) == 1
    assert capsys.readouterr().out.count("rows.csv is damaged (it is empty)") == 3


@pytest.mark.parametrize("content", ["", "[" * 100_000, '{"steps": "many", "seconds": 1}', "[1]", '{"state": "done"', "\xff"])
def test_a_damaged_training_record_is_trained_again(cell: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    [record] = Path("runs/.trained").glob("*/training.json")
    record.write_text(content, encoding="latin-1")
    FAULTS["empty"][0](next(STUDY_FOLDER.glob("neighbor2neighbor/*/*/*/rows.csv")))
    assert cli.main(["run", "method=neighbor2neighbor", *SETTINGS]) == 0
    assert "training.json is damaged: the network is trained again" in capsys.readouterr().err
    assert json.loads(record.read_text())["steps"] == 3


@pytest.mark.parametrize("content", ["", "[" * 100_000, "[]", '{"a": 1}', '{"a": {"key": "a"}}', "\xff"])
def test_a_damaged_plan_is_named_with_the_way_out(cell: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan = STUDY_FOLDER / "plan.json"
    plan.write_text(content, encoding="latin-1")
    for command in (["report", "old"], ["status", "old"], ["run", "method=noisy", *SETTINGS]):
        assert cli.main(command) == 2
        err = capsys.readouterr().err
        assert f"{plan} is damaged" in err
        assert "delete it and give the same `denoisebench run` commands again" in err
        assert "Traceback" not in err
    before = (cell / "rows.csv").stat().st_mtime_ns
    plan.unlink()
    assert cli.main(["run", "method=noisy", *SETTINGS]) == 0
    assert (cell / "rows.csv").stat().st_mtime_ns == before


def test_a_plan_of_a_newer_version_is_told_as_that(cell: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = STUDY_FOLDER / "plan.json"
    plan = json.loads(path.read_text())
    path.write_text(json.dumps({key: {**planned, "region": "left"} for key, planned in plan.items()}))
    assert cli.main(["status", "old"]) == 2
    err = capsys.readouterr().err
    assert "was written by a newer denoisebench" in err
    assert "region" in err


def test_newer_columns_and_fields_of_a_cell_are_no_damage(cell: Path) -> None:
    rows = [{**row, "niqe": "3.5"} for row in read_csv(cell / "rows.csv")]
    write_csv(cell / "rows.csv", list(rows[0]), rows)
    (cell / "status.json").write_text(json.dumps({**read_status(cell), "region": "left"}))
    assert damage(cell) is None


def test_damaged_answers_of_a_server_are_left_out_with_a_note(cell: Path) -> None:
    good = {**dict.fromkeys(SERVER_COLUMNS), **read_csv(cell / "rows.csv")[0], "scored_by": "server", "protocol": "server:x"}
    write_csv(cell / "server.csv", SERVER_COLUMNS, [{**good, "images": 3}])
    assert any(row["protocol"] == "server:x" for row in read_study(STUDY_FOLDER))
    assert damaged(STUDY_FOLDER) == []
    write_csv(cell / "server.csv", SERVER_COLUMNS, [{**good, "images": 3, "psnr_db": "high"}])
    assert len([row for row in read_study(STUDY_FOLDER) if row["method"] == "noisy"]) == 6
    assert str(cell / "server.csv") in damaged(STUDY_FOLDER)[0]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"[]\n", b'{"image": "a"}\n', b'[{"image": "a"}]\n', b"[1]\n"]
)
def test_lines_that_are_no_rows_do_not_count_as_finished_images(tmp_path: Path, cell: Path, line: bytes) -> None:
    [path] = STUDY_FOLDER.rglob("rows.part.1of3.jsonl")
    first = path.read_bytes()
    path.write_bytes(line + first + line)
    partial = PartialRows(path.parent, "1/3")
    assert [rows[0]["image"] for rows in partial.begin()] == ["astronaut"]
    assert path.read_bytes() == first


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1+cmd", "-2+3+cmd", "@SUM(1+1)", "\t=1", "'=1", "plain"])
def test_no_spreadsheet_runs_a_name_and_it_reads_back_the_same(name: str) -> None:
    cell = add_cell("noisy", {name: -3.5, "b": 2.0}, dataset=name, noise="-5")
    assert cli.main(["report", "runs/study"]) == 0
    for path in (cell.folder / "rows.csv", Path("runs/study/results.csv")):
        with path.open(newline="") as file:
            cells = [text for row in csv.reader(file) for text in row]
        assert {text for text in cells if text.startswith(("=", "+", "-", "@", "\t", "\r"))} <= {"-3.5", "-0.75", "-5"}
        assert {row["dataset"] for row in read_csv(path)} == {name}
    rows = read_study(Path("runs/study"))
    assert [(row["image"], row["psnr_db"]) for row in rows] == [(name, -3.5), ("b", 2.0)]
    assert damaged(Path("runs/study")) == []
