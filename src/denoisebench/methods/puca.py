"""PUCA."""

from typing import Literal

from torch import Tensor

from denoisebench.networks.puca import PUCANetwork
from denoisebench.pixel_shuffled import PixelShuffledDenoiser
from denoisebench.ranges import Count, Positive


class PUCA(PixelShuffledDenoiser):
    """AP-BSN with a U-Net that stays blind while it downsamples, and with channel attention.

    Jang, Park, Jung, Lew, Bae, Yoon: PUCA: Patch-Unshuffle and Channel Attention for Enhanced Self-Supervised Image
    Denoising, NeurIPS 2023, arXiv 2310.10088. Official code: https://github.com/HyemiEsme/PUCA at 45c3ff0.

    Symbols: x -> noisy, f -> network, PD -> `mosaic_down`, on features, R3 -> `refined`.

    channels, features, modules, init: of the network, `PUCANetwork`.
    pd_train, pd: strides of PD in training and at inference; a training patch loses what does not fill a cell.
    refine: R3, random replacing refinement; without it `denoise` draws no random numbers.
    lr, lr_decay: Adam's learning rate; `steps`, a tenth after 8 / 20 and again after 16 / 20 of training (the released
        code), or `linear` to zero.

    Not strictly blind: the channel attention takes means over the whole image, the pixel itself included. For the same
    reason it cannot denoise in tiles: every tile would need the means of the whole image.

    The network works in [0, 255], as released. Sides that are not multiples of `pd` grow by zeros at the bottom and
    right, and so does the mosaic of sub-images to multiples of 8.

    Deviations from the released code: the mask acts in the forward pass only, so masked weights stay as they were drawn;
    images of any size are denoised, not only those with sides that are multiples of 8.
    """

    family = "blind spot"
    tiles = False
    attends_globally = True
    r3_pad = 4

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 128,
        modules: Count = 4,
        init: Literal["default", "he"] = "default",
        pd_train: Count = 4,
        pd: Count = 2,
        refine: bool = True,
        lr: Positive = 1e-4,
        lr_decay: Literal["steps", "linear"] = "steps",
    ) -> None:
        network = PUCANetwork(channels, features, modules, init)
        super().__init__(network, pd_train=pd_train, pd=pd, refine=refine, lr=lr, lr_decay=lr_decay)

    def pd_network(self, x: Tensor, stride: int, tile: int | None = None) -> Tensor:
        return self.network(x, stride)

    def by_tiles(self, x: Tensor, tile: int | None) -> Tensor:
        return self.network(x)
