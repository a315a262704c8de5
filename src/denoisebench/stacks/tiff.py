"""Stacks in TIFF files: plain pages, ImageJ's and OME's."""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from denoisebench.stacks.mapped import Mapped
from denoisebench.stacks.segments import COMPRESSIONS, StoredPage, is_cut_off, samples_of, stored_page, write_samples
from denoisebench.stacks.stack import Index, Stack, StackError, check_dtype, checked

BLACK_IS_ZERO, RGB = 1, 2
ALPHA = (1, 2)  # of the tag ExtraSamples: associated, unassociated


@dataclass(frozen=True, eq=False)
class Pages:
    """A page for each slice, stored in strips or tiles, compressed or not. lengths: of the axes along which they lie."""

    pages: tuple[StoredPage, ...]
    lengths: tuple[int, ...]

    def read(self, path: Path, index: Index) -> np.ndarray:
        page = self._page(index)
        with path.open("rb") as file:
            samples = samples_of(page, file)
        return samples if page.layout.shape[2] > 1 else samples[..., 0]

    def write(self, path: Path, index: Index, values: np.ndarray) -> None:
        page = self._page(index)
        with path.open("rb+") as file:
            write_samples(page, file, values.reshape(page.layout.shape))

    def finish(self, path: Path) -> None:
        pass

    def _page(self, index: Index) -> StoredPage:
        place = [at for at in index if isinstance(at, int)]
        return self.pages[int(np.ravel_multi_index(place, self.lengths))]


def tiff_stack(path: Path, axes: str | None) -> Stack | None:
    """None for a file of one image, also one with smaller copies of it, and for pages of different kinds.

    Raises: StackError; tifffile.TiffFileError for what is no TIFF.
    """
    with tifffile.TiffFile(path) as file:
        images = int((file.imagej_metadata or {}).get("images", 1))
        cut = _chain_is_cut(file)
        if len(file.pages) == 1 and images == 1 and not cut:
            return None
        own = [one for one in file.series if not one.keyframe.is_reduced]
        if cut or not own or (len(own) == 1 and images > 1 and _slices(own[0]) < images):
            raise StackError("it is cut off: replace it")
        if len(own) > 1:
            _check_ragged(file, own)
            return None
        [series] = own
        if _slices(series) == 1:
            return None
        _check_kind(series)
        kind = "OME-TIFF" if file.is_ome else "ImageJ TIFF" if file.is_imagej else "TIFF of pages"
        stack = _mapped(path, kind, series, axes) or _paged(path, kind, series, axes)
    _check_length(stack)
    return stack


def _chain_is_cut(file: tifffile.TiffFile) -> bool:
    """Whether the last directory that was found names another one."""
    len(file.pages)  # finds them all
    name, size = ("Q", 8) if file.is_bigtiff else ("I", 4)
    file.filehandle.seek(file.pages.next_page_offset or 0)
    found = file.filehandle.read(size)
    return len(found) < size or struct.unpack(file.byteorder + name, found) != (0,)


def _slices(series: tifffile.TiffPageSeries) -> int:
    return int(np.prod([length for axis, length in zip(series.axes, series.shape, strict=True) if axis not in "YXS"], dtype=int))


def _check_ragged(file: tifffile.TiffFile, series: list[tifffile.TiffPageSeries]) -> None:
    """Pages of different kinds are no stack, but those of one kind and different sizes look like one.

    Raises: StackError.
    """
    kinds = {(one.keyframe.dtype, one.keyframe.samplesperpixel) for one in series}
    sizes = dict.fromkeys(f"{one.keyframe.imagelength} x {one.keyframe.imagewidth}" for one in series)
    if len(kinds) > 1:
        return
    what = f"slices of different sizes ({', '.join(sizes)})" if len(sizes) > 1 else f"{len(series)} stacks"
    raise StackError(f"it holds {what}: save each kind in a file of its own, or take one page with --page")


