"""FMDD: its published split, its shots and their means."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from denoisebench.datasets.fmdd import FMDD, KINDS
from denoisebench.datasets.images import photographs_shared


def make_fmdd(root: Path, kinds: tuple[str, ...] = KINDS[:2], shots: int = 50, views: tuple[int, ...] = (1, 19)) -> Path:
    for kind_number, kind in enumerate(kinds):
        for view in views:
            for where in ("raw", "avg4", "gt"):
                folder = root / "FMDD" / kind / where / str(view)
                folder.mkdir(parents=True)
                for shot in range(1 if where == "gt" else shots):
                    name = "avg50" if where == "gt" else f"shot{shot:02d}"
                    value = {"raw": shot, "avg4": 100 + shot, "gt": 200}[where] + kind_number
                    Image.fromarray(np.full((4, 6), value, np.uint8)).save(folder / f"{name}.png")
    return root


def test_the_test_part_is_field_of_view_19_of_each_kind(tmp_path: Path) -> None:
    images = FMDD(root=str(make_fmdd(tmp_path)))
    assert images.names == ("Confocal_BPAE_B_19_shot00", "Confocal_BPAE_G_19_shot00")
    assert images.name == "fmdd-Confocal_BPAE_B+Confocal_BPAE_G"
    assert (images.noisy(1)[0, 0, 0], images.clean(1)[0, 0, 0]) == (1, 201)
    assert images.size(0) == (4, 6)


def test_the_training_part_shares_no_field_of_view_with_it_and_pairs_shots_of_one(tmp_path: Path) -> None:
    make_fmdd(tmp_path, KINDS[:1], 3, tuple(range(1, 21)))
    train, test = FMDD("train", str(tmp_path), shots=3), FMDD(root=str(tmp_path), shots=3)
    assert len(train.names) == 19 * 3
    assert not train.scenes & test.scenes
    assert not any(source.startswith("fmdd/") for source in train.sources & test.sources)
    assert train.scene(0) == train.scene(2) != train.scene(3)
    assert [int(train.second(index)[0, 0, 0]) for index in range(3)] == [1, 2, 0]
    assert photographs_shared(train, train) > 0


def test_only_another_shot_is_a_second_view(tmp_path: Path) -> None:
    make_fmdd(tmp_path, KINDS[:1], 3, tuple(range(1, 21)))
    assert FMDD("train", str(tmp_path), shots=3, first=5).has_second
    assert not FMDD("train", str(tmp_path), shots=3, first=4).has_second, "the last field of view has one shot alone"
    assert not FMDD("train", str(tmp_path), shots=3, average=4).has_second, "means of the same shots"


def test_published_means_and_choices_are_named(tmp_path: Path) -> None:
    images = FMDD(root=str(make_fmdd(tmp_path, KINDS)), average=4, kinds=[KINDS[3]], crop=2)
    assert images.name == f"fmdd-{KINDS[3]}-avg4-crop2"
    assert images.noisy(0).shape == (2, 2, 1)
    assert images.noisy(0)[0, 0, 0] == 103
    assert FMDD(root=str(tmp_path)).name == "fmdd"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="data download fmdd"):
        FMDD(root=str(tmp_path))
    make_fmdd(tmp_path, KINDS[:1], 2)
    with pytest.raises(ValueError, match=r"2 shots, expected 5 or more; dataset.shots=2"):
        FMDD(root=str(tmp_path), shots=5)
    with pytest.raises(FileNotFoundError, match=KINDS[4]):
        FMDD(root=str(tmp_path), kinds=[KINDS[4]])
    with pytest.raises(ValueError, match="no Confocal_CAT"):
        FMDD(root=str(tmp_path), kinds=["Confocal_CAT"])
    (tmp_path / "FMDD" / KINDS[0] / "gt" / "19" / "avg50.png").unlink()
    with pytest.raises(FileNotFoundError, match="mean of 50 shots"):
        FMDD(root=str(tmp_path)).clean(0)
