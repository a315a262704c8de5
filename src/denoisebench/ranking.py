"""Methods ranked on an image without ground truth, by the proxy that chose best where the truth is known: experiments/ranking."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from denoisebench import api
from denoisebench.config.choosing import choose
from denoisebench.config.named_weights import whole
from denoisebench.datasets.arrays import given
from denoisebench.datasets.reading import middle
from denoisebench.diagnosis.diagnosis import diagnosed
from denoisebench.diagnosis.proxies import PROXIES, Denoise, Subject
from denoisebench.store.named import NamedWeights

CANDIDATES = ("noisy", "tv", "wavelet", "nlm", "bm3d", "bm3d_correlated", "wavelet_correlated", "zsn2n")
NETWORK = "weights="  # before the name of a named network
CROP = 128
DEFAULT = "sure_diagnosed"
# Of the study: PSNR in dB lost to the best candidate, as the mean over kinds of noise and as the most on one image.
REGRET, WORST, IMAGES = 0.58, 8.8, 54
CALIBRATION = (
    f"on {IMAGES} images whose truth is known, such choices lost {REGRET} dB, averaged over four kinds of noise, "
    f"and {WORST} dB at worst"
)
FAILS = "It is unreliable for fine texture under weak noise, without flat areas, and for impulses."
Told = Callable[[str], None]


@dataclass(frozen=True)
class Ranked:
    """method: its name. value: of the proxy, smaller for better; infinite for a method that could not run, with the reason."""

    method: str
    value: float
    problem: str = ""


def rank(
    image: np.ndarray | Tensor, methods: Sequence[str] = CANDIDATES, *, proxy: str = DEFAULT, crop: int = CROP, seed: int = 0,
    budget: str = "quick", on_method: Told | None = None,
) -> list[Ranked]:  # fmt: skip
    """Methods, the presumably best first, tried on the middle of an image of one batch.

    methods: names of methods that learn nothing or from one image, and of networks as `weights=NAME`; `noisy` stands for
    leaving the image as it is. proxy: one of `denoisebench.diagnosis.proxies`. crop: side in pixels of what they are tried
    on. budget: their recipe.
    Raises: ConfigError (a ValueError) for unknown names and for methods that learn from a set; ValueError for no image.
    """
    judge = _checked(methods, proxy)
    planes = given(image).planes
    if len(planes) != 1:
        raise ValueError(f"expected one image, got a batch of {len(planes)}: rank on one of them")
    whole = planes[0].cpu().numpy()
    diagnosis = diagnosed(whole)
    part = middle(whole.transpose(1, 2, 0), min(crop, *whole.shape[1:])).transpose(2, 0, 1).astype(np.float64)
    ranked = []
    for name in dict.fromkeys(methods):
        if on_method is not None:
            on_method(name)
        try:
            denoise = _denoise(name, seed, budget)
            ranked.append(Ranked(name, judge(Subject(part, denoise(part), denoise, diagnosis, seed))))
        except (ImportError, ValueError) as error:  # a package that is not installed, an image that is too small
            ranked.append(Ranked(name, np.inf, " ".join(str(error).split())))
    return sorted(ranked, key=lambda one: one.value)


def recommended(ranked: Sequence[Ranked]) -> str:
    """What to do, and when not to trust it."""
    best = ranked[0]
    if best.problem:
        return "no method could be tried"
    what = "leave the images as they are" if best.method == "noisy" else f"--method {best.method}"
    return f"recommended: {what}. {trust()}"


def trust() -> str:
    """How the choice was made, what is known of its quality, and when not to rely on it."""
    return f"Chosen without ground truth, by an estimate of the squared error; {CALIBRATION} (experiments/ranking). {FAILS}"


def _checked(methods: Sequence[str], proxy: str) -> Callable[[Subject], float]:
    if proxy not in PROXIES:
        raise ValueError(f"no proxy {proxy}; valid: {', '.join(PROXIES)}")
    check_methods(methods)
    return PROXIES[proxy]


def check_methods(methods: Sequence[str]) -> None:
    """Raises: ConfigError (a ValueError) for names of no method, ValueError for methods that learn from a set."""
    if not methods:
        raise ValueError("no methods to rank: give at least one")
    for name in methods:
        if named_network(name) is None and choose(name, 3).cls.learns == "dataset":
            raise ValueError(f"method={name} learns from a set of images: rank methods that learn nothing or from one image")


def named_network(name: str) -> NamedWeights | None:
    """Of `weights=NAME`; None for the name of a method. Raises: ConfigError for unknown or damaged ones."""
    return whole(name.removeprefix(NETWORK)) if name.startswith(NETWORK) else None


def _denoise(name: str, seed: int, budget: str) -> Denoise:
    settings: dict[str, Any] = {"seed": seed, "budget": budget}
    weights = named_network(name)
    network = api.load(weights.file) if weights else None

    def denoise(planes: np.ndarray) -> np.ndarray:
        image = np.ascontiguousarray(planes.transpose(1, 2, 0), np.float32)
        found = api.denoise(image, name, **settings) if network is None else network(image, seed=seed)
        return found.transpose(2, 0, 1).astype(np.float64)

    return denoise
