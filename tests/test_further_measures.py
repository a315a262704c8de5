"""Further measures: each equal to its library's own answer, empty with a reason where it cannot be had, and no cell's failure."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import piq
import pytest
import torch
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from denoisebench.cli import main
from denoisebench.config import ConfigError
from denoisebench.report.charts import Point, pareto
from denoisebench.report.measured import agreements
from denoisebench.report.study import build
from denoisebench.scoring import further
from denoisebench.scoring.further import FURTHER, further_of, pyiqa
from denoisebench.scoring.further import piq as ours_of_piq
from denoisebench.scoring.protocol import Protocol
from denoisebench.study.finished import is_left
from jobs import one, planned
from studies import STUDY, add_cell

SIDE = 170  # MS-SSIM takes 161 and more
PROTOCOL = Protocol("p")


def pair(channels: int = 3, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Two photographs and noisy copies with values outside [0, 1]: (2, C, H, W)."""
    photographs = np.stack([data.astronaut()[:side, 100 : 100 + side], data.chelsea()[50 : 50 + side, 100 : 100 + side]])
    clean = torch.from_numpy(photographs.transpose(0, 3, 1, 2) / 255)[:, :channels]
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return noisy, clean


def score(
    name: str, denoised: Tensor, clean: Tensor | None, noisy: Tensor | None = None, protocol: Protocol = PROTOCOL
) -> Tensor:
    [measure] = further_of([name])
    return further.scores([measure], protocol, denoised, clean, noisy)[measure.column]


