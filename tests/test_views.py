"""What methods see: the fixed noisy views of an evaluation, and the patches of training, as functions of their seeds alone."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from denoisebench.batch import Batch
from denoisebench.datasets import views
from denoisebench.datasets.datamodule import DataModule, TrainingData
from denoisebench.datasets.fitting import impossible, no_target, too_small
from denoisebench.datasets.folder import Folder
from denoisebench.datasets.images import ImageSet
from denoisebench.datasets.reading import to_unit
from denoisebench.datasets.training import Training
from denoisebench.datasets.views import NoisyViews, Patches, TrainSteps, fixed_view
from denoisebench.noise import Camera, Gaussian, NoiseModel, Poisson, Real

NOISES = [Gaussian(sigma=25), Poisson(lam=30), Camera()]
# The columns of an image differ by STEP in red, its rows in green, and the images in blue: a pixel tells where it is from.
STEP = 1000


class Memory(ImageSet):
    """Images that are given, instead of read."""

    def __init__(
        self, clean: dict[str, np.ndarray] | None = None, *, noisy: dict[str, np.ndarray] | None = None, name: str = "memory"
    ) -> None:
        given = clean or noisy or {}
        self.arrays = {"clean": clean, "noisy": noisy}
        self.name, self.names = name, tuple(given)
        self.channels = next(iter(given.values())).shape[2]
        self.has_clean, self.has_noisy = clean is not None, noisy is not None

    def _array(self, kind: str, index: int) -> np.ndarray:
        arrays = self.arrays[kind]
        assert arrays is not None, f"asked for {kind} images, which this set has not"
        return arrays[self.names[index]].copy()

    def clean(self, index: int) -> np.ndarray:
        return self._array("clean", index)

    def noisy(self, index: int) -> np.ndarray:
        return self._array("noisy", index)

    @property
    def fingerprint(self) -> str:
        return "0" * 16

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(self.names)


def coordinates(height: int, width: int, index: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns * STEP, rows * STEP, np.full_like(rows, index * STEP)], axis=2).astype(np.uint16)


SIZES = [(20, 31), (25, 18), (17, 17), (40, 16), (16, 29)]


@pytest.fixture(scope="module")
def coded() -> Memory:
    return Memory({f"image{index}": coordinates(*size, index) for index, size in enumerate(SIZES)})


def real_pairs() -> Memory:
    clean = {f"image{index}": coordinates(*size, index) for index, size in enumerate(SIZES)}
    rng = np.random.default_rng(0)
    noisy = {name: rng.normal(to_unit(image), 0.1).astype(np.float32) for name, image in clean.items()}
    return Memory(clean, noisy=noisy)


def grays(*names: str, side: int = 24, channels: int = 3, name: str = "memory") -> Memory:
    """Images of equal pixels: what differs between their noisy views is the noise."""
    return Memory({each: np.full((side, side, channels), 128, np.uint8) for each in names}, name=name)


def noise_of(images: ImageSet, index: int, *, seed: int = 0, repeat: int = 0, noise: NoiseModel | None = None) -> Tensor:
    noisy, clean = fixed_view(images, noise or Gaussian(sigma=25), index, seed, repeat)
    assert clean is not None
    return noisy - clean


def as_tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(to_unit(image).astype(np.float32).transpose(2, 0, 1).copy())[None]


@contextmanager
def global_generators_untouched() -> Iterator[None]:
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 - the global one is the point
    yield
    after = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    # The words of its state, and the place in them.
    assert all(np.array_equal(one, other) for one, other in zip(before[1], after[1], strict=True))
    assert before[2] == after[2]


def after_seeding_all(seed: int, call: Callable[[], Any]) -> Any:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    return call()


# ------------------------------------------------------------------------------------------------ fixed views


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_a_fixed_view_is_the_image_and_the_image_with_noise(coded: Memory, noise: NoiseModel) -> None:
    for index, (height, width) in enumerate(SIZES):
        noisy, clean = fixed_view(coded, noise, index, 0, 0)
        assert clean is not None
        assert noisy.shape == clean.shape == (1, 3, height, width)
        assert noisy.dtype == clean.dtype == torch.float32
        assert noisy.device.type == clean.device.type == "cpu"
        assert torch.equal(clean, as_tensor(coded.clean(index)))
        assert torch.isfinite(noisy).all()
        assert not torch.equal(noisy, clean)


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 1), (np.uint8, 3), (np.uint16, 1), (np.uint16, 3), (np.float32, 3)])
def test_clean_is_the_file_in_unit_range(tmp_path: Path, dtype: type, channels: int) -> None:
    rng = np.random.default_rng(0)
    stored = rng.uniform(0, 1, (9, 13, channels)) * (1 if dtype is np.float32 else np.iinfo(dtype).max)
    stored = stored.astype(dtype)
    (tmp_path / "set").mkdir()
    if dtype is np.float32:
        tifffile.imwrite(tmp_path / "set" / "a.tif", stored, photometric="rgb")
    else:
        assert cv2.imwrite(str(tmp_path / "set" / "a.png"), stored[:, :, ::-1] if channels == 3 else stored)
    folder = Folder(clean=str(tmp_path / "set"), channels=channels)
    _, clean = fixed_view(folder, Gaussian(sigma=25), 0, 0, 0)
    assert clean is not None
    expected = to_unit(stored).astype(np.float32)
    np.testing.assert_array_equal(clean[0].numpy().transpose(1, 2, 0), expected)


@dataclass(frozen=True, kw_only=True)
class Spy(NoiseModel):
    """Adds a third, and a draw of the generator to its upper left pixel; remembers what it was given."""

    seen: list[tuple[Tensor, Generator]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return "spy"

    def corrupt(self, clean: Tensor, generator: Generator) -> Tensor:
        self.seen.append((clean.clone(), generator))
        return clean + 1 / 3


def test_noise_is_drawn_on_the_cpu_in_double_precision(coded: Memory) -> None:
    spy = Spy()
    noisy, _ = fixed_view(coded, spy, 1, 0, 0)
    ((given, generator),) = spy.seen
    assert given.dtype == torch.float64
    assert given.device.type == generator.device.type == "cpu"
    exact = torch.from_numpy(to_unit(coded.clean(1)).transpose(2, 0, 1).copy())[None]
    assert torch.equal(given, exact)
    assert torch.equal(noisy, (exact + 1 / 3).float())


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_a_view_does_not_depend_on_what_was_drawn_before(coded: Memory, noise: NoiseModel) -> None:
    places = [(index, repeat) for repeat in range(2) for index in range(len(SIZES))]
    forward = {place: fixed_view(coded, noise, place[0], 3, place[1])[0] for place in places}
    backward = {place: fixed_view(coded, noise, place[0], 3, place[1])[0] for place in reversed(places)}
    for place in places:
        assert torch.equal(forward[place], backward[place])


def test_a_view_does_not_depend_on_the_other_images_of_the_set(coded: Memory) -> None:
    # An image that is added moves the places of the others, not their noise.
    assert coded.arrays["clean"] is not None
    more = Memory({"aaa": coordinates(9, 9, 0), **dict(reversed(coded.arrays["clean"].items())), "zzz": coordinates(9, 9, 0)})
    for index, name in enumerate(coded.names):
        here, there = (fixed_view(images, Poisson(), images.names.index(name), 5, 1)[0] for images in (coded, more))
        assert torch.equal(here, there), f"{name} at place {index}"


def test_a_copy_of_a_folder_elsewhere_gives_the_same_views(tmp_path: Path) -> None:
    image = coordinates(9, 13, 1)
    for parent in ("here", "there"):
        (tmp_path / parent / "set").mkdir(parents=True)
        assert cv2.imwrite(str(tmp_path / parent / "set" / "a.png"), image[:, :, ::-1])
    here, there = (Folder(clean=str(tmp_path / parent / "set")) for parent in ("here", "there"))
    assert torch.equal(fixed_view(here, Poisson(), 0, 0, 0)[0], fixed_view(there, Poisson(), 0, 0, 0)[0])


def test_noise_depends_on_names_and_not_on_pixels_nor_level() -> None:
    black = Memory({"a": np.zeros((24, 24, 3), np.uint8)})
    assert torch.allclose(noise_of(black, 0), noise_of(grays("a"), 0), rtol=0, atol=1e-6)
    half, whole = (noise_of(black, 0, noise=Gaussian(sigma=sigma)) for sigma in (15, 30))
    assert torch.allclose(2 * half, whole, rtol=0, atol=1e-6)


def test_no_two_views_share_their_noise() -> None:
    side = 64
    images, other = grays("a", "b", side=side), grays("a", "b", side=side, name="other")
    noises = [
        noise_of(data, index, seed=seed, repeat=repeat)
        for data in (images, other)
        for index in range(2)
        for seed in range(3)
        for repeat in range(3)
    ]
    # Where the parts of a seed are only joined, these pairs are one.
    joined = [("ab", "c", 0, 0), ("a", "bc", 0, 0), ("a", "b", 1, 11), ("a", "b", 11, 1), ("a", "b1", 1, 1)]
    noises += [noise_of(grays(image, side=side, name=name), 0, seed=seed, repeat=r) for name, image, seed, r in joined]
    correlation = np.corrcoef(np.stack([noise.double().numpy().ravel() for noise in noises]))
    # 12288 values each: the standard deviation of a correlation of independent noises is 0.009.
    assert np.abs(correlation - np.eye(len(noises))).max() < 0.06
    # A view moved by a pixel, or turned, is none of its own either.
    assert len({round(noise.sum().item(), 3) for noise in noises}) == len(noises)


def test_gaussian_views_have_the_level_that_they_say() -> None:
    noise = noise_of(grays("a", side=128), 0)
    assert noise.mean().abs() < 5 * 25 / 255 / 49152**0.5
    assert abs(noise.std().item() * 255 / 25 - 1) < 5 / (2 * 49152) ** 0.5


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_fixed_views_leave_the_global_generators_alone(coded: Memory, noise: NoiseModel) -> None:
    with global_generators_untouched():
        fixed_view(coded, noise, 0, 0, 0)
    one, two = (after_seeding_all(seed, lambda: fixed_view(coded, noise, 0, 0, 0)[0]) for seed in (1, 2))
    assert torch.equal(one, two)


def test_real_noise_is_what_the_set_brings() -> None:
    pairs = real_pairs()
    for index in range(len(pairs.names)):
        noisy, clean = fixed_view(pairs, Real(), index, 0, 0)
        assert clean is not None
        assert torch.equal(noisy, as_tensor(pairs.noisy(index)))
        assert torch.equal(clean, as_tensor(pairs.clean(index)))
        assert noisy.dtype == clean.dtype == torch.float32


def test_a_set_of_noisy_images_only_has_no_clean_view(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    (tmp_path / "shots").mkdir()
    assert cv2.imwrite(str(tmp_path / "shots" / "a.png"), stored[:, :, ::-1])
    noisy, clean = fixed_view(Folder(noisy=str(tmp_path / "shots")), Real(), 0, 0, 0)
    assert clean is None
    assert torch.equal(noisy, as_tensor(stored))


# -------------------------------------------------------------------------------------------------- impossible


def test_noise_is_not_added_to_noisy_images() -> None:
    shots = Memory(noisy={"a": np.zeros((9, 9, 3), np.uint8)})
    for noise in NOISES:
        assert "noise=real" in (impossible(shots, noise) or "")
    assert impossible(shots, Real()) is None


def test_real_noise_needs_noisy_images() -> None:
    reason = impossible(grays("a"), Real())
    assert isinstance(reason, str)
    assert reason
    assert impossible(real_pairs(), Real()) is None


def test_noise_on_clean_images_is_possible() -> None:
    for noise in NOISES:
        assert impossible(grays("a"), noise) is None


def test_the_reason_names_the_key_that_it_is_about() -> None:
    shots = Memory(noisy={"a": np.zeros((9, 9, 3), np.uint8)})
    assert "train_noise=real" in (impossible(shots, Gaussian(sigma=25), key="train_noise") or "")


# ------------------------------------------------------------------------------------------------- noisy views


def items(views: NoisyViews) -> list[Batch]:
    return [views[index] for index in range(len(views))]


def test_noisy_views_are_all_images_of_each_repeat_in_turn(coded: Memory) -> None:
    batches = items(NoisyViews(coded, Poisson(), 3, 4, ()))
    assert [(batch.name, batch.repeat) for batch in batches] == [((name,), repeat) for repeat in range(4) for name in coded.names]
    for batch in batches:
        assert isinstance(batch, Batch)
        noisy, clean = fixed_view(coded, Poisson(), coded.names.index(batch.name[0]), 3, batch.repeat)
        assert clean is not None
        assert batch.clean is not None
        assert torch.equal(batch.noisy, noisy)
        assert torch.equal(batch.clean, clean)
        assert batch.target is None


def test_noisy_views_of_noisy_images_have_no_clean() -> None:
    shots = Memory(noisy={name: np.full((5, 6, 3), 7, np.uint8) for name in "ab"})
    for batch in items(NoisyViews(shots, Real(), 0, 1, ())):
        assert batch.clean is None
        assert batch.target is None
        assert torch.equal(batch.noisy, torch.full((1, 3, 5, 6), 7 / 255))


def same(one: Batch, other: Batch) -> bool:
    assert one.clean is not None
    assert other.clean is not None
    return torch.equal(one.noisy, other.noisy) and torch.equal(one.clean, other.clean) and one[2:] == other[2:]


@settings(max_examples=20, deadline=None)
@given(skip=st.sets(st.tuples(st.sampled_from([f"image{index}" for index in range(5)]), st.integers(0, 2))))
def test_what_is_skipped_is_left_out_and_changes_nothing_else(coded: Memory, skip: set[tuple[str, int]]) -> None:
    every = {(batch.name[0], batch.repeat): batch for batch in items(NoisyViews(coded, Gaussian(sigma=25), 1, 3, ()))}
    kinds: list[Callable[[set[tuple[str, int]]], Any]] = [set, list, tuple, frozenset]
    for kind in kinds:
        views = NoisyViews(coded, Gaussian(sigma=25), 1, 3, kind(skip))
        assert len(views) == len(every) - len(skip)
    rest = items(NoisyViews(coded, Gaussian(sigma=25), 1, 3, skip))
    assert [(batch.name[0], batch.repeat) for batch in rest] == [place for place in every if place not in skip]
    assert all(same(batch, every[batch.name[0], batch.repeat]) for batch in rest)


def test_skipping_what_is_not_there_skips_nothing(coded: Memory) -> None:
    assert len(NoisyViews(coded, Gaussian(sigma=25), 1, 2, [("image0", 2), ("other", 0)])) == 10


def test_each_view_has_a_seed_of_its_own() -> None:
    sets = [grays("a", "b", "c", side=4), grays("a", "b", "c", side=4, name="other")]
    seeds = [
        batch.seed for data in sets for seed in range(3) for batch in items(NoisyViews(data, Gaussian(sigma=25), seed, 4, ()))
    ]
    assert len(set(seeds)) == len(seeds) == 72
    for seed in seeds:
        # Whatever library a method draws from takes it.
        assert type(seed) is int
        Generator().manual_seed(seed)
        np.random.default_rng(seed)


def test_the_seed_of_a_view_does_not_depend_on_its_place() -> None:
    few, many = grays("b", "a", side=4), grays("x", "a", "y", "b", side=4)
    found = [
        {(batch.name, batch.repeat): batch.seed for batch in items(NoisyViews(data, noise, 1, repeats, ()))}
        for data, noise, repeats in ((few, Gaussian(sigma=25), 2), (many, Poisson(), 3))
    ]
    assert found[0].items() <= found[1].items()


def test_the_seed_of_a_view_does_not_give_its_noise_away() -> None:
    # A method that draws normal numbers from the seed it was handed must not draw the noise that it is to remove.
    images = grays("a", side=32)
    batch = NoisyViews(images, Gaussian(sigma=25), 0, 1, ())[0]
    assert batch.clean is not None
    noise = (batch.noisy - batch.clean).double().numpy().ravel()
    drawn = [torch.randn(batch.noisy.shape, generator=Generator().manual_seed(batch.seed), dtype=dtype).double().numpy()
             for dtype in (torch.float32, torch.float64)]  # fmt: skip
    drawn.append(np.random.default_rng(batch.seed).standard_normal(batch.noisy.shape))
    for each in drawn:
        assert abs(np.corrcoef(noise, each.ravel())[0, 1]) < 0.1


def test_noisy_views_leave_the_global_generators_alone(coded: Memory) -> None:
    views = NoisyViews(coded, Gaussian(sigma=25), 0, 1, ())
    with global_generators_untouched():
        items(views)


# ---------------------------------------------------------------------------------------------------- training


def steps_of(
    images: ImageSet,
    noise: NoiseModel | None = None,
    kind: Any = "fresh",
    *,
    steps: int = 12,
    patch: int = 8,
    batch: int = 3,
    seed: int = 0,
    start: int = 0,
    need_clean: bool = False,
) -> TrainSteps:
    training = Training(steps=steps, patch=patch, batch=batch, noise=kind)
    return TrainSteps(images, noise or Gaussian(sigma=25), training, seed, start, need_clean)


def first(count: int, training: TrainSteps) -> list[Patches]:
    """Whoever trains says when it is enough: the steps themselves need not end."""
    return list(islice(training, count))


def equal(one: Patches, other: Patches) -> bool:
    def same_tensor(a: Tensor | None, b: Tensor | None) -> bool:
        return a is None and b is None if a is None or b is None else torch.equal(a, b)

    return same_tensor(one.clean, other.clean) and same_tensor(one.noisy, other.noisy) and one.step == other.step


def pixels_of(patches: Tensor | None) -> np.ndarray:
    """(batch, 3, patch, patch): column, row and image of each pixel of coded patches."""
    assert patches is not None
    return np.rint(patches.double().numpy() * 65535 / STEP).astype(int)


def crops_of(patches: Tensor | None) -> list[tuple[int, int, int]]:
    """The (image, top, left) of coded patches, each checked to be one whole crop."""
    found = []
    for patch in pixels_of(patches):
        left, top, image = patch[:, 0, 0]
        side = patch.shape[-1]
        expected = coordinates(side, side, image).transpose(2, 0, 1) // STEP + np.array([left, top, 0])[:, None, None]
        np.testing.assert_array_equal(patch, expected)
        found.append((int(image), int(top), int(left)))
    return found


def found_in(views: Sequence[Tensor], patch: Tensor) -> list[tuple[int, int, int]]:
    """Where in the noisy views a noisy patch lies, by exact search: (image, top, left)."""
    side = patch.shape[-1]
    places = []
    for index, view in enumerate(views):
        hits = (view[0] == patch[:, :1, :1]).all(dim=0).nonzero().tolist()
        places += [(index, y, x) for y, x in hits if torch.equal(view[0, :, y : y + side, x : x + side], patch)]
    return places


MODES = [
    pytest.param("fresh", Gaussian(sigma=25), False, id="fresh"),
    pytest.param("fixed", Gaussian(sigma=25), False, id="fixed"),
    pytest.param("fixed", Camera(), True, id="fixed-clean"),
    pytest.param("fixed", Real(), False, id="real"),
    pytest.param("fresh", Real(), True, id="real-clean"),
]


def images_for(noise: NoiseModel, coded: Memory) -> Memory:
    return real_pairs() if isinstance(noise, Real) else coded


@pytest.mark.parametrize(("kind", "noise", "need_clean"), MODES)
@pytest.mark.parametrize("start", [0, 1, 5, 11])
def test_training_goes_on_from_any_step(coded: Memory, kind: str, noise: NoiseModel, need_clean: bool, start: int) -> None:
    images = images_for(noise, coded)
    whole = first(12, steps_of(images, noise, kind, need_clean=need_clean))
    assert [patches.step for patches in whole] == list(range(12))
    later = first(12 - start, steps_of(images, noise, kind, start=start, need_clean=need_clean))
    assert len(later) == 12 - start
    assert all(equal(one, other) for one, other in zip(later, whole[start:], strict=True))


@pytest.mark.parametrize(("kind", "noise", "need_clean"), MODES)
def test_a_step_is_a_function_of_seed_and_number(coded: Memory, kind: str, noise: NoiseModel, need_clean: bool) -> None:
    images = images_for(noise, coded)
    one = steps_of(images, noise, kind, need_clean=need_clean)
    expected = [one.step(k) for k in range(12)]
    # In another order, with another budget and start, with other global seeds, and again from the same object.
    other = steps_of(images, noise, kind, need_clean=need_clean, steps=1000, start=7)
    for seed, k in enumerate([7, 3, 11, 0, 3]):
        assert equal(after_seeding_all(seed, lambda k=k: other.step(k)), expected[k])
    assert all(equal(here, there) for here, there in zip(first(12, one), expected, strict=True))
    assert all(equal(here, there) for here, there in zip(first(12, one), expected, strict=True))
    with global_generators_untouched():
        other.step(1)
    reseeded = steps_of(images, noise, kind, need_clean=need_clean, seed=1)
    assert not any(equal(reseeded.step(k), expected[k]) for k in range(12))


def test_fresh_noise_gives_clean_patches_and_nothing_noisy(coded: Memory) -> None:
    for need_clean in (False, True):
        for patches in first(12, steps_of(coded, batch=4, patch=11, need_clean=need_clean)):
            assert patches.noisy is None
            assert patches.clean is not None
            assert patches.clean.shape == (4, 3, 11, 11)
            assert patches.clean.dtype == torch.float32
            crops_of(patches.clean)


def test_fresh_patches_are_the_same_whatever_the_noise(coded: Memory) -> None:
    gaussian, poisson = (steps_of(coded, noise) for noise in (Gaussian(sigma=25), Poisson()))
    assert all(equal(gaussian.step(k), poisson.step(k)) for k in range(5))


@pytest.mark.parametrize("noise", [*NOISES, Real()], ids=lambda noise: noise.name)
def test_fixed_patches_are_crops_of_the_first_noisy_view(coded: Memory, noise: NoiseModel) -> None:
    images = images_for(noise, coded)
    seed = 4
    views = [fixed_view(images, noise, index, seed, 0) for index in range(len(SIZES))]
    blind, seeing = (steps_of(images, noise, "fixed", seed=seed, need_clean=need_clean) for need_clean in (False, True))
    for k in range(8):
        given, both = blind.step(k), seeing.step(k)
        assert given.clean is None
        assert given.noisy is not None
        assert both.noisy is not None
        assert given.noisy.shape == (3, 3, 8, 8)
        assert given.noisy.dtype == torch.float32
        # Asking for the clean patches must not change the noisy ones.
        assert torch.equal(given.noisy, both.noisy)
        for noisy, (index, top, left) in zip(given.noisy, crops_of(both.clean), strict=True):
            assert torch.equal(noisy, views[index][0][0, :, top : top + 8, left : left + 8])


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
def test_real_noisy_images_are_cut_whatever_training_noise_says(kind: str) -> None:
    shots = Memory(noisy=real_pairs().arrays["noisy"])
    views = [fixed_view(shots, Real(), index, 0, 0)[0] for index in range(len(SIZES))]
    for patches in first(6, steps_of(shots, Real(), kind)):
        assert patches.clean is None
        assert patches.noisy is not None
        for patch in patches.noisy:
            assert len(found_in(views, patch)) == 1


def test_fixed_patches_without_clean_lie_in_the_views_by_search(coded: Memory) -> None:
    # The same as above without a clean patch to tell the place: continuous noise is found in one place only.
    views = [fixed_view(coded, Gaussian(sigma=25), index, 2, 0)[0] for index in range(len(SIZES))]
    for patches in first(12, steps_of(coded, kind="fixed", seed=2)):
        assert patches.noisy is not None
        for patch in patches.noisy:
            assert len(found_in(views, patch)) == 1


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
def test_gray_images_train_too(kind: str) -> None:
    images = Memory({"a": np.random.default_rng(0).integers(0, 256, (20, 20, 1), dtype=np.uint8)})
    patches = steps_of(images, kind=kind).step(0)
    tensor = patches.clean if kind == "fresh" else patches.noisy
    assert tensor is not None
    assert tensor.shape == (3, 1, 8, 8)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 7), batch=st.integers(1, 9), seed=st.integers(0, 2**32 - 1), fixed=st.booleans())
def test_every_pass_has_every_image_once(count: int, batch: int, seed: int, fixed: bool) -> None:
    images = Memory({f"image{index}": coordinates(9, 9, index) for index in range(count)})
    kind = "fixed" if fixed else "fresh"
    training = steps_of(images, kind=kind, steps=4 * count, patch=8, batch=batch, seed=seed, need_clean=fixed)
    draws = [image for patches in first(4 * count, training) for image, _, _ in crops_of(patches.clean)]
    assert len(draws) == 4 * count * batch
    for start in range(0, len(draws), count):
        assert sorted(draws[start : start + count]) == list(range(count))


def test_passes_go_in_different_orders(coded: Memory) -> None:
    orders: dict[int, list[tuple[int, ...]]] = {}
    for seed in (0, 1):
        training = steps_of(coded, steps=60, batch=5, seed=seed)
        orders[seed] = [tuple(image for image, _, _ in crops_of(patches.clean)) for patches in first(60, training)]
        # 60 of 120 orders with repetition: 47 different ones are expected.
        assert len(set(orders[seed])) > 35
        # Each image is at each place in some pass.
        assert all({order[place] for order in orders[seed]} == set(range(5)) for place in range(5))
    assert orders[0] != orders[1]


def test_patches_come_from_everywhere_in_an_image() -> None:
    images = Memory({"a": coordinates(10, 11, 0)})
    places = {place[1:] for patches in first(60, steps_of(images, steps=60, batch=5)) for place in crops_of(patches.clean)}
    # The last row and the last column belong to it: 3 x 4 places, each left out with probability (11 / 12) ** 300.
    assert places == {(top, left) for top in range(3) for left in range(4)}


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
def test_a_patch_may_be_the_whole_image(kind: str) -> None:
    images = Memory({"a": coordinates(8, 8, 0)})
    for patches in first(3, steps_of(images, kind=kind, need_clean=True, steps=3)):
        assert crops_of(patches.clean) == [(0, 0, 0)] * 3


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
@pytest.mark.parametrize("size", [(7, 30), (30, 7)], ids=str)
def test_an_image_smaller_than_the_patch_is_named(kind: str, size: tuple[int, int]) -> None:
    images = Memory({"large": coordinates(30, 30, 0), "tiny": coordinates(*size, 1)})

    def train() -> list[Patches]:
        return first(1, steps_of(images, kind=kind, batch=2))

    with pytest.raises(ValueError, match="tiny") as error:
        train()
    assert "training.patch" in str(error.value)


def test_changing_a_patch_does_not_change_the_next_one_of_its_image() -> None:
    # A method may write into what it is given.
    images = Memory({"a": coordinates(8, 8, 0)})
    for kind in ("fresh", "fixed"):
        training = steps_of(images, kind=kind, batch=1, need_clean=True)
        before = training.step(0)
        clean, noisy = (None if part is None else part.clone() for part in (before.clean, before.noisy))
        for part in (before.clean, before.noisy):
            if part is not None:
                part.zero_()
        assert equal(training.step(0), Patches(clean, noisy, before.step))


# ------------------------------------------------------------------------------------------------ second views


def test_camera_noise_on_gray_images_is_impossible() -> None:
    assert "gray" in (impossible(grays("a", channels=1), Camera()) or "")
    assert impossible(grays("a", channels=1), Gaussian()) is None


def test_what_has_no_second_view_or_no_clean_image_cannot_be_a_target() -> None:
    shots = Memory(noisy={"a": np.zeros((4, 4, 3), np.uint8)})
    assert no_target(grays("a"), "noisy") is no_target(grays("a"), "clean") is no_target(shots, None) is None
    assert "train_set" in (no_target(shots, "clean") or "")
    assert "train_set" in (no_target(real_pairs(), "noisy") or "")
    with pytest.raises(ValueError, match="two independent"):
        TrainSteps(real_pairs(), Real(), Training(1, 4, 1, "fixed"), 0, 0, need_clean=False, need_second=True)


def batches(images: ImageSet, kind: Any, target: Any, steps: int = 4) -> list[Batch]:
    training = Training(steps, 16, 2, kind)
    noise = Gaussian(sigma=25)
    data = DataModule(images, noise, 0, train=TrainingData(images, noise, training, target))
    return [data.on_after_batch_transfer(patches, 0) for patches in islice(data.train_dataloader(), steps)]


@pytest.mark.parametrize("kind", ["fresh", "fixed"])
def test_a_second_view_is_the_same_image_under_independent_noise(kind: str) -> None:
    images = grays("a", "b", side=64)
    for two, plain in zip(batches(images, kind, "noisy"), batches(images, kind, None), strict=True):
        assert torch.equal(two.noisy, plain.noisy), "a target changes nothing of the input"
        assert plain.target is None
        assert two.clean is None
        assert two.target is not None
        one, other = ((view - 128 / 255).flatten().numpy() * 255 for view in (two.noisy, two.target))
        assert abs(one.std() / 25 - 1) < 0.1
        assert abs(other.std() / 25 - 1) < 0.1
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / one.size**0.5


def test_fixed_second_views_are_fixed_and_no_test_view() -> None:
    images = grays("a", side=16)
    targets = [batch.target for batch in batches(images, "fixed", "noisy")]
    assert all(target is not None and torch.equal(target, targets[0]) for target in targets)  # type: ignore[arg-type]
    views = [fixed_view(images, Gaussian(sigma=25), 0, 0, repeat)[0] for repeat in range(5)]
    assert not any(torch.equal(targets[0][:1], view) for view in views)  # type: ignore[index]


def test_a_patch_larger_than_an_image_is_found_before_training() -> None:
    images = Memory({"big": np.zeros((40, 40, 3), np.uint8), "low": np.zeros((15, 40, 3), np.uint8)})
    assert too_small(images, 15) is None
    with pytest.raises(ValueError, match=r"low: 15 x 40 is smaller than training\.patch=16"):
        batches(images, "fresh", None)


def test_two_loader_workers_cannot_give_the_same_steps_twice(coded: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    monkeypatch.setattr("denoisebench.datasets.views.get_worker_info", lambda: SimpleNamespace(num_workers=2, id=0))
    with pytest.raises(RuntimeError, match="workers"):
        next(iter(steps_of(coded)))


@pytest.mark.parametrize("cache_bytes", [0, 4 * 2**30])
@pytest.mark.parametrize("start", [0, 7])
def test_steps_read_ahead_by_threads_are_those_read_one_by_one(
    coded: Memory, monkeypatch: pytest.MonkeyPatch, cache_bytes: int, start: int
) -> None:
    monkeypatch.setattr(views, "CACHE_BYTES", cache_bytes)
    slow = coded.clean

    def late(index: int) -> np.ndarray:
        time.sleep(0.003 * (index % 3))  # so that a later step is ready before an earlier one
        return slow(index)

    expected = [steps_of(coded).step(start + k) for k in range(20)]
    monkeypatch.setattr(coded, "clean", late)
    assert all(equal(one, other) for one, other in zip(first(20, steps_of(coded, start=start)), expected, strict=True))


def test_reading_ahead_ends_with_the_steps(coded: Memory) -> None:
    steps = iter(steps_of(coded))
    next(steps)
    assert any("training patches" in thread.name for thread in threading.enumerate())
    del steps
    end = time.monotonic() + 5
    while any("training patches" in thread.name for thread in threading.enumerate()) and time.monotonic() < end:
        time.sleep(0.01)
    assert not any("training patches" in thread.name for thread in threading.enumerate())


def test_what_a_reader_cannot_read_is_raised_where_the_step_is_asked_for(coded: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(index: int) -> np.ndarray:
        raise ValueError("a.png: cut off")

    monkeypatch.setattr(coded, "clean", broken)
    with pytest.raises(ValueError, match=r"a\.png: cut off"):
        next(iter(steps_of(coded)))
