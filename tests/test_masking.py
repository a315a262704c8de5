import pytest
import torch
from torch.nn import functional as F

from denoisebench.masking import collected, grid_phases, neighbor_mean


def test_the_neighbor_mean_is_the_fixed_convolution_and_never_sees_its_pixel() -> None:
    x = torch.rand(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    kernel = torch.tensor([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]], dtype=torch.float64).expand(3, 1, 3, 3) / 6
    torch.testing.assert_close(neighbor_mean(x), F.conv2d(x, kernel, padding=1, groups=3), rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(neighbor_mean(x)[0, 1, 2, 3], x)
    assert gradient[0, 1, 2, 3] == 0
    assert gradient[0, 0].abs().max() == 0
    ones = neighbor_mean(torch.ones(1, 1, 4, 4, dtype=torch.float64))[0, 0]
    assert ones[1, 1].item() == pytest.approx(1)
    assert ones[0, 1].item() == pytest.approx(2 / 3)
    assert ones[0, 0].item() == pytest.approx(5 / 12)


@pytest.mark.parametrize(("height", "width", "side"), [(8, 12, 4), (5, 7, 4), (9, 3, 3)])
def test_phases_partition_each_cell(height: int, width: int, side: int) -> None:
    x = torch.rand(1, 1, height, width)
    by_row, by_column = grid_phases(x, side), grid_phases(x, side, "column")
    for row in range(height):
        for column in range(width):
            assert by_row[row, column] == row % side * side + column % side
            assert by_column[row, column] == column % side * side + row % side
    assert sorted(by_row[:side, :side].flatten().tolist()) == list(range(side * side))[: side * side]


def test_collecting_takes_each_pixel_from_the_copy_of_its_phase() -> None:
    copies = torch.rand(9, 2, 3, 7, 5)
    phases = grid_phases(copies[0], 3)
    got = collected(copies, phases)
    for row in range(7):
        for column in range(5):
            assert torch.equal(got[..., row, column], copies[int(phases[row, column]), ..., row, column])
