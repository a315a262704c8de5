"""Configurations that are remembered are those that would be composed, and nothing is remembered for longer than it holds."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from denoisebench import config
from denoisebench.config import composed as composing
from denoisebench.config import composed_cache, hydra_internals
from denoisebench.config.composed import Composed, compose_all, compose_one
from denoisebench.config.composed_cache import ComposedCache
from denoisebench.config.grids import expand
from denoisebench.config.jobs import made_or_not
from denoisebench.store import memo
from denoisebench.store.memo import Memo

ONE = ("method=nlm", "noise=gaussian15")
PRESETS = config.groups()["experiment"]
Counted = Callable[..., int]


@pytest.fixture
def composes(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """How many jobs a command composes: those that it does not know."""
    calls: list[Sequence[str]] = []
    real = composing._compose

    def counting(overrides: Sequence[str]) -> Composed:
        calls.append(overrides)
        return real(overrides)

    def count(*overrides: str) -> int:
        calls.clear()
        found = compose_all(overrides, multirun=False)
        assert as_bytes(found) == as_bytes([compose_one(overrides)])
        return len(calls) - 1

    monkeypatch.setattr(composing, "_compose", counting)
    return count


def as_bytes(composed: Sequence[Composed]) -> str:
    """With the order of keys, and 1 told from 1.0."""
    assert all(isinstance(getattr(one, name), tuple) for one in composed for name in composing.TUPLES)
    return json.dumps([asdict(one) for one in composed])


def keys_of(composed: Sequence[Composed]) -> list[str]:
    made, unmade = made_or_not(composed)
    return [f"{job.cell} {job.cell.key} {job.cell.setup} {job.cell.train_key} {job.cell.overrides}" for job in made] + [
        f"{one} {one.error}" for one in unmade
    ]


# --- What is remembered ----------------------------------------------------------------------------------------------


def check_preset(name: str, choose: Callable[[list[list[str]]], list[list[str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DENOISEBENCH_DATA", raising=False)  # keys of what lies there take minutes
    with monkeypatch.context() as unknown:
        unknown.setattr(ComposedCache, "get", lambda *_: None)
        whole = expand([f"experiment={name}"], multirun=True)
        fresh = [compose_one(job) for job in choose(whole)]
    first = ComposedCache()
    assert choose(expand([f"experiment={name}"], first, multirun=True)) == choose(whole)
    assert as_bytes([compose_one(job, first) for job in choose(whole)]) == as_bytes(fresh)
    first.keep()
    monkeypatch.setattr(hydra_internals, "composed", None)  # nothing is composed from here on
    then = ComposedCache()
    assert expand([f"experiment={name}"], then, multirun=True) == whole
    remembered = [compose_one(job, then) for job in choose(whole)]
    assert as_bytes(remembered) == as_bytes(fresh)
    assert keys_of(remembered) == keys_of(fresh)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_remembered_is_the_preset_composed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_preset(name, lambda jobs: [jobs[0], jobs[-1]], monkeypatch)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", PRESETS)
def test_all_of_a_preset_remembered_is_the_preset_composed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_preset(name, lambda jobs: jobs, monkeypatch)


def test_what_was_composed_is_not_composed_again(composes: Counted) -> None:
    assert [composes(*ONE), composes(*ONE), composes(*ONE, "seed=1"), composes(*ONE)] == [1, 0, 1, 0]


def test_how_a_job_is_launched_is_no_part_of_what_is_remembered(composes: Counted) -> None:
    assert [composes(*ONE), composes(*ONE, "launcher=joblib"), composes(*ONE, "shard=2/3")] == [1, 0, 0]
    one, other = compose_all([*ONE, "shard=1/2,2/2"], multirun=True)
    assert (one.shard, other.shard) == ("1/2", "2/2")
    assert one.plain == other.plain
    assert one.plain is not other.plain


# --- What makes it unknown -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DENOISEBENCH_DATA", "DENOISEBENCH_RUNS", "WANDB_PROJECT", "MLFLOW_TRACKING_URI"])
def test_another_environment_variable(composes: Counted, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name, raising=False)
    assert [composes(*ONE), composes(*ONE)] == [1, 0]
    monkeypatch.setenv(name, "elsewhere")
    assert [composes(*ONE), composes(*ONE)] == [1, 0]


def test_another_working_folder(composes: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert composes(*ONE, "dataset=folder", "dataset.noisy=photos") == 1
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    [there] = compose_all([*ONE, "dataset=folder", "dataset.noisy=photos"], multirun=False)
    assert there.plain["dataset"]["noisy"] == str(tmp_path / "other" / "photos")
    assert f"dataset.noisy='{tmp_path}/other/photos'" in there.overrides


def test_another_home_folder(composes: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = [*ONE, "dataset=folder", "dataset.noisy='~/photos'"]
    assert [composes(*own), composes(*own)] == [1, 0]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert composes(*own) == 1


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("hydra.__version__", "1.3.99"),
        ("omegaconf.__version__", "2.3.99"),
        ("denoisebench.config.composed_cache.threads_each", lambda _: 3),
    ],
)
def test_another_hydra_or_omegaconf_or_number_of_cores(
    composes: Counted, monkeypatch: pytest.MonkeyPatch, place: str, value: Any
) -> None:
    assert [composes(*ONE), composes(*ONE)] == [1, 0]
    monkeypatch.setattr(place, value)
    assert composes(*ONE) == 1


@pytest.mark.parametrize(
    "further",
    ["noise.sigma=${seed}", "root=${oc.env:HOME}", "root='~root/runs'", "root='~nobody'"],
)
def test_what_asks_for_more_is_composed_each_time(composes: Counted, further: str) -> None:
    assert [composes(*ONE, further), composes(*ONE, further)] == [1, 1]


def test_another_users_home_folder_in_a_variable(composes: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISEBENCH_DATA", "~root/data")
    assert [composes(*ONE), composes(*ONE)] == [1, 1]


def test_files_of_other_folders_are_read_each_time(composes: Counted, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "noise" / "own.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("_target_: denoisebench.noise.Gaussian\nsigma: 11\n")
    own, _, _ = config.split_flags(["method=nlm", "--config-dir", str(tmp_path / "mine"), "noise=own"])
    assert [composes(*own), composes(*own)] == [1, 1]
    mine.write_text("_target_: denoisebench.noise.Gaussian\nsigma: 12\n")
    hydra_internals.forget_files()
    assert compose_all(own, multirun=False)[0].plain["noise"]["sigma"] == 12


def test_a_grid_of_another_folder_is_read_each_time(tmp_path: Path) -> None:
    preset = tmp_path / "mine" / "experiment" / "own.yaml"
    preset.parent.mkdir(parents=True)
    for count in (2, 3):
        preset.write_text(f"# @package _global_\nhydra: {{sweeper: {{params: {{seed: 'range(0,{count})'}}}}}}\n")
        hydra_internals.forget_files()
        own, _, _ = config.split_flags(["--config-dir", str(tmp_path / "mine"), "experiment=own"])
        assert len(compose_all(own, multirun=True)) == count
        by_hand = [f"hydra.searchpath=[file://{tmp_path / 'mine'}]", "experiment=own"]
        assert not ComposedCache()._follows_from(by_hand)


def test_folders_that_a_plugin_of_hydra_adds(composes: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    composes(*ONE)
    monkeypatch.setattr(
        hydra_internals._files(config.conf_dir()), "folders", ("pkg://hydra.conf", config.conf_dir(), "pkg://theirs")
    )
    assert [composes(*ONE, "seed=1"), composes(*ONE, "seed=1")] == [1, 1]


def test_named_weights_are_asked_for_their_card_each_time() -> None:
    first, plain = ComposedCache(), {**compose_one(ONE).plain, "weights": "mine"}
    for weights, kept in (("mine", False), (None, True)):
        one = Composed({**plain, "weights": weights}, ONE, "nlm", (), False, False, False, "photos", "gaussian15")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(composing, "_compose", lambda _, one=one: one)
            compose_one(ONE, first)
        assert bool(first.get("job", ONE)) is kept


# --- Files of a checkout ---------------------------------------------------------------------------------------------

PLAN = """
import json, os, sys
exec(os.environ.get("BEFORE", ""))
from denoisebench.config import composed
compose, count = composed._compose, 0
def counting(overrides):
    global count
    count += 1
    return compose(overrides)
