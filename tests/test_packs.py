"""Packs: written the same each time, read without trust, honest ones verified, and each way of cheating caught."""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from denoisebench import cli
from denoisebench.config.jobs import protocols_of
from denoisebench.datasets.views import NoisyViews
from denoisebench.job import Job
from denoisebench.packs.contents import Author, portable, unsafe, without_machine
from denoisebench.packs.read import Pack
from denoisebench.packs.write import write_pack
from denoisebench.scoring.kept import as_stored, batched
from denoisebench.store.finished import read_finished
from denoisebench.store.pictures import decoded, stored_sha
from denoisebench.store.rows import COLUMNS
from denoisebench.study.cell import compute
from denoisebench.study.finished import score_under
from denoisebench.verify import again
from denoisebench.verify import job as verifying
from denoisebench.verify.finding import Finding
from denoisebench.verify.pack import Draw, verify
from jobs import computed, one, planned

Contents = dict[str, bytes]
COMMON = ("budget=smoke", "dataset.crop=33", "pictures=0", "study=honest", "trainer=cpu")
AUTHOR = Author("A. Person", "a@lab.example", "Lab A", "CC0-1.0")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trained and untrained methods, and one whose weights clean images chose."""
    root = tmp_path_factory.mktemp("runs")
    place = (*COMMON, f"root={root}")
    computed("method=noisy,nlm,neighbor2neighbor", "protocol=[default,apbsn]", *place)
    computed("method=nlm", "seed=1", *place)
    oracle = ("training.selection=oracle", "validation.every=5", "training.steps=10")
    computed("method=neighbor2neighbor", "noise=gaussian50", *oracle, *place)
    return root / "honest"


@pytest.fixture(scope="module")
def honest(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packs") / "honest.pack.zip"
    write_pack(study, path, AUTHOR, images=True)
    return path


def contents(path: Path) -> Contents:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forged(path: Path, change: Callable[[Contents, dict[str, Any]], None], *, hashes: bool = True) -> Path:
    """A pack with changes, its hashes made right again: what somebody who knows the format would do."""
    own = contents(path)
    head = json.loads(own.pop("pack.json"))
    change(own, head)
    if hashes:
        head["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in own.items()}
    target = Path("forged.pack.zip").resolve()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {"pack.json": json.dumps(head).encode(), **own}.items():
            archive.writestr(name, content)
    return target


def key_of(head: dict[str, Any], label: str, **also: Any) -> str:
    [cell] = [c for c in head["cells"] if c["label"] == label and all(c[name] == value for name, value in also.items())]
    return cell["key"]


def edit_rows(own: Contents, key: str, edit: Callable[[list[dict[str, str]]], Any]) -> None:
    name = f"cells/{key}/rows.csv"
    rows = list(csv.DictReader(io.StringIO(own[name].decode())))
    rows = edit(rows) or rows
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    own[name] = text.getvalue().encode()


def without_hashes(path: Path) -> None:
    """Rows as versions before 0.2.0 wrote them."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    older = [name for name in rows[0] if name not in COLUMNS[COLUMNS.index("output_sha") :]]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, older, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def of(findings: list[Finding], key: str) -> Finding:
    return next(finding for finding in findings if finding.cell.key == key)


# --- Written -------------------------------------------------------------------------------------------------------


def test_the_same_study_gives_the_same_bytes(study: Path, honest: Path, tmp_path: Path) -> None:
    write_pack(study, tmp_path / "again.zip", AUTHOR, images=True)
    assert (tmp_path / "again.zip").read_bytes() == honest.read_bytes()


def test_a_pack_names_nothing_of_the_machine(study: Path, honest: Path) -> None:
    content = contents(honest)
    everything = b"".join(content[name] for name in content if not name.endswith(".png"))
    assert str(study.parent).encode() not in everything
    assert str(Path.home()).encode() not in everything
    assert not any("-clean" in name or "-noisy" in name for name in content), "data sets are not ours to hand on"


