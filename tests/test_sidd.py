"""SIDD: blocks out of v5 files, frames, patches cut once; each as the papers index it."""

import re
import tracemalloc
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import savemat

from denoisebench import config
from denoisebench.cli import main
from denoisebench.config.jobs import job_of
from denoisebench.datasets import prepared, sidd
from denoisebench.datasets.folder import Folder
from denoisebench.datasets.joined import Joined
from denoisebench.datasets.matlab import read_v5
from denoisebench.datasets.prepared import Prepared, prepare
from denoisebench.datasets.sidd import SIDDBlocks, SIDDMedium
from denoisebench.report.rows import read_study
from sidd_fixture import SHAPE, blocks, make_blocks, make_frames

# ----------------------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize("compressed", [False, True])
def test_blocks_are_those_of_the_file_in_the_order_of_the_papers(tmp_path: Path, compressed: bool) -> None:
    root = make_blocks(tmp_path, compressed=compressed)
    images = SIDDBlocks(root=str(root))
    assert (images.name, images.has_clean, images.has_noisy) == ("sidd_validation-3x4x32x32", True, True)
    assert images.names == tuple(f"{frame:04d}_{block:02d}" for frame in range(3) for block in range(4))
    for index in (0, 3, 4, 11):
        frame, block = divmod(index, 4)
        np.testing.assert_array_equal(images.noisy(index), blocks("ValidationNoisyBlocksSrgb")[frame, block])
        np.testing.assert_array_equal(images.clean(index), blocks("ValidationGtBlocksSrgb")[frame, block])
        assert images.noisy(index).flags["C_CONTIGUOUS"]
        assert images.size(index) == (32, 32)
        assert images.scene(index) == f"{frame:04d}"
    assert len(images.scenes) == 3


def test_an_uncompressed_file_is_mapped_and_not_loaded(tmp_path: Path) -> None:
    for name, compressed in (("a", False), ("b", True)):
        savemat(tmp_path / f"{name}.mat", {"other": np.arange(3.0), name: blocks("x")}, do_compression=compressed)
        array = read_v5(tmp_path / f"{name}.mat", name, "mend")
        assert isinstance(array, np.memmap) != compressed
        np.testing.assert_array_equal(array, blocks("x"))


