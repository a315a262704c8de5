"""Cells on disk: written whole or not at all, keyed by what they are, and never lost to a crash or to a second process."""

import csv
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from denoisebench.store.cell import Cell, key_of
from denoisebench.store.files import write_atomic
from denoisebench.store.plan import add_to_plan, read_plan
from denoisebench.store.rows import COLUMNS, PartialRows, read_csv, write_csv, write_rows


def fail(*_: Any, **__: Any) -> None:
    raise OSError("the disk is full")


def files_under(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# ------------------------------------------------------------------------------------------------ atomic files


def test_write_atomic_writes_exactly_the_text_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("first\n", "", "\u00fcn\u00efc\u00f6de \u5199\n\nlast line without end", "x" * 100_000):
        write_atomic(path, text)
        assert path.read_bytes().decode("utf-8") == text
        assert files_under(tmp_path) == [path]


def test_write_atomic_leaves_the_older_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "older")
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, fail)
        monkeypatch.setattr(Path, name, fail)
    with pytest.raises(OSError, match="the disk is full"):
        write_atomic(path, "newer")
    monkeypatch.undo()
    assert path.read_text() == "older"


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    texts = {character * 300_000 for character in "abc"}
    write_atomic(path, "a" * 300_000)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for text in texts:
                write_atomic(path, text)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [path.read_text() for _ in range(100)]
    finally:
        stop.set()
        writer.join()
    assert set(seen) <= texts


# --------------------------------------------------------------------------------------------------------- csv


def test_csv_has_the_columns_in_their_order_and_none_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_csv(path, ["b", "a"], [{"a": None, "b": "x"}, {"b": 1, "a": 0}])
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["b", "a"], ["x", ""], ["1", "0"]]
    write_csv(path, ["b", "a"], [])
    assert read_csv(path) == []
    assert path.read_text().strip() == "b,a"
    assert files_under(tmp_path) == [path]


@pytest.mark.parametrize("text", [
    "a,b", 'say "a"', "two\nlines", " spaces ", "\u00fc\u5199", "'", ";", "=1+1", "'=1", "''@x", "'x", "+-", "-5", "-n", "\ttab",
])  # fmt: skip
def test_any_text_comes_back_from_a_csv(tmp_path: Path, text: str) -> None:
    write_csv(tmp_path / "rows.csv", ["before", "text", "after"], [{"before": 1, "text": text, "after": 2}])
    assert read_csv(tmp_path / "rows.csv") == [{"before": "1", "text": text, "after": "2"}]


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
@example(values=[math.inf, -math.inf, 0.1, 1 / 3, 1e-320, 5e-324, 1.7976931348623157e308, -0.0, 30.0])
def test_floats_come_back_from_a_csv_the_same(values: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        write_csv(path, ["x", "y"], [{"x": value, "y": np.float64(value)} for value in values])
        back = read_csv(path)
    for column in ("x", "y"):
        read = [float(row[column]) for row in back]
        assert read == values
        assert [math.copysign(1, value) for value in read] == [math.copysign(1, value) for value in values]


# -------------------------------------------------------------------------------------------------------- keys

# -0.0 is 0.0 here: whether they are one number is nobody's question.
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=5)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8
)
mappings = st.dictionaries(st.text(max_size=4), values, min_size=1, max_size=5)


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same, with the keys of every mapping in another order, and whole floats and integers exchanged."""
    if isinstance(value, dict):
        items = list(value.items())
        rng.shuffle(items)
        return {key: shuffled(inner, rng) for key, inner in items}
    if isinstance(value, list):
        return [shuffled(inner, rng) for inner in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer() and value != 0:
        return int(value)
    if isinstance(value, int) and abs(value) <= 2**53:
        return float(value)
    return value


def exact(value: Any) -> Any:
    """What tells two mappings apart: like ==, but a truth value is no number."""
    if isinstance(value, dict):
        return ("mapping", frozenset((key, exact(inner)) for key, inner in value.items()))
    if isinstance(value, list):
        return ("list", tuple(exact(inner) for inner in value))
    return ("truth" if isinstance(value, bool) else "value", value)


@settings(max_examples=100, deadline=None)
@given(mapping=mappings, seed=st.integers(0, 100))
def test_a_key_does_not_depend_on_order_nor_on_how_numbers_are_written(mapping: dict[str, Any], seed: int) -> None:
    key = key_of(mapping)
    assert len(key) == 12
    assert set(key) <= set("0123456789abcdef")
    assert key_of(shuffled(mapping, random.Random(seed))) == key == key_of(json.loads(json.dumps(mapping)))


@settings(max_examples=50, deadline=None)
@given(one=mappings, other=mappings)
def test_different_mappings_have_different_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (key_of(one) == key_of(other)) == (exact(one) == exact(other))


def changes(value: Any) -> Iterator[Any]:
    """A value with each of its parts changed in turn."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield {**{k: v for k, v in value.items() if k != key}, key + "_": inner}
            for changed in changes(inner):
                yield {**value, key: changed}
        yield {**value, "added": None}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield value[:index] + value[index + 1 :]
            for changed in changes(inner):
                yield [*value[:index], changed, *value[index + 1 :]]
        yield [*value, None]
        yield {"0": value}
    else:
        yield [value]
        yield "other" if value is None else str(value) + "_"
        if isinstance(value, bool):
            yield not value
            yield int(value)
        elif isinstance(value, int | float):
            yield value + 1
            yield str(value)
            yield math.nextafter(value, math.inf)
        elif value is None:
            yield from ("None", "null", "", False, 0)


