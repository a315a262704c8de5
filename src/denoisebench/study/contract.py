"""What every method must keep to: each point is a function that yields what a method breaks, in words."""

import contextlib
import inspect
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from denoisebench.batch import Batch
from denoisebench.config import compose_one
from denoisebench.config.parts import arguments_of, class_of, instantiate
from denoisebench.datasets.datamodule import DataModule, TrainingData
from denoisebench.datasets.photos import Photos
from denoisebench.datasets.training import Training
from denoisebench.denoiser import Denoiser, ImageDenoiser
from denoisebench.networks.weight_files import read_file
from denoisebench.noise import Gaussian
from denoisebench.seeding import isolated_rng
from denoisebench.store.trainings import weights_in
from denoisebench.training.engine import Engine
from denoisebench.training.fit import Course, trained

SHAPES = ((1, 33, 47), (3, 33, 47), (2, 32, 64), (1, 5, 2))
LARGEST_SMALLEST = 33  # pixels: photographs are cropped to 48 and more in tests
BATCH_BOUND, TILE_BOUND = 1e-5, 1e-12
TILES = ((419, 50, 230), (50, 419, 230), (150, 120, 100))  # height, width, tile: narrow, so that it takes seconds
SHORT = Training(steps=4, patch=32, batch=2, noise="fresh")
FAILS_AT = 3


@dataclass(frozen=True)
class Subject:
    """A method to be checked.

    keys: of its YAML. build: a new one in evaluation mode, with the weights that a seed gives. training: a short one.
    channels: of the images that it is checked with.
    """

    name: str
    cls: type[Denoiser]
    keys: frozenset[str]
    build: Callable[[int], Denoiser]
    training: Training
    channels: int = 3


def subject(name: str, overrides: Sequence[str] = ()) -> Subject:
    """The method of this name, as short as the smoke budget makes it. Raises: ConfigError."""
    plain = compose_one([f"method={name}", "budget=smoke", *overrides]).plain
    node, settings = plain["method"], plain["training"]

    def build(seed: int) -> Denoiser:
        with isolated_rng(seed):
            return instantiate(node, "method", Denoiser).eval()

    training = Training(**settings) if settings["steps"] >= FAILS_AT else replace(SHORT, patch=settings["patch"])
    return Subject(
        name, class_of(node, "method", Denoiser), frozenset(arguments_of(node)), build, training, plain["dataset"]["channels"]
    )


def findings(of: Subject) -> Iterator[str]:
    """Everything that a method breaks, a line for each point; a check that raises is a finding too."""
    for check in CHECKS:
        try:
            yield from check(of)
        except Exception as error:
            said = " ".join(str(error).split())
            yield f"fails where it is checked that it {(check.__doc__ or '').rstrip('.')}: {type(error).__name__}: {said}"


def _batch(of: Subject, count: int, height: int = 33, width: int = 47, seed: int = 7) -> Batch:
    images = torch.rand(count, of.channels, height, width, generator=torch.Generator().manual_seed(seed))
    return Batch(images * 1.4 - 0.2, images, None, tuple(map(str, range(count))), 0, seed)


def _kind(of: Subject) -> Literal[1, 3]:
    return 1 if of.channels == 1 else 3


def _denoised(method: Denoiser, batch: Batch, *, copied: bool = True) -> Tensor:
    """copied: a method that changes its input is told as that alone."""
    with torch.no_grad():
        return method.test_step(batch._replace(noisy=batch.noisy.clone()) if copied else batch, 0)


def _apart(first: Tensor, second: Tensor) -> float:
    """The largest difference; infinite where one is not finite."""
    if first.shape != second.shape:
        return torch.inf
    worst = (first - second).abs().max()
    return float(worst) if torch.isfinite(worst) else torch.inf


def parameters(of: Subject) -> Iterator[str]:
    """has the keys of its YAML as constructor parameters."""
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = {p.name for p in inspect.signature(of.cls).parameters.values() if p.kind not in variadic}
    if wrong := sorted(named ^ of.keys):
        yield f"keys of the YAML are not the constructor's parameters: {', '.join(wrong)}"


def documented(of: Subject) -> Iterator[str]:
    """says what it is in a docstring of its class."""
    if not of.cls.__dict__.get("__doc__"):
        yield "its class has no docstring"


