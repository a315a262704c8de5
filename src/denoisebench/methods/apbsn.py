"""AP-BSN."""

from typing import Literal

from denoisebench.networks.dbsn import DBSN
from denoisebench.pixel_shuffled import PixelShuffledDenoiser
from denoisebench.ranges import Count, Positive


class APBSN(PixelShuffledDenoiser):
    """A blind-spot network on pixel-shuffled images: a large stride in training, a small one at inference.

    Lee, Son, Lee: AP-BSN: Self-Supervised Denoising for Real-World Images via Asymmetric PD and Blind-Spot Network,
    CVPR 2022, arXiv 2203.11799. Official code: https://github.com/wooseoklee4/AP-BSN at 210013c.

    Symbols: x -> noisy, f -> network, a -> pd_train, b -> pd, PD -> `mosaic_down`, R3 -> `refined`.

    channels, features, modules, init: of the `DBSN`.
    pd_train, pd: strides of PD in training and at inference; a training patch loses what fills no cell.
    refine: R3, random replacing refinement; without it `denoise` draws nothing.
    lr, lr_decay: Adam's learning rate; `steps`, a tenth after 8 / 20 and again after 16 / 20 of training (the released
        code), or `linear` to zero.

    The network works in [0, 255], as released. Sides that are no multiple of `pd` grow by zeros at the bottom and right.

    Deviations from the released code: with R3 it returns an image of odd size with its padding, which is cut here; an
    image so small that reflection does not fit is reflected more than once.
    """

    family = "blind spot"

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 128,
        modules: Count = 9,
        init: Literal["default", "he"] = "default",
        pd_train: Count = 5,
        pd: Count = 2,
        refine: bool = True,
        lr: Positive = 1e-4,
        lr_decay: Literal["steps", "linear"] = "steps",
    ) -> None:
        network = DBSN(channels, features, modules, init=init)
        super().__init__(network, pd_train=pd_train, pd=pd, refine=refine, lr=lr, lr_decay=lr_decay)
