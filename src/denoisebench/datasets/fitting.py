"""What goes together: images and noises, and the images that can train a method. Planning asks it, without PyTorch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from denoisebench.datasets.images import ImageSet

if TYPE_CHECKING:
    from denoisebench.noise import NoiseModel


@dataclass(frozen=True)
class NoiseFacts:
    """What planning asks of a noise model.

    real: whether it adds nothing; stored: the level of one that a data set stores. camera: whether it needs RGB. placed: whether
    its structure belongs to places of the whole image. sigma: its standard deviation, where that is a setting. fades: whether
    it leaves black as it is. raw: whether it needs raw planes.
    """

    name: str
    real: bool = False
    stored: int | None = None
    camera: bool = False
    placed: bool = False
    sigma: Any = None
    fades: bool = False
    raw: bool = False


def facts_of(noise: "NoiseModel | NoiseFacts") -> NoiseFacts:
    if isinstance(noise, NoiseFacts):
        return noise
    from denoisebench.noise import Camera, Placed, Poisson, PoissonGaussian, Raw, Real, Speckle, Stored

    sigma = getattr(noise, "sigma", None)
    fades = isinstance(noise, Poisson | Speckle) or (isinstance(noise, PoissonGaussian) and not noise.sigma)
    return NoiseFacts(
        noise.name, isinstance(noise, Real), noise.level if isinstance(noise, Stored) else None, isinstance(noise, Camera),
        isinstance(noise, Placed), sigma, fades, isinstance(noise, Raw),
    )  # fmt: skip


def impossible(images: ImageSet, noise: "NoiseModel | NoiseFacts", key: str = "noise") -> str | None:
    """Why this noise cannot go with these images, and the way out; None where it can."""
    facts = facts_of(noise)
    if images.has_noisy and not facts.real:
        return f"{images.name} is already noisy, {facts.name} on top would be a noise of no name: set {key}=real"
    if not images.has_noisy and facts.real:
        return f"{images.name} has no noisy images of its own: set {key} to a noise model, e.g. gaussian25"
    stored = getattr(images, "stored", None)
    if facts.stored is not None and stored != facts.stored:
        return f"{images.name} does not store noise of level {facts.stored}: set {key} to a noise model, e.g. gaussian25"
    if stored is not None and facts.stored is None:
        return f"{images.name} stores noise of level {stored}, which goes by its own name: set {key}=stored {key}.level={stored}"
    if facts.camera and images.channels != 3:
        kind = "raw" if images.packed else "gray"
        return f"{images.name} is {kind}, and camera noise needs RGB images: set {key} to another noise"
    if facts.raw and not images.packed:
        return (
            f"{images.name} holds no raw planes, which raw noise belongs to: set dataset.unprocess=0 (the seed of its cameras), "
            f"or {key} to another noise"
        )
    return None


def no_target(images: ImageSet, target: Literal["clean", "noisy"] | None) -> str | None:
    """Why these images cannot train a method that learns from such targets, and the way out; None where they can."""
    if target == "clean" and not images.has_clean:
        return f"it learns from clean images, and the training set {images.name} has none: choose another train_set"
    if target == "noisy" and images.has_noisy and not images.has_second:
        return (
            f"it learns from two independent noisy views, and the training set {images.name} has one noisy image of each: "
            "choose a train_set of clean images and a train_noise, or a folder with a second one: train_set.second=FOLDER"
        )
    return None


def first_smaller(images: ImageSet, side: int) -> str | None:
    """The first image with a shorter side, and its size; None if there is none. Reads sizes only, where it can."""
    for index, name in enumerate(images.names):
        height, width = images.size(index)
        if min(height, width) < side:
            return f"{images.name}, {name}: {height} x {width}"
    return None


def too_small(images: ImageSet, patch: int) -> str | None:
    """Which image is smaller than a training patch, and the way out; None if none is."""
    if found := first_smaller(images, patch):
        return f"{found} is smaller than training.patch={patch}: lower it, or take the image out of the training set"
    return None
