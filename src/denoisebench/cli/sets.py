"""What the actions of `denoisebench data` do: each prints, and returns the exit code."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from denoisebench.datasets import sidd
from denoisebench.datasets.catalogue import CATALOGUE, entry_of
from denoisebench.datasets.download import by_hand, download, take
from denoisebench.datasets.places import roots
from denoisebench.datasets.prepared import prepare
from denoisebench.datasets.verify import PREPARED, Verdict, located, verify
from denoisebench.datasets.verify_folder import verify_folder
from denoisebench.progress import counted, output_console

SHOWN = 20


def _root() -> str:
    return os.environ.get("DENOISEBENCH_DATA") or "data"


def _known(names: Sequence[str]) -> None:
    """Check that at least one name is given and that all are known."""
    if not names:
        raise ValueError(f"name a data set: {', '.join(CATALOGUE)}")
    for name in names:
        entry_of(name)


def list_sets() -> int:
    table = Table("name", "here", "size", "licence", "download", "what", box=None, header_style="bold")
    for name, entry in CATALOGUE.items():
        way = "automatic" if entry.fetched else "by hand" if entry.parts else "comes with it"
        table.add_row(name, _here(name), _size(entry.size), entry.licence, way, entry.what)
    console = output_console()
    console.print(table)
    console.print(f"\nlooked for in {', '.join(map(str, roots(_root())))} (DENOISEBENCH_DATA is searched before data/)")
    return 0


def list_as_json() -> int:
    """The same for programs: docs/json.md describes it."""
    found = []
    for name, entry in CATALOGUE.items():
        here, way = _here(name), "automatic" if entry.fetched else "by hand" if entry.parts else "comes with it"
        is_damaged = here.startswith("damaged")
        place = None if here == "no" or is_damaged else here
        found.append({
            "name": name, "here": place, "problem": here if is_damaged else None, "bytes": entry.size, "licence": entry.licence,
            "download": way, "what": entry.what, "page": entry.page,
        })  # fmt: skip
    told = {"schema": "denoisebench/data-list/1", "roots": list(map(str, roots(_root()))), "sets": found}
    print(json.dumps(told, indent=1))
    return 0


def _here(name: str) -> str:
    try:
        return str(located(name, _root())) if name != "photos" else "in scikit-image"
    except FileNotFoundError:
        return "no"
    except ValueError:
        return "damaged: see verify"


def _size(count: int) -> str:
    if not count:
        return "-"
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def download_sets(names: Sequence[str], to: str | None, archive: str | None) -> int:
    """archive: a file that was fetched already."""
    _known(names)
    root = Path(to or _root()).expanduser()
    if archive and len(names) != 1:
        raise ValueError("--from ARCHIVE goes with one data set")
    return max(_download_one(name, root, archive) for name in names)


def _download_one(name: str, root: Path, archive: str | None) -> int:
    entry = CATALOGUE[name]
    if not entry.parts:
        print(f"{name}: {entry.what}; nothing to download")
        return 0
    if archive:
        came = take(name, Path(archive).expanduser(), root)
    elif entry.fetched:
        print(f"{name}: {entry.what}, {_size(entry.size)}; licence: {entry.licence}; {entry.page}")
        came = download(name, root)
    else:
        print(f"{name} cannot be fetched automatically; get it {by_hand(name, root)}")
        return 1
    print(f"{name}: {counted(len(came), 'file')} came" if came else f"{name}: all of it is here already")
    return _told(name, verify(name, str(root)))


def verify_sets(names: Sequence[str]) -> int:
    """names: of data sets or folders; none: all that is here."""
    for name in names:
        if not Path(name).is_dir():
            entry_of(name)
    chosen = names or [name for name in CATALOGUE if _here(name) != "no"]
    return max(_verify_one(name) for name in chosen)


def _verify_one(name: str) -> int:
    try:
        verdict = verify(name, _root()) if name in CATALOGUE else verify_folder(Path(name))
    except (OSError, ValueError) as error:
        print(f"{name}: {error}")
        return 1
    return _told(name, verdict)


def _told(name: str, verdict: Verdict) -> int:
    state = counted(len(verdict.problems), "problem") if verdict.problems else "whole"
    known = name in CATALOGUE and CATALOGUE[name].parts and not verdict.notes and not verdict.problems
    checked = "; the SHA-256 of each is the recorded one" if known else ""
    print(f"{name}: {verdict.place}: {counted(verdict.files, 'file')} right, {state}{checked}")
    for line in (*verdict.notes, *verdict.problems[:SHOWN]):
        print(f"  {line}")
    if len(verdict.problems) > SHOWN:
        print(f"  and {len(verdict.problems) - SHOWN} more")
    if verdict.problems:
        print(f"  {_mend(name)}")
    return int(bool(verdict.problems))


def _mend(name: str) -> str:
    if name not in CATALOGUE:
        return "replace or remove these files"
    if CATALOGUE[name].fetched:
        return f"fetch them again: denoisebench data download {name}"
    return f"put them there again: denoisebench data download {name} says how"


def prepare_set(names: Sequence[str], to: str | None, patch: int) -> int:
    """patch: the side of the patches in pixels."""
    _known(names)
    if list(names) != ["sidd_medium"]:
        raise ValueError("only sidd_medium is prepared: denoisebench data prepare sidd_medium")
    frames = sidd.SIDDMedium(root=_root())
    out = prepare(frames, Path(to or Path(_root()) / PREPARED).expanduser(), patch)
    print(f"{out}: patches of {len(frames.names)} frames; train on them with train_set=sidd_medium")
    return 0


def print_paths(names: Sequence[str]) -> int:
    _known(names)
    for name in names:
        print(located(name, _root()))
    return 0