def test_a_block_costs_the_memory_of_a_block(tmp_path: Path) -> None:
    (tmp_path / "SIDD").mkdir()
    array = blocks("x", (8, 32, 64, 64, 3))
    savemat(tmp_path / "SIDD" / "BenchmarkNoisyBlocksSrgb.mat", {"BenchmarkNoisyBlocksSrgb": array})
    tracemalloc.start()
    images = SIDDBlocks(part="benchmark", root=str(tmp_path))
    block = images.noisy(100)
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert allocated < array.nbytes / 10
    np.testing.assert_array_equal(block, array[100 // 32, 100 % 32])


def test_the_benchmark_is_noisy_only(tmp_path: Path) -> None:
    images = SIDDBlocks(part="benchmark", root=str(make_blocks(tmp_path, "benchmark", folder="sidd_blocks")))
    assert (images.has_clean, images.has_noisy) == (False, True)
    np.testing.assert_array_equal(images.noisy(5), blocks("BenchmarkNoisyBlocksSrgb")[1, 1])
    with pytest.raises(ValueError, match="not public"):
        images.clean(0)


def test_a_subset_is_marked_in_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidd, "FRAMES", 3)
    monkeypatch.setattr(sidd, "BLOCKS", 4)
    monkeypatch.setattr(sidd, "SIDE", 32)
    root = str(make_blocks(tmp_path))
    chosen: dict[str, tuple[SIDDBlocks, int]] = {
        "sidd_validation": (SIDDBlocks(root=root), 12),
        "sidd_validation-first5": (SIDDBlocks(root=root, first=5), 5),
        "sidd_validation-frames2_0": (SIDDBlocks(root=root, frames=[2, 0]), 8),
        "sidd_validation-blocks1": (SIDDBlocks(root=root, blocks=1), 3),
        "sidd_validation-frames1-blocks2-first1-crop8": (SIDDBlocks(root=root, frames=[1], blocks=2, first=1, crop=8), 1),
    }
    for name, (images, count) in chosen.items():
        assert (images.name, len(images.names)) == (name, count)
    for (one, _), (other, _) in combinations(chosen.values(), 2):
        assert one.fingerprint != other.fingerprint
    assert chosen["sidd_validation-frames2_0"][0].names[:5] == ("0002_00", "0002_01", "0002_02", "0002_03", "0000_00")
    assert SIDDBlocks(root=root, first=12, blocks=4, crop=32, frames=[0, 1, 2]).name == "sidd_validation"
    for wrong in ({"first": 0}, {"frames": [3]}, {"frames": [0, 0]}, {"frames": []}, {"blocks": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SIDDBlocks(root=root, **wrong)  # type: ignore[arg-type]


def test_errors_name_the_file_and_the_command_that_mends_it(tmp_path: Path) -> None:
    mend = "denoisebench data download sidd_validation"
    with pytest.raises(FileNotFoundError, match=mend):
        SIDDBlocks(root=str(tmp_path))
    make_blocks(tmp_path)
    clean = tmp_path / "SIDD" / "ValidationGtBlocksSrgb.mat"
    whole = clean.read_bytes()
    broken: list[tuple[bytes, str]] = [
        (whole[:-5000], "cut off"), (b"", "no MATLAB v5"), (b"\x89HDF\r\n\x1a\n" + bytes(500), "v7.3"), (whole[:140], "cut off"),
    ]  # fmt: skip
    for content, said in broken:
        clean.write_bytes(content)
        with pytest.raises(ValueError, match=f"{re.escape(str(clean))}.*{said}.*{mend}"):
            SIDDBlocks(root=str(tmp_path))
    for array in (np.zeros((2, 4, 32, 32, 3), np.uint8), np.zeros((3, 4), np.uint8), np.zeros(SHAPE, np.float32)):
        savemat(clean, {"ValidationGtBlocksSrgb": array})
        with pytest.raises(ValueError, match=f"ValidationGtBlocksSrgb.*{mend}"):
            SIDDBlocks(root=str(tmp_path))
    make_blocks(tmp_path, compressed=True)
    clean.write_bytes(clean.read_bytes()[:-3000])
    with pytest.raises(ValueError, match=f"cut off.*{mend}"):
        SIDDBlocks(root=str(tmp_path))
    clean.unlink()
    with pytest.raises(FileNotFoundError, match=f"missing {re.escape(str(clean))}"):
        SIDDBlocks(root=str(tmp_path))


def test_the_command_runs_on_both_sets_of_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISEBENCH_DATA", str(make_blocks(make_blocks(tmp_path), "benchmark")))
    for part in ("validation", "benchmark"):
        assert main(["run", "method=noisy", f"dataset=sidd_{part}", "noise=real", "pictures=0", "dataset.blocks=1"]) == 0
    rows = read_study(Path("runs/default"))
    assert {row["image"]: row["scene"] for row in rows} == {f"000{frame}_00": f"000{frame}" for frame in range(3)}
    published = config.compose_one(["method=self2self_plus", "dataset=sidd_validation"]).plain["method"]
    assert (published["drop"], published["steps"]) == (0.9, 1000)


# ----------------------------------------------------------------------------------------------------- frames


def test_frames_pair_with_their_clean_partners(tmp_path: Path) -> None:
    images = SIDDMedium(root=str(make_frames(tmp_path)))
    assert images.name == "sidd_medium_frames"
    assert images.names[:3] == ("0001_NOISY_SRGB_010", "0001_NOISY_SRGB_011", "0002_NOISY_SRGB_010")
    assert len(images.names) == 6
    assert images.size(0) == images.noisy(0).shape[:2] == images.clean(0).shape[:2] == (70, 100)
    assert not np.array_equal(images.noisy(0), images.clean(0))
    cut = SIDDMedium(root=str(tmp_path), crop=32)
    assert (cut.name, cut.size(0)) == ("sidd_medium_frames-crop32", (32, 32))
    assert cut.fingerprint != images.fingerprint
    for side in ("noisy", "clean"):
        np.testing.assert_array_equal(getattr(cut, side)(1), getattr(images, side)(1)[19:51, 34:66])
    partner = images.partner(images.frames[2])
    partner.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(partner))):
        images.clean(2)
    with pytest.raises(FileNotFoundError, match="download sidd_medium"):
        SIDDMedium(root=str(tmp_path / "nowhere"))


def test_prepared_patches_are_those_of_the_frames(tmp_path: Path) -> None:
    frames = SIDDMedium(root=str(make_frames(tmp_path)))
    with pytest.raises(FileNotFoundError, match="denoisebench data prepare sidd_medium"):
        Prepared(root=str(tmp_path))
    out = prepare(frames, tmp_path / "SIDD" / "sidd_medium.h5", patch=32)
    images = Prepared(root=str(tmp_path))
    assert (images.name, len(images.names), images.size(0)) == ("sidd_medium-patch32-frames6", 6 * 2 * 3, (32, 32))
    assert len(set(images.names)) == len(images.names)
    assert images.names[4] == "0001_NOISY_SRGB_010_32_32"
    for patch in (4, 35):
        frame, (top, left) = patch // 6, [(0, 0), (0, 32), (0, 64), (32, 0), (32, 32), (32, 64)][patch % 6]
        for ours, whole in ((images.noisy(patch), frames.noisy(frame)), (images.clean(patch), frames.clean(frame))):
            np.testing.assert_array_equal(ours, whole[top : top + 32, left : left + 32])
    assert images.sources == frames.sources
    assert images.scenes == frames.scenes == {path.parent.name for path in frames.frames}
    assert images.scene(4) == frames.scene(0)
    with h5py.File(out) as file:  # and any other program reads it too
        stored = file["noisy"]
        assert isinstance(stored, h5py.Dataset)
        np.testing.assert_array_equal(stored[4], images.noisy(4))
    few = Prepared(root=str(tmp_path), first=3)
    assert (few.name, len(few.names)) == ("sidd_medium-patch32-frames6-first3", 3)
    assert few.fingerprint != images.fingerprint
    written = out.stat().st_mtime_ns
    prepare(frames, out, patch=32)
    assert out.stat().st_mtime_ns == written
    assert sorted(path.name for path in out.parent.glob("[!.]*")) == ["Data", "sidd_medium.h5"]


def test_an_interrupted_preparation_does_not_count_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = SIDDMedium(root=str(make_frames(tmp_path)))
    out = tmp_path / "SIDD" / "sidd_medium.h5"
    whole = prepare(frames, tmp_path / "whole.h5", patch=32).read_bytes()
    cut, seen = prepared._cut, list[int]()

    def dies(frames: SIDDMedium, index: int, plan: Any, arrays: Any) -> None:
        if index == 4 and len(seen) < 5:
            arrays["noisy"][-1] = 7  # half of a frame
            seen.append(-1)
            raise KeyboardInterrupt
        seen.append(index)
        cut(frames, index, plan, arrays)

    monkeypatch.setattr(prepared, "_cut", dies)
    with pytest.raises(KeyboardInterrupt):
        prepare(frames, out, patch=32)
    assert not out.exists()
    with pytest.raises(FileNotFoundError, match="data prepare"):
        Prepared(root=str(tmp_path))
    prepare(frames, out, patch=32)
    assert seen == [0, 1, 2, 3, -1, 4, 5]
    assert out.read_bytes() == whole


def test_damaged_preparations_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = SIDDMedium(root=str(make_frames(tmp_path, scenes=1)))
    out = prepare(frames, tmp_path / "SIDD" / "sidd_medium.h5", patch=32)
    out.write_bytes(out.read_bytes()[:-3000])
    with pytest.raises(ValueError, match=r"sidd_medium\.h5.*denoisebench data prepare sidd_medium"):
        Prepared(root=str(tmp_path))
    with pytest.raises(ValueError, match="as large as a patch"):
        prepare(frames, out, patch=128)
    frames.frames[1].write_bytes(frames.frames[1].read_bytes()[:-100])
    with pytest.raises(ValueError, match=re.escape(str(frames.frames[1]))):
        prepare(frames, tmp_path / "other.h5", patch=32)
    assert not (tmp_path / "other.h5").exists()
    monkeypatch.setattr(prepared.shutil, "disk_usage", lambda path: prepared.shutil._ntuple_diskusage(1, 1, 1000))
    with pytest.raises(OSError, match="GiB are needed"):
        prepare(frames, tmp_path / "full.h5", patch=32)
    assert not list(tmp_path.glob("full.h5*"))


# ------------------------------------------------------------------------------------------- what trains


@pytest.mark.parametrize("train_set", ["sidd_validation", "transductive", "mixed", "sidd_medium_frames"])
@pytest.mark.parametrize("part", ["validation", "benchmark"])
def test_train_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train_set: str, part: Literal["validation", "benchmark"]
) -> None:
    root = make_blocks(make_blocks(make_frames(tmp_path)), "benchmark")
    prepare(SIDDMedium(root=str(root)), root / "SIDD" / "sidd_medium.h5", patch=32)
    monkeypatch.setenv("DENOISEBENCH_DATA", str(root))
    overrides = ["method=sdap", "budget=smoke", f"dataset=sidd_{part}", "noise=real", "dataset.blocks=1"]
    default = job_of(overrides)
    assert default.learning is not None
    assert default.learning.images.name == "sidd_medium-patch32-frames6"
    assert not default.learning.images.sources & default.test_set.sources
    job = job_of([*overrides, f"train_set={train_set}"])
    own = f"sidd_{part}-3x4x32x32-blocks1"
    assert job.learning is not None
    assert job.learning.images.name == {
        "sidd_validation": "sidd_validation-3x4x32x32", "transductive": own, "mixed": f"sidd_medium-patch32-frames6+{own}",
        "sidd_medium_frames": "sidd_medium_frames",
    }[train_set]  # fmt: skip
    shares = train_set in ("transductive", "mixed") or train_set == f"sidd_{part}"
    assert bool(job.learning.images.sources & job.test_set.sources) == shares


