"""TM-BSN."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import cos, pi
from typing import ClassVar, Literal

import torch
from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.skip_unet import MULTIPLE, REACH, RELEASED, SkipUNet
from denoisebench.networks.triangular import TriangularBSN
from denoisebench.ranges import Between, Count, NonNegative, Number, Positive
from denoisebench.sampling import draw_recharged, draw_window_pairs, random_dihedral, recharged, window_pairs
from denoisebench.tiling import in_tiles, pad_by_reflection

CONSTANT = 2 / 5  # of the first stage: 200,000 of 500,000 steps
FLOOR = 0.01  # of the learning rate at the end of the first stage
OWN_RANGE = 1


class TMBSN(DatasetDenoiser):
    """A network blind to a diamond, the shape in which demosaicing correlates noise; a plain network then imitates it.

    TM-BSN: Triangular-Masked Blind-Spot Network for Real-World Self-Supervised Image Denoising, CVPR 2026,
    arXiv 2604.04484. Official code: https://github.com/parkjun210/TM-BSN at efde5a8.
    The options `apr` and `recharge` are those of APR-RD, AAAI 2025: https://github.com/HYK2017/APRRD at 36df6e0.

    Symbols: x -> noisy, f_h -> `teacher(x, h)`, h -> hole, g -> student, (h1, h2) -> `window_pairs`.

    channels, features, modules: of the `TriangularBSN`; the `SkipUNet` that is its student has the first two.
    hole_train, hole: h of the teacher in training and at inference: it does not see the diamond |dy| + |dx| <= h - 1.
    pad: pixels of reflection round what the teacher denoises, cut off again.
    distill: TM-BSN (D): a second stage teaches the student, which then denoises; else the teacher does.
    switch: the fraction of training at which that stage begins.
    distill_holes: the holes of the frozen teacher's outputs that the student is to match, all of them.
    recharge: each noisy pixel replaces that of one of these outputs, drawn uniformly.
    apr: APR-RD's first stage, on random pairs of adjacent pixels, with this weight of its second term (4 as released);
        null: the L1 distance to the noisy image.
    value_range: 1 or 255, in which the networks work; null: what a given file of weights says, else 1.
    lr, lr_decay: Adam's learning rate; `cosine` (the released code): constant for two fifths of the first stage, then
        down to a hundredth, and in the second stage from its start down to zero; or `linear` to zero in each.

    Deviations from the released code: the second stage is the README's, not the script's, and as long as the first by
    default; the teacher and the student are the last ones, not those that clean images chose; the student denoises without
    the padding of the published rows, which by its README hardly matters; the networks take any size.
    """

    family = "blind spot"
    tiles = True
    staged = True
    released_layouts: ClassVar[tuple[str, ...]] = (str(RELEASED),)

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 48,
        modules: Count = 5,
        hole_train: Number = 5,
        hole: Number = 2,
        pad: Number = 16,
        distill: bool = True,
        switch: Between = 0.5,
        distill_holes: Sequence[Number] = (2, 3, 4, 5, 6),
        recharge: bool = True,
        apr: NonNegative | None = None,
        value_range: Count | None = None,
        lr: Positive = 1e-4,
        lr_decay: Literal["cosine", "linear"] = "cosine",
    ) -> None:
        super().__init__()
        if value_range not in (None, 1, 255):
            raise ValueError(f"method.value_range is 1, 255 or null, got {value_range}")
        if min(hole_train, hole, pad, *distill_holes) < 0 or not distill_holes:
            raise ValueError("method.hole_train, hole, pad and distill_holes are 0 or more, and at least one of the last")
        if not 0 < switch < 1:
            raise ValueError(
                f"method.switch is between 0 and 1, got {switch}; for the first stage alone set method.distill=false"
            )
        self.teacher = TriangularBSN(channels, features, modules)
        self.student = SkipUNet(channels, features) if distill else None
        self.hole_train = hole_train
        self.hole = hole
        self.pad = pad
        self.switch = switch if distill else 1.0
        self.distill_holes = tuple(distill_holes)
        self.recharge = recharge
        self.apr = apr
        self.asked_range = value_range
        self.value_range: Tensor
        self.register_buffer("value_range", torch.tensor(float(value_range or OWN_RANGE)))
        self.lr = lr
        self.lr_decay = lr_decay

    @property
    def blind_networks(self) -> list[Callable[[Tensor], Tensor]]:
        return [partial(self.teacher, hole=self.hole)] if self.hole else []

    @property
    def tags(self) -> tuple[str, ...]:
        told = int(self.value_range)
        return () if told == (self.asked_range or OWN_RANGE) else (f"value_range_{told}",)

    @property
    def training_only(self) -> tuple[str, ...]:
        return () if self.student is None else ("teacher.",)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        x = self.value_range * random_dihedral(noisy)
        return self._teacher_loss(x) if progress < self.switch else self._student_loss(x)

    def _teacher_loss(self, x: Tensor) -> Tensor:
        if self.apr is None:
            return (self.teacher(x, self.hole_train) - x).abs().mean()
        draw = draw_window_pairs(x)
        h1_x, h2_x = window_pairs(x, draw)
        h1_f, h2_f = window_pairs(self.teacher(x, self.hole_train), draw)
        difference = self.teacher(h1_x, self.hole_train) - h2_x
        return difference.abs().mean() + self.apr * (difference - (h1_f - h2_f)).abs().mean()

    def _student_loss(self, x: Tensor) -> Tensor:
        assert self.student is not None
        targets = self._teachers(x)
        if self.recharge:
            targets = recharged(targets, x, draw_recharged(targets))
        return len(targets) * (self.student(x) - targets).abs().mean()  # a sum of means, one for each hole

    @torch.no_grad()
    def _teachers(self, x: Tensor) -> Tensor:
        """What the frozen teacher makes of x with each hole: (holes, N, C, H, W)."""
        outputs = self.teacher.eval().predictions(pad_by_reflection(x, self.pad), self.distill_holes)
        return outputs[..., self.pad : self.pad + x.shape[-2], self.pad : self.pad + x.shape[-1]]

    def learning_rate(self, progress: float) -> float:
        first = progress < self.switch
        passed = progress / self.switch if first else (progress - self.switch) / (1 - self.switch)
        if self.lr_decay == "linear":
            return self.lr * (1 - passed)
        if not first:
            return self.lr * (1 + cos(pi * passed)) / 2
        fallen = max(passed - CONSTANT, 0) / (1 - CONSTANT)
        return self.lr * (FLOOR + (1 - FLOOR) * (1 + cos(pi * fallen)) / 2)

    def denoise(self, noisy: Tensor) -> Tensor:
        x = self.value_range * noisy
        if self.student is not None:
            return in_tiles(self.student, x, self.tile, REACH, MULTIPLE) / self.value_range
        f_h = partial(self.teacher, hole=self.hole)
        denoised = in_tiles(f_h, pad_by_reflection(x, self.pad), self.tile, self.teacher.reach(self.hole))
        height, width = x.shape[-2:]
        return denoised[..., self.pad : self.pad + height, self.pad : self.pad + width] / self.value_range

    def released(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
        if self.student is None:
            return None
        student = RELEASED.renamed(weights, self.student)
        if student is None:
            return None
        value_range = torch.tensor(float(self.asked_range or OWN_RANGE))
        return {f"student.{name}": tensor for name, tensor in student.items()} | {"value_range": value_range}
