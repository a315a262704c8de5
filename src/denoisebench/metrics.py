"""PSNR and SSIM: pure functions (N, C, H, W), (N, C, H, W) -> (N,), in float64 on the device of the input.

Both take images as they are: clipping and rounding belong to a protocol (`denoisebench.protocol`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW = 11
UNIFORM_WINDOW = 7


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


def _ssim_map(moments: Tensor, data_range: float, covariance: float = 1.0) -> Tensor:
    """The map of SSIM from the local means of x, y, xx, yy, xy, stacked in front."""
    mu_x, mu_y, xx, yy, xy = moments
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mu_x * mu_y + c1) / (mu_x**2 + mu_y**2 + c1)
    variances = covariance * (xx - mu_x**2 + yy - mu_y**2)
    return luminance * (2 * covariance * (xy - mu_x * mu_y) + c2) / (variances + c2)


def _products(image: Tensor, reference: Tensor) -> Tensor:
    return torch.stack([image, reference, image**2, reference**2, image * reference])


def _filtered(planes: Tensor, window: Tensor) -> Tensor:
    """Each plane of (..., H, W) under the separable window, valid region only."""
    flat = planes.reshape(-1, 1, *planes.shape[-2:])
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return flat.view(*planes.shape[:-2], *flat.shape[-2:])


def _fits(image: Tensor, window: int) -> None:
    if min(image.shape[-2:]) < window:
        height, width = image.shape[-2:]
        raise ValueError(f"SSIM needs images of at least {window} x {window}, got {height} x {width}")


def ssim(image: Tensor, reference: Tensor, data_range: float = 1.0) -> Tensor:
    """Structural similarity of each image, as Wang et al. (TIP 2004) and its MATLAB code define it.

    11 x 11 Gaussian window of standard deviation 1.5, valid region only, population covariance, K1 = 0.01,
    K2 = 0.03, mean over positions and channels. Equals scikit-image's `structural_similarity` with
    `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.

    Raises: ValueError for images below 11 x 11, where no window fits.
    """
    image, reference = _as_float64(image, reference)
    _fits(image, SSIM_WINDOW)
    moments = _filtered(_products(image, reference), _gaussian(SSIM_WINDOW, 1.5, image))
    return _ssim_map(moments, data_range).mean(dim=(1, 2, 3))


def ssim_uniform(image: Tensor, reference: Tensor, data_range: float = 1.0) -> Tensor:
    """Structural similarity with a uniform 7 x 7 window and sample covariance: scikit-image's defaults.

    Valid region, mean over positions and channels. Raises: ValueError for images below 7 x 7.
    """
    image, reference = _as_float64(image, reference)
    _fits(image, UNIFORM_WINDOW)
    window = torch.full((UNIFORM_WINDOW,), 1 / UNIFORM_WINDOW, dtype=image.dtype, device=image.device)
    samples = UNIFORM_WINDOW**2
    moments = _filtered(_products(image, reference), window)
    return _ssim_map(moments, data_range, samples / (samples - 1)).mean(dim=(1, 2, 3))


def ssim_volume(image: Tensor, reference: Tensor, data_range: float = 1.0) -> Tensor:
    """Structural similarity of the volume H x W x C, as MATLAB's `ssim` computes it of a colour image.

    11 x 11 x 11 Gaussian window of standard deviation 1.5 over rows, columns and channels; borders (those of the
    channels too) replicated; population covariance; mean over the whole volume. Any size.
    """
    image, reference = _as_float64(image, reference)
    window, half = _gaussian(SSIM_WINDOW, 1.5, image), SSIM_WINDOW // 2
    channels = image.shape[1]
    # Replicated borders along three channels make the window a matrix that mixes them.
    source = (torch.arange(channels)[:, None] + torch.arange(-half, half + 1)).clamp(0, channels - 1).to(image.device)
    mixing = torch.zeros(channels, channels, dtype=image.dtype, device=image.device)
    mixing.scatter_add_(1, source, window.expand(channels, -1))
    padded = [F.pad(part, (half, half, half, half), mode="replicate") for part in (image, reference)]
    moments = torch.einsum("cd,mndhw->mnchw", mixing, _filtered(_products(padded[0], padded[1]), window))
    return _ssim_map(moments, data_range).mean(dim=(1, 2, 3))
