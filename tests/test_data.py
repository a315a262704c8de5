"""The verb `data`: what comes from a server that fails, from an archive that means harm, and what reading it all finds."""

import contextlib
import errno
import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from denoisebench import config
from denoisebench.cli import main
from denoisebench.datasets import catalogue, download, verify
from denoisebench.datasets.catalogue import CATALOGUE, Entry, Part
from denoisebench.datasets.unpack import unpack
from test_sidd import make_blocks, make_frames

NAMES = ("a.png", "b.png", "c.png")
# SHA-256 of `sha256sum` lists, as published.md prints them for the copies in repositories.
PUBLISHED = {
    "polyu": "b7a76163105480bbf4e3172cde016f2d3e43d81dbfd006cf4cc3c6ae2cc5a2dd",
    "cbsd68": "d48610cef35fee337622679eaa7ea27be8809057402a51a88f713f229e39bb18",
    "cbsd68_noisy15": "fee5f22933f39928076f653ced3b78f2c3f120e78878fd84164eaf1f30a639de",
    "cbsd68_noisy25": "4f075ded37ea2ddb8a6b2a4ce40b29049929f979c73e6ce06730abc69286a49b",
    "cbsd68_noisy50": "b19c4ee49d590ce1017557d43452e30890b34a0e7f1446ada1f14159f353692a",
    "kodak": "3eaa5bd52eb8c894d351cf607028f5d3d80e778fd0267eeff8c73d66539a25d5",
    "bsd300": "dd214c9ab81cb5743d0bb95aea41e7ca7b25baf8309da7b90bf4f8d42dfb0b7e",
    "set12": "9882b0bb611c6b511fce0fffe533ce92db96202de165317304b409e6176ee5b9",
    "bsd68": "7db47364c17c50e5bfad018afe5dd55a89a863134adcaedfff4bcec1347ad3cc",
    "mcmaster": "63ecac5a3b32f22f322a4243cfd2bf4bca8b5f5c3c20ec1f55142d32b85782eb",
    "set14": "1f6965e438692b42467407b3c760e16fd669b172fe0ea80b6cd2d2c72d0fe368",
}
PUBLISHED_CC = {
    "_mean.png": "4cf8fb4f1a8a2214d4c28d3382afea1feaec337c5789c485b722fdf806ca1a3c",
    "_real.png": "3f7a7a81acd71af7bae4cb1c1bc40391cfed656966b5e301ac32e49575405ca8",
}


def png(seed: int, side: int = 40) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


FILES = {name: png(seed) for seed, name in enumerate(NAMES)}


