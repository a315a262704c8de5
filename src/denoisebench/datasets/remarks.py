"""Remarks on unusual images of the user's own: nothing is refused, but a reader of the scores should know."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from denoisebench.datasets.fitting import NoiseFacts, facts_of
from denoisebench.datasets.folder import Folder
from denoisebench.datasets.images import ImageSet
from denoisebench.datasets.listing import NAMED, listed, looks_cut, of_one_folder, shown
from denoisebench.datasets.looks import Look
from denoisebench.datasets.tiff import range_said
from denoisebench.progress import counted

if TYPE_CHECKING:
    from denoisebench.noise import NoiseModel

DEEP_WHITE = 2**13  # an eighth of a 16-bit range

Looks = Mapping[str, Mapping[str, tuple[Path, Look | str]]]


def remarks(images: ImageSet, noise: "NoiseModel | NoiseFacts") -> Iterator[str]:
    """Everything odd about a set under a noise, a line for each oddity; reads every image of a folder once in a process."""
    facts = facts_of(noise)
    yield from level_remarks(facts)
    if not isinstance(images, Folder):
        return
    looks = images.looks()
    for check in (_passed_over, _unreadable, _deep, _equal, _cut):
        yield from check(images, looks)
    yield from _black(images, looks, facts)


def level_remarks(noise: NoiseFacts) -> Iterator[str]:
    """A sigma that was meant for values in [0, 1]."""
    highest = max(noise.sigma) if isinstance(noise.sigma, Sequence) else noise.sigma
    if highest is not None and 0 < highest < 1:
        yield f"noise.sigma={highest:g} counts in 8-bit grey levels: almost no noise; {highest:g} of [0, 1] is {255 * highest:g}"


def _passed_over(images: Folder, looks: Looks) -> Iterator[str]:
    if over := images.passed_over():
        yield f"{images.name}: {counted(len(over), 'file')} passed over: {'; '.join(over[:NAMED])}" + (
            f"; and {len(over) - NAMED} more" if len(over) > NAMED else ""
        )


def _unreadable(images: Folder, looks: Looks) -> Iterator[str]:
    wrong = [look for side in looks.values() for _, look in side.values() if isinstance(look, str)]
    if wrong:
        yield f"{images.name}: {counted(len(wrong), 'file')} cannot be used: {'; '.join(wrong[:NAMED])}" + (
            f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        )


def _deep(images: Folder, looks: Looks) -> Iterator[str]:
    """12 bits in 16-bit files."""
    if images.scaled:
        return
    dark = {
        path: look.high for side in looks.values() for path, look in side.values()
        if isinstance(look, Look) and look.deep and look.high < DEEP_WHITE
    }  # fmt: skip
    if dark:
        first, highest = next(iter(dark)), max(dark.values())
        said = range_said(first)
        meant = said or f"dataset.white={2 ** max(int(highest).bit_length(), 8) - 1}, if that is the white that they mean"
        yield (
            f"{images.name}: 16-bit files whose values reach {highest:g} of 65535 at most: {listed([*map(_name, dark)])}: "
            f"noise and scores are of the whole range; set {meant}{' (from the TIFF tags)' if said else ''}"
        )


def _equal(images: Folder, looks: Looks) -> Iterator[str]:
    """Pairs whose two images are equal."""
    if "clean" not in looks or "noisy" not in looks:
        return
    equal = [name for name in images.names if _pixels(looks["clean"][name]) == _pixels(looks["noisy"][name])]
    if len(equal) == len(images.names):
        yield f"{images.name}: every noisy image equals its clean one, as of one folder: every score is infinite"
    elif equal:
        yield f"{images.name}: noisy and clean are equal, which scores infinitely and spoils every mean: {listed(equal)}"


def _cut(images: Folder, looks: Looks) -> Iterator[str]:
    """Crops and frames that would count as independent samples."""
    if images.scene_is_said or images.holds_stacks:
        return
    counted = "and count as photographs of their own in every test and interval"
    if cut := looks_cut(images.names):
        yield (
            f"{images.name}: {listed(cut)} look like cuts of one photograph, {counted}; dataset.scene='(.*)_[0-9]+' says which "
            "photograph an image is of (any pattern of the whole name)"
        )
    elif together := of_one_folder(images.names):
        yield f"{images.name}: {listed(together)} lie in one folder, {counted}; dataset.scene='(.*)/.*' makes a folder a scene"


def _black(images: Folder, looks: Looks, noise: NoiseFacts) -> Iterator[str]:
    """Photon noise leaves black as it is."""
    clean = looks.get("clean", {})
    black = [name for name, (_, look) in clean.items() if isinstance(look, Look) and look.high == 0]
    if noise.fades and not images.has_noisy and black:
        yield f"{images.name}: black all over, where {noise.name} adds nothing and scores are infinite: {listed(black)}"


def _pixels(seen: tuple[Path, Look | str]) -> object:
    path, look = seen
    return look.pixels if isinstance(look, Look) else path


def _name(path: Path) -> str:
    return shown(path.name)
