"""One job: everything that a cell is computed from, read from the configuration once.

`config` makes jobs; whatever is below is handed one and never asks the configuration again.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from denoisebench.store.cell import Cell
from denoisebench.store.code import Code

if TYPE_CHECKING:
    from denoisebench.datasets.fitting import NoiseFacts
    from denoisebench.datasets.images import ImageSet
    from denoisebench.datasets.training import Holdout, Training
    from denoisebench.denoiser import Denoiser
    from denoisebench.noise import NoiseModel
    from denoisebench.scoring.further import Further
    from denoisebench.scoring.protocol import Protocol
    from denoisebench.tracking.about import Logger


Facts = TypeVar("Facts")
Thing = TypeVar("Thing")


@dataclass(frozen=True, eq=False)
class Part(Generic[Facts, Thing]):
    """A part of a job that is made when it is first asked for, which imports PyTorch. facts: what planning asks of it."""

    facts: Facts
    make: Callable[[], Thing]

    @functools.cached_property
    def made(self) -> Thing:
        return self.make()


@dataclass(frozen=True)
class MethodFacts:
    """What planning asks of a method's class, as `Denoiser` declares it.

    by_noisy: whether its loss is of noisy images alone. by_slices: whether it may learn from several images. own_test: whether
    its test is not that of every method. identity: what of its settings identifies a cell; label: what tables call it, None for
    its name and what differs from it.
    """

    learns: Literal["nothing", "dataset", "image"]
    target: Literal["clean", "noisy"] | None
    smallest: int
    tiles: bool
    staged: bool
    by_noisy: bool
    by_slices: bool
    own_test: bool
    identity: Mapping[str, Any]
    label: str | None


@dataclass(frozen=True)
class ProtocolFacts:
    name: str


@dataclass(frozen=True)
class Method:
    """name: of its YAML. settings: what its class is made with.

    has_recipe: whether its budget says how long it trains; recipe_sets: whether its budget sets anything at all for it.
    make: the method itself, its weights drawn from the global generator.
    """

    name: str
    part: "Part[MethodFacts, type[Denoiser]]"
    settings: Mapping[str, Any]
    make: "Callable[[], Denoiser]"
    has_recipe: bool
    recipe_sets: bool

    @property
    def facts(self) -> MethodFacts:
        return self.part.facts

    @property
    def cls(self) -> "type[Denoiser]":
        return self.part.made

    @property
    def learns(self) -> Literal["nothing", "dataset", "image"]:
        return self.facts.learns


@dataclass(frozen=True)
class Validation:
    """every: steps between scores of clean images during training; 0: never. images: how many, the first of the test set."""

    every: int
    images: int


@dataclass(frozen=True)
class Learning:
    """What trains a network: only where a method learns from a data set and is not given its weights.

    holdout: how images that are held out end it; None: it goes through all its steps.
    """

    images: "ImageSet"
    noise_part: "Part[NoiseFacts, NoiseModel]"
    training: "Training"
    validation: Validation
    holdout: "Holdout | None" = None

    @property
    def noise(self) -> "NoiseModel":
        return self.noise_part.made

    @property
    def selection(self) -> str:
        """Which weights it ends with: `last`, `oracle`, or `holdout`."""
        return "holdout" if self.holdout else self.training.selection


@dataclass(frozen=True)
class Trainer:
    """accelerator: `auto`, `cpu` or `gpu`. devices: how many train together, or `auto`. threads: of PyTorch, None for its own
    choice. checkpoint_s: seconds between checkpoints of a training.
    compile: whether networks are compiled while they train on a set of images."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: "int | Literal['auto']"
    threads: int | None
    checkpoint_s: float
    compile: bool = False


@dataclass(frozen=True)
class Job:
    """One cell to compute, and how.

    cell: its label, keys and place. plain: the whole configuration as plain values, as `config.yaml` keeps it.
    overrides: what gave it, all that another process needs to have the same job. launch: those that say how it is
    launched, which change no result. tile: None where the method takes what it needs of any image. checkpoint: weights to
    test instead of training; init: weights to train on from. code: of the classes that compute it. shard: `i/n`, the part of
    its images that is computed. lacks: what is missing here for it, as planning found: it is not computed then.
    measures: scored beside PSNR and SSIM. ensemble: over flips and turns of each test image. learn: whether one network learns
    from all slices of a stack.
    """

    overrides: tuple[str, ...]
    launch: tuple[str, ...]
    plain: Mapping[str, Any]
    cell: Cell
    method: Method
    test_set: "ImageSet"
    noise_part: "Part[NoiseFacts, NoiseModel]"
    learning: Learning | None
    protocol_parts: "tuple[Part[ProtocolFacts, Protocol], ...]"
    loggers: "tuple[Logger, ...]"
    trainer: Trainer
    seed: int
    repeats: int
    precision: Literal[32, "tf32", "bf16-mixed"]
    tile: int | None
    checkpoint: Path | None
    init: Path | None
    budget: str
    pictures: int
    force: bool
    shard: str | None
    code: Code
    lacks: str | None = None
    measures: "tuple[Further, ...]" = ()
    ensemble: Literal["dihedral"] | None = None
    learn: Literal["stack"] | None = None

    def at(self, root: str, study: str) -> "Job":
        """The same job, at the present place of its study."""
        place = {"root": root, "study": study}
        return replace(self, plain={**self.plain, **place}, cell=replace(self.cell, root=root, study=study))

    @property
    def noise(self) -> "NoiseModel":
        return self.noise_part.made

    @property
    def protocols(self) -> "tuple[Protocol, ...]":
        return tuple(part.made for part in self.protocol_parts)

    @property
    def protocol_names(self) -> tuple[str, ...]:
        return tuple(part.facts.name for part in self.protocol_parts)

    @property
    def views(self) -> int:
        """How many noisy images the whole test has."""
        return self.repeats * len(self.test_set.names)

    @property
    def own_views(self) -> list[tuple[str, int]]:
        """The image and the repeat of each noisy image of its shard; of the whole test without a shard."""
        every = [(name, repeat) for repeat in range(self.repeats) for name in self.test_set.names]
        number, count = map(int, (self.shard or "1/1").split("/"))
        return every[number - 1 :: count]


@dataclass(frozen=True)
class Unmade:
    """A cell that no job could be made of, as where its data set is not here. dataset, noise: as they were chosen."""

    label: str
    dataset: str
    noise: str
    seed: int
    error: OSError | ValueError

    def __str__(self) -> str:
        return f"{self.label} | {self.dataset} | {self.noise} | seed {self.seed}"


@dataclass(frozen=True)
class Work:
    """What one of a launcher's jobs is given: the keys of planned cells, computed one after another.

    shard: `i/n`, only these of their images. threads: of PyTorch, where the cell's trainer says nothing. on_error: `continue`
    with the next cell after one that failed, or `stop`. before: how many cells of the command were done before. train_s,
    test_s: the seconds that each cell is expected to take, as far as they are known; for what is shown while it runs.
    """

    root: str
    study: str
    cells: Sequence[str]
    shard: str | None
    threads: int | None
    on_error: str
    before: int = 0
    train_s: Sequence[float | None] = ()
    test_s: Sequence[float | None] = ()
