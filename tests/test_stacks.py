"""Stacks: recognised, read and written by the slice, as a set and on the command line."""

import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from denoisebench.cli import main
from denoisebench.datasets.folder import Folder
from denoisebench.datasets.images import file_hash
from denoisebench.datasets.looks import Look, hash_of
from denoisebench.stacks.opening import stack_of
from denoisebench.stacks.stack import Stack, StackError
from photos import write_sharing_pages

VALUES = np.random.default_rng(0).integers(0, 60000, (2, 3, 40, 36)).astype(np.uint16)


def opened(path: Path, axes: str | None = None) -> Stack:
    stack = stack_of(path, axes)
    assert stack is not None
    return stack


def imagej(path: Path) -> None:
    tifffile.imwrite(path, VALUES, imagej=True, metadata={"axes": "TZYX", "spacing": 0.3, "unit": "um"}, resolution=(10, 10))


def virtual(path: Path) -> None:
    tifffile.imwrite(path, VALUES, imagej=True, truncate=True, metadata={"axes": "TZYX"})


def ome(path: Path) -> None:
    tifffile.imwrite(path, VALUES, ome=True, metadata={"axes": "TZYX", "PhysicalSizeX": 0.1}, compression="zlib")


def pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        for image in VALUES[0]:
            file.write(image, metadata=None, contiguous=False)


def numpy(path: Path) -> None:
    np.save(path, np.asfortranarray(VALUES[0].astype(">f4") / 65535))


def mrc(path: Path) -> None:
    mrcfile = pytest.importorskip("mrcfile", reason="the extra stacks is not installed")
    with mrcfile.new(path) as file:
        file.set_data(VALUES[0].astype(np.float32) / 65535)
        file.voxel_size = 1.5


def zarr(path: Path) -> None:
    library = pytest.importorskip("zarr", reason="the extra stacks is not installed")
    group = library.open_group(str(path), mode="w", zarr_format=2)
    for name, values in (("0", VALUES), ("1", VALUES[..., ::2, ::2])):
        array = group.create_array(name, shape=values.shape, chunks=(1, 1, 16, 16), dtype=values.dtype)
        array[...] = values
    levels = [{"path": "0"}, {"path": "1"}]
    group.attrs.update({"multiscales": [{"axes": [{"name": name} for name in "tzyx"], "datasets": levels}]})


