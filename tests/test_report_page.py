"""The page: offline, deaf to hostile names, and driven in a real browser where there is one."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from browser import Browser, browser
from denoisebench.report.charts import Point, cost_plot, curve_plot, pareto
from denoisebench.report.health import Curve
from denoisebench.report.latex import latex_tables, latex_text
from denoisebench.report.markup import Markup, element, with_code
from denoisebench.report.overview import overview
from denoisebench.report.results import summarise
from denoisebench.report.rows import read_study
from denoisebench.report.study import build
from denoisebench.report.viewer import chosen, groups_of, hardest, residual
from denoisebench.report.write import write_report
from denoisebench.store.cell import Cell
from denoisebench.store.pictures import read_png
from denoisebench.store.plan import add_to_plan
from denoisebench.store.rows import write_csv, write_rows
from studies import STUDY, add_cell

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&${title}"
PAGE = STUDY / "report.html"


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def three_methods() -> None:
    for noise in ("gaussian25", "camera"):
        add_cell("noisy", {"a": 20.0, "b": 21.0}, noise=noise)
        add_cell("alpha", {"a": 30.0, "b": 29.0}, noise=noise, tags="oracle_sigma")
        add_cell("beta", {"a": 28.0, "b": 31.5}, noise=noise, learns="dataset", budget="quick", train_seconds=60.0)


def test_the_page_fetches_nothing_and_links_what_is_there() -> None:
    three_methods()
    assert write_report([STUDY]) == 0
    text = PAGE.read_text()
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", text)
    assert "default-src 'none'" in text
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found
    data = json.loads(found[1])
    assert [(g["dataset"], g["noise"], len(g["images"])) for g in data] == [("set", "camera", 2), ("set", "gaussian25", 2)]
    for group in data:
        for image in group["images"]:
            links = [group["inputs"] + image["noisy"], image["sheet"], *(m["base"] + image["file"] for m in group["methods"])]
            assert all((STUDY / link).is_file() for link in links)


def test_all_formats_hold_the_same_numbers() -> None:
    three_methods()
    write_report([STUDY])
    for name in ("report.html", "report.md", "table.tex"):
        text = (STUDY / name).read_text()
        for score in ("20.50", "29.50", "29.75"):
            assert score in text, (name, score)


def test_several_studies_make_one_report_and_a_cell_in_both_counts_once() -> None:
    three_methods()
    write_csv(Path("runs/other/plan.json.csv"), ("a",), [])
    for path in sorted(STUDY.glob("noisy/*/*/seed*")):
        target = Path("runs/other").joinpath(*path.parts[2:])
        target.mkdir(parents=True)
        for name in ("rows.csv", "status.json"):
            (target / name).write_bytes((path / name).read_bytes())
    assert write_report([STUDY, Path("runs/other")]) == 0
    assert (Path("runs/study+other") / "report.html").is_file()
    report = build([STUDY, Path("runs/other")])
    assert len(report.rows) == 12
    assert report.notes == []


def test_parts_of_one_study_have_its_name_once() -> None:
    three_methods()
    part = Path("part") / STUDY.name
    shutil.copytree(STUDY, part)
    assert build([STUDY, part]).title == STUDY.name


def test_mixed_commits_are_told() -> None:
    add_cell("alpha", {"a": 30.0}, commit="abc")
    add_cell("beta", {"a": 30.0}, commit="def+dirty")
    write_report([STUDY])
    assert "computed at 2 commits (abc: alpha; def+dirty: beta)" in PAGE.read_text()
    assert "uncommitted changes" in PAGE.read_text()


def test_hostile_names_are_text_everywhere() -> None:
    cell = add_cell(HOSTILE, {HOSTILE: 20.0}, tags="supervised")
    add_cell("alpha", {HOSTILE: 21.0})
    broken = Cell("runs", "study", "broken", "set", HOSTILE, 0, "b" * 12, "b")
    add_to_plan(STUDY, [broken])
    broken.set_status("failed", reason=HOSTILE, traceback=HOSTILE)
    (cell.folder / "manifest.json").write_text(json.dumps({"commit": HOSTILE, "versions": {HOSTILE: HOSTILE}}))
    write_report([STUDY])
    text = PAGE.read_text()
    assert "<img src=x" not in text
    assert "<script>alert" not in text
    assert text.count("<script") == 2
    assert element("p", HOSTILE, title=HOSTILE).count("<") == 2
    assert "alert(1)" not in (STUDY / "table.tex").read_text().replace(latex_text(HOSTILE), "")


def test_hostile_names_run_nothing_in_a_browser(driven: Browser) -> None:
    add_cell(HOSTILE, {HOSTILE: 20.0, "javascript:alert(3)": 22.0})
    add_cell("alpha", {HOSTILE: 21.0, "javascript:alert(3)": 20.0})
    write_report([STUDY])
    driven.open(PAGE)
    driven.value("document.querySelectorAll('details').forEach((one) => (one.open = true))")
    for mode in ("flip", "all", "error", "residual"):
        driven.click(f"[data-mode={mode}]")
    driven.click("#next")
    assert driven.value("document.querySelectorAll('script').length") == 2
    assert not driven.problems
    # The policy stops what gets in nevertheless.
    driven.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked=1\">')")
    driven.value("new Promise((done) => setTimeout(done, 200))")
    assert driven.value("window.hacked") is None


def search(driven: Browser, text: str) -> None:
    """Type into the filter of methods."""
    driven.value(f"document.querySelector('#search').value = {json.dumps(text)}")
    driven.value("document.querySelector('#search').dispatchEvent(new Event('input'))")


def test_tables_sort_and_filter(driven: Browser) -> None:
    three_methods()
    write_report([STUDY])
    driven.open(PAGE)
    names = "[...document.querySelectorAll('table.main tbody tr:not([hidden]) .name')].map((node) => node.textContent)"
    assert driven.value(names) == ["noisy", "alpha", "beta"]
    driven.click("table.main thead th:nth-child(3) button")
    assert driven.value(names) == ["beta", "alpha", "noisy"]
    driven.click("table.main thead th:nth-child(3) button")
    assert driven.value(names) == ["noisy", "alpha", "beta"]
    driven.value(
        "document.querySelector('#search').value = 'ALP'; document.querySelector('#search').dispatchEvent(new Event('input'))"
    )
    assert driven.value(names) == ["alpha"]
    driven.value(
        "document.querySelector('#search').value = ''; document.querySelector('#search').dispatchEvent(new Event('input'))"
    )
    driven.click("[data-tag='budget quick']")
    assert driven.value(names) == ["noisy", "alpha"]
    assert not driven.problems


def test_slider_zoom_flip_and_images_in_the_viewer(driven: Browser) -> None:
    three_methods()
    write_report([STUDY])
    driven.open(PAGE)
    loaded = "[...document.querySelectorAll('#stage img')].every((one) => one.complete && one.naturalWidth === 16)"
    driven.wait(f"document.querySelectorAll('#stage img').length === 2 && {loaded}")
    x, y = driven.centre("#divider")
    driven.drag((x, y), (x - 200, y))
    assert driven.value("document.querySelector('#over').style.clipPath").startswith("inset(0")
    assert 5 < driven.value("state.split * 100") < 45
    scale = driven.value("state.scale")
    driven.mouse("mouseWheel", x - 100, y, deltaX=0, deltaY=400)
    driven.wait(f"state.scale < {scale} / 1.5")
    transforms = "[...new Set([...document.querySelectorAll('#stage .layers')].map((one) => one.style.transform))].length"
    assert driven.value(transforms) == 1
    before = driven.value("[state.x, state.y]")
    driven.drag((x - 100, y), (x - 70, y + 20))
    assert driven.value("[state.x, state.y]") == pytest.approx([before[0] + 30, before[1] + 20])
    driven.click("[data-mode=flip]")
    driven.click("[data-mode=flip]")
    assert driven.value("[...document.querySelectorAll('#stage .pane')].map((one) => one.hidden)") == [True, False]
    driven.click("[data-mode=all]")
    assert driven.value("document.querySelectorAll('#stage .pane').length") == 4
    assert driven.value(transforms) == 1
    driven.click("#next")
    assert driven.value("document.querySelector('#image').selectedOptions[0].textContent") == "b"
    assert driven.value("document.querySelectorAll('#crops button.crop').length") == 4
    assert not driven.problems


def test_the_blended_error_is_the_absolute_error(driven: Browser, tmp_path: Path) -> None:
    add_cell("alpha", {"a": 30.0})
    write_report([STUDY])
    driven.open(PAGE)
    driven.value("state.gain = 1")
    driven.click("[data-mode=error]")
    driven.wait("[...document.querySelectorAll('#stage img')].every((one) => one.complete && one.naturalWidth)")
    driven.value("document.querySelectorAll('.caption').forEach((one) => one.remove()); look(0, 0, 16, 12, 160, 120)")
    driven.value("state.x = 0; state.y = 0; state.scale = 8; place()")
    driven.picture(tmp_path / "error.png", "#stage .pane:last-child .layers")
    seen = read_png(tmp_path / "error.png")[4::8, 4::8]
    [output] = STUDY.glob("alpha/*/*/*/images/a.png")
    [clean] = STUDY.glob(".inputs/*-clean.png")
    assert seen[:12, :16] == pytest.approx(abs(read_png(output) - read_png(clean)), abs=2 / 255)


def test_the_page_fits_a_phone_in_the_dark(driven: Browser) -> None:
    three_methods()
    write_report([STUDY])
    driven.open(PAGE, 390, 844, dark=True, phone=True)
    assert driven.value("document.documentElement.scrollWidth") <= 390
    red, green, blue = map(int, re.findall(r"\d+", driven.value("getComputedStyle(document.body).backgroundColor"))[:3])
    assert max(red, green, blue) < 60


def test_the_pareto_front_leaves_out_what_is_beaten_and_bounds() -> None:
    points = [
        Point("fast", 0.01, 25, "nothing"), Point("beaten", 1.0, 24, "dataset"), Point("slow", 10, 30, "image"),
        Point("bound", 0.1, 40, "bound"),
    ]  # fmt: skip
    assert [p.label for p in pareto(points)] == ["fast", "slow"]
    plot = cost_plot(points, HOSTILE, "time")
    assert isinstance(plot, Markup)
    assert "<script" not in plot
    assert cost_plot([], "none", "time") == ""


@pytest.mark.parametrize(("apart", "names"), [
    (0.2, ("sdap", "cbsn", "self2self_plus[iqa=null]", "mash")),
    (0.01, ("at_bsn[train_set=SIDD_val_320]", "tm_bsn[train_set=SIDD_val_320]", "sdap[train_set=SIDD_val_320]")),
])  # fmt: skip
def test_every_name_in_a_plot_lies_within_it_and_apart_from_the_others(apart: float, names: tuple[str, ...]) -> None:
    """Marks close together at the right edge, where a long name has room on the left or above alone."""
    points = [Point(name, 90.0 + i, 21.2 + apart * i, "image") for i, name in enumerate(names)]
    plot = str(cost_plot([Point("tv", 0.02, 18.5, "nothing"), *points], "title", "time"))
    found = re.findall(r'<text x="([^"]*)" y="([^"]*)"[^>]*class="label"[^>]*>([^<]*)<', plot)
    assert len(found) == 1 + len(names)
    boxes = [(float(x), float(x) + 6.3 * len(text), float(y)) for x, y, text in found]
    assert all(left >= 0 and right <= 460.5 for left, right, _ in boxes)
    assert all(a[1] <= b[0] or b[1] <= a[0] or abs(a[2] - b[2]) >= 13 for a, b in combinations(boxes, 2))


def test_the_hardest_crops_lie_where_the_error_is_and_do_not_overlap() -> None:
    errors = np.zeros((40, 60))
    errors[5:9, 40:44], errors[30:34, 3:7] = 2.0, 1.0
    corners = hardest(errors, 8, 2)
    assert [5 - 4 <= corners[0][0] <= 5, 36 <= corners[0][1] <= 40] == [True, True]
    assert abs(corners[0][0] - corners[1][0]) >= 8 or abs(corners[0][1] - corners[1][1]) >= 8
    assert 26 <= corners[1][0] <= 30
    assert len(hardest(errors[:8, :8], 8, 3)) == 1


def test_the_residual_of_white_noise_is_white_and_of_a_blur_is_not() -> None:
    rng = np.random.default_rng(0)
    white = rng.normal(0, 0.1, (64, 64, 3)).astype(np.float32) + 0.02
    found = residual(white, np.zeros_like(white))
    assert found["mean"] == pytest.approx(5.1, abs=0.5)
    assert found["std"] == pytest.approx(25.5, abs=1)
    assert found["lags"][0] == 1
    assert max(map(abs, found["lags"][1:])) < 0.05
    smooth = (white + np.roll(white, 1, 1)) / 2
    assert residual(smooth, np.zeros_like(white))["lags"][1] == pytest.approx(0.5, abs=0.05)


def test_images_are_chosen_from_the_hardest_to_the_easiest() -> None:
    add_cell("alpha", {f"i{k}": 20.0 + k for k in range(9)})
    [group] = groups_of(build([STUDY]))
    assert [view.image for view in chosen(group.views, 3)] == ["i0", "i4", "i8"]
    assert len(chosen(group.views, 100)) == 9


def test_latex_marks_the_best_and_the_second_and_escapes() -> None:
    three_methods()
    add_cell("b_o%und", {"a": 40.0, "b": 40.0}, tags="supervised", learns="dataset")
    text = latex_tables(summarise(read_study(STUDY)))
    assert r"\textbf{29.75}" in text
    assert r"\underline{29.50}" in text
    assert r"\midrule" + "\n" + r"b\_o\%und" in text
    assert text.count("{") == text.count("}")
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "textsuperscript" in line]
    assert len({line.count("&") for line in rows}) == 1


def test_latex_names_its_tables_sorts_its_marks_and_tells_seeds() -> None:
    for seed in (0, 1):
        add_cell("other", {"a": 24.0}, seed=seed, tags="second_view")
        add_cell("alpha", {"a": 30.0 + seed}, seed=seed, tags="oracle_sigma second_view", learns="image")
    text = latex_tables(summarise(read_study(STUDY)))
    assert r"\label{tab:set-default}" in text
    assert r"\textbf{30.50} {\scriptsize$\pm$0.71}" in text
    marks = re.findall(r"\\textsuperscript\{([^}]*)\}", text)
    assert marks
    assert all(found.split(",") == sorted(found.split(",")) for found in marks)
    assert any("," in found for found in marks)


def test_the_viewer_offers_no_error_without_clean_images(driven: Browser) -> None:
    add_cell("noisy", {"a": None, "b": None}, dataset="dnd", noise="real")
    add_cell("alpha", {"a": None, "b": None}, dataset="dnd", noise="real")
    write_report([STUDY])
    driven.open(PAGE)
    assert driven.value("document.querySelector('[data-mode=error]').hidden")
    assert driven.value("document.querySelector('#order').parentElement.hidden")
    said = driven.value("document.querySelector('#pictures').innerText")
    assert "error" not in said
    assert "scored" not in said
    assert "Crops where the methods differ" in said
    assert not driven.problems


def test_protocols_stand_in_the_order_asked_for_and_servers_last() -> None:
    for protocol in ("server:x", "neighbor2neighbor", "default", "apbsn"):
        add_cell("alpha", {"a": 30.0}, protocol=protocol, setup=protocol, seed=0)
    by = {"server:x": "server"}
    rows = [{**r, "images": 1, "scored_by": by.get(r["protocol"], "local")} for r in read_study(STUDY)]
    rows.sort(key=lambda r: ["server:x", "neighbor2neighbor", "default", "apbsn"].index(r["protocol"]))
    assert [r.protocol for r in summarise(rows)] == ["neighbor2neighbor", "default", "apbsn", "server:x"]


def test_one_table_over_all_data_sets_and_noises_links_to_each() -> None:
    three_methods()
    add_cell("alpha", {"c": 33.0}, dataset="other", tags="oracle_sigma")
    add_cell("gamma", {"c": 32.0, "d": 34.0}, dataset="other")
    add_cell("gamma", {"c": None}, dataset="unscored")
    write_report([STUDY])
    text = PAGE.read_text()
    table = re.search(r'<table class="main sortable overview".*?</table>', text, re.DOTALL)
    assert table
    assert text.index(table[0]) < text.index('<div id="tables">')
    links = re.findall(r'href="#(table-[0-9]+)"', table[0])
    assert len(links) == 3
    assert all(f'id="{link}"' in text for link in links)
    assert "<u>33.00</u>" not in table[0], "not over all images: no rival of those that are"
    found = overview(build([STUDY]).grids)
    assert found
    assert [(c.grid.dataset, c.noise) for c in found.columns] == [
        ("other", "gaussian25"),
        ("set", "camera"),
        ("set", "gaussian25"),
    ]
    assert "| method | other, gaussian25 | set, camera | set, gaussian25 |" in (STUDY / "report.md").read_text()
    [alpha] = [line for line in found.lines if line.method == "alpha"]
    assert {place: r.psnr_db for place, r in alpha.results.items()} == {0: 33.0, 1: 29.5, 2: 29.5}


def test_the_head_of_a_page_counts_in_words() -> None:
    add_cell("alpha", {"a": 30.0})
    assert write_report([STUDY]) == 0
    assert "1 method, 1 table of a data set under a noise, 1 score. Commit abc." in PAGE.read_text()


def test_a_single_table_needs_no_other_over_it() -> None:
    add_cell("alpha", {"a": 30.0})
    assert overview(build([STUDY]).grids) is None


def test_hidden_tags_hide_points_and_axes_too(driven: Browser) -> None:
    add_cell("noisy", {"a": 20.0})
    seconds = {"alpha": 0.02, "beta": 0.4, "gamma": 7.0, "slow": 900.0}
    for i, (method, own) in enumerate(seconds.items()):
        add_cell(method, {"a": 25.0 + 2 * i}, seconds=own, tags="oracle_sigma" if method == "slow" else "", learns="image")
    write_report([STUDY])
    driven.open(PAGE)
    shown = "[...document.querySelectorAll('svg.plot .point:not([hidden])')].map((node) => node.dataset.method)"
    assert driven.value(shown) == ["alpha", "beta", "gamma", "slow"]
    before = driven.value("document.querySelector('svg[data-box]').outerHTML")
    driven.click("[data-tag=oracle_sigma]")
    assert driven.value(shown) == ["alpha", "beta", "gamma"]
    names = "[...document.querySelectorAll('svg.plot .label:not([hidden])')].map((node) => node.textContent)"
    assert driven.value(names) == ["alpha", "beta", "gamma"]
    hidden_lines = "[...document.querySelectorAll('tr[hidden]')].map((row) => row.dataset.method)"
    assert set(driven.value(hidden_lines)) == {"slow"}
    # What the page draws is what charts.py would have drawn of those that are left.
    points = [Point(m, seconds[m], 25.0 + 2 * i, "image") for i, m in enumerate(("alpha", "beta", "gamma"))]
    ours = cost_plot(points, "title", "axis")
    drawn = driven.value("document.querySelector('svg[data-box]').outerHTML")
    assert places(drawn) == pytest.approx(places(ours), abs=0.06)
    assert re.findall(r'"(?:middle|end)"[^>]*>([^<]*)<', ticks_of(drawn)) == re.findall(r">([^<]+)</text>", ticks_of(ours))
    driven.click("[data-tag=oracle_sigma]")
    assert places(driven.value("document.querySelector('svg[data-box]').outerHTML")) == pytest.approx(places(before), abs=0.06)
    search(driven, "nobody")
    assert driven.value(shown) == []
    assert not driven.problems


def ticks_of(svg: str) -> str:
    found = re.search(r'<g class="ticks-of-axes">(.*?)</g>', svg, re.DOTALL)
    assert found
    return found[1]


def places(svg: str) -> list[float]:
    """Where the marks, the names and the front's corners of a plot are."""
    found = []
    for opening in re.findall(r'<g class="point"[^>]*>', svg):
        if " hidden" in opening:
            continue
        at = [float(re.search(rf'data-{name}="([^"]*)"', opening)[1]) for name in "xy"]  # type: ignore[index]
        moved = re.search(r"translate\(([^ ]*) ([^)]*)\)", opening)
        found += [value + (float(moved[i + 1]) if moved else 0.0) for i, value in enumerate(at)]
    for name in re.findall(r'<text[^>]*class="label"[^>]*>', svg):
        if " hidden" not in name:
            found += [float(value) for value in re.findall(r' [xy]="([^"]*)"', name)]
    front = re.search(r'<polyline points="([^"]*)"', svg)
    assert front
    return found + [float(value) for value in re.split(r"[ ,]", front[1]) if value]


