"""Structural similarity in three kinds, in float64 on the device of the images."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from denoisebench.scoring.measures.measure import Measure, against_clean, check, parts, room

SSIM_WINDOW = 11
UNIFORM_WINDOW = 7


def _gaussian(size: int, sigma: float) -> list[float]:
    x = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    window = torch.exp(-(x**2) / (2 * sigma**2))
    return (window / window.sum()).tolist()


# Numbers, not tensors: no score reads its window from a device.
GAUSSIAN_TAPS = _gaussian(SSIM_WINDOW, 1.5)
UNIFORM_TAPS = UNIFORM_WINDOW * [1 / UNIFORM_WINDOW]


def _mean_ssim(
    image: Tensor, reference: Tensor, taps: Sequence[float], data_range: float, covariance: float = 1.0,
    mixing: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The mean of the map of each image, a strip of rows at a time.

    taps: of the separable window. mixing: (C, C), of the local means' channels.
    """
    constants = (0.01 * data_range) ** 2 / 2, (0.03 * data_range) ** 2 / (2 * covariance)
    batches = list(parts(1, image, reference))
    images, channels, height, width = batches[0][0].shape
    rows, columns = height - len(taps) + 1, width - len(taps) + 1
    at_once = min(rows, max(len(taps), room(image) // (images * channels * width)))
    # Fresh memory for each part would take longer than the sums in it.
    memory = image.new_empty(2, 4, images, channels, at_once + len(taps) - 1, width, dtype=torch.float64)
    means = []
    for one, other in batches:
        total = image.new_zeros(len(one), dtype=torch.float64)
        for start in range(0, rows, at_once):
            count = min(at_once, rows - start)
            strip = slice(start, start + count + len(taps) - 1)
            planes, spare = memory[:, :, : len(one), :, : count + len(taps) - 1]
            moments = _filtered(_products(one[..., strip, :], other[..., strip, :], planes, *constants), taps, spare)
            if mixing is not None:
                moments = torch.einsum("cd,mndhw->mnchw", mixing, moments)
            total += _quarter_of_map(moments, spare[:2, ..., :count, :columns], taps[0] ** 2, constants[0]).sum(dim=(1, 2, 3))
        means.append(4 * total / (channels * rows * columns))
    return torch.cat(means)


def _products(image: Tensor, reference: Tensor, out: Tensor, half_c1: float, half_c2: float) -> Tensor:
    """x, y, xx + yy + C1 + C2, xy + (C1 + C2) / 2 of two (N, C, H, W), stacked in front.

    `_quarter_of_map` needs these constants; the window, whose sum is 1, leaves them as they are.
    """
    x, y, squares, xy = out
    constant = x.new_tensor(half_c1 + half_c2)
    x.copy_(image)
    y.copy_(reference)
    torch.addcmul(2 * constant, x, x, out=squares).addcmul_(y, y)
    torch.addcmul(constant, x, y, out=xy)
    return out


def _filtered(planes: Tensor, taps: Sequence[float], spare: Tensor) -> Tensor:
    """Each plane of (..., H, W) under the separable window divided by its first tap, both ways; valid region only.

    Sums of shifted planes, in the memory of the planes and of `spare`: in float64 on a CPU, PyTorch's convolution takes
    20 times as long. A first tap of 1 spares a pass.
    """
    for dim in (-2, -1):
        size = planes.shape[dim] - len(taps) + 1
        first, second, *others = (planes.narrow(dim, shift, size) for shift in range(len(taps)))
        total = torch.add(first, second, alpha=taps[1] / taps[0], out=spare.narrow(dim, 0, size))
        for shifted, tap in zip(others, taps[2:], strict=True):
            total.add_(shifted, alpha=tap / taps[0])
        planes, spare = total, planes.narrow(dim, 0, size)
    return planes


def _quarter_of_map(moments: Tensor, spare: Tensor, unit: float, half_c1: float) -> Tensor:
    """A quarter of the map of SSIM from the local means, in units of `unit`, of what `_products` gives.

    (2 mx my + C1) (2 (xy - mx my) + C2) / ((mx mx + my my + C1) (xx + yy - mx mx - my my + C2)), C2 divided by the
    covariance's factor, in half as many passes as it is written in. Works in the memory of the means and in `spare`, two
    such planes.
    """
    mu_x, mu_y, squares, xy = moments
    square = unit**2
    luminance = torch.addcmul(mu_x.new_tensor(half_c1), mu_x, mu_y, value=square, out=spare[0])
    means = torch.addcmul(mu_x.new_tensor(2 * half_c1), mu_x, mu_x, value=square, out=spare[1])
    means.addcmul_(mu_y, mu_y, value=square)
    # Both in that unit, which falls away in their ratio.
    variances, covariances = squares.sub_(means, alpha=1 / unit), xy.sub_(luminance, alpha=1 / unit)
    return luminance.mul_(covariances).div_(means.mul_(variances))


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
    check(image, reference)
    _fits(image, SSIM_WINDOW)
    return _mean_ssim(image, reference, GAUSSIAN_TAPS, data_range)


def ssim_uniform(image: Tensor, reference: Tensor, data_range: float = 1.0) -> Tensor:
    """Structural similarity with a uniform 7 x 7 window and sample covariance: scikit-image's defaults.

    Valid region, mean over positions and channels. Raises: ValueError for images below 7 x 7.
    """
    check(image, reference)
    _fits(image, UNIFORM_WINDOW)
    samples = UNIFORM_WINDOW**2
    return _mean_ssim(image, reference, UNIFORM_TAPS, data_range, samples / (samples - 1))


def ssim_volume(image: Tensor, reference: Tensor, data_range: float = 1.0) -> Tensor:
    """Structural similarity of the volume H x W x C, as MATLAB's `ssim` computes it of a colour image.

    11 x 11 x 11 Gaussian window of standard deviation 1.5 over rows, columns and channels; borders (those of the
    channels too) replicated; population covariance; mean over the whole volume. Any size.
    """
    check(image, reference)
    window, half = torch.tensor(GAUSSIAN_TAPS, dtype=torch.float64), SSIM_WINDOW // 2
    channels = image.shape[1]
    # Replicated borders along three channels make the window a matrix that mixes them.
    source = (torch.arange(channels)[:, None] + torch.arange(-half, half + 1)).clamp(0, channels - 1)
    mixing = torch.zeros(channels, channels, dtype=torch.float64)
    mixing.scatter_add_(1, source, window.expand(channels, -1))
    padded = [F.pad(part, (half, half, half, half), mode="replicate") for part in (image, reference)]
    return _mean_ssim(padded[0], padded[1], GAUSSIAN_TAPS, data_range, mixing=mixing.to(image.device))


def _measure(function: Callable[[Tensor, Tensor], Tensor], least: int) -> Measure:
    return Measure("ssim", "SSIM", "", 4, higher_is_better=True, score=against_clean(function), least=least)


SSIMS = {
    "gaussian": _measure(ssim, SSIM_WINDOW),
    "uniform": _measure(ssim_uniform, UNIFORM_WINDOW),
    "volume": _measure(ssim_volume, 1),
}
