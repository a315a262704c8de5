"""Stacks larger than the memory there is, and kills while one is denoised: each in a process of its own."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from denoisebench.cli import main
from denoisebench.photographs.record import LEFT_OVER
from test_stacks import KINDS, opened

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and kills processes as Linux does")

SLICES, SIDE = 128, 512  # 64 MiB in 16 bit
LIMITED = """
import json, resource, sys, threading
from pathlib import Path
from denoisebench.cli import main

MIB = 2**20
threading.stack_size(MIB // 4)  # they count as data
warm, work = json.loads(sys.argv[1])
assert main(warm) == 0  # the same for a small stack: imports, threads
[line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData")]
limit = int(line.split()[1]) * 1024 + 40 * MIB
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    bytearray(64 * MIB)
except MemoryError:
    raise SystemExit(main(work))
raise SystemExit("there is room for the whole stack")
"""


def stack(slices: int) -> np.ndarray:
    """(slices, SIDE, SIDE) in 16 bit, each slice with a square of its own in noise."""
    values = np.random.default_rng(0).integers(20000, 30000, (slices, SIDE, SIDE)).astype(np.uint16)
    for number in range(slices):
        values[number, number : number + 64, :64] += 20000
    return values


def as_numpy(path: Path, values: np.ndarray) -> None:
    np.save(path, values)


def as_imagej(path: Path, values: np.ndarray) -> None:
    tifffile.imwrite(path, values, imagej=True, metadata={"axes": "TYX"})


def as_pages(path: Path, values: np.ndarray) -> None:
    with tifffile.TiffWriter(path) as file:
        for image in values:
            file.write(image, metadata=None, contiguous=False, compression="zlib", compressionargs={"level": 1})


def as_mrc(path: Path, values: np.ndarray) -> None:
    mrcfile = pytest.importorskip("mrcfile", reason="the extra stacks is not installed")
    with mrcfile.new(path) as file:
        file.set_data(values)


def as_zarr(path: Path, values: np.ndarray) -> None:
    zarr = pytest.importorskip("zarr", reason="the extra stacks is not installed")
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", shape=values.shape, chunks=(4, 256, 256), dtype=values.dtype)[...] = values
    group.attrs.update({"multiscales": [{"axes": [{"name": name} for name in "tyx"], "datasets": [{"path": "0"}]}]})


WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "a.npy": as_numpy, "a.tif": as_imagej, "pages.tif": as_pages, "a.mrc": as_mrc, "a.ome.zarr": as_zarr,
}  # fmt: skip
IN_CI = ("a.npy", "pages.tif")
LEFT_OUT_OF_CI = (pytest.mark.slow, pytest.mark.long)


def limited(warm: list[str], work: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", LIMITED, json.dumps([warm, work])], capture_output=True, text=True)


@pytest.fixture
def films(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """A name -> a stack of two slices, and one that does not fit into the memory of a limited process."""

    def made(name: str) -> tuple[Path, Path]:
        paths = tmp_path / "small" / name, tmp_path / "large" / name
        for path, slices in zip(paths, (2, SLICES), strict=True):
            path.parent.mkdir()
            WRITERS[name](path, stack(slices))
        return paths

    return made


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name if name in IN_CI else pytest.param(name, marks=pytest.mark.long) for name in WRITERS])
def test_a_stack_larger_than_memory_is_denoised(films: Callable[[str], tuple[Path, Path]], tmp_path: Path, name: str) -> None:
    small, large = films(name)
    own = ["denoise", "--method", "wavelet", "--out"]
    done = limited(*([*own, str(tmp_path / "out" / path.parent.name), str(path)] for path in (small, large)))
    assert done.returncode == 0, done.stderr
    before, after = opened(large), opened(tmp_path / "out" / "large" / name)
    assert (after.axes, after.shape, after.dtype) == (before.axes, before.shape, before.dtype)
    for number in (0, 1, SLICES - 1):
        noisy, denoised = before.read(number)[..., 0].astype(float), after.read(number)[..., 0].astype(float)
        assert denoised[200:, 200:].std() < 0.6 * noisy[200:, 200:].std()
        assert abs(denoised[number + 8 : number + 56, 8:56].mean() - 45000) < 500  # its own square


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_of_a_stack_larger_than_memory(films: Callable[[str], tuple[Path, Path]]) -> None:
    small, large = films("a.npy")
    own = ["run", "method=wavelet", "noise=gaussian25", "dataset=folder", "dataset.channels=1", "trainer=cpu", "pictures=0"]
    own.append("dataset.crop=256")  # of each slice that was read: scores of whole ones take more than the limit
    done = limited(*([*own, f"dataset.clean={path}", f"study={path.parent.name}"] for path in (small, large)))
    assert done.returncode == 0, done.stderr
    [rows] = Path().glob("runs/large/**/rows.csv")
    assert len(rows.read_text().splitlines()) == 1 + SLICES


# --------------------------------------------------------------------------------------------------------------- kills

KILLED = """
import importlib, os, signal, sys
from denoisebench.cli import main

module, owner, name, count = sys.argv[1:5]
place = importlib.import_module(module)
place = getattr(place, owner) if owner else place
real, calls = getattr(place, name), []

def killing(*own, **named):
    calls.append(own)
    if len(calls) == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*own, **named)

setattr(place, name, killing)
main(sys.argv[5:])
"""
MOMENTS = {
    "at the first slice": ("denoisebench.stacks.stack", "Stack", "write", "1"),
    "in the middle": ("denoisebench.stacks.stack", "Stack", "write", "4"),
    "when it is whole, and unknown": ("denoisebench.photographs.record", "Record", "add", "1"),
    "when it is known, and not at its place": ("os", "", "replace", "2"),
}


def bytes_of(path: Path) -> dict[str, bytes]:
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    return {str(one.relative_to(path)): one.read_bytes() for one in files}


@pytest.mark.parametrize(
    ("name", "moment", "before"),
    [
        pytest.param("a.tif", "in the middle", True, marks=pytest.mark.slow),
        *(pytest.param("a.tif", moment, False, marks=LEFT_OUT_OF_CI) for moment in MOMENTS),
        pytest.param("a.tif", "when it is known, and not at its place", True, marks=LEFT_OUT_OF_CI),
        pytest.param("c.ome.tif", "in the middle", False, marks=pytest.mark.slow),
        pytest.param("g.ome.zarr", "in the middle", True, marks=pytest.mark.slow),
    ],
)
def test_a_kill_leaves_no_half_of_a_stack(tmp_path: Path, name: str, moment: str, before: bool) -> None:
    """And the same command makes it whole; an earlier output stays until then."""
    KINDS[name][0](tmp_path / name)
    out = tmp_path / "out"
    own = ["denoise", str(tmp_path / name), "--method", "tv", "--out"]
    assert main([*own, str(tmp_path / "undisturbed")]) == 0
    earlier = {}
    if before:
        assert main(["denoise", str(tmp_path / name), "--method", "noisy", "--out", str(out)]) == 0
        earlier = bytes_of(out / name)
    killed = subprocess.run([sys.executable, "-c", KILLED, *MOMENTS[moment], *own, str(out), "--force"], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if before:
        assert bytes_of(out / name) == earlier
    else:
        assert not (out / name).exists()
    [left] = [path for path in out.iterdir() if LEFT_OVER.fullmatch(path.name)]
    assert left.is_dir() is (tmp_path / name).is_dir()
    assert main([*own, str(out), *(["--force"] if before else [])]) == 0
    assert bytes_of(out / name) == bytes_of(tmp_path / "undisturbed" / name)
    assert {path.name for path in out.iterdir()} == {name, ".denoisebench"}
