"""The verb `denoisebench data`: what it prints and the exit code it ends with."""

import argparse
import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from denoisebench.datasets import sidd
from denoisebench.datasets.catalogue import CATALOGUE, entry_of
from denoisebench.datasets.download import by_hand, download, take
from denoisebench.datasets.places import roots
from denoisebench.datasets.prepared import prepare
from denoisebench.datasets.verify import PREPARED, Verdict, located, verify, verify_folder
from denoisebench.progress import output_console

SHOWN = 20


def data(arguments: Sequence[str]) -> int:
    """Run `list`, `download`, `verify`, `prepare` or `path`; returns the exit code.

    Raises: OSError or ValueError that say what failed and what helps.
    """
    action, rest = arguments[0], arguments[1:]
    if action not in ACTIONS:
        close = difflib.get_close_matches(action, ACTIONS, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ValueError(f"data: no action {action}; {hint}Valid: {', '.join(ACTIONS)}")
    return ACTIONS[action](rest)


def _root() -> str:
    return os.environ.get("DENOISEBENCH_DATA") or "data"


def _given(arguments: Sequence[str], *options: str) -> tuple[list[str], dict[str, str | None]]:
    """The names and the options of an action."""
    parser = argparse.ArgumentParser("denoisebench data", add_help=False)
    parser.add_argument("names", nargs="*")
    for option in options:
        parser.add_argument(f"--{option}", dest=option)
    given = vars(parser.parse_args(arguments))
    names: list[str] = given.pop("names")
    return names, given


def _named(arguments: Sequence[str], *options: str) -> tuple[list[str], dict[str, str | None]]:
    """As `_given`, of at least one name, all known."""
    names, given = _given(arguments, *options)
    if not names:
        raise ValueError(f"name a data set: {', '.join(CATALOGUE)}")
    for name in names:
        entry_of(name)
    return names, given


def _list(arguments: Sequence[str]) -> int:
    _given(arguments)
    table = Table("name", "here", "size", "licence", "download", "what", box=None, header_style="bold")
    for name, entry in CATALOGUE.items():
        way = "automatic" if entry.fetched else "by hand" if entry.parts else "comes with it"
        table.add_row(name, _here(name), _size(entry.size), entry.licence, way, entry.what)
    console = output_console()
    console.print(table)
    console.print(f"\nlooked for in {', '.join(map(str, roots(_root())))} (DENOISEBENCH_DATA is searched before data/)")
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


def _download(arguments: Sequence[str]) -> int:
    names, given = _named(arguments, "to", "from")
    root = Path(given["to"] or _root()).expanduser()
    if given["from"] and len(names) != 1:
        raise ValueError("--from ARCHIVE goes with one data set")
    return max(_download_one(name, root, given["from"]) for name in names)


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
    print(f"{name}: {len(came)} files came" if came else f"{name}: all of it is here already")
    return _told(name, verify(name, str(root)))


def _verify(arguments: Sequence[str]) -> int:
    names, _ = _given(arguments)
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
    state = f"{len(verdict.problems)} problems" if verdict.problems else "whole"
    known = name in CATALOGUE and CATALOGUE[name].parts and not verdict.notes and not verdict.problems
    checked = "; the SHA-256 of each is the recorded one" if known else ""
    print(f"{name}: {verdict.place}: {verdict.files} files right, {state}{checked}")
    for line in (*verdict.notes, *verdict.problems[:SHOWN]):
        print(f"  {line}")
    if len(verdict.problems) > SHOWN:
        print(f"  and {len(verdict.problems) - SHOWN} more")
    if verdict.problems:
        print(f"  {_mend(name)}")
    return int(bool(verdict.problems))


def _mend(name: str) -> str:
    if name not in CATALOGUE:
        return "replace these files, or take them away"
    if CATALOGUE[name].fetched:
        return f"fetch them again: denoisebench data download {name}"
    return f"put them there again: denoisebench data download {name} says how"


def _prepare(arguments: Sequence[str]) -> int:
    names, given = _named(arguments, "to", "patch")
    if names != ["sidd_medium"]:
        raise ValueError("only sidd_medium is prepared: denoisebench data prepare sidd_medium")
    patch = given["patch"] or "512"
    if not patch.isdigit() or not int(patch):
        raise ValueError(f"--patch is a number of pixels above 0, not {patch}")
    frames = sidd.SIDDMedium(root=_root())
    out = prepare(frames, Path(given["to"] or Path(_root()) / PREPARED).expanduser(), int(patch))
    print(f"{out}: patches of {len(frames.names)} frames; train on them with train_set=sidd_medium")
    return 0


def _path(arguments: Sequence[str]) -> int:
    names, _ = _named(arguments)
    for name in names:
        print(located(name, _root()))
    return 0


ACTIONS = {"list": _list, "download": _download, "verify": _verify, "prepare": _prepare, "path": _path}
