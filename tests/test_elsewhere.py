"""Images that other programs made: scored as a row like any other, on proven pixels."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from denoisebench.cli import main
from denoisebench.config import ConfigError
from denoisebench.store.pictures import write_png
from denoisebench.study import noisy_images
from jobs import one

SETTINGS = ("noise=gaussian25", "dataset.crop=48", "trainer=cpu")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "elsewhere.md"


def rows_of(study: str, method: str) -> list[dict[str, Any]]:
    [path] = Path("runs", study, method).glob("*/*/seed*/rows.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def export(*more: str) -> None:
    assert main(["export-noisy", *SETTINGS[:2], "--to", "noisy", *more]) == 0


def test_the_identity_made_elsewhere_scores_as_ours() -> None:
    export("--as", "npy")
    assert main(["run", "method=noisy", *SETTINGS]) == 0
    assert main(["run", "method=outputs", "method.folder=noisy", "method.label=theirs", *SETTINGS]) == 0
    ours, theirs = rows_of("default", "noisy"), rows_of("default", "theirs")
    assert [row["psnr_db"] for row in theirs] == [row["psnr_db"] for row in ours], "unclipped floats: the very same pixels"
    assert [row["noisy_sha"] for row in theirs] == [row["noisy_sha"] for row in ours]
    assert {row["tags"] for row in theirs} == {"made_elsewhere training_unknown"}
    assert {row["seconds"] for row in theirs} == {"0.0"}
    assert {row["chosen"] for row in theirs} == {"bits=32"}


def test_the_script_of_the_page_denoises_what_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    export()
    [script] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(script.strip().splitlines()) <= 10
    exec(compile(script, "script", "exec"), {})
    run = ["run", "method=outputs", "method.folder=denoised", "method.label=opencv_nlm", "method.manifest=noisy/manifest.json"]
    run.append("method.trained=nothing")
    assert main([*run, *SETTINGS]) == 0
    assert main(["run", "method=noisy", *SETTINGS]) == 0
    rows, noisy = rows_of("default", "opencv_nlm"), rows_of("default", "noisy")
    assert {row["tags"] for row in rows} == {"made_elsewhere"}
    assert {row["chosen"] for row in rows} == {"bits=8"}
    for row, before in zip(rows, noisy, strict=True):
        path = Path("noisy", "npy", f"{row['image']}.npy")
        image = (np.clip(np.load(path)[..., ::-1], 0, 1) * 255 + 0.5).astype(np.uint8)
        expected = cv2.fastNlMeansDenoisingColored(image, None, 10, 10)
        assert np.array_equal(np.asarray(cv2.imread(f"denoised/{row['image']}.png")), expected), "OpenCV's own answer"
        assert float(row["psnr_db"]) > float(before["psnr_db"]) + 1


def test_files_and_manifest_are_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    export("--as", "tiff,npy,png8")
    assert "clips the noise" in capsys.readouterr().err
    told = json.loads(Path("noisy/manifest.json").read_text())
    assert sorted(told["images"]) == ["astronaut", "chelsea", "rocket"]
    for stem in told["images"]:
        image = np.load(f"noisy/npy/{stem}.npy")
        assert image.dtype == np.float32
        assert image.min() < 0 or image.max() > 1
        assert np.array_equal(tifffile.imread(f"noisy/tiff/{stem}.tif"), image)
        rounded = np.floor(np.clip(image, 0, 1) * 255 + 0.5)
        assert np.array_equal(np.asarray(cv2.imread(f"noisy/png8/{stem}.png"))[..., ::-1], rounded)
    assert main(["export-noisy", *SETTINGS[:2], "--to", "noisy"]) == 2, "nothing is written over"


@pytest.mark.parametrize("kind", ["png8", "tiff", "npy"])
def test_noisy_images_are_written_over_no_file(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    suffix = {"png8": "png", "tiff": "tif"}.get(kind, kind)
    own = Path("photos", f"a.{suffix}")
    image = np.zeros((32, 32, 3), np.uint8)
    own.parent.mkdir()
    write_png(own, image / 255) if kind == "png8" else tifffile.imwrite(own, image) if kind == "tiff" else np.save(own, image)
    before = own.read_bytes()
    command = ["export-noisy", "dataset=folder", "dataset.clean=photos", "noise=gaussian25", "--as", kind]
    assert main([*command, "--to", "photos"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert own.read_bytes() == before
    assert [path.name for path in Path("photos").iterdir()] == [own.name]
    assert main([*command, "--to", "noisy"]) == 0


def test_an_interrupted_export_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(noisy_images, "write_atomic", None)
        with pytest.raises(TypeError):
            main(["export-noisy", *SETTINGS[:2], "--to", "noisy", "--as", "npy"])
    assert Path("noisy/rocket.npy").is_file()
    export("--as", "npy")
    names = ["astronaut.npy", "chelsea.npy", "manifest.json", "rocket.npy"]
    assert sorted(path.name for path in Path("noisy").iterdir()) == names


def spoil(what: str) -> str:
    """Spoil what was exported or denoised; returns what the failure must say."""
    if what == "missing":
        Path("noisy/chelsea.npy").unlink()
        return "has no image chelsea"
    if what == "size":
        np.save("noisy/chelsea.npy", np.zeros((48, 47, 3), np.float32))
        return "3 x 48 x 47, and the noisy image 3 x 48 x 48"
    if what == "range":
        np.save("noisy/chelsea.npy", np.full((48, 48, 3), 200, np.float32))
        return "in [0, 1]"
    if what == "depth":
        write_png(Path("noisy/rocket.png"), np.zeros((48, 48, 3)))
        Path("noisy/rocket.npy").unlink()
        return "8 bit, and images before it 32"
    told = json.loads(Path("noisy/manifest.json").read_text())
    told["images"]["chelsea"]["noisy_sha"] = "0" * 16
    Path("noisy/manifest.json").write_text(json.dumps(told))
    return "is not that of this test"


@pytest.mark.parametrize("what", ["missing", "size", "range", "depth", "noise"])
def test_what_does_not_pair_fails_with_its_reason(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    export("--as", "npy")
    said = spoil(what)
    if what != "noise":
        Path("noisy/manifest.json").unlink()
    assert main(["run", "method=outputs", "method.folder=noisy", "method.label=theirs", *SETTINGS]) == 1
    assert said in " ".join(capsys.readouterr().out.split())


def test_another_noise_or_seed_is_found_by_the_manifest(capsys: pytest.CaptureFixture[str]) -> None:
    export("--as", "npy")
    assert main(["run", "method=outputs", "method.folder=noisy", "method.label=theirs", *SETTINGS, "seed=1"]) == 1
    assert "the same dataset, noise and seed" in " ".join(capsys.readouterr().out.split())


def test_a_key_is_of_what_the_files_hold_not_of_where_they_lie() -> None:
    export("--as", "npy")
    Path("noisy").rename("moved")
    job = one("method=outputs", "method.folder=moved", "method.label=theirs", *SETTINGS)
    Path("moved").rename("again")
    moved = one("method=outputs", "method.folder=again", "method.label=theirs", *SETTINGS)
    assert job.cell.key == moved.cell.key
    assert job.cell.label == "theirs"
    np.save("again/chelsea.npy", np.zeros((48, 48, 3), np.float32))
    assert one("method=outputs", "method.folder=again", "method.label=theirs", *SETTINGS).cell.key != job.cell.key
    with pytest.raises(ConfigError, match=r"needs method.folder=DIR"):
        one("method=outputs", *SETTINGS)
