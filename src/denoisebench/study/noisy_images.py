"""`denoisebench export-noisy`: the very noisy images of a test set, for programs that are not ours."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from denoisebench.config import ConfigError
from denoisebench.datasets.fitting import impossible
from denoisebench.datasets.images import file_hash
from denoisebench.datasets.views import NoisyViews
from denoisebench.elsewhere.outputs import MANIFEST
from denoisebench.job import Job
from denoisebench.progress import track
from denoisebench.scoring.kept import image_hash
from denoisebench.store.files import whole_file, write_atomic
from denoisebench.store.manifest import commit
from denoisebench.store.pictures import output_name, write_png

Kind = Literal["tiff", "npy", "png8", "png16"]
CLIPPED = ("png8", "png16")
BEGUN = ".unfinished"


def export_noisy(job: Job, folder: Path, kinds: list[Kind]) -> int:
    """Write each noisy test image in each kind of file, and the manifest last. Returns how many images there are.

    tiff, npy: float32 (H, W, C), unclipped; png8, png16: clipped and rounded. The images lie in `folder`, those of
    several kinds in one folder for each kind.
    """
    if reason := impossible(job.test_set, job.noise):
        raise ConfigError(reason)
    if (folder / MANIFEST).is_file():
        raise ConfigError(f"{folder} holds noisy images already: choose another folder")
    begun = _begin(job, folder, kinds)
    views = NoisyViews(job.test_set, job.noise, job.seed, job.repeats, ())
    images: dict[str, Any] = {}
    with track(f"noisy images of {job.test_set.name}, {job.noise.name}", len(views)) as advance:
        for number in range(len(views)):
            batch = views[number]
            stem = _stem(batch.name[0], batch.repeat)
            image = np.ascontiguousarray(batch.noisy[0].permute(1, 2, 0).numpy())
            files = [_write(_place(folder, stem, kind, kinds), image, kind) for kind in kinds]
            images[stem] = {
                "image": batch.name[0], "repeat": batch.repeat, "shape": list(image.shape),
                "noisy_sha": image_hash(batch.noisy[0]),
                "files": {path.relative_to(folder).as_posix(): file_hash(path) for path in files},
            }  # fmt: skip
            advance(number + 1, batch.name[0])
    about = {"dataset": job.test_set.name, "noise": job.noise.name, "seed": job.seed, "repeats": job.repeats, "commit": commit()}
    write_atomic(folder / MANIFEST, json.dumps({**about, "images": images}, indent=1))
    begun.unlink(missing_ok=True)
    return len(views)


def _begin(job: Job, folder: Path, kinds: list[Kind]) -> Path:
    """Mark the folder as begun by this command, which may then write over what it left half-finished there.

    Raises: ConfigError if a file would be written over that it did not write.
    """
    begun = folder / BEGUN
    stems = [_stem(name, repeat) for name in job.test_set.names for repeat in range(job.repeats)]
    places = (_place(folder, stem, kind, kinds) for stem in stems for kind in kinds)
    if not begun.is_file() and (taken := next((path for path in places if path.exists()), None)):
        raise ConfigError(f"{taken} is there already, and noisy images are written over no file: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    begun.touch()
    return begun


def _stem(name: str, repeat: int) -> str:
    return Path(output_name(name, repeat)).stem


def _place(folder: Path, stem: str, kind: Kind, kinds: list[Kind]) -> Path:
    own = folder / kind if len(kinds) > 1 else folder
    return own / f"{stem}.{ {'tiff': 'tif', 'npy': 'npy'}.get(kind, 'png') }"


def _write(path: Path, image: np.ndarray, kind: Kind) -> Path:
    if kind in CLIPPED:
        write_png(path, image, bits=8 if kind == "png8" else 16)
        return path
    with whole_file(path) as part, part.open("wb") as file:
        if kind == "npy":
            np.save(file, image)
        else:
            tifffile.imwrite(file, image, photometric="rgb" if image.shape[2] == 3 else "minisblack")
    return path
