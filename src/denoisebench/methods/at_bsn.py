"""AT-BSN."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import cos, pi
from typing import ClassVar, Literal

import torch
from torch import Tensor

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks import skip_unet
from denoisebench.networks.laine_unet import LEVELS, MULTIPLE, REACH, BlindLaineUNet, Init, LaineUNet, blind_reach, rows_down
from denoisebench.networks.layout import Layout, layers
from denoisebench.ranges import Between, Count, NonNegative, Number, Positive
from denoisebench.sampling import draw_recharged, draw_window_pairs, random_dihedral, recharged, window_pairs
from denoisebench.tiling import in_tiles, pad_by_reflection

OWN_RANGE = 255
RELEASED_RANGE = 1
NEW_IN_STUDENT = f"decoder.{LEVELS - 1}."  # the trunk's last block, which the student does not take over
RELEASED = Layout(
    "student c of AT-BSN, and APR-RD's of 1.00M",
    layers(
        {"unet.intro.conv": "trunk.encoder.0.0", "unet.enc1.conv1.conv": "trunk.encoder.0.2"}
        | {f"unet.enc{level + 1}.conv1.conv": f"trunk.encoder.{level}.0" for level in range(1, LEVELS)}
        | {f"unet.enc{LEVELS + 1}.conv1.conv": "trunk.bottom.0"}
        | {
            f"unet.dec{LEVELS - step}.conv{number + 1}.conv": f"trunk.decoder.{step}.{2 * number}"
            for step in range(LEVELS)
            for number in range(2)
        }
    ),
)


class ATBSN(DatasetDenoiser):
    """A network with a large square blind spot in training and a small one at inference; a plain network then imitates it.

    Chen, Zhang, Yu, Huang: Exploring Efficient Asymmetric Blind-Spots for Self-Supervised Denoising in Real-World
    Scenarios, CVPR 2024, arXiv 2303.16783. Official code: https://github.com/hnmizuho/AT-BSN at 9a72cb1.
    The options `apr` and `recharge` are those of APR-RD, AAAI 2025: https://github.com/HYK2017/APRRD at 36df6e0.

    Symbols: x -> noisy, f_k -> `teacher(x, k)`, k -> hole, g -> student, (h1, h2) -> `window_pairs`.

    channels, features, init: of the `BlindLaineUNet`, and of its student.
    hole_train, hole: k of the teacher in training and at inference: the side of the square that it does not see, or 0.
    pad: pixels of reflection round what the teacher denoises, cut off again.
    distill: AT-BSN (D): a second stage teaches the student, which then denoises; else the teacher does.
    switch: the fraction of training at which that stage begins.
    distill_holes: the holes of the frozen teacher's outputs that the student is to match, all of them.
    distill_patch: side of the middle of each patch that the second stage uses.
    student: `at_bsn`, its student c, which starts from the teacher's trunk; or `tm_bsn`, the `SkipUNet` of TM-BSN and APR-RD.
    student_activation: LeakyReLU after the last convolution of student c too, as released: it shrinks negative outputs.
    recharge: each noisy pixel replaces that of one of the teacher's outputs, drawn uniformly (APR-RD).
    apr: APR-RD's first stage, on random pairs of adjacent pixels, with this weight of its second term (4 as released);
        null: the L1 distance to the noisy image.
    value_range: 1 or 255, in which the networks work; null: what a given file of weights says, else 255. Released files
        do not say: APR-RD's work in 1, which null assumes, AT-BSN's own in 255.
    lr, lr_decay: Adam's learning rate, in each stage from its start down to zero: `cosine` (the released code) or `linear`.

    Deviations from the released code: all 8 flips and quarter turns, not 4; one pass of the teacher's trunk serves all
    holes; the teacher and the student are the last ones, not those that clean images chose; the last convolution of student c
    starts with gain 1; the networks take any size.
    """

    family = "blind spot"
    tiles = True
    staged = True
    released_layouts: ClassVar[tuple[str, ...]] = (
        f"{RELEASED} with method.student=at_bsn",
        f"{skip_unet.RELEASED} with method.student=tm_bsn",
    )

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 48,
        init: Init = "leaky_he",
        hole_train: Number = 9,
        hole: Number = 3,
        pad: Number = 0,
        distill: bool = True,
        switch: Between = 0.8,
        distill_holes: Sequence[Number] = (0, 1, 3, 5, 7, 9, 11),
        distill_patch: Count = 128,
        student: Literal["at_bsn", "tm_bsn"] = "at_bsn",
        student_activation: bool = True,
        recharge: bool = False,
        apr: NonNegative | None = None,
        value_range: Count | None = None,
        lr: Positive = 3e-4,
        lr_decay: Literal["cosine", "linear"] = "cosine",
    ) -> None:
        super().__init__()
        if value_range not in (None, 1, 255):
            raise ValueError(f"method.value_range is 1, 255 or null, got {value_range}")
        if student not in ("at_bsn", "tm_bsn"):
            raise ValueError(f"method.student is at_bsn or tm_bsn, got {student!r}")
        if pad < 0 or distill_patch < 1 or not distill_holes:
            raise ValueError("method.pad is 0 or more, method.distill_patch 1 or more, and there is one of method.distill_holes")
        if not 0 < switch < 1:
            raise ValueError(f"method.switch is between 0 and 1, got {switch}; without a second stage: method.distill=false")
        for k in (hole_train, hole, *distill_holes):
            rows_down(k)
        self.teacher = BlindLaineUNet(channels, features, init=init)
        self.student: LaineUNet | skip_unet.SkipUNet | None = None
        if distill and student == "at_bsn":
            self.student = LaineUNet(channels, features, head="none", last_activation=student_activation, init=init)
        elif distill:
            self.student = skip_unet.SkipUNet(channels, features)
        self.hole_train = hole_train
        self.hole = hole
        self.pad = pad
        self.switch = switch if distill else 1.0
        self.distill_holes = tuple(distill_holes)
        self.distill_patch = distill_patch
        self.recharge = recharge
        self.apr = apr
        self.asked_range = value_range
        self.value_range: Tensor
        self.register_buffer("value_range", torch.tensor(float(value_range or OWN_RANGE)))
        self.student_started: Tensor
        self.register_buffer("student_started", torch.tensor(False))
        self._known_started = False  # spares asking the buffer in each step
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
        return () if self.student is None else ("teacher.", "student_started")

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        x = self.value_range * random_dihedral(noisy)
        return self._teacher_loss(x) if progress < self.switch else self._student_loss(_middle(x, self.distill_patch))

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
        self._start_student()
        targets = self._teachers(x)
        if self.recharge:
            targets = recharged(targets, x, draw_recharged(targets))
        return len(targets) * (self.student(x) - targets).abs().mean()  # a sum of means, one for each hole

    @torch.no_grad()
    def _teachers(self, x: Tensor) -> Tensor:
        """What the frozen teacher makes of x with each hole: (holes, N, C, H, W)."""
        views = self.teacher.eval().trunk(pad_by_reflection(x, self.pad))
        outputs = torch.stack([self.teacher.at_hole(views, hole) for hole in self.distill_holes])
        return outputs[..., self.pad : self.pad + x.shape[-2], self.pad : self.pad + x.shape[-1]]

    @torch.no_grad()
    def _start_student(self) -> None:
        """Once in a training: the teacher's trunk becomes the student's, but for its last block.

        Whether a checkpoint's student had started is asked on the device: no step waits for it.
        """
        if self._known_started:
            return
        if isinstance(self.student, LaineUNet):
            theirs = dict(self.teacher.unet.named_parameters())
            for name, parameter in self.student.trunk.named_parameters():
                if not name.startswith(NEW_IN_STUDENT):
                    parameter.copy_(torch.where(self.student_started, parameter, theirs[name]))
        self.student_started.fill_(True)
        self._known_started = True

    def learning_rate(self, progress: float) -> float:
        first = progress < self.switch
        passed = progress / self.switch if first else (progress - self.switch) / (1 - self.switch)
        return self.lr * ((1 - passed) if self.lr_decay == "linear" else (1 + cos(pi * passed)) / 2)

    def denoise(self, noisy: Tensor) -> Tensor:
        x = self.value_range * noisy
        if self.student is not None:
            reach = REACH if isinstance(self.student, LaineUNet) else skip_unet.REACH
            return in_tiles(self.student, x, self.tile, reach, MULTIPLE) / self.value_range
        f_k = partial(self.teacher, hole=self.hole)
        denoised = in_tiles(f_k, pad_by_reflection(x, self.pad), self.tile, blind_reach(self.hole), MULTIPLE)
        height, width = x.shape[-2:]
        return denoised[..., self.pad : self.pad + height, self.pad : self.pad + width] / self.value_range

    def released(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
        if self.student is None:
            return None
        layout = RELEASED if isinstance(self.student, LaineUNet) else skip_unet.RELEASED
        student = layout.renamed(weights, self.student)
        if student is None:
            return None
        value_range = torch.tensor(float(self.asked_range or RELEASED_RANGE))
        return {f"student.{name}": tensor for name, tensor in student.items()} | {"value_range": value_range}


def _middle(x: Tensor, side: int) -> Tensor:
    """The middle of each image, side x side or what there is of it."""
    height, width = (min(side, length) for length in x.shape[-2:])
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
