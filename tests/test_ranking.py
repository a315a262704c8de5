"""`diagnose`, ranking without ground truth, and `--method auto`, as a user meets them."""

import csv
import io
import json
from collections import defaultdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import tifffile
import torch

import denoisebench
import photos
from denoisebench import noise, ranking
from denoisebench.cli import main
from denoisebench.datasets.photos import Photos
from denoisebench.diagnosis.diagnosis import diagnosed
from denoisebench.diagnosis.proxies import PROXIES, Subject
from denoisebench.photographs import how
from denoisebench.photographs.reading import read_photo

CLEAN = Photos().clean(1)[60:220, 100:280] / 255.0
FEW = ("noisy", "tv", "wavelet", "nlm")


def with_noise(sigma: float) -> np.ndarray:
    model, image = noise.Gaussian(sigma=sigma), torch.from_numpy(CLEAN.transpose(2, 0, 1)[None])
    return model(image, torch.Generator().manual_seed(1))[0].numpy().transpose(1, 2, 0)


def stored(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


# --- Proxies ------------------------------------------------------------------------------------------------------------


def shrunk(share: float) -> Any:
    """A linear denoiser whose risk is known: each value moves towards the mean."""
    return lambda planes: planes.mean((1, 2), keepdims=True) * (1 - share) + share * planes


@pytest.mark.parametrize("proxy", ["sure", "sure_diagnosed", "recorrupted", "blind_spot"])
def test_the_best_of_a_family_of_denoisers_is_found(proxy: str) -> None:
    """For x = mean + s n_1 and noise of std t, shrinking by s^2 / (s^2 + t^2) is best: unbiased estimates of the risk see it."""
    rng = np.random.default_rng(0)
    texture, level = 0.05, 0.05
    noisy = 0.5 + np.hypot(texture, level) * rng.standard_normal((3, 160, 160))
    found = diagnosed(0.5 + level * rng.standard_normal((3, 160, 160)))
    values = {
        share: PROXIES[proxy](Subject(noisy, shrunk(share)(noisy), shrunk(share), found, seed=9))
        for share in (0, 0.25, 0.5, 0.75, 1)
    }
    expected = 0.0 if proxy == "blind_spot" else 0.5  # what no other pixel predicts, a blind spot calls noise
    assert min(values, key=values.__getitem__) == expected


def test_the_risk_is_the_true_one_but_for_a_constant() -> None:
    """SURE of correlated noise of known covariance: differences between denoisers are those of the true error, to a fifth."""
    rng = np.random.default_rng(1)
    clean = 0.5 + 0.2 * np.sin(np.arange(200) / 9)[None, :, None] * np.ones((3, 200, 200))
    white = rng.standard_normal((3, 201, 201))
    own = 0.05 * (white[:, 1:, 1:] + white[:, :-1, 1:] + white[:, 1:, :-1] + white[:, :-1, :-1])
    noisy = clean + own
    found = diagnosed(noisy)

    def blurred(width: int) -> Any:
        kernel = np.ones(width) / width
        return lambda planes: np.stack([np.apply_along_axis(np.convolve, 1, p, kernel, "same") for p in planes])

    true, risk = [], []
    for width in (1, 3, 7):
        subject = Subject(noisy, blurred(width)(noisy), blurred(width), found)
        true.append(np.square(subject.denoised - clean).mean())
        risk.append(PROXIES["sure_diagnosed"](subject))
    assert np.diff(risk) == pytest.approx(np.diff(true), abs=0.2 * np.ptp(true))


def test_methods_are_ranked_as_the_truth_ranks_them() -> None:
    image = with_noise(25)
    ranked = denoisebench.rank(image, FEW)
    scores = {name: denoisebench.score(denoisebench.denoise(image, name), CLEAN)["psnr_db"] or 0 for name in FEW}
    assert {one.method for one in ranked} == set(FEW)
    assert scores[ranked[0].method] > max(scores.values()) - 0.7
    assert ranked[-1].method == "noisy"
    assert ranked == denoisebench.rank(image, FEW)


@pytest.mark.parametrize(
    ("methods", "said"),
    [((), "at least one"), (("nlmm",), "did you mean nlm"), (("apbsn",), "learns from a set"), (("tv",), "batch of 2")],
)
def test_what_cannot_be_ranked(methods: tuple[str, ...], said: str) -> None:
    image = torch.zeros(2, 3, 64, 64) if "batch" in said else with_noise(10)
    with pytest.raises(ValueError) as caught:
        denoisebench.rank(image, methods)
    assert said in str(caught.value)


def test_a_method_that_cannot_run_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bm3d", None)
    ranked = denoisebench.rank(with_noise(25), ("bm3d", "tv"))
    assert [one.method for one in ranked] == ["tv", "bm3d"]
    assert "denoisebench[bm3d]" in ranked[1].problem


# --- The command --------------------------------------------------------------------------------------------------------


def folder_of(folder: Path) -> Path:
    (folder / "a b.png").write_bytes(photos.png_bytes(stored(with_noise(25))))
    tifffile.imwrite(folder / "gray.tif", stored(with_noise(10))[..., 0], photometric="minisblack", metadata=None)
    return folder


def test_diagnose_prints_a_table_and_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path)
    (folder / "bad.jpg").write_text("no image")
    assert main(["diagnose", str(folder), "--rank", "tv,noisy"]) == 1
    printed = capsys.readouterr()
    assert "bad.jpg: it is no image of a known kind" in printed.err
    assert "a b.png" in printed.out
    assert "2 images: 2 noisy" in printed.out
    assert "recommended: --method tv. Chosen without ground truth" in printed.out
    text = Path("diagnosis.html").read_text(encoding="utf-8")
    assert text.count("<section>") == 2
    assert text.count("data:image/png;base64,") == 4
    assert "http" not in text.replace("http://www.w3.org", "")


