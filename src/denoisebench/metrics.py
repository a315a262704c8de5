"""PSNR and SSIM: pure functions (N, C, H, W), (N, C, H, W) -> (N,), in float64 on the device of the input.

Both take images as they are: clipping and rounding belong to a protocol (`denoisebench.protocol`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW = 11


def _as_float64(image: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    if image.ndim != 4 or image.shape != reference.shape:
        raise ValueError(f"expected two images of one shape (N, C, H, W), got {tuple(image.shape)} and {tuple(reference.shape)}")
    return image.double(), reference.double()


def psnr(image: Tensor, reference: Tensor, data_range: float = 1.0) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, over all its channels; infinite for equal images."""
    image, reference = _as_float64(image, reference)
    mse = (image - reference).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(data_range**2 / mse)


def _gaussian(size: int, sigma: float, like: Tensor) -> Tensor:
    x = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    window = torch.exp(-(x**2) / (2 * sigma**2))
    return window / window.sum()


def ssim(image: Tensor, reference: Tensor, data_range: float = 1.0) -> Tensor:
    """Structural similarity of each image, as Wang et al. (TIP 2004) and its MATLAB code define it.

    11 x 11 Gaussian window of standard deviation 1.5, valid region only, population covariance, K1 = 0.01,
    K2 = 0.03, mean over positions and channels. Equals scikit-image's `structural_similarity` with
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.

    Raises: ValueError for images below 11 x 11, where no window fits.
    """
    image, reference = _as_float64(image, reference)
    n, channels, height, width = image.shape
    if min(height, width) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs images of at least {SSIM_WINDOW} x {SSIM_WINDOW}, got {height} x {width}")
    window = _gaussian(SSIM_WINDOW, 1.5, image)
    moments = torch.stack([image, reference, image**2, reference**2, image * reference])
    planes = moments.reshape(-1, 1, height, width)
    planes = F.conv2d(F.conv2d(planes, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    mu_x, mu_y, xx, yy, xy = planes.view(5, n, channels, *planes.shape[-2:])
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    structure = (2 * (xy - mu_x * mu_y) + c2) / (xx - mu_x**2 + yy - mu_y**2 + c2)
    return (luminance * structure).mean(dim=(1, 2, 3))
