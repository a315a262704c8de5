"""Published numbers: what is in the file, and that ours stands beside them only where it may."""

import dataclasses
import re

import pytest

from denoisebench import config
from denoisebench.report.differences import difference_text
from denoisebench.report.published import GRADES, PROTOCOL_UNKNOWN, Beside, beside, context, not_comparable, read_published
from denoisebench.report.results import Result, summarise
from denoisebench.report.rows import read_study
from denoisebench.report.standing import counted, standing_table, standings
from denoisebench.report.write import write_report
from denoisebench.submit.kinds import KINDS
from studies import STUDY, add_cell


def ours(**columns: object) -> Result:
    learned = {"learns": "dataset", "budget": "paper", "trained_on": "imagenet_val", "protocol": "neighbor2neighbor"}
    add_cell("neighbor2neighbor", {"a": 32.0, "b": 32.2}, dataset="kodak", ssim=0.88, **{**learned, **columns})  # type: ignore[arg-type]
    [result] = summarise(read_study(STUDY))
    return result


def test_every_number_has_a_source_a_grade_and_is_there_once() -> None:
    rows = read_published()
    assert len(rows) > 200
    assert {row.grade for row in rows} == set(GRADES)
    assert all(row.source for row in rows)
    keys = [(r.method, r.dataset, r.noise, r.tags, r.source, r.protocol) for r in rows]
    assert len(set(keys)) == len(keys)
    assert not [row for row in rows if row.base == "self2self_plus"]


def test_numbers_of_the_fact_sheet_are_as_they_were_read() -> None:
    found = {(r.method, r.dataset, r.noise, r.tags): (r.psnr_db, r.ssim, r.grade) for r in read_published()}
    assert found["neighbor2neighbor", "kodak", "gaussian25", ""] == (32.08, 0.879, "A")
    assert found["neighbor2neighbor", "set14", "poisson5_50", ""] == (29.79, 0.838, "A")
    assert found["blind2unblind", "bsd300", "gaussian5_50", ""] == (30.86, 0.861, "A")
    assert found["noise2void", "set14", "poisson30", ""] == (27.73, 0.774, "A")
    assert found["tm_bsn", "sidd_benchmark", "real", "oracle_selected"] == (38.31, 0.9, "A")
    assert found["at_bsn[distill=false]", "sidd_benchmark", "real", "oracle_selected"] == (36.73, 0.924, "A")
    assert found["sasl", "dnd", "real", "oracle_selected transductive"] == (38.58, 0.936, "A")
    assert found["ams_net", "sidd_validation", "real", "oracle_selected"] == (36.94, None, "B")
    assert found["puca", "dnd", "real", ""] == (38.83, 0.942, "A")
    assert found["mm_bsn", "sidd_benchmark", "real", ""] == (37.37, 0.936, "A")
    assert found["pixel_refilling", "kodak-crop256", "gaussian50", ""] == (26.58, 0.712, "B")
    assert found["sdap[enhance=true]", "sidd_benchmark", "real", "oracle_selected"] == (37.24, 0.936, "A")
    assert found["ffdnet", "cbsd68", "gaussian25", "supervised oracle_sigma"] == (31.21, None, "A")
    assert found["ffdnet", "bsd68", "gaussian50", "supervised oracle_sigma"] == (26.29, None, "A")
    assert found["ffdnet", "mcmaster", "gaussian25", "supervised oracle_sigma"] == (32.35, None, "A")
    assert found["bm3d", "set12", "gaussian25", "oracle_sigma"] == (29.97, None, "A")
    assert found["bm3d", "kodak-crop500", "gaussian25", "oracle_sigma"] == (31.68, None, "A")
    assert found["recorrupted2recorrupted", "kodak", "gaussian25", "oracle_sigma"] == (32.25, None, "C")
    assert found["blind2unblind", "sidd_raw_validation", "real", ""] == (51.34, None, "C")
    assert ("tbsn", "sidd_benchmark", "real", "") not in found  # known from memory alone