def test_blocks_exported_as_images_are_known_again(tmp_path: Path) -> None:
    images = SIDDBlocks(root=str(make_blocks(tmp_path)), blocks=1, crop=16)
    (tmp_path / "exported").mkdir()
    for name, pixels in (("noisy", blocks("ValidationNoisyBlocksSrgb")[1, 0]), ("other", blocks("x")[0, 0])):
        assert cv2.imwrite(str(tmp_path / "exported" / f"{name}.png"), pixels[..., ::-1])
    exported = Folder(noisy=str(tmp_path / "exported"))
    assert len(images.sources & exported.sources) == 1
    assert not SIDDBlocks(root=str(tmp_path), frames=[0]).sources & SIDDBlocks(root=str(tmp_path), frames=[1, 2]).sources


def test_joined_sets_keep_their_images_apart(tmp_path: Path) -> None:
    root = str(make_blocks(make_blocks(tmp_path), "benchmark"))
    first, second = SIDDBlocks(root=root, blocks=1), SIDDBlocks(part="benchmark", root=root)
    both = Joined(first, second)
    assert both.names[0] == f"{first.name}/0000_00"
    assert len(set(both.names)) == len(both.names) == 15
    assert (both.has_clean, both.has_noisy) == (False, True)
    np.testing.assert_array_equal(both.noisy(2), first.noisy(2))
    np.testing.assert_array_equal(both.noisy(14), second.noisy(11))
    assert both.size(14) == (32, 32)
    assert (both.scene(2), both.scene(14)) == (f"{first.name}/0002", f"{second.name}/0002")
    assert both.fingerprint != Joined(second, first).fingerprint
    with pytest.raises(ValueError, match="joined with itself"):
        Joined(first, first)
