"""Training patches cut once out of large frames into one HDF5 file, from which a crop is read without decoding.

`noisy` and `clean` (N, patch, patch, 3) uint8 lie in the file uncompressed and in one piece, so that they can be mapped
into memory; `hashes` (frames, 32) holds the SHA-256 of each frame's patches, all zero until they are on the disk.
While it is made, the file is called `NAME.unfinished`: a `prepare` that was killed goes on with the next frame.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from filelock import FileLock

from denoisebench.datasets.images import ImageSet, changed, fingerprint_of
from denoisebench.datasets.places import roots
from denoisebench.datasets.sidd import SIDDMedium
from denoisebench.progress import track
from denoisebench.ranges import Count

VERSION = 1
SIDES = ("noisy", "clean")
FRAMES = 320  # of the whole SIDD-Medium


def prepare(frames: SIDDMedium, out: Path, patch: int = 512) -> Path:
    """Cut all whole patches, side by side from the top left corner, of all frames; what is finished is not done again.

    Needs memory for one frame. Raises: OSError where the disk has too little room, before anything is written;
    ValueError, naming the file, for a frame that cannot be read.
    """
    plan = _plan(frames, patch)
    if out.is_file() and _plan_of(out) == plan:
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.unfinished")
    with FileLock(out.with_name(f".{out.name}.lock")):
        if out.is_file() and _plan_of(out) == plan:  # by another process, which this one waited for
            return out
        if _plan_of(part) != plan:
            _create(part, plan)
        arrays = {name: _mapped(part, name, "r+") for name in (*SIDES, "hashes")}
        done = int(arrays["hashes"].any(axis=1).sum())
        with track(f"cutting patches into {out}", len(frames.names), done) as advance:
            for index in range(done, len(frames.names)):
                _cut(frames, index, plan, arrays)
                advance(index + 1, frames.names[index])
        del arrays
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, out)
    return out


def _plan(frames: SIDDMedium, patch: int) -> dict[str, Any]:
    """What decides about every byte of the file: frames, their lengths in bytes and sides, the side of a patch."""
    return {
        "version": VERSION,
        "patch": patch,
        "frames": [
            [path.parent.name, path.stem, path.stat().st_size, *frames.size(index)] for index, path in enumerate(frames.frames)
        ],
    }


def _corners(height: int, width: int, patch: int) -> list[tuple[int, int]]:
    return [(top, left) for top in range(0, height - patch + 1, patch) for left in range(0, width - patch + 1, patch)]


def _plan_of(path: Path) -> dict[str, Any] | None:
    """The plan a file was made by; None if it is not there or not one of these files."""
    try:
        with h5py.File(path, "r") as file:
            stored = file["plan"]
            return json.loads(bytes(stored[()])) if isinstance(stored, h5py.Dataset) else None
    except (OSError, KeyError, ValueError):
        return None


def _create(path: Path, plan: dict[str, Any]) -> None:
    patch = plan["patch"]
    count = sum(len(_corners(height, width, patch)) for *_, height, width in plan["frames"])
    if not count:
        raise ValueError(f"no frame is as large as a patch of {patch}: choose a smaller one")
    needed = 2 * count * patch * patch * 3
    path.unlink(missing_ok=True)
    if (free := shutil.disk_usage(path.parent).free) < needed * 1.01:
        raise OSError(28, f"{needed / 2**30:.1f} GiB are needed and {free / 2**30:.1f} GiB free", str(path))
    begun = path.with_name(f"{path.name}.new")
    with h5py.File(begun, "w") as file:
        file.create_dataset("hashes", data=np.zeros((len(plan["frames"]), 32), np.uint8))
        file.create_dataset("plan", data=np.frombuffer(json.dumps(plan).encode(), np.uint8))
        for side in SIDES:
            # One value written gives the whole its room in the file.
            file.create_dataset(side, (count, patch, patch, 3), np.uint8, fill_time="never")[-1, -1, -1, -1] = 0
    os.replace(begun, path)


def _mapped(path: Path, name: str, mode: Literal["r", "r+"]) -> np.ndarray:
    with h5py.File(path, "r") as file:
        stored = file[name]
        assert isinstance(stored, h5py.Dataset)
        shape, offset = stored.shape, stored.id.get_offset()
    if offset is None:
        raise ValueError(f"{path}: {name} is not stored in one piece; make it again: denoisebench data prepare sidd_medium")
    return np.memmap(path, np.uint8, mode, offset, shape)


def _cut(frames: SIDDMedium, index: int, plan: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """The patches of one frame, and once they are on the disk their hash."""
    patch, sizes = plan["patch"], [(frame[3], frame[4]) for frame in plan["frames"]]
    first = sum(len(_corners(*size, patch)) for size in sizes[:index])
    corners = _corners(*sizes[index], patch)
    digest = hashlib.sha256()
    for side in SIDES:
        image = frames.noisy(index) if side == "noisy" else frames.clean(index)
        if image.shape != (*sizes[index], 3) or image.dtype != np.uint8:
            raise ValueError(
                f"{frames.frames[index]}: expected {(*sizes[index], 3)} in uint8, "
                f"got its {side} frame of {image.shape} in {image.dtype}"
            )
        for number, (top, left) in enumerate(corners, first):
            piece = np.ascontiguousarray(image[top : top + patch, left : left + patch])
            arrays[side][number] = piece
            digest.update(piece.data)
    for side in SIDES:
        _flush(arrays[side])
    arrays["hashes"][index] = np.frombuffer(digest.digest(), np.uint8)
    _flush(arrays["hashes"])


def _flush(array: np.ndarray) -> None:
    assert isinstance(array, np.memmap)
    array.flush()


class Prepared(ImageSet):
    """The patches of a file made by `prepare`, mapped into memory: reading a part of a patch reads that part.

    file: its path below root; `data` is searched after it. first: so many patches.

    Raises: FileNotFoundError or ValueError that name the file and the command that makes it.
    """

    has_clean = has_noisy = True

    def __init__(
        self, which: Literal["sidd"] = "sidd", file: str = "SIDD/sidd_medium.h5", root: str = "data", first: Count | None = None,
        channels: Literal[3] = 3,
    ) -> None:  # fmt: skip
        if first is not None and first < 1:
            raise ValueError(f"first is a number above 0, or null for all, not {first}")
        self.which, self.channels = which, channels
        places = [base / file for base in roots(root)]
        mend = "cut them from the frames: denoisebench data prepare sidd_medium"
        self.file = next((path for path in places if path.is_file()), None)
        if self.file is None:
            raise FileNotFoundError(f"no prepared patches at {', '.join(map(str, places))}; {mend}")
        plan = _plan_of(self.file)
        if plan is None or plan.get("version") != VERSION:
            raise ValueError(f"{self.file}: not a whole file of prepared patches; delete it and {mend}")
        patch = plan["patch"]
        scenes, names = [], []
        for scene, stem, _, height, width in plan["frames"]:
            for top, left in _corners(height, width, patch):
                names.append(f"{stem}_{top}_{left}")
                scenes.append(scene)
        try:
            self._noisy, self._clean, hashes = (_mapped(self.file, name, "r") for name in (*SIDES, "hashes"))
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(f"{self.file}: cut off ({error}); delete it and {mend}") from error
        self._hashes, self._written = [bytes(line).hex() for line in hashes], self._status()
        self.names, self._scene_names = tuple(names[:first]), scenes[:first]
        self.patch = patch
        frames = len(plan["frames"])
        self.name = self.file.stem + (f"-patch{patch}" if patch != 512 else "") + (f"-frames{frames}" if frames != FRAMES else "")
        self.name += f"-first{first}" if first and first < len(names) else ""

    def _status(self) -> tuple[int, int, int]:
        assert self.file
        status = self.file.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _unchanged(self) -> None:
        """Check that the mapped file has not been replaced."""
        if (now := self._status()) == self._written:
            return
        assert self.file
        if [bytes(line).hex() for line in _mapped(self.file, "hashes", "r")] != self._hashes:
            raise changed(self.file)
        self._written = now

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.file,) if self.file else ()

    def noisy(self, index: int) -> np.ndarray:
        self._unchanged()
        return self._noisy[index]

    def clean(self, index: int) -> np.ndarray:
        self._unchanged()
        return self._clean[index]

    def scene(self, index: int) -> str:
        return self._scene_names[index]

    def size(self, index: int) -> tuple[int, int]:
        return self.patch, self.patch

    @property
    def fingerprint(self) -> str:
        return fingerprint_of("prepared", self.patch, self.names, *self._hashes)

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(f"sidd_medium/{scene}" for scene in self.scenes)
