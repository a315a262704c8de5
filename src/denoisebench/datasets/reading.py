"""Reads image files completely or not at all, in the type they are stored in."""

import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from denoisebench.datasets.listing import shown
from denoisebench.datasets.tiff import TIFF_MARKS, range_said, read_tiff, tiff_size
from denoisebench.progress import counted

MAX_FLOAT = 4.0
PNG_MARK = b"\x89PNG\r\n\x1a\n"
LFS_MARK = b"version https://git-lfs"
EXIF_ORIENTATION = 0x0112
TURNING = {"exif", "Raw profile type exif", "XML:com.adobe.xmp"}  # parts of a PNG's header that may hold an orientation
# Rec. 601 luma with the digits of MATLAB's rgb2gray.
LUMA = (0.298936021293775, 0.587043074451121, 0.114020904255103)

# Pillow takes photographs of 200 megapixels for an attack; a gigapixel is more than anything here can denoise.
Image.MAX_IMAGE_PIXELS = 2**30


@dataclass(frozen=True)
class Reading:
    """How image files are read.

    channels: 1 or 3. white, black: stored values that mean 1 and 0, where a file's type does not say: of floats outside
    [0, 1], of 16-bit files that hold 12 bits. Files of 8 bits need neither; nor do integers of a white of at most 1, which
    is said of float files beside them. to_gray: colour files become gray, Rec. 601 luma, where one channel is read.
    planes: it is the channel of Bayer planes, which colour files do not hold.
    """

    channels: int
    white: float | None = None
    black: float | None = None
    to_gray: bool = False
    planes: bool = False

    @property
    def scales(self) -> bool:
        return self.white is not None or self.black is not None


def read_image(path: Path, how: Reading | int, content: bytes | None = None) -> np.ndarray:
    """An image file as (H, W, channels), RGB or gray, in the type it is stored in: uint8, uint16 or float32.

    EXIF rotation is applied, palettes are resolved, an opaque alpha channel is dropped. What a file is, is told by its
    content, not by its suffix. how: a number of channels alone, or more. content: of the file, where it was read already.

    Raises: ValueError, naming the file, if it is no whole image, holds several, has see-through pixels, values that are
    not finite or have no known range, or another number of channels than is asked for.
    """
    how = Reading(how) if isinstance(how, int) else how
    content = path.read_bytes() if content is None else content
    try:
        if content.startswith(LFS_MARK):
            raise ValueError("it is a Git LFS pointer, not the image: git lfs pull")
        if content[:4] in TIFF_MARKS:
            image = read_tiff(content, scaled=how.scales)
        elif content.startswith(PNG_MARK) and content[24:25] == b"\x10":
            image = _read_16_bit_png(content, colour_type=content[25])
        else:
            image = _read_with_pillow(content)
    except Exception as error:  # whatever a decoder raises on a damaged file
        raise unreadable(path, error) from error
    return as_asked(image, how, path, content)


def as_asked(image: np.ndarray, how: Reading | int, path: Path, content: bytes = b"") -> np.ndarray:
    """Stored values (H, W, 1 to 4) -> those that are read. path: for messages. content: of a TIFF file, whose tags may say more.

    Raises: ValueError, as `read_image`.
    """
    how = Reading(how) if isinstance(how, int) else how
    return _in_range(_with_channels(image, how, path), how, path, content)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file, as `read_image` gives it, from its header alone."""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        try:
            if head in TIFF_MARKS:
                return tiff_size(file)
            with Image.open(file) as image:
                # A PNG's EXIF is asked for only where its header has one: Pillow would read the whole image to look for it.
                exif = image.getexif() if image.format != "PNG" or TURNING & image.info.keys() else {}
                turned = exif.get(EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
                return image.size if turned else (image.height, image.width)
        except Exception as error:  # whatever a decoder raises on a damaged file
            raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> ValueError:
    """What to say of a file that a decoder refused, without the Python objects that decoders name."""
    said = re.sub(r" *<_io\.[^>]*>", "", str(error)).strip() or type(error).__name__
    return ValueError(f"{shown(path)}: cannot be read as an image ({said}); replace it or take it away")


def middle(image: np.ndarray, side: int | None) -> np.ndarray:
    """The square of that side from the middle of an image (H, W, C), or what there is of it; None: the whole image."""
    if side is None:
        return image
    top, left = (max(length - side, 0) // 2 for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def gray_of(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W, 1) of the same type: integers are rounded, as MATLAB's rgb2gray does."""
    luma = image @ np.array(LUMA)
    return (luma if image.dtype.kind == "f" else np.floor(luma + 0.5))[..., None].astype(image.dtype)


