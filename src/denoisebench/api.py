"""`import denoisebench`: denoise, train, load, diagnose, score and read from Python.

Images are NumPy arrays (H, W) or (H, W, C), or PyTorch tensors (H, W), (C, H, W) or (N, C, H, W); C is 1 (gray) or 3 (RGB);
uint8, uint16, or float in the nominal range [0, 1]. The result has the type, shape and device of the input:
integers are clipped and rounded, floats are left as the method returns them.

`**settings` are the keys of the method's YAML, checked as on the command line.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from denoisebench.config import groups
from denoisebench.config.choosing import Chosen, choose, class_named
from denoisebench.config.jobs import protocols_of
from denoisebench.datasets.arrays import Array, Arrays, given
from denoisebench.datasets.datamodule import DataModule, TrainingData
from denoisebench.datasets.fitting import no_target
from denoisebench.datasets.images import ImageSet
from denoisebench.datasets.training import Training
from denoisebench.denoiser import Denoiser as Network
from denoisebench.denoiser import ImageDenoiser
from denoisebench.diagnosis.diagnosis import Diagnosis, diagnosed
from denoisebench.networks.layout import unwrapped
from denoisebench.networks.weight_files import as_safetensors, is_safetensors, read_file, said_by
from denoisebench.noise import Real
from denoisebench.progress import counted
from denoisebench.report.rows import find_study, read_study
from denoisebench.scoring.kept import as_stored, in_16_bit, values_of
from denoisebench.seeding import isolated_rng, seed_from
from denoisebench.store.files import whole_file
from denoisebench.training.engine import Engine
from denoisebench.training.fit import Course, Told, trained
from denoisebench.training.weights import load_weights

if TYPE_CHECKING:
    import pandas as pd

Device = Literal["auto", "cpu", "gpu"]
StepsDone = Callable[[int, int], None]
MARK = "denoisebench"


class Denoiser:
    """A method with its weights, for images with a fixed number of channels. Call it with an image.

    Made by `train` and `load`. chosen: its name and settings. network: the method itself, a LightningModule.
    """

    def __init__(self, chosen: Chosen, network: Network) -> None:
        self.chosen, self.network = chosen, network

    @property
    def method(self) -> str:
        return self.chosen.name

    @property
    def settings(self) -> dict[str, Any]:
        return self.chosen.settings

    def __repr__(self) -> str:
        return f"<denoisebench.Denoiser {self.method}, {self.chosen.channels} channels>"

    def __call__(
        self,
        image: Array,
        *,
        seed: int = 0,
        tile: int | None = None,
        device: Device = "auto",
        on_step: StepsDone | None = None,
    ) -> Array:
        """The denoised image, in the type of `image`.

        tile: side in pixels of the tiles that a network is given one at a time, for images that need too much memory.
        on_step: called with the steps that a method has learned from this image, and how many there are at most.
        Raises: ValueError for an image of another number of channels; TypeError for a type without a known range.
        """
        images = given(image)
        channels = images.planes.shape[1]
        if channels != self.chosen.channels:
            kinds = {1: "gray", 3: "RGB"}
            raise ValueError(f"{self!r} denoises {kinds[self.chosen.channels]} images, and this one is {kinds[channels]}")
        if tile is not None and not self.network.tiles:
            raise ValueError(f"method={self.method} does not work in tiles: tile=None gives it the whole image")
        network = self.network.to(_device(device)).eval()
        network.tile = tile
        with _reported(network, on_step), torch.no_grad():
            return images.back(torch.cat([_denoised(network, one, seed) for one in images.planes.split(1)]))

    def save(self, path: str | Path) -> None:
        """Write weights and settings to a file that `load` and `checkpoint=` read. The file is complete or absent.

        It is one of safetensors, or of PyTorch if its name ends in .pt, .pth or .ckpt.
        """
        chosen = self.chosen
        settings = json.dumps(chosen.given, default=lambda value: value.item() if hasattr(value, "item") else str(value))
        about = {"method": chosen.name, "budget": chosen.budget, "channels": chosen.channels, "settings": settings}
        weights = {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}
        with whole_file(Path(path)) as part:
            if Path(path).suffix in (".pt", ".pth", ".ckpt"):
                torch.save({"state_dict": weights, MARK: about}, part)
            else:
                part.write_bytes(as_safetensors(weights, {MARK: json.dumps(about)}))


class _reported:  # noqa: N801 (a context manager)
    """Reports the steps of a method while it learns from an image."""

    def __init__(self, network: Network, steps_done: StepsDone | None) -> None:
        self.network, self.steps_done = network, steps_done

    def __enter__(self) -> None:
        if isinstance(self.network, ImageDenoiser) and (report := self.steps_done):
            total = self.network.num_steps
            self.network.on_image_step = lambda step, loss: report(step, total)

    def __exit__(self, *_: object) -> None:
        if isinstance(self.network, ImageDenoiser):
            self.network.on_image_step = None


def _device(device: Device) -> torch.device:
    if device == "gpu" and not torch.cuda.is_available():
        raise ValueError("device='gpu': PyTorch finds no CUDA device here; use 'auto' or 'cpu'")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def _denoised(network: Network, noisy: Tensor, seed: int) -> Tensor:
    """One image (1, C, H, W), as if it was the only one."""
    with isolated_rng(seed_from(seed, "denoise")):
        result = network.denoise(noisy.to(network.device))
    if result.shape != noisy.shape or not bool(torch.isfinite(result).all()):
        raise ValueError(f"{type(network).__name__} returned {tuple(result.shape)} of {tuple(noisy.shape)}, or values not finite")
    return result


def denoise(
    image: Array, method: str = "zsn2n", *, seed: int = 0, budget: str = "paper", tile: int | None = None,
    device: Device = "auto", **settings: Any,
) -> Array:  # fmt: skip
    """The denoised image, by a method that learns nothing or from this image alone (`methods()` lists them).

    seed: of the method's random numbers. budget: the recipe, `paper`, `quick` or `smoke`. settings: the method's own, e.g.
    `steps=500`, or `sigma=25` (on the 0-255 scale) where None estimates the noise level.
    Raises: ConfigError (a ValueError) for settings that are not valid; ValueError for methods that learn from a set.
    """
    chosen = choose(method, given_channels(image), budget=budget, settings=settings)
    if chosen.cls.learns == "dataset":
        raise ValueError(
            f"method={method} learns from a set of images: denoisebench.train(images, method='{method}') trains it, "
            "denoisebench.load('weights.safetensors') loads its weights"
        )
    return Denoiser(chosen, chosen.make(seed))(image, seed=seed, tile=tile, device=device)


def given_channels(image: np.ndarray | Tensor) -> int:
    """1 or 3. Raises: ValueError or TypeError for anything that is not an image."""
    return given(image).planes.shape[1]


def diagnose(image: np.ndarray | Tensor) -> Diagnosis:
    """What noise an image has: its level and how it grows with intensity, its correlation, what storing did to it.

    Raises: ValueError or TypeError for what is no image, a batch, or an image of fewer than 32 pixels in height or width.
    """
    planes = given(image).planes
    if len(planes) != 1:
        raise ValueError(f"expected one image, got a batch of {len(planes)}: diagnose them one by one")
    return diagnosed(planes[0].cpu().numpy())


def train(
    images: Sequence[np.ndarray | Tensor], method: str = "neighbor2neighbor", *, budget: str = "hour", steps: int | None = None,
    seed: int = 0, folder: str | Path | None = None, **settings: Any,
) -> Denoiser:  # fmt: skip
    """Train a method on noisy images, without ground truth.

    budget: the recipe, `paper`, `hour` (on one CPU core), `quick` or `smoke`. steps: of training, in place of the recipe's.
    folder: where the training is kept, so that the same call continues one that was interrupted; None: nowhere.
    settings: the method's own, and `training={"patch": 64, "batch": 4}`.
    Raises: ConfigError (a ValueError) for settings that are not valid; ValueError for methods that do not learn from noisy
    images, and for images smaller than a patch.
    """
    own = Arrays(images)
    if steps is not None:
        settings["training"] = {**(settings.get("training") or {}), "steps": steps}
    chosen = choose(method, own.channels, budget=budget, settings=settings)
    with tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as place:
        return trained_on(own, chosen, Path(place), seed=seed)


def trained_on(images: ImageSet, chosen: Chosen, folder: Path, *, seed: int = 0, device: Device = "auto") -> Denoiser:
    """The same for a set of noisy images, its training kept in a folder that belongs to it alone."""
    _check_learns(chosen, images)
    network = chosen.make(seed)
    training = Training(**chosen.training)
    data = DataModule(images, Real(), seed, train=TrainingData(images, Real(), training, network.target))
    engine = Engine("gpu" if _device(device).type == "cuda" else "cpu", checkpoint_s=60)
    trained(network, data, folder, Course(seed, engine), Told(f"training {chosen.name} on {counted(len(images.names), 'image')}"))
    return Denoiser(chosen, network)


def _check_learns(chosen: Chosen, images: ImageSet) -> None:
    if chosen.cls.learns != "dataset":
        raise ValueError(f"method={chosen.name} needs no training: denoisebench.denoise(image, method='{chosen.name}')")
    if reason := no_target(images, chosen.cls.target):
        raise ValueError(f"method={chosen.name}: {reason.partition(':')[0]}; choose a self-supervised method, or load weights")
    if not chosen.training["steps"]:
        raise ValueError(f"budget={chosen.budget} does not say how long {chosen.name} trains: set steps, or another budget")


def load(weights: str | Path, method: str | None = None, *, channels: int | None = None, **settings: Any) -> Denoiser:
    """The denoiser of a file of weights: what `Denoiser.save` wrote; or a study's or released weights, with their method.

    method, channels (1 or 3), settings: needed only where the file does not say them.
    Raises: FileNotFoundError, or ValueError naming the file and what does not fit.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    about = saved(path)
    name = method or about.get("method")
    if channels and about.get("channels", channels) != channels:
        raise ValueError(f"{path} has weights for images of {about['channels']} channels, not {channels}")
    if name is None:
        raise ValueError(f"{path} does not say of which method its weights are: load({str(weights)!r}, method=NAME)")
    own = json.loads(about["settings"]) if name == about.get("method") else {}
    chosen = choose(name, channels or about.get("channels", 3), budget=about.get("budget", "paper"), settings=own | settings)
    network = chosen.make(0)
    load_weights(network, path)
    return Denoiser(chosen, network)


