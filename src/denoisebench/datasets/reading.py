"""Reading image files: whole or not at all, in the type they are stored in."""

from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_FLOAT = 4.0
PNG_MARK = b"\x89PNG\r\n\x1a\n"
TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
EXIF_ORIENTATION = 0x0112


def read_image(path: Path, channels: int) -> np.ndarray:
    """An image file as (H, W, channels), RGB or gray, in the type it is stored in: uint8, uint16 or float32.

    EXIF rotation is applied, palettes are resolved, an opaque alpha channel is dropped. What a file is, is told by its
    content, not by its suffix.

    Raises: ValueError, naming the file, if it is no whole image, holds several, has see-through pixels, values that are
    not finite, another number of channels than `channels`, or a type with no known range.
    """
    with path.open("rb") as file:
        head = file.read(26)
    try:
        if head[:4] in TIFF_MARKS:
            image = _read_tiff(path)
        elif head.startswith(PNG_MARK) and head[24:25] == b"\x10":
            image = _read_16_bit_png(path, colour_type=head[25])
        else:
            image = _read_with_pillow(path)
    except Exception as error:  # whatever a decoder raises on a damaged file
        raise ValueError(f"{path}: cannot be read as an image ({error}); replace it or take it away") from error
    return _with_channels(_checked_values(image, path), channels, path)


def _read_tiff(path: Path) -> np.ndarray:
    with tifffile.TiffFile(path) as file:
        if len(file.pages) != 1:
            raise ValueError(f"it holds {len(file.pages)} images")
        page = file.pages.first
        if page.photometric not in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB):
            raise ValueError(
                f"its colours are stored as TIFF photometric {page.photometric}, expected gray with black as 0, or RGB"
            )
        if (orientation := page.tags.get("Orientation")) is not None and orientation.value != 1:
            raise ValueError("it is stored turned: save it upright")
        if any(offset + size > path.stat().st_size for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True)):
            raise ValueError("it is cut off")
        try:
            image = page.asarray()
        except ValueError as error:
            if "imagecodecs" in str(error):
                raise ValueError(f"its compression {page.compression} is not supported: save it uncompressed") from error
            raise
        if page.axes == "SYX":
            image = np.moveaxis(image, 0, -1)
    return image[..., None] if image.ndim == 2 else image


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file, as `read_image` gives it, from its header alone."""
    with path.open("rb") as file:
        is_tiff = file.read(4) in TIFF_MARKS
    try:
        if is_tiff:
            with tifffile.TiffFile(path) as file:
                return file.pages.first.imagelength, file.pages.first.imagewidth
        with Image.open(path) as image:
            # A PNG's EXIF is asked for only where its header has one: Pillow would read the whole image to look for it.
            exif = image.getexif() if image.format != "PNG" or "exif" in image.info else {}
            turned = exif.get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
            return image.size if turned else (image.height, image.width)
    except Exception as error:  # whatever a decoder raises on a damaged file
        raise ValueError(f"{path}: cannot be read as an image ({error}); replace it or take it away") from error


def middle(image: np.ndarray, side: int | None) -> np.ndarray:
    """The square of that side from the middle of an image (H, W, C), or what there is of it; None: the whole image."""
    if side is None:
        return image
    top, left = (max(length - side, 0) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def _read_16_bit_png(path: Path, colour_type: int) -> np.ndarray:
    """By OpenCV: Pillow cuts 16-bit colour down to 8 bit. Pillow still tells whether it is whole, and what is said of it."""
    with Image.open(path) as image:
        image.load()
        key, orientation = image.info.get("transparency"), image.getexif().get(EXIF_ORIENTATION, 1)
        _one_image(image)
    if orientation != 1:
        raise ValueError("it is stored turned, in 16 bit: save it upright")
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        raise ValueError("OpenCV cannot decode it in 16 bit")
    planes = {0: [0], 2: [2, 1, 0], 4: [0, 3], 6: [2, 1, 0, 3]}[colour_type]
    array = stored.reshape(*stored.shape[:2], -1)[..., planes]
    _no_transparent_colour(array, key)
    return np.ascontiguousarray(array)


def _read_with_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.load()  # a truncated file fails here
        _one_image(image)
        image = ImageOps.exif_transpose(image)
        if image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        elif image.mode == "1":
            image = image.convert("L")
        if image.mode not in ("L", "LA", "RGB", "RGBA"):
            raise ValueError(f"colour mode {image.mode} is neither gray nor RGB")
        array = np.asarray(image)
        array = array[..., None] if array.ndim == 2 else array
        if image.mode in ("L", "RGB"):
            _no_transparent_colour(array, image.info.get("transparency"))
    return array


def _one_image(image: Image.Image) -> None:
    if (frames := getattr(image, "n_frames", 1)) != 1:
        raise ValueError(f"it holds {frames} images")


def _no_transparent_colour(array: np.ndarray, key: int | tuple[int, ...] | bytes | None) -> None:
    """A PNG without alpha may declare one colour see-through."""
    if key is not None and not isinstance(key, bytes) and (array == np.array(key)).all(axis=-1).any():
        raise ValueError("it has see-through pixels, whose colours are undefined: flatten it first")


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


def list_images(folder: Path, key: str, suffix: str = "") -> dict[str, Path]:
    """Image files of a folder by stem, in the order of their stems; only stems with that suffix, and without it.

    Raises: FileNotFoundError or ValueError, naming `key`, if there is no such folder, no image in it, or two
    images of one stem.
    """
    if folder.is_file():
        raise NotADirectoryError(f"{key}={folder}: is a file; name the folder that holds it")
    if not folder.is_dir():
        raise FileNotFoundError(f"{key}={folder}: no such folder")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith(".") or not path.is_file():
            continue
        name = path.stem.removesuffix(suffix)
        if not path.stem.endswith(suffix) or not name:
            continue
        if name in files:
            raise ValueError(f"{key}={folder}: {files[name].name} and {path.name} share a stem, which names an image")
        files[name] = path
    if not files:
        ending = f" whose stem ends in {suffix}" if suffix else ""
        raise ValueError(f"{key}={folder}: no image in it{ending} ({', '.join(IMAGE_SUFFIXES)})")
    return dict(sorted(files.items()))
