"""Training steps of four methods as a user would write them in plain PyTorch from the papers' equations.

Each loss takes noisy patches (N, C, S, S), with S a multiple of 32, and uses copies of our networks' weights. Convolutions come
from the same modules; what the methods do around them is written out here: how images are turned, shifted and masked, how often
a network runs, and the terms of the loss. Nothing of `denoisebench.sampling`, `masking` or `methods` is used.
"""

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from references import turn_each

CELL = 4


def plain(network: nn.Module) -> nn.Module:
    """A copy with the memory layout that networks have by default."""
    return copy.deepcopy(network).to(memory_format=torch.contiguous_format)


class ZSN2N:
    """Both halves of the image predict each other, and their outputs are to be the halves of the output for the image."""

    def __init__(self, layers: nn.Sequential) -> None:
        first, second, last = (copy.deepcopy(layer) for layer in layers if isinstance(layer, nn.Conv2d))
        self.network = nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), last)

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.network.parameters()

    def loss(self, noisy: Tensor) -> Tensor:
        noisy1, noisy2 = self.halves(noisy)
        clean1, clean2 = noisy1 - self.network(noisy1), noisy2 - self.network(noisy2)
        residual = F.mse_loss(clean1, noisy2) + F.mse_loss(clean2, noisy1)
        half1, half2 = self.halves(noisy - self.network(noisy))
        consistency = F.mse_loss(clean1, half1) + F.mse_loss(clean2, half2)
        return residual / 2 + consistency / 2

    @staticmethod
    def halves(x: Tensor) -> tuple[Tensor, Tensor]:
        """The means of the two diagonals of each 2 x 2 cell, by strided convolutions of single channels."""
        diagonals = x.new_tensor([[[0, 0.5], [0.5, 0]], [[0.5, 0], [0, 0.5]]])
        channels = x.shape[1]
        one, other = (F.conv2d(x, kernel.expand(channels, 1, 2, 2), stride=2, groups=channels) for kernel in diagonals)
        return one, other


class Blind2Unblind:
    """Masks are made one by one, all masked copies are one batch, and each copy gives its masked pixels."""

    def __init__(self, network: nn.Module, visibility: float, blind_weight: float) -> None:
        self.network, self.visibility, self.blind_weight = plain(network), visibility, blind_weight

    def parameters(self) -> Iterator[nn.Parameter]:
        return self.network.parameters()

    def loss(self, noisy: Tensor) -> Tensor:
        masks = self.masks(noisy)
        mean = self.neighbours(noisy)
        inputs = [noisy * (1 - mask) + mean * mask for mask in masks]
        outputs = self.network(torch.cat(inputs)).chunk(len(masks))
        blind = sum((output * mask for output, mask in zip(outputs, masks, strict=True)), torch.zeros_like(noisy))
        with torch.no_grad():
            visible = self.network(noisy)
        revisible = (blind - noisy) + self.visibility * (visible - noisy)
        return revisible.pow(2).mean() + self.blind_weight * (blind - noisy).pow(2).mean()

    @staticmethod
    def masks(x: Tensor) -> list[Tensor]:
        masks = []
        for place in range(CELL * CELL):
            mask = torch.zeros_like(x)
            mask[..., place // CELL :: CELL, place % CELL :: CELL] = 1
            masks.append(mask)
        return masks

    @staticmethod
    def neighbours(x: Tensor) -> Tensor:
        kernel = x.new_tensor([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]])
        channels = x.shape[1]
        return F.conv2d(x, (kernel / kernel.sum()).expand(channels, 1, 3, 3), padding=1, groups=channels)


class Distilled:
    """A blind teacher, one for each hole, and the student that learns from all of them."""

    value_range = 1

    def __init__(self, trunk: nn.Module, head: nn.Module, student: nn.Module, hole: int, holes: Sequence[int]) -> None:
        self.trunk, self.head, self.student = plain(trunk), plain(head), plain(student)
        self.hole, self.holes = hole, holes
        self.turned: Callable[[Tensor], Tensor] = turn_each

    def of_teacher(self) -> list[nn.Parameter]:
        return [*self.trunk.parameters(), *self.head.parameters()]

    def of_student(self) -> list[nn.Parameter]:
        return list(self.student.parameters())

    def teacher(self, x: Tensor, hole: int) -> Tensor:
        raise NotImplementedError

    def teacher_loss(self, noisy: Tensor) -> Tensor:
        x = self.value_range * self.turned(noisy)
        return F.l1_loss(self.teacher(x, self.hole), x)


class ATBSN(Distilled):
    """The teacher sees four turned images as one batch; for a student it runs once for each hole."""

    value_range = 255

    def teacher(self, x: Tensor, hole: int) -> Tensor:
        features = self.trunk(torch.cat([torch.rot90(x, turn, (2, 3)) for turn in range(4)]))
        rows = (hole + 1) // 2
        shifted = F.pad(features, (0, 0, rows, 0))[:, :, : features.shape[2]]
        back = [torch.rot90(part, -turn, (2, 3)) for turn, part in enumerate(shifted.chunk(4))]
        return self.head(torch.cat(back, dim=1))

    def student_loss(self, noisy: Tensor) -> Tensor:
        x = self.value_range * self.turned(noisy)
        with torch.no_grad():
            targets = [self.teacher(x, hole) for hole in self.holes]
        output = self.student(x)
        return sum((F.l1_loss(output, target) for target in targets), x.new_zeros(()))


class TMBSN(Distilled):
    """As `ATBSN`, blind to a diamond; each noisy pixel is put back into one of the targets, drawn at random."""

    def __init__(self, trunk: nn.Module, head: nn.Module, student: nn.Module, hole: int, holes: Sequence[int], pad: int) -> None:
        super().__init__(trunk, head, student, hole, holes)
        self.pad = pad

    def teacher(self, x: Tensor, hole: int) -> Tensor:
        features = self.trunk(torch.cat([torch.rot90(x, -turn, (2, 3)) for turn in range(4)]))
        size = features.shape[2]
        down = F.pad(features, (0, 0, hole, 0))[:, :, :size]
        left = F.pad(features, (0, hole, 0, 0))[:, :, :, hole:]
        both = torch.cat([down, left], dim=1).chunk(4)
        return self.head(torch.cat([torch.rot90(part, turn, (2, 3)) for turn, part in enumerate(both)], dim=1))

    def student_loss(self, noisy: Tensor) -> Tensor:
        x = self.turned(noisy)
        framed = F.pad(x, (self.pad,) * 4, mode="reflect")
        with torch.no_grad():
            targets = [F.pad(self.teacher(framed, hole), (-self.pad,) * 4) for hole in self.holes]
        chosen = torch.randint(len(targets), (len(x), *x.shape[2:]), device=x.device)[:, None]
        output = self.student(x)
        recharged = (torch.where(chosen == place, x, target) for place, target in enumerate(targets))
        return sum((F.l1_loss(output, target) for target in recharged), x.new_zeros(()))
