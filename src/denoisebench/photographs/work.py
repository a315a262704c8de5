"""Denoises files: what is left to do, in what order, and the outcome of each."""

import errno
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from denoisebench import api
from denoisebench.datasets.images import file_hash, fingerprint_of
from denoisebench.denoiser import ImageDenoiser
from denoisebench.photographs.files import Item, Problem, check_free
from denoisebench.photographs.how import AUTO, How
from denoisebench.photographs.memory import COPIES, Part, Rooms, in_pieces
from denoisebench.photographs.photo import Photo, PhotoError, with_alpha
from denoisebench.photographs.record import FOLDER, Record
from denoisebench.photographs.sources import Photographs, Source, sources_of
from denoisebench.progress import console, track
from denoisebench.ranking import NETWORK, named_network, rank
from denoisebench.seeding import seed_from
from denoisebench.stack_learning import HELD_BYTES, Slices, StackLearner
from denoisebench.store.cell import key_of
from denoisebench.store.files import BusyError, held, whole_copy, whole_file
from denoisebench.store.named import NamedWeights, every_name, named

VERSION = 1  # of what is written: another one makes outputs anew
Fraction = Callable[[float], None]


@dataclass
class Outcome:
    written: int = 0
    done_before: int = 0
    problems: list[Problem] = field(default_factory=list)

    def failed(self, path: Path, text: str) -> None:
        self.problems.append((path, text))
        console.print(f"{path}: {text}", style="red", markup=False)


