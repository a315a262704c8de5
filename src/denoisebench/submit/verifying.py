"""What is sent to a benchmark, checked on its own: neither the cell that it was made from nor the data set is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from denoisebench.datasets import dnd, sidd
from denoisebench.progress import track
from denoisebench.submit.kinds import KINDS
from denoisebench.submit.sidd import CSV_HEAD, MAT73_NAME, RAW, RAW_CSV, SRGB, SRGB_CSV

MATS = {"sidd-mat": SRGB, "sidd-raw": RAW}
CSVS = {"sidd-kaggle": SRGB_CSV, "sidd-raw-kaggle": RAW_CSV}


def recognised(path: Path) -> str:
    """Which kind of submission a file or folder is, by its content.

    Raises: FileNotFoundError, or ValueError for what is none; both say what was expected.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder; `denoisebench submit KIND CELL` writes one and says where")
    if path.is_dir():
        return _recognised_folder(path)
    with path.open("rb") as file:
        head = file.read(128)
    if head.replace(b"\r\n", b"\n").startswith(CSV_HEAD.encode()):
        return _recognised_csv(path)
    if head.startswith(MAT73_NAME):
        return _recognised_mat(path)
    if head.startswith(b"MATLAB 5.0"):
        raise ValueError(f"{path}: a MATLAB v5 file; SIDD's server takes v7.3: save(..., '-v7.3') in MATLAB. {_known()}")
    raise ValueError(f"{path}: {'empty' if not head else 'not a submission'}. {_known()}")


def _known() -> str:
    return f"Known are {', '.join(kind.output for kind in KINDS.values())}, as `denoisebench submit KIND CELL` writes them"


def _recognised_folder(path: Path) -> str:
    if any(path.glob("[0-9][0-9][0-9][0-9].mat")):
        return "dnd"
    inside = [entry.name for entry in sorted(path.iterdir()) if entry.name in {kind.output for kind in KINDS.values()}]
    raise ValueError(f"{path}: a folder without 0001.mat. {f'Give {path / inside[0]}' if inside else _known()}")


def _recognised_csv(path: Path) -> str:
    """By the size of its first block: both kinds have one head. A block that is none of either is told of as sRGB."""
    with path.open("rb") as file:
        file.readline()
        first = file.readline().strip().partition(b",")[2]
    size = len(first) // 4 * 3 - first[-2:].count(b"=")
    held = [name for name, csv in CSVS.items() if size and (csv.is_square(size) or csv.is_double(size))]
    return held[0] if held else "sidd-kaggle"


def _recognised_mat(path: Path) -> str:
    with _opened(path) as file:
        held = [name for name, mat in MATS.items() if mat.blocks in file]
        if len(held) == 1:
            return held[0]
        names = ", ".join(str(name) for name in file if not str(name).startswith("#")) or "nothing"
    raise ValueError(f"{path}: it holds {names}, expected one of {', '.join(mat.blocks for mat in MATS.values())}. {_known()}")


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path}: cut off or damaged ({error}); write it again by `denoisebench submit KIND CELL`") from error


def verified(name: str, path: Path) -> str:
    """Check that a submission of a kind is complete: its variables, and number, order, shape, type and range of its pieces.

    One piece is in memory at a time. Returns a line about what was found.
    Raises: ValueError that names the file, the piece and the way out.
    """
    kind, (count, shape, dtype) = KINDS[name], _wanted(name)
    if name in MATS:
        with _opened(path) as file:
            MATS[name].check_head(file, path, (sidd.FRAMES, sidd.BLOCKS))
    found, low, high = _pieces(name, path), np.inf, -np.inf
    with track(f"reading {path}", count) as advance:
        for number in range(count):
            at, piece = next(found, (None, None))
            if piece is None or at != number:
                got = f"the end: {number} of {count} pieces are there" if piece is None else f"number {at}"
                raise ValueError(f"{path}: expected number {number}, got {got}; {_again(name)}")
            span = _span(piece, shape, dtype, f"{path}, number {number}")
            low, high = min(low, span[0]), max(high, span[1])
            advance(number + 1, str(number))
        if next(found, None) is not None:
            raise ValueError(f"{path}: holds more than {count} pieces; {_again(name)}")
    size = " x ".join(map(str, shape))
    renamed = "" if path.name == kind.output else f"; rename it {kind.output} before it is sent"
    return f"{path}: {name}, {count} pieces of {size} in {dtype}, values {low:.4g} to {high:.4g}; complete{renamed}"


def _again(name: str) -> str:
    return f"write it again by `denoisebench submit {name} CELL`"


def _wanted(name: str) -> tuple[int, tuple[int, ...], np.dtype]:
    """How many pieces a kind has, and of which shape and type."""
    if name == "dnd":
        return dnd.IMAGES * dnd.BOXES, (dnd.SIDE, dnd.SIDE, 3), np.dtype(np.float32)
    kind = KINDS[name]
    colours = () if kind.test_set == "sidd_raw_benchmark" else (3,)
    return sidd.FRAMES * sidd.BLOCKS, (sidd.SIDE, sidd.SIDE, *colours), kind.cast(np.zeros((1, 1, 1), np.uint16)).dtype


def _pieces(name: str, path: Path) -> Iterator[tuple[int, np.ndarray]]:
    try:
        yield from KINDS[name].read(path)
    except ValueError as error:
        if type(error) is not ValueError:  # of base64 or of letters beyond ASCII
            raise _damaged(name, path, error) from error
        raise ValueError(f"{path}: {error}; {_again(name)}") from error
    except Exception as error:  # readers of MATLAB, HDF5 and base64 each have their own for a damaged file
        raise _damaged(name, path, error) from error


def _damaged(name: str, path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: cut off or damaged ({error}); {_again(name)}")


def _span(piece: np.ndarray, shape: tuple[int, ...], dtype: np.dtype, place: str) -> tuple[float, float]:
    """The lowest and the highest value of a piece that is as it should be."""
    if (piece.shape, piece.dtype) != (shape, dtype):
        raise ValueError(f"{place}: expected {shape} in {dtype}, got {piece.shape} in {piece.dtype}")
    if not np.isfinite(piece).all():
        raise ValueError(f"{place}: {np.count_nonzero(~np.isfinite(piece))} values are not finite")
    low, high = float(piece.min()), float(piece.max())
    if dtype.kind == "f" and not (low >= 0 and high <= 1):
        raise ValueError(f"{place}: values from {low:.4g} to {high:.4g}, expected [0, 1]: scale them to it, then clip")
    return low, high
