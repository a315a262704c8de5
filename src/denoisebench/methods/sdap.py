"""SDAP."""

from typing import Literal

from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.dbsn import DBSN
from denoisebench.ranges import Count, Positive
from denoisebench.sampling import draw_permutations, pixel_shuffle_down, pixel_shuffle_up, random_dihedral, random_subsamples
from denoisebench.tiling import in_tiles, pad_to_multiple

FIRST_STAGE = 15 / 25  # 15 of the paper's 15 + 10 epochs


class SDAP(DatasetDenoiser):
    """A blind-spot network denoises random sub-images of a noisy image; each output is trained to match the next sub-image.

    Pan, Liu, Liao, Cao, Ren: Random Sub-Samples Generation for Self-Supervised Real Image Denoising, ICCV 2023,
    arXiv 2307.16825. Official code: https://github.com/p1y2z3/SDAP at 1f415a0.

    Symbols: y -> noisy, f -> network, s -> subsample, RSG -> `random_subsamples`.

    channels, features, modules, init: of the `DBSN`.
    subsample: s, the side of the cells of RSG; a training patch loses what fills no cell.
    pd: stride of the pixel-shuffle downsampling at inference. Sides that are no multiple of it grow by reflection.
    enhance: (E), f once more on the result at full resolution.
    lr, lr_decay: Adam's learning rate; `constant` (the released code), `linear` to zero, or `two_stages` (the paper):
        a tenth of it after 15 / 25 of training.

    (S), transductive training, is no option of the method: give the noisy test images to `train_set`, and rows say so.

    Deviations from the released code: RSG and f work on all sub-images at once, with PyTorch's random numbers; any
    size is denoised. From the paper: the second stage goes on from the last weights, not from those that clean
    images chose, and keeps the patch and batch of the first.
    """

    family = "blind spot"
    tiles = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 128,
        modules: Count = 9,
        init: Literal["default", "he"] = "default",
        subsample: Count = 5,
        pd: Count = 2,
        enhance: bool = False,
        lr: Positive = 1e-4,
        lr_decay: Literal["constant", "linear", "two_stages"] = "constant",
    ) -> None:
        super().__init__()
        if subsample < 2 or pd < 1:
            raise ValueError(f"method.subsample is 2 or more and method.pd 1 or more, got {subsample} and {pd}")
        self.network = DBSN(channels, features, modules, init=init)
        self.subsample = subsample
        self.pd = pd
        self.enhance = enhance
        self.lr = lr
        self.lr_decay = lr_decay

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        y = random_dihedral(noisy)
        y_sub = random_subsamples(y, draw_permutations(y, self.subsample))
        f_sub = self.network(y_sub.flatten(0, 1)).view_as(y_sub)
        # A sum of s * s means over one sub-image each; the last one is to match the first.
        return len(y_sub) * (f_sub - y_sub.roll(-1, dims=0)).abs().mean()

    def learning_rate(self, progress: float) -> float:
        if self.lr_decay == "linear":
            return self.lr * (1 - progress)
        return self.lr * (0.1 if self.lr_decay == "two_stages" and progress >= FIRST_STAGE else 1.0)

    def denoise(self, noisy: Tensor) -> Tensor:
        height, width = noisy.shape[-2:]
        y_sub = pixel_shuffle_down(pad_to_multiple(noisy, self.pd), self.pd)
        denoised = pixel_shuffle_up(self._by_tiles(y_sub), self.pd)[..., :height, :width]
        return self._by_tiles(denoised) if self.enhance else denoised

    def _by_tiles(self, x: Tensor) -> Tensor:
        return in_tiles(self.network, x, self.tile, self.network.reach)
