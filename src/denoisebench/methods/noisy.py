"""The noisy image itself."""

from torch import Tensor

from denoisebench.denoiser import Denoiser


class Noisy(Denoiser):
    """The noisy input itself, the baseline of every table."""

    def denoise(self, noisy: Tensor) -> Tensor:
        return noisy.clone()
