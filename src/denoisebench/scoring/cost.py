"""What a method's network costs: parameters, multiply-adds for a megapixel, bytes of weights. Counted, not timed."""

from dataclasses import asdict, dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from denoisebench.denoiser import Denoiser, ImageDenoiser
from denoisebench.seeding import isolated_rng

MEGAPIXEL_SIDE = 1000
SMALL_SIDE = 128
BUILDING_SIDE = 64


@dataclass(frozen=True)
class Cost:
    """Of the tensors that a file of weights must hold; None where there is no network, or where it is not to be known.

    gmacs_per_mpix: billions of multiply-adds of convolutions and matrix products in one call of `denoise` on 1000 x 1000
    pixels; None for methods that learn anew from each image, whose training would count too. weights_bytes:
    None for those that keep no weights.
    """

    parameters: int | None = None
    gmacs_per_mpix: float | None = None
    weights_bytes: int | None = None

    @property
    def columns(self) -> dict[str, int | float | None]:
        return asdict(self)


def cost(method: Denoiser, channels: int, seed: int) -> Cost:
    """The cost of a method as it stands after its training. Draws no random numbers that others would have drawn."""
    if method.learns == "nothing":
        return Cost()
    method.eval()
    if isinstance(method, ImageDenoiser):
        return Cost(parameters=_image_parameters(method, channels, seed))
    return Cost(_parameters(method), _gmacs(method, channels, seed), _bytes(method))


def _needed(method: Denoiser, name: str) -> bool:
    return not name.startswith(method.training_only or ("\0",))


def _parameters(method: Denoiser) -> int:
    return sum(parameter.numel() for name, parameter in method.named_parameters() if _needed(method, name))


def _bytes(method: Denoiser) -> int:
    return sum(tensor.nbytes for name, tensor in method.state_dict().items() if _needed(method, name))


def _image_parameters(method: ImageDenoiser, channels: int, seed: int) -> int | None:
    """Its network is built for an image: of a small one made up."""
    side = max(BUILDING_SIDE, method.smallest)
    try:
        with isolated_rng(seed), torch.inference_mode(False), torch.enable_grad():
            method.reset(torch.rand(1, channels, side, side, device=method.device))
    except Exception:  # what a method makes of made-up pixels: no reason to lose its scores
        return None
    return _parameters(method) or None


def _gmacs(method: Denoiser, channels: int, seed: int) -> float | None:
    """Counted on tensors without values; where `denoise` reads values, on a small image, and scaled by its pixels."""
    small = max(SMALL_SIDE, method.smallest)
    for side, fake in ((MEGAPIXEL_SIDE, True), (small, False)):
        try:
            return _counted(method, channels, side, seed, fake=fake) * MEGAPIXEL_SIDE**2 / side**2
        except Exception:  # what a method makes of made-up pixels: no reason to lose its scores
            continue
    return None


def _counted(method: Denoiser, channels: int, side: int, seed: int, *, fake: bool) -> float:
    mode = FakeTensorMode(allow_non_fake_inputs=True) if fake else torch.no_grad()
    counter = FlopCounterMode(display=False)
    with isolated_rng(seed), torch.no_grad(), mode, counter:
        method.denoise(torch.rand(1, channels, side, side, device=method.device))
    return counter.get_total_flops() / 2e9
