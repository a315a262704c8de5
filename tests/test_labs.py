"""Packs, results.csv and studies of several labs in one report."""

import csv
import re
import shutil
from pathlib import Path

import pytest
from tests.jobs import computed
from tests.studies import STUDY, add_cell

from denoisebench import cli
from denoisebench.packs.contents import Author
from denoisebench.packs.write import write_pack
from denoisebench.report.labs import labs_of
from denoisebench.report.rows import find_study
from denoisebench.report.study import build

PSNRS = {"a": 30.0, "b": 31.0, "c": 32.5}


def of_lab(name: str, path: Path, more_db: float, method: str = "nlm") -> Path:
    """A pack of a study whose scores are higher by so much."""
    add_cell(method, {image: psnr + more_db for image, psnr in PSNRS.items()}, learns="nothing", tags="")
    for cell in STUDY.glob("*/*/*/seed*"):
        (cell / "manifest.json").write_text("{}")
        (cell / "config.yaml").write_text("seed: 0\n")
    write_pack(STUDY, path, Author(name, "x", name), images=True)
    return path


def test_one_cell_of_two_labs_shows_both_and_their_difference(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = of_lab("Lab A", Path("a.zip"), 0.0), of_lab("Lab B", Path("b.zip"), 0.25)
    report = build([find_study(str(first)), find_study(str(second))])
    assert {r.method: r.psnr_db for r in report.results} == pytest.approx(
        {"nlm @ Lab A": 93.5 / 3, "nlm @ Lab B": 93.5 / 3 + 0.25}
    )
    [both] = report.twice
    assert (both.labs, both.difference_db, both.same_pixels) == (("Lab A", "Lab B"), pytest.approx(0.25), True)
    assert cli.main(["report", "a.zip", "b.zip"]) == 0
    assert "+0.2500" in capsys.readouterr().out
    assert "+0.2500" in Path("runs/study+study/report.html").read_text()
    assert "+0.2500" in Path("runs/study+study/report.md").read_text()


def test_a_study_of_ones_own_beside_a_pack() -> None:
    pack = of_lab("Lab A", Path("a.zip"), 0.5)
    add_cell("nlm", PSNRS, learns="nothing")
    report = build([STUDY, find_study(str(pack))])
    assert {r.method for r in report.results} == {"nlm @ here", "nlm @ Lab A"}
    assert [round(one.difference_db, 6) for one in report.twice] == [0.5]


def test_labs_that_ran_other_methods_share_a_table_and_its_statistics() -> None:
    pack = of_lab("Lab A", Path("a.zip"), 0.5, method="tv")
    shutil.rmtree(STUDY)
    add_cell("nlm", PSNRS, learns="nothing")
    report = build([find_study(str(pack)), STUDY])
    assert {r.method: labs_of(r) for r in report.results} == {"tv": "Lab A", "nlm": ""}
    [comparison] = report.comparisons.values()
    assert comparison.best is not None
    assert comparison.best.method == "tv"
    [difference] = comparison.to_best.values()
    assert not isinstance(difference, str)
    assert difference.mean_db == pytest.approx(-0.5)


def test_a_results_file_stands_beside_rows_and_is_not_paired() -> None:
    computed("method=noisy,tv", "dataset.crop=33", "study=mine", "pictures=0")
    assert cli.main(["report", "mine"]) == 0
    theirs = Path("theirs/results.csv")
    theirs.parent.mkdir()
    with Path("runs/mine/results.csv").open() as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        line["psnr_db"] = str(float(line["psnr_db"]) + 1)
    with theirs.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    report = build([find_study("mine"), find_study(str(theirs))])
    assert {r.method for r in report.results} == {
        f"{m} @ {lab}" for m in ("noisy", "tv") for lab in ("here", "theirs/results.csv")
    }
    assert [round(one.difference_db, 6) for one in report.twice] == [1.0, 1.0]
    [comparison] = report.comparisons.values()
    assert comparison.best is not None
    assert comparison.best.method == "tv @ here", "a mean cannot lead: nothing can be paired with it"
    assert cli.main(["report", "mine", str(theirs)]) == 0
    text = re.sub(r"\\", "", Path("runs/mine+theirs/report.md").read_text())
    assert "means only" in text
    assert "images only" not in text


def test_what_is_no_results_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.csv").write_text("a,b\n1,2\n")
    assert cli.main(["report", "x.csv"]) == 2
    assert "no results.csv" in capsys.readouterr().err
