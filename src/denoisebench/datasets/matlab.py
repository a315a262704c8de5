"""One array out of a MATLAB v5 file, without a copy where the file is uncompressed."""

import functools
import struct
from pathlib import Path

import numpy as np

HEADER_BYTES = 128
COMPRESSED, MATRIX = 15, 14  # miCOMPRESSED, miMATRIX
KINDS = {np.dtype(np.uint8): (9, 2), np.dtype(np.float32): (7, 7)}  # mxUINT8_CLASS, miUINT8; mxSINGLE_CLASS, miSINGLE
HDF5_MARK = b"\x89HDF\r\n\x1a\n"


def read_v5(path: Path, variable: str, mend: str, dtype: type[np.uint8 | np.float32] = np.uint8) -> np.ndarray:
    """A variable of this type of a v5 file: mapped from it if it is uncompressed, else loaded once in a process.

    mend: the command that helps where the file is damaged.
    Raises: ValueError, naming the file, what was expected and `mend`.
    """
    status = path.stat()
    try:
        return _read_v5(path, variable, np.dtype(dtype), status.st_size, status.st_mtime_ns)
    except (ValueError, struct.error) as error:
        raise ValueError(f"{path}: {error}; fetch it again: {mend}") from error


@functools.cache
def _read_v5(path: Path, variable: str, dtype: np.dtype, size: int, _written: int) -> np.ndarray:
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES or header[126:128] != b"IM":
            raise ValueError("it is no MATLAB v5 file" + (" but an HDF5 (v7.3) one" if header.startswith(HDF5_MARK) else ""))
        if header[124:126] == b"\x00\x02":
            raise ValueError("it is a v7.3 file, expected v5")
        found = []
        at = HEADER_BYTES
        while at < size:
            file.seek(at)
            kind, length = struct.unpack("<II", file.read(8))
            if at + 8 + length > size:
                raise ValueError(f"it is cut off: {size} bytes, expected {at + 8 + length}")
            if kind == COMPRESSED:
                return _loaded(path, variable, dtype)
            if kind != MATRIX:
                raise ValueError(f"its element of type {kind} is not a matrix")
            name, array = _mapped(path, file.read(min(length, 4096)), at + 8, dtype)
            if name == variable and array is not None:
                return array
            found.append(name)
            at += 8 + length
    if variable in found:
        raise ValueError(f"its {variable} is of another type, expected {dtype.name}")
    raise ValueError(f"it holds {', '.join(found) or 'nothing'}, expected {variable} in {dtype.name}")


def _mapped(path: Path, head: bytes, start: int, dtype: np.dtype) -> tuple[str, np.ndarray | None]:
    """The name of a matrix and, if it is of this type, its values mapped from the file (its axes in Fortran's order)."""
    kind_of_matrix = head[8]
    _, length, at = _element(head, 16)
    shape = struct.unpack_from(f"<{length // 4}i", head, at)
    _, name_length, name_at = _element(head, _after(at, length))
    name = head[name_at : name_at + name_length].decode("ascii")
    # A small element holds its name in its tag's second half, which `_element` has taken into account.
    kind, length, at = _element(head, _after(name_at, name_length))
    if (kind_of_matrix, kind) != KINDS[dtype] or length != np.prod(shape) * dtype.itemsize:
        return name, None
    return name, np.memmap(path, dtype, "r", start + at, tuple(shape), order="F")


def _element(head: bytes, at: int) -> tuple[int, int, int]:
    """(type, bytes, where its values start) of the element at a place."""
    kind, length = struct.unpack_from("<II", head, at)
    return (kind & 0xFFFF, kind >> 16, at + 4) if kind >> 16 else (kind, length, at + 8)


def _after(at: int, length: int) -> int:
    return (at + length + 7) // 8 * 8


def _loaded(path: Path, variable: str, dtype: np.dtype) -> np.ndarray:
    import zlib

    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path, variable_names=[variable])
    except (MatReadError, zlib.error, OSError, TypeError, ValueError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    if variable not in content or content[variable].dtype != dtype:
        raise ValueError(f"it does not hold {variable} in {dtype.name}")
    return content[variable]
