"""Peak signal-to-noise ratio, in float64 on the device of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from denoisebench.scoring.measures.measure import Measure, against_clean, check, parts

if TYPE_CHECKING:
    from torch import Tensor


def psnr(image: Tensor, reference: Tensor, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, over all its channels; infinite for equal images."""
    import torch  # here: reports read names and units of measures, and score nothing

    check(image, reference)
    mse = torch.cat([(one.double() - other).square_().mean(dim=(1, 2, 3)) for one, other in parts(1, image, reference)])
    return 10 * torch.log10(data_range**2 / mse)


PSNR = Measure("psnr", "PSNR", "dB", 2, higher_is_better=True, score=against_clean(psnr), absurd=80.0)
