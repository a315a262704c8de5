"""A data set's node -> its images, with the steps that `dataset.pack` and `dataset.unprocess` ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from denoisebench.config.errors import ConfigError, DataError
from denoisebench.config.parts import TARGET, instantiate, with_own_key
from denoisebench.datasets.bayer import Packed, Unprocessed
from denoisebench.datasets.images import ImageSet

STEPS = ("pack", "unprocess")


@dataclass(frozen=True)
class Steps:
    """What is done to the images of a data set, and to those of what is trained on for it.

    pack: `bayer`, planes of one channel as four channels. unprocess: clean sRGB images as such planes, of cameras drawn by this
    seed.
    """

    pack: str | None = None
    unprocess: int | None = None

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Self:
        """Of a data set's node. Raises: ConfigError."""
        pack, seed = (node.get(name) for name in STEPS)
        if pack not in (None, "bayer"):
            raise ConfigError(f"dataset.pack={pack} is not valid: expected bayer or null")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
            raise ConfigError(f"dataset.unprocess={seed} is not valid: expected a seed, an integer from 0, or null")
        return cls(pack, seed)

    @property
    def inner_channels(self) -> int | None:
        """What the files have; None: what the node says."""
        return 3 if self.unprocess is not None else 1 if self.pack else None


def image_set(node: Mapping[str, Any], key: str, steps: Steps) -> ImageSet:
    """The images of a node; those of the nodes in it first. Raises: as `instantiate`."""
    own = {name: value for name, value in node.items() if name not in STEPS}
    inner = {name: value for name, value in own.items() if isinstance(value, Mapping) and TARGET in value}
    if inner:
        return instantiate(own | {name: image_set(one, f"{key}.{name}", steps) for name, one in inner.items()}, key, ImageSet)
    if steps.inner_channels and "channels" in own:
        own["channels"] = steps.inner_channels
    packs = steps.pack is not None and steps.unprocess is None
    crop = own.get("crop") if packs else None
    images: ImageSet = instantiate(own | ({"crop": None} if crop else {}), key, ImageSet)
    try:
        if steps.unprocess is not None:
            return Unprocessed(images, steps.unprocess)
        if packs:
            return Packed(images, crop)
    except ValueError as error:
        raise DataError(with_own_key(str(error), key)) from error
    if getattr(images, "mosaic", False):
        raise DataError(f"{images.name} holds Bayer planes, whose neighbours see other colours: set {key}.pack=bayer")
    return images
