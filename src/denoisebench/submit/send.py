"""The kept images of a finished cell as the online benchmarks want them.

They are written under another name, read back and compared with the kept images, and only then moved to their place.
Outputs are kept in 16 bit: nothing is lost in the 8 bit of the CSV, and at most 1 / 131070 in the floats of the others.
"""

import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from denoisebench.datasets.dnd import DND
from denoisebench.datasets.reading import to_unit
from denoisebench.scoring.protocol import Protocol
from denoisebench.store.files import remove_orphans, whole_file, whole_folder
from denoisebench.submit.kept import Kept, check_files, finished, locked, path_of
from denoisebench.submit.kinds import KINDS, Kind


def submit(name: str, folder: Path, out: Path | None = None, about: Mapping[str, str] | None = None) -> str:
    """Write what is sent for a finished cell into `out` (by default the cell's own `submission/`); a line about it.

    about: `MethodName`, `Authors`, `PaperTitle`, `Venue` for `sidd-mat` and `sidd-raw`.
    Raises: OSError or ValueError that name the file and the way out; nothing is left behind then.
    """
    kind = KINDS[name]
    with locked(folder):
        kept = finished(folder, kind.test_set)
        place = (out or folder / "submission") / kind.output
        if out is None:
            remove_orphans(place.parent)
        count = _make(kind, kept, place, about or {})
    dtype = kind.cast(np.zeros(1, np.uint16)).dtype
    return (
        f"wrote {place}: {count} pieces in {dtype}, read back and equal to the kept images. Send it to {kind.page}; then "
        f"denoisebench submit {name} {shlex.quote(str(folder))} --result psnr=... ssim=..."
    )


def _make(kind: Kind, kept: Kept, place: Path, about: Mapping[str, str]) -> int:
    """Write and check; returns the number of pieces."""
    check_files(kept)
    method = next(iter(kept.rows.values()))["method"]
    place.parent.mkdir(parents=True, exist_ok=True)
    _room(kind, kept, place)
    if kind.output == "bundled" and place.is_dir() and any(path.suffix != ".mat" for path in place.iterdir()):
        raise ValueError(f"{place}: holds other files than a bundle, and would be replaced; choose another --out")
    whole = whole_folder if kind.output == "bundled" else whole_file
    try:
        with whole(place) as part:
            kind.write(kept, part, {"MethodName": method, **about})
            return check(kind, kept, part, place)
    except OSError as error:
        raise OSError(f"{place}: could not be written ({error}); free room there, or choose another place by --out") from error


def _room(kind: Kind, kept: Kept, place: Path) -> None:
    sides = [kept.images.size(index) for index in range(len(kept.images.names))]
    if isinstance(kept.images, DND):
        sides = [(bottom - top, right - left) for boxes in kept.images.boxes for top, left, bottom, right in boxes]
    needed = 1.02 * kind.value_bytes * sum(kept.images.channels * height * width for height, width in sides)
    if (free := shutil.disk_usage(place.parent).free) < needed:
        raise ValueError(
            f"{place}: {needed / 2**30:.2f} GiB are needed there and {free / 2**30:.2f} GiB are free; "
            "free some, or choose another place by --out"
        )


def check(kind: Kind, kept: Kept, part: Path, place: Path) -> int:
    """Compare what was written with the kept images: number, order, shape, type and every value (and so their range).

    Returns the number of pieces. Raises: ValueError naming the place and the piece.
    """
    found, number = _readable(kind, part, place), -1
    for number, (name, image) in enumerate(kept.pieces()):
        expected, (at, got) = kind.cast(image), next(found, (None, None))
        if got is None or at != number:
            raise ValueError(f"{place}: expected {name} as number {number}, got {'the end' if at is None else f'number {at}'}")
        if (got.shape, got.dtype) != (expected.shape, expected.dtype):
            raise ValueError(
                f"{place}, number {number}: expected {expected.shape} in {expected.dtype}, got {got.shape} in {got.dtype}"
            )
        if not np.array_equal(got, expected):
            raise ValueError(f"{place}, number {number}: not the pixels of {path_of(kept.folder, name)}, {name}")
    if next(found, None) is not None:
        raise ValueError(f"{place}: holds more than {number + 1} pieces")
    return number + 1


def _readable(kind: Kind, part: Path, place: Path) -> Iterator[tuple[int, np.ndarray]]:
    try:
        yield from kind.read(part)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"{place}: cannot be read back ({error})") from error


def dry_run(name: str, folder: Path, out: Path | None = None) -> str:
    """Write, check and score what would be sent for a cell of the twin with clean images, then delete it; a line about it.

    DND has no such twin: its bundle is made and checked only.
    """
    kind = KINDS[name]
    with locked(folder):
        kept = finished(folder, kind.twin or kind.test_set)
        home = out or folder / "submission"
        home.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".dry-run-", dir=home) as own:
            place = Path(own) / kind.output
            count = _make(kind, kept, place, {})
            if kind.twin is None:
                return f"{count} pieces would be sent; made and checked. {kept.images.name} has no clean images to score them by"
            return f"{kept.images.name}, {count} pieces as {name} sends them: {_scores(kind, kept, place)}"


def _scores(kind: Kind, kept: Kept, place: Path) -> str:
    """PSNR and two kinds of SSIM of what would be sent, and the same of the kept images."""
    protocols = [Protocol("sent"), Protocol("volume", ssim="volume")]
    sent: list[list[float]] = []
    for number, image in kind.read(place):
        clean, denoised = (_tensor(to_unit(side)) for side in (kept.images.clean(number), np.atleast_3d(image)))
        (psnr_db, similarity), (_, volume) = (protocol.score(denoised, clean) for protocol in protocols)
        sent.append([psnr_db.item(), similarity.item(), volume.item()])
    psnr_db, similarity, volume = np.mean(sent, axis=0)
    own = [(row["psnr_db"], row["ssim"]) for row in kept.rows.values()]
    kept_psnr_db, kept_similarity = np.mean(np.array(own, float), axis=0)
    protocol = next(iter(kept.rows.values()))["protocol"]
    return (
        f"PSNR {psnr_db:.4f} dB, SSIM {similarity:.4f} (Gaussian window, channel mean), {volume:.4f} (MATLAB's on the "
        f"volume); the cell's rows under protocol {protocol}: {kept_psnr_db:.4f} dB, {kept_similarity:.4f}"
    )


def _tensor(image: np.ndarray) -> Tensor:
    """(H, W, C) -> (1, C, H, W) float64."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float64))[None]
