"""The loss of ZS-N2N, which Noise2Detail uses twice."""

from torch import Tensor

from denoisebench.sampling import diagonal_pair


def pair_loss(targets: Tensor, predicted: Tensor, whole: Tensor) -> Tensor:
    """Each sub-image is predicted from the other (residual term), and as in the whole image (consistency term).

    1/2 (|t1 - p2|^2 + |t2 - p1|^2) + 1/2 (|p1 - D1 d|^2 + |p2 - D2 d|^2), where |.|^2 is a mean over all values.

    targets (t1, t2), predicted (p1, p2): (2 N, C, H // 2, W // 2), stacked as `diagonal_pair` (D1, D2) does.
    whole (d): (N, C, H, W), the whole image denoised.
    """
    swapped = predicted.roll(len(predicted) // 2, dims=0)
    return (targets - swapped).square().mean() + (predicted - diagonal_pair(whole)).square().mean()
