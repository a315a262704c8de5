"""denoisebench: self-supervised image denoisers, for a benchmark and for your own images.

    denoised = denoisebench.denoise(image)

The functions are in `denoisebench.api`; PyTorch is imported with the first call.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from denoisebench.api import Denoiser, MethodInfo, denoise, diagnose, load, methods, read, score, train
    from denoisebench.diagnosis.diagnosis import Diagnosis
    from denoisebench.ranking import Ranked, rank

    __version__: str

import_module("denoisebench.began")  # before any other module is read

_PLACES = {
    "Diagnosis": "diagnosis.diagnosis",
    "Ranked": "ranking",
    "rank": "ranking",
}
__all__ = [
    "Denoiser", "Diagnosis", "MethodInfo", "Ranked", "denoise", "diagnose", "load", "methods", "rank", "read", "score", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name == "methods":  # the package of that name can be called
        return import_module("denoisebench.methods")
    if name in __all__:
        return getattr(import_module(f"denoisebench.{_PLACES.get(name, 'api')}"), name)
    raise AttributeError(f"module 'denoisebench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("denoisebench")
    except PackageNotFoundError:  # a source tree on the path, not installed
        return "0+unknown"
