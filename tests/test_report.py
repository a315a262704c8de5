"""The report: its numbers equal a recomputation from the rows, and nothing in it is averaged that should not be."""

import csv
import math
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from denoisebench.report.plain import markdown_tables, print_tables
from denoisebench.report.results import mean, measures_in, summarise
from denoisebench.report.rows import find_study, read_study
from denoisebench.report.status import print_status
from denoisebench.report.write import write_report
from denoisebench.store.cell import Cell
from denoisebench.store.pictures import read_png
from denoisebench.store.plan import add_to_plan
from studies import STUDY, add_cell


def printed(width: int = 200) -> str:
    console = Console(width=width, record=True, file=StringIO())
    print_tables(summarise(read_study(STUDY)), console)
    return console.export_text()


def test_a_label_longer_than_the_terminal_cuts_no_score() -> None:
    label = f"blind2unblind[{','.join(f'setting{i}=value{i}' for i in range(12))}]"
    for noise, score in (("gaussian15", 31.25), ("gaussian25", 28.75), ("gaussian50", 25.5)):
        add_cell(label, {"a": score}, noise=noise)
    text = printed(width=110)
    assert all(f"{score:.2f} / " in text for score in (31.25, 28.75, 25.5))
    assert "".join(line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")) == label


def test_results_equal_a_recomputation_from_the_rows() -> None:
    rng = np.random.default_rng(1)
    for method in ("noisy", "alpha", "beta"):
        for noise in ("gaussian25", "camera"):
            for seed in (0, 1):
                add_cell(method, {f"image{i}": float(rng.uniform(20, 40)) for i in range(5)}, noise=noise, seed=seed)
    assert write_report([STUDY]) == 0
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for path in STUDY.glob("*/*/*/*/rows.csv"):
        for row in csv.DictReader(path.read_text().splitlines()):
            groups[row["method"], row["noise"]].append(float(row["psnr_db"]))
    results = list(csv.DictReader((STUDY / "results.csv").read_text().splitlines()))
    assert len(results) == len(groups) == 6
    for result in results:
        own = groups[result["method"], result["noise"]]
        assert float(result["psnr_db"]) == pytest.approx(statistics.fmean(own), abs=1e-12)
        assert (int(result["images"]), int(result["seeds"])) == (5, 2)
        assert f"{statistics.fmean(own):.2f}" in (STUDY / "report.md").read_text()


def test_the_best_score_that_needs_no_clean_image_is_marked_and_bounds_come_last() -> None:
    add_cell("bound", {"a": 39.0}, tags="supervised", learns="dataset")
    add_cell("better", {"a": 31.0}, learns="dataset")
    add_cell("worse", {"a": 30.0}, learns="dataset")
    add_cell("noisy", {"a": 20.0})
    lines = [line for line in markdown_tables(summarise(read_study(STUDY))).splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == ["noisy", "worse", "better", "bound"]
    assert ["**" in line for line in lines] == [False, False, True, False]
    assert "supervised" in lines[-1]


def test_weights_chosen_by_clean_images_are_never_the_best() -> None:
    add_cell("chosen", {"a": 31.0}, tags="oracle_selected", learns="dataset")
    add_cell("last", {"a": 30.0}, learns="dataset")
    text = markdown_tables(summarise(read_study(STUDY)))
    assert "**30.00" in text
    assert "**31.00" not in text


def test_a_tag_that_holds_under_one_noise_alone_says_which() -> None:
    add_cell("nlm", {"a": 30.0}, tags="oracle_sigma", noise="gaussian25")
    add_cell("nlm", {"a": 30.0}, noise="camera")
    add_cell("told", {"a": 29.0}, tags="oracle_sigma", noise="gaussian25")
    text = markdown_tables(summarise(read_study(STUDY)))
    assert "oracle_sigma (gaussian25) |" in text
    assert "oracle_sigma |" in text


def test_a_network_of_all_slices_is_not_said_to_learn_from_each_image() -> None:
    add_cell("alone", {"a": 30.0}, learns="image")
    add_cell("together", {"a": 30.0}, learns="image", tags="learned_from_stack")
    notes = [
        line.split("|")[-2].strip() for line in markdown_tables(summarise(read_study(STUDY))).splitlines() if "30.00" in line
    ]
    assert notes == ["per image", "learned_from_stack"]


def test_settings_that_share_a_label_are_told_apart() -> None:
    add_cell("same", {"a": 20.0}, setup="first0")
    add_cell("same", {"a": 30.0}, setup="second")
    results = summarise(read_study(STUDY))
    assert [(result.method, result.psnr_db) for result in results] == [("same #first0", 20.0), ("same #second", 30.0)]


def test_two_budgets_are_two_lines_under_all_noises() -> None:
    for noise, budget in (("gaussian25", "quick"), ("camera", "smoke"), ("camera", "quick")):
        add_cell("same", {"a": 20.0}, setup=noise + budget, noise=noise, budget=budget)
    lines = [line for line in markdown_tables(summarise(read_study(STUDY))).splitlines() if line.startswith("| same")]
    assert sorted(line.split(" | ")[-1] for line in lines) == ["budget quick |", "budget smoke |"]
    assert sorted(line.count("20.00") for line in lines) == [1, 2]


def test_a_score_over_fewer_images_says_so_and_is_never_the_best() -> None:
    add_cell("all", {"a": 30.0, "b": 20.0})
    add_cell("easy", {"a": 30.0})
    lines = {
        line.split(" | ")[0][2:]: line for line in markdown_tables(summarise(read_study(STUDY))).splitlines() if " | " in line
    }
    assert "1 image only" in lines["easy"]
    assert "**" not in lines["easy"]
    assert "**25.00" in lines["all"]


def test_what_does_harm_is_tagged() -> None:
    add_cell("noisy", {"a": 20.0, "b": 26.0})
    add_cell("diverged", {"a": 5.0, "b": 7.0})
    add_cell("smoked", {"a": 5.0, "b": 7.0}, budget="smoke")
    add_cell("no_worse", {"a": 18.5, "b": 26.0})
    add_cell("other_noise", {"a": 5.0, "b": 7.0}, noise="gaussian50")
    tags = {result.method: result.tags for result in summarise(read_study(STUDY))}
    assert tags == {"noisy": "", "diverged": "below_input", "smoked": "", "no_worse": "", "other_noise": ""}
    assert write_report([STUDY]) == 0
    assert "below_input" in (STUDY / "report.md").read_text().partition("## How to read")[0]


def test_rows_of_a_cell_that_is_not_done_do_not_count() -> None:
    add_cell("noisy", {"a": 20.0}).set_status("failed", reason="it broke")
    for status in ("null", "{}", '{"state": "odd"}', "half"):
        add_cell("nlm", {"a": 20.0})
        [path] = STUDY.glob("nlm/*/*/*/status.json")
        path.write_text(status)
        assert read_study(STUDY) == []


def test_a_picture_that_is_gone_is_left_out_with_its_reason() -> None:
    cell = add_cell("alpha", {"a": 20.0, "b": 21.0})
    (cell.folder / "images" / "a.png").unlink()
    assert write_report([STUDY]) == 0
    assert "a: no picture (" in (STUDY / "report.md").read_text()
    assert len(list((STUDY / "report").glob("*.png"))) == 1


def test_protocols_are_never_mixed() -> None:
    add_cell("one", {"a": 20.0})
    add_cell("two", {"a": 30.0}, protocol="other")
    text = printed()
    assert "protocol default" in text
    assert "protocol other" in text
    assert len(summarise(read_study(STUDY))) == 2


def test_infinite_and_missing_scores_stay_what_they_are() -> None:
    assert mean([1.0, math.inf]) == math.inf
    assert mean([None, None]) is None
    assert mean([1.0, None, 3.0]) == 2.0
    add_cell("noisy", {"a": math.inf, "b": 20.0})
    add_cell("own", {"a": None}, noise="real")
    assert write_report([STUDY]) == 0
    text = (STUDY / "report.md").read_text()
    assert "inf / 0.5000" in text
    assert "no clean images" in text


def test_hostile_names_break_neither_the_tables_nor_the_files() -> None:
    label, image = "a|b[bold]<script>", "../x [1](y) %00"
    add_cell(label, {image: 20.0})
    assert write_report([STUDY]) == 0
    assert label in printed()
    text = (STUDY / "report.md").read_text()
    table = next(line for line in text.splitlines() if line.startswith("| a"))
    assert table.count(" | ") == 4
    assert "<script>" not in text.replace("\\<script>", "")
    assert all(path.is_relative_to(STUDY) for path in Path("runs").rglob("*") if path.is_file())
    assert len(list((STUDY / "report").glob("*.png"))) == 1


def test_pictures_show_noisy_every_method_and_clean() -> None:
    for method in ("noisy", "alpha", "beta"):
        add_cell(method, {"photo": 25.0})
    write_report([STUDY])
    [picture] = (STUDY / "report").glob("*.png")
    panel = 16 * (256 // 16)
    assert read_png(picture).shape[1] == 4 * panel + 3 * 4
    assert f"report/{picture.name}" in (STUDY / "report.md").read_text()


def test_failed_and_skipped_cells_are_listed_with_their_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    add_cell("noisy", {"a": 20.0})
    others = [Cell("runs", "study", name, "set", "gaussian25", 0, name * 3, name) for name in ("bad", "odd", "new")]
    add_to_plan(STUDY, others)
    others[0].set_status("failed", reason="it broke", traceback="Traceback")
    others[1].set_status("skipped", reason="it cannot be")
    write_report([STUDY])
    text = (STUDY / "report.md").read_text()
    assert "it broke" in text
    assert "it cannot be" in text
    assert "4 cells: 1 done, 1 skipped, 1 failed, 1 missing" in text
    capsys.readouterr()
    assert print_status(STUDY) == 1
    assert "1 missing" in capsys.readouterr().out


def test_a_study_is_found_by_name_and_by_path(monkeypatch: pytest.MonkeyPatch) -> None:
    add_cell("noisy", {"a": 20.0})
    assert find_study("study") == find_study("runs/study") == STUDY
    monkeypatch.chdir(STUDY)
    assert find_study(".").name == "study"
    monkeypatch.chdir("../..")
    with pytest.raises(FileNotFoundError, match="there are: study"):
        find_study("stduy")


def test_a_study_without_results_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    add_to_plan(STUDY, [Cell("runs", "study", "m", "set", "n", 0, "key", "setup")])
    assert write_report([STUDY]) == 1
    assert "denoisebench status study" in capsys.readouterr().out


def test_nothing_is_claimed_of_clean_images_where_there_are_none() -> None:
    for method in ("noisy", "alpha"):
        add_cell(method, {"a": None, "b": None}, dataset="dnd", noise="real")
    assert write_report([STUDY]) == 0
    results = summarise(read_study(STUDY))
    assert measures_in(results) == []
    assert "PSNR" not in printed()
    assert "no clean images, no scores" in printed()
    assert r"\begin{table}" not in (STUDY / "table.tex").read_text()
    table = re.search(r'<table class="main.*?</table>', (STUDY / "report.html").read_text(), re.DOTALL)
    assert table
    assert "PSNR" not in table[0]
    add_cell("noisy", {"a": 20.0}, dataset="small", ssim=None)
    assert [m.name for m in measures_in(summarise(read_study(STUDY)))] == ["psnr", "ssim"]


def test_reports_and_states_are_told_without_pytorch() -> None:
    """It takes seconds to import."""
    add_to_plan(STUDY, [add_cell("noisy", {"a": 20.0, "b": 21.0}, gmsd=0.1)])
    code = (
        "import sys; from denoisebench.cli import main; codes = [main([verb, sys.argv[1]]) for verb in ('status', 'report')]; "
        "print(codes, [name for name in ('torch', 'pytorch_lightning', 'hydra') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(STUDY)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 0] []", done.stderr
