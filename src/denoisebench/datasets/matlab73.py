"""One array out of a MATLAB v7.3 file, which is HDF5: read part by part, as it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from denoisebench.datasets.matlab import HDF5_MARK

OFFSETS = (0, 512, 1024)  # MATLAB leaves 512 bytes for its own header


def is_v73(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(OFFSETS[-1] + len(HDF5_MARK))
    return any(head[at:].startswith(HDF5_MARK) for at in OFFSETS)


@dataclass(frozen=True)
class Stored:
    """A variable in its file. shape: as MATLAB has it; HDF5 holds its axes in the reverse order."""

    path: Path
    variable: str
    shape: tuple[int, ...]
    mend: str

    def __getitem__(self, at: tuple[int | slice, ...]) -> np.ndarray:
        """The part at these places of MATLAB's axes, all of which are named; only it is read."""
        try:
            with h5py.File(self.path, "r") as file:
                values = np.asarray(file[self.variable][tuple(reversed(at))])  # pyright: ignore[reportIndexIssue]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise _damaged(self.path, error, self.mend) from error
        return np.ascontiguousarray(values.T)


def read_v73(path: Path, variable: str, mend: str) -> Stored:
    """A variable of single or double of a v7.3 file. Raises: ValueError, naming the file, what was expected and `mend`."""
    try:
        with h5py.File(path, "r") as file:
            found = file.get(variable)
            if not isinstance(found, h5py.Dataset):
                raise ValueError(f"it holds {_listed(list(file))}, expected {variable} in single or double")
            if found.dtype.kind != "f":
                raise ValueError(f"its {variable} is in {found.dtype}, expected single or double")
            return Stored(path, variable, tuple(reversed(found.shape)), mend)
    except (OSError, ValueError) as error:
        raise _damaged(path, error, mend) from error


def _listed(names: Sequence[str]) -> str:
    shown = [name for name in names if not name.startswith("#")]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "") or "nothing"


def _damaged(path: Path, error: Exception, mend: str) -> ValueError:
    return ValueError(f"{path}: {error}; fetch it again: {mend}")
