"""What `status` and `report` say, for programs: plain values of a documented schema (docs/json.md)."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from denoisebench.report.labs import labs_of
from denoisebench.report.results import Result
from denoisebench.report.statistics import Comparison, Difference
from denoisebench.report.study import Report, place_of
from denoisebench.scoring.measures import MEASURES
from denoisebench.store.plan import read_plan
from denoisebench.store.status import STATES


def number(value: float | None) -> float | str | None:
    """JSON has no infinity: it is written as text."""
    return value if value is None or math.isfinite(value) else str(value)


def status_plain(studies: Sequence[Path]) -> dict[str, Any]:
    """Every planned cell of studies."""
    found = []
    for study in studies:
        cells = list(read_plan(study).values())
        counts = Counter(STATES[cell.state] for cell in cells)
        told = {
            "study": study.resolve().name,
            "folder": str(study),
            "counts": {state: counts[state] for state in STATES.values()},
        }
        found.append({**told, "cells": [cell.plain for cell in cells]})
    return {"schema": "denoisebench/status/1", "studies": found}


def report_plain(report: Report, folder: Path) -> dict[str, Any]:
    """All results with their ranks and differences. folder: where the other formats were written."""
    return {
        "schema": "denoisebench/report/1", "title": report.title, "folder": str(folder), "notes": report.notes,
        "ranked_by": (report.results[0].first if report.results else MEASURES[0]).column,
        "results": [_result(result, report.comparisons[place_of(result)]) for result in report.results],
        "twice": [
            {"cell": t.cell, "protocol": t.protocol, "labs": list(t.labs), "psnr_db": list(map(number, t.psnr_db)),
             "difference_db": number(t.difference_db), "same_pixels": t.same_pixels}
            for t in report.twice
        ],
    }  # fmt: skip


def _result(result: Result, comparison: Comparison) -> dict[str, Any]:
    return {
        "method": result.method, "dataset": result.dataset, "noise": result.noise, "protocol": result.protocol,
        "scored_by": result.scored_by, "lab": labs_of(result), "images": result.images, "photographs": result.photographs,
        "repeats": result.repeats, "seeds": result.seeds, "learns": result.learns, "budget": result.budget,
        "tags": result.tags.split(), "family": result.network.family, "keys": result.keys.split(),
        "seconds": number(result.seconds or None), "train_seconds": number(result.train_seconds),
        "peak_mib": number(result.peak_mib),
        "scores": {
            m.column: {"mean": number(s.mean), "sd_images": number(s.sd_images), "sd_seeds": number(s.sd_seeds)}
            for m in dict.fromkeys((*MEASURES, *result.measures)) if (s := result.scores[m.column])
        },
        "rank": comparison.ranks.get(result.id),
        "to_best": _difference(comparison.to_best.get(result.id), comparison.best),
        "to_baseline": _difference(comparison.to_baseline.get(result.id), comparison.baseline),
    }  # fmt: skip


def _difference(found: Difference | str | None, other: Result | None) -> dict[str, Any] | None:
    """To another result; None of the other itself."""
    if other is None or found is None:
        return None
    if isinstance(found, str):
        return {"other": other.method, "refused": found}
    return {
        "other": other.method, "mean_db": number(found.mean_db), "low_db": number(found.low_db), "high_db": number(found.high_db),
        "corrected_low_db": number(found.corrected_low_db), "corrected_high_db": number(found.corrected_high_db), "p": found.p,
        "p_holm": found.p_holm, "wins": found.wins, "photographs": found.photographs,
    }  # fmt: skip
