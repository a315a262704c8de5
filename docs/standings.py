"""Write the tables of published numbers and ours in README.md and docs/published.md from the packs of experiments/.

python docs/standings.py
"""

from collections.abc import Sequence
from pathlib import Path

from denoisebench.report.published import read_published
from denoisebench.report.results import summarise
from denoisebench.report.rows import find_study, read_studies
from denoisebench.report.standing import HEAD, WORDS, Standing, counted, standing_table, standings, texts_of

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- begin: written by docs/standings.py -->", "<!-- end: standings -->"


def found() -> list[Standing]:
    """Every published number beside the committed studies, in the order of the file."""
    packs = sorted((ROOT / "experiments").glob("*/*.pack.zip"))
    rows, _ = read_studies([find_study(str(pack)) for pack in packs])
    return standings(summarise(rows), {published.base for published in read_published()})


def pages() -> dict[Path, str]:
    """The two pages as they should be."""
    every = found()
    parts = {ROOT / "README.md": _short(every), ROOT / "docs" / "published.md": _whole(every)}
    return {path: _filled(path.read_text(encoding="utf-8"), text) for path, text in parts.items()}


def _short(every: Sequence[Standing]) -> str:
    """A line for each method, data set and word that was earned: its noises and scores in one order."""
    groups: dict[tuple[str, str, str], dict[tuple[str, float], Standing]] = {}
    for one in every:
        if one.word != "not run":  # a number that two sources print is there twice
            p = one.published
            groups.setdefault((p.method, p.dataset, one.word), {})[p.noise, p.psnr_db] = one
    lines = ["| method | data set | noise | published | ours | status |", "|---|---|---|---|---|---|"]
    for (method, dataset, word), own in sorted(groups.items()):
        columns = dict(zip(HEAD, zip(*map(texts_of, own.values()), strict=True), strict=True))
        cells = ([noise for noise, _ in own], columns["published"], columns["ours"])
        lines.append(f"| {method} | {dataset} | {' | '.join(', '.join(texts) for texts in cells)} | {word} |")
    total = f"Of the {len(every)} published numbers listed: {counted(every)} ([docs/published.md](docs/published.md))."
    return "\n".join([*lines, "", total])


def _whole(every: Sequence[Standing]) -> str:
    """The counts, the numbers that were compared, and for each method how many were not."""
    methods = sorted({one.published.base for one in every})
    lines = ["| method | " + " | ".join(WORDS) + " |", "|---|" + "---:|" * len(WORDS)]
    for method in methods:
        words = [one.word for one in every if one.published.base == method]
        lines.append(f"| {method} | " + " | ".join(str(words.count(word)) for word in WORDS) + " |")
    return "\n\n".join([f"{counted(every)}.", standing_table(every, WORDS[:2]), "\n".join(lines)])


def _filled(page: str, text: str) -> str:
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
