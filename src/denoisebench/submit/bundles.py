"""The kept images of a finished cell as the online benchmarks want them, and what their servers answered.

SIDD: the CSV of its Kaggle competitions (AbdoKamel/sidd_kaggle_submit at 27710f7) or `SubmitSrgb.mat` of its first server
(the MATLAB kit's SIDD_Denoise.m). DND: the folder `bundled/` of its submission kit. Each is written under another name,
read back and compared with the kept images, and only then moved to its place. Outputs are kept in 16 bit: nothing is
lost in the 8 bit of the CSV, and at most 1 / 131070 in the floats of the others.
"""

import base64
import math
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import torch
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from torch import Tensor

from denoisebench import config
from denoisebench.datasets.dnd import BOXES, DND
from denoisebench.datasets.images import read_image, to_unit
from denoisebench.datasets.sidd import SIDDBlocks
from denoisebench.datasets.views import fixed_view
from denoisebench.noise import Real
from denoisebench.progress import track
from denoisebench.report.rows import read_local
from denoisebench.scoring.evaluator import image_hash
from denoisebench.scoring.protocol import Protocol
from denoisebench.store import cells
from denoisebench.store.cells import Row, read_plan, read_status
from denoisebench.store.files import remove_orphans, whole_file, whole_folder
from denoisebench.store.pictures import output_name

SCORES = {"psnr": (0.0, 100.0), "ssim": (-1.0, 1.0)}
MAT73_TEXT = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created by: denoisebench HDF5 schema 1.00 ."
MAT73_VERSION = bytes(8) + b"\x00\x02IM"
EVAL_VERSION = "1.0"


