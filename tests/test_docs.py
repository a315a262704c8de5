"""The pages keep to the code: their commands parse, their links and file names lead somewhere."""

import pkgutil
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from omegaconf import OmegaConf

from denoisebench import config
from denoisebench.cli.app import app, main
from denoisebench.config.search import search_of
from denoisebench.report.table import TAG_TEXTS

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "denoisebench"
PLACES = ("*.md", "docs/*.md", "data/README.md", "experiments/**/*.md", "benchmarks/*.md")
PAGES = sorted(path for place in PLACES for path in ROOT.glob(place))
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS: dict[str, Any] = getattr(typer.main.get_command(app), "commands")  # noqa: B009 (Typer does not export its type)


def fenced(text: str, language: str) -> list[str]:
    return [block for found, block in FENCED.findall(text) if found == language]


def inline(text: str) -> list[str]:
    """What stands between backticks outside of fenced blocks, on one line each."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", FENCED.sub("", text))]


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a page after `denoisebench`."""
    lines = [line for block in fenced(text, "sh") for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *inline(text)]:
        if re.match(r"(\.venv/bin/)?denoisebench\s", line):
            yield shlex.split(line, comments=True)[1:]


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out


def examples(text: str) -> Iterator[list[str]]:
    """The words of each example of a help text, without the remark that follows after two spaces."""
    for line in text.splitlines():
        if line.startswith("  ") and line.lstrip().startswith("denoisebench "):
            name, *rest = shlex.split(re.split(r"\s{2,}", line.strip())[0])[1:]
            if name == "run":  # a remark may follow after one space
                rest = list(takewhile(lambda word: "=" in word or word.startswith("-"), rest))
            yield [name, *rest]


def check(words: Sequence[str]) -> None:
    """Parse a command as the program would, without running it; of `run`, the configuration is composed too."""
    name, *rest = words
    command = COMMANDS[name]
    if name == "data" and rest and rest[0] != "--help":
        command, rest = command.commands[rest[0]], rest[1:]
    if "--help" in rest or not rest:
        return
    parsed = command.make_context(name, list(rest)).params
    if name == "run" and not parsed["cfg"]:
        settings = [filled(setting) for setting in parsed["settings"] or ()]
        overrides, _, others = config.split_flags(settings)
        assert not others, f"unknown options {others}"
        assert config.compose_all(overrides, multirun=parsed["multirun"])
    if name == "tune":
        search = search_of([setting for setting in parsed["settings"] if not setting.startswith("trials=")])
        assert all(config.compose_one(search.trial(corner)) for corner in search.corners)
    for option in ("protocol", "against"):
        given = parsed.get(option) or ()
        assert set([given] if isinstance(given, str) else given) <= {*config.groups()["protocol"], "NAME", "PROTOCOL"}


def filled(setting: str) -> str:
    """A template's or example's choice of method as one that there is, the budget that `tune` writes as one of ours; other
    placeholders are values like any other."""
    return re.sub(r"^method=(NAME|median)\b", "method=tv", re.sub(r"^budget=tuned$", "budget=quick", setting))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_parse(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        try:
            check(words)
        except Exception as error:
            raise AssertionError(f"{page.relative_to(ROOT)}: denoisebench {shlex.join(words)}: {error!r}") from error


def test_the_pages_have_commands() -> None:
    found = {words[0] for page in PAGES for words in commands(page.read_text(encoding="utf-8"))}
    assert found >= {"run", "report", "explain", "status", "retry", "submit", "data", "dashboard", "import-weights", "check"}


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_examples_of_a_help_text_parse(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = helped(capsys, *command.split())
    found = list(examples(text))
    assert found or command in ("completion",)
    for words in found:
        try:
            check(words)
        except Exception as error:
            raise AssertionError(f"denoisebench {command} --help: denoisebench {shlex.join(words)}: {error!r}") from error


@pytest.mark.parametrize(
    "words",
    [
        ["runn", "method=nlm"],
        ["run", "method=nlmm"],
        ["run", "method=nlm", "nois=real"],
        ["run", "method=noisy,nlm"],
        ["run", "--plam", "method=nlm"],
        ["report", "default", "--basline", "nlm"],
        ["report", "default", "--protocol", "apbs"],
        ["explain", "CELL", "--agianst", "apbsn"],
        ["data", "downlod", "kodak"],
        ["submit", "dnnd", "CELL"],
    ],
)
def test_a_wrong_command_would_be_noticed(words: list[str]) -> None:
    with pytest.raises((KeyError, AssertionError, config.ConfigError, typer.TyperException)):
        check(words)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name} links {target}"
        assert not anchor or anchor in anchors(place), f"{page.name} links {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_files_that_a_page_names_exist(page: Path) -> None:
    places = {path.name: base for base in (SOURCE, ROOT) for path in base.iterdir() if path.is_dir() and path.name != "runs"}
    for code in inline(page.read_text(encoding="utf-8")):
        first = code.split("/")[0]
        is_path = re.fullmatch(r"[\w.]+(/[\w.]+)*/?", code) and "/" in code
        if is_path and first in places and not re.search(r"[A-Z]{2,}(?!\w*\.md)", code):
            assert (places[first] / code).exists() or (page.parent / code).exists(), f"{page.name} names {code}"


def test_the_table_of_methods_is_the_one_that_its_script_writes() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "methods.py"))
    assert script["page"]() == script["PAGE"].read_text(encoding="utf-8"), "run `make methods`"


def test_the_published_numbers_of_the_pages_are_those_of_the_committed_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    script = runpy.run_path(str(ROOT / "docs" / "standings.py"))
    for path, text in script["pages"]().items():
        assert text == path.read_text(encoding="utf-8"), f"{path.name}: run `make methods`"


def test_the_example_method_of_the_readme_works() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(fenced(text, "python")[0], names)
    node: Any = OmegaConf.create(fenced(text, "yaml")[0])
    assert node["_target_"] == "denoisebench.methods.median.Median"
    noisy = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(0))
    denoised = names["Median"](size=node["size"]).denoise(noisy)
    assert denoised.shape == noisy.shape
    assert torch.equal(denoised[1, 2, 4, 5], noisy[1, 2, 3:6, 4:7].median())


def test_version_and_citation_agree() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    citation: Any = OmegaConf.load(ROOT / "CITATION.cff")
    assert str(citation["version"]) == version
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_hooks_are_local() -> None:
    hooks: Any = OmegaConf.load(ROOT / ".pre-commit-config.yaml")
    assert [repo["repo"] for repo in hooks["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks["repos"][0]["hooks"]} == {"system"}


def test_the_call_path_of_a_cell_names_what_there_is() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The call path of one cell")[1].split("\n## ")[0]
    steps = re.findall(r"^\d+\. (.+)$", section, re.MULTILINE)
    assert len(steps) == 10
    names = re.findall(r"`([a-z_]+(?:\.\w+)+)(?:\([^`]*\))?`", section)
    found = [name for name in names if not name.endswith(".json")]
    assert len(found) >= 9
    for name in found:
        assert pkgutil.resolve_name(f"denoisebench.{name}")


def test_the_page_of_the_report_explains_every_tag() -> None:
    page = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
    assert [tag for tag in TAG_TEXTS if f"`{tag}`" not in page] == []


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 190
