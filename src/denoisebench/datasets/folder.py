"""Images of the user's own."""

import functools
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from denoisebench.datasets.headers import damaged_files
from denoisebench.datasets.images import Files, ImageSet, check_selection, fingerprint_of
from denoisebench.datasets.listing import composed, list_images, passed_over, shown
from denoisebench.datasets.looks import Look, look_at
from denoisebench.datasets.reading import Reading, image_size, middle
from denoisebench.progress import track
from denoisebench.ranges import Count, Positive

READERS = min(4, os.cpu_count() or 1)  # decoding leaves Python's lock to the others


class Folder(ImageSet):
    """Images in folders: clean ones, noisy ones, or pairs of one stem.

    clean: folder of clean images, or None. noisy: folder of noisy images, or None; with both, each noisy image has
    the clean one of its stem. second: folder of second noisy images of the same scenes, for `noise2noise` in training
    alone. name: what rows call it; by default the last part of the path, or of what two paths share. channels: 3, or 1:
    colour files become gray then. clean_suffix, noisy_suffix: ends of the stems that count as images of that side and are
    no part of their names, as `_mean` and `_real` for pairs in one folder; `second` has that of `noisy`. first: only so many
    images. crop: side of a square from the middle of each. What is chosen is part of the name. scene: a pattern of the whole
    name of an image whose first group is the photograph that it was cut from; images of equal pixels are of one photograph
    anyway. white, black: see `Reading`. recursive: the folders below too, whose images are named `folder/stem`.

    Raises: FileNotFoundError or ValueError, naming the key or the file, where that does not hold.
    """

    def __init__(
        self, clean: str | None = None, noisy: str | None = None, name: str | None = None, channels: int = 3,
        clean_suffix: str = "", noisy_suffix: str = "", first: Count | None = None, crop: Count | None = None,
        scene: str | None = None, white: Positive | None = None, black: float | None = None, recursive: bool = False,
        second: str | None = None,
    ) -> None:  # fmt: skip
        _check_selection(channels, first, crop)
        if clean is None and noisy is None:
            raise ValueError("dataset=folder needs dataset.noisy=PATH, dataset.clean=PATH, or both")
        if second is not None and noisy is None:
            raise ValueError(f"dataset.second={second} goes with dataset.noisy=PATH: two noisy images of each scene")
        self._how = Reading(channels, *_range(white, black), to_gray=channels == 1)
        self.channels, self.crop = channels, crop
        self._scene = _pattern(scene)
        given = (("clean", clean, clean_suffix), ("noisy", noisy, noisy_suffix), ("second", second, noisy_suffix))
        self._folders = [(side, Path(path).expanduser(), ending) for side, path, ending in given if path is not None]
        self._recursive = recursive
        sides = {
            side: list_images(folder, f"dataset.{side}", ending, recursive=recursive) for side, folder, ending in self._folders
        }
        _check_partners(sides, {"clean": clean, "noisy": noisy, "second": second})
        self._clean, self._noisy, self._second = (sides.get(side) for side in ("clean", "noisy", "second"))
        self._files = Files()
        every = tuple(self._noisy or self._clean or ())
        self.names = every[:first]
        own = name or _common_name([folder.resolve() for side, folder, _ in reversed(self._folders) if side != "second"])
        self.name = composed(own) + (f"-first{first}" if first and first < len(every) else "") + (f"-crop{crop}" if crop else "")
        self.has_clean, self.has_noisy, self.has_second = (side in sides for side in ("clean", "noisy", "second"))

    def clean(self, index: int) -> np.ndarray:
        assert self._clean is not None
        return self._read(self._clean[self.names[index]])

    def noisy(self, index: int) -> np.ndarray:
        assert self._noisy is not None
        image = self._read(self._noisy[self.names[index]])
        if self._clean is not None:
            self._same_size(index, image, "clean partner", self._clean)
        return image

    def second(self, index: int) -> np.ndarray:
        if self._second is None:
            return super().second(index)
        image = self._read(self._second[self.names[index]])
        assert self._noisy is not None
        self._same_size(index, image, "first noisy image", self._noisy)
        return image

    def files_of(self, index: int) -> tuple[Path | None, Path | None]:
        if self.crop or self._how.scales:
            return None, None
        name = self.names[index]
        return (self._noisy or {}).get(name), (self._clean or {}).get(name)

    def _read(self, path: Path) -> np.ndarray:
        return middle(self._files.image(path, self._how), self.crop)

    def _same_size(self, index: int, image: np.ndarray, what: str, others: dict[str, Path]) -> None:
        height, width = (min(side, self.crop or side) for side in image_size(others[self.names[index]]))
        if (height, width) != image.shape[:2]:
            own = self._second if what == "first noisy image" else self._noisy
            assert own is not None
            raise ValueError(
                f"{shown(own[self.names[index]])} is {image.shape[0]} x {image.shape[1]}, "
                f"its {what} {shown(others[self.names[index]])} {height} x {width}"
            )

    def scene(self, index: int) -> str:
        name = self.names[self._first_equal[index]]
        if self._scene is None:
            return name
        found = self._scene.fullmatch(name)
        if found is None:
            raise ValueError(f"dataset.scene={self._scene.pattern} does not fit the whole of {name}, which names an image")
        return found[1]

    @functools.cached_property
    def _first_equal(self) -> list[int]:
        """For each image the first one of the same pixels: of its clean side, where there is one."""
        files = self._clean or self._noisy
        assert files is not None
        seen: dict[str, int] = {}
        return [seen.setdefault(self._look(files[name]).pixels, index) for index, name in enumerate(self.names)]

    @property
    def scene_is_said(self) -> bool:
        return self._scene is not None

    @property
    def scaled(self) -> bool:
        """Whether the values of black and white are given."""
        return self._how.scales

    def looks(self) -> dict[str, dict[str, tuple[Path, Look | str]]]:
        """What is seen of each chosen file, or why it cannot be read, by its side and the image's name."""
        sides = {"clean": self._clean, "noisy": self._noisy, "second": self._second}
        wanted = [(side, name, files[name]) for side, files in sides.items() if files for name in self.names]
        result: dict[str, dict[str, tuple[Path, Look | str]]] = {}
        with ThreadPoolExecutor(READERS) as readers, track(f"looking at {self.name}", len(wanted)) as advance:
            seen = readers.map(self._look_or_reason, (path for *_, path in wanted))
            for number, ((side, name, path), look) in enumerate(zip(wanted, seen, strict=True), 1):
                result.setdefault(side, {})[name] = path, look
                advance(number, name)
        return result

    def _look_or_reason(self, path: Path) -> Look | str:
        try:
            return self._look(path)
        except (OSError, ValueError) as error:
            return str(error)

    def _look(self, path: Path) -> Look:
        return look_at(path, self._how)

    def passed_over(self) -> list[str]:
        """Files that look like images and are not read, each with the reason."""
        return [line for _, folder, ending in self._folders for line in passed_over(folder, ending, recursive=self._recursive)]

    @property
    def files(self) -> tuple[Path, ...]:
        return self._files.paths

    def damaged(self) -> list[str]:
        """By their headers, and of those whose header is right by all of their content."""
        sides = [{name: files[name] for name in self.names} for files in (self._clean, self._noisy, self._second) if files]
        by_header = damaged_files(sides, self._how)
        known = {path for path, _ in by_header}
        looks = [seen for side in self.looks().values() for seen in side.values()]
        return [line for _, line in by_header] + [look for path, look in looks if isinstance(look, str) and path not in known]

    @property
    def fingerprint(self) -> str:
        sides = [self._clean or {}, self._noisy or {}, *([self._second] if self._second else [])]
        hashed = [[(name, self._files.hash(side[name])) for name in self.names if side] for side in sides]
        joined = [part for side in hashed for part in (*side, None)][:-1]  # None parts the sides
        scale = [("white", self._how.white, self._how.black)] if self._how.scales else []
        return fingerprint_of(self.channels, *joined, *scale, *([("crop", self.crop)] if self.crop else []))

    @property
    def sources(self) -> frozenset[str]:
        sides = (self._clean, self._noisy, self._second)
        return frozenset(self._look(side[name]).pixels for side in sides if side for name in self.names)

    def size(self, index: int) -> tuple[int, int]:
        files = self._noisy or self._clean
        assert files is not None
        height, width = image_size(files[self.names[index]])
        return (height, width) if self.crop is None else (min(height, self.crop), min(width, self.crop))


