"""Write the tables of published numbers and ours in README.md and docs/published.md from the packs of experiments/.

python docs/standings.py
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from methods import filled

from denoisebench.report.plain import markdown_table, markdown_text
from denoisebench.report.published import read_published
from denoisebench.report.results import summarise
from denoisebench.report.rows import find_study, read_studies
from denoisebench.report.standing import HEAD, WORDS, Standing, counted, standing_table, standings, texts_of

ROOT = Path(__file__).resolve().parents[1]


def found() -> list[Standing]:
    """Every published number beside the committed studies, in the order of the file."""
    packs = sorted((ROOT / "experiments").glob("*/*.pack.zip"))
    rows, _ = read_studies([find_study(str(pack)) for pack in packs])
    return standings(summarise(rows), {published.base for published in read_published()})


def pages() -> dict[Path, str]:
    """The two pages as they should be."""
    every = found()
    parts = {ROOT / "README.md": _short(every), ROOT / "docs" / "published.md": _whole(every)}
    return {path: filled(path, "standings.py", text) for path, text in parts.items()}


def _short(every: Sequence[Standing]) -> str:
    """A line for each method, data set and word that was earned: its noises and scores in one order."""
    groups: dict[tuple[str, str, str], dict[tuple[str, float], Standing]] = {}
    for one in every:
        if one.word != "not run":  # a number that two sources print is there twice: shown once, with the better grade
            p = one.published
            own, number = groups.setdefault((p.method, p.dataset, one.word), {}), (p.noise, p.psnr_db)
            own[number] = min(own.get(number, one), one, key=lambda each: each.published.grade)
    body = []
    for (method, dataset, word), own in sorted(groups.items()):
        columns = dict(zip(HEAD, zip(*map(texts_of, own.values()), strict=True), strict=True))
        levels = ([noise for noise, _ in own], columns["published"], columns["ours"], sorted(set(columns["grade"])))
        body.append([markdown_text(method), dataset, *map(", ".join, levels), word])
    table = markdown_table(("method", "data set", "noise", "published", "ours", "grade", "status"), body, texts=range(7))
    total = f"Of the {len(every)} published numbers listed: {counted(every)} ([docs/published.md](docs/published.md))."
    included = {path.stem for path in (ROOT / "conf" / "method").glob("*.yaml")}
    absent = sum(one.published.base not in included for one in every)
    rest = f"printed in several sources counts once for each; {absent} are of methods that denoisebench does not include."
    return f"{table}\n\n{total} A number\n{rest}"


def _whole(every: Sequence[Standing]) -> str:
    """The counts, the numbers that were compared, and for each method how many were not."""
    methods = sorted({one.published.base for one in every})
    words = Counter((one.published.base, one.word) for one in every)
    body = [[markdown_text(method), *(str(words[method, word]) for word in WORDS)] for method in methods]
    return "\n\n".join([f"{counted(every)}.", standing_table(every, WORDS[:2]), markdown_table(("method", *WORDS), body)])


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
