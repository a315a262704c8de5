"""What the scores of `benchmarks/ranking.py` say of each proxy: Markdown on standard output.

    python benchmarks/ranking_table.py experiments/ranking/scores.csv

Regret: true PSNR of the best method of an image less that of the chosen one, mean over images. Rank correlation: Spearman's,
between a proxy and true PSNR over the methods of an image, mean over images. The constant baseline takes, for each set and
noise, the method that is best on average over all others: it never saw the set it is judged on.
"""

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from denoisebench import ranking
from denoisebench.diagnosis.proxies import PROXIES

CANDIDATES = {"shipped": ranking.CANDIDATES, "with released networks": (*ranking.CANDIDATES, "ffdnet", "tm_bsn", "at_bsn")}
Place = tuple[str, str]
Image = Mapping[str, Mapping[str, float]]  # method -> its PSNR and proxies


def main() -> None:
    images = read(Path(sys.argv[1]))
    for title, methods in CANDIDATES.items():
        chosen = {place: [{m: image[m] for m in methods} for image in own if all(m in image for m in methods)]
                  for place, own in images.items()}  # fmt: skip
        chosen = {place: own for place, own in chosen.items() if own}
        print(f"### {title}: {', '.join(methods)}\n")
        print("\n".join(table(chosen)) + "\n")


def read(path: Path) -> dict[Place, list[Image]]:
    found: dict[Place, dict[str, dict[str, dict[str, float]]]] = defaultdict(lambda: defaultdict(dict))
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            values = {name: float(row[name]) for name in ("psnr_db", *PROXIES)}
            found[row["set"], row["noise"]][row["image"]][row["method"]] = values
    return {place: list(own.values()) for place, own in found.items()}


def table(images: Mapping[Place, Sequence[Image]]) -> list[str]:
    places = list(images)
    groups = {
        "synthetic": [p for p in places if p[1] not in ("real", "camera")], "camera": [p for p in places if p[1] == "camera"],
        "SIDD": [p for p in places if p[0] == "sidd_validation"], "PolyU": [p for p in places if p[0] == "polyu"],
    }  # fmt: skip
    groups = {name: own for name, own in groups.items() if own}
    counts = [f"{name} ({sum(len(images[p]) for p in own)})" for name, own in groups.items()]
    head = ["chosen by", "regret, dB", "worst tenth, dB", "rank correlation", *(f"regret {text}" for text in counts)]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    rows = [(name, {p: [regret(i, by_proxy(i, name)) for i in images[p]] for p in places}) for name in PROXIES]
    rows.sort(key=lambda row: balanced(row[1], groups))
    rows.append(("always the same", {p: [regret(i, constant(images, p)) for i in images[p]] for p in places}))
    for name, regrets in rows:
        every = [value for own in regrets.values() for value in own]
        tied = [correlation(i, name) for own in images.values() for i in own] if name in PROXIES else []
        cells = [f"{balanced(regrets, groups):.2f}", f"{np.quantile(every, 0.9):.2f}", f"{np.mean(tied):.2f}" if tied else ""]
        parts = [f"{np.mean([v for p in own for v in regrets[p]]):.2f}" for own in groups.values()]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join([*cells, *parts])} |")
    return lines


def balanced(regrets: Mapping[Place, Sequence[float]], groups: Mapping[str, Sequence[Place]]) -> float:
    """The mean over the groups, each counting the same."""
    return float(np.mean([np.mean([value for place in own for value in regrets[place]]) for own in groups.values()]))


def by_proxy(image: Image, proxy: str) -> str:
    return min(image, key=lambda method: image[method][proxy])


def constant(images: Mapping[Place, Sequence[Image]], place: Place) -> str:
    others = [image for other, own in images.items() if other[0] != place[0] for image in own]
    return max(others[0], key=lambda method: np.mean([image[method]["psnr_db"] for image in others]))


def regret(image: Image, method: str) -> float:
    return max(values["psnr_db"] for values in image.values()) - image[method]["psnr_db"]


def correlation(image: Image, proxy: str) -> float:
    """1 where the order is right; what is infinite comes last."""
    value = rankdata([-min(own[proxy], 1e30) for own in image.values()])
    truth = rankdata([own["psnr_db"] for own in image.values()])
    found = np.corrcoef(value, truth)[0, 1]
    return float(found) if math.isfinite(found) else 0.0


if __name__ == "__main__":
    main()
