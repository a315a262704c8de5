"""Full-reference measures of piq (Apache-2.0): the extra `piq`. LPIPS and DISTS need two files of weights each."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from denoisebench.scoring.further.measure import Further, UnavailableError, each, in_colour, in_unit_range, shown

if TYPE_CHECKING:
    from torch import Tensor

VGG = "vgg16-397923af.pth"  # the digits begin its SHA-256
WEIGHTS = {
    "lpips": (VGG, "lpips_weights.pt"),
    "dists": (VGG, "dists_weights.pt"),
}
URLS = {
    VGG: "https://download.pytorch.org/models/vgg16-397923af.pth",
    "lpips_weights.pt": "https://github.com/photosynthesis-team/photosynthesis.metrics/releases/download/v0.4.0/lpips_weights.pt",
    "dists_weights.pt": "https://github.com/photosynthesis-team/piq/releases/download/v0.4.1/dists_weights.pt",
}
CLIPPED = "values clipped to [0, 1]"


def _lacks_piq() -> str | None:
    wanted = [name for name in ("piq", "torchvision") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(wanted)} not installed: pip install 'denoisebench[piq]'" if wanted else None


def _folder() -> Path:
    """Where PyTorch looks for weights; TORCH_HOME moves it."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _lacks_weights(name: str) -> str | None:
    if reason := _lacks_piq():
        return reason
    missing = [file for file in WEIGHTS[name] if not (_folder() / file).is_file()]
    if missing:
        urls = ", ".join(URLS[file] for file in missing)
        return f"no weights: put {' and '.join(missing)} into {shown(_folder())} (TORCH_HOME moves it); from {urls}"
    vgg = _sha256(_folder() / VGG)
    return None if vgg.startswith(_begins(VGG)) else f"{shown(_folder() / VGG)} is not that file: its SHA-256 is {vgg}"


def _begins(name: str) -> str:
    return Path(name).stem.rpartition("-")[2]


@functools.cache
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _quietly(make: Callable[[], Any]) -> Any:
    """What a library warns of its own use of another is nothing that a user could mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def _by_function(name: str) -> Callable[[Tensor, Tensor | None, Tensor | None], Tensor]:
    def score(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
        assert clean is not None
        function = getattr(_quietly(lambda: importlib.import_module("piq")), name)
        return each(_quietly(lambda: function(in_unit_range(denoised), in_unit_range(clean), reduction="none")), len(denoised))

    return score


@functools.cache
def _network(name: str) -> Any:
    def make() -> Any:
        piq = importlib.import_module("piq")
        return getattr(piq, name.upper())(reduction="none")

    try:
        return _quietly(make).eval()
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise UnavailableError(f"its weights in {shown(_folder())} cannot be read ({error})") from error


def _by_network(name: str) -> Callable[[Tensor, Tensor | None, Tensor | None], Tensor]:
    def score(denoised: Tensor, clean: Tensor | None, noisy: Tensor | None) -> Tensor:
        import torch

        assert clean is not None
        images = [in_colour(in_unit_range(image)) for image in (denoised, clean)]
        network = _network(name).to(denoised.device)
        with torch.no_grad():  # an image at a time: the features of a large one take gigabytes
            return each(
                torch.cat([network(x, y).reshape(1) for x, y in zip(*(i.split(1) for i in images), strict=True)]), len(denoised)
            )

    return score


def _function(name: str, title: str, function: str, least: int, *, higher: bool, span: str = "0 to 1") -> Further:
    return Further(
        name, title, "", 4, higher_is_better=higher, score=_by_function(function), least=least, range=span, licence="Apache-2.0",
        library="piq", treats=f"{CLIPPED}; gray as it is; empty below {least} x {least}", lacking=_lacks_piq,
    )  # fmt: skip


def _learned(name: str, licence: str) -> Further:
    return Further(
        name, name.upper(), "", 4, higher_is_better=False, score=_by_network(name), least=32, range="0 and more",
        licence=licence, library="piq", treats=f"{CLIPPED}; gray as three equal channels; empty below 32 x 32",
        lacking=functools.partial(_lacks_weights, name),
    )  # fmt: skip


PIQ = (
    _function("ms_ssim", "MS-SSIM", "multi_scale_ssim", 161, higher=True),
    _function("gmsd", "GMSD", "gmsd", 8, higher=False, span="0 and more"),
    _function("haarpsi", "HaarPSI", "haarpsi", 16, higher=True),
    _function("vif", "VIF", "vif_p", 41, higher=True, span="0 to about 1"),
    _learned("lpips", "Apache-2.0 (code), BSD-2-Clause (LPIPS weights), BSD-3-Clause (VGG weights)"),
    _learned("dists", "Apache-2.0 (code), MIT (DISTS weights), BSD-3-Clause (VGG weights)"),
)
