"""What a command does without PyTorch, and what is remembered for that."""

import json
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from denoisebench.cli.app import main
from denoisebench.config.jobs import job_of
from denoisebench.store import memo
from denoisebench.store.code import digest
from denoisebench.store.memo import Memo

CHEAP = ["method=noisy", "dataset.crop=32", "trainer.threads=1", "pictures=0"]
FURTHER = ["-m", "method=noisy,nlm", "noise=gaussian25,camera", "dataset.crop=32", "trainer.threads=1"]
COMMANDS = """
import json, sys
from denoisebench.cli.app import main
codes = [main(command) for command in json.loads(sys.argv[1])]
heavy = {"torch", "pytorch_lightning", "lightning_fabric"} & set(sys.modules)
sys.exit(f"{codes} {heavy}" if any(codes) or heavy else 0)
"""


def test_what_is_known_is_planned_reported_and_finished_without_pytorch() -> None:
    commands = [["run", *FURTHER, "--plan"], ["run", *CHEAP], ["status", "default"], ["report", "default"]]
    assert [main(command) for command in commands[:2]] == [0, 0]
    done = subprocess.run([sys.executable, "-c", COMMANDS, json.dumps(commands)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def kept(value: object = "kept") -> None:
    one = Memo()
    one.put("thing", value)
    one.keep()


def test_several_processes_keep_what_they_find_beside_each_other() -> None:
    first, second = Memo(), Memo()
    first.put(["a", {"b": 1}], {"c": 2})
    second.put("d", [3])
    first.keep()
    second.keep()
    assert (Memo().get(["a", {"b": 1}]), Memo().get("d"), Memo().get("e")) == ({"c": 2}, [3], None)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"state": 3, "known": {}}', "[" * 100_000])
def test_a_damaged_file_means_that_nothing_is_known(text: str) -> None:
    kept()
    memo.file().write_text(text)
    assert Memo().get("thing") is None
    kept()
    assert Memo().get("thing") == "kept"


def test_known_facts_that_do_not_fit_are_found_anew() -> None:
    whole = job_of(CHEAP)
    content = json.loads(memo.file().read_text()) if memo.file().exists() else {"known": {}}
    assert not content["known"]  # `job_of` keeps nothing by itself
    assert main(["run", *CHEAP, "--plan"]) == 0
    content = json.loads(memo.file().read_text())
    for wrong in ([], {"nonsense": 1}, None):
        memo.file().write_text(json.dumps({**content, "known": dict.fromkeys(content["known"], wrong)}))
        assert job_of(CHEAP).cell == whole.cell
        assert job_of(CHEAP).method.facts == whole.method.facts


def test_other_sources_or_packages_mean_that_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    kept()
    monkeypatch.setattr(memo, "_state", lambda: "of another version")
    assert Memo().get("thing") is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_home_that_is_not_writable_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no"))
    kept()
    assert Memo().get("thing") is None


def test_a_cache_folder_that_is_a_file_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    kept()
    assert Memo().get("thing") is None
    assert main(["run", *CHEAP, "--plan"]) == 0


def test_a_user_without_a_home_folder_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlisted(uid: int) -> NoReturn:
        raise KeyError(uid)

    assert main(["run", *CHEAP]) == 0
    monkeypatch.setattr(pwd, "getpwuid", unlisted)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    digest.cache_clear()
    kept()
    assert Memo().get("thing") is None
    assert [main(command) for command in (["run", *CHEAP, "--plan"], ["report", "default"])] == [0, 0]


PLUGIN = """
from denoisebench.methods.noisy import Noisy

class Mine(Noisy):
    smallest = {smallest}
"""


def test_classes_of_others_are_never_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_for_start.py").write_text(PLUGIN.format(smallest=8))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["run", *CHEAP, "method._target_=mine_for_start.Mine", "--plan"]) == 0
    assert "mine_for_start" not in memo.file().read_text()