def _read_16_bit_png(content: bytes, colour_type: int) -> np.ndarray:
    """By OpenCV: Pillow cuts 16-bit colour down to 8 bit. Pillow still tells whether it is whole, and what is said of it."""
    with Image.open(BytesIO(content)) as image:
        image.load()
        key, orientation = image.info.get("transparency"), image.getexif().get(EXIF_ORIENTATION, 1)
        _one_image(image)
    if orientation != 1:
        raise ValueError("it is stored turned, in 16 bit: save it upright")
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16:
        raise ValueError("OpenCV cannot decode it in 16 bit")
    planes = {0: [0], 2: [2, 1, 0], 4: [0, 3], 6: [2, 1, 0, 3]}[colour_type]
    array = stored.reshape(*stored.shape[:2], -1)[..., planes]
    _no_transparent_colour(array, key)
    return np.ascontiguousarray(array)


def _read_with_pillow(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content)) as image:
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
    """A phone's JPEG (MPO) has a preview or a gain map behind the photograph: the first is the photograph."""
    if (frames := getattr(image, "n_frames", 1)) != 1 and image.format != "MPO":
        raise ValueError(f"it holds {frames} images")


def _no_transparent_colour(array: np.ndarray, key: int | tuple[int, ...] | bytes | None) -> None:
    """A PNG without alpha may declare one colour see-through."""
    if key is not None and not isinstance(key, bytes) and (array == np.array(key)).all(axis=-1).any():
        raise ValueError("it has see-through pixels, whose colours are undefined: flatten it first")


def _in_range(image: np.ndarray, how: Reading, path: Path, content: bytes) -> np.ndarray:
    """Values whose meaning is known: integers of 8 or 16 bits, floats in [0, 1], and what is scaled as the reading says."""
    floats = np.issubdtype(image.dtype, np.floating)
    if floats and not np.isfinite(image).all():
        raise ValueError(f"{shown(path)}: {counted(int(np.count_nonzero(~np.isfinite(image))), 'NaN or infinite value')}")
    integer_scale = how.scales and (how.white is None or how.white > 1) and np.issubdtype(image.dtype, np.integer)
    if image.dtype == np.uint8 or (image.dtype == np.uint16 and not integer_scale):
        return image
    if not (floats or integer_scale):
        raise ValueError(
            f"{shown(path)}: {image.dtype} has no known range; dataset.white=NUMBER says which value means white, "
            f"or save it as 8- or 16-bit unsigned or as float in [0, 1]{_hint(content)}"
        )
    if how.scales:
        return _scaled(image, how, path)
    if image.size and (image.min() < 0 or image.max() > 1):
        raise ValueError(
            f"{shown(path)}: its float values span {image.min():.4g} to {image.max():.4g}, expected [0, 1]: dataset.white and "
            "dataset.black say which values mean 1 and 0 (dataset.white=1 alone keeps them as they are: noise beyond the "
            f"range){_hint(content)}"
        )
    return image.astype(np.float32)


def _hint(content: bytes) -> str:
    said = range_said(content) if content[:4] in TIFF_MARKS else ""
    return f"; its TIFF tags say {said}" if said else ""


def _scaled(image: np.ndarray, how: Reading, path: Path) -> np.ndarray:
    black = how.black or 0.0
    white = 1.0 if how.white is None and image.dtype.kind == "f" else how.white
    white = float(np.iinfo(image.dtype).max) if white is None else white
    scaled = ((image.astype(np.float64) - black) / (white - black)).astype(np.float32)
    if scaled.size and np.abs(scaled).max() > MAX_FLOAT:
        raise ValueError(
            f"{shown(path)}: its values span {image.min():.4g} to {image.max():.4g}, which dataset.white={white:g} and "
            f"dataset.black={black:g} take beyond {MAX_FLOAT:g}: set them to the stored values that mean 1 and 0"
        )
    return scaled


def _with_channels(image: np.ndarray, how: Reading, path: Path) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"{shown(path)}: expected one gray or RGB image, got an array of {image.shape}")
    if image.shape[2] in (2, 4):
        alpha = image[..., -1]
        opaque = 1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
        if (alpha != opaque).any():
            raise ValueError(f"{shown(path)}: has see-through pixels, whose colours are undefined; flatten it first")
        image = image[..., :-1]
    if image.shape[2] == 3 and how.channels == 1 and how.to_gray:
        return gray_of(image)
    if how.planes and image.shape[2] == 3:
        raise ValueError(
            f"{shown(path)}: is RGB, and dataset.pack=bayer packs planes of one channel: dataset.unprocess=0 makes raw planes of "
            "sRGB images; dataset.pack=null takes them as they are"
        )
    if image.shape[2] != how.channels:
        kinds = {1: "gray", 3: "RGB"}
        raise ValueError(
            f"{shown(path)}: is {kinds[image.shape[2]]}, and this data set is read as {kinds[how.channels]}; "
            f"set dataset.channels={image.shape[2]} (and train_set.channels), or keep gray and colour apart"
        )
    return image


def to_unit(image: np.ndarray) -> np.ndarray:
    """Stored values -> float64 in [0, 1] (float images as they are)."""
    return image / np.float64(1 if image.dtype.kind == "f" else np.iinfo(image.dtype).max)
