"""A data set's node -> its images, with the steps that `dataset.pack` and `dataset.unprocess` ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from denoisebench.config.errors import ConfigError, DataError
from denoisebench.config.parts import TARGET, class_of, instantiate, with_own_key
from denoisebench.datasets.bayer import Packed, Unprocessed
from denoisebench.datasets.folder import Folder, PlaneFiles
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
    def packs(self) -> bool:
        """Whether the files hold the planes that are packed: those of `unprocess` are packed anyway."""
        return self.pack is not None and self.unprocess is None


def image_set(node: Mapping[str, Any], key: str, steps: Steps) -> ImageSet:
    """The images of a node; those of the nodes in it first. Raises: as `instantiate`."""
    own = {name: value for name, value in node.items() if name not in STEPS}
    inner = {name: value for name, value in own.items() if isinstance(value, Mapping) and TARGET in value}
    if inner:
        return instantiate(own | {name: image_set(one, f"{key}.{name}", steps) for name, one in inner.items()}, key, ImageSet)
    own = _as_files(own, key, steps)
    crop = own.get("crop") if steps.packs else None
    images: ImageSet = instantiate(own | ({"crop": None} if crop else {}), key, ImageSet)
    try:
        if steps.unprocess is not None:
            return Unprocessed(images, steps.unprocess)
        if steps.packs:
            return Packed(images, crop)
    except ValueError as error:
        raise DataError(with_own_key(str(error), key)) from error
    if getattr(images, "mosaic", False):
        raise DataError(f"{images.name} holds Bayer planes, whose neighbours see other colours: set dataset.pack=bayer")
    return images


def _as_files(node: Mapping[str, Any], key: str, steps: Steps) -> dict[str, Any]:
    """A node with the channels of its files, where it says the 4 that methods are given, and with files read as planes.

    Colours never become gray on the way to Bayer planes: who refuses them says so. Raises: ConfigError.
    """
    cls = class_of(node, key, ImageSet)
    if steps.packs and cls is Folder:
        return {**node, TARGET: f"{PlaneFiles.__module__}.{PlaneFiles.__name__}", "channels": 1}
    mosaic = getattr(cls, "mosaic", False)
    if steps.packs and node.get("channels") in (1, 4):  # 1: a training set's own, gray of its colours
        ours = cls.__module__.startswith("denoisebench.")  # another package's holds what is packed
        return {**node, "channels": 3 if ours and not mosaic else 1}
    if node.get("channels") != 4 or not (steps.unprocess is not None or mosaic):
        return dict(node)
    return {**node, "channels": 1 if mosaic else 3}
