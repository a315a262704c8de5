"""A study that an older denoisebench computed (commit 9448a13) is read, reported and continued without computing it again."""

import csv
import json
import zipfile
from pathlib import Path

import pytest
import torch

from denoisebench import cli
from denoisebench.networks.weight_files import read_file
from denoisebench.store.plan import read_plan

STUDY = Path(__file__).parent / "fixtures" / "study_of_9448a13.zip"
KEYS = {"noisy": "73caa8790beb", "nlm": "82855a0a893e", "neighbor2neighbor": "7f61cce3172a"}
UNFINISHED = "e55986814cb2"  # nlm under camera noise: the first of three images is done
SETTINGS = ("budget=smoke", "dataset.crop=33", "pictures=1", "trainer=cpu", "study=old", "protocol=[default,neighbor2neighbor]")


@pytest.fixture(autouse=True)
def _study() -> None:
    with zipfile.ZipFile(STUDY) as archive:
        archive.extractall()


def written() -> dict[Path, int]:
    return {
        path: path.stat().st_mtime_ns
        for path in Path("runs").rglob("*")
        if path.suffix in (".csv", ".png", ".pt", ".safetensors")
    }


def test_the_same_command_computes_nothing_again(capsys: pytest.CaptureFixture[str]) -> None:
    before = written()
    assert cli.main(["run", "-m", f"method={','.join(KEYS)}", *SETTINGS]) == 0
    assert written() == before
    plan = read_plan(Path("runs/old"))
    assert {cell.label: key for key, cell in plan.items() if key != UNFINISHED} == KEYS
    assert "3 done" in capsys.readouterr().out


def test_it_is_continued_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    [folder] = Path("runs/old").rglob(f"*{UNFINISHED}")
    [kept] = json.loads((folder / "rows.part.1of3.jsonl").read_text().splitlines()[0])[:1]
    assert cli.main(["run", "method=nlm", "noise=camera", *SETTINGS]) == 0
    with (folder / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["protocol"]) for row in rows] == [
        (image, protocol) for image in ("astronaut", "chelsea", "rocket") for protocol in ("default", "neighbor2neighbor")
    ]
    assert rows[0]["seconds"] == str(kept["seconds"]), "an image that was done was computed again"


def test_it_is_reported() -> None:
    assert cli.main(["report", "old"]) == 0
    with Path("runs/old/results.csv").open() as file:
        means = {(row["method"], row["protocol"]): row["psnr_db"] for row in csv.DictReader(file)}
    assert {name for name, _ in means} == set(KEYS)
    assert float(means["noisy", "default"]) == pytest.approx(20.49, abs=0.005)
    assert float(means["nlm", "default"]) == pytest.approx(27.01, abs=0.005)
    assert "neighbor2neighbor" in Path("runs/old/report.html").read_text()


def test_weights_as_pytorch_kept_them_are_read_and_a_training_again_leaves_safetensors() -> None:
    [older] = Path("runs/.trained").glob("*/weights.pt")
    before = older.read_bytes()
    assert cli.main(["run", "method=neighbor2neighbor", "noise=gaussian50", "train_noise=gaussian25", *SETTINGS]) == 0
    assert older.read_bytes() == before, "trained once, tested under another noise"
    assert [path.name for path in Path("runs/.trained").glob("*/weights.*")] == ["weights.pt"]
    [cell] = Path("runs/old").glob("neighbor2neighbor/*/gaussian25/seed*")
    assert cli.main(["export", str(cell), "--to", "safetensors", "--out", "of_older.safetensors"]) == 0
    stored = torch.load(older, weights_only=True)
    assert all(torch.equal(stored[name], tensor) for name, tensor in read_file(Path("of_older.safetensors")).items())
    assert cli.main(["run", "method=neighbor2neighbor", *SETTINGS, "force=true"]) == 0
    assert [path.name for path in older.parent.glob("weights.*")] == ["weights.safetensors"], "one training has one file"