def _check_kind(series: tifffile.TiffPageSeries) -> None:
    """Raises: StackError."""
    page: Any = series.keyframe
    if series.is_multifile or any(one is None for one in series.pages):
        raise StackError("its slices lie in several files, or some are missing: save it as one file")
    if len(series.levels) > 1:
        raise StackError("it holds smaller copies of each slice (a pyramid), which would stay as they are: save it without them")
    if page.dtype is None or page.bitspersample != 8 * page.dtype.itemsize:
        raise StackError(f"it stores {page.bitspersample} bits of a value: save it in 8 or 16 bits, or as float")
    check_dtype(page.dtype)
    if page.photometric not in (BLACK_IS_ZERO, RGB) or page.fillorder != 1:
        raise StackError(
            f"its colours are stored as TIFF photometric {page.photometric}: save it as gray with black as 0, or RGB"
        )
    if page.imagedepth > 1:
        raise StackError("its pages are volumes: save each slice as a page")


def _has_alpha(page: Any) -> bool:
    return bool(page.extrasamples) and page.extrasamples[-1] in ALPHA


def _mapped(path: Path, kind: str, series: tifffile.TiffPageSeries, axes: str | None) -> Stack | None:
    """None where its values do not lie in one piece."""
    if series.dataoffset is None:
        return None
    page: Any = series.keyframe
    dtype = np.dtype(page.parent.byteorder + page.dtype.str[1:])
    shape = tuple(map(int, series.shape))
    return Stack(path, kind, checked(axes or series.axes, shape, _has_alpha(page)), shape, page.dtype.newbyteorder("="), Mapped(
        int(series.dataoffset), dtype, shape
    ))  # fmt: skip


def _paged(path: Path, kind: str, series: tifffile.TiffPageSeries, axes: str | None) -> Stack:
    page: Any = series.keyframe
    if int(page.compression) not in COMPRESSIONS:
        name = getattr(page.compression, "name", page.compression)
        raise StackError(f"its compression {name} is not supported: save it with LZW or Deflate, or without")
    leading = len(series.axes) - len(page.axes)
    ending = "YXS" if page.samplesperpixel > 1 else "YX"
    own = series.axes[:leading] + ending
    if axes is not None and axes[leading:].upper() != ending:
        raise StackError(f"each of its pages is an image, whose axes are {ending}: {axes} does not end with them")
    lengths = tuple(map(int, series.shape[:leading]))
    shape = (*lengths, page.imagelength, page.imagewidth, *((page.samplesperpixel,) if ending == "YXS" else ()))
    numbers = [one.index for one in series.pages if one is not None]
    with tifffile.TiffFile(path) as whole:
        whole.pages.cache = False
        pages = _apart([stored_page(whole.pages[number]) for number in numbers])
    if np.prod(lengths, dtype=int) != len(pages):
        raise StackError(
            f"it holds {len(pages)} pages, and its axes {series.axes} ask for {np.prod(lengths, dtype=int)}: replace it"
        )
    named = checked(axes or own, shape, _has_alpha(page), apart=False)
    return Stack(path, kind, named, shape, page.dtype.newbyteorder("="), Pages(pages, lengths))


def _apart(pages: Sequence[StoredPage]) -> tuple[StoredPage, ...]:
    """Pages of which those are `shared` that have a segment at the place of another page's."""
    uses = Counter(offset for page in pages for offset, _ in page.places)
    return tuple(replace(page, shared=any(uses[offset] > 1 for offset, _ in page.places)) for page in pages)


def _check_length(stack: Stack) -> None:
    """Raises: StackError for a file that ends before its values do."""
    length, planes = stack.path.stat().st_size, stack.planes
    if isinstance(planes, Mapped):
        short = planes.offset + int(np.prod(stack.shape, dtype=int)) * planes.dtype.itemsize > length
    else:
        assert isinstance(planes, Pages)
        short = any(is_cut_off(page, length) for page in planes.pages)
    if short:
        raise StackError("it is cut off: replace it")
