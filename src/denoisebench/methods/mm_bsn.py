"""MM-BSN and AM-BSN."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from denoisebench.networks.mmbsn import MultiMaskBSN
from denoisebench.pixel_shuffled import PixelShuffledDenoiser, zeros_to_multiple
from denoisebench.ranges import Count, Fraction, Number, Positive


class MMBSN(PixelShuffledDenoiser):
    """AP-BSN with a network of several masks, so that it is blind to more of the noise that is still correlated after PD.

    Zhang, Zhou, Jiang, Fu: MM-BSN: Self-Supervised Image Denoising for Real-World with Multi-Mask based on Blind-Spot
    Network, CVPR Workshops 2023, arXiv 2304.01598. Official code: https://github.com/dannie125/MM-BSN at 45f09bd.
    AM-BSN (2025) is `method.masks_d2=[centre] method.masks_d3=[diagonals] method.blend=0.2 method.lr=2e-4`:
    https://github.com/wam730/AM-BSN at 141361d, without a training script.

    Symbols: x -> noisy, f -> network, PD -> `mosaic_down`, R3 -> `refined`.

    channels, features, modules, init: of the network, `MultiMaskBSN`.
    masks_d2, masks_d3: the masks of the branches of dilation 2 (3 x 3) and 3 (5 x 5), equally many: centre, antidiagonal,
        diagonal, diagonals (both), row, column.
    pd_train, pd: strides of PD in training and at inference; a training patch loses what does not fill a cell.
    blend: share of the result under PD by `pd_train` in what R3 starts from; the rest is the result under PD by `pd`.
    refine: R3, random replacing refinement; without it `denoise` draws no random numbers.
    lr, lr_decay: Adam's learning rate; `steps`, a tenth after 8 / 30, 16 / 30 and 24 / 30 of training (the released code),
        or `linear` to zero.

    The network works in [0, 255], as released. Sides that are not multiples of a stride grow by zeros at the bottom and right.

    Deviations from the released code: the masks act in the forward pass only, so masked weights stay as they were drawn;
    with R3 images of odd size are returned without their padding.
    """

    family = "blind spot"
    dropped_after = (8 / 30, 16 / 30, 24 / 30)

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 128,
        modules: Number = 7,
        init: Literal["default", "he"] = "default",
        masks_d2: Sequence[str] = ("centre", "antidiagonal"),
        masks_d3: Sequence[str] = ("centre", "antidiagonal"),
        pd_train: Count = 5,
        pd: Count = 2,
        blend: Fraction = 0.0,
        refine: bool = True,
        lr: Positive = 1e-4,
        lr_decay: Literal["steps", "linear"] = "steps",
    ) -> None:
        if not 0 <= blend <= 1:
            raise ValueError(f"method.blend is between 0 and 1, got {blend}")
        network = MultiMaskBSN(channels, features, modules, masks=(masks_d2, masks_d3), init=init)
        super().__init__(network, pd_train=pd_train, pd=pd, refine=refine, lr=lr, lr_decay=lr_decay)
        self.blend = blend

    def denoised_once(self, x: Tensor) -> Tensor:
        once = super().denoised_once(x)
        if self.blend == 0:
            return once
        coarse = self.pd_network(zeros_to_multiple(x, self.pd_train), self.pd_train, self.tile)
        return once.lerp(coarse[..., : x.shape[-2], : x.shape[-1]], self.blend)