def saved(path: Path) -> Mapping[str, Any]:
    """What a file of `Denoiser.save` says about itself; empty for other files."""
    try:
        content = read_file(path)
        unwrapped(content)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a valid file of weights ({error})") from error
    return json.loads(said_by(path).get(MARK, "{}")) if is_safetensors(path) else content.get(MARK, {})


def score(denoised: np.ndarray | Tensor, clean: np.ndarray | Tensor, protocol: str = "default") -> dict[str, float | None]:
    """The measures of an image under a protocol, as a study's rows have them: `{"psnr_db": ..., "ssim": ...}`.

    None for what cannot be measured, e.g. SSIM of an image smaller than its window. Batches: the mean over the images.
    Raises: ConfigError (a ValueError) for an unknown protocol; ValueError for images of two shapes.
    """
    [rule] = protocols_of([protocol])
    ours, truth = given(denoised).planes, given(clean).planes
    if ours.shape != truth.shape:
        raise ValueError(f"the denoised image is {_shape(denoised)} and the clean one {_shape(clean)}: they must be equal")
    scores = rule.scores(in_16_bit(ours) if rule.clip else ours, as_stored(truth), None)
    return values_of({name: values.mean(0, keepdim=True) for name, values in scores.items()}, 0)


def _shape(image: np.ndarray | Tensor) -> str:
    return " x ".join(map(str, image.shape))


