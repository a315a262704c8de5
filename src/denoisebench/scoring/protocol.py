"""How outputs become numbers. A score without its protocol is not a score."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from denoisebench.scoring import measures
from denoisebench.scoring.measures import PSNR, SSIMS, Measure, parts


@dataclass(frozen=True)
class Protocol:
    """Clipping, rounding and border of a score; each measure of each image, never pooled over images.

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

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All measures, SSIM in this protocol's kind."""
        return tuple(SSIMS[self.ssim] if measure.name == "ssim" else measure for measure in measures.MEASURES)

    def score(self, denoised: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
        """PSNR in dB and SSIM of each image: two (N,). SSIM is NaN for images too small for its window."""
        psnr_db, similarity = self._scores((PSNR, SSIMS[self.ssim]), denoised, clean, None)
        return psnr_db, similarity

    def scores(self, denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> dict[str, Tensor]:
        """Each measure of each image by its column: (N,), NaN where an image is too small or what it needs is None."""
        return dict(zip(measures.columns(), self._scores(self.measures, denoised, clean, noisy), strict=True))

    def _scores(
        self, wanted: Sequence[Measure], denoised: Tensor, clean: Tensor | None, noisy: Tensor | None
    ) -> Iterator[Tensor]:
        for name, other in (("clean", clean), ("noisy", noisy)):
            if other is not None and denoised.shape != other.shape:
                raise ValueError(f"denoised {tuple(denoised.shape)} and {name} {tuple(other.shape)} differ in shape")
        height, width = denoised.shape[-2:]
        if 2 * self.border >= min(height, width):
            raise ValueError(f"protocol {self.name}: border={self.border} leaves nothing of {height} x {width}")
        # A whole batch in float64 would be fresh memory, which takes a CPU a tenth of the time of scoring.
        found = [self._part(wanted, *part) for part in parts(8, denoised, clean, noisy)]
        return map(torch.cat, zip(*found, strict=True))

    def _part(self, wanted: Sequence[Measure], denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> list[Tensor]:
        height, width = denoised.shape[-2:]
        inner = ..., slice(self.border, height - self.border), slice(self.border, width - self.border)
        image = self.prepare(denoised)[inner]
        others = {"clean": None if clean is None else clean[inner], "noisy": None if noisy is None else noisy[inner]}
        nothing = image.new_full((len(image),), torch.nan)
        scores = []
        for measure in wanted:
            given = {name: other for name, other in others.items() if name in measure.needs}
            possible = measure.least <= min(image.shape[-2:]) and all(other is not None for other in given.values())
            scores.append(measure.score(image, given.get("clean"), given.get("noisy")) if possible else nothing)
        return scores
