"""Which files are denoised, and where each goes."""

import glob
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from denoisebench.photographs.photo import PhotoError
from denoisebench.photographs.raw import SUFFIX as TIFF
from denoisebench.photographs.reading import RAW
from denoisebench.photographs.record import Record
from denoisebench.stacks.opening import is_stack_path
from denoisebench.stacks.zarrs import is_zarr

LISTED = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".webp", ".heic", ".heif", ".avif", ".jp2", ".jxl", *RAW)
SUFFIX = "_denoised"
Problem = tuple[Path, str]


@dataclass(frozen=True)
class Item:
    source: Path
    output: Path


def listed(paths: Sequence[str], problems: list[Problem]) -> list[Path]:
    """The images that these files, folders and patterns name, each once; what this command wrote earlier is left out.

    Of a folder the images in it, not in its subfolders. Paths that name nothing are added to the problems.
    """
    found: dict[Path, Path] = {}
    for text in paths:
        own = [path for path in _named(text, problems) if not _is_output(path)]
        found |= {path.resolve(): path for path in own if path.resolve() not in found}
    return list(found.values())


def _named(text: str, problems: list[Problem]) -> Iterator[Path]:
    path = Path(text).expanduser()
    if is_zarr(path):
        yield path
    elif path.is_dir():
        yield from (one for one in sorted(path.iterdir()) if _is_listed(one))
    elif path.exists():
        yield path
    elif matches := sorted(glob.glob(str(path), recursive=True)):
        yield from (one for one in map(Path, matches) if _is_listed(one))
    else:
        problems.append((path, "no such file or folder"))


def _is_listed(path: Path) -> bool:
    known = (path.suffix.lower() in LISTED and path.is_file()) or is_stack_path(path)
    return known and not path.name.startswith(".")


def _is_output(path: Path) -> bool:
    return path.name in Record(path.parent).entries


def placed(sources: Sequence[Path], out: Path | None, suffix: str | None, problems: list[Problem]) -> list[Item]:
    """Where each source goes: never over a source, never two into one file. Others are added to the problems."""
    ending = suffix if suffix is not None else "" if out else SUFFIX
    items = [Item(source, (out or source.parent) / _output_name(source, ending)) for source in sources]
    inputs, targets = {source.resolve() for source in sources}, Counter(item.output.resolve() for item in items)
    good = []
    for item in items:
        target = item.output.resolve()
        if target in inputs:
            problems.append((item.source, f"{item.output} would be written over an input: choose another --out or --suffix"))
        elif targets[target] > 1:
            problems.append((item.source, f"another input has the same output, {item.output}: denoise them in two calls"))
        else:
            good.append(item)
    return good


def _output_name(source: Path, ending: str) -> str:
    """Raw files are read, and TIFF files written in their place. `.ome.tif` is one suffix."""
    whole = source.with_suffix("")
    ome = whole.suffix if whole.suffix.lower() == ".ome" else ""
    suffix = TIFF if source.suffix.lower() in RAW else ome + source.suffix
    return f"{source.name.removesuffix(ome + source.suffix)}{ending}{suffix}"


def check_free(item: Item, record: Record, *, force: bool) -> None:
    """Raises: PhotoError if the output's name is taken by a file that this command may not replace."""
    if not item.output.exists() or (force and item.output.name in record.entries):
        return
    if not record.is_ours(item.output.name):
        raise PhotoError(f"{item.output} is there already, and is not as this command left it: choose another --out or --suffix")
    raise PhotoError(f"{item.output} was made of another input or with other settings: --force replaces it")
