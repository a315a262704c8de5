"""What a server answered to a submission: a row beside those of the cell."""

from collections.abc import Sequence
from pathlib import Path

from denoisebench.datasets.dnd import BOXES, DND
from denoisebench.store.rows import COLUMNS, SERVER_COLUMNS, SERVER_ROWS, Row, computation_of, read_server_rows, write_csv
from denoisebench.submit.kept import Kept, finished, locked
from denoisebench.submit.kinds import KINDS

SCORES = {"psnr": (0.0, 100.0), "ssim": (-1.0, 1.0)}


def scores_of(words: Sequence[str]) -> dict[str, float]:
    """`psnr=37.24`, `ssim=0.936` as numbers.

    Raises: ValueError for another name, one that is given twice, or a number that cannot be.
    """
    found: dict[str, float] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in SCORES or name in found:
            raise ValueError(f"--result {word}: expected psnr=DB and ssim=VALUE, each once")
        low, high = SCORES[name]
        try:
            found[name] = float(text)
        except ValueError as error:
            raise ValueError(f"--result {word}: {text!r} is no number") from error
        if not low < found[name] <= high:
            raise ValueError(f"--result {word}: {name} lies between {low:g} and {high:g}")
    return found


def record(name: str, folder: Path, words: Sequence[str]) -> str:
    """Keep a server's answer beside the rows of a finished cell, as a row with `scored_by` server; a line about it.

    It goes by a protocol of its own (`server:sidd-kaggle`) and by the name of the benchmark's set; how the method saw it
    (`dnd-whole`) is a tag. A second answer takes the place of the first; PSNR and SSIM may come one after the other.
    """
    scores, kind = scores_of(words), KINDS[name]
    with locked(folder):
        kept = finished(folder, kind.test_set)
        row = _server_row(name, kept) | {f"{key}_db" if key == "psnr" else key: value for key, value in scores.items()}
        others = [other for other in read_server_rows(folder) if other["protocol"] != row["protocol"]]
        write_csv(folder / SERVER_ROWS, SERVER_COLUMNS, [*others, row])
    shown = ", ".join(f"{key}={value:g}" for key, value in scores.items())
    return f"noted in {folder / SERVER_ROWS}: {shown}, protocol {row['protocol']}, scored_by=server; the report has it"


def _server_row(name: str, kept: Kept) -> Row:
    """The row of an answer without its scores, or with those that the same outputs have already."""
    kind, computation = KINDS[name], computation_of(kept.folder)
    local = next(iter(kept.rows.values()))
    own = {
        "dataset": kind.test_set, "protocol": f"server:{name}", "scored_by": "server", "status": "done", "image": "",
        "noisy_sha": "", "clean_sha": "", "computation": computation,
        "images": len(kept.images.boxes) * BOXES if isinstance(kept.images, DND) else len(kept.rows),
        "seconds": sum(float(row["seconds"]) for row in kept.rows.values()) / len(kept.rows),
        "peak_mib": max(float(row["peak_mib"]) for row in kept.rows.values()),
        "tags": " ".join([*local["tags"].split(), *([f"as_{local['dataset']}"] if local["dataset"] != kind.test_set else [])]),
    }  # fmt: skip
    earlier = [row for row in read_server_rows(kept.folder) if row["protocol"] == own["protocol"]]
    scores = {key: row[key] for row in earlier if row["computation"] == computation for key in ("psnr_db", "ssim")}
    columns = {name: local[name] for name in COLUMNS if name in local}
    return {**columns, "psnr_db": None, "ssim": None, **scores, **own}
