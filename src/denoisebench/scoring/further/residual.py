"""Measures of what was taken away, noisy - denoised: they need no clean image, so DND and own photographs have them too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from denoisebench.scoring.further.measure import Further

if TYPE_CHECKING:
    from torch import Tensor

LAGS = 4
NOISY: frozenset[Literal["clean", "noisy"]] = frozenset({"noisy"})
TREATS = "the noisy image unclipped, the output as its protocol takes it; gray and small images as any other"


def _residual(denoised: Tensor, noisy: Tensor | None) -> Tensor:
    """Centred in each channel."""
    assert noisy is not None
    left = noisy.double() - denoised.double()
    return left - left.mean(dim=(2, 3), keepdim=True)


def residual_std(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
    """Standard deviation of the residual on the 0-255 scale: near the noise's own where only noise was removed."""
    return 255 * _residual(denoised, noisy).square().mean(dim=(1, 2, 3)).sqrt()


def residual_autocorrelation(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
    """The largest absolute autocorrelation of the residual at the lags up to 3 pixels but (0, 0); NaN without a residual.

    White noise alone leaves about 0; structure that was removed, or noise that is correlated itself, leaves more.
    """
    left = _residual(denoised, noisy)
    variance = left.square().mean(dim=(1, 2, 3))
    height, width = left.shape[-2:]
    lags = [
        (dy, dx) for dy in range(min(LAGS, height)) for dx in range(1 - min(LAGS, width), min(LAGS, width)) if (dy, dx) > (0, 0)
    ]
    if not lags:
        return variance * math.nan
    import torch

    return torch.stack([_product(left, dy, dx) for dy, dx in lags]).div(variance).abs().amax(dim=0)


def _product(left: Tensor, dy: int, dx: int) -> Tensor:
    """The mean of the residual times itself, shifted by (dy down, dx right)."""
    height, width = left.shape[-2:]
    one = left[..., : height - dy, max(-dx, 0) : width - max(dx, 0)]
    other = left[..., dy:, max(dx, 0) : width + min(dx, 0)]
    return (one * other).mean(dim=(1, 2, 3))


def residual_image_correlation(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
    """The absolute correlation of the residual with the denoised image, channels centred apart; NaN where one is constant."""
    left = _residual(denoised, noisy)
    image = denoised.double() - denoised.double().mean(dim=(2, 3), keepdim=True)
    norms = left.square().sum(dim=(1, 2, 3)) * image.square().sum(dim=(1, 2, 3))
    return (left * image).sum(dim=(1, 2, 3)).abs() / norms.sqrt()


RESIDUALS = (
    Further(
        "residual_std", "residual std (0-255)", "", 2, higher_is_better=False, score=residual_std, needs=NOISY,
        directed=False, range="0 and more", licence="denoisebench", library="denoisebench", treats=TREATS,
    ),
    Further(
        "residual_autocorrelation", "residual autocorrelation", "", 3, higher_is_better=False,
        score=residual_autocorrelation, needs=NOISY, range="0 to 1", licence="denoisebench", library="denoisebench",
        treats=TREATS,
    ),
    Further(
        "residual_image_correlation", "residual-image correlation", "", 3, higher_is_better=False,
        score=residual_image_correlation, needs=NOISY, range="0 to 1", licence="denoisebench", library="denoisebench",
        treats=TREATS,
    ),
)  # fmt: skip
