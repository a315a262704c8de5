"""Results whose code has changed since: told, tagged, computed again where that takes seconds."""

import csv
import importlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from denoisebench.cli import main
from denoisebench.store import code
from denoisebench.store.code import changed_since, digest, kept_code
from denoisebench.store.rows import read_csv
from test_older_studies import SETTINGS, STUDY

OWN = """\
'''A method.'''
from denoisebench.denoiser import Denoiser
from helper import factor


class Own(Denoiser):
    '''Darker.'''

    def denoise(self, noisy):
        return noisy * factor()  # of the helper
"""
HELPER = "def factor():\n    return 0.5\n"
SMALL = ("--config-dir", "conf", "method=own", "dataset.crop=33", "trainer=cpu", "pictures=0")


def forget() -> None:
    """As a new process: it has read no source yet."""
    for cached in (digest, code._parsed, code._dumped):
        cached.cache_clear()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A method of one's own in a folder for `--config-dir`."""
    monkeypatch.setattr(sys, "path", [*sys.path])  # which the folder joins
    (tmp_path / "conf/method").mkdir(parents=True)
    (tmp_path / "conf/method/own.yaml").write_text("_target_: own.Own\n")
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "own.py").write_text(OWN)
    forget()
    return tmp_path


def of(root: Path) -> str:
    forget()
    found = digest("own.Own", str(root))
    assert found
    return found


@pytest.mark.parametrize("change", [
    lambda text: text.replace("'''A method.'''", "'''Another text,\nlonger.'''"),
    lambda text: text.replace("'''Darker.'''", '"""Brighter."""'),
    lambda text: text.replace("  # of the helper", ""),
    lambda text: text.replace("noisy * factor()", "(\n            noisy\n            * factor()\n        )"),
])  # fmt: skip
def test_layout_comments_and_docstrings_are_no_code(own: Path, change: Any) -> None:
    before = of(own)
    assert change(OWN) != OWN
    (own / "own.py").write_text(change(OWN))
    assert of(own) == before


def test_what_a_class_imports_of_its_own_is_its_code(own: Path) -> None:
    before = of(own)
    (own / "own.py").write_text(OWN.replace("noisy * factor()", "noisy * factor() + 1"))
    changed = of(own)
    (own / "own.py").write_text(OWN)
    (own / "helper.py").write_text(HELPER.replace("0.5", "0.6"))
    assert len({before, changed, of(own)}) == 3
    (own / "helper.py").write_text(HELPER)
    (own / "other.py").write_text("x = 1\n")
    assert of(own) == before


def test_names_that_a_package_hands_on_are_followed_to_where_they_are_written(tmp_path: Path) -> None:
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("from .one import One\nfrom .two import Two as Second\n")
    for name in ("one", "two"):
        (package / f"{name}.py").write_text(f"from . import shared\nclass {name.title()}:\n    x = shared.x\n")
    (package / "shared.py").write_text("x = 1\n")

    def digests() -> list[str | None]:
        forget()
        return [digest("mine.One", str(tmp_path)), digest("mine.Second", str(tmp_path))]

    first = digests()
    assert None not in first
    (package / "two.py").write_text("class Two:\n    x = 2\n")
    second = digests()
    assert (second[0] == first[0], second[1] == first[1]) == (True, False)
    (package / "shared.py").write_text("x = 3\n")
    third = digests()
    assert (third[0] == second[0], third[1] == second[1]) == (False, True)
    assert digest("mine.One", "/nowhere") is None


def test_of_this_package_what_computes_counts_and_nothing_else() -> None:
    def modules(target: str) -> set[str]:
        sources = code._Sources(target, "")
        module, _, name = target.rpartition(".")
        found, left = set(), [sources.defining(module, name)]
        while left:
            one = left.pop()
            if one and (tree := sources.tree(one)) and one not in found:
                found.add(one)
                left += sources._imports(one, tree)
        return found

    assert modules("denoisebench.noise.Camera") == {"denoisebench.noise.camera", "denoisebench.noise.model"}
    own = modules("denoisebench.methods.sdap.SDAP")
    assert {"denoisebench.methods.sdap", "denoisebench.sampling"} < own
    assert any(name.startswith("denoisebench.networks.") for name in own)
    assert not own & {
        "denoisebench.denoiser",
        "denoisebench.store.files",
        "denoisebench.methods.apbsn",
        "denoisebench.noise.camera",
    }
    assert "denoisebench.scoring.measures.error" in modules("denoisebench.scoring.protocol.Protocol")


# ------------------------------------------------------------------------------------- the loop of an author


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """A command as a new process runs it, which imports the code that lies there now; its exit code and all that it told."""
    for module in ("own", "helper"):
        sys.modules.pop(module, None)
    importlib.invalidate_caches()
    forget()
    capsys.readouterr()
    return main(list(arguments)), "".join(capsys.readouterr())


def scores() -> list[float]:
    [path] = Path("runs/default").glob("own/*/*/*/rows.csv")
    with path.open() as file:
        return [float(row["psnr_db"]) for row in csv.DictReader(file)]


