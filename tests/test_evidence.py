"""What the audit rests on is measured: it finds a method that cheats, and says so where nothing was recorded."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from denoisebench.batch import Batch, WatchedBatch
from denoisebench.cli import main
from denoisebench.datasets.images import photographs_shared
from denoisebench.datasets.photos import Photos
from denoisebench.denoiser import DatasetDenoiser
from denoisebench.noise import FixedPattern
from denoisebench.report.audit import Tick, audit
from denoisebench.report.health import cells_of
from denoisebench.report.results import summarise
from denoisebench.report.rows import find_study, read_study
from denoisebench.report.study import build
from denoisebench.scoring.evidence import blind_spot, noise_structure
from studies import STUDY, add_cell


class Neighbours(DatasetDenoiser):
    """The mean of the four neighbours; with `centre`, of the pixel itself too."""

    def __init__(self, centre: bool) -> None:
        super().__init__()
        self.lr, self.centre = 1e-3, centre

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        return noisy.mean()

    def denoise(self, noisy: Tensor) -> Tensor:
        x = nn.functional.pad(noisy, (1, 1, 1, 1), mode="replicate")
        total = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
        return (total + noisy) / 5 if self.centre else total / 4


def test_the_blind_spot_of_a_denoiser_is_measured() -> None:
    noisy = torch.rand(1, 3, 40, 40)
    blind = blind_spot(Neighbours(centre=False), noisy, 0)
    assert blind["own"] == 0
    assert blind["others"] == pytest.approx(0.25, rel=1e-4)
    assert blind["network"] is None
    assert blind_spot(Neighbours(centre=True), noisy, 0)["own"] == pytest.approx(0.2, rel=1e-4)


def test_every_way_of_reading_a_batch_is_counted() -> None:
    images = torch.zeros(1, 1, 2, 2)
    batch = WatchedBatch.of(Batch(images, images, None, ("a",)))
    assert batch.noisy is images
    assert batch.held() == ["clean"]
    assert batch.reads == Counter()
    assert batch.clean is images
    assert batch[1] is images
    assert batch[0] is images
    assert batch.target is None
    assert batch.reads == Counter(clean=2, target=1)
    _, *_ = batch
    assert batch.reads == Counter(clean=3, target=2)


def ticks_of(study: str, method: str) -> dict[str, Tick]:
    results = summarise(read_study(find_study(study)))
    return {tick.name: tick for tick in audit(next(r for r in results if r.method == method))}


def test_a_run_records_what_its_ticks_say(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["budget=smoke", "dataset.crop=48", "trainer=cpu", "study=small"]
    assert main(["run", "-m", "method=sdap,noise2clean", *settings]) == 0
    ours, bound = ticks_of("small", "sdap"), ticks_of("small", "noise2clean")
    assert {tick.state for name, tick in ours.items() if name != "noise"} == {"ok"}
    assert "clean read 0 times, target 0 times; 0 held one" in ours["noisy only"].evidence
    assert ours["blind spot"].evidence.endswith("by the Jacobian: 0")
    assert "0 in common" in ours["disjoint"].evidence
    assert bound["noisy only"].state == "none"
    assert bound["blind spot"].state == "none"
    capsys.readouterr()


def test_what_was_not_recorded_is_not_claimed() -> None:
    add_cell("old", {"a": 30.0}, learns="dataset", trained_on="bsds500", train_noise="gaussian25 fresh", selection="last")
    found = ticks_of(str(STUDY), "old")
    assert found["noisy only"].state == found["blind spot"].state == "unknown"
    assert "not recorded" in found["noisy only"].evidence
    add_cell("given", {"a": 30.0}, learns="dataset", trained_on="unknown: weights given", selection="given")
    assert {ticks_of(str(STUDY), "given")[name].state for name in ("noisy only", "disjoint", "selection")} == {"unknown"}


def test_one_seed_without_a_record_is_none_for_the_whole() -> None:
    reads = {"batches": 5, "clean": 0, "target": 0, "given_clean": 0, "given_target": 0}
    cells = [add_cell("m", {"a": 30.0}, seed=seed, learns="dataset", trained_on="bsds500") for seed in (0, 1)]
    (cells[0].folder / "manifest.json").write_text(json.dumps({"evidence": {"training_reads": reads}}))
    assert ticks_of(str(STUDY), "m")["noisy only"].state == "unknown"
    (cells[1].folder / "manifest.json").write_text(json.dumps({"evidence": {"training_reads": {**reads, "target": 7}}}))
    assert ticks_of(str(STUDY), "m")["noisy only"].state == "fails"
    [result] = summarise(read_study(STUDY))
    assert len(cells_of(result)) == 2


READS = {"clean": 0, "target": 0, "given_clean": 0, "given_target": 0}


@pytest.mark.parametrize(
    ("learns", "batches", "clean", "state"),
    [("image", 4, 0, "ok"), ("image", 0, 0, "unknown"), ("image", 3, 0, "unknown"), ("image", 3, 2, "fails"),
     ("dataset", 50, 0, "ok"), ("dataset", 49, 0, "unknown"), ("dataset", 0, 0, "unknown")],
)  # fmt: skip
def test_a_tick_rests_on_counts_of_the_whole(learns: str, batches: int, clean: int, state: str) -> None:
    cell = add_cell("m", {"a": 30.0, "b": 31.0}, repeats=2, learns=learns, trained_on="bsds500", train_steps=50)
    counts = {**READS, "batches": batches, "clean": clean}
    (cell.folder / "manifest.json").write_text(json.dumps({"evidence": {"training_reads": counts, "test_reads": counts}}))
    tick = ticks_of(str(STUDY), "m")["noisy only"]
    assert tick.state == state
    if state == "unknown":
        assert tick.evidence == f"only {batches} of {4 if learns == 'image' else 50} batches were counted, the others elsewhere"


class Picky(Neighbours):
    """Takes no small image."""

    def denoise(self, noisy: Tensor) -> Tensor:
        raise RuntimeError("too small")


def test_what_fails_under_measurement_is_a_reason() -> None:
    noisy = torch.rand(1, 3, 40, 40)
    assert blind_spot(Picky(centre=False), noisy, 0) == {"reason": "RuntimeError: too small"}


class Pairs(Photos):
    """Photographs that are known by a name and by the pixels of two files, and of which two images are cut."""

    def __init__(self, *scenes: str) -> None:
        super().__init__()
        self.names = tuple(f"{scene}{cut}" for scene in scenes for cut in (1, 2))

    def scene(self, index: int) -> str:
        return self.names[index][:-1]

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(source for s in self.scenes for source in (f"set/{s}", f"{s}-noisy", f"{s}-clean"))


def test_photographs_are_counted_apart_from_their_pixels() -> None:
    first, second = Pairs("a", "b", "c"), Pairs("b", "c", "d", "e")
    assert (len(first.scenes), photographs_shared(first, second), photographs_shared(first, Pairs("d"))) == (3, 2, 0)
    assert main(["run", "method=sdap", "budget=smoke", "dataset.crop=48", "trainer=cpu", "study=small"]) == 0
    [manifest] = Path("runs/small").glob("*/*/*/*/manifest.json")
    assert json.loads(manifest.read_text())["evidence"]["images"] == {"training": 5, "test": 3, "shared": 0}


def test_the_structure_of_noise_is_measured_and_names_whom_it_breaks() -> None:
    settings = ["budget=smoke", "dataset.crop=64", "trainer=cpu", "study=small"]
    assert main(["run", "-m", "method=noisy,zsn2n", "noise=gaussian25,correlated,quantised", "noise.sigma=20", *settings]) == 0
    found = {}
    for manifest in Path("runs/small").glob("zsn2n/*/*/*/manifest.json"):
        found[manifest.parts[-3]] = json.loads(manifest.read_text())["evidence"]["noise"]
    assert found["gaussian20"]["autocorrelation"] < 0.06
    assert abs(found["gaussian20"]["between_views"]) < 0.06
    assert found["correlated20-length1"]["autocorrelation"] == pytest.approx(math.exp(-1 / 4), abs=0.08)
    notes = [note for note in build([find_study("small")]).notes if "correlated by" in note]
    assert len(notes) == 1
    assert f"correlated by up to {found['correlated20-length1']['autocorrelation']:.2f}" in notes[0]
    assert "independent by zsn2n:" in notes[0]


def test_noise_that_two_views_share_breaks_noise2noise_alone() -> None:
    clean = torch.rand(1, 1, 90, 90, dtype=torch.float64)
    views = [FixedPattern(offset_sigma=20, gain_std=0, sigma=10)(clean, torch.Generator().manual_seed(s)) for s in (0, 1)]
    measured = noise_structure("a", views[0], clean, views[1])
    assert measured is not None
    assert measured["between_views"] == pytest.approx(400 / 500, abs=0.02)
    for method in ("noise2noise", "noise2void", "noise2void[structure=rows]", "apbsn"):
        cell = add_cell(method, {"a": 30.0}, noise="fixed_pattern")
        (cell.folder / "manifest.json").write_text(json.dumps({"evidence": {"noise": measured}}))
    [note] = [note for note in build([STUDY]).notes if "correlated by" in note]
    assert "two views of one image is correlated by 0.8" in note
    assert "independent by noise2noise:" in note
    for one in STUDY.glob("*/*/*/*/manifest.json"):
        one.write_text(json.dumps({"evidence": {"noise": {**measured, "autocorrelation": -0.5, "between_views": "?"}}}))
    [note] = [note for note in build([STUDY]).notes if "correlated by" in note]
    assert "up to 0.50" in note
    assert "independent by noise2void:" in note, "neither apbsn nor one that hides rows"
    assert noise_structure("a", views[0], None, None) is None
    assert noise_structure("a", clean, clean, None) == {"image": "a", "autocorrelation": None, "between_views": None}
