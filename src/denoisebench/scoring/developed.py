"""Bayer planes developed: as pictures show them, and as a protocol of their own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from denoisebench.scoring.measures import Measure
from denoisebench.scoring.protocol import Protocol

GAMMA = 2.2
Order = Literal["rggb", "grbg"]
SEEN = {"rggb": ((0, 1), (1, 2)), "grbg": ((1, 0), (2, 1))}  # 0 red, 1 green, 2 blue


def gray_world(planes: Tensor, order: Order = "rggb") -> Tensor:
    """The gain of each colour that makes its mean that of green: (N, 1, H, W) -> (N, 3, 1, 1)."""
    sees = _masks(planes, order)
    means = (planes.clamp(0, 1) * sees).sum(dim=(2, 3), keepdim=True) / sees.sum(dim=(2, 3), keepdim=True)
    return means[:, 1:2] / means.clamp(min=1e-6)


def develop(planes: Tensor, gains: Tensor, order: Order = "rggb") -> Tensor:
    """(N, 1, H, W) raw values, black at 0 and white at 1 -> (N, 3, H, W) as a picture: clipped, demosaiced bilinearly, gains
    and gamma. No colour matrix, no tone curve, no sharpening."""
    sees = _masks(planes, order)
    cross = torch.tensor([[0.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 0.0]])
    square = torch.tensor([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
    kernels = torch.stack([square, cross, square])[:, None].to(planes)
    total = F.conv2d(planes.clamp(0, 1) * sees, kernels, padding=1, groups=3)
    colours = total / F.conv2d(sees, kernels, padding=1, groups=3)
    return (colours * gains).clamp(0, 1) ** (1 / GAMMA)


def order_of(plane: Tensor) -> Order:
    """Where green lies: on the diagonal of a 2 x 2 cell whose two means are closer. Red and blue are not told apart, and may
    be exchanged in a picture."""
    first, second, third, fourth = (plane[..., row::2, column::2].mean().item() for row in (0, 1) for column in (0, 1))
    return "rggb" if abs(second - third) <= abs(first - fourth) else "grbg"


def pictures_of(images: Sequence[np.ndarray], reference: np.ndarray) -> list[np.ndarray]:
    """Planes (H, W, 1) of one scene as pictures (H, W, 3), all with the order and the gains of the reference."""
    planes = [torch.from_numpy(np.ascontiguousarray(image, np.float64)).permute(2, 0, 1)[None] for image in (reference, *images)]
    order = order_of(planes[0])
    gains = gray_world(planes[0], order)
    return [develop(plane, gains, order)[0].permute(1, 2, 0).numpy() for plane in planes[1:]]


def _masks(like: Tensor, order: Order) -> Tensor:
    """(1, 3, H, W): 1 where the sensor sees that colour."""
    height, width = like.shape[-2:]
    colour = torch.tensor(SEEN[order], device=like.device).repeat(height // 2, width // 2)
    return (colour == torch.arange(3, device=like.device).view(3, 1, 1)).to(like.dtype)[None]


@dataclass(frozen=True)
class Developed(Protocol):
    """Scores of RGGB planes as pictures: denoised, clean and noisy are developed, with the gray-world gains of the clean one.

    For planes made from sRGB images, whose order is known; not for those of SIDD. Images with three channels are refused.
    """

    def _scores(
        self, wanted: Sequence[Measure], denoised: Tensor, clean: Tensor | None, noisy: Tensor | None
    ) -> Iterator[Tensor]:
        if denoised.shape[1] != 1 or denoised.shape[2] % 2 or denoised.shape[3] % 2:
            raise ValueError(
                f"protocol {self.name} scores Bayer planes (1, H, W) of even sides, got {tuple(denoised.shape[1:])}: leave it out"
            )
        gains = gray_world((denoised if clean is None else clean).double())
        pictures = (None if part is None else develop(part.double(), gains) for part in (denoised, clean, noisy))
        developed, *others = pictures
        assert developed is not None
        return super()._scores(wanted, developed, *others)
