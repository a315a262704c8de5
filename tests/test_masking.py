from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from denoisebench.masking import (
    beside,
    collected,
    draw_marks,
    draw_neighbor_values,
    grid_phases,
    neighbor_mean,
    window_statistic,
)


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


def numbered(images: int, channels: int, height: int, width: int) -> torch.Tensor:
    """Every pixel its own number."""
    return torch.arange(images * channels * height * width, dtype=torch.float64).reshape(images, channels, height, width)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize(("height", "width", "box"), [(16, 24, 8), (19, 13, 4), (5, 6, 8)])
def test_each_box_has_one_marked_pixel_or_none_where_it_fell_outside(joint: bool, height: int, width: int, box: int) -> None:
    x = numbered(3, 2, height, width)
    marks = draw_marks(x, box, joint)
    assert marks.marked.shape == (3, 1 if joint else 2, height, width)
    for n in range(3):
        for c in range(marks.marked.shape[1]):
            for i in range(0, height, box):
                for j in range(0, width, box):
                    found = marks.marked[n, c, i : i + box, j : j + box].nonzero().tolist()
                    whole = i + box <= height and j + box <= width
                    assert len(found) == 1 or (not whole and not found)
                    at = (n, c, i // box, j // box)
                    if found:
                        assert [marks.rows[at] - i, marks.columns[at] - j] == found[0]
    assert not torch.equal(marks.marked, draw_marks(x, box, joint).marked)


def test_marks_are_uniform_and_differ_between_channels() -> None:
    x = torch.zeros(50, 3, 40, 40)
    marked = draw_marks(x, 4, False).marked
    per_place = F.pixel_unshuffle(marked.float(), 4).unflatten(1, (3, 16)).sum((0, 1, 3, 4)).numpy()
    assert per_place.sum() == 50 * 3 * 100
    assert stats.chisquare(per_place).pvalue > 1e-3
    alike = (marked[:, 0] & marked[:, 1]).sum().item()
    assert alike == pytest.approx(50 * 100 / 16, rel=0.3)


@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("radius", [1, 2, 5])
def test_new_values_come_uniformly_from_the_window_clipped_at_the_border(itself: bool, radius: int) -> None:
    height, width = 9, 7
    x = numbered(1, 2, height, width).expand(3000, -1, -1, -1)
    marks = draw_marks(x, 9, False)
    values = draw_neighbor_values(x, marks, radius, itself).long()[:, :, 0, 0]
    rows, columns = marks.rows[:, :, 0, 0], marks.columns[:, :, 0, 0]
    channel = torch.arange(2)
    assert (values // (height * width) == channel).all()
    down, across = values % (height * width) // width - rows, values % width - columns
    assert down.abs().max() == across.abs().max() == min(radius, 6 if radius > 2 else radius)
    own = (down == 0) & (across == 0)
    assert own.any() == itself
    # All pixels of one window, that of a corner and that of an inner pixel, are as likely.
    for row, column in ((0, 0), (4, 3)):
        here = values[(rows == row) & (columns == column)] % (height * width)
        inside = [
            i * width + j
            for i in range(max(0, row - radius), min(height, row + radius + 1))
            for j in range(max(0, column - radius), min(width, column + radius + 1))
            if itself or (i, j) != (row, column)
        ]
        counts = np.bincount(here.numpy(), minlength=height * width)
        assert counts.sum() == counts[inside].sum() > 20
        assert stats.chisquare(counts[inside]).pvalue > 1e-4


@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("joint", [False, True])
def test_window_statistics_are_those_of_numpy_without_the_pixel(statistic: Any, joint: bool) -> None:
    x = torch.rand(2, 3, 11, 9, dtype=torch.float64)
    marks = draw_marks(x, 3, joint)
    got = marks.spread(window_statistic(x, marks, 2, statistic))
    assert got.shape == x.shape
    for n, c, i, j in marks.marked.expand_as(x).nonzero().tolist():
        window = x[n, c, max(0, i - 2) : i + 3, max(0, j - 2) : j + 3].flatten()
        others = window[window != x[n, c, i, j]].numpy()
        expected = np.mean(others) if statistic == "mean" else np.median(others)
        assert got[n, c, i, j].item() == pytest.approx(expected, rel=1e-12)


def test_beside_is_the_row_the_column_or_both() -> None:
    marked = torch.zeros(1, 1, 7, 9, dtype=torch.bool)
    marked[0, 0, 3, 4] = marked[0, 0, 3, 6] = True
    rows, columns, both = (beside(marked, 2, along) for along in ("rows", "columns", "both"))  # type: ignore[arg-type]
    assert rows.nonzero()[:, 2:].tolist() == [[3, 2], [3, 3], [3, 5], [3, 7], [3, 8]]
    assert columns.nonzero()[:, 2:].tolist() == [[i, j] for i in (1, 2, 4, 5) for j in (4, 6)]
    assert torch.equal(both, rows | columns)