def test_any_change_anywhere_changes_the_key() -> None:
    mapping = {
        "method": {
            "name": "neighbor2neighbor",
            "lr": 3e-4,
            "width": 48,
            "flags": [True, 0, 1, None, "1"],
            "deep": {"a": {"b": 1}},
        },
        "noise": {"sigma": [5, 50]},
        "seed": 0,
        "none": None,
        "empty": [],
        "blank": {},
        "": "",
    }
    every = [mapping, *changes(mapping)]
    distinct = {repr(exact(each)): each for each in every}
    assert len(distinct) > 100
    assert len({key_of(each) for each in distinct.values()}) == len({exact(each) for each in distinct.values()})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 25}, {"a": 25.0}),
        ({"a": {"b": [25, {"c": 1}]}}, {"a": {"b": [25.0, {"c": 1.0}]}}),
        ({"a": 1e-3}, {"a": 0.001}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}),
        ({"a": 2**40}, {"a": float(2**40)}),
        ({"a": 10**16}, {"a": 1e16}),
    ],
    ids=str,
)
def test_what_is_equal_has_one_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": True}, {"a": 1}),
        ({"a": False}, {"a": 0}),
        ({"a": True}, {"a": 1.0}),
        ({"a": [True]}, {"a": [1]}),
        ({"a": True}, {"a": "True"}),
        ({"a": 25}, {"a": "25"}),
        ({"a": None}, {"a": "None"}),
        ({"a": None}, {"a": "null"}),
        ({"a": None}, {}),
        ({"a": []}, {"a": {}}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [[1], 2]}, {"a": [1, [2]]}),
        ({"a": {"b": 1}}, {"a.b": 1}),
        ({"a": "1", "b": "2"}, {"a": "1,b:2"}),
        ({"a": 0.1}, {"a": 0.1 + 2**-55}),
        ({"a": 2**53 + 1}, {"a": 2**53}),
        ({"a": "b"}, {"b": "a"}),
        ({"a": "\u00e9"}, {"a": "e\u0301"}),
    ],
    ids=str,
)
def test_what_differs_has_two_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert key_of(one) != key_of(other)