KINDS: dict[str, tuple[Any, str]] = {
    "a.tif": (imagej, "TZYX"), "b.tif": (virtual, "TZYX"), "c.ome.tif": (ome, "TZYX"), "d.tif": (pages, "IYX"),
    "e.npy": (numpy, "IYX"), "f.mrc": (mrc, "ZYX"), "g.ome.zarr": (zarr, "TZYX"),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_slice_is_read_and_written_and_the_others_stay(tmp_path: Path, name: str) -> None:
    write, axes = KINDS[name]
    write(tmp_path / name)
    stack = opened(tmp_path / name)
    assert stack.axes == axes
    assert stack.count == (6 if len(axes) == 4 else 3)
    expected = VALUES.reshape(-1, 40, 36)
    scale = 65535 if stack.dtype.kind == "f" else 1
    for number in range(stack.count):
        assert np.allclose(stack.read(number)[..., 0] * scale, expected[number], atol=0.01)
    copy = tmp_path / f"copy_{name}"
    (shutil.copytree if stack.path.is_dir() else shutil.copyfile)(stack.path, copy)
    other = stack.read(0)[::-1]
    stack.write(copy, 1, other)
    stack.finish(copy)
    again = opened(copy)
    assert np.array_equal(again.read(1), other)
    for number in {*range(stack.count)} - {1}:
        assert np.array_equal(again.read(number), stack.read(number))


def test_denoise_gives_stacks_back_as_they_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.tif", "c.ome.tif", "e.npy"):
        KINDS[name][0](tmp_path / name)
    out = tmp_path / "out"
    assert main(["denoise", str(tmp_path), "--out", str(out), "--method", "tv"]) == 0
    assert main(["denoise", str(tmp_path), "--out", str(out), "--method", "tv"]) == 0
    assert "3 done before" in capsys.readouterr().out
    for name in ("a.tif", "c.ome.tif"):
        with tifffile.TiffFile(tmp_path / name) as before, tifffile.TiffFile(out / name) as after:
            assert before.series[0].axes == after.series[0].axes
            assert before.imagej_metadata == after.imagej_metadata
            assert before.ome_metadata == after.ome_metadata
            tags = [{tag.name: tag.value for tag in file.pages.first.tags if "Strip" not in tag.name} for file in (before, after)]
            assert tags[0] == tags[1]
            values = after.asarray()
        assert values.dtype == np.uint16
        assert (values.reshape(6, -1).std(1) < VALUES.reshape(6, -1).std(1)).all()
    assert np.array_equal(tifffile.imread(out / "a.tif"), tifffile.imread(out / "c.ome.tif"))
    assert not list(out.glob(".*.part"))


def test_denoise_keeps_what_headers_and_attributes_say(tmp_path: Path) -> None:
    library = pytest.importorskip("zarr", reason="the extra stacks is not installed")
    mrcfile = pytest.importorskip("mrcfile", reason="the extra stacks is not installed")
    (tmp_path / "in").mkdir()
    for name in ("f.mrc", "g.ome.zarr"):
        KINDS[name][0](tmp_path / "in" / name)
        assert main(["denoise", str(tmp_path / "in" / name), "--out", str(tmp_path / "out"), "--method", "tv"]) == 0
    with mrcfile.open(tmp_path / "in" / "f.mrc") as before, mrcfile.open(tmp_path / "out" / "f.mrc") as after:
        changed = {
            field for field in before.header.dtype.names if before.header[field].tobytes() != after.header[field].tobytes()
        }
        assert changed <= {"dmin", "dmax", "dmean", "rms"}
        assert float(after.voxel_size.x) == 1.5
        assert float(after.header.rms) == pytest.approx(float(after.data.std(dtype=np.float64)), rel=1e-4)
        assert after.data.dtype == np.float32
        assert after.data.std() < before.data.std()
    before, after = (library.open_group(str(tmp_path / side / "g.ome.zarr"), mode="r") for side in ("in", "out"))
    assert before.attrs.asdict() == after.attrs.asdict() != {}
    for level in ("0", "1"):
        assert (before[level].chunks, before[level].dtype) == (after[level].chunks, after[level].dtype)
    whole, smaller = (np.asarray(after[level]).astype(float) for level in ("0", "1"))
    assert whole.std() < VALUES.std()
    halves = whole.reshape(2, 3, 20, 2, 18, 2).mean((3, 5))
    assert np.abs(smaller - halves).max() <= 0.5


def test_slices_are_images_and_a_stack_is_a_scene(tmp_path: Path) -> None:
    for side in ("clean", "noisy"):
        (tmp_path / side).mkdir()
        tifffile.imwrite(tmp_path / side / "s.tif", VALUES[0], photometric="minisblack", metadata={"axes": "TYX"})
        tifffile.imwrite(tmp_path / side / "plain.tif", VALUES[1, 0])
    images = Folder(str(tmp_path / "clean"), str(tmp_path / "noisy"), channels=1)
    assert images.names == ("plain", "s/t0", "s/t1", "s/t2")
    assert [images.scene(index) for index in range(4)] == ["plain", "s", "s", "s"]
    assert np.array_equal(images.noisy(2)[..., 0], VALUES[0, 1])
    alone = Folder(str(tmp_path / "clean" / "plain.tif"), str(tmp_path / "noisy" / "s.tif"), channels=1)
    assert alone.names == ("s/t0", "s/t1", "s/t2")
    assert np.array_equal(alone.clean(2)[..., 0], VALUES[1, 0])


def test_a_stack_is_never_whole_in_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((64, 128, 128), np.float32))
    images = Folder(noisy=str(tmp_path / "a.npy"), channels=1)
    tracemalloc.start()
    for index in range(len(images.names)):
        images.noisy(index)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 128 * 128 * 4  # of 64 slices


