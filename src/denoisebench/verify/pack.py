"""A whole pack, cell by cell."""

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import denoisebench
from denoisebench.config.parts import Made
from denoisebench.job import Job
from denoisebench.packs.read import Pack, cell_of, put
from denoisebench.store.rows import Row
from denoisebench.verify.again import recompute
from denoisebench.verify.finding import WORDS, Finding, some
from denoisebench.verify.itself import check_between, check_itself
from denoisebench.verify.job import check_claims, job_for
from denoisebench.verify.scores import check_scores


@dataclass(frozen=True)
class Draw:
    """Which cells are computed again: how many, drawn by which seed, of those that took so many seconds at most."""

    count: int = 0
    seed: int = 0
    most_s: float = 120.0


@dataclass
class Verdict:
    """faults: of the pack as a whole."""

    findings: list[Finding]
    faults: list[str]
    digest: str
    drawn: list[Finding] = field(default_factory=list)

    def record(self, draw: Draw) -> dict[str, Any]:
        """For programs, and for the site: docs/json.md describes it."""
        cells = {
            f.cell.key: {
                "cell": str(f.cell), "word": f.word, "contradictions": f.contradictions, "checked": f.checked,
                "unchecked": f.unchecked,
            }
            for f in self.findings
        }  # fmt: skip
        return {
            "schema": "denoisebench/verify-pack/1", "digest": self.digest,
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "denoisebench": denoisebench.__version__, "counts": self.counts, "faults": self.faults, "cells": cells,
            "recomputed": [f.cell.key for f in self.drawn], "seed": draw.seed,
        }  # fmt: skip

    @property
    def holds(self) -> bool:
        return not self.faults and not any(finding.contradictions for finding in self.findings)

    @property
    def counts(self) -> str:
        found = Counter(finding.word for finding in self.findings)
        return ", ".join(f"{found[word]} {word}" for word in WORDS)


def verify(path: Path, draw: Draw) -> Verdict:
    """Every check that can be made here. Raises: ValueError if it is not a pack."""
    made = Made()
    with Pack(path) as pack, tempfile.TemporaryDirectory(prefix="denoisebench-") as root:
        verdict = Verdict([Finding(cell) for cell in pack.head.cells], list(pack.faults()), pack.digest)
        rows = {finding.cell.key: _read(pack, finding, Path(root)) for finding in verdict.findings}
        jobs = {}
        verdict.faults += check_between(verdict.findings, rows)
        for finding in verdict.findings:
            job = _checked(pack, finding, rows[finding.cell.key], made, Path(root))
            if job is not None:
                jobs[finding.cell.key] = job
        if draw.count:
            verdict.drawn = recompute(verdict.findings, jobs, rows, draw.count, draw.seed, draw.most_s)
    return verdict


def _read(pack: Pack, finding: Finding, root: Path) -> Sequence[Row]:
    """The cell's files put where a study would have them, and its rows."""
    folder = cell_of(finding.cell, root, pack.head.study).folder
    try:
        put(pack, finding.cell, folder)
    except (OSError, ValueError) as error:
        wrong = list(pack.faults(finding.cell.key))
        finding.contradictions.append(some(wrong) if wrong else str(error))
        return []
    return check_itself(pack, finding, folder)


def _checked(pack: Pack, finding: Finding, rows: Sequence[Row], made: Made, root: Path) -> Job | None:
    """What a cell claims against its job, which is made here; None where it could not be, or nothing can be believed."""
    if not rows:
        return None
    job = job_for(pack, finding, cell_of(finding.cell, root, pack.head.study).folder, made)
    if job is None:
        return None
    check_claims(job, rows, finding)
    try:
        check_scores(pack, job, rows, finding)
    except (OSError, ValueError) as error:
        finding.unchecked.append(f"inputs and scores: {error}")
    return job
