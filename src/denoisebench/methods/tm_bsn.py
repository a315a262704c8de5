"""TM-BSN."""

from collections.abc import Mapping, Sequence
from functools import partial
from math import cos, pi
from typing import ClassVar, Literal

import torch
from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.skip_unet import MULTIPLE, REACH, RELEASED, SkipUNet
from denoisebench.networks.triangular import TriangularBSN
from denoisebench.sampling import (
    draw_recharged,
    draw_window_pairs,
    in_tiles,
    pad_by_reflection,
    random_dihedral,
    recharged,
    window_pairs,
)

CONSTANT = 2 / 5  # of the first stage: 200,000 of 500,000 steps
FLOOR = 0.01  # of the learning rate at the end of the first stage
OWN_RANGE = 1


class TMBSN(DatasetDenoiser):
    """A network blind to a diamond, the shape of noise that demosaicing correlated; then a plain student of it.

    Park, Kim, Cho: TM-BSN: Triangular-Masked Blind-Spot Network for Real-World Self-Supervised Image Denoising,
    CVPR 2026, arXiv 2604.04484. Official code: https://github.com/parkjun210/TM-BSN at efde5a8.
    The options `apr` and `recharge` are those of APR-RD, AAAI 2025: https://github.com/HYK2017/APRRD at 36df6e0.

    Symbols: x -> noisy, f_h -> `teacher(x, h)`, h -> hole, g -> student, (h1, h2) -> `window_pairs`.

    channels, features, modules: of the `TriangularBSN`; the student has the first two.
    hole_train, hole: h, of the diamond |dy| + |dx| <= h - 1, in training and at inference of the teacher.
    pad: reflection round what the teacher denoises, in pixels, cut off again.
    distill: TM-BSN (D), a second stage in which the student learns from the frozen teacher; else the teacher denoises.
    switch: the fraction of training after which that stage begins.
    distill_holes: the teacher's holes in the second stage; the student is to match each.
    recharge: each noisy pixel takes the place of one of these targets, drawn uniformly.
    apr, apr_weight: the first stage's loss is APR-RD's, on random pairs of adjacent pixels, with this weight of its
        second term, instead of the L1 distance to the noisy image itself.
    value_range: of the networks, 1 or 255; null is what a given file of weights says, and else 1.
    lr, lr_decay: Adam's learning rate; `cosine` (the released code): constant for two fifths of the first stage, down
        to a hundredth, and in the second stage from its start down to zero; or `linear` to zero in each.

    Deviations from the released code: the schedule of the second stage is the README's (as long as the first, batch of
    the first), not that of the script; the teacher is the last one, not that which clean images chose; networks
    take any size.
    """

    tiles = True
    staged = True
    released_layouts: ClassVar[tuple[str, ...]] = (RELEASED.told,)

    def __init__(
        self,
        channels: int = 3,
        features: int = 48,
        modules: int = 5,
        hole_train: int = 5,
        hole: int = 2,
        pad: int = 16,
        distill: bool = True,
        switch: float = 0.5,
        distill_holes: Sequence[int] = (2, 3, 4, 5, 6),
        recharge: bool = True,
        apr: bool = False,
        apr_weight: float = 4.0,
        value_range: int | None = None,
        lr: float = 1e-4,
        lr_decay: Literal["cosine", "linear"] = "cosine",
    ) -> None:
        super().__init__()