class Work:
    """One call of the command. items: each with its output. outcome: what has become of them so far."""

    def __init__(self, items: Sequence[Item], how: How, outcome: Outcome) -> None:
        self.items, self.how, self.outcome = items, how, outcome
        self.rooms = Rooms(how.memory)
        self._records: dict[Path, Record] = {}
        self._denoisers: dict[tuple[str, int], api.Denoiser] = {}
        self._told: set[str] = set()
        self._groups: dict[int, list[Source]] = {}
        self._stacks = 0
        self._by = ""  # what is shown of the method that was chosen

    def run(self) -> Outcome:
        """Raises: ConfigError for settings that are not valid; KeyboardInterrupt, after which the same call continues."""
        with ExitStack() as locks:
            self._open_targets(locks)
            left = [item for item in self.items if self._is_left(item)]
            if self._trains and left:
                left = self._readable(left)
            with track(f"denoising by {self.how.method}", len(left)) as advance:
                for number, item in enumerate(left):
                    self._one(item, lambda part, number=number, item=item: advance(number + part, item.source.name + self._by))
                    advance(number + 1, item.source.name)
        if self.how.learn and self.outcome.written and not self._stacks:
            console.print(
                "--learn stack: none of these is a stack of several images, so each was learned from alone", markup=False
            )
        return self.outcome

    # --- What is left -------------------------------------------------------------------------------------------------

    def _open_targets(self, locks: ExitStack) -> None:
        """Each folder of outputs, locked; the files of one that cannot be written to fail."""
        for folder in dict.fromkeys(item.output.parent for item in self.items):
            try:
                locks.enter_context(held(folder / FOLDER / "lock"))
                self._records[folder] = Record(folder)
                self._records[folder].remove_left_over()
            except BusyError:
                self.outcome.failed(folder, "another process is denoising into this folder: wait for it")
            except OSError as error:
                self.outcome.failed(folder, _said(error))

    def _is_left(self, item: Item) -> bool:
        record = self._records.get(item.output.parent)
        if record is None:
            return False
        try:
            if not self.how.force and record.is_done(item.output.name, self._key(item)):
                self.outcome.done_before += 1
                return False
            check_free(item, record, force=self.how.force)
        except (OSError, PhotoError) as error:
            self.outcome.failed(item.source, _said(error))
            return False
        return True

    def _key(self, item: Item) -> str:
        """Of everything that an output is made of."""
        how = self.how
        learned = self._learned_from if self._trains else file_hash(how.checkpoint) if how.checkpoint else None
        reading = {name: value for name, value in vars(how.reading).items() if name != "axes" or value is not None}
        made = [VERSION, file_hash(item.source), how.method, self._nodes, how.seed, reading, learned]
        made += [how.learn] if how.learn else []
        return key_of({"made": json.loads(json.dumps(made, default=str))})

    @cached_property
    def _nodes(self) -> list[Any]:
        chosen = [self.how.chosen(channels, method) for method in self.how.methods for channels in (1, 3)]
        networks = [one.card["sha256"] for channels in (1, 3) for one in self._networks if one.card["channels"] == channels]
        return [*({**own.node, "training": own.training} for own in chosen), *networks]

    @cached_property
    def _networks(self) -> list[NamedWeights]:
        """The named networks that may be used beside the methods."""
        every = [named(name) for name in every_name()] if self.how.method == AUTO else []
        return [one for one in every if not one.damage()]

    @cached_property
    def _trains(self) -> bool:
        return self.how.checkpoint is None and any(self.how.chosen(3, one).cls.learns == "dataset" for one in self.how.methods)

    @cached_property
    def _learned_from(self) -> str:
        """All the images of this call, which a method that trains has learned from."""
        return fingerprint_of(*sorted(_hash_or_name(item.source) for item in self.items))

    # --- The denoiser -------------------------------------------------------------------------------------------------

    def _readable(self, left: Sequence[Item]) -> list[Item]:
        """Find which files can be read, and so trained on, before a training of hours; the others fail."""
        bad = set()
        for item in self.items:
            try:
                for source in sources_of(item.source, self.how.reading):
                    self._groups.setdefault(source.photo(self.how.reading).channels, []).append(source)
            except (OSError, PhotoError) as error:
                bad.add(item.source)
                if item in left:
                    self.outcome.failed(item.source, _said(error))
        return [item for item in left if item.source not in bad]

    def _denoiser(self, method: str, channels: int) -> api.Denoiser:
        if (method, channels) not in self._denoisers:
            self._denoisers[method, channels] = self._made(method, channels)
        return self._denoisers[method, channels]

    def _made(self, method: str, channels: int) -> api.Denoiser:
        how = self.how
        if network := named_network(method):
            return api.load(network.file)
        chosen = how.chosen(channels, method)
        if how.checkpoint is not None:
            return api.load(how.checkpoint, method, channels=channels, **how.settings)
        if not self._trains:
            return api.Denoiser(chosen, chosen.make(how.seed))
        images = Photographs(self._groups[channels], channels, how.reading)
        key = key_of({"set": images.fingerprint, "node": chosen.node, "training": chosen.training, "seed": how.seed})
        folder = self.items[0].output.parent / FOLDER / f"training-{key}"
        return api.trained_on(images, chosen, folder, seed=how.seed)

    # --- One file -----------------------------------------------------------------------------------------------------

    def _one(self, item: Item, fraction: Fraction) -> None:
        try:
            sources = sources_of(item.source, self.how.reading)
            if sources[0].stack is None:
                self._photo(item, sources[0].photo(self.how.reading), fraction)
            else:
                self._stack(item, sources, fraction)
            self.outcome.written += 1
        except Exception as error:  # one file must not stop the others
            self.outcome.failed(item.source, _said(error))

    def _photo(self, item: Item, photo: Photo, fraction: Fraction) -> None:
        for note in photo.notes:
            console.print(f"{item.source}: {note}", markup=False)
        denoiser = self._denoiser(self._method_for(photo), photo.channels)
        part = self._part(denoiser, photo)
        content = photo.encoded(photo.stored(self._denoised(photo, denoiser, part, fraction)))
        with whole_file(item.output) as file:
            file.write_bytes(content)
            self._finish(item, file)

    def _stack(self, item: Item, sources: Sequence[Source], fraction: Fraction) -> None:
        """Slice by slice into a copy, of which no more than a slice is in memory."""
        stack, reading = sources[0].stack, self.how.reading
        assert stack is not None
        self._stacks += len(sources) > 1
        method, first = self._method_for(sources[len(sources) // 2].photo(reading)), sources[0].photo(reading)
        denoiser = self._denoiser(method, first.channels)
        held = self._held(sources, first) if self.how.learn else 0
        part = self._part(denoiser, first, held)  # of all slices, which are of one size
        with whole_copy(item.source, item.output) as copy, self._learning(sources, denoiser, part, held):
            for number, source in enumerate(sources):
                photo = source.photo(reading)
                denoised = self._denoised(
                    photo, denoiser, part, lambda own, number=number: fraction((number + own) / len(sources))
                )
                stack.write(copy, number, with_alpha(photo.stored(denoised), photo.alpha))
            stack.finish(copy)
            self._finish(item, copy)

    def _held(self, sources: Sequence[Source], first: Photo) -> int:
        """Bytes of the slices that one network learns from, at most, with what a method may build from each."""
        most = min(HELD_BYTES, (self.rooms.limit or 4 * HELD_BYTES) // 4)
        return min(most, len(sources) * 2 * COPIES * first.unit.nbytes)

    @contextmanager
    def _learning(self, sources: Sequence[Source], denoiser: api.Denoiser, part: Part, held: int) -> Iterator[None]:
        """With `learn`: one network for these slices. Raises: PhotoError where a slice does not fit into the memory there is."""
        if self.how.learn is None:
            yield
            return
        if part.piece:
            raise PhotoError("--learn stack takes whole slices, and the memory there is does not suffice: leave it out")
        network = denoiser.network
        assert isinstance(network, ImageDenoiser)

        def read(number: int) -> torch.Tensor:
            return torch.from_numpy(sources[number].photo(self.how.reading).unit).permute(2, 0, 1)[None]

        network.stack = StackLearner(network, Slices(len(sources), read, seed_from(self.how.seed, "stack"), held))
        try:
            yield
        finally:
            network.stack = None

    def _part(self, denoiser: api.Denoiser, photo: Photo, held: int = 0) -> Part:
        """How it is cut; told where it is the first that is cut so."""
        part = self.rooms.part(denoiser, photo.unit, held)
        if (told := part.told) and told not in self._told:
            self._told.add(told)
            console.print(f"{photo.path} and others of its size: {told}", markup=False)
        return part

    def _denoised(self, photo: Photo, denoiser: api.Denoiser, part: Part, fraction: Fraction) -> np.ndarray:
        """(H, W, C) float32."""
        image = photo.unit
        if part.piece:
            return in_pieces(denoiser, image, part.piece, self.how.seed, fraction)
        return denoiser(image, seed=self.how.seed, tile=part.tile, on_step=lambda step, total: fraction(0.99 * step / total))

    def _method_for(self, photo: Photo) -> str:
        """Raises: PhotoError where `auto` cannot choose."""
        if self.how.method != AUTO:
            return self.how.method
        path, image = photo.path, photo.unit
        try:
            networks = [f"{NETWORK}{one.name}" for one in self._networks if one.card["channels"] == image.shape[2]]
            best = rank(image, [*self.how.methods, *networks], seed=self.how.seed)[0]
        except ValueError as error:
            raise PhotoError(f"{error}: name a method in place of auto") from error
        if best.problem:
            raise PhotoError(f"no method could be tried ({best.problem}): name one in place of auto")
        left = "left as it is, since no method promises to improve it" if best.method == "noisy" else f"by {best.method}"
        console.print(f"{path}: {left}", markup=False)
        self._by = f" by {best.method}"
        return best.method

    def _finish(self, item: Item, part: Path) -> None:
        shutil.copymode(item.source, part)
        self._records[item.output.parent].add(item.output.name, self._key(item), part)


def _hash_or_name(path: Path) -> str:
    try:
        return file_hash(path)
    except OSError:
        return str(path)


def _said(error: BaseException) -> str:
    """What went wrong with a file, and the way out."""
    if isinstance(error, OSError) and error.errno is not None:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return "no space is left on the disk: free some, or choose another --out"
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            return f"{error.strerror}: {error.filename}; choose a folder that can be written to, --out"
        return f"{error.strerror}: {error.filename}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "the memory there is does not suffice: give less with --memory, e.g. --memory 2"
    return str(error) or type(error).__name__
