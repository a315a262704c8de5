"""Packs, results.csv and studies of several labs in one report."""

import csv
import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from denoisebench import cli
from denoisebench.packs.contents import Author
from denoisebench.packs.write import write_pack
from denoisebench.report.labs import NEEDED, labs_of
from denoisebench.report.rows import find_study
from denoisebench.report.study import build
from denoisebench.scoring.further import FURTHER
from jobs import computed
from studies import STUDY, add_cell

PSNRS = {"a": 30.0, "b": 31.0, "c": 32.5}
THEIRS: dict[str, Any] = {"pyiqa:theirs": 7.0}  # a column of a measure that only its file describes


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


def test_the_noisy_images_of_several_labs_stay_the_baseline_and_the_warning() -> None:
    packs = []
    for lab in ("Lab A", "Lab B"):
        shutil.rmtree(STUDY, ignore_errors=True)
        add_cell("nlm" if lab == "Lab A" else "tv", {image: psnr - 5 for image, psnr in PSNRS.items()})
        packs.append(of_lab(lab, Path(f"{lab[-1]}.zip"), 0.0, method="noisy"))
    report = build([find_study(str(path)) for path in packs])
    assert {r.method: "below_input" in r.tags for r in report.results} == {
        "noisy @ Lab A": False, "noisy @ Lab B": False, "nlm": True, "tv": True
    }  # fmt: skip
    [comparison] = report.comparisons.values()
    assert comparison.baseline is not None
    assert comparison.baseline.method == "noisy @ Lab A"
    assert len(comparison.to_baseline) == 3
    assert [r.method for r in report.results][:2] == ["noisy @ Lab A", "noisy @ Lab B"]


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


def described(column: str, **changed: object) -> dict[str, dict[str, object]]:
    told = {**FURTHER["gmsd"].described(), "name": column, "title": "Theirs", **changed}
    return {column: {**told, "reason": "no weights in /home/me/.cache"}}


def test_further_measures_go_with_a_pack_and_with_a_results_file() -> None:
    cell = add_cell("nlm", PSNRS, gmsd=0.125, **THEIRS)
    (cell.folder / "measures.json").write_text(json.dumps(described("pyiqa:theirs")))
    for name in ("manifest.json", "config.yaml"):
        (cell.folder / name).write_text("{}")
    write_pack(STUDY, Path("a.zip"), Author("Lab A", "x", "Lab A"))
    assert cli.main(["report", str(STUDY)]) == 0
    (STUDY / "results.csv").rename("results.csv")
    shutil.rmtree(STUDY)
    packed = build([find_study("a.zip")])
    assert [measure.title for measure in packed.results[0].measures] == ["PSNR", "SSIM", "GMSD", "Theirs"]
    assert packed.results[0].scores["pyiqa:theirs"].mean == 7.0
    with zipfile.ZipFile("a.zip") as archive:
        [name] = [name for name in archive.namelist() if name.endswith("measures.json")]
        assert b"/home/me" not in archive.read(name)
    [result] = build([find_study("results.csv")]).results
    assert result.scores["gmsd"].mean == 0.125


@pytest.mark.parametrize("changed", [{"digits": "9"}, {"digits": 10**9}, {"title": 1}, {"name": "psnr"}, {"library": None}])
def test_what_somebody_else_says_of_a_measure_is_checked(changed: dict[str, object]) -> None:
    cell = add_cell("nlm", PSNRS, **THEIRS)
    (cell.folder / "measures.json").write_text(json.dumps(described("pyiqa:theirs", **changed)))
    assert [measure.name for measure in build([STUDY]).results[0].measures] == ["psnr", "ssim"]


def test_a_further_score_that_is_no_number_is_damage() -> None:
    add_cell("nlm", PSNRS, gmsd="<b>")
    assert any("gmsd is <b>" in note for note in build([STUDY]).notes)


@pytest.mark.parametrize(("line", "said"), [("n/a", "n/a"), (None, "no column")])
def test_a_damaged_results_file_is_named(line: str | None, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    kept = sorted(NEEDED)
    columns = [name for name in kept if line is not None or name != "budget"]
    Path("r.csv").write_text(f"{','.join(columns)}\n{','.join(line or 'x' for _ in columns)}\n")
    assert cli.main(["report", "r.csv"]) == 2
    told = capsys.readouterr().err
    assert "r.csv" in told
    assert said in told


def test_what_is_no_results_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.csv").write_text("a,b\n1,2\n")
    assert cli.main(["report", "x.csv"]) == 2
    assert "no results.csv" in capsys.readouterr().err