composed._compose = counting
exec(os.environ.get("FIRST", ""))
[one] = composed.compose_all(sys.argv[1:], multirun=False)
print(json.dumps([count, one.plain["method"]]))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of this package, to be changed; with its byte code, as compiling it takes half a second in each process."""
    root = Path(config.conf_dir()).parent
    for name in ("conf", "src/denoisebench"):
        shutil.copytree(root / name, tmp_path / "checkout" / name)
    shutil.copy(root / "pyproject.toml", tmp_path / "checkout")
    return tmp_path / "checkout"


def settle(checkout: Path) -> None:
    """Waits until a process that begins is told from one that began before the last change."""
    newest = max(memo._written(path) for path in checkout.rglob("*"))
    time.sleep(max(0.0, newest + memo.COARSE_S + 0.1 - time.time()))


def planned(checkout: Path, *overrides: str, first: str = "", before: str = "") -> tuple[int, dict[str, Any]]:
    """What a new process composes, and what it finds for its method.

    first: what the process does before. before: what it does even before it imports the configuration.
    """
    settle(checkout)
    further = {"PYTHONPATH": str(checkout / "src"), "FIRST": first, "BEFORE": before, "PYTHONDONTWRITEBYTECODE": "1"}
    own = {**os.environ, **further}
    command = [sys.executable, "-c", PLAN, *ONE, *overrides]
    done = subprocess.run(command, env=own, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, method = json.loads(done.stdout)
    return count, method


def edited(file: Path, old: str, new: str) -> None:
    """With the same size, and the same time of its last change."""
    before, text = file.stat(), file.read_text()
    assert old in text
    assert len(old) == len(new)
    file.write_text(text.replace(old, new))
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):  # it is told from its source by size and time
        compiled.unlink()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_mtime_ns, file.stat().st_size) == (before.st_mtime_ns, before.st_size)


def test_a_changed_file_of_the_configuration(checkout: Path) -> None:
    assert [planned(checkout)[0], planned(checkout)[0]] == [1, 0]
    edited(checkout / "conf/method/nlm.yaml", "strength: 0.8", "strength: 0.9")
    count, method = planned(checkout)
    assert (count, method["strength"]) == (1, 0.9)
    (checkout / "conf/method/further.yaml").write_text("_target_: denoisebench.methods.nlm.NLM\n")
    assert [planned(checkout)[0], planned(checkout)[0]] == [1, 0]


def test_a_group_behind_a_link(checkout: Path) -> None:
    (checkout / "conf/method").rename(checkout / "methods")
    (checkout / "conf/method").symlink_to("../methods")
    assert [planned(checkout)[0], planned(checkout)[0]] == [1, 0]
    edited(checkout / "methods/nlm.yaml", "strength: 0.8", "strength: 0.9")
    assert planned(checkout)[1]["strength"] == 0.9


@pytest.mark.parametrize(
    ("asked", "is_listed"),
    [
        ("${oc.env:HOME}", True), ("${oc.env:HOME,null}", True), ("${choose:${noise.sigma},{1:2}}", True), ("${.x}", True),
        ("${now:%d}", False), ("${oc.decode:'3'}", False), ("${oc.env:${root}}", False), ("${oc.env : HOME}", False),
        ("${oc.${root}:HOME}", False), ("${choose:${now:%d},{1:2}}", False), ("${ oc.env:HOME}", False),
    ],
)  # fmt: skip
def test_what_a_configuration_may_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, is_listed: bool) -> None:
    (tmp_path / "config.yaml").write_text(f"seed: {asked}\nroot: ${{study}}/x\n")
    monkeypatch.setattr(composed_cache, "conf_dir", lambda: str(tmp_path))
    assert (composed_cache._surroundings() is not None) is is_listed


def test_a_configuration_that_asks_for_more_is_composed_each_time(checkout: Path) -> None:
    with (checkout / "conf/noise/gaussian50.yaml").open("a") as file:
        file.write("# ${now:%d}\n")
    assert [planned(checkout)[0], planned(checkout)[0]] == [1, 1]


def test_a_sweep_in_the_configuration_itself_counts(checkout: Path) -> None:
    script = "composed.compose_all(sys.argv[1:], multirun=True); print(count, file=sys.stderr); count = 0"
    with (checkout / "conf/config.yaml").open("a") as file:
        file.write("  sweeper: {params: {seed: '1,2'}}\n")
    own = {**os.environ, "PYTHONPATH": str(checkout / "src"), "FIRST": script}
    settle(checkout)
    for expected in ("2", "0"):
        done = subprocess.run(
            [sys.executable, "-c", PLAN, *ONE], env=own, cwd=checkout, capture_output=True, text=True, check=False
        )
        assert done.stderr.splitlines() == [expected]


def test_a_changed_source(checkout: Path) -> None:
    assert [planned(checkout)[0], planned(checkout)[0]] == [1, 0]
    edited(checkout / "src/denoisebench/config/checks.py", "Checks that", "checks That")
    assert [planned(checkout)[0], planned(checkout)[0]] == [1, 0]


def test_the_digest_of_a_changed_method(checkout: Path) -> None:
    script = "from denoisebench.store.code import digest; print(digest('denoisebench.methods.nlm.NLM', ''), file=sys.stderr)"
    own = {**os.environ, "PYTHONPATH": str(checkout / "src"), "FIRST": script}

    def told() -> str:
        return subprocess.run([sys.executable, "-c", PLAN, *ONE], env=own, capture_output=True, text=True, check=True).stderr

    first = told()
    assert told() == first
    edited(checkout / "src/denoisebench/methods/nlm.py", "return denoise_nl_means(", "return denoise_nl_meanz(")
    assert told() != first


@pytest.mark.parametrize("place", ["conf/method/nlm.yaml", "src/denoisebench/config/checks.py"])
def test_a_file_that_is_written_while_a_process_runs(checkout: Path, place: str) -> None:
    """What it read before may be older than what it reads after."""
    file = checkout / place
    write = f"from pathlib import Path; Path({str(file)!r}).write_text({file.read_text()!r})"
    assert [planned(checkout, first=write)[0], planned(checkout)[0], planned(checkout)[0]] == [1, 1, 0]
    move = f"import os; os.rename({str(file)!r}, '.old'); os.rename('.old', {str(file)!r})"
    assert [planned(checkout, "seed=1", first=move)[0], planned(checkout, "seed=1")[0]] == [1, 1]


def test_a_file_that_is_removed_while_a_process_runs(checkout: Path) -> None:
    remove = f"import os; os.remove({str(checkout / 'conf/method/tv.yaml')!r})"
    assert [planned(checkout, first=remove)[0], planned(checkout)[0], planned(checkout)[0]] == [1, 1, 0]


def test_a_source_that_is_written_after_a_class_was_imported(checkout: Path) -> None:
    """As in a notebook: the class is the older one, whatever is imported after the edit."""
    file = checkout / "src/denoisebench/methods/nlm.py"
    edit = f"import denoisebench, pathlib, time; pathlib.Path({str(file)!r}).write_text({file.read_text()!r}); time.sleep(1.2)"
    assert [planned(checkout, before=edit)[0], planned(checkout)[0], planned(checkout)[0]] == [1, 1, 0]


def test_a_file_whose_time_is_coarse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "source.py"
    file.touch()
    found = []
    for later in (0.9, 1.1):
        monkeypatch.setattr(memo, "BEGAN", file.stat().st_ctime + later)
        found.append(memo.written_since([file]))
    assert found == [True, False]


PLUGIN = """
from hydra.plugins.search_path_plugin import SearchPathPlugin
class Theirs(SearchPathPlugin):
    def manipulate_search_path(self, search_path):
        search_path.append("theirs", "pkg://theirs")