def test_the_bar_does_not_cover_what_a_link_leads_to(driven: Browser) -> None:
    for i in range(12):
        add_cell(f"m{i}", {"a": 20.0 + i}, dataset=f"set{i % 3}", tags=f"a_rather_long_tag_{i} another_long_tag_{i}")
    write_report([STUDY])
    driven.open(PAGE)
    for link in ("#pictures", "#table-1", "#notes"):
        driven.value(f"document.querySelector('a[href=\"{link}\"]').click()")
        above = "document.querySelector('#filter').getBoundingClientRect().bottom"
        target = f"document.querySelector('{link}').getBoundingClientRect().top"
        driven.wait(f"{target} < innerHeight && {target} >= {above}")


def test_a_phone_sees_that_a_table_goes_on(driven: Browser) -> None:
    three_methods()
    write_report([STUDY])
    driven.open(PAGE, 390, 844, phone=True)
    hint = "document.querySelector('#tables table.main').parentElement.nextElementSibling"
    driven.wait(f"!{hint}.hidden && {hint}.textContent.includes('right')")
    driven.value("document.querySelector('#tables table.main').parentElement.scrollLeft = 1e6")
    driven.wait(f"{hint}.hidden")


def test_a_phone_sees_that_crops_go_on_and_each_error_lies_under_its_crop(driven: Browser) -> None:
    three_methods()
    write_report([STUDY])
    driven.open(PAGE, 390, 844, phone=True)
    driven.wait("document.querySelectorAll('#crops button.crop').length === 4")
    driven.click("#next")
    hint = "document.querySelector('#crops .scroll').nextElementSibling"
    driven.wait(f"!{hint}.hidden && {hint}.textContent.includes('right')")
    driven.value("document.querySelector('#crops .scroll').scrollLeft = 1e6")
    driven.wait(f"{hint}.hidden")
    tile = "document.querySelector('#crops tr:nth-child(%d) td:nth-child(2) .crop').getBoundingClientRect()"
    places = f"(box => [box.left, box.width, box.height])({tile})"
    assert driven.value(places % 2) == driven.value(places % 3)
    assert driven.value("document.documentElement.scrollWidth") <= 390
    assert not driven.problems


