"""Two sets of images under one name never share a table."""

import hashlib
from collections.abc import Mapping, Sequence

from denoisebench.store.rows import MEANS, Row

BROUGHT = ("real", "stored")  # noise that is in files, the same for every seed
Seen = Mapping[tuple[str, ...], str]


def told_apart(rows: Sequence[Row]) -> list[Row]:
    """The same rows; where cells of one data set's name are of different images, its name ends in a hash of them.

    Different are sets that have no image's name in common, or one whose pixels differ, clean or noisy. What a server scored
    goes with the cell that it was computed from.
    """
    cells: dict[tuple[str, str], dict[tuple[str, ...], str]] = {}
    for row in rows:
        if row["scored_by"] not in MEANS:
            cells.setdefault((row["dataset"], row["key"]), {}).update(_seen(row))
    names = _names(cells)
    return [{**row, "dataset": names.get((row["dataset"], row["key"]), row["dataset"])} for row in rows]


def _seen(row: Row) -> Seen:
    """A clean image by its name, and the noisy one that the set itself brings; where there is no clean one, the noisy one
    by what else decides about its pixels."""
    if row["clean_sha"]:
        own = {(row["image"], row["noise"]): row["noisy_sha"]} if row["noise"].startswith(BROUGHT) and row["noisy_sha"] else {}
        return {(row["image"],): row["clean_sha"], **own}
    return {(row["image"], row["noise"], row["seed"], row["repeat"]): row["noisy_sha"]} if row["noisy_sha"] else {}


def _names(cells: Mapping[tuple[str, str], Seen]) -> dict[tuple[str, str], str]:
    """By data set and key of a cell, where a data set's name means several sets."""
    classes: dict[str, list[tuple[dict[tuple[str, ...], str], list[str]]]] = {}
    for (dataset, key), seen in cells.items():
        if not seen:
            continue
        own = classes.setdefault(dataset, [])
        same = next((one for one in own if _same(one[0], seen)), None)
        if same is None:
            own.append((dict(seen), [key]))
        else:
            same[0].update(seen)
            same[1].append(key)
    return {
        (dataset, key): f"{dataset} #{_digest(seen)}"
        for dataset, own in classes.items() if len(own) > 1 for seen, keys in own for key in keys
    }  # fmt: skip


def _same(ours: Seen, theirs: Seen) -> bool:
    common = ours.keys() & theirs.keys()
    if not common:  # noisy images alone, under other noises or seeds, say nothing of each other
        return bool({name[0] for name in ours} & {name[0] for name in theirs})
    return all(ours[name] == theirs[name] for name in common)


def _digest(seen: Seen) -> str:
    return hashlib.sha256(repr(sorted(seen.items())).encode()).hexdigest()[:6]