"""


def test_a_plugin_of_hydra_that_is_put_on_the_path(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "beside" / "hydra_plugins").mkdir(parents=True)
    (tmp_path / "beside" / "hydra_plugins" / "theirs.py").write_text(PLUGIN)
    beside = f"sys.path.append({str(tmp_path / 'beside')!r})"
    assert [planned(checkout)[0], planned(checkout)[0]] == [1, 0]
    assert [planned(checkout, before=beside)[0], planned(checkout, before=beside)[0]] == [1, 1]


def test_another_python_or_other_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    monkeypatch.syspath_prepend(str(packages))
    state = memo._state.__wrapped__
    states = [state(), state()]
    (packages / "further").mkdir()
    os.utime(packages, ns=(1, 1))
    states.append(state())
    monkeypatch.setattr(sys, "version", "another")
    states.append(state())
    assert states[0] == states[1]
    assert len({*states}) == 3
    assert None not in states


# --- The file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["[]", "{", "null", '{"plain": 1}', 3, None, []])
def test_damaged_entries_are_composed_anew(composes: Counted, damage: object) -> None:
    composes(*ONE)
    file = memo.file(composed_cache.NAME)
    content = json.loads(file.read_text())
    assert len(content["known"]) == 1
    file.write_text(json.dumps({**content, "known": dict.fromkeys(content["known"], damage)}))
    assert composes(*ONE) == 1


@pytest.mark.parametrize("damage", ["3", "{", None])
def test_damaged_grids_are_composed_anew(damage: object) -> None:
    whole = expand(["experiment=demo"], first := ComposedCache(), multirun=True)
    first.keep()
    file = memo.file(composed_cache.NAME)
    content = json.loads(file.read_text())
    assert len(content["known"]) == 1
    file.write_text(json.dumps({**content, "known": dict.fromkeys(content["known"], damage)}))
    assert expand(["experiment=demo"], ComposedCache(), multirun=True) == whole


def test_a_cache_folder_that_takes_nothing(composes: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [composes(*ONE), composes(*ONE)] == [1, 1]


def test_a_disk_that_is_read_only(composes: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(memo, "write_atomic", refused)
    assert [composes(*ONE), composes(*ONE)] == [1, 1]


def test_what_json_would_change_is_not_kept() -> None:
    first = ComposedCache()
    for value in ((1,), {1: 2}, float("nan"), Path("x"), b"x"):
        first.put("job", ONE, [value])
        assert first.get("job", ONE) is None
    first.put("job", ONE, [1, 1.0, None, "x"])
    assert first.get("job", ONE) == [1, 1.0, None, "x"]


def test_the_oldest_are_forgotten() -> None:
    for number in range(5):
        one = Memo("few", 3)
        one.put(number, number)
        one.keep()
    assert [Memo("few", 3).get(number) for number in range(5)] == [None, None, 2, 3, 4]


def test_what_a_process_used_is_not_forgotten() -> None:
    for _ in range(2):  # the second finds all that it looks for
        one = Memo("few", 3)
        for number in (1, 2, 3, 4, 5):
            if one.get(number) is None:
                one.put(number, number)
        one.keep()
        assert [Memo("few", 3).get(number) for number in (1, 2, 3, 4, 5)] == [1, 2, 3, 4, 5]
    one = Memo("few", 3)
    assert [one.get(number) for number in (4, 1)] == [4, 1]
    one.put(6, 6)
    one.keep()
    assert [Memo("few", 3).get(number) for number in range(1, 7)] == [1, None, None, 4, None, 6]


WRITER = """
import sys
from denoisebench.store.memo import Memo
for number in range(40):
    one = Memo("shared")
    found = [one.get([sys.argv[1], before]) for before in range(number)]
    assert all(value in (None, f"{sys.argv[1]} {before}" * 500) for before, value in enumerate(found)), found
    one.put([sys.argv[1], number], f"{sys.argv[1]} {number}" * 500)
    one.keep()
"""


def test_processes_that_write_at_once_never_read_what_is_wrong() -> None:
    def write(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", WRITER, name], capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(3) as threads:
        ended = list(threads.map(write, ("a", "b", "c")))
    assert [one.returncode for one in ended] == [0, 0, 0], ended
    kept = json.loads(memo.file("shared").read_text())["known"]
    assert len(kept) >= 40  # of the last to write, at least
    assert all(value == f"{name} {number}" * 500 for (name, number), value in ((json.loads(of), kept[of]) for of in kept))
    assert [file.name for file in memo.cache_folder().iterdir()] == [memo.file("shared").name]
