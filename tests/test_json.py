"""`--json`: one object on standard output, of its schema, and nothing else."""

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from denoisebench import cli
from denoisebench.report.as_json import number
from studies import STUDY, add_cell

STRICT = ("status", "plan", "report", "data-list", "diagnose", "verify-pack")


def schema(name: str) -> dict[str, Any]:
    return json.loads(files("denoisebench").joinpath("schemas", f"{name}.json").read_text(encoding="utf-8"))


def said(capsys: pytest.CaptureFixture[str], name: str, *words: str, code: int = 0) -> Any:
    assert cli.main(list(words)) == code
    told = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(schema(name)).validate(told)
    assert told["schema"] == f"denoisebench/{name}/1"
    return told


@pytest.mark.parametrize("name", STRICT)
def test_the_schemas_are_schemas_and_name_every_field(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": f"denoisebench/{name}/1", "more": 1}, schema(name))


def test_status(capsys: pytest.CaptureFixture[str]) -> None:
    add_cell("tv", {"a": 30.0})
    cell = add_cell("nlm", {"a": 31.0})
    cell.set_status("failed", reason="out of memory")
    [study] = said(capsys, "status", "status", "study", "--json", code=1)["studies"]
    assert study["counts"] == {"done": 1, "skipped": 0, "failed": 1, "unfinished": 0, "missing": 0}
    assert {c["method"]: (c["state"], c["reason"]) for c in study["cells"]} == {
        "tv": ("done", None), "nlm": ("failed", "out of memory")
    }  # fmt: skip


def test_report_has_what_the_tables_have(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"p{i}" for i in range(30)]
    add_cell("noisy", dict.fromkeys(names, 20.0))
    add_cell("tv", {name: 30.0 + i for i, name in enumerate(names)})
    add_cell("nlm", {name: float("inf") if i == 0 else 25.0 for i, name in enumerate(names)}, noise="gaussian50")
    told = said(capsys, "report", "report", str(STUDY), "--json")
    found = {(r["method"], r["noise"]): r for r in told["results"]}
    assert found["tv", "gaussian25"]["scores"]["psnr_db"]["mean"] == pytest.approx(44.5)
    assert found["tv", "gaussian25"]["to_baseline"]["mean_db"] == pytest.approx(24.5)
    assert found["tv", "gaussian25"]["to_best"] is None
    assert told["ranked_by"] == "psnr_db"
    assert (found["tv", "gaussian25"]["rank"], found["noisy", "gaussian25"]["rank"]) == (1, 2)
    assert found["nlm", "gaussian50"]["scores"]["psnr_db"]["mean"] == "inf"
    assert (STUDY / "report.html").is_file()


def test_a_report_by_another_measure_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for method, psnr_db, gmsd in (("noisy", 30.0, 0.3), ("tv", 20.0, 0.1)):
        add_cell(method, {f"p{i}": psnr_db + i for i in range(30)}, gmsd=gmsd)
    told = said(capsys, "report", "report", str(STUDY), "--json", "--measures", "gmsd")
    assert told["ranked_by"] == "gmsd"
    found = {r["method"]: r for r in told["results"]}
    assert {method: r["scores"]["gmsd"]["mean"] for method, r in found.items()} == {"noisy": 0.3, "tv": 0.1}
    assert found["noisy"]["to_best"]["mean_db"] == pytest.approx(0.2)
    assert found["noisy"]["scores"]["psnr_db"]["mean"] == pytest.approx(44.5)


def test_a_report_of_nothing_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    add_cell("tv", {"a": 30.0}).set_status("failed", reason="x")
    assert said(capsys, "report", "report", str(STUDY), "--json", code=1)["results"] == []


def test_plan(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("run", "-m", "method=tv,neighbor2neighbor", "noise=gaussian25,real", "budget=smoke", "dataset.crop=33", "--plan")
    told = said(capsys, "plan", *words, "--json")
    assert told["left"]["cells"] == 4
    assert [cell["impossible"] is None for cell in told["cells"]] == [True, False, True, False]
    [training] = [one for one in told["trainings"] if not one["done"] and told["cells"][2]["key"] in one["cells"]]
    assert told["cells"][2]["training"] == training["key"]


def test_json_of_a_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "method=tv", "--json"]) == 2
    assert "--plan" in capsys.readouterr().err


def test_data_list(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISEBENCH_DATA", "nowhere")
    sets = {one["name"]: one for one in said(capsys, "data-list", "data", "list", "--json")["sets"]}
    assert sets["photos"]["here"] is not None
    assert sets["kodak"]["download"] == "automatic"
    assert sets["dnd"]["download"] == "by hand"


def test_numbers_that_json_lacks() -> None:
    assert [number(value) for value in (1.5, None, float("inf"), float("-inf"))] == [1.5, None, "inf", "-inf"]
