"""Peak signal-to-noise ratio, in float64 on the device of the images."""

import torch
from torch import Tensor

from denoisebench.scoring.measures.measure import Measure, against_clean, check, parts


def psnr(image: Tensor, reference: Tensor, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, over all its channels; infinite for equal images."""
    check(image, reference)
    mse = torch.cat([(one.double() - other).square_().mean(dim=(1, 2, 3)) for one, other in parts(1, image, reference)])
    return 10 * torch.log10(data_range**2 / mse)


PSNR = Measure("psnr", "PSNR", "dB", 2, higher_is_better=True, score=against_clean(psnr), absurd=80.0)
