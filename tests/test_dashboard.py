"""The workspace of a study, as far as it can be checked without a server: what would be sent."""

import json
from typing import Any

import pytest

from denoisebench.tracking import dashboard


def test_without_a_key_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(ValueError, match="WANDB_API_KEY"):
        dashboard.layout("demo", "team", "denoisebench")


@pytest.mark.filterwarnings("ignore:Pydantic V1 style:DeprecationWarning")
def test_the_layout_shows_what_the_runs_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    pytest.importorskip("wandb_workspaces")
    workspace: Any = dashboard.layout("demo", "team", "denoisebench")
    sent = json.loads(workspace._to_model().model_dump_json(by_alias=True))
    assert (sent["entity"], sent["project"], sent["displayName"]) == ("team", "denoisebench", "denoisebench demo")
    section = sent["spec"]["section"]
    [runs] = section["runSets"]
    [only] = runs["filters"]["filters"]
    assert (only["key"], only["value"]) == ({"section": "config", "name": "study"}, "demo")
    panels = [panel for part in section["panelBankConfig"]["sections"] for panel in part["panels"]]
    bars = [panel["config"] for panel in panels if panel["viewType"] == "Bar Chart"]
    assert [bar["metrics"] for bar in bars] == [["psnr_db"], ["ssim"], ["seconds"]]
    assert {bar["groupBy"] for bar in bars} == {"cell.value.line"}
    lines = [panel["config"] for panel in panels if panel["viewType"] == "Run History Line Plot"]
    assert [(line["xAxis"], *line["metrics"]) for line in lines] == [
        ("train/step", "train/loss"), ("validation/step", "validation/psnr_db"),
    ]  # fmt: skip
    assert [panel["config"]["mediaKeys"] for panel in panels if panel["viewType"] == "Media Browser"] == [["pictures"]]
    assert "per_image" in json.dumps([panel for panel in panels if panel["viewType"] == "Weave"])
