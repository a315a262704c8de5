"""What networks cost, counted: equal to a count by hand, whatever the size of the images that are tested."""

import pytest
import torch
from torch import Tensor, nn

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.report.families import family_texts
from denoisebench.report.results import summarise
from denoisebench.report.rows import read_study
from denoisebench.report.table import grids
from denoisebench.report.write import write_report
from denoisebench.scoring.cost import cost
from denoisebench.scoring.evidence import blind_spot
from jobs import METHODS, built, computed
from studies import STUDY, add_cell

BLIND = {"apbsn", "at_bsn", "cbsn", "laine", "mm_bsn", "puca", "sasl", "sdap", "tm_bsn"}
SHORT_NAMES = ("zsn2n", "neighbor2neighbor")


class TwoLayers(DatasetDenoiser):
    """3 -> 8 -> 3 channels, kernels of 3 and 1, of which training alone needs a third layer."""

    def __init__(self, reads: bool = False) -> None:
        super().__init__()
        self.lr, self.reads = 1e-3, reads
        self.first, self.second, self.other = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1), nn.Conv2d(3, 3, 5)

    @property
    def training_only(self) -> tuple[str, ...]:
        return ("other.",)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        return noisy.mean()

    def denoise(self, noisy: Tensor) -> Tensor:
        offset = float(noisy.mean().item()) if self.reads else 0.0
        return self.second(self.first(noisy)) + offset


@pytest.mark.parametrize("reads", [False, True])
def test_the_cost_is_the_one_counted_by_hand(reads: bool) -> None:
    found = cost(TwoLayers(reads), 3, 0)
    parameters = 3 * 8 * 9 + 8 + 8 * 3 + 3
    assert (found.parameters, found.weights_bytes) == (parameters, 4 * parameters)
    assert found.gmacs_per_mpix == pytest.approx(1e6 * (3 * 8 * 9 + 8 * 3) / 1e9, rel=1e-9)


def test_counting_draws_no_random_number_and_changes_no_weight() -> None:
    for name in SHORT_NAMES:
        method = built(f"method={name}", "budget=smoke")
        torch.manual_seed(3)
        before, weights = torch.get_rng_state(), {k: v.clone() for k, v in method.state_dict().items()}
        cost(method, 3, 0)
        assert torch.equal(torch.get_rng_state(), before)
        if method.learns == "dataset":  # the others draw theirs anew for each image
            assert all(torch.equal(value, weights[key]) for key, value in method.state_dict().items())


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_family_and_a_cost(name: str) -> None:
    method = built(f"method={name}", "budget=smoke")
    found = cost(method, 3, 0)
    assert bool(method.family) == (name != "noisy")
    assert method.averaged >= 1
    assert (found.parameters is None) == (method.learns == "nothing")
    assert (found.gmacs_per_mpix is None) == (method.learns != "dataset")
    assert (found.weights_bytes is None) == (method.learns != "dataset")


@pytest.mark.parametrize("name", METHODS)
def test_the_blind_spot_of_every_blind_network_is_measured(name: str) -> None:
    method = built(f"method={name}", "budget=smoke")
    measured = blind_spot(method, torch.rand(1, 3, 48, 48), 0).get("network")
    assert (measured is not None) == (name in BLIND)
    assert name not in BLIND or method.family == "blind spot"
    if measured and name != "puca":  # whose channel attention leaks
        assert measured["own"] == 0
        assert measured["others"] > 0


@pytest.mark.parametrize(("name", "hole"), [("tm_bsn", "hole"), ("at_bsn", "hole")])
def test_without_a_hole_at_inference_no_blind_spot_is_claimed(name: str, hole: str) -> None:
    method = built(f"method={name}", "budget=smoke", f"method.{hole}=0")
    assert method.blind_networks == []


def test_rows_and_the_report_tell_family_and_cost() -> None:
    [cell] = computed("method=neighbor2neighbor", "budget=smoke", "dataset.crop=48", "trainer=cpu", "study=study")
    rows = read_study(STUDY)
    method = built("method=neighbor2neighbor", "budget=smoke")
    assert (rows[0]["family"], rows[0]["averaged"]) == ("sub-sampling", "1")
    assert int(rows[0]["parameters"]) == sum(p.numel() for p in method.parameters())
    assert float(rows[0]["gmacs_per_mpix"]) == pytest.approx(cost(method, 3, 0).gmacs_per_mpix)
    [grid] = grids(summarise(rows))
    texts = family_texts(grid.lines[0])
    assert texts[1:5] == ["a set", "sub-sampling", "not told", "one pass"]
    assert texts[5] == f"{int(rows[0]['parameters']):,}"
    write_report([STUDY])
    for file in ("report.html", "report.md"):
        assert all(text in (STUDY / file).read_text() for text in ("Families and cost", texts[5], "sub-sampling")), file
    assert cell.state == "done"


def test_older_rows_say_nothing_of_families() -> None:
    add_cell("alpha", {"a": 30.0})
    write_report([STUDY])
    assert "Families and cost" not in (STUDY / "report.html").read_text()
    assert "Families and cost" not in (STUDY / "report.md").read_text()
