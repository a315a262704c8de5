"""PSNR as microscopy papers print it: intensities have no fixed white, so the clean image's own range takes its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from denoisebench.scoring.further.measure import Further

if TYPE_CHECKING:
    from torch import Tensor

TREATS = "values and channels as the protocol leaves them, all channels at once; a clean image of one value has no score"


def range_psnr(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
    """PSNR whose peak is the clean image's maximum minus its minimum."""
    assert clean is not None
    return _psnr(denoised.double().flatten(1), clean.double().flatten(1))


def scale_invariant_psnr(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
    """The same, once the output has the gain and the offset that bring it closest to the clean image in the mean square.

    Equals `scale_invariant_psnr` of careamics: dividing by the clean image's standard deviation, as it does, changes error and
    peak alike. An output of one value is fitted by the clean image's mean.
    """
    assert clean is not None
    image, reference = denoised.double().flatten(1), clean.double().flatten(1)
    centred, around = image - image.mean(dim=1, keepdim=True), reference - reference.mean(dim=1, keepdim=True)
    power = centred.square().sum(dim=1, keepdim=True)
    gain = (centred * around).sum(dim=1, keepdim=True) / power.where(power > 0, 1.0)
    return _psnr(gain * centred, around)


def _psnr(image: Tensor, reference: Tensor) -> Tensor:
    """Of rows; NaN where the reference has one value."""
    peak = reference.amax(dim=1) - reference.amin(dim=1)
    found = 10 * (peak.square() / (image - reference).square().mean(dim=1)).log10()
    return found.where(peak > 0, math.nan)


MICROSCOPY = (
    Further(
        "scale_invariant_psnr", "scale-invariant PSNR", "dB", 2, higher_is_better=True, score=scale_invariant_psnr,
        range="any", licence="denoisebench", library="denoisebench", treats=TREATS,
    ),
    Further(
        "range_psnr", "PSNR of the clean image's range", "dB", 2, higher_is_better=True, score=range_psnr, range="any",
        licence="denoisebench", library="denoisebench", treats=TREATS,
    ),
)  # fmt: skip
