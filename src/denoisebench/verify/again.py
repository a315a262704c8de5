"""Some cells computed again, drawn by a seed that their author could not know."""

import random
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from denoisebench.job import Job
from denoisebench.store.finished import read_finished
from denoisebench.store.rows import Row
from denoisebench.study.cell import compute
from denoisebench.study.finished import score_under
from denoisebench.study.planning import plan
from denoisebench.verify.finding import Finding
from denoisebench.verify.scores import scorable

TOLERANCE_DB = {"nothing": 1e-3, "image": 0.1, "dataset": 0.1}
"""How far the mean PSNR may be off, by what a method learns from: rounding of another machine, which training amplifies."""
TOLERANCE_SSIM = {"nothing": 1e-4, "image": 0.01, "dataset": 0.01}
OF_ONE_IMAGE = 10
"""So many times as far may one image be off."""


def needed_s(rows: Sequence[Row]) -> float:
    """The seconds that a cell took, as it says itself."""
    first = [row for row in rows if row["protocol"] == rows[0]["protocol"]]
    return sum(float(row["seconds"]) for row in first) + float(rows[0]["train_seconds"] or 0)


def recompute(
    findings: Sequence[Finding], jobs: Mapping[str, Job], rows: Mapping[str, Sequence[Row]], count: int, seed: int, most_s: float
) -> list[Finding]:
    """Compute `count` of the cells again that took `most_s` seconds at most; returns which."""
    able = [one for one in findings if one.cell.key in jobs and rows.get(one.cell.key) and not one.contradictions]
    little = [one for one in able if needed_s(rows[one.cell.key]) <= most_s]
    drawn = random.Random(seed).sample(little, min(count, len(little)))
    with tempfile.TemporaryDirectory(prefix="denoisebench-") as root:
        for finding in drawn:
            _again(finding, jobs[finding.cell.key], rows[finding.cell.key], Path(root))
    return drawn


def _again(finding: Finding, job: Job, rows: Sequence[Row], root: Path) -> None:
    [planned] = plan([job.at(str(root), "verify")])
    if compute(planned) != "done":
        finding.unchecked.append(f"computing it again failed: {planned.cell.status().get('reason', 'no reason given')}")
        return
    others = [row for row in rows if row["protocol"] not in job.protocol_names]
    score_under(planned.cell, list(scorable(others, finding).values()))
    ours = read_finished(planned.cell.folder)
    learns = job.method.learns
    told = (
        _compared(ours, rows, "psnr_db", " dB", TOLERANCE_DB[learns])
        or _compared(ours, rows, "ssim", " SSIM", TOLERANCE_SSIM[learns])
        or _unscored(ours, rows)
    )
    if told is not None:
        finding.contradictions.append(f"computed again, {told}")
        return
    finding.checked.append(f"computed again: {_closeness(ours, rows, TOLERANCE_DB[learns])}")
    finding.recomputed = {row["protocol"] for row in rows} <= {row["protocol"] for row in ours}


def _scores(rows: Sequence[Row], column: str) -> dict[tuple[str, ...], float]:
    return {(row["protocol"], row["image"], row["repeat"]): float(row[column]) for row in rows if row[column]}


def _compared(ours: Sequence[Row], theirs: Sequence[Row], column: str, unit: str, tolerance: float) -> str | None:
    """What differs by more than the tolerance, under the protocols that both were scored by; None if nothing does."""
    own, said = _scores(ours, column), _scores(theirs, column)
    if lacking := {row["protocol"] for row in ours} - {row["protocol"] for row in theirs}:
        return f"the pack has no rows under {', '.join(sorted(lacking))}"
    said = {key: value for key, value in said.items() if key[0] in {row["protocol"] for row in ours}}
    if differing := sorted(own.keys() ^ said.keys()):
        protocol, image, _ = differing[0]
        return f"{image} has {'a' if differing[0] in own else 'no'} {column} under {protocol}, and the pack says otherwise"
    for protocol in sorted({key[0] for key in own}):
        here, there = (statistics.fmean(value for key, value in one.items() if key[0] == protocol) for one in (own, said))
        if here != there and not abs(here - there) <= tolerance:
            told = f"its mean under {protocol} is {here:.4f}{unit}, and the pack says {there:.4f}"
            return f"{told}: more than {tolerance:g}{unit} apart"
    most = OF_ONE_IMAGE * tolerance
    for key in sorted(own):
        if own[key] != said[key] and not abs(own[key] - said[key]) <= most:
            return f"{key[1]} has {own[key]:.4f}{unit}, and the pack says {said[key]:.4f}: more than {most:g}{unit} apart"
    return None


def _unscored(ours: Sequence[Row], theirs: Sequence[Row]) -> str | None:
    """Where nothing has a score, whether the outputs are others."""
    if _scores(ours, "psnr_db"):
        return None
    same = {row["image"]: row.get("output_sha") for row in ours} == {row["image"]: row.get("output_sha") for row in theirs}
    return None if same else "its outputs, which have no score, differ"


def _closeness(ours: Sequence[Row], theirs: Sequence[Row], tolerance: float) -> str:
    shas = [{(row["image"], row["repeat"]): row.get("output_sha") for row in rows} for rows in (ours, theirs)]
    return "the same pixels" if shas[0] == shas[1] else f"within {tolerance:g} dB"