@dataclass(frozen=True)
class Kept:
    """The outputs of a finished cell: its folder and data set, and its rows of one protocol and the first noisy view."""

    folder: Path
    images: SIDDBlocks | DND
    rows: Mapping[str, Row]

    def pieces(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name, (H, W, 3) uint16) of each scored block or box, in the order of the server; one image in memory at a time."""
        with track(f"reading {self.folder / 'images'}", len(self.images.names)) as advance:
            for index, name in enumerate(self.images.names):
                image = _read(_path(self.folder, name), self.images.size(index))
                inner = self.images.inner(index) if isinstance(self.images, DND) else [(name, slice(None), slice(None))]
                for piece, rows, columns in inner:
                    yield piece, image[rows, columns]
                advance(index + 1, name)


@dataclass(frozen=True)
class Kind:
    """How a benchmark wants its images.

    test_set: what the cell must be of; twin: the set with clean images that a dry run takes. output: the name of what is
    sent, to page. value_bytes: what a value takes in it. cast: kept uint16 -> what the server is given. write: to a path;
    read: (number, piece) back, in the order of the file.
    """

    test_set: str
    twin: str | None
    output: str
    page: str
    value_bytes: float
    cast: Callable[[np.ndarray], np.ndarray]
    write: Callable[[Kept, Path, Mapping[str, str]], None]
    read: Callable[[Path], Iterator[tuple[int, np.ndarray]]]


def in_8_bit(kept: np.ndarray) -> np.ndarray:
    """uint16 -> uint8, rounded half up; what was 8 bit comes back exactly."""
    return ((2 * kept.astype(np.uint32) + 257) // 514).astype(np.uint8)


def in_floats(kept: np.ndarray) -> np.ndarray:
    """uint16 -> float32 in [0, 1]."""
    return (kept / 65535).astype(np.float32)


# --- Formats -----------------------------------------------------------------------------------------------------


def _write_csv(kept: Kept, path: Path, about: Mapping[str, str]) -> None:
    """`ID,BLOCK`: 0 to 1279, and the bytes of a block (H, W, C) in base64."""
    with path.open("w", encoding="ascii", newline="") as file:
        file.write("ID,BLOCK\n")
        for number, (_, image) in enumerate(kept.pieces()):
            file.write(f"{number},{base64.b64encode(in_8_bit(image).tobytes()).decode()}\n")


def _read_csv(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    with path.open(encoding="ascii", newline="") as file:
        if file.readline() != "ID,BLOCK\n":
            raise ValueError("its first line is not ID,BLOCK")
        for line in file:
            number, _, block = line.rstrip("\n").partition(",")
            values = np.frombuffer(base64.b64decode(block, validate=True), np.uint8)
            side = math.isqrt(values.size // 3)
            yield int(number), values.reshape(side, side, 3)


def _write_mat(kept: Kept, path: Path, about: Mapping[str, str]) -> None:
    """A v7.3 file: a cell array (40, 32) of single (256, 256, 3), seconds per megapixel, and who did it."""
    frames = sorted({name.partition("_")[0] for name in kept.images.names})
    count, pixels = len(kept.images.names), 0
    with h5py.File(path, "w", userblock_size=512, libver="earliest") as file:
        blocks = file.create_dataset("DenoisedBlocksSrgb", (count // len(frames), len(frames)), h5py.ref_dtype)
        blocks.attrs["MATLAB_class"] = np.bytes_("cell")
        for number, (_, image) in enumerate(kept.pieces()):
            frame, block = divmod(number, blocks.shape[0])  # MATLAB's axes lie in a file in the reverse order
            blocks[block, frame] = _matlab(file, f"#refs#/{number:04d}", in_floats(image).T, "single").ref
            pixels += image.shape[0] * image.shape[1]
        seconds = sum(float(row["seconds"]) for row in kept.rows.values())
        _matlab(file, "TimeMPSrgb", np.array([[seconds * 1024 * 1024 / pixels]]), "double")
        file.create_group("OptionalData").attrs["MATLAB_class"] = np.bytes_("struct")
        for name, text in about.items():
            letters = np.frombuffer(text.encode("utf-16-le"), np.uint16)
            _matlab(file, f"OptionalData/{name}", letters[:, None], "char").attrs["MATLAB_int_decode"] = np.int32(2)
    with path.open("rb+") as file:
        file.write(MAT73_TEXT.ljust(116) + MAT73_VERSION)


def _matlab(file: h5py.File, name: str, values: np.ndarray, kind: str) -> h5py.Dataset:
    dataset = file.create_dataset(name, data=values)
    dataset.attrs["MATLAB_class"] = np.bytes_(kind)
    return dataset


def _read_mat(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    with path.open("rb") as file:
        if not file.read(128).endswith(MAT73_VERSION):
            raise ValueError("it has no header of MATLAB 7.3")
    with h5py.File(path, "r") as file:
        references = np.asarray(file["DenoisedBlocksSrgb"])
        for number, reference in enumerate(references.T.ravel()):
            yield number, np.asarray(file[reference]).T


def _write_bundle(kept: Kept, path: Path, about: Mapping[str, str]) -> None:
    """`0001.mat` to `0050.mat` (v5), each a cell array (1, 20) of single (512, 512, 3) in [0, 1]."""
    from scipy.io import savemat

    for image, pieces in groupby(kept.pieces(), key=lambda piece: piece[0].partition("_")[0]):
        crops = [in_floats(box) for _, box in pieces]
        cell = np.empty(len(crops), object)
        for number, crop in enumerate(crops):
            cell[number] = crop
        savemat(path / f"{image}.mat", {"Idenoised": cell, "israw": False, "eval_version": EVAL_VERSION}, oned_as="row")


def _read_bundle(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    from scipy.io import loadmat

    for index, file in enumerate(sorted(path.iterdir())):
        content = loadmat(file)
        if file.name != f"{index + 1:04d}.mat" or content["israw"].item() or content["eval_version"].item() != EVAL_VERSION:
            raise ValueError(f"{file.name} is not image {index + 1} of an sRGB bundle of version {EVAL_VERSION}")
        if content["Idenoised"].shape != (1, BOXES):
            raise ValueError(f"Idenoised of {file.name} is {content['Idenoised'].shape}, expected {(1, BOXES)}")
        yield from ((index * BOXES + box, crop) for box, crop in enumerate(content["Idenoised"][0]))


KAGGLE = "kaggle.com/competitions/sidd-benchmark-srgb-psnr and -ssim"
KINDS = {
    "sidd-kaggle": Kind(
        "sidd_benchmark", "sidd_validation", "SubmitSrgb.csv", KAGGLE, 4 / 3, in_8_bit, _write_csv, _read_csv
    ),
    "sidd-mat": Kind(
        "sidd_benchmark", "sidd_validation", "SubmitSrgb.mat", "the first server of SIDD (down; Kaggle took its place)",
        4, in_floats, _write_mat, _read_mat,
    ),
    "dnd": Kind(
        "dnd", None, "bundled", "noise.visinf.tu-darmstadt.de/submit (all files of the folder)",
        4, in_floats, _write_bundle, _read_bundle,
    ),
}  # fmt: skip


# --- The cell ----------------------------------------------------------------------------------------------------


def finished(folder: Path, test_set: str) -> Kept:
    """A finished cell of the whole of a test set.

    Raises: FileNotFoundError or ValueError that say what is wrong with the folder and which command mends it.
    """
    state = read_status(folder)["state"]
    if not (folder / "status.json").is_file() or not (folder / "config.yaml").is_file():
        raise FileNotFoundError(
            f"{folder} is no cell's folder, as runs/STUDY/METHOD/{test_set}/real/seed0-KEY: no status.json and config.yaml in it"
        )
    if state != "done" or not (folder / "rows.csv").is_file():
        raise ValueError(f"{folder}: this cell is {state}, not done; {_again(folder)} goes on with it")
    first, rows = {}, read_local(folder)
    for row in rows:
        if row["repeat"] == "0" and row["protocol"] == rows[0]["protocol"]:
            first[row["image"]] = row
    own = rows[0]["dataset"]
    if own.partition("-")[0] != test_set:
        way = _again(folder, f"dataset={test_set}", "noise=real")
        raise ValueError(f"{folder}: a cell of {own}, expected one of {test_set}; {way} makes one")
    images = _images(folder)
    if not isinstance(images, SIDDBlocks | DND) or not images.is_whole or set(images.names) != set(first):
        raise ValueError(
            f"{folder}: {own} has {len(first)} images and is not the whole of {test_set} as it is published, which the "
            f"benchmark scores; run it without dataset.first, frames, blocks and crop"
        )
    return Kept(folder, images, first)


def _images(folder: Path) -> object:
    """The data set of a cell: where data sets lie today, not where they lay then."""
    node = OmegaConf.load(folder / "config.yaml").dataset
    node.root = OmegaConf.create({"root": "${oc.env:DENOISEBENCH_DATA,null}"}).root or node.root
    return config.instantiate(node, "dataset")


def _again(folder: Path, *more: str) -> str:
    """The command that planned a cell."""
    plan = read_plan(folder.resolve().parents[3]) if len(folder.resolve().parents) > 3 else {}
    cell = plan.get(folder.name.rpartition("-")[2])
    changed = {word.partition("=")[0] for word in more}
    kept = [word for word in cell.overrides if word.partition("=")[0] not in changed] if cell else ["..."]
    return f"`denoisebench run {shlex.join([*kept, *more])}`"


def _path(folder: Path, image: str) -> Path:
    return folder / "images" / output_name(image, 0)


def _read(path: Path, size: tuple[int, int]) -> np.ndarray:
    image = read_image(path, 3)
    if image.dtype != np.uint16 or image.shape != (*size, 3):
        raise ValueError(f"{path}: expected {(*size, 3)} in uint16, got {image.shape} in {image.dtype}; {_mended(path)}")
    return image


def _mended(path: Path) -> str:
    return f"{_again(path.parents[1], 'force=true')} computes its cell again"


def _check_files(kept: Kept) -> None:
    """That each image is there, and that the data set still gives each name the pixels that were denoised under it."""
    lacking = [path for name in kept.images.names if not (path := _path(kept.folder, name)).is_file()]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise FileNotFoundError(f"{lacking[0]}{more}: this kept image is gone; {_mended(lacking[0])}")
    with track(f"comparing {kept.images.name} with what was denoised", len(kept.images.names)) as advance:
        for index, name in enumerate(kept.images.names):
            noisy, _ = fixed_view(kept.images, Real(), index, 0, 0)
            if image_hash(noisy[0]) != kept.rows[name]["noisy_sha"]:
                raise ValueError(
                    f"{kept.folder}: {name} of {kept.images.name} has other pixels than those that were denoised; "
                    f"{_again(kept.folder)} denoises what is there now"
                )
            advance(index + 1, name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """While no run computes this cell."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise ValueError(f"{folder}: a run computes this cell now; wait for it") from error


