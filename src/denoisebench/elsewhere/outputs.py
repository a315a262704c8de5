"""Images that another program denoised, scored as they are."""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import tifffile
import torch
from torch import Tensor

from denoisebench.batch import Batch
from denoisebench.datasets.images import file_hash
from denoisebench.datasets.reading import read_image, to_unit
from denoisebench.denoiser import Denoiser
from denoisebench.scoring.kept import image_hash
from denoisebench.store.pictures import output_name

MANIFEST = "manifest.json"
SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".jpg", ".jpeg", ".bmp")
NEEDS = "method=outputs needs method.folder=DIR, the denoised images, and method.label=NAME, what made them"
TRAINED = {
    "nothing": (), "supervised": ("supervised",), "self_supervised": ("self_supervised_elsewhere",),
    "unknown": ("training_unknown",),
}  # fmt: skip
MOST = 4.0  # float outputs in [0, 1] may overshoot, and those on the 0-255 scale are beyond


class Outputs(Denoiser):
    """Images that another program denoised, read from a folder and scored as a method.

    Made elsewhere: denoisebench cannot check how. `denoisebench export-noisy` writes the noisy images.

    folder: one image for each test image, of its name (and `NAME+r1` for a second repeat): PNG, TIFF, JPEG, BMP of 8 or 16
        bit, TIFF or .npy (H, W) or (H, W, C) of floats in [0, 1] that may overshoot; all of one bit depth.
    label: what tables call it.
    trained: how the program was, as a tag of its rows: `supervised` ones are no rivals of those that saw no clean image.
    manifest: that `export-noisy` wrote (default: `manifest.json` in the folder, where there is one): the hash of each noisy
        image must be that of the test image, and the files beside the manifest must be as they were written.

    Deviations from the released code: none.
    """

    family = "made elsewhere"
    timed: ClassVar[bool] = False

    def __init__(
        self, folder: str | None = None, label: str | None = None, manifest: str | None = None,
        trained: Literal["nothing", "supervised", "self_supervised", "unknown"] = "unknown",
    ) -> None:  # fmt: skip
        super().__init__()
        if folder is None or not label:
            raise ValueError(NEEDS)
        self.folder = Path(folder).expanduser()
        self.files = _listed(self.folder)
        own = Path(manifest).expanduser() if manifest else self.folder / MANIFEST
        if manifest and not own.is_file():
            raise FileNotFoundError(f"method.manifest={manifest}: no such file")
        self.manifest = own if own.is_file() else None
        self._bits, self.trained = 0, trained

    @classmethod
    def identity(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Where the files lie is no part of it; what they hold is."""
        if settings.get("folder") is None or not settings.get("label"):
            raise ValueError(NEEDS)
        files = _listed(Path(settings["folder"]).expanduser())
        digest = hashlib.sha256("\n".join(f"{name} {file_hash(path)}" for name, path in files.items()).encode()).hexdigest()
        return {**settings, "folder": digest, "manifest": None}

    @classmethod
    def labelled(cls, settings: Mapping[str, Any]) -> str | None:
        return settings.get("label")

    @property
    def tags(self) -> tuple[str, ...]:
        return ("made_elsewhere", *TRAINED[self.trained], *(() if self.manifest else ("input_unverified",)))

    @property
    def chosen(self) -> Mapping[str, float | str]:
        return {"bits": float(self._bits)} if self._bits else {}

    def denoise(self, noisy: Tensor) -> Tensor:
        raise ValueError("method=outputs has no network: it scores images that were made elsewhere")

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images = [self._image(name, batch.repeat, noisy) for name, noisy in zip(batch.name, batch.noisy, strict=True)]
        return torch.stack(images).to(batch.noisy.device)

    def _image(self, name: str, repeat: int, noisy: Tensor) -> Tensor:
        stem = Path(output_name(name, repeat)).stem
        path = self.files.get(stem)
        if path is None:
            raise FileNotFoundError(f"method.folder={self.folder} has no image {stem} ({', '.join(SUFFIXES)})")
        self._verify(stem, noisy)
        image, bits = _read(path, noisy.shape[0])
        if tuple(image.shape) != tuple(noisy.shape):
            raise ValueError(f"{path} is {_shape(image)}, and the noisy image {_shape(noisy)}")
        if self._bits not in (0, bits):
            raise ValueError(f"{path} has {bits} bit, and images before it {self._bits}: write all of them in one bit depth")
        self._bits = bits
        return image

    def _verify(self, stem: str, noisy: Tensor) -> None:
        """That the other program was given this noisy image."""
        if self.manifest is None:
            return
        told = self._manifest.get(stem)
        if told is None or told["noisy_sha"] != image_hash(noisy):
            raise ValueError(
                f"{stem}: the noisy image in {self.manifest} is not that of this test: export-noisy must be given the same "
                "dataset, noise and seed"
            )
        for name, digest in told["files"].items():
            path = self.manifest.parent / name
            if path.is_file() and file_hash(path) != digest:
                raise ValueError(f"{path} is not as export-noisy wrote it: what was denoised may be another image")

    @cached_property
    def _manifest(self) -> Mapping[str, Any]:
        assert self.manifest is not None
        try:
            return json.loads(self.manifest.read_text(encoding="utf-8"))["images"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.manifest} is no manifest of export-noisy ({error})") from error


def _listed(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"method.folder={folder}: no such folder")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and files.setdefault(path.stem, path) is not path:
            raise ValueError(f"method.folder={folder}: {files[path.stem].name} and {path.name} are of one name")
    if not files:
        raise ValueError(f"method.folder={folder}: no image in it ({', '.join(SUFFIXES)})")
    return files


def _read(path: Path, channels: int) -> tuple[Tensor, int]:
    """(C, H, W) float32 and the bits of a stored value."""
    floats = _floats(path)
    if floats is None:
        image = read_image(path, channels)
        return torch.from_numpy(to_unit(image).transpose(2, 0, 1).astype(np.float32)), 8 * image.dtype.itemsize
    image = floats[..., None] if floats.ndim == 2 else floats
    if image.ndim != 3 or not np.isfinite(image).all() or np.abs(image).max(initial=0) > MOST:
        raise ValueError(f"{path}: expected finite floats (H, W) or (H, W, C) in [0, 1], got {image.shape}, "
                         f"{np.abs(image).max(initial=0):.4g} at most")  # fmt: skip
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32)), 32


def _floats(path: Path) -> np.ndarray | None:
    """The values of a file of floats; None for another file."""
    try:
        if path.suffix.lower() == ".npy":
            image = np.load(path, allow_pickle=False)
            return to_unit(image) if image.dtype.kind == "u" else image
        if path.suffix.lower() in (".tif", ".tiff"):
            image = tifffile.imread(path)
            return image if image.dtype.kind == "f" else None
    except Exception as error:
        raise ValueError(f"{path} cannot be read as an image ({error})") from error
    return None


def _shape(image: Tensor) -> str:
    return " x ".join(map(str, image.shape))
