"""How outputs become numbers. A score without its protocol is not a score."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from denoisebench.scoring.measures import SSIM_WINDOW, UNIFORM_WINDOW, parts, psnr, ssim, ssim_uniform, ssim_volume

# The kinds of SSIM, and the least side of an image that each can score.
SSIMS = {"gaussian": (ssim, SSIM_WINDOW), "uniform": (ssim_uniform, UNIFORM_WINDOW), "volume": (ssim_volume, 1)}


@dataclass(frozen=True)
class Protocol:
    """Clipping, rounding and border of a score; PSNR and SSIM of each image, never pooled over images.

    clip: to [0, 1]. rounding: to 8 bit by rounding half up (`round`), by cutting off (`truncate`), or none.
    border: pixels cut off on every side before scoring.
    ssim: `gaussian` (11 x 11, valid region, channel mean), `uniform` (7 x 7, sample covariance: scikit-image's
    defaults) or `volume` (11 x 11 x 11 over rows, columns and channels: MATLAB's on a colour image).
    Only the denoised image is clipped and rounded; the clean one is taken as it is stored.
    """

    name: str
    clip: bool = True
    rounding: Literal["none", "round", "truncate"] = "none"
    border: int = 0
    ssim: Literal["gaussian", "uniform", "volume"] = "gaussian"

    def __post_init__(self) -> None:
        if self.rounding not in ("none", "round", "truncate"):
            raise ValueError(f"protocol {self.name}: rounding is none, round or truncate, not {self.rounding!r}")
        if self.rounding != "none" and not self.clip:
            raise ValueError(f"protocol {self.name}: 8-bit rounding without clip=true would leave the 8-bit range")
        if self.ssim not in SSIMS:
            raise ValueError(f"protocol {self.name}: ssim is {', '.join(SSIMS)}, not {self.ssim!r}")
        if self.border < 0:
            raise ValueError(f"protocol {self.name}: border is a number of pixels, not {self.border}")

    def prepare(self, denoised: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape in float64, clipped and rounded as the protocol says."""
        image = denoised.to(torch.float64, copy=True)
        if self.clip:
            image.clamp_(0, 1)
        if self.rounding != "none":
            # The last term makes up for the float32 of a whole level, k / 255, that lies just below it.
            image = torch.floor(image * 255 + (0.5 if self.rounding == "round" else 0.0) + 1e-5) / 255
        return image

    def score(self, denoised: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """PSNR in dB and SSIM of each image: two (N,). SSIM is NaN for images too small for its window."""
        if denoised.shape != clean.shape:
            raise ValueError(f"denoised {tuple(denoised.shape)} and clean {tuple(clean.shape)} differ in shape")
        height, width = clean.shape[-2:]
        if 2 * self.border >= min(height, width):
            raise ValueError(f"protocol {self.name}: border={self.border} leaves nothing of {height} x {width}")
        # A whole batch in float64 would be fresh memory, which takes a CPU a tenth of the time of scoring.
        scores = [self._score(*part) for part in parts(denoised, clean, 8)]
        psnr_db, similarity = zip(*scores, strict=True)
        return torch.cat(psnr_db), torch.cat(similarity)

    def _score(self, denoised: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        height, width = clean.shape[-2:]
        inner = ..., slice(self.border, height - self.border), slice(self.border, width - self.border)
        image, reference = self.prepare(denoised)[inner], clean[inner]
        psnr_db = psnr(image, reference)
        similarity, least = SSIMS[self.ssim]
        small = min(image.shape[-2:]) < least
        return psnr_db, torch.full_like(psnr_db, torch.nan) if small else similarity(image, reference)
