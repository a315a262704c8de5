"""The mean colour difference CIEDE2000 of scikit-image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from denoisebench.scoring.further.measure import Further, in_colour

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


def ciede2000(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
    """The mean over pixels of the difference between sRGB colours, in float64; computed on the CPU."""
    import torch
    from skimage.color import deltaE_ciede2000

    assert clean is not None
    pairs = zip(_lab(denoised), _lab(clean), strict=True)
    return denoised.new_tensor([float(deltaE_ciede2000(one, other).mean()) for one, other in pairs], dtype=torch.float64)


def _lab(images: Tensor) -> list[np.ndarray]:
    from skimage.color import rgb2lab

    return [rgb2lab(image) for image in in_colour(images.clamp(0, 1).double()).permute(0, 2, 3, 1).cpu().numpy()]


CIEDE2000 = Further(
    "ciede2000", "CIEDE2000", "", 3, higher_is_better=False, score=ciede2000, range="0 and more", licence="BSD-3-Clause",
    library="scikit-image", treats="values clipped to [0, 1]; gray as three equal channels; any size",
)  # fmt: skip
