"""The site: what its pages say, that they are whole and quiet, and that they can be read by everyone."""

import html.parser
import json
import os
import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from browser import Browser, browser
from denoisebench import cli
from denoisebench.packs.contents import Author
from denoisebench.packs.write import write_pack
from denoisebench.report.study import build
from denoisebench.site import ranking as ranked
from denoisebench.site.ranking import Ranking, critical_difference, profile, ranking
from denoisebench.site.write import write_site
from studies import STUDY, add_cell

EVIL = 'm[x="<script>alert(1)</script>"]'
NOISES = ("gaussian15", "gaussian25", "gaussian50")


def study() -> None:
    """Four methods, one of them a bound and one with a name that is HTML, over three noises of 26 photographs."""
    names = [f"p{i:02d}" for i in range(26)]
    rng = np.random.default_rng(0)
    for level, noise in enumerate(NOISES):
        base = 35 - 3 * level + rng.normal(size=26)
        for shift, method in enumerate(("noisy", "tv", "nlm", EVIL)):
            psnrs = dict(zip(names, base + shift + 0.1 * rng.normal(size=26), strict=True))
            add_cell(method, psnrs, noise=noise, family="prior" if shift else "")
        psnrs = dict(zip(names, base + 9, strict=True))
        add_cell("noise2clean", psnrs, noise=noise, tags="supervised", learns="dataset", budget="paper", train_steps="10")
    for cell in STUDY.glob("*/*/*/seed*"):
        (cell / "manifest.json").write_text(json.dumps({"finished": "2026-11-26T10:00:00+00:00"}))
        (cell / "config.yaml").write_text("seed: 0\n")


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    study()
    write_pack(STUDY, Path("study.pack.zip"), Author("A. Person", "a@lab.example", "Lab <A>", "CC0-1.0"), images=True)
    write_site(["study.pack.zip"], tmp_path / "site")
    return tmp_path / "site"


