"""FMDD: its published split, its shots and their means."""

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from denoisebench.datasets.catalogue import CATALOGUE
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
                    pixels = np.full((4, 6), value, np.uint8)
                    pixels[0, 1] = view
                    Image.fromarray(pixels).save(folder / f"{name}.png")
    return root


def make_mix(root: Path, count: int = 48) -> Path:
    """Four shots of each of 12 fields of view, under names that do not say which."""
    for where in ("raw", "avg4", "gt"):
        folder = root / "FMDD" / "test_mix" / where
        folder.mkdir(parents=True)
        for number in range(count):
            value = {"raw": number, "avg4": 100 + number, "gt": 200 + number // 4}[where]
            Image.fromarray(np.full((4, 6), value, np.uint8)).save(folder / f"img{number:02d}.png")
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
    assert not train.sources & test.sources
    assert train.sources & FMDD("train", str(tmp_path), shots=1, average=4).sources, "other shots of the same fields of view"
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


def test_the_mix_is_as_published_and_its_scenes_are_those_of_its_clean_images(tmp_path: Path) -> None:
    mix = FMDD("test_mix", str(make_mix(tmp_path)))
    assert (mix.name, len(mix.names), mix.has_second) == ("fmdd-mix", 48, False)
    assert (mix.names[5], mix.noisy(5)[0, 0, 0], mix.clean(5)[0, 0, 0]) == ("img05", 5, 201)
    assert len(mix.scenes) == 12
    assert mix.scene(4) == mix.scene(7) != mix.scene(3)
    part = FMDD("test_mix", str(tmp_path), average=4, first=3)
    assert (part.name, part.noisy(2)[0, 0, 0]) == ("fmdd-mix-avg4-first3", 102)
    assert part.sources & mix.sources
    for kinds, shots in ((KINDS[:1], None), (None, 2)):
        with pytest.raises(ValueError, match="choose from part=test"):
            FMDD("test_mix", str(tmp_path), kinds, shots=shots)
    (tmp_path / "FMDD" / "test_mix" / "raw" / "img00.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"47 images, expected 48 of test_mix.tar"):
        FMDD("test_mix", str(tmp_path))


def test_its_archives_are_unpacked_where_they_are_read() -> None:
    place = CATALOGUE["fmdd"].place
    assert place(PurePosixPath("Confocal_FISH/raw/19/a.png")) == "FMDD/Confocal_FISH/raw/19/a.png"
    for folder in ("test_mix", "dataset/test_mix"):
        assert place(PurePosixPath(folder, "avg2", "a.png")) == "FMDD/test_mix/avg2/a.png"
    assert place(PurePosixPath("test_mix/list.txt")) is None


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
