"""What all tests share."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # two processes with two threads on two cores are 5 to 10 times slower

import pytest
import torch
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
def data_root() -> Path:
    """The folder of real data sets; tests that need it are skipped without it."""
    root = os.environ.get("DENOISEBENCH_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("real data sets are not here: set DENOISEBENCH_DATA to their folder")
    return Path(root)


@pytest.fixture
def weights_root(data_root: Path) -> Path:
    """The folder of networks that authors released; tests that need it are skipped without it."""
    root = Path(os.environ.get("DENOISEBENCH_WEIGHTS") or data_root.parent / "weights")
    if not root.is_dir():
        pytest.skip("released networks are not here: set DENOISEBENCH_WEIGHTS to their folder")
    return root


@pytest.fixture(scope="session")
def _caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of folders of their own: `mktemp` for each test would search thousands of folders for the next number."""
    base = tmp_path_factory.mktemp("caches")
    return (base / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, _caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs in a folder of its own, from where runs/ is empty and the checkout is not the working folder.

    What this machine remembers from one run to the next is empty too, and elsewhere.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DENOISEBENCH_RUNS", raising=False)
    cache = next(_caches)
    cache.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
