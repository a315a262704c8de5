"""Submissions: what independent readers find in a bundle is what was kept; what is wrong is caught before it is sent."""

import base64
import csv
import errno
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from denoisebench.cli import main
from denoisebench.datasets import dnd, sidd
from denoisebench.report.results import summarise
from denoisebench.report.rows import read_study
from denoisebench.store.files import write_atomic
from denoisebench.store.status import read_status
from denoisebench.submit.answers import record, scores_of
from denoisebench.submit.kept import in_8_bit, in_floats
from denoisebench.submit.kinds import KINDS
from denoisebench.submit.send import submit
from dnd_fixture import make_dnd
from sidd_fixture import SHAPE, make_blocks

FRAMES, BLOCKS, SIDE = SHAPE[:3]
RUNS = {
    "validation": ("dataset=sidd_validation", "protocol=[default,neighbor2neighbor]"),
    "benchmark": ("dataset=sidd_benchmark",),
    "subset": ("dataset=sidd_benchmark", "dataset.blocks=1"),
    "margin": ("dataset=dnd", "dataset.margin=3"),
    "whole": ("dataset=dnd", "dataset.mode=whole"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data sets of the published form in little, and a study with a cell of each of `RUNS`."""
    place = tmp_path_factory.mktemp("made")
    make_dnd(make_blocks(make_blocks(place / "data"), "benchmark"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("FRAMES", FRAMES), ("BLOCKS", BLOCKS), ("SIDE", SIDE)):
            patch.setattr(sidd, name, value)
        patch.setattr(dnd, "IMAGES", 2)
        patch.setattr(dnd, "SIDE", 16)
        patch.setenv("DENOISEBENCH_DATA", str(place / "data"))
        patch.chdir(place)
        for own in RUNS.values():
            assert main(["run", "method=tv", "noise=real", "pictures=0", *own]) == 0
        yield place


@pytest.fixture
def cell(made: Path, tmp_path: Path) -> Any:
    """A function from the name of a run to a copy of its cell that the test may spoil."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    folders = {"validation": "sidd_validation", "benchmark": "sidd_benchmark", "subset": "sidd_benchmark-blocks1"}
    folders |= {"margin": "dnd-margin3", "whole": "dnd-whole"}
    return lambda name: next(Path("runs/default/tv", folders[name], "real").iterdir())


def kept(folder: Path, image: str) -> np.ndarray:
    stored = cv2.imread(str(folder / "images" / f"{image}.png"), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    return stored[..., ::-1]


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def of_blocks(folder: Path) -> list[np.ndarray]:
    return [kept(folder, f"{frame:04d}_{block:02d}") for frame in range(FRAMES) for block in range(BLOCKS)]


# -------------------------------------------------------------------------------------------------- exact bundles


def test_casts_are_exact_where_they_can_be_and_round_elsewhere() -> None:
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(in_8_bit(every), np.floor(every / 257 + 0.5))
    np.testing.assert_array_equal(in_8_bit(np.arange(256, dtype=np.uint16) * 257), np.arange(256))
    floats = in_floats(every)
    assert (floats.dtype, floats[0], floats[-1]) == (np.float32, 0, 1)
    np.testing.assert_array_equal(np.round(floats.astype(float) * 65535), every)


def test_the_csv_is_that_of_kaggle(cell: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cell("benchmark")
    assert main(["submit", "sidd-kaggle", str(folder)]) == 0
    assert "12 pieces in uint8" in capsys.readouterr().out
    (path,) = (folder / "submission").iterdir()
    assert path.name == "SubmitSrgb.csv"
    limit = csv.field_size_limit(10**6)
    rows = list(csv.reader(path.read_text().splitlines()))
    csv.field_size_limit(limit)
    assert rows[0] == ["ID", "BLOCK"]
    assert [int(number) for number, _ in rows[1:]] == list(range(FRAMES * BLOCKS))
    images = of_blocks(folder)
    assert any((image % 257).any() for image in images)  # not 8 bit already: the rounding is tried
    for (_, block), image in zip(rows[1:], images, strict=True):
        sent = np.frombuffer(base64.b64decode(block), np.uint8).reshape(SIDE, SIDE, 3)
        np.testing.assert_array_equal(sent, np.floor(image / 257 + 0.5))


def test_the_mat_file_is_that_of_the_first_server(cell: Any, tmp_path: Path) -> None:
    folder = cell("benchmark")
    assert main(["submit", "sidd-mat", str(folder), "--out", str(tmp_path / "out"), "--authors", "Å. and B"]) == 0
    path = tmp_path / "out" / "SubmitSrgb.mat"
    assert path.read_bytes()[:10] == b"MATLAB 7.3"
    with h5py.File(path) as file:
        cell_array: Any = file["DenoisedBlocksSrgb"]
        assert (cell_array.shape, cell_array.attrs["MATLAB_class"]) == ((BLOCKS, FRAMES), b"cell")
        for number, image in enumerate(of_blocks(folder)):
            block: Any = file[cell_array[number % BLOCKS, number // BLOCKS]]
            assert (block.dtype, block.attrs["MATLAB_class"]) == (np.float32, b"single")
            np.testing.assert_array_equal(block[()].T, (image / 65535).astype(np.float32))
        rows = table(folder / "rows.csv")
        seconds = sum(float(row["seconds"]) for row in rows)
        megapixels: Any = file["TimeMPSrgb"]
        assert megapixels[0, 0] == pytest.approx(seconds * 1024**2 / (FRAMES * BLOCKS * SIDE**2))
        about: Any = file["OptionalData"]
        texts = {name: bytes(about[name][:, 0]).decode("utf-16-le") for name in about}
        assert texts == {"MethodName": "tv", "Authors": "Å. and B"}


@pytest.mark.parametrize("how", ["margin", "whole"])
def test_the_bundle_is_that_of_dnd(cell: Any, made: Path, how: str) -> None:
    folder = cell(how)
    assert len(list((folder / "images").iterdir())) == {"margin": 40, "whole": 2}[how]
    assert all(row["psnr_db"] == "" for row in table(folder / "rows.csv"))
    assert main(["submit", "dnd", str(folder)]) == 0
    assert sorted(path.name for path in (folder / "submission" / "bundled").iterdir()) == ["0001.mat", "0002.mat"]
    with h5py.File(made / "data" / "DND" / "dnd_2017" / "info.mat") as info:
        references: Any = info["info/boundingboxes"]
        boxes = [np.asarray(info[references[0, image]]).T.astype(int) for image in range(2)]
    for image in range(2):
        content = loadmat(folder / "submission" / "bundled" / f"{image + 1:04d}.mat")
        assert content["Idenoised"].shape == (1, 20)
        assert (content["israw"].item(), content["eval_version"].item()) == (0, "1.0")
        for number, (y1, x1, y2, x2) in enumerate(boxes[image]):
            name = f"{image + 1:04d}" + ("" if how == "whole" else f"_{number + 1:02d}")
            top, left = (0, 0) if how == "whole" else (max(y1 - 1 - 3, 0), max(x1 - 1 - 3, 0))
            expected = kept(folder, name)[y1 - 1 - top : y2 - top, x1 - 1 - left : x2 - left]
            crop = content["Idenoised"][0, number]
            assert (crop.shape, crop.dtype) == ((16, 16, 3), np.float32)
            np.testing.assert_array_equal(crop, (expected / 65535).astype(np.float32))


# ------------------------------------------------------------------------------------------------ wrong bundles


def _lines(path: Path, change: Any) -> None:
    head, *lines = path.read_text().splitlines(keepends=True)
    change(lines)
    path.write_text(head + "".join(lines))


def _swapped_blocks(lines: list[str]) -> None:
    (a, one), (b, other) = (lines[i].split(",") for i in (4, 7))
    lines[4], lines[7] = f"{a},{other}", f"{b},{one}"


def _one_value(lines: list[str]) -> None:
    number, block = lines[5].rstrip().split(",")
    values = bytearray(base64.b64decode(block))
    values[100] ^= 1
    lines[5] = f"{number},{base64.b64encode(values).decode()}\n"


def _swapped_lines(lines: list[str]) -> None:
    lines[4], lines[5] = lines[5], lines[4]


WRONG_CSV = {
    "not the pixels": _swapped_blocks, "expected 0001_00 as number 4, got number 5": _swapped_lines,
    "number 5: not the pixels of .*0001_01": _one_value, "got the end": lambda lines: lines.pop(),
    "more than 12": lambda lines: lines.append(lines[0]), "cannot be read back": lambda lines: lines.insert(3, "3,A\n"),
}  # fmt: skip


@pytest.mark.parametrize("said", WRONG_CSV)
def test_a_wrong_csv_is_caught_and_leaves_the_last_right_one(cell: Any, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    folder, kind = cell("benchmark"), KINDS["sidd-kaggle"]
    place = Path(submit("sidd-kaggle", folder).split()[1].rstrip(":"))
    right = place.read_bytes()

    def wrong(own: Any, path: Path, about: Any) -> None:
        kind.write(own, path, about)
        _lines(path, WRONG_CSV[said])

    monkeypatch.setitem(KINDS, "sidd-kaggle", replace(kind, write=wrong))
    with pytest.raises(ValueError, match=f"{re.escape(str(place))}.*{said}"):
        submit("sidd-kaggle", folder)
    assert [path.name for path in place.parent.iterdir()] == [place.name]
    assert place.read_bytes() == right


def _swap(one: Path, other: Path) -> None:
    aside = one.with_suffix(".aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def _change(path: Path, **values: Any) -> None:
    content = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    for name, value in values.items():
        content[name] = value(content[name])
    savemat(path, content)


def _in_double(boxes: np.ndarray) -> np.ndarray:
    for number, crop in enumerate(boxes[0]):
        boxes[0, number] = crop.astype(float)
    return boxes


WRONG_BUNDLE: dict[str, Any] = {
    "number 0: not the pixels": lambda path: _swap(path / "0001.mat", path / "0002.mat"),
    "number 20: not the pixels": lambda path: _change(path / "0002.mat", Idenoised=lambda boxes: boxes[:, ::-1]),
    "0001.mat is not of an sRGB bundle": lambda path: _change(path / "0001.mat", israw=lambda _: True),
    "expected .16, 16, 3. in float32": lambda path: _change(path / "0001.mat", Idenoised=_in_double),
    "got the end": lambda path: (path / "0002.mat").unlink(),
    r"is \(1, 19\)": lambda path: _change(path / "0002.mat", Idenoised=lambda boxes: boxes[:, 1:]),
}


@pytest.mark.parametrize("said", WRONG_BUNDLE)
def test_a_wrong_bundle_is_caught_and_leaves_nothing(cell: Any, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    folder, kind = cell("margin"), KINDS["dnd"]

    def wrong(own: Any, path: Path, about: Any) -> None:
        kind.write(own, path, about)
        WRONG_BUNDLE[said](path)

    monkeypatch.setitem(KINDS, "dnd", replace(kind, write=wrong))
    with pytest.raises(ValueError, match=f"bundled.*{said}"):
        submit("dnd", folder)
    assert not list((folder / "submission").iterdir())


# --------------------------------------------------------------------------------------------------- wrong cells


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["submit", *map(str, arguments)]) == 2
    assert not list(Path("runs").rglob("*.part"))
    return capsys.readouterr().err


def test_errors_name_the_file_and_the_way_out(cell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = cell("benchmark")
    assert "no such folder" in refusal(capsys, "dnd", "runs/nowhere")
    assert "no status.json" in refusal(capsys, "dnd", "runs/default")
    wrong = refusal(capsys, "dnd", folder)
    assert "a cell of sidd_benchmark, expected one of dnd" in wrong
    assert "denoisebench run method=tv pictures=0 dataset=dnd noise=real" in wrong
    assert "expected one of sidd_benchmark" in refusal(capsys, "sidd-kaggle", cell("whole"))
    assert "expected one of sidd_validation" in refusal(capsys, "sidd-kaggle", folder, "--dry-run")
    assert "not the whole of sidd_benchmark" in refusal(capsys, "sidd-mat", cell("subset"))
    image = folder / "images" / "0001_02.png"
    stored = image.read_bytes()
    image.write_bytes(stored[:-200])
    assert str(image) in refusal(capsys, "sidd-kaggle", folder)
    assert cv2.imwrite(str(image), np.zeros((SIDE, SIDE, 3), np.uint8))
    assert f"{image}: expected (32, 32, 3) in uint16" in refusal(capsys, "sidd-kaggle", folder)
    image.unlink()
    gone = refusal(capsys, "sidd-kaggle", folder)
    assert f"{image}: this kept image is gone" in gone
    assert "denoisebench run method=tv noise=real pictures=0 dataset=sidd_benchmark force=true" in gone
    image.write_bytes(stored)
    write_atomic(folder / "status.json", '{"state": "running"}')
    assert "this cell is running, not done" in refusal(capsys, "sidd-kaggle", folder)


def test_a_data_set_with_other_pixels_is_caught(cell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_blocks(tmp_path / "other", "benchmark")
    path = tmp_path / "other" / "SIDD" / "BenchmarkNoisyBlocksSrgb.mat"
    content = loadmat(path)["BenchmarkNoisyBlocksSrgb"]
    savemat(path, {"BenchmarkNoisyBlocksSrgb": content[::-1]})
    monkeypatch.setenv("DENOISEBENCH_DATA", str(tmp_path / "other"))
    with pytest.raises(ValueError, match="0000_00 of sidd_benchmark has other pixels"):
        submit("sidd-kaggle", cell("benchmark"))


def test_a_full_disk_leaves_nothing(cell: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, kind = cell("benchmark"), KINDS["sidd-kaggle"]

    def full(own: Any, path: Path, about: Any) -> None:
        path.write_text("ID,BLOCK\n")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setitem(KINDS, "sidd-kaggle", replace(kind, write=full))
        said = refusal(capsys, "sidd-kaggle", folder)
    assert "SubmitSrgb.csv: could not be written" in said
    assert "--out" in said
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 1000))
    assert "GiB are needed" in refusal(capsys, "sidd-kaggle", folder)
    assert not list((folder / "submission").iterdir())


def test_a_folder_of_other_files_is_not_replaced(cell: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tmp_path / "out" / "bundled" / "thesis.tex"
    precious.parent.mkdir(parents=True)
    precious.write_text("years")
    assert "other files than a bundle" in refusal(capsys, "dnd", cell("whole"), "--out", tmp_path / "out")
    assert precious.read_text() == "years"


# ------------------------------------------------------------------------------------------------------ dry runs


def test_a_dry_run_scores_what_would_be_sent(cell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder = cell("validation")
    rows = table(folder / "rows.csv")
    for kind, protocol in (("sidd-kaggle", "neighbor2neighbor"), ("sidd-mat", "default")):
        assert main(["submit", kind, str(folder), "--dry-run"]) == 0
        said = capsys.readouterr().out
        own = [row for row in rows if row["protocol"] == protocol]
        psnr_db, similarity = (np.mean([float(row[name]) for row in own]) for name in ("psnr_db", "ssim"))
        assert f"12 pieces as {kind} sends them: PSNR {psnr_db:.4f} dB, SSIM {similarity:.4f}" in said
    assert not list((folder / "submission").iterdir())
    assert main(["submit", "dnd", str(cell("whole")), "--dry-run"]) == 0
    assert "no clean images" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ servers' answers


def test_answers_stand_in_the_report_and_are_never_mixed(cell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name, psnr in (("margin", 37.5), ("whole", 38.25)):
        assert main(["submit", "dnd", str(cell(name)), "--result", f"psnr={psnr}", "ssim=0.9"]) == 0
    assert main(["submit", "sidd-kaggle", str(cell("benchmark")), "--result", "psnr=36.5"]) == 0
    assert main(["submit", "sidd-kaggle", str(cell("benchmark")), "--result", "ssim=0.88"]) == 0
    assert main(["submit", "sidd-mat", str(cell("benchmark")), "--result", "psnr=36.5", "ssim=0.93"]) == 0
    results = summarise(read_study(Path("runs/default")))
    found = {(r.dataset, r.protocol, r.psnr_db, r.ssim, r.images, r.tags) for r in results if r.scored_by == "server"}
    assert {each[:-1] for each in found} == {
        ("dnd", "server:dnd", 37.5, 0.9, 40), ("dnd", "server:dnd", 38.25, 0.9, 40),
        ("sidd_benchmark", "server:sidd-kaggle", 36.5, 0.88, 12), ("sidd_benchmark", "server:sidd-mat", 36.5, 0.93, 12),
    }  # fmt: skip
    assert {each[-1] for each in found if each[0] == "dnd"} == {"as_dnd-margin3", "as_dnd-whole"}
    local = [r for r in results if r.scored_by == "local"]
    assert all(r.psnr_db is None for r in local if r.dataset != "sidd_validation")
    assert len({r.method for r in results if r.protocol == "server:dnd"}) == 2
    capsys.readouterr()
    assert main(["report", "default"]) == 0
    report = Path("runs/default/report.md").read_text()
    for said in ("`server:dnd`", "38.25 / 0.9000", "scored by server", "as_dnd-whole", "`server:sidd-kaggle`"):
        assert said in report
    pairs = {(row["protocol"].startswith("server:"), row["scored_by"]) for row in table(Path("runs/default/results.csv"))}
    assert pairs == {(True, "server"), (False, "local")}


def test_answers_survive_other_protocols_and_new_computations(cell: Any) -> None:
    folder = cell("benchmark")
    command = ["run", "method=tv", "noise=real", "pictures=0", *RUNS["benchmark"]]
    record("sidd-kaggle", folder, ["psnr=36.5", "ssim=0.88"])

    def answer() -> Any:
        (own,) = (r for r in summarise(read_study(Path("runs/default"))) if r.scored_by == "server")
        return own.psnr_db, own.ssim, "computed_again_since" in own.tags

    assert main(command) == 0
    assert main([*command, "protocol=[default,apbsn]"]) == 0
    assert {row["protocol"] for row in table(folder / "rows.csv")} == {"default", "apbsn"}
    assert answer() == (36.5, 0.88, False)
    assert main([*command, "force=true"]) == 0
    assert read_status(folder)["state"] == "done"
    assert answer() == (36.5, 0.88, True)
    record("sidd-kaggle", folder, ["psnr=36.75"])  # of the new outputs: the old SSIM is not theirs
    assert answer() == (36.75, None, False)


@pytest.mark.parametrize("words", [["psnr"], ["psnr=x"], ["psnr=nan"], ["ssim=36"], ["mse=1"], ["psnr=1", "psnr=2"], ["psnr=0"]])
def test_answers_that_cannot_be_are_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="--result"):
        scores_of(words)


# -------------------------------------------------------------------------------- files before they are sent, on their own


def verdict(capsys: pytest.CaptureFixture[str], path: Path) -> tuple[int, str]:
    capsys.readouterr()
    code = main(["verify-submission", str(path)])
    said = capsys.readouterr()
    return code, said.out + said.err


@pytest.mark.parametrize(
    ("kind", "own", "name", "pieces"),
    [
        ("sidd-kaggle", "benchmark", "SubmitSrgb.csv", "12 pieces of 32 x 32 x 3 in uint8"),
        ("sidd-mat", "benchmark", "SubmitSrgb.mat", "12 pieces of 32 x 32 x 3 in float32"),
        ("dnd", "whole", "bundled", "40 pieces of 16 x 16 x 3 in float32"),
    ],
)
def test_what_submit_writes_is_complete_and_cut_short_is_not(
    cell: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, own: str, name: str, pieces: str
) -> None:
    assert main(["submit", kind, str(cell(own)), "--out", str(tmp_path / "out")]) == 0
    path = tmp_path / "out" / name
    code, said = verdict(capsys, path)
    assert code == 0, said
    assert f"{path}: {kind}, {pieces}" in said
    code, said = verdict(capsys, path.rename(path.with_name(f"mine{path.suffix}")))
    assert (code, f"rename it {name} before" in said) == (0, True)
    path = path.with_name(f"mine{path.suffix}")
    cut = path / "0002.mat" if path.is_dir() else path
    cut.write_bytes(cut.read_bytes()[:-2])  # a last line may lack its end
    code, said = verdict(capsys, path)
    assert code > 0
    assert any(f"{path}{text}" in said for text in (": cut off or damaged", ", number 11: ", ": 0002.mat cannot be read"))
    assert "denoisebench submit" in said


@pytest.mark.parametrize("said", ["expected number 4, got number 5", "expected number 11, got the end: 11 of 12", "more than 12"])
def test_a_csv_with_other_lines_is_told(cell: Any, capsys: pytest.CaptureFixture[str], said: str) -> None:
    changes = {
        "number 4": _swapped_lines,
        "number 11": lambda lines: lines.pop(),
        "than 12": lambda lines: lines.append(lines[0]),
    }
    path = Path(submit("sidd-kaggle", cell("benchmark")).split()[1].rstrip(":"))
    _lines(path, next(change for part, change in changes.items() if part in said))
    code, text = verdict(capsys, path)
    assert (code, said in text) == (1, True)


def test_a_csv_with_line_ends_of_windows_is_told(cell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(submit("sidd-kaggle", cell("benchmark")).split()[1].rstrip(":"))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    code, text = verdict(capsys, path)
    assert (code, f"denoisebench: {path}: its lines end in CRLF, expected LF alone; write it again" in text) == (1, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("3,AAAA\n", "number 3: expected (32, 32, 3)"), ("3,AAAAAAAA\n", "after line 4: 6 bytes of number '3' are no"),
        ("x,AAAA\n", "of number 'x'"), ("3,A\n", "cut off or damaged ("), ("3,\n", "number 3: expected (32, 32, 3)"),
    ],
)  # fmt: skip
def test_a_csv_with_a_damaged_line_is_told(cell: Any, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    path = Path(submit("sidd-kaggle", cell("benchmark")).split()[1].rstrip(":"))
    _lines(path, lambda lines: lines.__setitem__(3, line))
    code, text = verdict(capsys, path)
    assert (code, said in text) == (1, True), text


def a_mat(path: Path, kind: str = "Raw", change: Any = None, **variables: Any) -> Path:
    """As MATLAB saves one with -v7.3. change: of the blocks, {(frame, block): values}."""
    shape = (SIDE, SIDE) if kind == "Raw" else (3, SIDE, SIDE)
    blocks = {(f, b): np.full(shape, (f + b) / 10, np.float32) for f in range(FRAMES) for b in range(BLOCKS)}
    if change:
        change(blocks)
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_dataset(f"DenoisedBlocks{kind}", (BLOCKS, FRAMES), h5py.ref_dtype)
        for (frame, block), values in blocks.items():
            cells[block, frame] = file.create_dataset(f"#refs#/{frame}_{block}", data=values).ref
        file[f"TimeMP{kind}"] = [[0.5]]
        file.create_group("OptionalData")
        for name, value in variables.items():
            del file[name]
            if value is not None:
                file[name] = value
    with path.open("rb+") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM")
    return path


def _set(place: tuple[int, int], value: Any) -> Any:
    return lambda blocks: blocks.update({place: value(blocks[place])})


def _holes(block: np.ndarray) -> np.ndarray:
    block[0, :2] = np.nan, np.inf
    return block


def _in_grey_levels(block: np.ndarray) -> np.ndarray:
    return np.arange(block.size, dtype=np.float32).reshape(block.shape) % 256


WRONG_MAT: dict[str, tuple[Any, dict[str, Any]]] = {
    r"number 6: expected \(32, 32\) in float32, got \(32, 32\) in float64": (_set((1, 2), lambda b: b.astype(float)), {}),
    r"number 6: expected \(32, 32\) in float32, got \(31, 32\)": (_set((1, 2), lambda b: b[:, 1:]), {}),
    "number 4: 2 values are not finite": (_set((1, 0), _holes), {}),
    r"number 11: values from 0 to 255, expected \[0, 1\]": (_set((2, 3), _in_grey_levels), {}),
    r"number 0: values from -0\.01 to": (_set((0, 0), lambda b: b - np.float32(0.01)), {}),
    "without TimeMPRaw; the server expects DenoisedBlocksRaw, TimeMPRaw and OptionalData": (None, {"TimeMPRaw": None}),
    "without TimeMPRaw, OptionalData": (None, {"TimeMPRaw": None, "OptionalData": None}),
    "TimeMPRaw is not one number": (None, {"TimeMPRaw": [[1.0, 2.0]]}),
    "TimeMPRaw is not one number of seconds, 0 or above": (None, {"TimeMPRaw": [[np.nan]]}),
    "OptionalData is not a struct": (None, {"OptionalData": [[1.0]]}),
    r"is an array \(3, 4, 32, 32\) of float32, expected a cell array": (
        None, {"DenoisedBlocksRaw": np.zeros((32, 32, 4, 3), np.float32)}
    ),
}  # fmt: skip


@pytest.mark.parametrize("said", WRONG_MAT)
@pytest.mark.usefixtures("made")
def test_a_wrong_raw_file_is_named_with_the_piece(tmp_path: Path, capsys: pytest.CaptureFixture[str], said: str) -> None:
    change, variables = WRONG_MAT[said]
    path = a_mat(tmp_path / "SubmitRaw.mat", change=change, **variables)
    code, text = verdict(capsys, path)
    assert code == 1
    assert re.search(rf"{re.escape(str(path))}.*{said}", text)


@pytest.mark.usefixtures("made")
def test_files_as_matlab_writes_them_are_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verdict(capsys, a_mat(tmp_path / "SubmitRaw.mat"))
    assert code == 0, said
    assert "sidd-raw, 12 pieces of 32 x 32 in float32, values 0 to 0.5; complete\n" in said
    assert verdict(capsys, a_mat(tmp_path / "SubmitSrgb.mat", "Srgb"))[0] == 0


@pytest.mark.usefixtures("made")
def test_a_transposed_cell_array_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_mat(tmp_path / "SubmitRaw.mat")
    with h5py.File(path, "r+") as file:
        cells = np.asarray(file["DenoisedBlocksRaw"]).T
        del file["DenoisedBlocksRaw"]
        file.create_dataset("DenoisedBlocksRaw", data=cells, dtype=h5py.ref_dtype)
    code, said = verdict(capsys, path)
    assert (code, "has 4 x 3 cells, expected 3 x 4" in said) == (1, True)


@pytest.mark.usefixtures("made")
def test_an_empty_cell_and_one_without_a_plane_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = a_mat(tmp_path / "SubmitRaw.mat", change=_set((2, 1), lambda block: np.zeros(2, np.uint64)))  # as MATLAB saves []
    assert r"number 9: expected (32, 32) in float32, got (2,) in uint64" in verdict(capsys, path)[1]
    with h5py.File(path, "r+") as file:
        cells: Any = file["DenoisedBlocksRaw"]
        cells[3, 1] = h5py.Reference()
    code, said = verdict(capsys, path)
    assert (code, f"{path}: the cell of number 7 is empty; write it again" in said) == (1, True)


@pytest.mark.parametrize("kind", ["Raw", "Srgb"])
@pytest.mark.usefixtures("made")
def test_a_mat_file_cut_off_anywhere_or_with_a_torn_piece_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = a_mat(tmp_path / f"Submit{kind}.mat", kind)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, len(whole) // 23):
        path.write_bytes(whole[:length])
        code, said = verdict(capsys, path)
        assert code > 0
        assert str(path) in said
    for start in range(512, 8000, 600):
        path.write_bytes(whole[:start] + b"\xff" * 64 + whole[start + 64 :])
        assert str(path) in verdict(capsys, path)[1]
    last = np.full(16, 0.5, np.float32).tobytes()
    path.write_bytes(whole.replace(last, b"\xff" * 64, 1))
    assert "number 11: 16 values are not finite" in verdict(capsys, path)[1]


def _hole(boxes: np.ndarray) -> np.ndarray:
    boxes[0, 3][2, 2, 0] = np.nan
    return boxes


def _brighter(boxes: np.ndarray) -> np.ndarray:
    boxes[0, 19] = boxes[0, 19] + np.float32(1)
    return boxes


WRONG_FOLDERS: dict[str, Any] = {
    "number 23: 1 values are not finite": lambda path: _change(path / "0002.mat", Idenoised=_hole),
    r"number 39: values from 1.* to .*, expected \[0, 1\]": lambda path: _change(path / "0002.mat", Idenoised=_brighter),
    r"number 0: expected \(16, 16, 3\) in float32, got .* in float64": lambda path: _change(
        path / "0001.mat", Idenoised=_in_double
    ),
    "number 20: expected .* got ": lambda path: _change(path / "0002.mat", Idenoised=lambda boxes: np.zeros((1, 20))),
    "readme.txt stands at the place of 0003.mat": lambda path: (path / "readme.txt").touch(),
    "0002.mat stands at the place of 0001.mat": lambda path: (path / "0001.mat").unlink(),
    "number 20, got the end: 20 of 40": lambda path: (path / "0002.mat").unlink(),
    "0002.mat cannot be read: .*v7.3": lambda path: a_mat(path / "0002.mat"),
    "0001.mat is without Idenoised, israw, eval_version": lambda path: savemat(path / "0001.mat", {"x": 1}),
}


@pytest.mark.parametrize("said", WRONG_FOLDERS)
def test_a_wrong_folder_of_dnd_is_named_with_the_piece(cell: Any, capsys: pytest.CaptureFixture[str], said: str) -> None:
    assert main(["submit", "dnd", str(cell("whole"))]) == 0
    path = cell("whole") / "submission" / "bundled"
    WRONG_FOLDERS[said](path)
    code, text = verdict(capsys, path)
    assert code == 1
    assert re.search(rf"bundled.*{said}", text)


def _foreign_mat(path: Path) -> None:
    a_mat(path)
    with h5py.File(path, "r+") as file:
        file.move("DenoisedBlocksRaw", "x")


def _inside(path: Path) -> None:
    path.mkdir()
    (path / "SubmitRaw.mat").touch()


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "no such file or folder"),
        (lambda path: path.touch(), "empty. Known are SubmitSrgb.csv, SubmitSrgb.mat, SubmitRaw.csv, SubmitRaw.mat, bundled"),
        (lambda path: path.write_text("image,psnr\n"), "not a submission. Known are"),
        (lambda path: path.write_bytes(a_mat(path).read_bytes()[:5000]), "cut off or damaged"),
        (lambda path: savemat(path, {"DenoisedBlocksRaw": np.zeros(3)}, appendmat=False), "MATLAB v5 file.*v7.3"),
        (_foreign_mat, "it holds OptionalData, TimeMPRaw, x, expected one of DenoisedBlocksSrgb, DenoisedBlocksRaw"),
        (lambda path: path.mkdir(), "a folder without 0001.mat"),
        (_inside, r"Give .*SubmitRaw\.mat"),
    ],
)
def test_what_is_no_submission_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], write: Any, said: str) -> None:
    path = tmp_path / "what"
    write(path)
    code, text = verdict(capsys, path)
    assert code == 2
    assert re.search(rf"denoisebench: {re.escape(str(path))}: .*{said}", text)
