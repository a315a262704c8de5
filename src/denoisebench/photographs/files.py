"""Which files are denoised, and where each goes."""

import functools
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
CHANGED = "it has the name of an output of an earlier call, and is not as that call left it: name the file itself to denoise it"
LEFT = "it is an output of an earlier call: copy it under another name to denoise it again"
Problem = tuple[Path, str]


@dataclass(frozen=True)
class Item:
    source: Path
    output: Path


def listed(paths: Sequence[str], problems: list[Problem], *, changed: bool = False) -> list[Path]:
    """The images that these files, folders and patterns name, each once; files that are named themselves, whatever they are.

    Of a folder the images in it, not in its subfolders. Outputs of earlier calls in folders and patterns are left out, and those
    that were changed since, or replaced, are taken only if `changed` says so. Otherwise they are added to the problems, and so
    are paths that name nothing.
    """
    record_of = functools.cache(Record)
    found: dict[Path, Path] = {}
    others: dict[Path, Path] = {}
    for path in (Path(text).expanduser() for text in paths):
        if _is_image(path):
            found.setdefault(path.resolve(), path)
            continue
        for one in _within(path, problems):
            record = record_of(one.parent)
            if not _is_left(one, record):
                taken = found if changed or one.name not in record.entries else others
                taken.setdefault(one.resolve(), one)
    problems.extend((path, CHANGED) for place, path in others.items() if place not in found)
    return list(found.values())


def _is_image(path: Path) -> bool:
    """Whether a path names an image itself, and is no folder of images or pattern."""
    return is_zarr(path) or (path.exists() and not path.is_dir())


def _within(path: Path, problems: list[Problem]) -> Iterator[Path]:
    if path.is_dir():
        yield from (one for one in sorted(path.iterdir()) if _is_listed(one))
    elif matches := sorted(glob.glob(str(path), recursive=True)):
        yield from (one for one in map(Path, matches) if _is_listed(one))
    else:
        problems.append((path, "no such file or folder"))


def _is_listed(path: Path) -> bool:
    known = (path.suffix.lower() in LISTED and path.is_file()) or is_stack_path(path)
    return known and not path.name.startswith(".")


def _is_left(path: Path, record: Record) -> bool:
    """Whether it is an output as this command left it. What cannot be read is told where it is read."""
    try:
        return record.is_ours(path.name)
    except OSError:
        return False


def placed(sources: Sequence[Path], out: Path | None, suffix: str | None, problems: list[Problem]) -> list[Item]:
    """Where each source goes: never over a source, never two into one file. Others are added to the problems.

    So are outputs of earlier calls, but for those of these sources: a shell's pattern names both.
    """
    record_of = functools.cache(Record)
    left = [source for source in sources if _is_left(source, record_of(source.parent))]
    ending = suffix if suffix is not None else "" if out else SUFFIX
    items = [Item(one, (out or one.parent) / _output_name(one, ending)) for one in sources if one not in left]
    inputs, targets = {item.source.resolve() for item in items}, Counter(item.output.resolve() for item in items)
    problems.extend((source, LEFT) for source in left if source.resolve() not in targets)
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
    if not item.output.exists():
        return
    if not record.is_ours(item.output.name):
        raise PhotoError(f"{item.output} is there already, and is not as this command left it: choose another --out or --suffix")
    if not force:
        raise PhotoError(f"{item.output} was made of another input or with other settings: --force replaces it")