def test_kodak24_of_ffdnets_tables_is_no_whole_kodak() -> None:
    """FFDNet's test set is the middle 500 x 500 of each photograph; DMID's table has it from there."""
    whole = {row.method for row in read_published() if row.dataset == "kodak" and row.source.startswith(("DMID", "FFDNet"))}
    crops = {row.method for row in read_published() if row.dataset == "kodak-crop500"}
    assert not whole
    assert {"bm3d", "ffdnet", "restormer"} <= crops


def test_every_method_of_ours_with_a_published_number_goes_by_our_name() -> None:
    """Names of the field that stand for a method of ours: a row under one of them would never be found."""
    others = {"n2v", "n2s", "r2r", "b2u", "mmbsn", "ambsn", "atbsn", "tmbsn", "amsnet", "nlr", "laine_pme", "n2c", "n2n", "nb2nb"}
    assert not {row.base for row in read_published()} & others


def test_variants_are_named_by_the_options_that_give_them() -> None:
    rows = {row.method for row in read_published()}
    for variant in (row for row in rows if row.startswith(("mm_bsn[", "neighbor2neighbor["))):
        name, _, options = variant.partition("[")
        changes = [f"method.{change}" for change in re.split(r",(?![^\[]*\])", options[:-1])]
        one = config.compose_one([f"method={name}", *changes])
        own = dataclasses.replace(ours(), method=f"{name}[{','.join(one.changed)}]", dataset="none")
        published = next(row for row in read_published() if row.method == variant)
        assert not [reason for reason in not_comparable(published, own) if reason.startswith("it is")], one.changed


def test_a_crop_of_theirs_stands_beside_the_same_crop_of_ours_only() -> None:
    assert {p.dataset for p in context("kodak-crop256", "gaussian25")} == {"kodak", "kodak-crop256"}
    assert {p.dataset for p in context("kodak", "gaussian25")} == {"kodak"}
    theirs = next(p for p in context("kodak-crop256", "gaussian25") if p.dataset == "kodak-crop256")
    alike = dataclasses.replace(ours(), dataset="kodak-crop256")
    assert not [reason for reason in not_comparable(theirs, alike) if "part of" in reason]


def test_the_same_thing_gives_a_difference() -> None:
    found = {b.published.method: b for b in beside([ours()])}
    assert found["neighbor2neighbor"].reasons == ()
    assert found["neighbor2neighbor"].psnr_difference_db == pytest.approx(0.02)
    assert difference_text(found["neighbor2neighbor"]) == "+0.02 dB, +0.0010"
    assert "it is neighbor2neighbor[regularizer=0.0]" in difference_text(found["neighbor2neighbor[regularizer=0.0]"])


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"protocol": "default"}, "protocol neighbor2neighbor, ours default"),
        ({"budget": "quick"}, "budget quick"),
        ({"tags": "transductive"}, "tags: none, ours transductive"),
        ({"tags": "stale_training"}, "code has changed"),
        ({"trained_on": "bsds500"}, "training set imagenet_val, ours bsds500"),
    ],
)
def test_another_thing_says_why_not(columns: dict[str, object], reason: str) -> None:
    result = ours(**columns)
    found = next(b for b in beside([result]) if b.published.method == "neighbor2neighbor")
    assert found.psnr_difference_db is None
    assert reason in difference_text(found)


def test_a_protocol_that_is_not_stated_leaves_the_psnr() -> None:
    published = dataclasses.replace(next(p for p in context("kodak", "gaussian25") if p.ssim), protocol="unknown")
    alike = ours(protocol="default")
    alike = dataclasses.replace(alike, method=published.method, tags=published.tags, trained_on=published.trained_on)
    one = Beside(published, alike, tuple(not_comparable(published, alike)))
    assert difference_text(one) == f"{32.1 - published.psnr_db:+.2f} dB; {PROTOCOL_UNKNOWN}"
    assert one.ssim_difference is None