def python(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def test_a_key_is_the_same_in_every_process() -> None:
    code = "from denoisebench.store.cell import key_of; print(key_of({'b': [1, {'d': None, 'c': 'x'}], 'a': 25.0}))"
    runs = [python(code, PYTHONHASHSEED=seed) for seed in ("1", "2")]
    found = {run.communicate()[0].strip() for run in runs}
    assert found == {key_of({"a": 25, "b": [1, {"c": "x", "d": None}]})}


# ------------------------------------------------------------------------------------------------------- cells


def cell(root: Path | str, label: str = "nlm", *, key: str = "0123456789ab", **changed: Any) -> Cell:
    plain: dict[str, Any] = {"study": "demo", "dataset": "photos", "noise": "gaussian25", "seed": 0, "setup": "h0.8"} | changed
    return Cell(root=str(root), label=label, key=key, **plain)


def test_a_plain_cell_lies_where_its_names_say(tmp_path: Path) -> None:
    assert cell(tmp_path).folder == tmp_path / "demo" / "nlm" / "photos" / "gaussian25" / "seed0-0123456789ab"
    assert cell(tmp_path, seed=17).folder.name == "seed17-0123456789ab"


def check_folder(found: Cell, root: Path) -> None:
    parts = found.folder.relative_to(root).parts
    assert len(parts) == 5
    assert all(part not in ("", ".", "..") and "/" not in part and "\0" not in part for part in parts)
    # Nothing that resolves elsewhere.
    assert Path(os.path.normpath(found.folder)) == found.folder


HOSTILE = ["../../x", "a/b", "", ".", "..", "/etc/x", "a\0b", "...", " ", "/", "~", "a\\b", "\n", "../", "C:\\x", "\u5199"]


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
@pytest.mark.parametrize("part", ["label", "dataset", "noise"])
def test_a_hostile_name_stays_in_its_place(tmp_path: Path, part: str, text: str) -> None:
    hostile = cell(tmp_path, **{part: text})
    check_folder(hostile, tmp_path)
    hostile.set_status("running")
    assert hostile.state == "running"
    assert files_under(tmp_path)[0].parent == hostile.folder


@settings(max_examples=100, deadline=None)
@given(label=st.text(max_size=10), dataset=st.text(alphabet="./\\ a", max_size=5), noise=st.text(max_size=10))
def test_every_part_of_a_folder_is_one_component(label: str, dataset: str, noise: str) -> None:
    check_folder(cell("root", label, dataset=dataset, noise=noise), Path("root"))


def test_cells_of_different_names_lie_apart(tmp_path: Path) -> None:
    texts = [*HOSTILE, "a_b", "a-b", "a%2Fb", "a b", "_", "-", "%", "x", "etc_x", "A/B"]
    folders = {cell(tmp_path, text, key=key_of({"label": text})).folder for text in texts}
    assert len(folders) == len(texts)


def test_a_long_label_still_makes_a_folder(tmp_path: Path) -> None:
    # Such as the overrides of a sweep, joined.
    long = cell(tmp_path, "neighbor2neighbor " + "method.some_option=0.123," * 20)
    long.set_status("running")
    assert long.state == "running"


def test_a_cell_is_frozen(tmp_path: Path) -> None:
    fixed = cell(tmp_path)
    with pytest.raises(FrozenInstanceError):
        fixed.seed = 1  # pyright: ignore[reportAttributeAccessIssue]
    assert fixed == cell(tmp_path)
    assert hash(fixed) == hash(cell(tmp_path))
    assert (fixed.train_key, fixed.overrides) == (None, ())


def test_a_cell_without_status_is_planned(tmp_path: Path) -> None:
    fresh = cell(tmp_path)
    assert fresh.state == "planned"
    assert isinstance(fresh.status(), dict)
    fresh.folder.mkdir(parents=True)
    assert fresh.state == "planned"
    assert files_under(tmp_path) == []


@pytest.mark.parametrize("state", ["planned", "running", "failed", "skipped"])
def test_a_state_is_kept_with_its_details(tmp_path: Path, state: Any) -> None:
    kept = cell(tmp_path)
    kept.set_status(state, reason='it\'s \u00fcgly\n"x"', step=3, seconds=1.5)
    assert kept.state == state
    assert {"reason": 'it\'s \u00fcgly\n"x"', "step": 3, "seconds": 1.5}.items() <= kept.status().items()
    # Another process sees it.
    assert cell(tmp_path).state == state
    assert files_under(tmp_path) == [kept.folder / "status.json"]


def whole_row(key: str) -> dict[str, Any]:
    own = {"image": "a", "repeat": 0, "protocol": "default", "seconds": 0.1, "peak_mib": 1.0, "status": "done", "key": key}
    return dict.fromkeys(COLUMNS) | own


def test_a_cell_is_done_only_with_its_rows(tmp_path: Path) -> None:
    done = cell(tmp_path)
    done.set_status("done")
    assert done.state != "done"
    (done.folder / "rows.csv").write_text("x\n")
    assert done.state != "done"
    write_rows(done.folder / "rows.csv", [whole_row(done.key)])
    assert done.state == "done"
    # The rows alone do not make it done either.
    (done.folder / "status.json").unlink()
    assert done.state == "planned"


def test_a_torn_status_is_planned_at_every_cut(tmp_path: Path) -> None:
    torn = cell(tmp_path)
    torn.set_status("failed", error="\u5199 went wrong", step=3)
    (torn.folder / "rows.csv").write_text("x\n")
    path = torn.folder / "status.json"
    whole = path.read_bytes().rstrip()
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        assert torn.state == "planned", f"cut to {whole[:kept]!r}"
        assert isinstance(torn.status(), dict)


@pytest.mark.parametrize("content", [b"", b"\0" * 200, b"\xff\xfe", b'{"state": "done"', b'{"state": "done"}\0\0'], ids=repr)
def test_a_status_that_is_none_is_planned(tmp_path: Path, content: bytes) -> None:
    odd = cell(tmp_path)
    odd.folder.mkdir(parents=True)
    (odd.folder / "rows.csv").write_text("x\n")
    (odd.folder / "status.json").write_bytes(content)
    assert odd.state == "planned"
    odd.set_status("running")
    assert odd.state == "running"


# ------------------------------------------------------------------------------------------------ partial rows


def row(image: str, **values: Any) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"image": image, "ssim": 1 / 3, "learns": True, "tags": None} | values


