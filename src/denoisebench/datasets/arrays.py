"""Images in memory: arrays and tensors as methods take them, back in their own type, and as a set to train on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from denoisebench.datasets.images import ImageSet, fingerprint_of
from denoisebench.datasets.looks import hash_of
from denoisebench.datasets.reading import MAX_FLOAT
from denoisebench.progress import counted

Array = TypeVar("Array", np.ndarray, Tensor)
WHITES = {torch.uint8: 255, torch.uint16: 65535}
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Given:
    """Images as a method takes them, and the way back.

    planes: (N, C, H, W) float32, nominal range [0, 1]. back: denoised planes -> the type, shape and device that came.
    """

    planes: Tensor
    back: Callable[[Tensor], Any]


def given(image: np.ndarray | Tensor) -> Given:
    """NumPy (H, W) or (H, W, C), PyTorch (H, W), (C, H, W) or (N, C, H, W); C is 1 or 3; uint8, uint16 or float in [0, 1].

    Integers come back clipped and rounded half up, floats as they are. Raises: ValueError or TypeError.
    """
    if isinstance(image, Tensor):
        tensor = image.detach()
        planes = tensor.reshape(1, 1, *tensor.shape) if tensor.ndim == 2 else tensor[None] if tensor.ndim == 3 else tensor
        _check_shape(tuple(image.shape), planes.ndim == 4 and planes.shape[1] in (1, 3), "(H, W), (C, H, W) or (N, C, H, W)")
        return Given(_unit(planes), lambda out: _typed(out, tensor).reshape(tensor.shape).to(tensor.device))
    if not isinstance(image, np.ndarray):
        raise TypeError(f"expected a NumPy array or a PyTorch tensor, got {type(image).__name__}: np.asarray(image) makes one")
    _check_shape(image.shape, image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3)), "(H, W) or (H, W, C)")
    native = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    if native.dtype.name not in ("uint8", "uint16", "float16", "float32", "float64"):
        raise _no_range(native.dtype)
    stored = torch.from_numpy(native.copy() if not native.flags.writeable else native)
    last = stored[..., None] if stored.ndim == 2 else stored

    def back(out: Tensor) -> np.ndarray:
        typed = _typed(out, stored)[0].permute(1, 2, 0).reshape(stored.shape)
        return np.ascontiguousarray(typed.cpu().numpy()).astype(image.dtype, copy=False)

    return Given(_unit(last.permute(2, 0, 1)[None]), back)


def _check_shape(shape: Sequence[int], fits: bool, expected: str) -> None:
    if not fits or 0 in shape:
        raise ValueError(
            f"expected an image of {expected} with C of 1 (gray) or 3 (RGB), got {tuple(shape)}; denoise the colours alone "
            "and keep an alpha channel as it is, e.g. image[..., :3]"
        )


def _no_range(dtype: object) -> TypeError:
    return TypeError(f"{dtype} has no known range: convert the image to uint8, uint16, or float in [0, 1]")


def _unit(planes: Tensor) -> Tensor:
    """Stored values -> float32 in [0, 1]; a copy, so that no method changes what it was given."""
    if planes.dtype in WHITES:
        return (planes.to(torch.float64) / WHITES[planes.dtype]).to(torch.float32).contiguous()
    if planes.dtype not in FLOATS:
        raise _no_range(planes.dtype)
    unit = planes.to(torch.float32, copy=True).contiguous()
    if not bool(torch.isfinite(unit).all()):
        raise ValueError(
            f"the image has {counted(int((~torch.isfinite(unit)).sum()), 'NaN or infinite value')}: replace them first"
        )
    if (reach := float(unit.abs().max())) > MAX_FLOAT:
        raise ValueError(f"float values reach {reach:g}, expected the nominal range [0, 1]: divide by the white level first")
    return unit


def _typed(planes: Tensor, stored: Tensor) -> Tensor:
    """Denoised planes in the type that came."""
    if stored.dtype not in WHITES:
        return planes.to(stored.dtype)
    white = WHITES[stored.dtype]
    return planes.double().mul(white).add_(0.5).floor_().clamp_(0, white).to(stored.dtype)


class Arrays(ImageSet):
    """Noisy images in memory, all gray or all RGB.

    images: as `given` takes them. Raises: ValueError or TypeError naming the image by its number from 0.
    """

    name = "arrays"
    has_clean, has_noisy = False, True

    def __init__(self, images: Sequence[np.ndarray | Tensor]) -> None:
        if not len(images):
            raise ValueError("no images to train on: give at least one")
        self._images = [_as_stored(image, number) for number, image in enumerate(images)]
        self.names = tuple(str(number) for number in range(len(images)))
        channels = {image.shape[2] for image in self._images}
        if len(channels) > 1:
            raise ValueError("some images are gray and some are RGB: train on each kind apart")
        [self.channels] = channels

    def clean(self, index: int) -> np.ndarray:
        raise ValueError("these images are noisy, without ground truth")

    def noisy(self, index: int) -> np.ndarray:
        return self._images[index]

    @property
    def fingerprint(self) -> str:
        return fingerprint_of("arrays", *map(hash_of, self._images))

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(map(hash_of, self._images))


def _as_stored(image: np.ndarray | Tensor, number: int) -> np.ndarray:
    """(H, W, C) as a set has it: integers in their type, floats in float32."""
    try:
        planes = given(image).planes
    except (TypeError, ValueError) as error:
        raise type(error)(f"image {number}: {error}") from error
    if len(planes) != 1:
        raise ValueError(f"image {number}: expected one image, got a batch of {len(planes)}")
    if isinstance(image, np.ndarray) and image.dtype in (np.uint8, np.uint16):
        return image.reshape(*image.shape[:2], -1)
    return planes[0].permute(1, 2, 0).cpu().numpy()
