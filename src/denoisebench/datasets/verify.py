"""Reading every file of a data set: is each there, whole, of the right size, and the published one?"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from denoisebench.datasets import dnd, sidd, sidd_raw
from denoisebench.datasets.catalogue import CATALOGUE, Entry, Part
from denoisebench.datasets.fmdd import FMDD, FMDD_FOLDERS
from denoisebench.datasets.images import ImageSet, file_hash
from denoisebench.datasets.joined import Joined
from denoisebench.datasets.matlab import read_v5
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.places import find, in_any_case, roots
from denoisebench.datasets.reading import read_image
from denoisebench.datasets.standard import SETS, SetName, Standard
from denoisebench.progress import counted, track

BLOCKS = (sidd.FRAMES, sidd.BLOCKS, sidd.SIDE, sidd.SIDE, 3)
MEDIUM_FRAMES = 320
PREPARED = "SIDD/sidd_medium.h5"
# SHA-256 of the published uint8 arrays (40, 32, 256, 256, 3) in C order: it is the same however a .mat file is compressed.
ARRAYS = {
    "ValidationNoisyBlocksSrgb": "9f5ea9ac995b920b43888cd2a1138d9a026779ae5e0ba041096b2e945c292ef3",
    "ValidationGtBlocksSrgb": "e5ad48e8aefaf0cf7207b62176086158258fcd5d9b3597c2dd7946afb6dfa2af",
}


@dataclass
class Verdict:
    """What came of reading a set.

    files: how many were read and are right. problems: each a file and what is wrong with it. notes: what is unchecked.
    """

    place: str
    files: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def reader(name: str, root: str) -> ImageSet:
    """The set as a test or training reads it. Raises: FileNotFoundError or ValueError that say what is missing."""
    if name == "photos":
        return Joined(Photos("test"), Photos("train"))
    if name.startswith("cbsd68_noisy"):
        return Standard("cbsd68", root, stored=int(name.removeprefix("cbsd68_noisy")))
    if name == "sidd_medium":
        return sidd.SIDDMedium(root=root)
    if name == "sidd_raw_medium":
        return sidd_raw.SIDDRawMedium(root=root)
    if name in ("sidd_raw_validation", "sidd_raw_benchmark"):
        return sidd_raw.SIDDRawBlocks(part="validation" if name == "sidd_raw_validation" else "benchmark", root=root)
    if name in ("sidd_validation", "sidd_benchmark"):
        return sidd.SIDDBlocks(part="validation" if name == "sidd_validation" else "benchmark", root=root)
    if name == "dnd":
        return dnd.DND(mode="whole", root=root)
    if name == "fmdd":
        return FMDD(root=root)
    which: SetName = next(known for known in SETS if known == name)
    return Standard(which, root, channels=1 if SETS[which].gray else 3)


def located(name: str, root: str) -> Path:
    """The folder that a set is read from.

    Raises: FileNotFoundError or ValueError that say what is missing and where it was looked for.
    """
    if name == "photos":
        import skimage

        return Path(skimage.__file__).parent / "data"
    if name == "sidd_medium":
        return find(name, root, sidd.MEDIUM_FOLDERS, ["Data"])
    if name.startswith("sidd_raw"):
        images = reader(name, root)
        if isinstance(images, sidd_raw.SIDDRawMedium):
            return find(name, root, sidd_raw.MEDIUM_FOLDERS, ["Data"])
        return find(name, root, sidd.FOLDERS, [f"{file}.mat" for file in sidd_raw.FILES[name.removeprefix("sidd_raw_")]])
    if name in ("sidd_validation", "sidd_benchmark"):
        part = name.removeprefix("sidd_")
        return find(name, root, sidd.FOLDERS, [f"{file}.mat" for file in sidd.FILES[part]])
    if name == "dnd":
        return find(name, root, dnd.FOLDERS, ["info.mat", "images_srgb"])
    if name == "fmdd":
        return find(name, root, FMDD_FOLDERS, [])
    images = reader(name, root)
    assert isinstance(images, Standard)
    return images.folder.parent / f"noisy{images.stored}" if images.stored else images.folder


def file_problem(entry: Entry, part: Part, path: Path) -> str | None:
    """What is wrong with a file of a set; None for nothing. Its checksum decides where one is known, else its content."""
    if not path.is_file():
        return "missing"
    if expected := part.files.get(path.name):
        return _checksum_problem(path, expected) or _size_problem(path, entry)
    try:
        if path.suffix != ".mat":
            return _size_problem(path, entry)
        _read_mat(path)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def _checksum_problem(path: Path, expected: str) -> str | None:
    if (came := file_hash(path)) == expected:
        return None
    return f"its SHA-256 is {came}, recorded is {expected}"


def _size_problem(path: Path, entry: Entry) -> str | None:
    try:
        height, width, _ = read_image(path, entry.channels).shape
    except ValueError as error:
        return str(error)
    if entry.sides and tuple(sorted((height, width))) != entry.sides:
        return f"it is {height} x {width}, expected {entry.sides[0]} x {entry.sides[1]} or upright"
    return None


def _read_mat(path: Path) -> None:
    """Open a file of SIDD blocks or of DND, and check its shape. Raises: ValueError or OSError."""
    if path.name == "info.mat":
        boxes = dnd.read_boxes(path)
        if [len(of_image) for of_image in boxes] != [dnd.BOXES] * dnd.IMAGES:
            raise ValueError(f"it has boxes for {len(boxes)} images, expected {dnd.BOXES} for each of {dnd.IMAGES}")
    elif path.stem in (*sidd_raw.FILES["validation"], *sidd_raw.FILES["benchmark"]):
        array = sidd_raw.read_planes(path, path.stem, "fetch it again")
        if array.shape != BLOCKS[:4]:
            raise ValueError(f"it holds an array of {array.shape}, expected {BLOCKS[:4]}")
    elif path.stem in (*sidd.FILES["validation"], *sidd.FILES["benchmark"]):
        name = "sidd_benchmark" if path.stem in sidd.FILES["benchmark"] else "sidd_validation"
        array = read_v5(path, path.stem, f"denoisebench data download {name}")
        if array.shape != BLOCKS:
            raise ValueError(f"it holds an array of {array.shape}, expected {BLOCKS}")
    else:
        with h5py.File(path, "r") as file:
            if not isinstance(stored := file.get(dnd.VARIABLE), h5py.Dataset) or stored.ndim != 3 or stored.shape[0] != 3:
                raise ValueError(f"it does not hold {dnd.VARIABLE} of (3, W, H)")


def verify(name: str, root: str) -> Verdict:
    """Read every file of a set, wherever below the roots it lies.

    Raises: FileNotFoundError if nothing of it is there, saying where it was looked for.
    """
    entry = CATALOGUE[name]
    if known := _published_folders(entry, root):
        return _by_checksum(entry, known)
    if name in ("sidd_validation", "sidd_benchmark", "dnd"):
        return _by_content(name, entry, root)
    if name == "sidd_medium":
        return _medium(root)
    images = reader(name, root)
    verdict = Verdict(str(located(name, root)))
    if not any(checksum for part in entry.parts for checksum in part.files.values()):
        verdict.notes += ["checksums unchecked: none is known"] if entry.parts else []
    else:
        verdict.notes.append("checksums unchecked: this copy has other file names than the one whose checksums are known")
    read_all(images, verdict, entry.sides)
    verdict.problems += _incomplete(images, verdict.place)
    return verdict


def _incomplete(images: ImageSet, place: str) -> Iterator[str]:
    """What a raw set of SIDD has less than the published one."""
    if isinstance(images, sidd_raw.SIDDRawBlocks) and not images.is_whole:
        yield f"{place}: blocks of {images.name.partition('-')[2]}, expected {'x'.join(map(str, BLOCKS[:4]))}"
    if isinstance(images, sidd_raw.SIDDRawMedium) and len(images.frames) != MEDIUM_FRAMES:
        yield f"{place}: {len(images.frames)} noisy frames, expected {MEDIUM_FRAMES}"


def _published_folders(entry: Entry, root: str) -> list[tuple[Part, Path]]:
    """Folders that hold files of the names whose checksums are known, one for each part; empty if any part has none."""
    pairs = []
    for part in entry.parts:
        places = (in_any_case(base / folder) for base in roots(root) for folder in _layouts(part))
        counts = [(sum((place / file).is_file() for file in part.files), place) for place in places if place]
        count, place = max(counts, key=lambda pair: pair[0], default=(0, None))
        if not count or place is None or not all(part.files.values()):
            return []
        pairs.append((part, place))
    return pairs


def _layouts(part: Part) -> Iterator[str]:
    """Where people keep a part: as `download` puts it, or in another layout that its reader knows."""
    yield part.folder
    for own in SETS.values():
        for folders in own.folders.values():
            if part.folder in folders:
                yield from folders


def _by_checksum(entry: Entry, folders: Sequence[tuple[Part, Path]]) -> Verdict:
    verdict = Verdict(", ".join(str(folder) for _, folder in folders))
    for part, folder in folders:
        for file in part.files:
            if problem := file_problem(entry, part, folder / file):
                verdict.problems.append(f"{folder / file}: {problem}")
            else:
                verdict.files += 1
    return verdict


def _by_content(name: str, entry: Entry, root: str) -> Verdict:
    folder = located(name, root)
    known = all(Path(file).stem in ARRAYS for part in entry.parts for file in part.files)
    verdict = Verdict(str(folder), notes=[] if known else ["checksums unchecked: none is published"])
    top = entry.parts[0].folder
    paths = [(part, folder / os.path.relpath(part.folder, top) / file) for part in entry.parts for file in part.files]
    with track(f"reading {name}", len(paths)) as advance:
        for number, (part, path) in enumerate(paths, 1):
            if problem := file_problem(entry, part, path) or _values_problem(path):
                verdict.problems.append(f"{path}: {problem}")
            else:
                verdict.files += 1
                said = "its array is the published one" if path.stem in ARRAYS else f"SHA-256 {file_hash(path)}"
                verdict.notes.append(f"{path.name}: {said}")
            advance(number, path.name)
    return verdict


def _values_problem(path: Path) -> str | None:
    """All values of a DND image and of SIDD's validation arrays; of the benchmark's the checksum is printed, for which every
    byte is read."""
    if expected := ARRAYS.get(path.stem):
        return _array_problem(path, expected)
    if path.name == "info.mat" or path.parent.name != "images_srgb":
        return None
    try:
        with h5py.File(path, "r") as file:
            stored = file[dnd.VARIABLE]
            assert isinstance(stored, h5py.Dataset)
            bad = sum(np.count_nonzero(~np.isfinite(stored[channel])) for channel in range(3))
    except OSError as error:
        return f"cannot be read ({error})"
    return counted(int(bad), "NaN or infinite value") if bad else None


def _array_problem(path: Path, expected: str) -> str | None:
    """A frame at a time: in MATLAB's order its blocks lie strewn over the whole file."""
    digest = hashlib.sha256()
    try:
        for frame in read_v5(path, path.stem, "denoisebench data download sidd_validation"):
            digest.update(np.ascontiguousarray(frame).data)
    except (ValueError, OSError) as error:
        return str(error)
    return None if digest.hexdigest() == expected else f"the SHA-256 of its array is {digest.hexdigest()}, recorded is {expected}"