def shape(of: Subject) -> Iterator[str]:
    """keeps the shape of its input, in float32, and stays finite."""
    if of.cls.smallest > LARGEST_SMALLEST:
        yield f"takes no image smaller than {of.cls.smallest} pixels: `smallest` is {LARGEST_SMALLEST} at most"
        return
    for count, height, width in SHAPES:
        yield from _shape_of(of, _batch(of, count, height, width))


def _shape_of(of: Subject, batch: Batch) -> Iterator[str]:
    method, size = of.build(0), "x".join(map(str, batch.noisy.shape))
    if min(batch.noisy.shape[-2:]) < method.smallest:
        try:
            _denoised(method, batch)
        except ValueError as error:
            if f"at least {method.smallest}" in str(error):
                return
        yield f"does not refuse an image below its smallest side with `at least {method.smallest}` (given {size})"
        return
    output = _denoised(method, batch)
    if output.shape != batch.noisy.shape:
        yield f"changes the shape: {size} became {'x'.join(map(str, output.shape))}"
    elif output.dtype != torch.float32:
        yield f"its output is {output.dtype}, not torch.float32 (given {size})"
    elif not torch.isfinite(output).all():
        yield f"its output is not finite (given {size})"


def repeats(of: Subject) -> Iterator[str]:
    """repeats itself for a seed."""
    batch = _batch(of, 1)
    if not torch.equal(_denoised(of.build(0), batch), _denoised(of.build(0), batch)):
        yield "does not repeat itself for a seed"


def images_before(of: Subject) -> Iterator[str]:
    """does not depend on the images before."""
    method, first = of.build(0), _batch(of, 1, seed=1)
    alone = _denoised(method, first).clone()
    _denoised(method, _batch(of, 1, seed=2))
    if not torch.equal(_denoised(method, first), alone):
        yield "depends on the image before"


def neighbours(of: Subject) -> Iterator[str]:
    """does not depend on its neighbours in the batch."""
    method, batch = of.build(0), _batch(of, 3)
    if method.stochastic:  # it is given one image at a time
        return
    together = _denoised(method, batch)
    turned = _denoised(method, _of_images(batch, [2, 1, 0])).flip(0)
    alone = _denoised(method, _of_images(batch, [0]))
    if (worst := max(_apart(together, turned), _apart(together[:1], alone))) > BATCH_BOUND:
        yield f"depends on the other images of a batch: by {worst:.2g}"


def _of_images(batch: Batch, which: list[int]) -> Batch:
    """Some images of a batch, with their clean sides."""
    return batch._replace(noisy=batch.noisy[which], clean=None if batch.clean is None else batch.clean[which])


def tiles(of: Subject) -> Iterator[str]:
    """gives with tiles what it gives of the whole image."""
    if not of.cls.tiles:
        if of.cls.learns == "dataset" and not of.cls.attends_globally:
            yield "trains a network on a data set and does not heed `tile`"
        return
    for height, width, side in TILES:
        method, batch = of.build(0).double(), _batch(of, 1, height, width)
        batch = batch._replace(noisy=batch.noisy.double())
        whole = _denoised(method, batch)
        method.tile = side
        if (worst := _apart(_denoised(method, batch), whole)) > TILE_BOUND:
            yield f"tiles differ from whole image by {worst:.2g} (tile={side})"


def untouched(of: Subject) -> Iterator[str]:
    """leaves its input and the global generators alone."""
    method, batch = of.build(0), _batch(of, 1)
    before, state = batch.noisy.clone(), torch.get_rng_state()
    output = _denoised(method, batch, copied=False)
    if not torch.equal(torch.get_rng_state(), state):
        torch.set_rng_state(state)
        yield "moves the global generator"
    if not torch.equal(batch.noisy, before):
        yield "changes its input"
        return
    output.add_(1)
    if not torch.equal(batch.noisy, before):
        yield "output shares memory with input"


def clean_at_test(of: Subject) -> Iterator[str]:
    """never sees clean images at test."""
    method, batch = of.build(0), _batch(of, 1)
    blinded = batch._replace(clean=torch.full_like(batch.noisy, torch.nan))
    if not torch.equal(_denoised(method, batch), _denoised(method, blinded)):
        yield "reads clean images at test"