def test_diagnose_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", str(folder_of(tmp_path)), "--json", "--rank", "tv,noisy"]) == 0
    found = json.loads(capsys.readouterr().out)
    schema = json.loads(files("denoisebench").joinpath("schemas", "diagnose.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(found)
    by_name = {Path(one["file"]).name: one for one in found["images"]}
    assert by_name["a b.png"]["sigma"] == pytest.approx(25, rel=0.08)
    assert by_name["gray.tif"]["sigma"] == pytest.approx(10, rel=0.3)
    assert by_name["gray.tif"]["gray"] is True
    assert found["all"]["images"] == 2
    assert found["ranking"]["methods"][0]["method"] == "tv"
    assert "lost 0.58 dB, averaged over four kinds of noise" in found["ranking"]["calibration"]
    assert not Path("diagnosis.html").exists()


@pytest.mark.parametrize(("arguments", "said"), [(["--rank", "nlmm"], "did you mean nlm"), (["--white", "-1"], "above 0")])
def test_wrong_options_of_diagnose(arguments: list[str], said: str, tmp_path: Path, capsys: Any) -> None:
    assert main(["diagnose", str(folder_of(tmp_path)), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_auto_chooses_for_each_image(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(how, "CANDIDATES", ("noisy", "tv"))
    folder = folder_of(tmp_path)
    arguments = ["denoise", str(folder), "--method", "auto", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "a b.png: by tv" in printed.err
    assert "gray.tif: by tv" in printed.err
    assert "without ground truth" in printed.out
    assert "and 8.8 dB at worst (experiments/ranking)" in printed.out
    expected = denoisebench.denoise(stored(with_noise(25)), "tv")
    assert np.array_equal(read_photo(tmp_path / "out" / "a b.png").pixels, expected)
    assert main(arguments) == 0
    assert "0 denoised, 2 done before" in capsys.readouterr().out
    assert main([*arguments, "--set", "sigma=3"]) == 2
    assert "takes no --set" in capsys.readouterr().err
    monkeypatch.setattr(how, "CANDIDATES", ("noisy",))
    assert main([*arguments[:-1], str(tmp_path / "same")]) == 0
    assert "a b.png: left as it is" in capsys.readouterr().err
    assert np.array_equal(read_photo(tmp_path / "same" / "a b.png").pixels, stored(with_noise(25)))


# --- Raw files ----------------------------------------------------------------------------------------------------------


def dng() -> bytes:
    """A flat gray card behind an RGGB mosaic, turned by a quarter, as a camera stores it."""
    rows = np.random.default_rng(0).normal(1800, 60, (96, 128))
    mosaic = np.clip(rows * np.tile([[0.5, 1], [1, 0.6]], (48, 64)), 0, 4095).astype(np.uint16)

    def ratios(*values: float) -> list[int]:
        return [part for value in values for part in (int(value * 10000), 10000)]

    tags = [
        (33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True), (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "Test Camera", True), (50714, "H", 1, 0, True), (50717, "H", 1, 4095, True),
        (50721, "2i", 9, ratios(1, 0, 0, 0, 1, 0, 0, 0, 1), True), (50728, "2I", 3, ratios(0.5, 1, 0.6), True),
        (50778, "H", 1, 21, True), (274, "H", 1, 6, True),
    ]  # fmt: skip
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, mosaic, photometric=32803, metadata=None, extratags=tags)
    return buffer.getvalue()


def test_a_raw_file_becomes_a_tiff_of_16_bit(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "IMG 1.dng").write_bytes(dng())
    assert main(["denoise", str(tmp_path), "--method", "tv", "--out", str(tmp_path / "out")]) == 0
    assert "developed with the camera's white balance" in capsys.readouterr().err
    with tifffile.TiffFile(tmp_path / "out" / "IMG 1.tif") as file:
        page: Any = file.pages[0]
        pixels, orientation = page.asarray(), page.tags[274].value
    assert (pixels.shape, pixels.dtype, orientation) == ((96, 128, 3), np.uint16, 6)
    assert pixels.std((0, 1)).max() < 0.9 * read_photo(tmp_path / "IMG 1.dng").pixels.std((0, 1)).max()
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    assert main(["denoise", str(tmp_path), "--method", "tv", "--out", str(tmp_path / "other")]) == 1
    assert "denoisebench[raw]" in capsys.readouterr().err


def test_the_quoted_loss_is_that_of_the_committed_study() -> None:
    """Of the shipped candidates: the mean of the means of synthetic noises, camera noise, SIDD and PolyU."""
    by_image: dict[tuple[str, str, str], dict[str, dict[str, str]]] = defaultdict(dict)
    with (Path(__file__).parents[1] / "experiments/ranking/scores.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["method"] in ranking.CANDIDATES:
                by_image[row["set"], row["noise"], row["image"]][row["method"]] = row
    losses: dict[str, list[float]] = defaultdict(list)
    for (dataset, drawn, _), rows in by_image.items():
        assert rows.keys() == set(ranking.CANDIDATES)
        chosen = min(rows.values(), key=lambda row: float(row[ranking.DEFAULT]))
        best = max(float(row["psnr_db"]) for row in rows.values())
        group = drawn if drawn in ("camera", "real") else "synthetic"
        losses[f"{dataset} real" if group == "real" else group].append(best - float(chosen["psnr_db"]))
    assert losses.keys() == {"synthetic", "camera", "sidd_validation real", "polyu real"}
    assert sum(map(len, losses.values())) == ranking.IMAGES
    assert round(float(np.mean([np.mean(own) for own in losses.values()])), 2) == ranking.REGRET
    assert round(max(max(own) for own in losses.values()), 1) == ranking.WORST
