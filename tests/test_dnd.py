"""DND: boxes out of v7.3 files, by references, read alone; with margins, or whole photographs."""

import re
import tracemalloc
from itertools import combinations
from pathlib import Path

import h5py
import numpy as np
import pytest

from denoisebench.cli import main
from denoisebench.datasets.dnd import DND, read_boxes
from dnd_fixture import make_dnd


def test_boxes_are_counted_from_one_and_include_their_last_row(tmp_path: Path) -> None:
    root, pixels = make_dnd(tmp_path)
    images = DND(root=str(root))
    assert (images.name, images.has_clean, images.has_noisy) == ("dnd-40boxes", False, True)
    assert len(set(images.names)) == len(images.names) == 40
    assert (images.names[0], images.names[20], images.names[39]) == ("0001_01", "0002_01", "0002_20")
    np.testing.assert_array_equal(images.noisy(0), pixels[0][:16, :16])
    np.testing.assert_array_equal(images.noisy(21), pixels[1][-16:, -16:])
    for index in range(40):
        top, left, bottom, right = images.boxes[index // 20][index % 20]
        np.testing.assert_array_equal(images.noisy(index), pixels[index // 20][top:bottom, left:right])
        assert images.size(index) == (16, 16)
        assert images.scene(index) == f"{index // 20 + 1:04d}"
    assert images.noisy(0).dtype == np.float32


@pytest.mark.parametrize("choice", [{}, {"margin": 5}, {"margin": 1000}, {"mode": "whole"}])
def test_the_scored_boxes_are_found_in_what_is_read(tmp_path: Path, choice: dict[str, object]) -> None:
    root, pixels = make_dnd(tmp_path)
    images = DND(root=str(root), **choice)  # type: ignore[arg-type]
    cut = {}
    for index in range(len(images.names)):
        image = images.noisy(index)
        assert image.shape == (*images.size(index), 3)
        cut |= {name: image[rows, columns] for name, rows, columns in images.inner(index)}
    assert list(cut) == [f"{image:04d}_{box:02d}" for image in (1, 2) for box in range(1, 21)]
    for name, box in cut.items():
        image, number = (int(part) - 1 for part in name.split("_"))
        top, left, bottom, right = images.boxes[image][number]
        np.testing.assert_array_equal(box, pixels[image][top:bottom, left:right])


def test_what_is_chosen_is_part_of_the_name_and_fingerprint(tmp_path: Path) -> None:
    root = str(make_dnd(tmp_path)[0])
    chosen = [DND(root=root), DND(root=root, margin=4), DND(root=root, mode="whole"), DND(root=root, first=3)]
    assert [images.name for images in chosen] == ["dnd-40boxes", "dnd-40boxes-margin4", "dnd-40boxes-whole", "dnd-40boxes-first3"]
    for one, other in combinations(chosen, 2):
        assert one.fingerprint != other.fingerprint
    assert chosen[3].sources == {"dnd/0001"}
    with pytest.raises(ValueError, match="margin"):
        DND(root=root, mode="whole", margin=3)


def test_a_crop_is_the_middle_of_each_box_and_no_submission(tmp_path: Path) -> None:
    root, _ = make_dnd(tmp_path)
    boxes, cut = DND(root=str(root)), DND(root=str(root), crop=6, margin=1)
    assert (cut.name, cut.is_whole) == ("dnd-40boxes-margin1-crop6", False)
    assert len({images.fingerprint for images in (boxes, cut, DND(root=str(root), margin=1))}) == 3
    for index in (0, 25):
        [(name, rows, columns)] = cut.inner(index)
        assert name == cut.names[index]
        assert cut.size(index) == cut.noisy(index).shape[:2]
        np.testing.assert_array_equal(cut.noisy(index)[rows, columns], boxes.noisy(index)[5:11, 5:11])
    with pytest.raises(ValueError, match=r"leave it out with dataset\.mode=whole"):
        DND(root=str(root), mode="whole", crop=6)
    for crop, said in ((0, "is a number above 0"), (17, "larger than a box")):
        with pytest.raises(ValueError, match=said):
            DND(root=str(root), crop=crop, margin=9)


def test_reading_a_box_reads_that_box(tmp_path: Path) -> None:
    root, _ = make_dnd(tmp_path, images=1, height=2000, width=3000)
    path = root / "DND" / "dnd_2017" / "images_srgb" / "0001.mat"
    images = DND(root=str(root))
    with h5py.File(path) as file:  # the chunk farthest from the first box; damaged, it hurts who reads it
        stored = file["InoisySRGB"]
        assert isinstance(stored, h5py.Dataset)
        chunk = stored.id.get_chunk_info_by_coord((2, 2976, 1984))
    first, last = images.noisy(0), images.noisy(1)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    tracemalloc.start()
    again = images.noisy(0)
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert allocated < 3 * again.nbytes + 100_000  # of a photograph of 72 MB
    np.testing.assert_array_equal(again, first)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        images.noisy(1)
    assert last.shape == (16, 16, 3)


def test_errors_name_the_file_and_the_command_that_mends_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="denoisebench data download dnd"):
        DND(root=str(tmp_path))
    root, _ = make_dnd(tmp_path)
    info, image = (root / "DND" / "dnd_2017" / name for name in ("info.mat", "images_srgb/0002.mat"))
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"{re.escape(str(image))}.*denoisebench data download dnd"):
        DND(root=str(root))
    image.unlink()
    with pytest.raises(FileNotFoundError, match=f"{re.escape(str(image))}.*denoisebench data download dnd"):
        DND(root=str(root))
    assert len(DND(root=str(root), first=20).names) == 20
    info.write_bytes(b"no")
    with pytest.raises(ValueError, match=f"{re.escape(str(info))}.*denoisebench data download dnd"):
        read_boxes(info)


def test_the_command_keeps_the_images_and_leaves_the_metrics_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISEBENCH_DATA", str(make_dnd(tmp_path)[0]))
    assert main(["run", "method=noisy", "dataset=dnd", "noise=real", "pictures=0", "dataset.first=3", "dataset.margin=2"]) == 0
    (cell,) = Path("runs/default/noisy").glob("dnd*/real/seed0-*")
    assert sorted(path.name for path in (cell / "images").iterdir()) == ["0001_01.png", "0001_02.png", "0001_03.png"]
    assert ",unscored," in (cell / "rows.csv").read_text()