def clean_in_training(of: Subject) -> Iterator[str]:
    """trains without clean images unless it is tagged supervised."""
    method = of.build(0)
    if method.learns != "dataset":
        return
    given = [_loss_with(of, method, clean=clean) for clean in (False, True)]
    if "supervised" in method.tags:
        if any(loss.isfinite() for loss in given):
            yield "is tagged supervised, and its loss does not use the target"
    elif not given[0].isfinite():
        yield "needs clean images or targets for training, and is not tagged supervised"
    elif not torch.equal(*given):
        yield "reads clean images in training, and is not tagged supervised"


def _loss_with(of: Subject, method: Denoiser, *, clean: bool) -> Tensor:
    """The loss of a batch that has no clean images, or useless ones."""
    noisy = torch.rand(2, of.channels, 32, 32, generator=torch.Generator().manual_seed(0))
    nan = torch.full_like(noisy, torch.nan)
    loss: Any = getattr(method, "_batch_loss")  # noqa: B009 (of those that learn from a data set)
    with isolated_rng(0):
        try:
            return loss(Batch(noisy, nan, nan) if clean else Batch(noisy), 0.5)
        except ValueError:  # without a target
            return torch.tensor(torch.nan)


def weights(of: Subject) -> Iterator[str]:
    """is the same with the same weights."""
    first, second = of.build(1), of.build(2)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(first.state_dict(), Path(folder) / "weights.pt")
        second.load_state_dict(torch.load(Path(folder) / "weights.pt", weights_only=True))
    if not torch.equal(_denoised(first, _batch(of, 1)), _denoised(second, _batch(of, 1))):
        yield "its weights are not all of it: loaded into another one they give another output"


def resumed(of: Subject) -> Iterator[str]:
    """continues a training that was killed as if nothing had happened."""
    if of.cls.learns != "dataset":
        return
    with tempfile.TemporaryDirectory() as name:
        disturbed, undisturbed = Path(name) / "disturbed", Path(name) / "undisturbed"
        with contextlib.suppress(_KilledError):
            _train(of, disturbed, fail_at=FAILS_AT)
        if not (disturbed / "last.ckpt").is_file():
            yield f"training left no checkpoint when it was killed at step {FAILS_AT}"
            return
        again, once = _train(of, disturbed), _train(of, undisturbed)
        if again.keys() != once.keys() or not all(torch.equal(again[key], once[key]) for key in again):
            yield "training resumed is not training undisturbed: its weights differ"
        for folder in (disturbed, undisturbed):
            last = (folder / "curve.csv").read_text().splitlines()[-1].split(",")[0]
            if last != str(of.training.steps):
                yield f"its curve ends at step {last}, not at {of.training.steps}"
        if (disturbed / "last.ckpt").exists():
            yield "a finished training kept its checkpoint of an unfinished one"


class _KilledError(RuntimeError):
    """The end of a training that is killed on purpose."""


def _train(of: Subject, folder: Path, fail_at: int | None = None) -> dict[str, Tensor]:
    own = of.build(0).train()
    given = TrainingData(Photos("train", channels=_kind(of)), Gaussian(sigma=25), of.training, own.target)
    data = DataModule(Photos(crop=32, channels=_kind(of)), Gaussian(sigma=25), 0, train=given)
    if fail_at is not None:
        loss: Any = getattr(own, "_batch_loss")  # noqa: B009 (of those that learn from a data set)
        calls = [0]

        def failing(batch: Batch, progress: float) -> Tensor:
            calls[0] += 1
            if calls[0] == fail_at:
                raise _KilledError("killed")
            return loss(batch, progress)

        setattr(own, "_batch_loss", failing)  # noqa: B010
    trained(own, data, folder, Course(0, Engine(checkpoint_s=0)))
    return read_file(weights_in(folder))


def anew(of: Subject) -> Iterator[str]:
    """starts anew for each image, where it learns from one."""
    method = of.build(0)
    if not isinstance(method, ImageDenoiser):
        return
    first = _denoised(method, _batch(of, 1)).clone()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.fill_(torch.nan)
    if not torch.equal(_denoised(method, _batch(of, 1)), first):
        yield "does not start anew for each image: `reset` leaves weights as they were"


CHECKS: tuple[Callable[[Subject], Iterator[str]], ...] = (
    parameters, documented, shape, repeats, images_before, neighbours, tiles, untouched, clean_at_test, clean_in_training,
    weights, resumed, anew,
)  # fmt: skip
