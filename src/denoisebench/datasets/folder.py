"""Images of the user's own."""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import numpy as np

from denoisebench.datasets.folder_keys import (
    check_partners,
    checked_range,
    common_name,
    scene_pattern,
    without_suffix,
)
from denoisebench.datasets.headers import damaged_files
from denoisebench.datasets.images import Files, ImageSet, fingerprint_of
from denoisebench.datasets.keys import check_chosen
from denoisebench.datasets.listing import composed, list_images, passed_over, shown
from denoisebench.datasets.looks import Look, as_stored, look_at
from denoisebench.datasets.reading import Reading, middle
from denoisebench.datasets.slices import Place, Slice, expanded, file_of, repeated, said, size_of, together
from denoisebench.progress import track
from denoisebench.ranges import Count, Positive
from denoisebench.stacks.opening import is_stack_path

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

    Of a stack (TIFF of several pages, ImageJ, OME-TIFF, .npy, MRC, OME-Zarr) each slice is an image named `stem/t03_z12`, and all
    are of one scene. Stack files may be given in place of folders; one clean image goes with a stack of noisy repeats. axes: of
    stacks that do not say them, as TZYX.

    Raises: FileNotFoundError or ValueError, naming the key or the file, where that does not hold.
    """

    planes: ClassVar[bool] = False

    def __init__(
        self, clean: str | None = None, noisy: str | None = None, name: str | None = None, channels: int = 3,
        clean_suffix: str = "", noisy_suffix: str = "", first: Count | None = None, crop: Count | None = None,
        scene: str | None = None, white: Positive | None = None, black: float | None = None, recursive: bool = False,
        second: str | None = None, axes: str | None = None,
    ) -> None:  # fmt: skip
        check_chosen(channels, first, crop)
        if clean is None and noisy is None:
            raise ValueError("dataset=folder needs dataset.noisy=PATH, dataset.clean=PATH, or both")
        if second is not None and noisy is None:
            raise ValueError(f"dataset.second={second} goes with dataset.noisy=PATH: two noisy images of each scene")
        self._how = Reading(channels, *checked_range(white, black), channels == 1 and not self.planes, self.planes)
        self.channels, self.crop = channels, crop
        self._scene, self._axes = scene_pattern(scene), axes
        given = (("clean", clean, clean_suffix), ("noisy", noisy, noisy_suffix), ("second", second, noisy_suffix))
        self._folders = [(side, Path(path).expanduser(), ending) for side, path, ending in given if path is not None]
        self._recursive = recursive
        sides = self._sides(axes)
        if clean is not None and noisy is not None:
            sides["clean"] = repeated(sides["clean"], sides["noisy"])
        check_partners(sides, {"clean": clean, "noisy": noisy, "second": second})
        self._clean, self._noisy, self._second = (sides.get(side) for side in ("clean", "noisy", "second"))
        self._files = Files()
        every = tuple(self._noisy or self._clean or ())
        self.names = every[:first]
        own = name or common_name([without_suffix(folder) for side, folder, _ in reversed(self._folders) if side != "second"])
        self.name = composed(own) + (f"-first{first}" if first and first < len(every) else "") + (f"-crop{crop}" if crop else "")
        self.has_clean, self.has_noisy, self.has_second = (side in sides for side in ("clean", "noisy", "second"))

    def _sides(self, axes: str | None) -> dict[str, dict[str, Place]]:
        """The images of each side that is given, by their names."""
        paths = {side: path for side, path, _ in self._folders}
        stem = shown(paths.get("noisy", self._folders[0][1]).stem)
        if (alone := together([*paths.values()], stem, axes)) is not None:
            return {side: own for (side, _, _), own in zip(self._folders, alone, strict=True)}
        return {
            side: expanded(list_images(folder, f"dataset.{side}", ending, recursive=self._recursive), axes)
            for side, folder, ending in self._folders
        }

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
        both = ((side or {}).get(self.names[index]) for side in (self._noisy, self._clean))
        noisy, clean = (None if isinstance(place, Slice) else place for place in both)
        return noisy, clean

    def _read(self, place: Place) -> np.ndarray:
        return middle(self._files.image(place, self._how), self.crop)

    def _same_size(self, index: int, image: np.ndarray, what: str, others: dict[str, Place]) -> None:
        height, width = (min(side, self.crop or side) for side in size_of(others[self.names[index]]))
        if (height, width) != image.shape[:2]:
            own = self._second if what == "first noisy image" else self._noisy
            assert own is not None
            raise ValueError(
                f"{said(own[self.names[index]])} is {image.shape[0]} x {image.shape[1]}, "
                f"its {what} {said(others[self.names[index]])} {height} x {width}"
            )

    def scene(self, index: int) -> str:
        first = self._first_equal[index]
        name = self.stack(first) or self.names[first]
        if self._scene is None:
            return name
        found = self._scene.fullmatch(name)
        if found is None:
            raise ValueError(f"dataset.scene={self._scene.pattern} does not fit the whole of {name}, which names an image")
        return found[1]

    def stack(self, index: int) -> str | None:
        name = self.names[index]
        place = (self._noisy or self._clean or {})[name]
        return name.rpartition("/")[0] if isinstance(place, Slice) and place.stack.count > 1 else None

    @functools.cached_property
    def _first_equal(self) -> list[int]:
        """For each image the first one of the same pixels, or of the same stack: of its clean side, where there is one."""
        files = self._clean or self._noisy
        assert files is not None
        seen: dict[str, int] = {}
        return [seen.setdefault(source, index) for index, source in enumerate(map(self._source, map(files.get, self.names)))]

    def _source(self, place: Place | None) -> str:
        """Of an image its pixels, of a slice its stack."""
        assert place is not None
        return f"stack/{self._hash(place)}" if isinstance(place, Slice) else self._look(place).pixels

    def _hash(self, place: Place) -> str:
        return self._files.hash(file_of(place))

    @property
    def scene_is_said(self) -> bool:
        return self._scene is not None

    @property
    def holds_stacks(self) -> bool:
        return any(isinstance(place, Slice) for side in (self._noisy, self._clean) for place in (side or {}).values())

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
                result.setdefault(side, {})[name] = file_of(path), look
                advance(number, name)
        return result

    def _look_or_reason(self, path: Place) -> Look | str:
        try:
            return self._look(path)
        except (OSError, ValueError) as error:
            return str(error)

    def _look(self, path: Place) -> Look:
        return look_at(path, self._how)

    def passed_over(self) -> list[str]:
        """Files that look like images and are not read, each with the reason."""
        folders = ((folder, ending) for _, folder, ending in self._folders if not (folder.is_file() or is_stack_path(folder)))
        return [line for folder, ending in folders for line in passed_over(folder, ending, recursive=self._recursive)]

    @property
    def files(self) -> tuple[Path, ...]:
        return self._files.paths

    def damaged(self) -> list[str]:
        """By their headers, and of those whose header is right by all of their content."""
        sides = [{name: files[name] for name in self.names} for files in (self._clean, self._noisy, self._second) if files]
        by_header = damaged_files(sides, self._how)
        known = {file_of(place) for place, _ in by_header}
        looks = [seen for side in self.looks().values() for seen in side.values()]
        return [line for _, line in by_header] + [look for path, look in looks if isinstance(look, str) and path not in known]

    @property
    def fingerprint(self) -> str:
        sides = [self._clean or {}, self._noisy or {}, *([self._second] if self._second else [])]
        hashed = [[(name, self._hash(side[name])) for name in self.names if side] for side in sides]
        joined = [part for side in hashed for part in (*side, None)][:-1]  # None parts the sides
        scale = [("white", self._how.white, self._how.black)] if self._how.scales else []
        said = [(name, value) for name, value in (("crop", self.crop), ("axes", self._axes)) if value]
        return fingerprint_of(self.channels, *joined, *scale, *said)

    @property
    def sources(self) -> frozenset[str]:
        sides = (self._clean, self._noisy, self._second)
        places = [side[name] for side in sides if side for name in self.names]
        stored = [as_stored(place) for place in places if self._how.to_gray and not isinstance(place, Slice)]
        return frozenset([*map(self._source, places), *stored])

    def size(self, index: int) -> tuple[int, int]:
        files = self._noisy or self._clean
        assert files is not None
        height, width = size_of(files[self.names[index]])
        return (height, width) if self.crop is None else (min(height, self.crop), min(width, self.crop))


class PlaneFiles(Folder):
    """A folder of Bayer planes: files of one channel alone."""

    planes = True