class Server(ThreadingHTTPServer):
    """Serves `files`; `drops` of a file: after so many bytes the connection ends, once for each."""

    files: dict[str, bytes]
    drops: dict[str, list[int]]
    busy: int = 0
    tags: bool = True
    oddly: dict[str, Callable[[BaseHTTPRequestHandler], None]]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.drops, self.asked, self.oddly = dict(FILES), {}, [], {}
        self.asked: list[tuple[str, str | None]]
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    server: Server  # type: ignore[assignment]

    def do_GET(self) -> None:
        name, server = self.path.removeprefix("/"), self.server
        wanted = self.headers.get("Range")
        server.asked.append((name, wanted))
        if server.busy:
            server.busy -= 1
            return self.send_error(503)
        if name not in server.files:
            return self.send_error(404)
        if name in server.oddly:
            return server.oddly[name](self)
        body = server.files[name]
        tag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'
        goes_on = wanted is not None and self.headers.get("If-Range") == tag
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if goes_on and wanted else 0
        self.send_response(206 if goes_on else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if server.tags:
            self.send_header("ETag", tag)
        self.end_headers()
        drops = server.drops.get(name)
        self.wfile.write(body[start : start + drops.pop(0)] if drops else body[start:])
        return None

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        """Silent."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of a set `small` of three images, whose checksums are known."""
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        sums: dict[str, str | None] = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
        part = Part("Small", sums, serving.url)
        monkeypatch.setitem(
            CATALOGUE, "small", Entry("three images", "http://small.page/", "free", 20000, (part,), sides=(40, 40))
        )
        monkeypatch.setattr(download, "PAUSES_S", (0.0, 0.0))
        monkeypatch.delenv("DENOISEBENCH_DATA", raising=False)
        try:
            yield serving
        finally:
            serving.shutdown()
            thread.join()


def left(root: Path) -> list[str]:
    """The files below a folder but locks."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".lock")


# --------------------------------------------------------------------------------------------------- download


def test_a_download_is_checked_counted_and_not_repeated(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "download", "small"]) == 0
    assert "3 files right, whole; the SHA-256 of each is the recorded one" in capsys.readouterr().out
    assert left(Path("data")) == [f"Small/{name}" for name in NAMES]
    assert stat.S_IMODE(Path("data/Small/a.png").stat().st_mode) == 0o666 & ~_umask()
    assert len(server.asked) == 3
    assert main(["data", "download", "small"]) == 0
    assert "all of it is here already" in capsys.readouterr().out
    assert len(server.asked) == 3


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_dropped_connection_goes_on_where_it_was(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "CHUNK", 100)
    server.drops = {"b.png": [1000, 500]}
    assert main(["data", "download", "small"]) == 0
    assert [wanted for name, wanted in server.asked if name == "b.png"] == [None, "bytes=1000-", "bytes=1500-"]
    assert Path("data/Small/b.png").read_bytes() == FILES["b.png"]


def test_without_a_version_it_begins_anew(server: Server) -> None:
    server.drops, server.tags = {"b.png": [1000]}, False
    assert main(["data", "download", "small"]) == 0
    assert [wanted for name, wanted in server.asked if name == "b.png"] == [None, None]


def test_a_busy_server_is_asked_again(server: Server) -> None:
    server.busy = 2
    assert main(["data", "download", "small"]) == 0


def test_what_keeps_dropping_is_told_and_what_came_before_stays(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.drops = {"b.png": [10, 10, 10]}
    assert main(["data", "download", "small"]) == 2
    told = capsys.readouterr().err
    for word in (server.url + "b.png", "goes on later", "http://small.page/", "data/Small/"):
        assert word in told
    assert left(Path("data")) == ["Small/a.png"]
    assert main(["data", "download", "small"]) == 0
    assert [name for name, _ in server.asked].count("a.png") == 1


def test_a_wrong_checksum_never_gets_into_place(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.files["b.png"] = png(99)
    assert main(["data", "download", "small"]) == 2
    told = capsys.readouterr().err
    assert "b.png: what came has another SHA-256 than " + hashlib.sha256(FILES["b.png"]).hexdigest() in told
    assert "Traceback" not in told
    assert left(Path("data")) == ["Small/a.png"]


def test_a_404_is_not_tried_again(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    del server.files["a.png"]
    assert main(["data", "download", "small"]) == 2
    assert "404" in capsys.readouterr().err
    assert len(server.asked) == 1
    assert left(Path("data")) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_told_and_leaves_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Path.open

    def full(self: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        return real(Path("/dev/full") if mode in ("wb", "ab") else self, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", full)
    assert main(["data", "download", "small"]) == 2
    told = capsys.readouterr().err
    assert os.strerror(errno.ENOSPC) in told
    assert "make room" in told
    assert left(Path("data")) == []
    assert len(server.asked) == 1


def test_too_little_room_is_told_before_anything_is_fetched(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: _Usage)
    assert main(["data", "download", "small"]) == 2
    assert "MiB are needed" in capsys.readouterr().err
    assert server.asked == []


class _Usage:
    free = 1


def endless(handler: BaseHTTPRequestHandler) -> None:
    """No length, and bytes until the other side hangs up."""
    handler.send_response(200)
    handler.end_headers()
    sent = 0
    with contextlib.suppress(OSError):
        while sent < 50 << 20:
            sent += handler.wfile.write(bytes(1 << 16))


def answering(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (endless, "sends more than 1068576 bytes, which no file of this set can have"),
        (answering(200, Content_Length="9999999999"), "sends more than 1068576 bytes"),
        (answering(200, Content_Length="abc"), "says Content-Length: abc"),
        (answering(302, Location="file:///etc/passwd"), "leads elsewhere"),
    ],
)
def test_an_odd_answer_is_told_as_what_it_is_at_once(
    answer: Any, told: str, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = [0]
    write = download.Resuming._write

    def watched(self: Any, response: Any, out: Path, start: int) -> None:
        try:
            write(self, response, out, start)
        finally:
            largest.append(out.stat().st_size)

    monkeypatch.setattr(download.Resuming, "_write", watched)
    server.oddly["a.png"] = answer
    assert main(["data", "download", "small"]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "SHA-256" not in said
    assert max(largest) <= 20000 + 2**20
    assert len(server.asked) == 1
    assert left(Path("data")) == []


def test_a_damaged_file_is_found_and_only_it_is_fetched_again(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "download", "small"]) == 0
    path = Path("data/Small/c.png")
    path.write_bytes(path.read_bytes()[:-50])
    Path("data/Small/a.png").unlink()
    capsys.readouterr()
    assert main(["data", "verify", "small"]) == 1
    told = capsys.readouterr().out
    for word in ("1 file right, 2 problems", "c.png: its SHA-256 is ", "a.png: missing", "denoisebench data download small"):
        assert word in told
    server.asked.clear()
    assert main(["data", "download", "small"]) == 0
    assert [name for name, _ in server.asked] == ["a.png", "c.png"]
    assert main(["data", "verify", "small"]) == 0


def test_leftovers_of_a_killed_download_are_taken_away(server: Server) -> None:
    Path("data/.small.unfinished").mkdir(parents=True)
    Path("data/.small.unfinished/tmp123").write_bytes(b"half")
    assert main(["data", "download", "small"]) == 0
    assert left(Path("data")) == [f"Small/{name}" for name in NAMES]


def test_a_root_that_cannot_be_written_is_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("no folder")
    assert main(["data", "download", "small", "--to", "file/below"]) == 2
    assert "--to data" in capsys.readouterr().err


def test_unchecked_files_are_checked_by_their_content(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "BLOCKS", (3, 4, 32, 32, 3))
    own = CATALOGUE["sidd_benchmark"]
    part = Part("SIDD", own.parts[0].files, server.url)
    monkeypatch.setitem(CATALOGUE, "sidd_benchmark", Entry(own.what, own.page, own.licence, 10**6, (part,), by_hand=own.by_hand))
    content = (make_blocks(Path("elsewhere"), "benchmark") / "SIDD" / "BenchmarkNoisyBlocksSrgb.mat").read_bytes()
    server.files["BenchmarkNoisyBlocksSrgb.mat"] = b"<html>moved</html>"
    assert main(["data", "download", "sidd_benchmark"]) == 2
    assert "what came is not the file" in capsys.readouterr().err
    assert left(Path("data")) == []
    server.files["BenchmarkNoisyBlocksSrgb.mat"] = content
    assert main(["data", "download", "sidd_benchmark"]) == 0
    told = capsys.readouterr().out
    assert "checksums unchecked: none is published" in told
    assert hashlib.sha256(content).hexdigest() in told


def test_sidd_s_validation_arrays_are_known_by_their_content_however_they_are_compressed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "BLOCKS", (3, 4, 32, 32, 3))
    make_blocks(Path("data"), "validation")
    names = [f"Validation{side}BlocksSrgb" for side in ("Noisy", "Gt")]
    arrays = {name: loadmat(f"data/SIDD/{name}.mat")[name] for name in names}
    for compressed in (False, True):
        for name, array in arrays.items():
            savemat(f"data/SIDD/{name}.mat", {name: array}, do_compression=compressed)
        monkeypatch.setattr(verify, "ARRAYS", {n: hashlib.sha256(a.tobytes("C")).hexdigest() for n, a in arrays.items()})
        assert main(["data", "verify", "sidd_validation"]) == 0
        assert "ValidationGtBlocksSrgb.mat: its array is the published one" in capsys.readouterr().out
    changed = arrays[names[1]].copy()
    changed[2, 1, 3, 3, 0] ^= 1
    savemat(f"data/SIDD/{names[1]}.mat", {names[1]: changed}, do_compression=True)
    assert main(["data", "verify", "sidd_validation"]) == 1
    assert "ValidationGtBlocksSrgb.mat: the SHA-256 of its array is" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------- the verb


@pytest.mark.parametrize("name", ["dnd", "sidd_medium"])
def test_what_must_be_fetched_by_hand_says_page_files_and_place(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "download", name, "--to", "mine"]) == 1
    told = capsys.readouterr().out
    wanted = {
        "dnd": ("https://noise.visinf.tu-darmstadt.de/", "mine/DND/dnd_2017/: info.mat", "0001.mat to 0050.mat (50 files)"),
        "sidd_medium": ("https://abdokamel.github.io/sidd/", "mine/SIDD/: Data/*/*_SRGB_0*.PNG", ".z01 to .z12"),
    }
    for word in (*wanted[name], "--from ARCHIVE"):
        assert word in told


def test_the_list_says_what_is_here(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delitem(CATALOGUE, "small")
    monkeypatch.setenv("DENOISEBENCH_DATA", str(make_frames(Path("mine"), 1)))
    assert main(["data", "list"]) == 0
    told = capsys.readouterr().out
    line = next(line for line in told.splitlines() if "sidd_medium" in line)
    assert "mine/SIDD" in line
    assert "by hand" in line
    assert "MIT" in line
    assert "looked for in mine, data" in told
    assert main(["data", "path", "sidd_medium"]) == 0
    assert capsys.readouterr().out.strip() == "mine/SIDD"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lst"], "did you mean list?"),
        (["download", "kodk"], "did you mean kodak?"),
        (["verify", "nowhere"], "Valid: photos"),
        (["path"], "name a data set"),
        (["path", "cc"], "data/CC"),
        (["prepare", "kodak"], "only sidd_medium"),
        (["prepare", "sidd_medium", "--patch", "x"], "--patch"),
        (["prepare", "sidd_medium"], "denoisebench data download sidd_medium"),
        (["download", "polyu", "--from", "none.zip"], "none.zip: no such file"),
        (["download", "polyu", "cc", "--from", "none.zip"], "one data set"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DENOISEBENCH_DATA", raising=False)
    assert main(["data", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_the_verb_needs_no_torch() -> None:
    code = "import sys; from denoisebench.cli import main; main(['data', 'list']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_prepare_and_verify_find_a_changed_patch(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(verify, "MEDIUM_FRAMES", 4)
    monkeypatch.setenv("DENOISEBENCH_DATA", str(make_frames(Path("mine"), 2)))
    assert main(["data", "prepare", "sidd_medium", "--patch", "32"]) == 0
    assert "train_set=sidd_medium" in capsys.readouterr().out
    assert main(["data", "verify", "sidd_medium"]) == 0
    assert "9 files right, whole" in capsys.readouterr().out  # four frames, four partners, the file of patches
    with h5py.File("mine/SIDD/sidd_medium.h5", "r+") as file:
        clean = file["clean"]
        assert isinstance(clean, h5py.Dataset)
        clean[7, 3, 3] ^= 1
    frame = next(Path("mine/SIDD/Data").glob("0002*/*_NOISY_SRGB_011.PNG"))
    frame.write_bytes(frame.read_bytes()[:3000])
    assert main(["data", "verify", "sidd_medium"]) == 1
    told = capsys.readouterr().out
    assert "the patches of 0001_NOISY_SRGB_011 are not those that were cut" in told
    assert frame.name in told


def test_a_folder_of_photographs_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    for name, content in FILES.items():
        (Path("mine") / name).write_bytes(content)
    assert main(["data", "verify", "mine"]) == 0
    Path("mine/b.png").write_bytes(FILES["b.png"][:500])
    capsys.readouterr()
    assert main(["data", "verify", "mine"]) == 1
    assert "mine, b: mine/b.png: cannot be read as an image" in capsys.readouterr().out


# -------------------------------------------------------------------------------------------------- archives


def anywhere(path: PurePosixPath) -> str:
    return f"out/{path}"


def make_zip(path: Path, members: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o777) << 16
            file.writestr(info, content)
    return path


def make_tar(path: Path, members: dict[str, bytes], kinds: dict[str, bytes] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type = (kinds or {}).get(name, tarfile.REGTYPE)
            info.linkname = "../../secret" if info.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            info.size = len(content) if info.isreg() else 0
            file.addfile(info, io.BytesIO(content))
    return path


def unpacked(archive: Path, limit: int = 10**6) -> list[Path]:
    return unpack(archive, anywhere, Path("to"), limit, lambda done, note: None)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_plain_files_come_out_without_their_rights(make: Any) -> None:
    out = unpacked(make(Path("a"), {"x/a.png": b"1", "b.png": b"22"}))
    assert [(str(path), path.read_bytes()) for path in out] == [("to/out/x/a.png", b"1"), ("to/out/b.png", b"22")]
    assert not any(path.stat().st_mode & 0o111 for path in out)


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:evil"])
def test_paths_that_lead_out_are_refused(make: Any, name: str, tmp_path: Path) -> None:
    before = left(tmp_path)
    with pytest.raises(ValueError, match="leads out"):
        unpacked(make(Path("a"), {name: b"evil"}))
    assert left(tmp_path) == [*before, "a"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind: bytes) -> None:
    with pytest.raises(ValueError, match="no plain file"):
        unpacked(make_tar(Path("a"), {"ok": b"1", "evil": b""}, {"evil": kind}))


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(mode: int) -> None:
    with pytest.raises(ValueError, match="link or no file"):
        unpacked(make_zip(Path("a"), {"evil": b"/etc/passwd"}, {"evil": mode | 0o777}))


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_bombs_and_doubles_and_damage_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="larger unpacked"):
        unpacked(make(Path("a"), {"bomb": bytes(10**6)}), limit=10**5)
    with pytest.raises(ValueError, match="two files for"):
        unpacked(make(Path("b"), {"x": b"1", "X": b"2"}))
    content = make(Path("c"), {name: np.random.default_rng(0).bytes(5000) for name in NAMES}).read_bytes()
    Path("d").write_bytes(content[: len(content) // 2])
    Path("e").write_bytes(content[:2000] + bytes(100) + content[2100:])
    for damaged in "de":
        shutil.rmtree("to", ignore_errors=True)
        with pytest.raises(ValueError, match=f"{damaged}: nothing of it is used"):
            unpacked(Path(damaged))


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("kind", ["skipped", "header"])
def test_what_is_passed_over_in_a_tar_is_bounded_too(compression: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open("a", f"w:{compression}") as file:  # type: ignore[call-overload]
        info = tarfile.TarInfo("readme")
        if kind == "header":
            info.pax_headers = {"comment": "x" * 10**7}
        else:
            info.size = 10**7
        file.addfile(info, io.BytesIO(bytes(10**7)))
        last = tarfile.TarInfo("a.png")
        file.addfile(last, io.BytesIO(b""))
    made = [0]
    read = tarfile.TarFile.next
    monkeypatch.setattr(tarfile.TarFile, "next", lambda self: (made.append(self.fileobj.tell()), read(self))[1])
    with pytest.raises(ValueError, match="a: nothing of it is used: it is larger unpacked"):
        unpack(Path("a"), lambda path: None, Path("to"), 10**5, lambda done, note: None)
    assert max(made) < 10**6
    assert unpack(Path("a"), lambda path: None, Path("to"), 10**7, lambda done, note: None) == []


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_an_archive_fetched_by_hand_is_taken_whole_or_not(make: Any, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    make(
        Path("good"), {"top/small/" + name: content for name, content in FILES.items()} | {"top/other/a.png": b"", "readme": b""}
    )
    bad = {"small/" + name: content for name, content in FILES.items()} | {"small/c.png": png(7)}
    make(Path("bad"), bad)
    make(Path("other"), {"readme": b""})
    for name, told in (("bad", "c.png: its SHA-256"), ("other", "no file of small in it")):
        assert main(["data", "download", "small", "--from", name]) == 2
        assert told in capsys.readouterr().err
        assert left(Path("data")) == []
    assert main(["data", "download", "small", "--from", "good"]) == 0
    assert left(Path("data")) == [f"Small/{name}" for name in NAMES]
    assert server.asked == []


def test_frames_of_medium_come_out_of_their_archive(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(download, "_enough_room", lambda root, needed: None)
    monkeypatch.setattr(verify, "MEDIUM_FRAMES", 2)
    frames = make_frames(Path("mine"), 1) / "SIDD" / "Data"
    content = {f"SIDD_Medium_Srgb/{path.relative_to(frames.parent)}": path.read_bytes() for path in frames.rglob("*.PNG")}
    archive = make_zip(Path("medium.zip"), {**content, "SIDD_Medium_Srgb/ReadMe.txt": b""})
    monkeypatch.delenv("DENOISEBENCH_DATA", raising=False)
    assert main(["data", "download", "sidd_medium", "--from", str(archive)]) == 0
    assert left(Path("data/SIDD")) == sorted(str(path.relative_to(frames.parent)) for path in frames.rglob("*.PNG"))


# ------------------------------------------------------------------------------------------------ the catalogue


def listed(name: str) -> str:
    return (Path(catalogue.__file__).parent / "checksums" / f"{name}.sha256").read_text(encoding="ascii")


@pytest.mark.parametrize("name", PUBLISHED)
def test_lists_of_checksums_are_the_published_ones(name: str) -> None:
    assert hashlib.sha256(listed(name).encode()).hexdigest() == PUBLISHED[name]
    assert len(listed(name).splitlines()) == sum(len(part.files) for part in CATALOGUE[name].parts)


@pytest.mark.parametrize("ending", PUBLISHED_CC)
def test_so_are_those_of_cc(ending: str) -> None:
    lines = [line for line in listed("cc").splitlines(keepends=True) if line.endswith(f"{ending}\n")]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == PUBLISHED_CC[ending]


def test_files_of_an_archive_find_their_place() -> None:
    place = CATALOGUE["bsds500"].place
    assert place(PurePosixPath("BSR/BSDS500/data/images/train/8049.jpg")) == "BSDS500/train/8049.jpg"
    assert place(PurePosixPath("BSR/BSDS500/data/images/val/8049.jpg")) is None
    place = CATALOGUE["dnd"].place
    assert place(PurePosixPath("dnd_2017/info.mat")) == "DND/dnd_2017/info.mat"
    assert place(PurePosixPath("dnd_2017/images_srgb/0001.mat")) == "DND/dnd_2017/images_srgb/0001.mat"
    assert place(PurePosixPath("dnd_2017/images_raw/0001.mat")) is None


def test_every_data_set_of_the_configuration_is_in_the_catalogue() -> None:
    configured = set(config.groups()["dataset"]) - {"folder", "sidd_medium_frames"}
    assert configured <= set(CATALOGUE)
    assert {name for name in CATALOGUE if not name.startswith("cbsd68_noisy")} == configured


REAL = ("cbsd68", "kodak", "set14", "bsd300", "bsds500", "polyu", "set12", "bsd68", "mcmaster")


@pytest.mark.parametrize("name", REAL)
def test_the_real_sets_are_the_published_ones(name: str, data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", name]) == 0
    assert "the SHA-256 of each is the recorded one" in capsys.readouterr().out


@pytest.mark.parametrize(("folder", "count"), [("SIDD_val_5", 10), ("DND_patches", 33)])
def test_the_real_samples_can_be_read(folder: str, count: int, data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "verify", str(data_root / folder)]) == 0
    assert f"{count} files right, whole" in capsys.readouterr().out
