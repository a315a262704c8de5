"""The image files of a folder: by the names of their images, and what was skipped."""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from denoisebench.stacks.opening import SUFFIXES, is_stack_path

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
OTHER_IMAGE_SUFFIXES = (
    ".jfif", ".jpe", ".jp2", ".j2k", ".jxl", ".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".avif", ".gif", ".dng", ".cr2",
    ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw", ".exr", ".hdr", ".psd", ".czi", ".nd2", ".lif", ".dcm", ".fits",
    ".dib", ".tga",
)  # fmt: skip
NAMED = 5


def list_images(folder: Path, key: str, suffix: str = "", *, recursive: bool = False) -> dict[str, Path]:
    """Image files of a folder by name, in the order of their names; only stems that end in `suffix`, which is no part of the
    name. recursive: in the folders below too, whose images are named `folder/stem`.

    A name is the file's stem in Unicode's composed form (NFC), whichever form the file system keeps; bytes that are no UTF-8
    are written as `\\xe9`.

    Raises: FileNotFoundError or ValueError, naming `key`, if there is no such folder, no image in it, or two
    images of one name.
    """
    if folder.is_file():
        raise ValueError(f"{key}={shown(folder)} is a file: name the folder that holds it, {key}={shown(folder.parent)}")
    if not folder.is_dir():
        raise FileNotFoundError(f"{key}={shown(folder)}: no such folder")
    files: dict[str, Path] = {}
    ending = composed(suffix)
    for path in _files(folder, recursive=recursive):
        if not (path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()) and not is_stack_path(path):
            continue
        stem = _named(path.relative_to(folder))
        name = stem.removesuffix(ending)
        if not stem.endswith(ending) or not PurePath(name).name or name.endswith("/"):
            continue
        if name in files:
            both = f"{shown(files[name].name)} and {shown(path.name)}"
            raise ValueError(f"{key}={shown(folder)}: {both} share a stem, which names an image")
        files[name] = path
    if not files:
        raise ValueError(f"{key}={shown(folder)}: no image in it{_why_none(folder, suffix, recursive=recursive)}")
    return dict(sorted(files.items()))


def passed_over(folder: Path, suffix: str = "", *, recursive: bool = False) -> list[str]:
    """Files of a folder that look like images and are not read, each with the reason."""
    told = []
    for path in _files(folder, recursive=recursive):
        own = path.suffix.lower()
        if own in IMAGE_SUFFIXES and not path.is_file() and not path.is_dir():
            told.append(f"{shown(path.name)}: a link to nothing (git-annex: `git annex get`)")
        elif own in OTHER_IMAGE_SUFFIXES and _named(path.relative_to(folder)).endswith(suffix):
            told.append(f"{shown(path.name)}: {own} is not read; save it as PNG or TIFF")
    return told


def shown(name: PurePath | str) -> str:
    """A path or file name as printable text: bytes that are not UTF-8 are written as `\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): one name, whichever form a file system keeps or a keyboard types."""
    return unicodedata.normalize("NFC", name)


def listed(names: Sequence[str]) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _named(relative: Path) -> str:
    return composed(shown(relative.with_suffix("").as_posix()))


def _files(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """Its entries in order, without those whose name, or that of a folder above them, begins with a point."""
    every = folder.rglob("*") if recursive else folder.iterdir()
    return (path for path in sorted(every) if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _why_none(folder: Path, suffix: str, *, recursive: bool) -> str:
    ending = f" whose stem ends in {suffix}" if suffix else ""
    below = next((path for path in sorted(folder.iterdir()) if path.is_dir()), None) if not recursive else None
    deeper = f"; dataset.recursive=true looks in its folders too, as {shown(below.name)}" if below else ""
    return f"{ending} ({', '.join((*IMAGE_SUFFIXES, *SUFFIXES, '.zarr'))}){deeper}"


def looks_cut(stems: Sequence[str]) -> list[str]:
    """Stems that look like several cuts of one photograph, `a_1` and `a_2`: the largest group of them, else nothing.

    Where one beginning is common to all, as in `IMG_0001`, it says nothing, unless the numbers are as short as those of cuts.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for stem in stems:
        if found := re.fullmatch(r"(.*[^\W_])[_-](\d+)", stem):
            groups.setdefault(found[1], []).append((stem, found[2]))
    several = max(groups.values(), key=len, default=[])
    if len(several) < 2 or (len(groups) == 1 and max(len(number) for _, number in several) > 2):
        return []
    return [stem for stem, _ in several]


def of_one_folder(names: Sequence[str]) -> list[str]:
    """Of a set of several folders, `s1/a`, those of the folder that has the most images, if these are several; else nothing."""
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    several = max(folders.values(), key=len, default=[])
    return several if len(folders) > 1 and len(several) > 1 else []
