"""How much a method that learns from one image gains on a photograph."""

import torch

from denoisebench.datasets.photos import Photos
from denoisebench.noise import NoiseModel
from denoisebench.seeding import isolated_rng
from jobs import built


def gain_db(name: str, noise: NoiseModel, *overrides: str, crop: int = 96) -> float:
    """PSNR of the output less that of the noisy input, with the recipe `quick`."""
    clean = torch.tensor(Photos(crop=crop).clean(0)).permute(2, 0, 1)[None] / 255
    noisy = noise(clean, torch.Generator().manual_seed(0))
    with isolated_rng(0):
        denoised = built(f"method={name}", "budget=quick", *overrides).denoise(noisy)
    return 10 * float(torch.log10((noisy - clean).square().mean() / (denoised - clean).square().mean()))
