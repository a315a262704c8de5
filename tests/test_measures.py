"""A further measure is one file: rows, report and loggers have it without a change of theirs."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from denoisebench.cli import main
from denoisebench.report.audit import audit
from denoisebench.report.choices import choices
from denoisebench.report.results import measures_in, summarise
from denoisebench.report.rows import find_study, read_study
from denoisebench.report.table import grids
from denoisebench.scoring import measures
from denoisebench.scoring.measures import MEASURES, PSNR, Measure, against_clean, psnr, ssim, ssim_uniform
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.pictures import read_png
from denoisebench.store.rows import COLUMNS, chosen_text, write_csv
from studies import STUDY, add_cell

MAE = Measure("mae", "MAE", "", 5, higher_is_better=False, score=against_clean(lambda x, y: (x - y).abs().mean((1, 2, 3))))


def residual(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
    assert clean is None
    assert noisy is not None
    return (noisy - denoised).double().std(dim=(1, 2, 3))


RESIDUAL = Measure("residual", "residual", "", 4, higher_is_better=False, score=residual, needs=frozenset({"noisy"}))


def rows_of(study: str) -> list[dict[str, Any]]:
    [path] = Path("runs", study).glob("*/*/*/seed*/rows.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def with_mae(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "MEASURES", (*MEASURES, MAE))


SMALL = ("budget=smoke", "dataset.crop=32", "trainer=cpu")


@pytest.mark.usefixtures("with_mae")
def test_a_further_measure_is_in_rows_report_and_loggers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "method=noisy", "logger=csv", "study=third", *SMALL]) == 0
    rows = rows_of("third")
    assert list(rows[0]) == [*COLUMNS, "mae"], "after the columns that there always were"
    [cell] = {path.parent for path in Path("runs/third").glob("*/*/*/seed*/rows.csv")}
    for row in rows:
        noisy = read_png(cell / "images" / f"{row['image']}.png")
        clean = read_png(cell.parents[3] / ".inputs" / f"{row['clean_sha']}-clean.png")
        assert float(row["mae"]) == pytest.approx(abs(noisy - clean).mean(), rel=1e-6)

    [log] = Path("runs/third/.csv").glob("*.csv")
    with log.open(newline="") as file:
        logged = [point for point in csv.DictReader(file) if "mae" in point["name"]]
    points = [(point["step"], point["name"], float(point["value"])) for point in logged]
    mean = sum(float(row["mae"]) for row in rows) / len(rows)
    assert [step for step, _, _ in points] == ["1", "2", "3", ""], "each image, and the summary"
    assert points[-1] == ("", "mae", pytest.approx(mean))

    capsys.readouterr()
    assert main(["report", "third"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "PSNR in dB / SSIM / MAE" in said
    assert f" / {mean:.5f}" in said
    for name in ("report.html", "report.md", "table.tex"):
        text = Path("runs/third", name).read_text()
        assert f"{mean:.5f}" in text, name
        assert "MAE" in text, name
    with Path("runs/third/results.csv").open(newline="") as file:
        [result] = csv.DictReader(file)
    assert float(result["mae"]) == pytest.approx(mean)
    assert float(result["mae_sd_images"]) > 0


@pytest.mark.usefixtures("with_mae")
def test_a_further_measure_is_made_of_kept_outputs_and_missing_in_older_rows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as before:
        before.setattr(measures, "MEASURES", MEASURES)
        assert main(["run", "method=noisy", "study=older", *SMALL]) == 0
        assert "mae" not in rows_of("older")[0]
    assert main(["run", "method=noisy", "study=older", "protocol=[default,sdap]", *SMALL]) == 0
    assert {(row["protocol"], row["mae"] != "") for row in rows_of("older")} == {("default", False), ("sdap", True)}
    results = {result.protocol: result for result in summarise(read_study(find_study("older")))}
    assert [measure.name for measure in measures_in([results["default"]])] == ["psnr", "ssim"]
    assert [measure.name for measure in measures_in([results["sdap"]])] == ["psnr", "ssim", "mae"]
    capsys.readouterr()


def test_the_direction_of_the_first_measure_ranks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for method, error, psnr_db in (("good", 0.01, 20.0), ("better", 0.005, 10.0), ("worst", 0.5, 30.0)):
        add_cell(method, {"a": psnr_db, "b": psnr_db}, mae=error)
    monkeypatch.setattr(measures, "MEASURES", (MAE, *MEASURES))
    [grid] = grids(summarise(read_study(STUDY)))
    assert [line.method for line in grid.lines] == ["worst", "good", "better"]
    assert [line.marks["gaussian25"] for line in grid.lines] == ["", "second", "best"]


def test_scores_are_those_of_the_functions_and_empty_without_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "MEASURES", (*MEASURES, RESIDUAL))
    generator = torch.Generator().manual_seed(0)
    denoised, clean, noisy = (torch.rand(3, 3, 20, 24, generator=generator) for _ in range(3))
    protocol = Protocol("p", border=2, ssim="uniform")
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    found = protocol.scores(denoised, clean.double(), noisy)
    assert list(found) == ["psnr_db", "ssim", "residual"]
    assert torch.allclose(found["psnr_db"], psnr(denoised[inner].double(), clean[inner]), rtol=1e-12)
    assert torch.allclose(found["ssim"], ssim_uniform(denoised[inner].double(), clean[inner]), rtol=1e-12)
    assert not torch.allclose(found["ssim"], ssim(denoised[inner].double(), clean[inner]))
    assert torch.allclose(found["residual"], (noisy - denoised)[inner].double().flatten(1).std(dim=1))
    blind = protocol.scores(denoised, None, noisy)
    assert all(math.isnan(value) for name in ("psnr_db", "ssim") for value in blind[name].tolist())
    assert torch.equal(blind["residual"], found["residual"])
    assert protocol.scores(denoised, clean, None)["residual"].isnan().all()


def test_what_no_denoiser_reaches_is_absurd() -> None:
    assert [value for value in (30.0, 80.0, 80.1, math.inf) if PSNR.is_absurd(value)] == [80.1, math.inf]
    assert not MAE.is_absurd(0.0)
    least = Measure("x", "x", "", 1, higher_is_better=False, score=residual, absurd=0.1)
    assert [value for value in (0.2, 0.1, 0.05) if least.is_absurd(value)] == [0.05]


def test_a_report_notes_scores_that_no_denoiser_reaches(capsys: pytest.CaptureFixture[str]) -> None:
    add_cell("honest", {"a": 30.0, "b": 79.0})
    add_cell("cheat", {"a": math.inf, "b": 90.0, "c": 30.0})
    assert main(["report", str(STUDY)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    note = (
        "cheat on set, gaussian25, protocol default: 2 of 3 scores are beyond what a denoiser can reach "
        "(PSNR up to inf; images: a, b)"
    )
    assert told.count("beyond what a denoiser can reach") == 1
    assert note in told
    assert note in (STUDY / "report.html").read_text()


def test_a_report_tells_what_methods_chose(capsys: pytest.CaptureFixture[str]) -> None:
    first = {"a": 30.0, "b": 31.0, "c": 32.0}
    for seed, steps in enumerate((100, 400)):
        add_cell("stops", first, seed=seed, chosen=chosen_text({"stop_step": steps, "ratio": 0.4, "kind": f"k{seed}"}))
    add_cell("channels", first, chosen=chosen_text({"stop_step": "380 420 312"}))
    add_cell("plain", first, chosen="")
    cell = add_cell("older", first)
    with (cell.folder / "rows.csv").open(newline="") as file:
        older = [{name: value for name, value in row.items() if name != "chosen"} for row in csv.DictReader(file)]
    write_csv(cell.folder / "rows.csv", list(older[0]), older)
    line = "stops on set, gaussian25: stop_step 250 (100 to 400), ratio 0.4, kind k0 3 times, k1 3 times"
    channels = "channels on set, gaussian25: stop_step 380 (312 to 420)"
    assert sorted(choices(summarise(read_study(STUDY)))) == [channels, line]
    assert main(["report", str(STUDY)]) == 0
    assert f"chosen: {line}" in " ".join(capsys.readouterr().out.split())
    assert line in (STUDY / "report.html").read_text()
    assert line.replace("_", "\\_") in (STUDY / "report.md").read_text()


def test_the_audit_says_what_was_offered_at_test() -> None:
    offered = {"batches": 2, "clean": 0, "target": 0, "given_clean": 2, "given_target": 0}
    said = []
    for reads in ({**offered, "given_clean": 0}, offered, {**offered, "clean": 2}):
        cell = add_cell("m", {"a": 30.0, "b": 31.0})
        (cell.folder / "manifest.json").write_text(json.dumps({"evidence": {"test_reads": reads}}))
        [result] = summarise(read_study(STUDY))
        tick = audit(result)[0]
        said.append((tick.state, tick.evidence))
    assert said == [
        ("ok", "learns nothing; none of 2 batches at test held a clean image"),
        ("ok", "learns nothing; 2 of 2 batches at test held a clean image, which was read 0 times"),
        ("fails", "2 of 2 batches at test held a clean image, which was read 2 times"),
    ]
