import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.nn import functional as F

from denoisebench.sampling import (
    bernoulli_mask,
    draw_neighbors,
    draw_permutations,
    draw_pixels,
    merge_subsamples,
    mosaic_down,
    mosaic_up,
    neighbor_subsample,
    pixel_shuffle_down,
    pixel_shuffle_up,
    pixel_subsample,
    random_dihedral,
    random_subsamples,
)
from denoisebench.tiling import in_tiles, pad_by_reflection, pad_to_multiple

CELL = [(0, 0), (0, 1), (1, 0), (1, 1)]
ORDERED_PAIRS = {(p, q) for p in CELL for q in CELL if abs(p[0] - q[0]) + abs(p[1] - q[1]) == 1}


def coordinates(images: int, channels: int, height: int, width: int) -> torch.Tensor:
    # Row + 100 column + 10,000 channel + 1,000,000 image: every pixel is unlike all others and names its place.
    return (
        torch.arange(height).reshape(1, 1, -1, 1)
        + 100 * torch.arange(width).reshape(1, 1, 1, -1)
        + 10_000 * torch.arange(channels).reshape(1, -1, 1, 1)
        + 1_000_000 * torch.arange(images).reshape(-1, 1, 1, 1)
    ).double()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    images=st.integers(1, 3),
    channels=st.integers(1, 4),
    height=st.integers(2, 9),
    width=st.integers(2, 9),
)
def test_the_two_pixels_are_neighbours_in_their_cell(seed: int, images: int, channels: int, height: int, width: int) -> None:
    x = coordinates(images, channels, height, width)
    before = x.clone()
    torch.manual_seed(seed)
    draw = draw_neighbors(x)
    g1, g2 = neighbor_subsample(x, draw)
    assert torch.equal(x, before)
    assert not draw.is_floating_point()
    assert draw.shape == (images, height // 2, width // 2)
    assert draw.min() >= 0
    assert draw.max() <= 7
    assert g1.shape == g2.shape == (images, channels, height // 2, width // 2)
    for n in range(images):
        for i in range(height // 2):
            for j in range(width // 2):
                places = []
                for g in (g1, g2):
                    values = [int(v) for v in g[n, :, i, j].tolist()]
                    # All channels come from the same pixel of this very image.
                    assert [v // 10_000 for v in values] == [100 * n + c for c in range(channels)]
                    assert len({v % 10_000 for v in values}) == 1
                    place = values[0] % 100, values[0] % 10_000 // 100
                    assert (place[0] // 2, place[1] // 2) == (i, j)
                    places.append(place)
                (row1, column1), (row2, column2) = places
                assert abs(row1 - row2) + abs(column1 - column2) == 1


def places_of(draw: int) -> tuple[tuple[int, int], tuple[int, int]]:
    x = coordinates(1, 1, 2, 2)
    first, second = (int(g.item()) for g in neighbor_subsample(x, torch.full((1, 1, 1), draw)))
    return (first % 100, first // 100), (second % 100, second // 100)


def test_the_eight_draws_are_the_eight_ordered_pairs() -> None:
    assert len(ORDERED_PAIRS) == 8
    assert {places_of(draw) for draw in range(8)} == ORDERED_PAIRS


def test_a_draw_means_the_same_pair_in_every_cell() -> None:
    x = coordinates(2, 3, 5, 7)
    for draw in range(8):
        g1, g2 = neighbor_subsample(x, torch.full((2, 2, 3), draw))
        for g, (row, column) in zip((g1, g2), places_of(draw), strict=True):
            assert torch.equal(g, x[:, :, row:4:2, column:6:2])


def test_both_subsamples_together_use_every_pixel_equally() -> None:
    torch.manual_seed(11)
    x = coordinates(1, 1, 2, 2).expand(8000, 1, 2, 2)
    for g in neighbor_subsample(x, draw_neighbors(x)):
        counts = [int((g == value).sum()) for value in (0, 1, 100, 101)]
        assert sum(counts) == 8000
        assert stats.chisquare(counts).pvalue > 1e-3


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), height=st.integers(2, 8), width=st.integers(2, 8), channels=st.integers(1, 3))
def test_equal_draws_pick_equal_positions(seed: int, height: int, width: int, channels: int) -> None:
    torch.manual_seed(seed)
    x = torch.rand(2, channels, height, width, dtype=torch.float64)
    draw = draw_neighbors(x)
    y = 3 * x - 1
    for gx, gy in zip(neighbor_subsample(x, draw), neighbor_subsample(y, draw), strict=True):
        assert torch.equal(gy, 3 * gx - 1)
    # The odd last row and column are never read.
    spoiled = x.clone()
    spoiled[:, :, height // 2 * 2 :] = torch.nan
    spoiled[:, :, :, width // 2 * 2 :] = torch.nan
    for gx, gs in zip(neighbor_subsample(x, draw), neighbor_subsample(spoiled, draw), strict=True):
        assert torch.equal(gx, gs)


def test_gradients_flow_to_the_chosen_pixels_alone() -> None:
    torch.manual_seed(12)
    x = torch.rand(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    draw = draw_neighbors(x)
    g1, g2 = neighbor_subsample(x, draw)
    w1, w2 = torch.rand_like(g1), torch.rand_like(g2)
    (w1 * g1 + w2 * g2).sum().backward()
    expected = torch.zeros_like(x)
    for n in range(2):
        for i in range(2):
            for j in range(3):
                for w, (row, column) in zip((w1, w2), places_of(int(draw[n, i, j])), strict=True):
                    expected[n, :, 2 * i + row, 2 * j + column] = w[n, :, i, j]
    assert x.grad is not None
    assert torch.equal(x.grad, expected)


def test_draws_are_uniform() -> None:
    torch.manual_seed(13)
    draw = draw_neighbors(torch.zeros(4, 3, 200, 200))
    counts = torch.bincount(draw.flatten(), minlength=8)
    assert counts.shape == (8,)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_draws_of_different_cells_are_independent(axis: int) -> None:
    torch.manual_seed(14)
    draw = draw_neighbors(torch.zeros(20, 1, 120, 120))
    size = draw.shape[axis]
    one, other = draw.narrow(axis, 0, size - 1), draw.narrow(axis, 1, size - 1)
    table = torch.bincount((8 * one + other).flatten(), minlength=64)
    assert table.shape == (64,)
    assert stats.chisquare(table.numpy()).pvalue > 1e-3


def test_draws_come_from_the_global_generator() -> None:
    x = torch.zeros(2, 3, 40, 40)
    torch.manual_seed(15)
    first, second = draw_neighbors(x), draw_neighbors(x)
    torch.manual_seed(15)
    assert torch.equal(draw_neighbors(x), first)
    assert torch.equal(draw_neighbors(x), second)
    assert not torch.equal(first, second)


def test_draws_do_not_depend_on_the_channels_or_the_pixels() -> None:
    torch.manual_seed(16)
    draw = draw_neighbors(torch.zeros(2, 1, 9, 8))
    torch.manual_seed(16)
    assert torch.equal(draw_neighbors(torch.full((2, 5, 9, 8), 0.7, dtype=torch.float64)), draw)


@pytest.mark.parametrize(("height", "width"), [(1, 6), (6, 1), (1, 1)])
def test_images_without_a_whole_cell_are_refused(height: int, width: int) -> None:
    x = torch.rand(1, 3, height, width)
    with pytest.raises(ValueError):
        neighbor_subsample(x, torch.zeros(1, height // 2, width // 2, dtype=torch.long))


def reflected(index: int, side: int) -> int:
    # Walk back and forth between the first and the last pixel, never standing still, except where there is only one.
    place, step = 0, 1
    for _ in range(index):
        if side == 1:
            break
        if not 0 <= place + step < side:
            step = -step
        place += step
    return place


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    multiple=st.sampled_from([1, 2, 3, 4, 7, 8, 16, 32]),
    channels=st.integers(1, 3),
)
def test_padding_reflects_back_and_forth(height: int, width: int, multiple: int, channels: int) -> None:
    x = coordinates(2, channels, height, width)
    before = x.clone()
    padded = pad_to_multiple(x, multiple)
    new_height = -(-height // multiple) * multiple
    new_width = -(-width // multiple) * multiple
    assert padded.shape == (2, channels, new_height, new_width)
    assert torch.equal(padded[..., :height, :width], x)
    rows = [reflected(i, height) for i in range(new_height)]
    columns = [reflected(j, width) for j in range(new_width)]
    assert torch.equal(padded, torch.from_numpy(x.numpy()[:, :, rows][:, :, :, columns]))
    assert torch.equal(x, before)
    if new_height - height < height and new_width - width < width:
        assert torch.equal(padded, F.pad(x, (0, new_width - width, 0, new_height - height), mode="reflect"))


@pytest.mark.parametrize("side", [2, 3, 5, 9, 31])
def test_padding_beyond_one_reflection_is_that_of_numpy(side: int) -> None:
    x = torch.rand(1, 1, side, side)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (0, 64 - side), (0, 64 - side)), mode="reflect")
    assert torch.equal(pad_to_multiple(x, 64), torch.from_numpy(expected))


def test_a_single_pixel_is_repeated() -> None:
    x = torch.rand(2, 3, 1, 1)
    assert torch.equal(pad_to_multiple(x, 32), x.expand(2, 3, 32, 32))


@pytest.mark.parametrize(("height", "width"), [(33, 47), (5, 3), (1, 2)])
def test_gradients_of_the_padding_count_the_copies(height: int, width: int) -> None:
    x = torch.zeros(1, 1, height, width, requires_grad=True)
    padded = pad_to_multiple(x, 8)
    padded.sum().backward()
    rows = np.bincount([reflected(i, height) for i in range(padded.shape[2])], minlength=height)
    columns = np.bincount([reflected(j, width) for j in range(padded.shape[3])], minlength=width)
    assert x.grad is not None
    assert torch.equal(x.grad[0, 0], torch.from_numpy(np.outer(rows, columns)).float())


# --- Random sub-samples, one pixel of a cell ---------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    side=st.integers(1, 5), images=st.integers(1, 2), channels=st.integers(1, 3), height=st.integers(5, 16),
    width=st.integers(5, 16),
)  # fmt: skip
def test_random_subsamples_use_each_pixel_of_a_cell_once_for_all_channels(
    side: int, images: int, channels: int, height: int, width: int
) -> None:
    x = coordinates(images, channels, height, width)
    before = x.clone()
    subsamples = random_subsamples(x, draw_permutations(x, side))
    rows, columns = height // side, width // side
    assert subsamples.shape == (side * side, images, channels, rows, columns)
    assert torch.equal(x, before)
    for n in range(images):
        for i in range(rows):
            for j in range(columns):
                cell = {100 * (side * j + b) + side * i + a for a in range(side) for b in range(side)}
                orders = [[int(v) % 10_000 for v in subsamples[:, n, c, i, j].tolist()] for c in range(channels)]
                assert sorted(orders[0]) == sorted(cell)
                assert all(order == orders[0] for order in orders)
                planes = [subsamples[:, n, c, i, j] // 10_000 for c in range(channels)]
                assert all((plane == 100 * n + c).all() for c, plane in enumerate(planes))


@settings(max_examples=15, deadline=None)
@given(side=st.integers(1, 5), height=st.integers(5, 17), width=st.integers(5, 17))
def test_merging_random_subsamples_is_exact(side: int, height: int, width: int) -> None:
    x = coordinates(2, 3, height, width)
    draw = draw_permutations(x, side)
    whole = x[..., : height // side * side, : width // side * side]
    assert torch.equal(merge_subsamples(random_subsamples(x, draw), draw), whole)


def test_permutations_are_uniform_independent_and_from_the_global_generator() -> None:
    torch.manual_seed(20)
    x = torch.zeros(3, 2, 120, 120)
    draw = draw_permutations(x, 2)
    orders = (draw * torch.tensor([64, 16, 4, 1])[:, None, None]).sum(1)
    values, counts = orders.unique(return_counts=True)
    assert len(values) == 24
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    kinds = torch.searchsorted(values, orders)
    for axis in (0, 1, 2):  # images, rows, columns
        one, other = kinds.narrow(axis, 0, kinds.shape[axis] - 1), kinds.narrow(axis, 1, kinds.shape[axis] - 1)
        table = torch.bincount((24 * one + other).flatten(), minlength=576)
        assert stats.chisquare(table.numpy()).pvalue > 1e-3
    torch.manual_seed(20)
    assert torch.equal(draw_permutations(x, 2), draw)
    assert not torch.equal(draw_permutations(x, 2), draw)


@pytest.mark.parametrize(("height", "width", "side"), [(8, 6, 2), (9, 7, 2), (11, 10, 3)])
def test_one_pixel_of_each_cell_is_the_same_for_all_channels(height: int, width: int, side: int) -> None:
    x = coordinates(2, 3, height, width)
    draw = draw_pixels(x, side)
    picked = pixel_subsample(x, draw, side)
    assert picked.shape == (2, 3, height // side, width // side)
    for n in range(2):
        for c in range(3):
            for i in range(height // side):
                for j in range(width // side):
                    a, b = divmod(int(draw[n, i, j]), side)
                    assert picked[n, c, i, j] == x[n, c, side * i + a, side * j + b]


def test_pixels_are_drawn_uniformly() -> None:
    counts = torch.bincount(draw_pixels(torch.zeros(4, 3, 200, 200), 2).flatten(), minlength=4)
    assert counts.shape == (4,)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_cells_that_do_not_fit_are_refused() -> None:
    x = torch.rand(1, 3, 4, 9)
    with pytest.raises(ValueError, match="5 x 5 cell"):
        random_subsamples(x, torch.zeros(1, 25, 0, 1, dtype=torch.long))


# --- Pixel-shuffle downsampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
def test_pixel_shuffle_down_gives_the_sublattices_in_order_and_up_inverts_it(stride: int) -> None:
    x = coordinates(2, 3, 4 * stride, 3 * stride)
    down = pixel_shuffle_down(x, stride)
    assert down.shape == (2 * stride * stride, 3, 4, 3)
    for n in range(2):
        for i in range(stride):
            for j in range(stride):
                assert torch.equal(down[(n * stride + i) * stride + j], x[n, :, i::stride, j::stride])
    assert torch.equal(pixel_shuffle_up(down, stride), x)


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("pad", [0, 1, 2])
def test_the_mosaic_has_the_framed_sublattices_as_tiles_and_its_inverse_drops_the_frames(stride: int, pad: int) -> None:
    x = coordinates(2, 3, 4 * stride, 3 * stride)
    mosaic = mosaic_down(x, stride, pad)
    height, width = 4 + 2 * pad, 3 + 2 * pad
    assert mosaic.shape == (2, 3, stride * height, stride * width)
    for i in range(stride):
        for j in range(stride):
            tile = mosaic[..., i * height : (i + 1) * height, j * width : (j + 1) * width]
            assert torch.equal(tile, F.pad(x[..., i::stride, j::stride], (pad, pad, pad, pad)))
    assert torch.equal(mosaic_up(mosaic, stride, pad), x)
    spoiled = torch.where(mosaic_down(torch.ones_like(x), stride, pad) == 0, torch.nan, mosaic)
    assert torch.equal(mosaic_up(spoiled, stride, pad), x)


def test_sides_that_are_no_multiple_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples"):
        pixel_shuffle_down(torch.rand(1, 3, 5, 4), 2)
    with pytest.raises(ValueError, match="multiples"):
        mosaic_down(torch.rand(1, 3, 4, 5), 2, 2)


# --- Turning and padding by reflection ---------------------------------------------------------------------------


def test_each_of_the_eight_ways_to_turn_a_square_is_as_frequent() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    ways = [torch.rot90(y, turns, (-2, -1)) for turns in range(4) for y in (x, x.flip(-1))]
    turned = random_dihedral(x.expand(4000, 1, 3, 3))
    counts = [int((turned == way).flatten(1).all(1).sum()) for way in ways]
    assert sum(counts) == 4000
    assert stats.chisquare(counts).pvalue > 1e-3


def test_all_channels_of_an_image_turn_together_and_rectangles_keep_their_shape() -> None:
    x = coordinates(64, 3, 5, 5)
    turned = random_dihedral(x)
    assert torch.equal(turned[:, 0] + 10_000, turned[:, 1])
    assert torch.equal(turned.flatten(1).sort(1).values, x.flatten(1).sort(1).values)
    y = torch.arange(6.0).reshape(1, 1, 2, 3).expand(400, 1, 2, 3)
    ways = {tuple(way.flatten().tolist()) for way in random_dihedral(y)}
    assert ways == {tuple(y[0].flip(axes).flatten().tolist()) for axes in ((), (1,), (2,), (1, 2))}


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (3, 2), (7, 9)])
@pytest.mark.parametrize("pad", [0, 2, 8])
def test_padding_on_all_sides_is_that_of_numpy(height: int, width: int, pad: int) -> None:
    x = torch.rand(2, 3, height, width)
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect")
    assert torch.equal(pad_by_reflection(x, pad), torch.from_numpy(expected))


@pytest.mark.parametrize(("size", "expected"), [((1, 65), (64, 96)), ((64, 33), (64, 64))])
def test_padding_reaches_the_least_side(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert pad_to_multiple(torch.rand(1, 1, *size), 32, least=64).shape[-2:] == expected


@pytest.mark.parametrize("drop", [0.0, 1e-4, 0.4, 0.5, 0.9, 1.0])
def test_a_bernoulli_mask_keeps_each_value_by_itself_with_its_probability(drop: float) -> None:
    torch.manual_seed(0)
    kept = bernoulli_mask(torch.empty(4, 3, 150, 151), drop)
    assert kept.dtype == torch.bool
    expected = max(1 - drop, 2**-16)  # at least one of the 2 ** 16 draws is kept
    n = kept.numel()
    assert abs(kept.double().mean().item() - expected) < 5 * (max(expected * (1 - expected), 1e-5) / n) ** 0.5 + 2**-17
    flat = kept.flatten().double()
    if 0.01 < drop < 0.99:
        for lag in range(1, 9):  # four values come out of one draw
            both = (flat[lag:] * flat[:-lag]).mean().item()
            assert abs(both - expected**2) < 5 * (expected**2 / n) ** 0.5, lag


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (3,), (1, 5, 1, 4), (2, 3, 4, 5)])
def test_a_bernoulli_mask_has_the_layout_of_its_model_and_moves_with_the_seed(shape: tuple[int, ...]) -> None:
    layouts = [torch.empty(shape)] + ([torch.empty(shape).to(memory_format=torch.channels_last)] if len(shape) == 4 else [])
    for x in layouts:
        torch.manual_seed(1)
        one, two = bernoulli_mask(x, 0.5), bernoulli_mask(x, 0.5)
        torch.manual_seed(1)
        assert torch.equal(bernoulli_mask(x, 0.5), one)
        assert one.shape == shape
        assert one.stride() == x.stride() or one.is_contiguous() == x.is_contiguous()
        if x.numel() > 30:
            assert not torch.equal(one, two)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 40), width=st.integers(1, 40), tile=st.integers(1, 45), reach=st.integers(0, 4),
    multiple=st.sampled_from([1, 2, 3]),
)  # fmt: skip
def test_tiles_with_what_they_reach_make_the_whole(height: int, width: int, tile: int, reach: int, multiple: int) -> None:
    x = torch.arange(2 * height * width, dtype=torch.float64).view(2, 1, height, width).sin()
    kernel = torch.arange(1, (2 * reach + 1) ** 2 + 1, dtype=torch.float64).view(1, 1, 2 * reach + 1, -1).cos()
    seen: list[tuple[int, int]] = []

    def blocks(part: torch.Tensor) -> torch.Tensor:
        """A filter that reaches so far, scaled by where a pixel stands in its cell: it moves by multiples alone."""
        seen.append(tuple(part.shape[-2:]))  # type: ignore[arg-type]
        place = (torch.arange(part.shape[-2])[:, None] % multiple) + 3 * (torch.arange(part.shape[-1]) % multiple)
        return F.conv2d(part, kernel, padding=reach) * (1 + place)

    whole = blocks(x)
    seen.clear()
    torch.testing.assert_close(in_tiles(blocks, x, tile, reach, multiple), whole, rtol=0, atol=1e-10)
    most = tile + 2 * reach + 3 * multiple
    assert all(max(sides) <= max(most, 1) for sides in seen)
    assert torch.equal(in_tiles(blocks, x, None, reach, multiple), whole)