def _check_selection(channels: int, first: int | None, crop: int | None) -> None:
    if channels not in (1, 3):
        raise ValueError(f"dataset.channels is 1 (gray) or 3 (RGB), not {channels}")
    check_selection(first=first, crop=crop)


def _range(white: float | None, black: float | None) -> tuple[float | None, float | None]:
    if white is not None and white <= (black or 0):
        raise ValueError(f"dataset.white={white} must be above dataset.black={black or 0}: the stored values that mean 1 and 0")
    return white, black


def _pattern(scene: str | None) -> re.Pattern[str] | None:
    try:
        pattern = None if scene is None else re.compile(composed(scene))
    except re.error as error:
        raise ValueError(f"dataset.scene={scene} is not a regular expression: {error}") from error
    if pattern is not None and not pattern.groups:
        raise ValueError(f"dataset.scene={scene}: put what names the photograph into ( ), as '([^_]+)_.*'")
    return pattern


def _check_partners(sides: dict[str, dict[str, Path]], given: dict[str, str | None]) -> None:
    """Check that both sides have the same images."""
    (first, files), *others = sides.items()
    for side, own in others:
        if lonely := sorted(files.keys() ^ own.keys()):
            keys = f"dataset.{first}={given[first]} and dataset.{side}={given[side]}"
            more = f" and {len(lonely) - 5} more" if len(lonely) > 5 else ""
            raise ValueError(f"{keys} pair by stem; without a partner: {', '.join(lonely[:5])}{more}")


def _common_name(folders: list[Path]) -> str:
    """The last part of a path; of the folder that holds both, where one path would only say `noisy`."""
    first, last = folders[0], folders[-1]
    name = first.parent.name if first.parent == last.parent and first != last and first.parent.name else first.name
    return shown(name)
