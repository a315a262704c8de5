"""Results of several labs: packs, `results.csv` files and studies of one's own in one report. Where two have one cell, both are
shown, and how far they are apart."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from denoisebench.packs.read import ORIGIN
from denoisebench.report.markup import Markup, element, table
from denoisebench.report.plain import markdown_table, markdown_text
from denoisebench.report.results import Result, mean
from denoisebench.scoring.further import columns_in
from denoisebench.store.files import read_json
from denoisebench.store.rows import Row, read_csv

HERE = "here"
COSTS = ("seconds", "peak_mib", "train_seconds")
NEEDED = {
    "method", "dataset", "noise", "protocol", "scored_by", "psnr_db", "images", "keys", "commits", "learns", "trained_on",
    "train_noise", "train_steps", "selection", "budget", "tags", "precision",
}  # fmt: skip


def lab_of(study: Path) -> str:
    """Who made a study, if it came as a pack; empty for one's own."""
    try:
        return str(read_json(study / ORIGIN)["lab"])
    except (OSError, ValueError, KeyError):
        return ""


def labs_of(result: Result) -> str:
    """Whose rows a result is made of; empty for one's own."""
    return ", ".join(sorted({row.get("lab") or "" for row in result.rows}))


def read_means(path: Path) -> list[Row]:
    """The lines of a `results.csv`, which are means: of no image alone, so that nothing can be paired with them.

    Raises: ValueError for a file that is none.
    """
    lines = read_csv(path)
    lacking = sorted(NEEDED - lines[0].keys()) if lines else []
    if lacking or not lines:
        told = f"it has no column {', '.join(lacking)}" if lacking else "it has no line"
        raise ValueError(f"{path} is no results.csv of `denoisebench report`: {told}")
    lab = f"{path.resolve().parent.name}/{path.name}"
    try:
        return [_mean_row(line, path, lab) for line in lines]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _mean_row(line: Row, path: Path, lab: str) -> Row:
    numbers = {name: float(line[name]) if line.get(name) else None for name in (*columns_in(line), *COSTS)}
    return {
        **line, **numbers, "seconds": numbers["seconds"] or 0.0, "peak_mib": numbers["peak_mib"] or 0.0,
        "scored_by": "server" if line["scored_by"] == "server" else "results.csv", "study": path.resolve().parent.name,
        "seed": "0", "repeat": "0", "image": "", "scene": "", "noisy_sha": "", "clean_sha": "", "key": line["keys"],
        "setup": line["keys"], "commit": line["commits"], "cell": path.resolve().parent, "lab": lab, "status": "done",
        "chosen": "",
    }  # fmt: skip


def told_apart_by_lab(rows: Sequence[Row]) -> list[Row]:
    """The same rows; a method that several labs ran on one data set and noise carries their names, as `nlm @ Lab A`."""
    labs: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for row in rows:
        labs[row["method"], row["dataset"], row["noise"], row["protocol"]].add(row.get("lab", ""))
    several = {where[0] for where, own in labs.items() if len(own) > 1}
    return [{**row, "method": f"{row['method']} @ {row.get('lab') or HERE}"} if row["method"] in several else row for row in rows]


@dataclass(frozen=True)
class Twice:
    """One cell from two labs: the mean PSNR of each over the images that both have, and whether the pixels were the same."""

    cell: str
    protocol: str
    labs: tuple[str, str]
    psnr_db: tuple[float, float]
    same_pixels: bool | None

    @property
    def difference_db(self) -> float:
        return self.psnr_db[1] - self.psnr_db[0]

    @property
    def texts(self) -> list[str]:
        """The cells of HEAD."""
        pixels = {True: "the same", False: "others", None: "not known"}[self.same_pixels]
        scores = [f"{value:.4f}" for value in self.psnr_db]
        return [self.cell, self.protocol, *self.labs, *scores, f"{self.difference_db:+.4f}", pixels]


HEAD = ("cell", "protocol", "first", "second", "its PSNR", "its PSNR", "difference, dB", "outputs")


def twice(rows: Sequence[Row]) -> list[Twice]:
    """Each cell that several labs computed: the first beside each other one."""
    cells: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[row["key"], row["protocol"]][row.get("lab", "")].append(row)
    found = []
    for (_, protocol), own in cells.items():
        first, *others = own
        found += [one for other in others if (one := _beside(protocol, (first, other), own))]
    return found


def _beside(protocol: str, labs: tuple[str, str], rows: Mapping[str, Sequence[Row]]) -> Twice | None:
    views = [{(row["image"], row["repeat"]): row for row in rows[lab]} for lab in labs]
    common = [view for view in views[0] if view in views[1]]
    if not common and ("", "0") in {**views[0], **views[1]}:  # a mean stands for all images
        pair = [mean(row["psnr_db"] for row in own.values()) for own in views]
        shas = None
    else:
        pair = [mean(own[view]["psnr_db"] for view in common) for own in views]
        hashes = [[own[view].get("output_sha") for view in common] for own in views]
        shas = hashes[0] == hashes[1] if all(hashes[0]) and all(hashes[1]) else None
    if pair[0] is None or pair[1] is None:
        return None
    row = rows[labs[0]][0]
    told = f"{row['method']} | {row['dataset']} | {row['noise']}" + ("" if row["image"] == "" else f" | seed {row['seed']}")
    return Twice(told, protocol, (labs[0] or HERE, labs[1] or HERE), (pair[0], pair[1]), shas)


def labs_section(found: Sequence[Twice]) -> Markup:
    if not found:
        return Markup("")
    body = [[element("th", one.texts[0], scope="row"), *(element("td", text) for text in one.texts[1:])] for one in found]
    summary = element("summary", "Cells that several labs computed")
    return element("details", summary, table([element("th", text) for text in HEAD], body), open=True)


def labs_markdown(found: Sequence[Twice]) -> str:
    body = [[markdown_text(text) for text in one.texts] for one in found]
    return "### Cells that several labs computed\n\n" + markdown_table(HEAD, body, texts=(0, 1, 2, 3, 7)) if body else ""
