"""The ladder between protocols: its steps add up, and each does what it says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from denoisebench.cli import main
from denoisebench.report.explain import Convention, alternatives, explain, find_cell, ladder, luma, scores, without_middle
from denoisebench.report.rows import read_study
from denoisebench.scoring.developed import Developed
from denoisebench.scoring.kept import kept_pair
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.pictures import output_name, write_png
from studies import STUDY, add_cell

OURS = Protocol("default")
FREE = Protocol("free", clip=False)
THEIRS = Protocol("theirs", rounding="round", border=2, ssim="uniform")


def test_the_ladder_ends_at_the_other_protocol() -> None:
    steps = ladder(OURS, THEIRS)
    assert [step.name for step in steps[1:]] == [
        "rounding to 8 bit: none -> round", "border cut off: 0 -> 2", "window of SSIM: gaussian -> uniform",
    ]  # fmt: skip
    first, last = steps[0].protocol, steps[-1].protocol
    pair = torch.rand(1, 3, 20, 24).double(), torch.rand(1, 3, 20, 24).double()
    assert first == OURS
    assert last.score(*pair) == THEIRS.score(*pair)
    assert len(ladder(OURS, OURS)) == 1
    with pytest.raises(ValueError, match="kept clipped"):
        ladder(OURS, Protocol("free", clip=False))


def test_pooling_and_parts_equal_a_recomputation() -> None:
    pairs = [(torch.rand(1, 3, 16, 16).double(), torch.rand(1, 3, 16, 16).double()) for _ in range(4)]
    conventions = [Convention("mean", OURS), Convention("pooled", OURS, pooled=True), Convention("part", OURS, first=2)]
    mean, pooled, part = scores(lambda: iter(pairs), conventions, lambda done, note: None)
    errors = torch.stack([(a - b).square().mean() for a, b in pairs])
    assert mean.psnr_db == pytest.approx((-10 * errors.log10()).mean().item())
    assert pooled.psnr_db == pytest.approx(-10 * errors.mean().log10().item())
    assert part.psnr_db == pytest.approx((-10 * errors[:2].log10()).mean().item())
    assert len(alternatives(OURS, 4, 64)) == len(alternatives(OURS, 4, 20)) + 1 == 9


def test_luma_and_the_middle() -> None:
    gray = torch.full((1, 3, 5, 4), 0.5)
    assert luma(gray) == pytest.approx(torch.full((1, 1, 5, 4), 0.5))
    numbered = torch.arange(20.0).view(1, 1, 5, 4)
    assert without_middle(numbered)[0, 0].tolist() == [[0, 1, 3], [4, 5, 7], [12, 13, 15], [16, 17, 19]]


def test_a_cell_is_explained_by_its_key(capsys: pytest.CaptureFixture[str]) -> None:
    cell = add_cell("alpha", {"a": 30.0, "b": 28.0})
    assert find_cell(cell.key[:6]) == find_cell(str(cell.folder)) == cell.folder
    assert main(["explain", cell.key[:8], "--against", "apbsn"]) == 0
    printed = capsys.readouterr().out
    assert "from default to apbsn" in printed
    assert "window of SSIM: gaussian -> uniform" in printed
    row = next(row for row in read_study(STUDY) if row["image"] == "a")
    pairs = [kept_pair({**row, "image": i, "clean_sha": f"cleanset{i}"}, cell.folder, cell.inputs) for i in "ab"]
    expected = sum(OURS.score(*pair)[0].item() for pair in pairs) / 2
    assert f"{expected:.4f}" in printed


def test_a_later_image_may_be_smaller_than_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    cell = add_cell("alpha", {"a": 30.0, "b": 28.0, "c": 26.0})
    rng = np.random.default_rng(1)
    for image, side in (("a", 40), ("b", 9)):
        write_png(cell.folder / "images" / output_name(image, 0), rng.random((side, 40, 3)), bits=16)
        write_png(cell.inputs / f"cleanset{image}-clean.png", rng.random((side, 40, 3)), bits=16)
    assert main(["explain", cell.key]) == 0
    printed = capsys.readouterr().out
    assert "border of 8 pixels" not in printed, "the smallest image has none"
    assert "nan" not in printed, "a mean of SSIM is of the images that have one"


@pytest.mark.parametrize("arguments", [["nowhere"], ["abc", "--against", "nosuch"], ["abc", "--wrong"]])
def test_what_cannot_be_explained_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    add_cell("alpha", {"a": 30.0})
    assert main(["explain", *arguments]) == 2
    assert capsys.readouterr().err


def test_a_report_under_another_protocol_scores_what_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    add_cell("alpha", {"a": 30.0, "b": 28.0})
    assert main(["report", "study", "--protocol", "apbsn", "--pictures", "0"]) == 0
    assert "protocol apbsn" in capsys.readouterr().out
    found = {row["protocol"]: row for row in read_study(STUDY) if row["image"] == "b"}
    assert set(found) == {"default", "apbsn"}
    [folder] = Path("runs/study/alpha").glob("*/*/*")
    pair = kept_pair(found["apbsn"], folder, Path("runs/study/.inputs"))
    assert found["apbsn"]["psnr_db"] == Protocol("apbsn", rounding="round", ssim="uniform").score(*pair)[0].item()
    assert main(["report", "study", "--protocol", "nosuch"]) == 2
    assert main(["report", "study", "--baseline", "nosuch"]) == 2


def test_a_cell_is_explained_from_its_own_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    cell = add_cell("alpha", {"a": 30.0}, protocol="neighbor2neighbor")
    assert main(["explain", cell.key]) == 0
    assert "neighbor2neighbor" in capsys.readouterr().out
    assert main(["explain", cell.key, "--against", "default"]) == 0
    assert "from neighbor2neighbor to default" in capsys.readouterr().out
    assert main(["explain", cell.key, "--protocol", "default", "--against", "apbsn"]) == 0
    assert "from default to apbsn" in capsys.readouterr().out


def test_planes_and_developed_pictures_are_no_convention_apart() -> None:
    developed = Developed("developed")
    with pytest.raises(ValueError, match="score different images"):
        ladder(OURS, developed)
    plane = torch.rand(1, 1, 64, 64, dtype=torch.float64)
    own = [Convention(developed.name, developed), *alternatives(developed, 2, 64)]
    found = scores(lambda: iter([(plane, plane.clone()), (plane, plane + 0.1)]), own, lambda done, note: None)
    assert len(found) == len(own) > 5


@pytest.mark.parametrize("pair", [(FREE, None), (FREE, OURS), (OURS, FREE)])
def test_protocols_that_do_not_clip_are_refused(pair: tuple[Protocol, Protocol | None]) -> None:
    cell = add_cell("alpha", {"a": 30.0})
    with pytest.raises(ValueError, match="protocol free does not clip, and outputs are kept clipped"):
        explain(cell.folder, *pair)