def groups_of(count: int) -> list[list[dict[str, Any]]]:
    """Groups of one to three rows, with characters of several bytes, infinities and line ends in them."""
    return [
        [row(f"\u5199\n{group}-{line}", psnr_db=math.inf if line else 1 / (group + 3)) for line in range(1 + group % 3)]
        for group in range(count)
    ]


def filled(folder: Path, groups: list[list[dict[str, Any]]]) -> PartialRows:
    partial = PartialRows(folder)
    partial.begin()
    for group in groups:
        partial.append(group)
    return partial


def test_partial_rows_come_back_as_they_were_appended(tmp_path: Path) -> None:
    groups = groups_of(5)
    partial = filled(tmp_path / "cell", groups)
    assert partial.read() == groups
    assert PartialRows(tmp_path / "cell").read() == groups


def test_there_are_no_rows_before_the_first(tmp_path: Path) -> None:
    assert PartialRows(tmp_path / "cell").read() == []
    assert PartialRows(tmp_path / "cell").begin() == []
    assert PartialRows(tmp_path / "cell").read() == []


def test_each_group_is_on_disk_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    partial = PartialRows(tmp_path)
    partial.begin()
    for count, group in enumerate(groups_of(4), 1):
        partial.append(group)
        # Another process reads it, whatever becomes of this one.
        assert len(PartialRows(tmp_path).read()) == count


def test_beginning_again_keeps_what_is_there(tmp_path: Path) -> None:
    groups = groups_of(4)
    filled(tmp_path, groups[:2])
    again = PartialRows(tmp_path)
    assert again.begin() == groups[:2]
    for group in groups[2:]:
        again.append(group)
    assert again.read() == groups


def test_a_torn_last_line_is_ignored_and_the_next_one_is_clean(tmp_path: Path) -> None:
    groups = groups_of(3)
    filled(tmp_path, groups)
    (path,) = files_under(tmp_path)
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    assert len(ends) == 3
    for kept in range(len(whole) + 1):
        path.write_bytes(whole[:kept])
        complete = sum(end <= kept for end in ends)
        found = PartialRows(tmp_path).read()
        # Of a line that lacks its end alone nothing is lost: it may count.
        assert found in (groups[:complete], groups[: complete + (kept + 1 in ends)])
        again = PartialRows(tmp_path)
        begun = again.begin()
        assert begun == found
        again.append(groups[0])
        again.append(groups[1])
        assert again.read() == [*begun, groups[0], groups[1]], f"cut to {kept} of {len(whole)} bytes"


def test_finishing_writes_the_rows_and_removes_the_partial_file(tmp_path: Path) -> None:
    groups = groups_of(4)
    partial = filled(tmp_path, groups)
    rows = [dict.fromkeys(COLUMNS) | each for group in partial.read() for each in group]
    partial.finish(rows)
    assert len(files_under(tmp_path)) == 2  # until the status says done, nothing of it may be lost
    partial.forget()
    assert files_under(tmp_path) == [tmp_path / "rows.csv"]
    assert partial.read() == []
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert header == list(COLUMNS)
    back = [dict(zip(header, line, strict=True)) for line in lines]
    assert [each["image"] for each in back] == [each["image"] for each in rows]
    assert [float(each["psnr_db"]) for each in back] == [each["psnr_db"] for each in rows]
    assert all(each["tags"] == "" for each in back)


def test_a_finish_that_fails_keeps_the_partial_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = groups_of(3)
    partial = filled(tmp_path, groups)
    for name in ("replace", "rename"):
        monkeypatch.setattr(os, name, fail)
        monkeypatch.setattr(Path, name, fail)
    with pytest.raises(OSError, match="the disk is full"):
        partial.finish([dict.fromkeys(COLUMNS) | each for group in groups for each in group])
    monkeypatch.undo()
    assert not (tmp_path / "rows.csv").exists()
    assert PartialRows(tmp_path).read() == groups


# -------------------------------------------------------------------------------------------------------- plan


