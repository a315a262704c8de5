"""Which measures a report shows, what they are and why some are empty, and whether they agree on who wins."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy import stats

from denoisebench.report.results import Result, measures_in
from denoisebench.scoring import measures
from denoisebench.scoring.further import Further, kept, known_columns
from denoisebench.scoring.measures import Measure
from denoisebench.store.rows import Row


def measures_of_rows(rows: Sequence[Row]) -> tuple[Measure, ...]:
    """PSNR, SSIM, and the further measures that any row has a column of."""
    return tuple(dict.fromkeys((*measures.MEASURES, *_found(rows))))


def _found(rows: Sequence[Row]) -> Iterator[Measure]:
    known = {**{name: one for name, (one, _) in _told(rows).items()}, **known_columns()}
    for name in dict.fromkeys(name for row in rows for name in row):
        if name in known:
            yield known[name]


def _told(rows: Sequence[Row]) -> dict[str, tuple[Further, str | None]]:
    """What cells tell of their further measures, by column; the first reason counts."""
    found: dict[str, tuple[Further, str | None]] = {}
    for cell in dict.fromkeys(row["cell"] for row in rows if isinstance(row.get("cell"), Path)):
        for column, (measure, reason) in kept(cell).items():
            found[column] = measure, (found[column][1] if column in found else None) or reason
    return found


def chosen(rows: Sequence[Row], names: Sequence[str] | None) -> tuple[Measure, ...]:
    """Those of these names, in their order, the first of which ranks; None: all. Raises: ValueError for one that is not there."""
    found = measures_of_rows(rows)
    if names is None:
        return found
    by_name = {measure.name: measure for measure in found}
    if wrong := [name for name in names if name not in by_name]:
        raise ValueError(f"no scores by {', '.join(wrong)}: --measures chooses among {', '.join(by_name)}; "
                         f"--measure {wrong[0]} scores the stored outputs by it")  # fmt: skip
    return tuple(by_name[name] for name in dict.fromkeys(names))


def measure_notes(rows: Sequence[Row], shown: Sequence[Measure]) -> list[str]:
    """Of each further measure its direction, range, licence, and why it has no scores."""
    told = _told(rows)
    notes = []
    for measure in shown:
        own = measure if isinstance(measure, Further) else None
        if own is None:
            continue
        reason = told.get(own.column, (own, None))[1]
        if reason and not any(row.get(own.column) is not None for row in rows):
            notes.append(f"{own.title}: no scores ({reason})")
            continue
        way = (
            ("higher is better" if own.higher_is_better else "lower is better")
            if own.directed
            else "no direction: it ranks nobody"
        )
        notes.append(f"{own.title}: {way}; range {own.range}; {own.treats}; from {own.library}, licence {own.licence}")
    return notes


# --- Agreement ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Agreement:
    """Who wins by a measure, and how far its order of methods is that of the first measure: Kendall's tau, 1 for the same
    order, -1 for the reverse; None for fewer than two methods."""

    measure: Measure
    winner: str
    tau: float | None
    methods: int


def agreements(results: Sequence[Result]) -> list[Agreement]:
    """Of the methods of one data set, noise and protocol that saw no clean image; empty for fewer than two measures."""
    rivals = [r for r in results if not r.saw_clean]
    own = [m for m in measures_in(results) if getattr(m, "directed", True) and sum(_mean(r, m) is not None for r in rivals) > 1]
    return [_agreement(rivals, own[0], measure) for measure in own] if len(own) > 1 else []


def _mean(result: Result, measure: Measure) -> float | None:
    return result.scores[measure.column].mean


def _agreement(rivals: Sequence[Result], first: Measure, measure: Measure) -> Agreement:
    pairs = [(first.goodness(a), measure.goodness(b), r.method) for r in rivals
             if (a := _mean(r, first)) is not None and (b := _mean(r, measure)) is not None]  # fmt: skip
    winner = max(((good, method) for _, good, method in pairs), default=(0.0, ""))[1]
    if len(pairs) < 2:
        return Agreement(measure, winner, None, len(pairs))
    tau = float(stats.kendalltau([a for a, _, _ in pairs], [b for _, b, _ in pairs]).statistic)  # pyright: ignore[reportAttributeAccessIssue]
    return Agreement(measure, winner, tau if tau == tau else None, len(pairs))


AGREEMENT_HEAD = ("measure", "better", "best method", "Kendall's tau with {}", "methods")


def agreement_head(found: Sequence[Agreement]) -> list[str]:
    return [text.format(found[0].measure.title) for text in AGREEMENT_HEAD]


def agreement_rows(found: Sequence[Agreement]) -> list[list[str]]:
    return [
        [one.measure.title, "higher" if one.measure.higher_is_better else "lower", one.winner,
         "" if one.tau is None else f"{one.tau:+.2f}", str(one.methods)]
        for one in found
    ]  # fmt: skip