def test_what_a_pack_keeps_of_settings() -> None:
    given = (
        "method=nlm",
        "root=/home/me/runs",
        "launcher=joblib",
        "dataset.noisy=/home/me/photos",
        "dataset.root=/data",
        "+noise.a=1",
    )
    assert portable(given) == ("method=nlm", "dataset.noisy=photos", "+noise.a=1")
    assert portable(("init=/home/me/weights.pt",)) == ("init=weights.pt",), "it decides what a cell is"
    for quote in "'\"":
        quoted = (f"checkpoint={quote}/home/me/my (weights).pt{quote}",)
        assert portable(quoted) == (f"checkpoint={quote}my (weights).pt{quote}",), "as it is read again"
    assert without_machine({"root": "/x", "a": ["/b/c.pt", 1e-5]}) == {"a": ["c.pt", 1e-5]}
    assert unsafe(["method=nlm", "method.strength=0.6"]) == []
    for evil in (
        "method._target_=os.system",
        "hydra.searchpath=['file:///x']",
        "noise.sigma=${oc.env:HOME}",
        "root=/",
        "dataset.root=/",
        "method.trust=true",
    ):
        assert unsafe([evil]) == [evil]


def test_an_output_that_was_changed_is_not_packed(tmp_path: Path) -> None:
    [cell] = computed("method=tv", *COMMON)
    output = next(cell.folder.glob("images/*.png"))
    cv2.imwrite(str(output), np.full((33, 33, 3), 7, np.uint16))
    with pytest.raises(ValueError, match="not the one that was scored"):
        write_pack(Path("runs/honest"), tmp_path / "x.zip", AUTHOR)


def test_outputs_that_are_gone_can_be_packed_as_rows_alone(tmp_path: Path) -> None:
    [cell] = computed("method=tv", *COMMON)
    for output in cell.folder.glob("images/*.png"):
        output.unlink()
    with pytest.raises(FileNotFoundError, match="this kept image is gone"):
        write_pack(Path("runs/honest"), tmp_path / "x.zip", AUTHOR, images=True)
    write_pack(Path("runs/honest"), tmp_path / "x.zip", AUTHOR)
    rows = contents(tmp_path / "x.zip")[f"cells/{cell.key}/rows.csv"].decode()
    assert next(csv.DictReader(io.StringIO(rows)))["output_sha"] == read_finished(cell.folder)[0]["output_sha"]

    without_hashes(cell.folder / "rows.csv")
    write_pack(Path("runs/honest"), tmp_path / "older.zip", AUTHOR)
    [finding] = verify(tmp_path / "older.zip", Draw()).findings
    assert finding.word == "consistent"
    assert any("rows name no output" in text for text in finding.unchecked)


def test_without_images_a_pack_holds_no_image(study: Path, tmp_path: Path) -> None:
    head = write_pack(study, tmp_path / "x.zip", AUTHOR)
    assert not any(name.endswith(".png") for name in head.files)
    verdict = verify(tmp_path / "x.zip", Draw())
    assert verdict.holds
    assert all("no images" in "".join(finding.unchecked) for finding in verdict.findings)


# --- Honest --------------------------------------------------------------------------------------------------------


def test_an_honest_pack_is_verified(honest: Path) -> None:
    verdict = verify(honest, Draw(count=9))
    assert [(f.word, f.contradictions, f.unchecked) for f in verdict.findings] == [("verified", [], [])] * 5
    for finding in verdict.findings:
        assert any("scored again under default" in text for text in finding.checked)