def test_how_to_read_this_shows_no_backticks() -> None:
    add_cell("alpha", {"a": 30.0})
    write_report([STUDY])
    notes = PAGE.read_text().partition('<section id="notes">')[2].partition("</section>")[0]
    assert "`" not in notes
    assert "<code>oracle_sigma</code>" in notes
    assert with_code("a `b<` c ` d") == "a <code>b&lt;</code> c ` d"


def test_a_training_of_one_point_is_seen() -> None:
    assert "<circle" in curve_plot(Curve("m", [(0.0, 0.5)], [], ""))
    assert "<circle" not in curve_plot(Curve("m", [(0.0, 0.5), (10.0, 0.2)], [], ""))
    drawn = curve_plot(Curve("m", [(0.0, 0.5), (10.0, 0.2)], [], "", [(5.0, 0.3), (10.0, 0.4)]))
    assert (drawn.count("<svg"), drawn.count("<circle")) == (2, 1)
    assert "held-out noisy images, lowest at step 5," in drawn


def test_a_claim_fails_only_where_it_is_made(driven: Browser) -> None:
    blind = {"own": 0.5, "others": 1.0, "network": None}
    for name, network in (
        ("subsampling", None),
        ("leaking", {"own": 0.1, "others": 1.0}),
        ("blind", {"own": 0.0, "others": 1.0}),
    ):
        cell = add_cell(name, {"a": 30.0}, learns="dataset", trained_on="bsds500")
        record = {"evidence": {"blind_spot": {**blind, "network": network}}}
        (cell.folder / "manifest.json").write_text(json.dumps(record))
    write_report([STUDY])
    driven.open(PAGE)
    box = "[...document.querySelectorAll('tr[data-method=%s] .ticks .tick')].map((one) => one.textContent)[1]"
    assert driven.value(box % "subsampling") == "— blind spot"
    assert driven.value(box % "leaking") == "! blind spot"
    assert driven.value(box % "blind") == "✓ blind spot"
    assert "not claimed" in driven.value("document.querySelector('.tables, #tables').innerText")


def test_a_mean_says_of_how_many_images_it_is() -> None:
    cell = add_cell("alpha", {"a": 30.0, "b": 31.0, "c": 32.0}, ssim=0.5)
    rows = list(csv.DictReader((cell.folder / "rows.csv").read_text().splitlines()))
    rows[0]["ssim"], rows[1]["ssim"], rows[2]["ssim"] = "", "0.4", "0.6"
    write_rows(cell.folder / "rows.csv", rows)
    write_report([STUDY])
    [result] = summarise(read_study(STUDY))
    assert (result.scores["psnr_db"].images, result.scores["ssim"].images, result.images) == (3, 2, 3)
    for name, said in (
        ("report.html", "0.5000 (of 2 images)"),
        ("report.md", "0.5000 (of 2 images)"),
        ("table.tex", "(of 2 images)"),
    ):
        text = (STUDY / name).read_text()
        assert text.count(said) >= 1, name
        assert "31.00 (of" not in text
    [line] = csv.DictReader((STUDY / "results.csv").read_text().splitlines())
    assert (line["psnr_images"], line["ssim_images"]) == ("3", "2")
