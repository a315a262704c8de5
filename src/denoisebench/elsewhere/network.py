"""A network from a file, tested as a method."""

from collections.abc import Mapping
from importlib.util import find_spec
from math import lcm
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from denoisebench.classical import estimated_std
from denoisebench.datasets.images import file_hash
from denoisebench.denoiser import Denoiser
from denoisebench.elsewhere.formats import Network, read_network, short
from denoisebench.ranges import Count, NonNegative, Number
from denoisebench.tiling import in_tiles, pad_to_multiple

HINT = "method.sigma_map says whether it takes a noise level, method.multiple which sides it takes"
REACH = 64
TRAINED = {
    "unknown": "training_unknown", "supervised": "supervised", "self_supervised": "self_supervised_elsewhere",
}  # fmt: skip


class NetworkFile(Denoiser):
    """Any network in a file: ONNX, torch.export, or a checkpoint that spandrel recognises.

    Made elsewhere: how it was trained is known only from what the user states (`method.trained`).

    file: of the network. ONNX files and those of torch.export hold graphs of known operators, and other checkpoints are read
        as tensors alone: no code in them is run. TorchScript and pickled modules are programs: refused without `trust`.
    label: what tables call it; by default `network[file=NAME]`.
    range: what white is to the network, 1 or 255.
    sigma_map: whether it takes a further channel, the constant plane of the noise's standard deviation in that range.
    sigma: on the 0-255 scale; None estimates it from each image.
    multiple: that sides must be of; smaller images grow by reflection.
    reach: how far an output pixel sees, in pixels: with `tile`, what each tile is given around it.
    trained: `supervised`, `self_supervised` or `unknown`, as a tag of its rows.
    trust: run TorchScript and unpickle modules, whose code can do anything.
    What a file of `denoisebench export` says of range, sigma_map, multiple and reach stands in for None; one that says that tiles
    change its result refuses `tile`.

    Deviations from the released code: none.
    """

    family = "made elsewhere"
    tiles: ClassVar[bool] = True

    def __init__(
        self,
        file: str | None = None,
        label: str | None = None,
        range: Literal[1, 255] | None = None,
        sigma_map: bool | None = None,
        sigma: NonNegative | None = None,
        multiple: Count | None = None,
        reach: Number | None = None,
        trained: Literal["unknown", "supervised", "self_supervised"] = "unknown",
        trust: bool = False,
    ) -> None:
        super().__init__()
        self.file = _found(file)
        if range not in (None, 1, 255):
            raise ValueError(f"method.range is 1 or 255, what white is to the network, not {range}")
        if (multiple is not None and multiple < 1) or (reach is not None and reach < 0):
            raise ValueError(f"method.multiple is 1 or more and method.reach 0 or more, not {multiple} and {reach}")
        self.given = {"range": range, "sigma_map": sigma_map, "multiple": multiple, "reach": reach}
        self.label, self.sigma, self.trained, self.trust = label, sigma, trained, trust
        self._read: tuple[torch.device, Network, Mapping[str, Any]] | None = None

    @classmethod
    def identity(cls, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Where the file lies is no part of it; what it holds is."""
        return {**settings, "file": file_hash(_found(settings.get("file")))}

    @classmethod
    def labelled(cls, settings: Mapping[str, Any]) -> str | None:
        return settings.get("label") or f"network[file={Path(settings['file']).name}]"

    @property
    def tags(self) -> tuple[str, ...]:
        known = () if self.sigma is None or not self._setting("sigma_map", False) else ("oracle_sigma",)
        return ("made_elsewhere", TRAINED[self.trained], *known)

    def lacking(self) -> str | None:
        if self.file.suffix == ".onnx" and find_spec("onnxruntime") is None:
            return f"method.file={self.file} needs onnxruntime, which is not installed: pip install 'denoisebench[onnx]'"
        return None

    def _setting(self, name: str, default: Any) -> Any:
        """As given, or as the file says of itself."""
        if self.given[name] is not None:
            return self.given[name]
        return self._network()[1].get(name, default)

    def _network(self) -> tuple[Network, Mapping[str, Any]]:
        if self._read is None or self._read[0] != self.device:
            self._read = self.device, *read_network(self.file, self.device, trust=self.trust)
        return self._read[1], self._read[2]

    def denoise(self, noisy: Tensor) -> Tensor:
        return torch.cat([self._denoised(image) for image in noisy.split(1)])

    def _denoised(self, noisy: Tensor) -> Tensor:
        scale, multiple = self._setting("range", 1), self._setting("multiple", 1)
        height, width = noisy.shape[-2:]
        x = self._padded(noisy, multiple) * scale
        if self._setting("sigma_map", False):
            x = torch.cat([x, torch.full_like(x[:, :1], self._std(noisy) * scale)], dim=1)
        reach, aligned = self._setting("reach", REACH), self._network()[1].get("aligned", 1)
        if self.tile and not aligned:
            raise ValueError(f"{self.file} makes something else of parts of an image, its file says: leave tile out")
        found = in_tiles(lambda part: self._run(part, noisy.shape[1]), x, self.tile, reach, lcm(multiple, aligned or 1))
        return found[:, : noisy.shape[1], :height, :width] / scale

    def _padded(self, noisy: Tensor, multiple: int) -> Tensor:
        """By reflection, or as the file says of itself."""
        if self._network()[1].get("padding") != "replicate":
            return pad_to_multiple(noisy, multiple)
        height, width = noisy.shape[-2:]
        return F.pad(noisy, (0, -width % multiple, 0, -height % multiple), mode="replicate")

    def _run(self, x: Tensor, channels: int) -> Tensor:
        """Keeps the shape: a channel that is no image comes back as it went in."""
        network, _ = self._network()
        found: Any = None
        try:
            with torch.no_grad():
                found = network(x)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a runtime's own words for a shape that its network does not take
            raise ValueError(f"{self.file} does not take {tuple(x.shape)} ({short(error)}); {HINT}") from error
        if not isinstance(found, Tensor) or found.shape != x[:, :channels].shape:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"{self.file} made {got} of {tuple(x.shape)}; {HINT}")
        return torch.cat([found, x[:, channels:]], dim=1)

    def _std(self, noisy: Tensor) -> float:
        return self.sigma / 255 if self.sigma is not None else estimated_std(noisy[0].permute(1, 2, 0).cpu().numpy())


def _found(file: str | None) -> Path:
    if file is None:
        raise ValueError("method=network needs method.file=FILE, a network as ONNX, of torch.export, or a known checkpoint")
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"method.file={file}: no such file")
    return path