def cells_of(root: Path, names: list[str], study: str = "demo") -> list[Cell]:
    return [cell(root, name, key=key_of({"name": name}), study=study) for name in names]


def test_there_is_no_plan_before_the_first(tmp_path: Path) -> None:
    assert read_plan(tmp_path / "demo") == {}
    (tmp_path / "demo").mkdir()
    assert read_plan(tmp_path / "demo") == {}


def test_a_plan_gives_back_the_cells_by_key(tmp_path: Path) -> None:
    first = cell(tmp_path, "nlm", key="a" * 12)
    overrides = ("method=nlm", "method.h=0.8", "dataset.name='a b'")
    second = cell(tmp_path, "../x\u00fc", key="b" * 12, seed=3, train_key="c" * 12, overrides=overrides)
    add_to_plan(tmp_path / "demo", [first, second])
    assert read_plan(tmp_path / "demo") == {first.key: first, second.key: second}
    assert json.loads((tmp_path / "demo" / "plan.json").read_text())


def test_adding_to_a_plan_keeps_what_is_there(tmp_path: Path) -> None:
    old, shared, new = cells_of(tmp_path, ["old", "shared", "new"])
    add_to_plan(tmp_path / "demo", [old, shared])
    add_to_plan(tmp_path / "demo", [replace(shared), new])
    add_to_plan(tmp_path / "demo", [])
    plan = read_plan(tmp_path / "demo")
    assert plan == {each.key: each for each in (old, shared, new)}


@pytest.mark.parametrize("moved", ["elsewhere/demo", "demo2", "deep/er/renamed"])
def test_a_plan_follows_its_folder(tmp_path: Path, moved: str) -> None:
    cells = cells_of(tmp_path / "runs", ["a", "b"])
    for each in cells:
        each.set_status("failed", step=1)
    add_to_plan(tmp_path / "runs" / "demo", cells)
    target = tmp_path / moved
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(tmp_path / "runs" / "demo", target)
    plan = read_plan(target)
    assert set(plan) == {each.key for each in cells}
    for each in cells:
        found = plan[each.key]
        assert (Path(found.root), found.study) == (target.parent, target.name)
        assert replace(found, root=each.root, study=each.study) == each
        assert found.folder == target / each.folder.relative_to(tmp_path / "runs" / "demo")
        assert found.state == "failed"


def test_threads_that_add_to_one_plan_lose_nothing(tmp_path: Path) -> None:
    names = [[f"{thread}-{index}" for index in range(10)] for thread in range(4)]
    errors: list[BaseException] = []

    def add(mine: list[str]) -> None:
        try:
            for each in cells_of(tmp_path, mine):
                add_to_plan(tmp_path / "demo", [each])
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test must hear of it
            errors.append(error)

    threads = [threading.Thread(target=add, args=(mine,)) for mine in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert set(read_plan(tmp_path / "demo")) == {key_of({"name": name}) for mine in names for name in mine}


ADD = """
import sys, time
from pathlib import Path
from denoisebench.store.cell import Cell, key_of
from denoisebench.store.plan import add_to_plan
root, mine, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
(root / f"ready-{mine}").touch()
while not (root / "go").exists():
    time.sleep(0.001)
for index in range(count):
    name = f"{mine}-{index}"
    add_to_plan(root / "demo", [Cell(str(root), "demo", name, "photos", "gaussian25", 0, key_of({"name": name}), "setup")])
"""


def test_processes_that_add_to_one_plan_lose_nothing(tmp_path: Path) -> None:
    runs = [python(ADD, str(tmp_path), name, "20") for name in "abc"]
    while not all((tmp_path / f"ready-{name}").exists() for name in "abc"):
        assert all(run.poll() is None for run in runs)
    # All of them begin at once.
    (tmp_path / "go").touch()
    for run in runs:
        run.communicate(timeout=60)
        assert run.returncode == 0
    plan = read_plan(tmp_path / "demo")
    assert sorted(each.label for each in plan.values()) == sorted(f"{name}-{index}" for name in "abc" for index in range(20))
    # What one of them is still writing is whole to the others; nothing half written is left.
    left = [path for path in files_under(tmp_path / "demo") if path.name != "plan.json" and "lock" not in path.name]
    assert left == []


def test_two_studies_have_plans_of_their_own(tmp_path: Path) -> None:
    for study in ("one", "two"):
        add_to_plan(tmp_path / study, cells_of(tmp_path, ["a", study], study))
    assert {each.label for each in read_plan(tmp_path / "one").values()} == {"a", "one"}
    assert {each.label for each in read_plan(tmp_path / "two").values()} == {"a", "two"}
