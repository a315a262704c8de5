"""Reading image files, and the interface of a data set."""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_FLOAT = 4.0


def read_image(path: Path, channels: int) -> np.ndarray:
    """An image file as (H, W, channels), RGB or gray, in the type it is stored in: uint8, uint16 or float32.

    EXIF rotation is applied, palettes are resolved, an opaque alpha channel is dropped.

    Raises: ValueError, naming the file, if it is no whole image, has see-through pixels, values that are not
    finite, another number of channels than `channels`, or a type with no known range.
    """
    try:
        image = _read_tiff(path) if path.suffix.lower() in (".tif", ".tiff") else _read_with_pillow(path)
    except (UnidentifiedImageError, OSError, SyntaxError, tifffile.TiffFileError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise ValueError(f"{path}: not a whole image file ({error}); replace it or take it away") from error
    return _with_channels(_checked_values(image, path), channels, path)


def _read_tiff(path: Path) -> np.ndarray:
    try:
        image = tifffile.imread(path)
    except ValueError as error:  # what tifffile says of truncated data
        raise OSError(error) from error
    return image[..., None] if image.ndim == 2 else image


def _read_with_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.load()  # a truncated file fails here
        if _png_bit_depth(path) == 16 and image.mode not in ("I;16", "I"):
            return _read_16_bit_colour(path)  # Pillow would cut it down to 8 bit
        image = ImageOps.exif_transpose(image)
        if image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        elif image.mode == "1":
            image = image.convert("L")
        array = np.asarray(image)
        if image.mode == "I":  # 16-bit gray in older Pillow
            array = array.astype(np.uint16)
        elif image.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
            raise OSError(f"colour mode {image.mode} is neither gray nor RGB")
    return array[..., None] if array.ndim == 2 else array


def _png_bit_depth(path: Path) -> int:
    with path.open("rb") as file:
        header = file.read(25)
    return header[24] if header.startswith(b"\x89PNG") and len(header) == 25 else 8


def _read_16_bit_colour(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise OSError("16-bit PNG that cannot be decoded")
    return np.ascontiguousarray(image[..., [2, 1, 0, 3] if image.shape[2] == 4 else [2, 1, 0]])


def _checked_values(image: np.ndarray, path: Path) -> np.ndarray:
    if image.dtype in (np.uint8, np.uint16):
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"{path}: {image.dtype} has no known range; save it as 8- or 16-bit unsigned or as float in [0, 1]")
    if not np.isfinite(image).all():
        raise ValueError(f"{path}: {np.count_nonzero(~np.isfinite(image))} values are NaN or infinite")
    if np.abs(image).max() > MAX_FLOAT:
        raise ValueError(
            f"{path}: float values reach {np.abs(image).max():g}, expected the nominal range [0, 1]; divide by the white level"
        )
    return image.astype(np.float32)


def _with_channels(image: np.ndarray, channels: int, path: Path) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"{path}: expected one gray or RGB image, got an array of {image.shape}")
    if image.shape[2] in (2, 4):
        alpha = image[..., -1]
        opaque = 1.0 if alpha.dtype == np.float32 else np.iinfo(alpha.dtype).max
        if (alpha != opaque).any():
            raise ValueError(f"{path}: has see-through pixels, whose colours are undefined; flatten it first")
        image = image[..., :-1]
    if image.shape[2] != channels:
        kinds = {1: "gray", 3: "RGB"}
        raise ValueError(
            f"{path}: is {kinds[image.shape[2]]}, and this data set is read as {kinds[channels]}; "
            f"set dataset.channels={image.shape[2]} (and train_set.channels), or keep gray and colour apart"
        )
    return image


def to_unit(image: np.ndarray) -> np.ndarray:
    """Stored values -> float64 in [0, 1] (float images as they are)."""
    return image / np.float64(1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max)


class ImageSet(ABC):
    """Named images, each clean, noisy or both. Reads when asked, keeps nothing.

    name: what rows call it. names: unique names of its images, in a fixed order. channels: 1 or 3.
    """

    name: str
    names: tuple[str, ...]
    channels: int
    has_clean: bool
    has_noisy: bool

    @abstractmethod
    def clean(self, index: int) -> np.ndarray:
        """(H, W, C) in its stored type; only where `has_clean`."""

    @abstractmethod
    def noisy(self, index: int) -> np.ndarray:
        """(H, W, C) in its stored type; only where `has_noisy`."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Differs where the images differ; does not depend on where they lie."""


def fingerprint_of(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def list_images(folder: Path, key: str) -> dict[str, Path]:
    """Image files of a folder by stem, in the order of their names.

    Raises: FileNotFoundError or ValueError, naming `key`, if there is no such folder, no image in it, or two
    images of one stem.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{key}={folder}: no such folder")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        if path.stem in files:
            raise ValueError(f"{key}={folder}: {files[path.stem].name} and {path.name} share a stem, which names an image")
        files[path.stem] = path
    if not files:
        raise ValueError(f"{key}={folder}: no image in it ({', '.join(IMAGE_SUFFIXES)})")
    return files
