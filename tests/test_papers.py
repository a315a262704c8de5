"""Citations read from docstrings, and cards of trained networks."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from denoisebench import cli
from denoisebench.citations import Described, described, described_at
from denoisebench.config import groups
from denoisebench.datasets.catalogue import CATALOGUE
from denoisebench.datasets.references import REFERENCES
from denoisebench.site.card import card
from denoisebench.site.cite import cited
from jobs import computed

WITHOUT = {"noisy", "noise2clean", "network", "outputs"}  # no paper of their own


def test_every_method_has_a_paper_that_can_be_cited() -> None:
    found, without = cited(groups()["method"])
    assert set(without) == WITHOUT
    for name, paper in found.items():
        assert re.fullmatch(r"(19|20)\d\d", paper.year), name
        assert len(paper.title) > 15, name
        assert "arXiv" not in paper.title, name
        text = paper.bibtex(name)
        assert text.count("{") == text.count("}"), name


@pytest.mark.parametrize(
    ("name", "authors", "title", "venue", "year", "arxiv"),
    [
        ("neighbor2neighbor", 5, "Neighbor2Neighbor: Self-Supervised", "CVPR", "2021", "2101.02824"),
        ("self2self_plus", 2, "Self2Self+: Single-Image Denoising", "", "2023", "2307.10695"),
        ("nlm", 3, "A non-local algorithm for image denoising", "CVPR", "2005", ""),
        ("wavelet", 3, "Adaptive wavelet thresholding for image denoising and compression", "TIP", "2000", ""),
        ("tm_bsn", 0, "TM-BSN: Triangular-Masked Blind-Spot Network", "CVPR", "2026", "2604.04484"),
        ("noise2fast", 5, "A fast blind zero-shot denoiser", "Nature Machine Intelligence", "2022", "2108.10209"),
        ("recorrupted2recorrupted", 4, "Recorrupted-to-Recorrupted: Unsupervised", "CVPR", "2021", ""),
        ("dip", 3, "Deep Image Prior", "CVPR", "2018", "1711.10925"),
        ("noise2noise", 2, "Noise2Noise: learning image restoration without clean data", "ICML", "2018", "1803.04189"),
    ],
)  # fmt: skip
def test_what_is_read_of_a_citation(name: str, authors: int, title: str, venue: str, year: str, arxiv: str) -> None:
    paper = cited([name])[0][name]
    assert paper.title.startswith(title)
    assert (len(paper.authors), paper.venue, paper.year, paper.arxiv) == (authors, venue, year, arxiv)


def test_bibtex() -> None:
    about = Described("x", "Roe, Doe: Noise & signal, TIP 2001, arXiv 0101.00001. Official code: https://a.example/b at 1.", "")
    assert about.paper is not None
    assert about.paper.bibtex("k") == (
        "@article{k,\n  title = {{Noise \\& signal}},\n  author = {Roe and Doe},\n"
        "  journal = {IEEE Transactions on Image Processing},\n  year = {2001},\n  eprint = {0101.00001},\n"
        "  archiveprefix = {arXiv},\n}"
    )
    assert about.code == ["https://a.example/b"]


def test_a_class_and_its_file_say_the_same() -> None:
    from denoisebench.methods.zsn2n import ZSN2N

    assert described(ZSN2N) == described_at("denoisebench.methods.zsn2n.ZSN2N")
    with pytest.raises(ValueError, match="no such class"):
        described_at("denoisebench.methods.zsn2n.Other")


def test_every_data_set_has_a_reference() -> None:
    assert {name.partition("_noisy")[0] for name in CATALOGUE} == set(REFERENCES)


def test_a_study_is_cited_with_its_sets(capsys: pytest.CaptureFixture[str]) -> None:
    computed("method=noisy,tv", "dataset.crop=33", "study=mine", "pictures=0")
    assert cli.main(["cite", "mine"]) == 0
    told = capsys.readouterr()
    assert re.findall(r"^@\w+\{(\w+),", told.out, re.MULTILINE) == ["denoisebench", "tv", "photos"]
    assert "no paper is known of noisy" in told.err
    assert cli.main(["cite", "neigbor2neighbor"]) == 2
    assert "neighbor2neighbor" in capsys.readouterr().err


def test_citing_does_not_load_pytorch() -> None:
    read = "from denoisebench.citations import described_at; described_at('denoisebench.methods.zsn2n.ZSN2N')"
    code = f"import sys; {read}; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_card_of_a_trained_network(capsys: pytest.CaptureFixture[str]) -> None:
    [cell] = computed("method=neighbor2neighbor", "budget=smoke", "dataset.crop=33", "pictures=0", "trainer=cpu")
    assert cli.main(["card", cell.key[:6], "--out", "card.md"]) == 0
    text = Path("card.md").read_text()
    for part in (
        "photos",
        "public domain or CC0",
        "arXiv 2101.02824",
        "gaussian25",
        "Its budget is smoke: it says nothing about the published method",
    ):
        assert part in text
    assert re.search(r"SHA-256 of the weights \| [0-9a-f]{64} ", text)
    assert re.search(r"\| default \| 3 \| \d\d\.\d\d \|", text)
    names: dict[str, Any] = {"noisy": np.full((33, 34, 3), 0.5, np.float32)}
    exec(text.split("```python\n")[1].split("```")[0], names)  # as a reader would copy it
    assert names["denoised"].shape == (33, 34, 3)
    assert names["denoiser"].chosen.node["features"] != 48, "the recipe has another width than the YAML"
    shutil.rmtree(cell.training)
    assert "denoisebench.load('weights.safetensors', method='neighbor2neighbor', features=" in card(cell.folder)
    [other] = computed("method=tv", "dataset.crop=33", "pictures=0")
    assert cli.main(["card", other.key]) == 2
    assert "trained no network" in capsys.readouterr().err
