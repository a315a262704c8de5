"""Where a data set may be stored: folders below the searched roots, ignoring case."""

from collections.abc import Iterator, Sequence
from pathlib import Path


def roots(root: str) -> tuple[Path, ...]:
    """The folders of data sets: the one that is configured, then `data`."""
    return tuple(dict.fromkeys((Path(root).expanduser(), Path("data"))))


def in_any_case(path: Path) -> Path | None:
    """That folder, whatever the case of the letters of its parts; None if there is none."""
    if path.is_dir():
        return path
    parent = in_any_case(path.parent) if path.parent != path else None
    return next(_same_but_for_case(parent, path.name), None) if parent else None


def _same_but_for_case(parent: Path, name: str) -> Iterator[Path]:
    return (entry for entry in sorted(parent.iterdir()) if entry.name.lower() == name.lower() and entry.is_dir())


def find(what: str, root: str, folders: Sequence[str], files: Sequence[str]) -> Path:
    """The first folder below the roots that holds all these files.

    Raises: FileNotFoundError that says what is missing, where it was looked for, and the command that helps.
    """
    places = [base / folder for base in roots(root) for folder in folders]
    found = [folder for place in places if (folder := in_any_case(place)) is not None]
    for folder in found:
        if all((folder / file).exists() for file in files):
            return folder
    near = next((folder for folder in found if any((folder / file).exists() for file in files)), None)
    lacking = [str(near / file) for file in files if near is not None and not (near / file).exists()]
    missing = f"missing {', '.join(lacking)}; " if lacking else ""
    raise FileNotFoundError(
        f"{what}: {missing}looked for {', '.join(files)} in {', '.join(map(str, places))}; "
        f"`denoisebench data download {what}` says how to get it and where to put it; "
        "DENOISEBENCH_DATA is the folder of your data sets"
    )
