"""What a pack says against itself: files, rows, outputs. No data set is needed for it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from denoisebench.packs.contents import Packed
from denoisebench.packs.read import Pack
from denoisebench.store.finished import read_finished
from denoisebench.store.pictures import decoded, output_name, stored_sha
from denoisebench.store.rows import Row, read_server_rows
from denoisebench.verify.finding import Finding, some

SAME_IN_ALL = {"method": "label", "dataset": "dataset", "noise": "noise", "key": "key", "setup": "setup"}


def check_itself(pack: Pack, finding: Finding, folder: Path) -> list[Row]:
    """The rows of a cell, as far as they can be read; `folder` is where its files were put."""
    cell = finding.cell
    finding.contradictions += pack.faults(cell.key)
    if finding.contradictions:
        return []
    try:
        rows = read_finished(folder)
    except ValueError as error:
        finding.contradictions.append(str(error).replace(f"{folder}/", ""))
        return []
    finding.contradictions += _rows_of_another(cell, rows)
    if pack.head.outputs:
        finding.contradictions += _outputs(pack, cell, rows)
    else:
        finding.unchecked.append("scores against outputs: the pack has no images")
        if unnamed := sum(not row.get("output_sha") for row in rows):
            finding.unchecked.append(f"{unnamed} rows name no output: an older version computed them, and the outputs were gone")
    try:
        answered = read_server_rows(folder)
    except ValueError as error:
        finding.contradictions.append(str(error).replace(f"{folder}/", ""))
        return []
    if answered:
        finding.unchecked.append("what a server answered: only the server knows")
    finding.checked.append(f"files and {len(rows)} rows")
    return rows


def _rows_of_another(cell: Packed, rows: Sequence[Row]) -> Iterator[str]:
    for column, name in SAME_IN_ALL.items():
        if found := {row[column] for row in rows} - {getattr(cell, name)}:
            yield f"{column} is {getattr(cell, name)} in pack.json and {found.pop()} in its rows"
    if {row["seed"] for row in rows} != {str(cell.seed)}:
        yield f"its seed is {cell.seed} in pack.json and another in its rows"


def _outputs(pack: Pack, cell: Packed, rows: Sequence[Row]) -> Iterator[str]:
    """That there is an output for each row, and that it is the one that was scored."""
    names = {output_name(row["image"], int(row["repeat"])): row for row in rows}
    start = cell.member("images/")
    packed = {name.removeprefix(start) for name in pack.head.files if name.startswith(start)}
    if lacking := sorted(names.keys() - packed):
        yield f"the outputs {some(lacking)} are missing"
    if foreign := sorted(packed - names.keys()):
        yield f"the outputs {some(foreign)} belong to no row"
    for name in sorted(names.keys() & packed):
        try:
            sha = stored_sha(decoded(pack.read(start + name), name))
        except ValueError as error:
            yield str(error)
            continue
        if sha != names[name].get("output_sha"):
            yield f"the output {name} is not the one that its row names: output_sha differs"


def check_between(findings: Sequence[Finding], rows: Mapping[str, Sequence[Row]]) -> list[str]:
    """What cells of one pack say of each other: one noisy image has one hash, and no two have the same output.

    Returns what contradicts the pack without saying which of its cells is wrong.
    """
    noisy: dict[tuple[str, ...], set[str]] = defaultdict(set)
    outputs: dict[str, dict[str, str]] = defaultdict(dict)
    by_key = {finding.cell.key: finding for finding in findings}
    for key, own in rows.items():
        for row in own:
            view = tuple(row[name] for name in ("dataset", "noise", "seed", "image", "repeat"))
            noisy[view].add(row["noisy_sha"])
            if row.get("output_sha"):
                outputs[row["output_sha"]][row["noisy_sha"]] = key
    for own in outputs.values():
        for key in set(own.values()) if len(own) > 1 else ():
            _tell(by_key[key], "one output stands for two different noisy images: an output was copied")

    several = [view for view, shas in noisy.items() if len(shas) > 1]
    told = "cells of one data set, noise and seed have other noisy images: not all of them are of that noise"
    return [f"{told} ({some([view[3] for view in several])})"] if several else []


def _tell(finding: Finding, text: str) -> None:
    if text not in finding.contradictions:
        finding.contradictions.append(text)