@dataclass(frozen=True)
class MethodInfo:
    """name: what `denoise` and `train` call it. learns: `nothing`, from the one `image`, or from a `dataset`. supervised:
    whether it needs clean targets, which `train` does not have. summary: one line."""

    name: str
    learns: Literal["nothing", "image", "dataset"]
    supervised: bool
    summary: str


def methods() -> list[MethodInfo]:
    """Every method, by name."""
    return [_info(name) for name in groups()["method"]]


def _info(name: str) -> MethodInfo:
    cls = class_named(name)
    summary = (cls.__doc__ or "").strip().partition("\n")[0]
    return MethodInfo(name, cls.learns, cls.target is not None, summary)


def read(study: str | Path) -> "pd.DataFrame":
    """The rows of a study's finished cells, one for each image, repeat and protocol.

    study: a name under `runs/` (or DENOISEBENCH_RUNS), or a path. Raises: FileNotFoundError naming the studies that are
    there; ImportError without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError("denoisebench.read needs pandas: pip install 'denoisebench[pandas]'") from error
    rows = read_study(find_study(str(study)))
    table = pd.DataFrame([{**row, "cell": str(row["cell"])} for row in rows])
    whole = [name for name in ("seed", "repeat") if name in table]
    return table.astype(dict.fromkeys(whole, int))