class Links(html.parser.HTMLParser):
    """Every address in a page, its ids, and the text between tags."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append((tag, value))
            if name == "id" and value:
                self.ids.append(value)


def parsed(page: Path) -> Links:
    found = Links()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_every_link_leads_somewhere_and_nothing_is_fetched(pages: Path) -> None:
    every = {page: parsed(page) for page in pages.rglob("*.html")}
    assert len(every) > 40
    for page, found in every.items():
        assert len(set(found.ids)) == len(found.ids), f"{page} has an id twice"
        for tag, link in found.links:
            if link.startswith(("https://", "http://")):
                assert tag == "a", f"{page} loads {link}"
            elif not link.startswith("data:image/"):
                path, _, anchor = link.partition("#")
                target = (page.parent / path).resolve() if path else page
                assert target.is_file(), f"{page} links {link}"
                assert not anchor or anchor in every[target].ids, f"{page} links {link}"


def test_a_second_site_removes_the_pages_of_the_first_and_no_other_file(pages: Path) -> None:
    kept = {pages / "packs" / "study.pack.zip": "a pack to download", pages / "methods" / "notes.html": "<p>mine</p>"}
    for path, text in kept.items():
        path.write_text(text)
    gone = pages / "methods" / "gone.html"
    gone.write_bytes((pages / "methods" / "tv.html").read_bytes())
    write_site(["study.pack.zip"], pages)
    assert {path: path.read_text() for path in kept} == kept
    assert not gone.exists()


def test_a_folder_with_another_site_js_is_no_site(pages: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "site.js").write_text("alert(1);")
    with pytest.raises(ValueError, match="name an empty folder"):
        write_site(["study.pack.zip"], other)


def test_what_the_pages_say(pages: Path) -> None:
    index = (pages / "index.html").read_text()
    assert "<script>alert" not in index
    assert "Lab &lt;A&gt;" in index
    table = index.split('id="set-gaussian25-default"')[1].split("</section>")[0]
    lines = re.findall(r'<tr data-method="([^"]*)"[^>]*>\s*<td>([^<]*)</td>', table)
    assert [rank for _, rank in lines] == ["1", "2", "3", "4", "bound"]
    assert [name for name, _ in lines][1:] == ["nlm", "tv", "noisy", "noise2clean"]
    assert re.search(r"-0\.98 dB \[-1\.\d\d, -0\.\d\d\], p &lt; 0\.001, wins 0 of 26", table)
    assert "not run" in (pages / "methods" / "zsn2n.html").read_text()
    assert "arXiv 2303.11253" in (pages / "methods" / "zsn2n.html").read_text()
    tv = (pages / "methods" / "tv.html").read_text()
    assert "3 of 4" in tv
    assert "denoisebench data download kodak" in (pages / "datasets" / "kodak.html").read_text()
    assert "public domain or CC0" in (pages / "datasets" / "photos.html").read_text()
    assert (pages / "datasets" / "photos.html").read_text().count("data:image/jpeg") == 3
    assert "data:image" not in (pages / "datasets" / "kodak.html").read_text(), "its licence does not say that we may show it"
    [pack] = [page.read_text() for page in (pages / "packs").glob("study.pack.zip-*.html")]
    for text in ("A. Person", "a@lab.example", "CC0-1.0", "2026-11-26", "not verified"):
        assert text in pack


def test_a_pack_is_shown_as_it_was_verified(tmp_path: Path) -> None:
    study()
    write_pack(STUDY, Path("study.pack.zip"), Author(), images=True)
    assert cli.main(["verify-pack", "study.pack.zip", "--record"]) in (0, 1)
    assert cli.main(["site", "study.pack.zip", "--to", "site"]) == 0
    assert "0 verified" in Path("site/packs/index.html").read_text()
    write_pack(STUDY, Path("study.pack.zip"), Author("Somebody else"), images=True)
    assert cli.main(["site", "study.pack.zip", "--to", "site"]) == 0
    assert "not verified" in Path("site/packs/index.html").read_text(), "a record is of one pack, not of a name"


def pack_of(lab: str, path: Path, method: str, **columns: Any) -> str:
    """A pack of one method on two photographs."""
    shutil.rmtree(STUDY, ignore_errors=True)
    cell = add_cell(method, {"a": 30.0, "b": 31.0}, **columns)
    (cell.folder / "manifest.json").write_text("{}")
    (cell.folder / "config.yaml").write_text("seed: 0\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pack(STUDY, path, Author(lab, "x", lab), images=True)
    return str(path)


@pytest.mark.parametrize("label", ["../../outside/evil", "/evil", "index", "a/b", "..", "x?y#z%20"])
def test_whatever_a_pack_calls_its_methods_and_sets_stays_in_the_folder(label: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "evil.html").write_text("precious")
    pages = write_site([pack_of("Lab", Path("e.pack.zip"), label, dataset=label, learns="")], tmp_path / "deep" / "site")
    assert (tmp_path / "outside" / "evil.html").read_text() == "precious"
    assert all(page.resolve().is_relative_to(tmp_path / "deep" / "site") for page in pages)
    assert len({page.resolve() for page in pages}) == len(pages), "one page was written over another"
    assert "<h1>Methods</h1>" in (tmp_path / "deep" / "site" / "methods" / "index.html").read_text()
    test_every_link_leads_somewhere_and_nothing_is_fetched(tmp_path / "deep" / "site")


def test_each_line_names_the_pack_that_it_came_from(tmp_path: Path) -> None:
    packs = [pack_of("Lab A", Path("one/x.pack.zip"), "nlm"), pack_of("Lab A", Path("two/x.pack.zip"), "tv"),
             pack_of("Lab B", Path("three/y.pack.zip"), "noisy")]  # fmt: skip
    write_site(packs, tmp_path / "site")
    lines = re.findall(
        r'<tr data-method="(\w+)".*?packs/([^"]*)">([^<]*)</a> \(([^)]*)\)', (tmp_path / "site" / "index.html").read_text(), re.S
    )
    told = {method: (name, lab, (tmp_path / "site" / "packs" / file).read_text()) for method, file, name, lab in lines}
    assert {method: one[:2] for method, one in told.items()} == {
        "nlm": ("x.pack.zip", "Lab A"), "tv": ("x.pack.zip", "Lab A"), "noisy": ("y.pack.zip", "Lab B")
    }  # fmt: skip
    for method, (_, _, page) in told.items():
        assert re.findall(r'<tr><th scope="row">(\w+)</th>', page) == [method]


def test_a_folder_with_other_files_is_not_written_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study()
    Path("home").mkdir()
    Path("home/thesis.tex").write_text("x")
    assert cli.main(["site", str(STUDY), "--to", "home"]) == 2
    assert "name an empty folder" in capsys.readouterr().err


# --- The ranking ---------------------------------------------------------------------------------------------------


def test_mean_ranks_against_a_literal_count() -> None:
    study()
    found = ranking(build([STUDY]).results)
    assert found is not None
    assert "noise2clean" not in found.methods
    for column, method in enumerate(found.methods):
        ranks = [1 + sum(other > row[column] for other in row) for row in found.scores.tolist()]
        assert found.ranks[column] == pytest.approx(sum(ranks) / len(ranks)), method
    assert [name for name, _ in found.ordered][1:] == ["nlm", "tv", "noisy"]


def test_friedman_against_its_formula() -> None:
    grid = np.random.default_rng(0).normal(size=(9, 4)) + np.arange(4)
    ranks = np.array([[1 + sum(other > value for other in row) for value in row] for row in grid.tolist()])
    n, k = grid.shape
    statistic = 12 * n / (k * (k + 1)) * (sum(r**2 for r in ranks.mean(axis=0)) - k * (k + 1) ** 2 / 4)
    assert ranked.friedman(grid) == pytest.approx(float(stats.chi2.sf(statistic, k - 1)), abs=1e-12)
    assert ranked.friedman(np.ones((4, 3))) == 1.0


@pytest.mark.parametrize(("methods", "q"), [(2, 1.960), (4, 2.569), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_demsars_values(methods: int, q: float) -> None:
    expected = q * (methods * (methods + 1) / (6 * 14)) ** 0.5
    assert critical_difference(14, methods) == pytest.approx(expected, abs=2e-3)


def made(ranks: tuple[float, ...], critical: float) -> Ranking:
    names = tuple("abcdefg"[: len(ranks)])
    return Ranking(names, (("s", "n", "p"),), np.zeros((1, len(ranks))), ranks, 0.5, critical, {})


def test_bars_join_what_is_not_told_apart_and_nothing_else() -> None:
    assert made((1.0, 1.5, 2.2, 4.0), 1.0).cliques == [(1.0, 1.5), (1.5, 2.2)]
    assert made((1.0, 3.0, 5.0), 1.0).cliques == []
    assert made((1.0, 1.2, 1.4), 1.0).cliques == [(1.0, 1.4)]


def test_profiles_rise_to_one_and_start_with_the_wins() -> None:
    scores = np.array([[30.0, 31.0], [30.0, 29.5], [28.0, 30.0]])
    found = Ranking(("a", "b"), (("s", "n", "p"),) * 3, scores, (1.5, 1.5), 1.0, 1.0, {})
    assert profile(found, "a") == [(0.0, pytest.approx(1 / 3)), (1.0, pytest.approx(2 / 3)), (2.0, 1.0)]
    assert profile(found, "b") == [(0.0, pytest.approx(1 / 3)), (0.0, pytest.approx(2 / 3)), (0.5, 1.0)]


def test_the_largest_grid_without_a_gap_is_taken() -> None:
    study()
    add_cell("dip", {f"p{i:02d}": 30.0 for i in range(26)}, noise="gaussian15")
    found = ranking(build([STUDY]).results)
    assert found is not None
    assert "dip" not in found.methods
    assert len(found.tables) == 3


def test_only_means_of_all_images_made_from_the_same_noisy_ones_are_ranked_over_tables() -> None:
    study()
    names = [f"p{i:02d}" for i in range(26)]
    for noise in NOISES:
        add_cell("cheat", dict.fromkeys(names, 60.0), noise=noise, noisy_sha="easier")
        add_cell("part", dict.fromkeys(names[:3], 61.0), noise=noise)
        add_cell("server", dict.fromkeys(names, 62.0), noise=noise, scored_by="server", images="26")
    found = ranking(build([STUDY]).results)
    assert found is not None
    assert set(found.methods) == {"noisy", "tv", "nlm", EVIL}


def test_a_grid_may_need_what_three_tables_share() -> None:
    tables = {("abcde"[i], "n", "default"): dict.fromkeys(methods, 1.0) for i, methods in enumerate(("abcde", "abcdf", "abcef"))}
    methods, places = ranked._grid(tables)
    assert (methods, len(places)) == (("a", "b", "c"), 3)


# --- In a browser --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


def axe() -> str:
    """The accessibility checker's script, from an installed package or a file."""
    if given := os.environ.get("DENOISEBENCH_AXE"):
        return Path(given).read_text(encoding="utf-8")
    found = find_spec("axe_core_python")
    if found is None or found.origin is None:
        pytest.skip("axe is not here: install axe-core-python, or name axe.min.js in DENOISEBENCH_AXE")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