def test_a_part_of_a_set_and_another_noise_are_no_match() -> None:
    published = next(p for p in context("kodak", "gaussian25") if p.method == "neighbor2neighbor")
    result = ours()
    part = dataclasses.replace(result, dataset="kodak-first10")
    assert not_comparable(published, part) == ["ours is a part of the data set (kodak-first10)"]
    clipped = dataclasses.replace(result, noise="gaussian25-clip")
    assert not_comparable(published, clipped) == ["noise gaussian25, ours gaussian25-clip"]
    assert beside([part])
    assert beside([clipped])


def test_what_could_not_be_verified_is_said() -> None:
    add_cell("self2self_plus", {"a": 30.0}, learns="image", budget="paper")
    assert write_report([STUDY]) == 0
    for name in ("report.html", "report.md"):
        assert "no number of Self2Self+" in (STUDY / name).read_text()


def test_another_training_noise_is_another_model() -> None:
    add_cell(
        "neighbor2neighbor[train_noise=gaussian50]", {"a": 32.0}, dataset="kodak", learns="dataset", budget="paper",
        trained_on="imagenet_val", protocol="neighbor2neighbor", train_noise="gaussian50 fresh",
    )  # fmt: skip
    found = beside(summarise(read_study(STUDY)))
    assert found
    assert all(b.psnr_difference_db is None for b in found)
    assert "ours neighbor2neighbor[train_noise=gaussian50]" in difference_text(found[0])


def test_weights_trained_under_another_noise_are_another_model() -> None:
    published = next(p for p in context("kodak", "gaussian25") if p.method == "neighbor2neighbor")
    alike = dataclasses.replace(ours(), method="neighbor2neighbor[checkpoint=w.safetensors]")
    for noise, reasons in (("gaussian25 fixed", []), ("", []), ("gaussian5_50 fixed", ["ours was trained under gaussian5_50"])):
        assert not_comparable(published, dataclasses.replace(alike, train_noise=noise)) == reasons


def test_equal_numbers_are_one_setting() -> None:
    published = next(p for p in context("kodak", "gaussian25") if p.method == "neighbor2neighbor[regularizer=8.0]")
    for written, same in (("8", True), ("8.0", True), ("9", False)):
        result = dataclasses.replace(ours(), method=f"neighbor2neighbor[regularizer={written}]")
        assert (not_comparable(published, result) == []) is same


@pytest.mark.parametrize(("protocol", "alike"), [("server:sidd-mat", True), ("server:sidd-kaggle", False), ("default", False)])
def test_one_server_is_not_another(protocol: str, alike: bool) -> None:
    add_cell("cbsn", {"a": 36.8}, dataset="sidd_benchmark", noise="real", learns="dataset", budget="paper",
             trained_on="sidd_medium", protocol=protocol)  # fmt: skip
    [result] = summarise(read_study(STUDY))
    reasons = next(b.reasons for b in beside([result]) if b.published.psnr_db == 36.82)
    assert reasons == (() if alike else (f"protocol server:sidd-mat, ours {protocol}",))


def test_every_published_protocol_is_one_of_ours() -> None:
    servers = {f"server:{name}" for name in KINDS}
    known = set(config.groups([])["protocol"]) | servers | {"unknown"}
    assert {row.protocol for row in read_published()} <= known


def test_a_label_writes_equal_settings_alike() -> None:
    for written in ("8", "8.0", "8e0"):
        one = config.compose_one(["method=neighbor2neighbor", f"method.regularizer={written}"])
        assert one.changed == ("regularizer=8",)