def ragged(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        for side in (40, 30):
            file.write(VALUES[0, 0, :side], metadata=None)


def cut(path: Path) -> None:
    imagej(path)
    path.write_bytes(path.read_bytes()[:-9000])


@pytest.mark.parametrize(
    ("name", "write", "said"),
    [
        ("a.tif", ragged, "slices of different sizes"),
        ("a.tif", cut, "cut off"),
        ("a.npy", lambda path: np.save(path, VALUES), "does not say which they are.*--axes TZYX"),
        ("a.npy", lambda path: np.save(path, VALUES[0].astype(complex)), "complex.*float32"),
        ("a.npy", lambda path: np.save(path, VALUES[0].astype(np.int64)), "64-bit integers.*uint16"),
        ("a.npy", lambda path: np.save(path, VALUES[0, :0]), "no image"),
        ("a.npy", lambda path: path.write_bytes(b""), "empty"),
    ],
)
def test_what_is_no_stack_is_refused_with_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, write: Any, said: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(StackError, match=said):
        stack_of(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name}: .*{said}"):
        Folder(noisy=str(tmp_path), channels=1)
    assert main(["denoise", str(tmp_path / name), "--method", "tv"]) == 1
    assert name in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [name]


def test_axes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    assert opened(tmp_path / "a.npy", "TZYX").label(4) == "t1_z1"
    for axes in ("TYX", "THYX", "TTYX", "TZCY"):
        with pytest.raises(StackError, match="axes"):
            stack_of(tmp_path / "a.npy", axes)


FOUR = np.random.default_rng(1).random((40, 36, 4), np.float32)


def four_samples(path: Path, extra: str) -> None:
    with tifffile.TiffWriter(path) as file:
        for _ in range(2):
            file.write(
                FOUR, metadata=None, contiguous=False, photometric="minisblack", planarconfig="contig", extrasamples=[extra] * 3
            )


def test_a_fourth_sample_is_no_alpha_unless_the_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "a.npy", FOUR)
    four_samples(tmp_path / "b.tif", "unspecified")
    np.save(tmp_path / "c.npy", FOUR[..., :2])
    for name, axes, said in (
        ("a.npy", None, r"4 samples in a pixel, and does not say that the last is alpha: .*--axes YXC"),
        ("b.tif", None, r"4 samples in a pixel, and does not say that the last is alpha"),
        ("c.npy", "YXS", r"2 samples in a pixel, and does not say that the last is alpha: .*--axes YXC"),
    ):
        with pytest.raises(StackError, match=said):
            stack_of(tmp_path / name, axes)
    with pytest.raises(StackError, match="that the last is alpha: save each as a slice of its own"):
        stack_of(tmp_path / "b.tif")  # --axes IYXC would be refused: its pages hold the samples together
    assert main(["denoise", str(tmp_path / "a.npy"), "--method", "tv", "--out", str(tmp_path / "out")]) == 1
    assert "--axes YXC" in capsys.readouterr().err
    assert main(["denoise", str(tmp_path / "a.npy"), "--method", "tv", "--out", str(tmp_path / "out"), "--axes", "YXC"]) == 0
    denoised = np.load(tmp_path / "out" / "a.npy")
    assert [bool((denoised[..., channel] != FOUR[..., channel]).any()) for channel in range(4)] == [True] * 4


