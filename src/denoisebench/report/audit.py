"""What of each method's claims was measured: ticks with their evidence, from what the run recorded.

A claim fails only where it was made: a supervised method never claims to do without targets, Neighbor2Neighbor no blind spot.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from denoisebench.report.health import cells_of, recorded
from denoisebench.report.results import Result
from denoisebench.store.rows import Row

NOT_RECORDED = "not recorded"
BLIND = 1e-6  # response of a pixel to itself, as a part of the largest response elsewhere


State = Literal["ok", "fails", "none", "unknown"]
STATE_TEXTS: dict[State, str] = {
    "ok": "measured, and so", "fails": "measured, and not so", "none": "not claimed", "unknown": "not recorded",
}  # fmt: skip


@dataclass(frozen=True)
class Tick:
    name: str
    state: State
    evidence: str


def audit(result: Result) -> list[Tick]:
    """The ticks of one result, over all its seeds: one seed without a record is none for the whole."""
    records = [recorded(cell / "manifest.json").get("evidence") or {} for cell in cells_of(result)]
    return [_noisy_only(result, records), _blind(result, records), _disjoint(result, records), _noise(result), _selection(result)]


def _all(records: Iterable[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    found = [record.get(name) for record in records]
    return [one for one in found if one] if all(found) else []


def _noisy_only(result: Result, records: list[dict[str, Any]]) -> Tick:
    name = "noisy only"
    tested = _all(records, "test_reads")
    if any(read["clean"] or read["target"] for read in tested):
        return Tick(name, "fails", _at_test(tested))
    if result.learns == "nothing":
        return Tick(name, "ok", "learns nothing" + (f"; {_at_test(tested)}" if tested else ""))
    if "weights given" in result.trained_on:
        return Tick(name, "unknown", f"weights given: their training is {NOT_RECORDED}")
    reads = _all(records, "training_reads" if result.learns == "dataset" else "test_reads")
    if not reads:
        return Tick(name, "unknown", f"reads of clean images and targets during training: {NOT_RECORDED}")
    counts = {key: sum(read[key] for read in reads) for key in ("batches", "clean", "target", "given_clean", "given_target")}
    told = (
        f"{counts['batches']:,} batches: clean read {counts['clean']:,} times, target {counts['target']:,} times; "
        f"{counts['given_clean'] + counts['given_target']:,} held one"
    )
    if counts["clean"] or counts["target"]:
        claimed = not {"supervised", "second_view"} & set(result.tags.split())
        return Tick(name, "fails" if claimed else "none", told)
    reason = _uncovered(result, reads)
    return Tick(name, "unknown", reason) if reason else Tick(name, "ok", f"{told}; {_at_test(tested)}" if tested else told)


def _at_test(reads: list[dict[str, Any]]) -> str:
    """What a method was offered at test: older runs gave it batches with their clean images."""
    batches, given, read = (
        sum(sum(one[name] for name in names) for one in reads)
        for names in (("batches",), ("given_clean", "given_target"), ("clean", "target"))
    )
    if not given:
        return f"none of {batches:,} batches at test held a clean image"
    return f"{given:,} of {batches:,} batches at test held a clean image, which was read {read:,} times"


def _uncovered(result: Result, reads: list[dict[str, Any]]) -> str | None:
    """Why counts of no reads say nothing of the whole: an interrupted or shared cell has those of its last process alone."""
    if result.learns == "dataset":
        needed = [int(_of_cell(result, cell)[0]["train_steps"] or 1) for cell in cells_of(result)]
    else:
        needed = [len({(row["image"], row["repeat"]) for row in _of_cell(result, cell)}) for cell in cells_of(result)]
    short = [(read["batches"], count) for read, count in zip(reads, needed, strict=True) if read["batches"] < count]
    return f"only {short[0][0]:,} of {short[0][1]:,} batches were counted, the others elsewhere" if short else None


def _of_cell(result: Result, cell: Path) -> list[Row]:
    return [row for row in result.rows if row["cell"] == cell]


def _blind(result: Result, records: list[dict[str, Any]]) -> Tick:
    name = "blind spot"
    found = _all(records, "blind_spot")
    if not found:
        return Tick(name, "unknown", NOT_RECORDED)
    if reason := next((one["reason"] for one in found if "reason" in one), None):
        return Tick(name, "unknown" if result.learns == "dataset" else "none", f"not measured: {reason}")
    networks = [one["network"] for one in found if one.get("network")]
    of_output = max(_own_part(one) for one in found)
    of_network = max((_own_part(one) for one in networks), default=None)
    told = f"an output pixel's sensitivity to its own input pixel is {of_output:.2g} of its largest sensitivity to any other"
    if of_network is not None:
        told += f"; in its network, by the Jacobian: {of_network:.2g}"
    blind = min(of_output, of_output if of_network is None else of_network) <= BLIND
    if blind:
        return Tick(name, "ok", told)
    return Tick(name, "fails" if networks else "none", f"none: {told}")


def _own_part(one: dict[str, float]) -> float:
    return one["own"] / max(one["others"], 1e-30)


def _disjoint(result: Result, records: list[dict[str, Any]]) -> Tick:
    name = "disjoint"
    if result.learns != "dataset":
        return Tick(name, "ok", "no training set" if result.learns == "nothing" else "each image is its own training set")
    if "weights given" in result.trained_on:
        return Tick(name, "unknown", f"weights given: their training set is {NOT_RECORDED}")
    found = _all(records, "images")
    if not found:
        shared = "transductive" in result.tags.split()
        told = f"the run compared {result.trained_on} with {result.dataset}: {'some' if shared else 'no'} photographs in common"
        return Tick(name, "none" if shared else "ok", told)
    shared_count = max(one["shared"] for one in found)
    told = f"{found[0]['training']:,} training and {found[0]['test']:,} test photographs, {shared_count:,} in common"
    claimed = "transductive" not in result.tags.split()
    return Tick(name, ("fails" if claimed else "none") if shared_count else "ok", told)


def _noise(result: Result) -> Tick:
    if result.learns != "dataset":
        return Tick("noise", "ok", "no training noise")
    if not result.train_noise:
        return Tick("noise", "unknown", NOT_RECORDED)
    fresh = result.train_noise.endswith("fresh")
    told = "drawn anew each time an image is seen, which needs clean images to draw it on" if fresh else "fixed for each image"
    return Tick("noise", "ok" if not fresh else "none", f"{result.train_noise}: {told}")


def _selection(result: Result) -> Tick:
    if result.learns != "dataset":
        return Tick("selection", "ok", "nothing to select")
    told = {
        "last": "the last weights",
        "oracle": "the weights that scored best on clean images",
        "holdout": "the weights of the lowest loss on noisy images held out",
        "given": "weights given",
    }
    state: dict[str, State] = {"last": "ok", "holdout": "ok", "oracle": "none", "given": "unknown"}
    return Tick("selection", state.get(result.selection, "unknown"), told.get(result.selection, NOT_RECORDED))
