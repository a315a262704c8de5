"""Methods that an installed package or a folder brings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from denoisebench import config
from denoisebench.cli import main
from denoisebench.config import ConfigError

METHOD = """\
from denoisebench.denoiser import Denoiser
class Halves(Denoiser):
    def denoise(self, noisy):
        return noisy / 2
"""
SMALL = ("dataset.crop=48", "trainer=cpu", "pictures=0")


def install(site: Path, package: str, groups: str, **files: str) -> None:
    """A distribution as an installer leaves it: a package with groups in `groups`, and metadata with an entry point."""
    info = site / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[denoisebench.methods]\n{package} = {package}\n")
    (site / package).mkdir()
    (site / package / "__init__.py").write_text("raise RuntimeError('imported to be looked at')\n" if not files else "")
    (site / package / "halves.py").write_text(METHOD)
    for name, text in files.items():
        file = site / package / groups / f"{name.replace('__', '/')}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


@pytest.mark.parametrize("groups", ["conf", "."])
def test_an_installed_package_brings_methods(groups: str, site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = f"brings_{len(groups)}"
    install(
        site,
        package,
        groups,
        method__halves=f"_target_: {package}.halves.Halves\n",
        noise__faint="defaults: [gaussian]\nsigma: 2\n",
    )
    assert "halves" in config.groups()["method"]
    assert main(["run", "method=halves", "noise=faint", *SMALL]) == 0
    assert "1 done" in capsys.readouterr().out
    assert next(Path("runs").glob("*/halves/*/gaussian2/*/rows.csv"))
    assert main(["run", "method=halves", "--cfg", "job"]) == 0
    assert f"{package}.halves.Halves" in capsys.readouterr().out


def test_an_installed_package_and_an_own_folder_go_together(site: Path, tmp_path: Path) -> None:
    install(site, "both", "conf", method__halves="_target_: both.halves.Halves\n")
    own = tmp_path / "own, (mine)" / "noise"
    own.mkdir(parents=True)
    (own / "faint.yaml").write_text("defaults: [gaussian]\nsigma: 3\n")
    overrides, _, _ = config.split_flags(["--config-dir", str(own.parent), "method=halves", "noise=faint"])
    one = config.compose_one(overrides)
    assert (one.method, one.plain["noise"]["sigma"]) == ("halves", 3)
    (own.parent / "method").mkdir()
    (own.parent / "method" / "halves.yaml").write_text("_target_: mine\n")
    with pytest.raises(ConfigError, match=r"halves\.yaml would be hidden"):
        config.split_flags(["--config-dir", str(own.parent), "method=halves"])


def test_a_package_that_hides_ours_is_refused(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "hides", "conf", method__nlm="_target_: hides.halves.Halves\n")
    assert main(["run", "method=noisy", *SMALL]) == 2
    told = capsys.readouterr().err
    assert "distribution hides" in told
    assert "method/nlm.yaml, which denoisebench has too" in told


def test_two_packages_with_one_name_are_refused(site: Path) -> None:
    for package in ("one", "two"):
        install(site, package, "conf", method__halves=f"_target_: {package}.halves.Halves\n")
    with pytest.raises(ConfigError, match=r"two.* brings method/halves\.yaml, which one has too"):
        config.groups()


def test_a_package_without_methods_is_refused_and_not_imported(site: Path) -> None:
    install(site, "empty", "conf")
    with pytest.raises(ConfigError, match=r"names the package empty, which has no conf/method/\*\.yaml"):
        config.groups()


@pytest.mark.parametrize("launcher", ["basic", pytest.param("joblib", marks=pytest.mark.slow)])
def test_classes_of_an_own_folder_are_found_by_every_process(launcher: str, tmp_path: Path) -> None:
    own = ["hydra.launcher.n_jobs=2"] if launcher == "joblib" else []  # little work would stay in this process
    conf = tmp_path / "project" / "conf"
    (conf / "method").mkdir(parents=True)
    (conf.parent / "beside_conf.py").write_text(METHOD)
    (conf / "inside_conf.py").write_text(METHOD)
    (conf / "method" / "beside.yaml").write_text("_target_: beside_conf.Halves\n")
    (conf / "method" / "inside.yaml").write_text("_target_: inside_conf.Halves\n")
    command = [sys.executable, "-m", "denoisebench", "run", "-m", "--config-dir", "project/conf", "method=beside,inside", *SMALL]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    clean["PYTHONPATH"] = str(Path(config.__file__).parents[2])
    done = subprocess.run([*command, f"launcher={launcher}", *own], env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(Path("runs").rglob("rows.csv"))) == 2
