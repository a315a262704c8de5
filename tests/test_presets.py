"""What the heads of the presets show: each command is one that the program takes, and the cells are as many as they say."""

import re
import shlex
from pathlib import Path

import pytest

from denoisebench import cli, config
from denoisebench.config import compose

PRESETS = config.groups()["experiment"]
WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "ten": 10, "twelve": 12}
PREFIX = "#   denoisebench run "


def head_of(name: str) -> str:
    lines = (Path(config.conf_dir()) / "experiment" / f"{name}.yaml").read_text().splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


def commands_of(name: str) -> list[list[str]]:
    shown = [line.removeprefix(PREFIX) for line in head_of(name).splitlines() if line.startswith(PREFIX)]
    return [shlex.split(line, comments=True) for line in shown]


@pytest.mark.parametrize("name", PRESETS)
def test_every_command_of_a_preset_is_one_that_the_program_takes(name: str) -> None:
    commands = commands_of(name)
    assert commands
    for arguments in commands:
        overrides, multirun, others = config.split_flags(arguments)
        grid = config.expand(overrides, multirun=multirun)
        assert f"experiment={name}" in overrides
        assert not others
        for cell in (grid[0], grid[-1]):
            config.compose_one(cell)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_as_many_cells_as_it_says(name: str) -> None:
    text = " ".join(head_of(name).replace("#", " ").split())
    told = [WORDS.get(word.lower()) or int(word) for word in re.findall(rf"(?i)\b(\d+|{'|'.join(WORDS)}) cells\b", text)]
    count = len(config.expand([f"experiment={name}"], multirun=True))
    assert not told or count in told, text


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_trains_by_the_recipe_of_the_budget_that_it_names(name: str) -> None:
    composed, hydra_own = compose.composed([f"experiment={name}", config.expand([f"experiment={name}"], multirun=True)[0][0]])
    assert composed.budget == hydra_own.runtime.choices["budget"]


def test_a_preset_that_only_names_a_budget_is_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nbudget: hour\n")
    overrides, _, _ = config.split_flags(["--config-dir", str(tmp_path), "experiment=mine", "method=noise2void"])
    with pytest.raises(config.ConfigError, match="recipe of paper: write `- override /budget: hour` into its defaults"):
        config.compose_one(overrides)


def test_other_commands_that_heads_name_exist(capsys: pytest.CaptureFixture[str]) -> None:
    named = {found for name in PRESETS for found in re.findall(r"denoisebench ((?!run)[a-z-]+(?: [a-z]+)?)", head_of(name))}
    for words in sorted(named):
        assert cli.main([*words.split()[:1], "--help"]) == 0, words
        for word in words.split()[1:]:
            assert word in capsys.readouterr().out


def test_a_mistyped_key_in_a_head_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.commands_of", lambda name: [["-m", f"experiment={name}", "dataset.frist=1"]])
    with pytest.raises(config.ConfigError, match="first"):
        test_every_command_of_a_preset_is_one_that_the_program_takes("awgn")