EACH = ("index.html", "ranking.html", "methods/index.html", "methods/tv.html", "methods/zsn2n.html", "datasets/photos.html",
        "datasets/index.html", "packs/index.html", "packs/study.pack.zip-*.html", "reading.html")  # fmt: skip


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_can_be_read_by_everyone(pages: Path, chromium: Browser, dark: bool) -> None:
    script = axe()
    for name in EACH:
        [page] = pages.glob(name)
        for width in (1280, 380):
            chromium.open(page, width, dark=dark, phone=width < 600)
            assert not chromium.problems, chromium.problems
            chromium.value(script + "; 0")
            found: list[dict[str, Any]] = chromium.value(
                "axe.run(document, {resultTypes: ['violations'], preload: false}).then((r) => r.violations.map((v) => "
                "({id: v.id, impact: v.impact, nodes: v.nodes.map((n) => n.html.slice(0, 160))})))"
            )
            assert not found, f"{name}, {width} px: {found}"
            assert chromium.value("document.documentElement.scrollWidth <= innerWidth"), f"{name} is wider than {width} px"


def test_axe_would_find_what_is_wrong(tmp_path: Path, chromium: Browser) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><html><body><p style='color:#bbb;background:#fff'>pale</p><img src='x.png'><input></body></html>"
    )
    chromium.open(page)
    chromium.value(axe() + "; 0")
    found = chromium.value("axe.run(document).then((r) => r.violations.map((v) => v.id))")
    assert {"color-contrast", "image-alt", "label", "html-has-lang"} <= set(found)


def test_the_filters_filter(pages: Path, chromium: Browser) -> None:
    chromium.open(pages / "index.html")
    shown = "[...document.querySelectorAll('section.table')].filter((s) => !s.hidden).length"
    lines = "[...document.querySelectorAll('section.table:not([hidden]) tbody tr')].filter((r) => !r.hidden).length"
    assert (chromium.value(shown), chromium.value(lines)) == (3, 15)
    event = "f.dispatchEvent(new Event('input', {bubbles: true}))"
    choose = f"(k, v) => {{ const f = document.querySelector(`[name=${{k}}]`); f.value = v; {event}; }}"
    chromium.value(f"({choose})('noise', 'gaussian25')")
    assert (chromium.value(shown), chromium.value(lines)) == (1, 5)
    chromium.value(f"({choose})('tag', 'supervised')")
    assert chromium.value(lines) == 4
    chromium.value(f"({choose})('method', 'TV')")
    assert chromium.value(lines) == 1
    assert chromium.value("document.getElementById('shown').textContent") == "1 tables shown"
    chromium.value(f"({choose})('method', 'nothing like it')")
    assert chromium.value(shown) == 0
    assert not chromium.problems