def test_the_commands(study: Path, honest: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENOISEBENCH_CONTACT", "a@lab.example")
    assert cli.main(["pack", str(study), "--author", "A. Person", "--images"]) == 0
    assert "5 cells, with their outputs" in capsys.readouterr().out
    assert cli.main(["verify-pack", "honest.pack.zip", "--recompute", "1", "--seed", "3"]) == 0
    assert "1 verified, 4 consistent, 0 contradicted" in capsys.readouterr().out
    bad = forged(honest, lambda own, head: edit_rows(own, key_of(head, "noisy"), lambda rows: rows[0].update(psnr_db="40.0")))
    assert cli.main(["verify-pack", str(bad)]) == 1
    assert cli.main(["verify-pack", str(study / "plan.json")]) == 2


def test_a_cell_whose_images_are_not_here_is_not_contradicted(honest: Path) -> None:
    def elsewhere(own: Contents, head: dict[str, Any]) -> None:
        for cell in head["cells"]:
            cell["overrides"] = [*cell["overrides"], "dataset=folder", "dataset.noisy=nowhere"]

    verdict = verify(forged(honest, elsewhere), Draw())
    assert verdict.counts == "0 verified, 5 consistent, 0 contradicted"
    assert all("not here" in finding.unchecked[-1] for finding in verdict.findings)
    assert not any(str(Path.cwd()) in text for finding in verdict.findings for text in finding.unchecked)


# --- Cheating ------------------------------------------------------------------------------------------------------


def better_scores(own: Contents, head: dict[str, Any], key: str) -> None:
    def raise_them(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["psnr_db"] = str(float(row["psnr_db"]) + 1e-6)

    edit_rows(own, key, raise_them)


def clean_outputs(own: Contents, head: dict[str, Any], key: str) -> None:
    """Outputs halfway to the clean images, with scores and hashes that fit them."""
    job = one(*next(cell["overrides"] for cell in head["cells"] if cell["key"] == key))
    halfway(own, key, job)


def halfway(own: Contents, key: str, job: Job) -> None:
    views = {(v.name[0], str(v.repeat)): v for v in (NoisyViews(job.test_set, job.noise, 0, 1, ())[i] for i in range(3))}
    rescored: dict[tuple[str, str], tuple[str, dict[str, str]]] = {}
    for (image, repeat), view in views.items():
        name = next(n for n in own if n.startswith(f"cells/{key}/images/{image}"))
        assert view.clean is not None
        clean = view.clean[0].permute(1, 2, 0).numpy()
        mixed = (0.5 * decoded(own[name], name) + 0.5 * clean * 65535).round().astype(np.uint16)
        own[name] = cv2.imencode(".png", mixed[..., ::-1])[1].tobytes()
        scores = {p.name: p.scores(batched(mixed / np.float64(65535)), as_stored(view.clean), None) for p in job.protocols}
        rescored[image, repeat] = (
            stored_sha(mixed),
            {f"{p} {c}": str(v.item()) for p, found in scores.items() for c, v in found.items()},
        )

    def put(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["output_sha"], scores = rescored[row["image"], row["repeat"]]
            row.update({name: scores[f"{row['protocol']} {name}"] for name in ("psnr_db", "ssim")})

    edit_rows(own, key, put)


def easier_noise(own: Contents, head: dict[str, Any], key: str) -> None:
    """Rows of a run under half the noise."""
    overrides = next(cell["overrides"] for cell in head["cells"] if cell["key"] == key)
    [cell] = computed(*overrides, "noise=gaussian", "noise.sigma=12", "study=easy")
    write_pack(Path("runs/easy"), Path("easy.zip"), AUTHOR, images=True)
    easy = contents(Path("easy.zip"))
    easy_key = cell.key

    def relabel(rows: list[dict[str, str]]) -> None:
        honest_rows = list(csv.DictReader(io.StringIO(own[f"cells/{key}/rows.csv"].decode())))
        for row in rows:
            row.update({name: honest_rows[0][name] for name in ("key", "setup", "noise")})

    edit_rows(easy, easy_key, relabel)
    for name in [n for n in easy if n.startswith(f"cells/{easy_key}/") and not n.endswith("config.yaml")]:
        own[name.replace(easy_key, key)] = easy[name]


def best_image_twice(own: Contents, head: dict[str, Any], key: str) -> None:
    def twice(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        best = max(rows, key=lambda row: float(row["psnr_db"]))
        return [best if row["protocol"] == best["protocol"] else row for row in rows]

    edit_rows(own, key, twice)


def worst_image_out(own: Contents, head: dict[str, Any], key: str) -> None:
    gone: list[str] = []

    def drop(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        gone.append(min(rows, key=lambda row: float(row["psnr_db"]))["image"])
        return [row for row in rows if row["image"] != gone[0]]

    edit_rows(own, key, drop)
    for name in [n for n in own if n.startswith(f"cells/{key}/images/{gone[0]}")]:
        del own[name]
    next(cell for cell in head["cells"] if cell["key"] == key)["images"] -= 1


def no_oracle_tag(own: Contents, head: dict[str, Any], key: str) -> None:
    def untag(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["tags"] = " ".join(tag for tag in row["tags"].split() if not tag.startswith("oracle"))

    edit_rows(own, key, untag)


def other_protocol(own: Contents, head: dict[str, Any], key: str) -> None:
    """What the second protocol gave as if the first had."""

    def swap(rows: list[dict[str, str]]) -> None:
        names = {"default": "apbsn", "apbsn": "default"}
        for row in rows:
            row["protocol"] = names[row["protocol"]]
        versions = {row["protocol"]: row["protocol_version"] for row in rows}
        for row in rows:
            row["protocol_version"] = versions[names[row["protocol"]]]

    edit_rows(own, key, swap)


def paper_budget(own: Contents, head: dict[str, Any], key: str) -> None:
    def claim(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["budget"], row["train_steps"] = "paper", "100000"

    edit_rows(own, key, claim)


def other_name(own: Contents, head: dict[str, Any], key: str) -> None:
    """The rows of a method as another's."""
    next(cell for cell in head["cells"] if cell["key"] == key)["label"] = "self2self"

    def rename(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["method"] = "self2self"

    edit_rows(own, key, rename)


def other_settings(own: Contents, head: dict[str, Any], key: str) -> None:
    """The configuration shows other settings than those that were used."""
    name = f"cells/{key}/config.yaml"
    plain = yaml.safe_load(own[name])
    plain["method"]["strength"] = 0.123
    own[name] = yaml.safe_dump(plain).encode()


def impossible_score(own: Contents, head: dict[str, Any], key: str) -> None:
    edit_rows(own, key, lambda rows: rows[0].update(ssim="1.2"))


def copied_outputs(own: Contents, head: dict[str, Any], key: str) -> None:
    """The outputs of another seed as this one's: the better seed twice."""
    other = key_of(head, "nlm", seed=1)
    shas = {row["image"]: row for row in csv.DictReader(io.StringIO(own[f"cells/{other}/rows.csv"].decode()))}
    for name in [n for n in own if n.startswith(f"cells/{other}/images/")]:
        own[name.replace(other, key)] = own[name]

    def put(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row.update({name: shas[row["image"]][name] for name in ("output_sha", "psnr_db", "ssim")})

    edit_rows(own, key, put)


def output_gone(own: Contents, head: dict[str, Any], key: str) -> None:
    del own[next(name for name in own if name.startswith(f"cells/{key}/images/"))]


def stale_version(own: Contents, head: dict[str, Any], key: str) -> None:
    def claim(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row["noise_version"] = "2"

    edit_rows(own, key, claim)


CHEATS: dict[str, tuple[Callable[..., None], str]] = {
    "scores a little higher than the outputs give": (better_scores, "scored again, psnr_db"),
    "outputs mixed with clean images, scores to match": (clean_outputs, "computed again, its mean"),
    "run under half of the noise": (easier_noise, "another than seed and data set give"),
    "the best image twice": (best_image_twice, "a row twice"),
    "the worst image left out": (worst_image_out, "1 of 3 images are left out"),
    "an oracle's tag taken away": (no_oracle_tag, "no such tag"),
    "scores of another protocol": (other_protocol, "scored again, "),
    "a budget that was not spent": (paper_budget, "budget is smoke, and its rows say paper"),
    "another method's name": (other_name, "its label is nlm, and the pack says self2self"),
    "other settings shown than used": (other_settings, "config.yaml says another method"),
    "a score that cannot be": (impossible_score, "ssim is 1.2"),
    "one seed's outputs for two": (copied_outputs, "one output stands for two different noisy images"),
    "an output that scored badly left out": (output_gone, "are missing"),
    "another version of the noise": (stale_version, "noise_version is 1, and its rows say 2"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_each_way_of_cheating_is_caught(honest: Path, cheat: str) -> None:
    change, said = CHEATS[cheat]
    head = json.loads(contents(honest)["pack.json"])
    label = {"an oracle's tag taken away": "neighbor2neighbor", "a budget that was not spent": "neighbor2neighbor"}.get(
        cheat, "nlm"
    )
    oracle = [c["key"] for c in head["cells"] if c["noise"] == "gaussian50"]
    own = oracle[0] if cheat.startswith("an oracle") else key_of(head, label, seed=0, noise="gaussian25")
    verdict = verify(forged(honest, lambda content, told: change(content, told, own)), Draw(count=9 * ("mixed" in cheat)))
    assert not verdict.holds
    assert of(verdict.findings, own).word == "contradicted"
    assert any(said in text for text in of(verdict.findings, own).contradictions), of(verdict.findings, own).contradictions
    others = [f for f in verdict.findings if f.cell.key != own and "one seed" not in cheat]
    assert not any(f.contradictions for f in others), "an honest cell was accused"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"psnr_db": "", "ssim": ""}, "has a psnr_db under default, and the pack says otherwise"),
        ({"ssim": "0.9999"}, "SSIM apart"),
    ],
)
def test_scores_are_caught_by_computing_again_where_there_are_no_images(
    study: Path, tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    write_pack(study, tmp_path / "x.zip", AUTHOR)
    bad = forged(
        tmp_path / "x.zip", lambda own, head: edit_rows(own, key_of(head, "noisy"), lambda rows: rows[0].update(changed))
    )
    verdict = verify(bad, Draw(count=9))
    assert [(f.cell.label, f.word) for f in verdict.findings if f.contradictions] == [("noisy", "contradicted")]
    assert said in next(f for f in verdict.findings if f.contradictions).contradictions[0]


@pytest.mark.parametrize(("name", "word"), [("sdap", "contradicted"), ("of_my_own", "consistent")])
def test_scores_under_a_protocol_that_the_settings_do_not_name_are_no_more_believed(
    study: Path, tmp_path: Path, name: str, word: str
) -> None:
    def under_another(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        first = [row for row in rows if row["protocol"] == rows[0]["protocol"]]
        return [*rows, *({**row, "protocol": name, "protocol_version": "", "psnr_db": "45.0"} for row in first)]

    write_pack(study, tmp_path / "x.zip", AUTHOR)
    bad = forged(tmp_path / "x.zip", lambda own, head: edit_rows(own, key_of(head, "noisy"), under_another))
    [found] = [f for f in verify(bad, Draw(count=9)).findings if f.cell.label == "noisy"]
    assert found.word == word
    assert name in (found.contradictions or found.unchecked)[-1]


def test_rows_that_were_scored_again_later_can_be_verified(tmp_path: Path) -> None:
    [job] = planned("method=tv", *COMMON)
    assert compute(job) == "done"
    score_under(job.cell, protocols_of(["sdap"]))
    write_pack(Path("runs/honest"), tmp_path / "x.zip", AUTHOR)
    assert verify(tmp_path / "x.zip", Draw(count=1)).counts == "1 verified, 0 consistent, 0 contradicted"


def test_a_cell_tuned_by_clean_images_can_be_verified(tmp_path: Path) -> None:
    computed("method=tv", "method.strength=0.5", "tuned_by=oracle", *COMMON)
    write_pack(Path("runs/honest"), tmp_path / "x.zip", AUTHOR)
    verdict = verify(tmp_path / "x.zip", Draw(count=1))
    assert verdict.counts == "1 verified, 0 consistent, 0 contradicted", [f.contradictions for f in verdict.findings]


def test_a_damaged_answer_of_a_server_contradicts_its_cell_alone(honest: Path) -> None:
    def answer(own: Contents, head: dict[str, Any]) -> None:
        own[f"cells/{key_of(head, 'noisy')}/server.csv"] = b"psnr_db\ninf\n"

    verdict = verify(forged(honest, answer), Draw())
    assert [f.cell.label for f in verdict.findings if f.contradictions] == ["noisy"]
    assert "server.csv is damaged" in next(f for f in verdict.findings if f.contradictions).contradictions[0]


def test_a_recomputed_cell_without_ssim_is_compared_by_psnr_alone() -> None:
    row = {"image": "a", "repeat": "0", "protocol": "default", "psnr_db": "30.0", "ssim": "", "output_sha": "x"}
    other = row | {"psnr_db": "30.05", "output_sha": "y"}
    assert again._compared([row], [other], "psnr_db", " dB", 0.1) is None
    assert again._compared([row], [other], "ssim", " SSIM", 0.01) is None
    assert again._unscored([row], [other]) is None
    assert again._compared([row], [row | {"protocol": "apbsn"}], "ssim", "", 0.1) == "the pack has no rows under default"
    blind = [one | {"psnr_db": ""} for one in (row, other)]
    assert again._unscored(blind[:1], blind[1:]) == "its outputs, which have no score, differ"


def test_images_left_out_are_seen_where_the_method_cannot_be_made(honest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise ImportError("its package is not here")

    bad = forged(honest, lambda own, head: worst_image_out(own, head, key_of(head, "noisy")))
    monkeypatch.setattr(verifying, "method_and_data", lacking)
    found = next(f for f in verify(bad, Draw()).findings if f.cell.label == "noisy")
    assert "images are left out" in found.contradictions[0]
    assert any("its package is not here" in text for text in found.unchecked)


def test_rows_that_were_changed_alone_are_caught(honest: Path) -> None:
    bad = forged(honest, lambda own, head: better_scores(own, head, key_of(head, "noisy")), hashes=False)
    assert "SHA-256 differs" in next(f for f in verify(bad, Draw()).findings if f.cell.label == "noisy").contradictions[0]


# --- No pack -------------------------------------------------------------------------------------------------------


def _with_member(name: str) -> Callable[[Contents, dict[str, Any]], None]:
    def add(own: Contents, head: dict[str, Any]) -> None:
        own[name] = b"x"

    return add


@pytest.mark.parametrize("name", ["../../evil", "cells/0123456789ab/../../x.png", "/etc/passwd", "cells/0123456789ab/run.py"])
def test_a_file_that_no_pack_has_is_refused(honest: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a pack"):
        Pack(forged(honest, _with_member(name)))


def test_a_file_outside_of_the_list_is_told(honest: Path) -> None:
    bad = forged(honest, _with_member("cells/0123456789ab/rows.csv"), hashes=False)
    assert not verify(bad, Draw()).holds


@pytest.mark.parametrize("text", [b"no zip", b""])
def test_what_is_no_zip_is_refused(text: bytes) -> None:
    Path("x.zip").write_bytes(text)
    with pytest.raises(ValueError, match="is not a pack"):
        Pack(Path("x.zip"))


@pytest.mark.parametrize("text", ["[]", "3", '"pack"', "null"])
def test_a_head_that_is_no_object_is_refused(text: str) -> None:
    with zipfile.ZipFile("x.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("pack.json", text)
    assert cli.main(["verify-pack", "x.zip"]) == 2


def test_a_compressed_file_is_refused(honest: Path) -> None:
    with zipfile.ZipFile("bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents(honest).items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="compressed"):
        Pack(Path("bomb.zip"))


def test_rows_of_older_versions_get_the_hashes_of_their_outputs(tmp_path: Path) -> None:
    [cell] = computed("method=tv", *COMMON)
    without_hashes(cell.folder / "rows.csv")
    write_pack(Path("runs/honest"), tmp_path / "x.zip", AUTHOR, images=True)
    verdict = verify(tmp_path / "x.zip", Draw(count=1))
    assert [f.word for f in verdict.findings] == ["verified"]
