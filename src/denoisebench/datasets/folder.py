"""Anybody's own images."""

from pathlib import Path

import numpy as np

from denoisebench.datasets.headers import damaged_files
from denoisebench.datasets.images import ImageSet, file_hash, fingerprint_of, pixel_hash
from denoisebench.datasets.reading import image_size, list_images, read_image


class Folder(ImageSet):
    """Images in folders: clean ones, noisy ones, or pairs of one stem.

    clean: folder of clean images, or None. noisy: folder of noisy images, or None; with both, each noisy image has
    the clean one of its stem. name: what rows call it; by default the last part of the path, or of what two paths
    share. channels: 1 or 3. clean_suffix, noisy_suffix: ends of the stems that count as images of that side and are no
    part of their names, as `_mean` and `_real` for pairs in one folder.

    Raises: FileNotFoundError or ValueError, naming the key or the file, where that does not hold.
    """

    def __init__(
        self, clean: str | None = None, noisy: str | None = None, name: str | None = None, channels: int = 3,
        clean_suffix: str = "", noisy_suffix: str = "",
    ) -> None:  # fmt: skip
        if clean is None and noisy is None:
            raise ValueError("dataset=folder needs dataset.noisy=PATH, dataset.clean=PATH, or both")
        if channels not in (1, 3):
            raise ValueError(f"dataset.channels is 1 (gray) or 3 (RGB), not {channels}")
        self._clean = None if clean is None else list_images(Path(clean).expanduser(), "dataset.clean", clean_suffix)
        self._noisy = None if noisy is None else list_images(Path(noisy).expanduser(), "dataset.noisy", noisy_suffix)
        if self._clean is not None and self._noisy is not None and self._clean.keys() != self._noisy.keys():
            lonely = sorted(self._clean.keys() ^ self._noisy.keys())
            raise ValueError(
                f"dataset.clean={clean} and dataset.noisy={noisy} pair by stem; without a partner: {', '.join(lonely[:5])}"
                + (f" and {len(lonely) - 5} more" if len(lonely) > 5 else "")
            )
        self.name = name or _common_name([Path(path).expanduser().resolve() for path in (noisy, clean) if path is not None])
        self.names = tuple(self._noisy or self._clean or ())
        self.channels = channels
        self.has_clean = self._clean is not None
        self.has_noisy = self._noisy is not None

    def clean(self, index: int) -> np.ndarray:
        assert self._clean is not None
        return read_image(self._clean[self.names[index]], self.channels)

    def noisy(self, index: int) -> np.ndarray:
        assert self._noisy is not None
        image = read_image(self._noisy[self.names[index]], self.channels)
        if self._clean is not None:
            self._same_size(index, image)
        return image

    def _same_size(self, index: int, noisy: np.ndarray) -> None:
        clean = self.clean(index)
        if clean.shape != noisy.shape:
            name = self.names[index]
            assert self._clean is not None
            assert self._noisy is not None
            raise ValueError(
                f"{self._noisy[name]} is {noisy.shape[0]} x {noisy.shape[1]}, "
                f"its clean partner {self._clean[name]} {clean.shape[0]} x {clean.shape[1]}"
            )

    def damaged(self) -> list[str]:
        return damaged_files(self._clean or {}, self._noisy or {}, self.channels)

    @property
    def fingerprint(self) -> str:
        files = [*(self._clean or {}).items(), None, *(self._noisy or {}).items()]
        return fingerprint_of(self.channels, *(file and (file[0], file_hash(file[1])) for file in files))

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(
            pixel_hash(path, self.channels) for path in [*(self._clean or {}).values(), *(self._noisy or {}).values()]
        )

    def size(self, index: int) -> tuple[int, int]:
        files = self._noisy or self._clean
        assert files is not None
        return image_size(files[self.names[index]])


def _common_name(folders: list[Path]) -> str:
    """The last part of a path; of the folder that holds both, where one path would only say `noisy`."""
    first, last = folders[0], folders[-1]
    return first.parent.name if first.parent == last.parent and first != last and first.parent.name else first.name
