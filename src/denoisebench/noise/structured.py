"""What noises with structure share."""

from dataclasses import dataclass

from denoisebench.noise.model import NoiseModel, checked_level


@dataclass(frozen=True, kw_only=True)
class Placed(NoiseModel):
    """Noise whose structure belongs to places of the whole image.

    A patch cut from a clean image would get the noise of another place: training cuts patches from whole noisy images
    (`training.noise=fixed`).
    """


def check_levels(noise: NoiseModel, *names: str) -> None:
    """Levels as they are kept: numbers, or pairs of them. Raises: ValueError."""
    for name in names:
        object.__setattr__(noise, name, checked_level(name, getattr(noise, name)))


def check_seed(noise: NoiseModel, name: str) -> None:
    value = getattr(noise, name)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"noise.{name} is the seed of what all images of a set share, an integer from 0, not {value!r}")


def refuse_storing(noise: NoiseModel, what: str) -> None:
    """Raises: ValueError where clipping or rounding is asked for of a noise that does both itself."""
    if noise.clip or noise.quantise:
        raise ValueError(f"{what} clips to [0, 1] and rounds by itself: leave noise.clip and noise.quantise false")