def test_ciede2000_is_that_of_scikit_image() -> None:
    noisy, clean = pair()
    found = score("ciede2000", noisy, clean)
    for i in range(2):
        own = [rgb2lab(x[i].clamp(0, 1).permute(1, 2, 0).numpy()) for x in (noisy, clean)]
        assert found[i].item() == pytest.approx(float(deltaE_ciede2000(*own).mean()), rel=1e-12)
    gray = score("ciede2000", noisy[:, :1], clean[:, :1])
    assert torch.allclose(gray, score("ciede2000", noisy[:, :1].expand(-1, 3, -1, -1), clean[:, :1].expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize(
    ("name", "function"), [("ms_ssim", "multi_scale_ssim"), ("gmsd", "gmsd"), ("haarpsi", "haarpsi"), ("vif", "vif_p")]
)
def test_measures_of_piq_are_its_own(name: str, function: str, channels: int) -> None:
    noisy, clean = pair(channels)
    found = score(name, noisy, clean)
    assert found.dtype == torch.float64
    for i in range(2):  # one at a time: a batch is no other answer
        own = getattr(piq, function)(noisy[i : i + 1].clamp(0, 1).float(), clean[i : i + 1].float())
        assert found[i].item() == pytest.approx(own.item(), rel=1e-5)
    least = FURTHER[name].least
    assert score(name, noisy[..., : least - 1], clean[..., : least - 1]).isnan().all(), "too small: empty"
    assert score(name, noisy[..., :least, :least], clean[..., :least, :least]).isfinite().all()
    better = FURTHER[name].goodness(score(name, clean + (noisy - clean) / 4, clean)[0].item())
    assert better > FURTHER[name].goodness(found[0].item()), "its direction"


@pytest.fixture
def seeded_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of random weights where those of LPIPS and DISTS belong."""
    import torchvision

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    torch.manual_seed(0)
    # Small heads: the features alone are read, and the whole file is half a gigabyte.
    monkeypatch.setattr("torch.nn.Linear", lambda *_: torch.nn.Identity())
    state = torchvision.models.vgg16(weights=None, init_weights=False).state_dict()
    torch.save(state, tmp_path / "checkpoints" / ours_of_piq.VGG)
    channels = (64, 128, 256, 512, 512)
    torch.save([torch.rand(1, c, 1, 1) for c in channels], tmp_path / "checkpoints" / "lpips_weights.pt")
    alpha, beta = torch.rand(2, 1, 3 + sum(channels), 1, 1)
    torch.save({"alpha": alpha / 3000, "beta": beta / 3000}, tmp_path / "checkpoints" / "dists_weights.pt")
    monkeypatch.setattr(ours_of_piq, "_begins", lambda name: "")
    ours_of_piq._network.cache_clear()


@pytest.mark.usefixtures("seeded_weights")
@pytest.mark.filterwarnings("ignore")
def test_lpips_and_dists_are_those_of_piq_with_the_same_weights() -> None:
    noisy, clean = pair(3, 64)
    for name in ("lpips", "dists"):
        found = score(name, noisy, clean)
        own = getattr(piq, name.upper())(reduction="none")
        with torch.no_grad():
            expected = own(noisy.clamp(0, 1).float(), clean.float()).flatten().double()
        assert torch.allclose(found, expected, rtol=1e-4), name
        assert (found > 0).all()
        assert score(name, noisy[:, :1], clean[:, :1]).isfinite().all(), "gray as three equal channels"


def test_without_weights_a_measure_is_empty_and_says_what_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    noisy, clean = pair(3, 64)
    assert score("lpips", noisy, clean).isnan().all()
    told = FURTHER["lpips"].lacking() or ""
    assert "vgg16-397923af.pth and lpips_weights.pt" in told
    assert str(tmp_path) in told
    monkeypatch.setenv("HOME", str(tmp_path))
    told = FURTHER["lpips"].lacking() or ""
    assert "into ~/checkpoints (" in told, "a report names no folder of its author's home"
    assert str(tmp_path) not in told
    (tmp_path / "checkpoints").mkdir()
    for name in ("vgg16-397923af.pth", "lpips_weights.pt"):
        (tmp_path / "checkpoints" / name).write_bytes(b"no such network")
    assert "is not that file: its SHA-256 is" in (FURTHER["lpips"].lacking() or "")


def test_pyiqa_measures_are_its_own() -> None:
    import pyiqa as library

    noisy, clean = pair(3, 96)
    for name in ("fsim", "vsi"):
        found = score(f"pyiqa:{name}", noisy, clean)
        expected = library.create_metric(name, device=torch.device("cpu"))(noisy.clamp(0, 1).float(), clean.float())
        assert torch.allclose(found, expected.flatten().double(), rtol=1e-5), name
    niqe = pyiqa.metric("pyiqa:niqe")
    assert not niqe.higher_is_better
    assert niqe.needs == frozenset()
    assert "Noncommercial" in niqe.licence
    with pytest.raises(ValueError, match=r"pyiqa has no metric nique; did you mean .*niqe"):
        pyiqa.metric("pyiqa:nique")


def literal_scale_invariant_psnr(clean: np.ndarray, output: np.ndarray) -> float:
    """As careamics and N2V's successors define it: the clean image to mean 0 and deviation 1, the output scaled onto it."""
    deviation = clean.std()
    reference, image = (clean - clean.mean()) / deviation, output - output.mean()
    image = image * (reference * image).sum() / (image * image).sum()
    return float(20 * np.log10((clean.max() - clean.min()) / deviation / np.sqrt(np.mean((reference - image) ** 2))))


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_of_microscopy_is_that_of_its_papers(channels: int) -> None:
    noisy, clean = pair(channels, 40)
    clean = 0.2 + 0.5 * clean
    output = 0.1 + 0.6 * clean + 0.05 * noisy
    invariant, own_range = (score(name, output, clean) for name in ("scale_invariant_psnr", "range_psnr"))
    for i in range(2):
        one, other = (x[i].numpy() for x in (output.clamp(0, 1), clean))
        assert invariant[i].item() == pytest.approx(literal_scale_invariant_psnr(other, one), rel=1e-12)
        design = np.stack([one.ravel(), np.ones(one.size)], axis=1)
        left = np.linalg.lstsq(design, other.ravel())[1][0] / one.size
        assert invariant[i].item() == pytest.approx(10 * np.log10((other.max() - other.min()) ** 2 / left), rel=1e-9)
        expected = peak_signal_noise_ratio(other, one, data_range=other.max() - other.min())
        assert own_range[i].item() == pytest.approx(float(expected), rel=1e-12)
    assert (invariant > own_range + 3).all(), "a wrong gain and offset cost nothing"
    assert torch.allclose(score("scale_invariant_psnr", 0.3 + 0.5 * output, clean), invariant, rtol=1e-9)
    flat = torch.full_like(clean, 0.5)
    assert score("scale_invariant_psnr", output, flat).isnan().all(), "no range, no score"
    assert score("range_psnr", output, flat).isnan().all()
    deviation = clean.flatten(1).std(dim=1, correction=0)
    peak = clean.flatten(1).amax(dim=1) - clean.flatten(1).amin(dim=1)
    assert torch.allclose(score("scale_invariant_psnr", flat, clean), 20 * (peak / deviation).log10()), "fitted by the mean"


def literal_autocorrelation(left: np.ndarray) -> float:
    channels, height, width = left.shape
    left = left - left.mean(axis=(1, 2), keepdims=True)
    variance, most = np.mean(left**2), 0.0
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            if (dy, dx) == (0, 0):
                continue
            places = [(y, x) for y in range(height) for x in range(width) if 0 <= y + dy < height and 0 <= x + dx < width]
            value = np.mean([left[c, y, x] * left[c, y + dy, x + dx] for c in range(channels) for y, x in places])
            most = max(most, abs(value / variance))
    return float(most)


def test_residual_measures_are_what_they_say() -> None:
    generator = torch.Generator().manual_seed(2)
    denoised = torch.rand(2, 3, 9, 11, generator=generator, dtype=torch.float64)
    noisy = denoised + torch.randn(denoised.shape, generator=generator, dtype=torch.float64)
    noisy[..., 1:] += 0.5 * noisy[..., :-1]
    found = {name: score(name, denoised, None, noisy) for name in FURTHER if name.startswith("residual")}
    for i in range(2):
        left = (noisy[i] - denoised[i]).numpy()
        centred = left - left.mean(axis=(1, 2), keepdims=True)
        image = denoised[i].numpy() - denoised[i].numpy().mean(axis=(1, 2), keepdims=True)
        assert found["residual_std"][i].item() == pytest.approx(255 * np.sqrt(np.mean(centred**2)), rel=1e-9)
        assert found["residual_autocorrelation"][i].item() == pytest.approx(literal_autocorrelation(left), rel=1e-9)
        expected = abs(np.sum(centred * image)) / math.sqrt(np.sum(centred**2) * np.sum(image**2))
        assert found["residual_image_correlation"][i].item() == pytest.approx(expected, rel=1e-9)
    assert score("residual_std", denoised, denoised).isnan().all(), "no noisy image, no score"
    assert score("residual_autocorrelation", denoised, None, denoised).isnan().all(), "nothing was taken away"


def test_protocols_cut_and_clip_what_is_measured() -> None:
    noisy, clean = pair(3, 60)
    inner = (slice(None), slice(None), slice(5, -5), slice(5, -5))
    bordered = score("gmsd", noisy, clean, protocol=Protocol("b", border=5))
    assert torch.equal(bordered, score("gmsd", noisy[inner], clean[inner]))


def test_an_unknown_measure_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no measure lpip; did you mean lpips"):
        one("measures=[psnr,lpip]")
    with pytest.raises(ConfigError, match="a list, each a text"):
        one("measures=lpips")


def rows_of(study: str) -> list[dict[str, Any]]:
    [path] = Path("runs", study).glob("*/*/*/seed*/rows.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.filterwarnings("ignore")
def test_a_study_has_them_as_columns_at_once_and_later(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    settings = ("method=noisy", "budget=smoke", "dataset.crop=48", "trainer=cpu", "logger=csv")
    wanted = "measures=[psnr,ssim,gmsd,lpips,residual_std]"
    assert main(["run", *settings, "study=at_once", wanted]) == 0
    at_once = rows_of("at_once")
    assert all(row["gmsd"] and 0 < float(row["residual_std"]) < 25 and row["lpips"] == "" for row in at_once)
    [kept] = Path("runs/at_once").glob("*/*/*/seed*/measures.json")
    told = json.loads(kept.read_text())
    assert told["gmsd"]["reason"] is None
    assert not told["gmsd"]["higher_is_better"]
    assert told["lpips"]["reason"].startswith("no weights")
    assert "gmsd" in Path(next(Path("runs/at_once/.csv").glob("*.csv"))).read_text()

    assert main(["run", *settings, "study=later"]) == 0
    assert "gmsd" not in rows_of("later")[0]
    assert main(["report", "later", "--measure", "gmsd", "--measure", "residual_std"]) == 0
    later = rows_of("later")
    assert [row["gmsd"] for row in later] == [row["gmsd"] for row in at_once], "of kept outputs the same"
    assert {row["residual_std"] for row in later} == {""}, "the noisy image is not kept as it was"
    assert main(["run", *settings, "study=later", "measures=[haarpsi]", "protocol=[default,sdap]"]) == 0
    assert all(row["haarpsi"] and row["gmsd"] for row in rows_of("later"))
    assert re.search("measured .*HaarPSI", capsys.readouterr().err)


def test_a_column_is_filled_when_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a measure that was not installed, and under a protocol that a command did not name."""
    settings = ("method=noisy", "budget=smoke", "dataset.crop=48", "trainer=cpu", "study=later")
    wanted = "measures=[psnr,ssim,gmsd,residual_std]"
    with monkeypatch.context() as patch:
        patch.setattr(ours_of_piq.importlib.util, "find_spec", lambda name: None)
        assert main(["run", *settings, wanted, "protocol=[default,sdap]"]) == 0
    assert {row["gmsd"] for row in rows_of("later")} == {""}
    residuals = [row["residual_std"] for row in rows_of("later")]
    assert main(["run", *settings, wanted]) == 0
    rows = rows_of("later")
    assert {row["protocol"] for row in rows} == {"default", "sdap"}
    assert all(row["gmsd"] for row in rows)
    assert [row["residual_std"] for row in rows] == residuals
    [job] = planned(*settings, wanted)
    assert not is_left(job)


def test_a_report_ranks_by_any_measure_the_right_way_round(capsys: pytest.CaptureFixture[str]) -> None:
    """Two methods that PSNR and GMSD (lower is better) order the other way round."""
    photographs = [f"p{i:02}" for i in range(30)]
    for method, psnr_db, gmsd in (("smooth", 31.0, 0.09), ("sharp", 30.0, 0.05), ("noisy", 20.0, 0.2)):
        scores = {name: psnr_db + 0.01 * i for i, name in enumerate(photographs)}
        cell = add_cell(method, scores, gmsd=gmsd)
        (cell.folder / "measures.json").write_text(json.dumps({"gmsd": {**FURTHER["gmsd"].described(), "reason": None}}))
    report = build([STUDY])
    place = ("set", "gaussian25", "default")
    [by_ssim, by_gmsd] = report.further[place]
    best = report.comparisons[place].best
    assert best is not None
    assert best.method == "smooth"
    assert by_ssim.measure.name == "ssim"
    assert by_gmsd.best is not None
    assert by_gmsd.best.method == "sharp"
    ranks = {r.method: by_gmsd.ranks[r.id] for r in report.results}
    assert ranks == {"sharp": 1, "smooth": 2, "noisy": 3}
    worse = next(found for r in report.results if r.method == "smooth" and not isinstance(found := by_gmsd.to_best[r.id], str))
    assert worse.mean_db == pytest.approx(0.04)
    assert worse.wins == 0, "a higher GMSD is no win"
    agreed = {one.measure.name: (one.winner, one.tau) for one in agreements(report.at(place))}
    assert agreed["psnr"] == ("smooth", pytest.approx(1.0))
    assert agreed["gmsd"] == ("sharp", pytest.approx(1 / 3)), "of three pairs two in the same order"

    assert main(["report", str(STUDY), "--measures", "gmsd,psnr"]) == 0
    said = capsys.readouterr().out
    assert "GMSD / PSNR in dB" in said
    assert "GMSD: lower is better; range 0 and more" in " ".join(said.split())
    [grid] = build([STUDY], names=["gmsd", "psnr"]).grids
    assert {line.method: line.marks["gaussian25"] for line in grid.lines} == {"noisy": "", "smooth": "second", "sharp": "best"}
    page = (STUDY / "report.html").read_text()
    assert 'data-lower="true"' in page
    assert "which method wins under which" in page
    for name in ("report.md", "table.tex"):
        assert "0.0500" in (STUDY / name).read_text()
    latex = (STUDY / "table.tex").read_text()
    assert r"sharp & \textbf{0.0500} & \underline{30.14} \\" in latex, "each column has its own best"
    assert r"smooth & \underline{0.0900} & \textbf{31.14} \\" in latex
    assert "In each column the best is bold" in latex
    assert main(["report", str(STUDY), "--measures", "lpips"]) == 2
    assert "no scores by lpips" in capsys.readouterr().err


def test_a_front_of_lower_scores_falls() -> None:
    points = [Point("fast", 0.01, 0.2, "nothing"), Point("beaten", 1.0, 0.3, "dataset"), Point("slow", 10, 0.1, "image")]
    assert [p.label for p in pareto(points, FURTHER["lpips"])] == ["fast", "slow"]
