"""Test images and outputs on their way to the disk."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from denoisebench.scoring import keeper, memory
from denoisebench.scoring.keeper import Keeper, Keeping
from denoisebench.scoring.kept import image_hash, kept_clean
from denoisebench.scoring.meter import ENOUGH, Meter
from denoisebench.store.pictures import read_png


def kept(study: Path, clean: torch.Tensor, noisy: torch.Tensor | None = None) -> tuple[str, str, str]:
    one = Keeper(Keeping(study / "cell", study / ".inputs"))
    found = one.keep("a", 0, clean, clean if noisy is None else noisy, clean).hashes()
    one.close()
    return found


@pytest.mark.parametrize(("levels", "bits"), [(255, np.uint8), (65535, np.uint16), (None, np.uint16)])
def test_a_clean_image_is_kept_exactly_and_in_8_bit_where_that_holds_it(levels: int | None, bits: type, tmp_path: Path) -> None:
    import cv2

    clean = torch.rand(3, 20, 24)
    clean = clean if levels is None else (clean.double() * levels).round().div(levels).float()
    noisy_sha, clean_sha, _ = kept(tmp_path, clean)
    assert noisy_sha == clean_sha == image_hash(clean)
    stored = cv2.imread(str(tmp_path / ".inputs" / f"{clean_sha}-clean.png"), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert stored.dtype == bits
    read = torch.from_numpy(kept_clean(tmp_path / ".inputs", clean_sha).transpose(2, 0, 1).copy())
    assert torch.equal(read.float(), clean)
    assert (tmp_path / ".inputs" / f"{clean_sha}-clean.npy").is_file() == (levels is None)
    assert read_png(tmp_path / "cell" / "images" / "a.png").shape == (20, 24, 3)


def test_another_study_of_the_same_root_links_its_test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean, noisy = torch.rand(2, 3, 16, 16)
    names = [f"{kept(tmp_path / 'one', clean, noisy)[place]}-{kind}" for place, kind in enumerate(("noisy.png", "clean.png"))]
    kept(tmp_path / "two", clean, noisy)
    for name in names:
        assert (tmp_path / "two" / ".inputs" / name).samefile(tmp_path / "one" / ".inputs" / name)

    def refused(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    kept(tmp_path / "three", clean, noisy)
    first, third = (tmp_path / study / ".inputs" / names[1] for study in ("one", "three"))
    assert not third.samefile(first)
    assert third.read_bytes() == first.read_bytes()


def test_what_cannot_be_written_is_raised_where_it_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(keeper, "write_png", full)
    with pytest.raises(OSError, match="No space left"):
        kept(tmp_path, torch.rand(3, 16, 16))


def test_the_memory_of_a_quick_method_is_measured_some_times_for_each_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(memory, "give_back_freed", lambda: None)
    monkeypatch.setattr(memory, "reset_peak", lambda: None)
    monkeypatch.setattr(memory, "peak_mib", lambda: asked.append(0.0) or float(len(asked) % 2 == 0) * len(asked))
    meter, found = Meter(), []
    for shape in [(1, 3, 8, 8)] * 5 + [(1, 3, 9, 9)]:
        meter.start(torch.empty(shape))
        found.append(meter.stop()[1])
    assert ENOUGH == 3
    assert found == [2, 4, 6, 6, 6, 8], "each its own while it is measured, then the most"