def test_a_cell_whose_method_was_edited_is_computed_again_where_that_takes_seconds(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(capsys, "run", *SMALL)[0] == 0
    [folder] = [path.parent for path in Path("runs/default").glob("own/*/*/*/rows.csv")]
    kept = kept_code(folder)
    assert kept
    assert set(kept) == {"method", "noise", "protocol default"}
    dark = scores()
    assert "stale" not in bench(capsys, "run", *SMALL)[1]

    (own / "helper.py").write_text(HELPER.replace("0.5", "1.00"))
    forget()
    assert changed_since(folder) == ["method"]
    assert main(["status", "default"]) == 0
    assert "stale_code: own | " in capsys.readouterr().out
    assert main(["report", "default"]) == 0
    assert "stale_code" in (Path("runs/default") / "results.csv").read_text()
    assert "the code has changed since it was computed" in (Path("runs/default") / "report.html").read_text()
    assert main(["explain", folder.name.partition("-")[2]]) == 0
    assert "stale_code: the code of its method has changed" in capsys.readouterr().out

    ended, told = bench(capsys, "run", *SMALL)
    assert ended == 0
    assert "the code of its method has changed; it is computed again" in told
    bright = scores()
    assert min(bright) > max(dark) + 1
    forget()
    assert changed_since(folder) == []

    # What took long stays until it is forced.
    rows = (folder / "rows.csv").read_text()
    with (folder / "rows.csv").open() as file:
        seconds = [row["seconds"] for row in csv.DictReader(file)]
    (folder / "rows.csv").write_text(rows.replace(seconds[0], "3600.0"))
    (own / "helper.py").write_text(HELPER.replace("0.5", "0.25"))
    ended, told = bench(capsys, "run", *SMALL)
    assert ended == 0
    assert "it took 1 h 00 min: force=true computes it again" in told
    assert "stale_code" in told
    assert scores() == bright
    assert bench(capsys, "run", *SMALL, "force=true")[0] == 0
    assert max(scores()) < min(bright) - 1


@pytest.mark.parametrize("seconds", [0.1, 3600.0])
def test_images_that_other_code_finished_are_forgotten_or_told(
    own: Path, seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(capsys, "run", *SMALL)[0] == 0
    dark = scores()
    [folder] = [path.parent for path in Path("runs/default").glob("own/*/*/*/rows.csv")]
    first = read_csv(folder / "rows.csv")[0]
    first |= {"psnr_db": float(first["psnr_db"]), "peak_mib": 1.0, "seconds": seconds, "repeat": 0}
    (folder / "rows.part.jsonl").write_text(json.dumps([first]) + "\n")
    (folder / "rows.csv").unlink()
    (folder / "status.json").write_text('{"state": "failed", "reason": "it was interrupted"}')
    (own / "helper.py").write_text(HELPER.replace("0.5", "1.00"))
    ended, told = bench(capsys, "run", *SMALL)
    assert ended == 0
    if seconds < 1:
        assert "the code of its method has changed; it starts again" in told
        assert min(scores()) > max(dark) + 1
        assert changed_since(folder) == []
    else:
        assert "the code of its method has changed after 1 h 00 min; it goes on, and force=true starts again" in told
        assert scores()[0] == dark[0]
        assert changed_since(folder) == ["method"], "what two versions computed is of neither"


def test_older_studies_are_of_unknown_code_and_not_stale(capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(STUDY) as archive:
        archive.extractall()
    assert main(["status", "old"]) == 1
    out = capsys.readouterr().out
    assert "code unknown: 3 of 3 finished cells" in out
    assert "stale" not in out
    assert main(["run", "-m", "method=noisy,nlm", *SETTINGS]) == 0
    assert "stale" not in "".join(capsys.readouterr())
    assert main(["explain", "73caa8790beb"]) == 0
    assert "code unknown" in capsys.readouterr().out


def test_a_network_of_other_code_is_trained_again_where_that_took_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["run", "method=noise2clean", "budget=smoke", "dataset.crop=33", "pictures=0", "trainer=cpu"]
    assert main(small) == 0
    [training] = [path.parent for path in Path("runs/.trained").glob("*/training.json")]
    [rows] = Path("runs/default").glob("noise2clean/*/*/*/rows.csv")

    def other_code() -> None:
        for folder in (training, rows.parent):
            kept = json.loads((folder / code.FILE).read_text())
            kept["method"]["digest"] = "0" * 16
            (folder / code.FILE).write_text(json.dumps(kept))

    other_code()
    before = (training / "weights.safetensors").stat().st_mtime_ns
    assert main(small) == 0
    assert "stale" in capsys.readouterr().err
    assert (training / "weights.safetensors").stat().st_mtime_ns > before
    assert "stale" not in rows.read_text()

    about = json.loads((training / "training.json").read_text())
    (training / "training.json").write_text(json.dumps({**about, "seconds": 7200.0}))
    other_code()
    before = (training / "weights.safetensors").stat().st_mtime_ns
    assert main(small) == 0
    assert (training / "weights.safetensors").stat().st_mtime_ns == before
    assert "stale_training" in rows.read_text()
    assert "force=true trains it again" in capsys.readouterr().err