# --- Writing, checking, scoring ----------------------------------------------------------------------------------


def submit(name: str, folder: Path, out: Path | None = None, about: Mapping[str, str] | None = None) -> str:
    """Write what is sent for a finished cell into `out` (by default the cell's own `submission/`); a line about it.

    about: `MethodName`, `Authors`, `PaperTitle`, `Venue` for `sidd-mat`.
    Raises: OSError or ValueError that name the file and the way out; nothing is left behind then.
    """
    kind = KINDS[name]
    with _locked(folder):
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
    _check_files(kept)
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
    needed = 1.02 * kind.value_bytes * sum(3 * height * width for height, width in sides)
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
            raise ValueError(f"{place}, number {number}: not the pixels of {_path(kept.folder, name)}, {name}")
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
    with _locked(folder):
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
        clean, denoised = (_tensor(to_unit(side)) for side in (kept.images.clean(number), image))
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


# --- What the server answered ------------------------------------------------------------------------------------


def scores_of(words: Sequence[str]) -> dict[str, float]:
    """`psnr=37.24`, `ssim=0.936` as numbers.

    Raises: ValueError for another name, one that is given twice, or a number that cannot be.
    """
    found: dict[str, float] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in SCORES or name in found:
            raise ValueError(f"--result {word}: expected psnr=DB and ssim=VALUE, each once")
        low, high = SCORES[name]
        try:
            found[name] = float(text)
        except ValueError as error:
            raise ValueError(f"--result {word}: {text!r} is no number") from error
        if not low < found[name] <= high:
            raise ValueError(f"--result {word}: {name} lies between {low:g} and {high:g}")
    return found


