"""How much a method that learns from one image lifts PSNR on a photograph with noise of its own."""

from typing import Any

import torch

from denoisebench.datasets.photos import Photos
from denoisebench.denoiser import ImageDenoiser
from denoisebench.noise import Gaussian, NoiseModel
from denoisebench.seeding import isolated_rng
from jobs import built


def method_of(name: str, *overrides: str) -> Any:
    """The method as `denoisebench run method=NAME` builds it."""
    return built(f"method={name}", *overrides)


def psnr_db(image: torch.Tensor, clean: torch.Tensor) -> float:
    return -10 * (image.clamp(0, 1) - clean).square().mean().log10().item()


def gain_db(method: ImageDenoiser, noise: NoiseModel | None = None, crop: int = 96, index: int = 0) -> float:
    """PSNR of the denoised photograph less that of the noisy one, both clipped."""
    photo = Photos(crop=crop).clean(index)
    clean = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255
    noisy = (noise or Gaussian(sigma=25))(clean, torch.Generator().manual_seed(1))
    with isolated_rng(0), torch.inference_mode():
        return psnr_db(method.denoise(noisy), clean) - psnr_db(noisy, clean)