def test_a_fourth_sample_that_is_alpha_stays(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for _ in range(2):
            file.write(FOUR, metadata=None, contiguous=False, photometric="rgb", extrasamples=["unassalpha"])
    assert main(["denoise", str(tmp_path / "a.tif"), "--method", "tv", "--out", str(tmp_path / "out")]) == 0
    for page in range(2):
        denoised = tifffile.imread(tmp_path / "out" / "a.tif", key=page)
        assert np.array_equal(denoised[..., 3], FOUR[..., 3])
        assert (denoised[..., :3] != FOUR[..., :3]).any()


def test_an_unchanged_folder_is_not_hashed_again_and_a_changed_one_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a.zarr"
    (folder / "0").mkdir(parents=True)
    for name in (".zarray", "0/0", "0/1"):
        (folder / name).write_text(name)
    first, hashes = file_hash(folder), []
    with monkeypatch.context() as patch:
        patch.setattr("denoisebench.datasets.images.files_below", lambda *_: pytest.fail("it is walked and hashed again"))
        assert file_hash(folder) == first
    for change in (
        lambda: (folder / "0/1").write_text("0/2"),
        lambda: (folder / "0/3").write_text("0/3"),
        lambda: (folder / "0/0").unlink(),
    ):
        change()
        hashes.append(file_hash(folder))
    assert len({first, *hashes}) == 4


def test_files_that_links_of_a_folder_lead_to_are_hashed(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "a.zarr", tmp_path / "big_disk"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "0").write_text("a chunk")
    (folder / "c").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    (folder / "itself").symlink_to("itself")
    linked = file_hash(folder)
    (elsewhere / "0").write_text("another chunk")
    assert file_hash(folder) != linked


def test_a_slice_of_a_zarr_folder_that_was_written_is_looked_at_again(tmp_path: Path) -> None:
    library = pytest.importorskip("zarr", reason="the extra stacks is not installed")
    array: Any = library.open_array(str(tmp_path / "a.zarr"), mode="w", shape=(2, 40, 36), chunks=(1, 40, 36), dtype="uint16")
    for value in (1, 2):
        array[:] = value
        _, seen = Folder(clean=str(tmp_path), channels=1).looks()["clean"]["a/i0"]
        assert seen == Look(hash_of(np.full((40, 36, 1), value, np.uint16)), value, value, deep=True)


def test_pages_that_share_their_stored_pixels_are_written_apart(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.tif", tmp_path / "b.tif"
    write_sharing_pages(path, [VALUES[0, 0], VALUES[0, 0], VALUES[0, 1]], "zlib")
    shutil.copyfile(path, copy)
    stack = opened(path)
    others = [np.full((40, 36, 1), value, np.uint16) for value in (1, 2)]
    for number, other in enumerate(others):
        stack.write(copy, number, other)
    for number, expected in enumerate([*others, VALUES[0, 1][..., None]]):
        assert np.array_equal(opened(copy).read(number), expected)


def test_a_plain_zarr_array_has_the_axes_of_the_same_numpy_array(tmp_path: Path) -> None:
    library = pytest.importorskip("zarr", reason="the extra stacks is not installed")
    for shape, axes in (((40, 36), "YX"), ((40, 36, 3), "YXS"), ((2, 40, 36), "IYX"), ((2, 40, 36, 3), "IYXS")):
        values = np.random.default_rng(0).random(shape, np.float32)
        np.save(tmp_path / "a.npy", values)
        array = library.create_array(str(tmp_path / "a.zarr"), shape=shape, dtype="float32", overwrite=True)
        array[...] = values
        stacks = [opened(tmp_path / name) for name in ("a.npy", "a.zarr")]
        assert [stack.axes for stack in stacks] == [axes, axes]
        assert np.array_equal(stacks[0].read(0), stacks[1].read(0))
    array = library.create_array(str(tmp_path / "a.zarr"), shape=(2, 3, 40, 36), dtype="float32", overwrite=True)
    with pytest.raises(StackError, match="does not say which they are"):
        stack_of(tmp_path / "a.zarr")


def test_slices_along_another_axis_are_other_images() -> None:
    np.save("volume.npy", np.random.default_rng(0).random((40, 40, 40), np.float32))
    first, other = (Folder(noisy="volume.npy", channels=1, axes=axes) for axes in ("ZYX", "YZX"))
    assert first.names == other.names
    assert not np.array_equal(first.noisy(0), other.noisy(0))
    assert first.fingerprint != other.fingerprint