def _medium(root: str) -> Verdict:
    """The frames, each beside its clean partner, and the prepared patches, whichever is there."""
    prepared = next((base / PREPARED for base in roots(root) if (base / PREPARED).is_file()), None)
    try:
        frames = sidd.SIDDMedium(root=root)
    except FileNotFoundError:
        if prepared is None:
            raise
        verdict = Verdict(str(prepared), notes=["the frames are not here, only the patches cut from them"])
    else:
        verdict = Verdict(str(located("sidd_medium", root)), notes=["checksums unchecked: none is published"])
        read_all(frames, verdict, None)
        if len(frames.names) != MEDIUM_FRAMES:
            verdict.problems.append(f"{verdict.place}: {len(frames.names)} noisy frames, expected {MEDIUM_FRAMES}")
    if prepared is not None:
        _verify_prepared(prepared, verdict)
    return verdict


def _verify_prepared(path: Path, verdict: Verdict) -> None:
    """Each frame's patches against the hash that was written when they were cut."""
    try:
        with h5py.File(path, "r") as file:
            noisy, clean, hashes, plan = (file[name] for name in ("noisy", "clean", "hashes", "plan"))
            assert isinstance(noisy, h5py.Dataset)
            assert isinstance(clean, h5py.Dataset)
            assert isinstance(hashes, h5py.Dataset)
            assert isinstance(plan, h5py.Dataset)
            about, first = json.loads(bytes(plan[()])), 0
            for number, (_, stem, _, height, width) in enumerate(about["frames"]):
                last = first + (height // about["patch"]) * (width // about["patch"])
                digest = hashlib.sha256(noisy[first:last].tobytes() + clean[first:last].tobytes()).digest()
                if digest != bytes(hashes[number]):
                    verdict.problems.append(f"{path}: the patches of {stem} are not those that were cut: prepare it again")
                first = last
    except (OSError, KeyError, ValueError) as error:
        verdict.problems.append(f"{path}: cannot be read ({error}): prepare it again")
    else:
        verdict.files += 1


def read_all(images: ImageSet, verdict: Verdict, sides: tuple[int, int] | None) -> None:
    """Read every image of a set into a verdict. sides: what each must be of, in either order, where that is known."""
    with track(f"reading {images.name}", len(images.names)) as advance:
        for index, name in enumerate(images.names):
            if problem := _image_problem(images, index, sides):
                verdict.problems.append(f"{images.name}, {name}: {problem}")
            else:
                verdict.files += images.has_clean + images.has_noisy
            advance(index + 1, name)


def _image_problem(images: ImageSet, index: int, sides: tuple[int, int] | None) -> str | None:
    try:
        views = [read(index) for has, read in ((images.has_noisy, images.noisy), (images.has_clean, images.clean)) if has]
    except (ValueError, OSError) as error:
        return str(error)
    shapes = {view.shape[:2] for view in views}
    if len(shapes) > 1:
        return f"noisy and clean are of different sizes: {shapes}"
    if sides and tuple(sorted(shapes.pop())) != sides:
        return f"it is {views[0].shape[0]} x {views[0].shape[1]}, expected {sides[0]} x {sides[1]} or upright"
    return None