def record(name: str, folder: Path, words: Sequence[str]) -> str:
    """Keep a server's answer beside the rows of a finished cell, as a row with `scored_by` server; a line about it.

    It goes by a protocol of its own (`server:sidd-kaggle`) and by the name of the benchmark's set; how the method saw it
    (`dnd-whole`) is a tag. A second answer takes the place of the first; PSNR and SSIM may come one after the other.
    """
    scores, kind = scores_of(words), KINDS[name]
    with _locked(folder):
        kept = finished(folder, kind.test_set)
        row = _server_row(name, kept) | {f"{key}_db" if key == "psnr" else key: value for key, value in scores.items()}
        others = [other for other in cells.read_server_rows(folder) if other["protocol"] != row["protocol"]]
        cells.write_csv(folder / cells.SERVER_ROWS, cells.SERVER_COLUMNS, [*others, row])
    shown = ", ".join(f"{key}={value:g}" for key, value in scores.items())
    return f"noted in {folder / cells.SERVER_ROWS}: {shown}, protocol {row['protocol']}, scored_by=server; the report has it"


def _server_row(name: str, kept: Kept) -> Row:
    """The row of an answer without its scores, or with those that the same outputs have already."""
    kind, computation = KINDS[name], cells.computation_of(kept.folder)
    local = next(iter(kept.rows.values()))
    own = {
        "dataset": kind.test_set, "protocol": f"server:{name}", "scored_by": "server", "status": "done", "image": "",
        "noisy_sha": "", "clean_sha": "", "computation": computation,
        "images": len(kept.images.boxes) * BOXES if isinstance(kept.images, DND) else len(kept.rows),
        "seconds": sum(float(row["seconds"]) for row in kept.rows.values()) / len(kept.rows),
        "peak_mib": max(float(row["peak_mib"]) for row in kept.rows.values()),
        "tags": " ".join([*local["tags"].split(), *([f"as_{local['dataset']}"] if local["dataset"] != kind.test_set else [])]),
    }  # fmt: skip
    earlier = [row for row in cells.read_server_rows(kept.folder) if row["protocol"] == own["protocol"]]
    scores = {key: row[key] for row in earlier if row["computation"] == computation for key in ("psnr_db", "ssim")}
    columns = {name: local[name] for name in cells.COLUMNS if name in local}
    return {**columns, "psnr_db": None, "ssim": None, **scores, **own}