@pytest.mark.parametrize(
    ("columns", "psnr_db", "word", "told"),
    [({}, 32.08, "reproduced", "protocol neighbor2neighbor"), ({}, 31.93, "reproduced", "protocol"), ({}, 32.24, "differs", ""),
     ({}, 31.9, "differs", ""), ({"budget": "hour"}, 32.08, "not run", "budget hour"),
     ({"protocol": "default"}, 32.08, "not run", "ours default"), ({"trained_on": "bsds500"}, 32.08, "not run", "ours bsds500"),
     ({"tags": "stale_training"}, 32.08, "not run", "our code has changed"), ({"tags": "below_input"}, 12.0, "differs", "")],
)  # fmt: skip
def test_the_status_of_a_published_number_is_computed(columns: dict[str, str], psnr_db: float, word: str, told: str) -> None:
    learned = {"learns": "dataset", "budget": "paper", "trained_on": "imagenet_val", "protocol": "neighbor2neighbor"}
    add_cell("neighbor2neighbor", {"a": psnr_db}, dataset="kodak", **{**learned, **columns})  # type: ignore[arg-type]
    results = summarise(read_study(STUDY))
    found = [one for one in standings(results) if one.published.method == "neighbor2neighbor"]
    assert len(found) == len([p for p in read_published() if p.method == "neighbor2neighbor"])
    [here] = [one for one in found if (one.published.dataset, one.published.noise) == ("kodak", "gaussian25")]
    assert here.word == word
    assert told in here.told
    assert {one.word for one in found if one is not here} == {"not run"}
    write_report([STUDY])
    text = (STUDY / "report.html").read_text()
    assert counted(standings(results)) in text
    assert (word in standing_table(found, ("reproduced", "differs"))) == (word != "not run")


def test_a_paper_that_does_not_say_how_it_scored_is_held_against_the_default_protocol() -> None:
    theirs = next(p for p in read_published() if p.method == "zsn2n" and p.protocol == "unknown" and not p.tags)
    for protocol, psnr_db in (("default", theirs.psnr_db + 0.5), ("aaa", theirs.psnr_db)):
        add_cell("zsn2n", {"a": psnr_db}, dataset=theirs.dataset, noise=theirs.noise, learns="image", budget="paper",
                 protocol=protocol, setup=protocol, seed=0 if protocol == "default" else 1)  # fmt: skip
    [here] = [one for one in standings(summarise(read_study(STUDY))) if one.published is theirs]
    assert (here.word, here.result and here.result.protocol) == ("differs", "default")
    assert "not stated" in here.told


FFDNET = {"learns": "dataset", "budget": "", "trained_on": "unknown: weights given", "dataset": "cbsd68", "protocol": "default"}


@pytest.mark.parametrize(
    ("psnr_db", "tags", "word", "told"),
    [(31.22, "supervised oracle_sigma weights_given", "reproduced", "ours with weights from a file"),
     (30.9, "supervised oracle_sigma weights_given", "differs", "ours with weights from a file; the authors' demo rounds"),
     (31.22, "supervised oracle_sigma", "not run", "training set not stated"),
     (31.22, "supervised sigma_given weights_given", "not run", "ours sigma_given supervised")],
)  # fmt: skip
def test_a_released_network_is_held_against_its_printed_number(psnr_db: float, tags: str, word: str, told: str) -> None:
    add_cell("ffdnet[checkpoint=ffdnet_color.pth]", {"a": psnr_db}, tags=tags, **FFDNET)  # type: ignore[arg-type]
    found = standings(summarise(read_study(STUDY)))
    [here] = [one for one in found if (one.published.dataset, one.published.noise) == ("cbsd68", "gaussian25")]
    assert here.word == word
    assert told in here.told


def test_weights_from_a_file_are_not_those_of_a_known_training() -> None:
    """Neighbor2Neighbor's row says what it was trained on; a file does not."""
    result = ours(trained_on="unknown: weights given", tags="weights_given", budget="")
    published = next(p for p in context("kodak", "gaussian25") if p.method == "neighbor2neighbor")
    assert not_comparable(published, result) == ["training set imagenet_val, ours unknown: weights given"]


def test_methods_without_a_row_are_not_run() -> None:
    found = standings([], ["zsn2n", "dip"])
    assert {one.published.base for one in found} == {"zsn2n", "dip"}
    assert {one.word for one in found} == {"not run"}
