"""Laine et al.: a blind-spot network, and the posterior mean that adds the pixel itself."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from denoisebench.denoiser import DatasetDenoiser
from denoisebench.networks.laine_unet import MULTIPLE, REACH, BlindLaineUNet, Init, LaineUNet, blind_reach
from denoisebench.ranges import Count, NonNegative, Positive
from denoisebench.tiling import in_tiles

LEAST_LEVEL = 1e-3
LEVEL_SHIFT = 4.0
REWARD = 0.1
RAMP_UP, RAMP_DOWN = 0.1, 0.3
HOLE = 1


class Laine(DatasetDenoiser):
    """A blind-spot network predicts each pixel from its surroundings; Bayes' rule combines that with the pixel itself.

    Laine, Karras, Lehtinen, Aila: High-Quality Self-Supervised Deep Image Denoising, NeurIPS 2019, arXiv 1901.10277.
    Official code: https://github.com/NVlabs/selfsupervised-denoising at a41e0db.

    Symbols: y -> noisy, mu_x -> mu, Sigma_x -> `covariance`, sigma -> std.

    channels, features, init: of the `BlindLaineUNet`, and of the `LaineUNet` that estimates a level.
    estimate: `pme`, the posterior mean, from a Gaussian (mu_x, Sigma_x) that the network says of each pixel; or `mu`, the
        network alone, trained with squares, which needs no noise model.
    noise_model: `gaussian`, of one standard deviation, or `poisson`, variance proportional to the clean value.
    sigma, lam: the level of the noise, in grey levels or photons at intensity 1; the row then says `oracle_sigma`. None,
        or a range, which says nothing of one image: it is learned.
    unknown: how a level is learned: `per_image`, by a second network, or `global`, one number.
    covariance: `full` or `diagonal` Sigma_x of the channels.
    lr, lr_decay: Adam's learning rate; `ramps`, up over the first tenth and down over the last three tenths of
        training as released, or `linear` to zero.

    Deviations from the released code: the posterior mean is written mu + Sigma_x (Sigma_x + sigma^2 I)^-1 (y - mu), equal
    to it without the 1e-6 I that the release adds in each of its inversions; images need be no squares. Training
    patches that are no multiples of 32 grow by zeros, so that they stay blind.
    """

    family = "blind spot"
    tiles = True

    def __init__(
        self,
        channels: Count = 3,
        features: Count = 48,
        init: Init = "he",
        estimate: Literal["pme", "mu"] = "pme",
        noise_model: Literal["gaussian", "poisson"] = "gaussian",
        sigma: NonNegative | None = None,
        lam: Positive | Sequence[Positive] | None = None,
        unknown: Literal["per_image", "global"] = "per_image",
        covariance: Literal["full", "diagonal"] = "full",
        lr: Positive = 3e-4,
        lr_decay: Literal["ramps", "linear"] = "ramps",
    ) -> None:
        super().__init__()
        self.estimate = estimate
        self.noise_model = noise_model
        self.diagonal = covariance == "diagonal"
        self.lr = lr
        self.lr_decay = lr_decay
        factors = 0 if estimate == "mu" else channels if self.diagonal else channels * (channels + 1) // 2
        self.network = BlindLaineUNet(channels, features, channels + factors, init).to(memory_format=torch.channels_last)
        self.known = None if estimate == "mu" else _known_level(noise_model, sigma, lam)
        if estimate == "pme" and self.known is None:
            self._learn_level(unknown, LaineUNet(channels, features, 1, init=init))

    def _learn_level(self, unknown: str, network: LaineUNet) -> None:
        if unknown == "global":
            self.level = nn.Parameter(torch.zeros(()))
            return
        last = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        self.level_network = network.to(memory_format=torch.channels_last)

    @property
    def tags(self) -> tuple[str, ...]:
        return () if self.known is None else ("oracle_sigma",)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        said = self.network(noisy, HOLE)
        if self.estimate == "mu":
            return (said - noisy).square().mean()
        mu, prior = self._split(said, noisy)
        std = self._std(mu, self._level(noisy))
        residual = noisy.double() - mu
        weighted, log_det = self._solved(prior, std, residual)
        half = 1.0 if noisy.shape[1] == 1 else 0.5
        loss = half * ((residual * weighted).sum(1) + log_det).mean()
        # Without this reward a learned level shrinks to nothing: Sigma_x can explain all of the noise.
        return loss if self.known is not None else loss - REWARD * std.mean()

    def _split(self, said: Tensor, noisy: Tensor) -> tuple[Tensor, Tensor]:
        """mu_x and Sigma_x, or its diagonal, in float64: whatever the precision of the network, they need it."""
        channels = noisy.shape[1]
        mu, factors = said[:, :channels].double(), said[:, channels:].double()
        return mu, factors.square() if self.diagonal else covariance(factors, channels)

    def _level(self, noisy: Tensor) -> Tensor:
        """The level of the noise, for all images or for each: a standard deviation, or the variance at intensity 1."""
        if self.known is not None:
            return torch.full((), self.known, dtype=torch.float64, device=noisy.device)
        if hasattr(self, "level"):
            return _positive(self.level.double())

        def said(part: Tensor) -> Tensor:
            return self.level_network(part).expand_as(part)

        tile = None if self.training else self.tile
        return _positive(in_tiles(said, noisy, tile, REACH, MULTIPLE)[:, :1].double().mean((-2, -1), keepdim=True))

    def _std(self, mu: Tensor, level: Tensor) -> Tensor:
        return level if self.noise_model == "gaussian" else (mu.clamp(min=LEAST_LEVEL) * level).sqrt()

    def _solved(self, prior: Tensor, std: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        """T^-1 residual, (N, C, H, W), and log det T, (N, H, W), of T = Sigma_x + std^2 I."""
        variance = std.square().expand_as(residual)
        if self.diagonal:
            return residual / (prior + variance), (prior + variance).log().sum(1)
        return solved(prior + variance.movedim(1, -1).diag_embed().movedim((-2, -1), (1, 2)), residual)

    def learning_rate(self, progress: float) -> float:
        if self.lr_decay == "linear":
            return self.lr * (1 - progress)
        up, down = min(progress / RAMP_UP, 1.0), max((progress - (1 - RAMP_DOWN)) / RAMP_DOWN, 0.0)
        return self.lr * (0.5 - 0.5 * math.cos(math.pi * up)) * (0.5 + 0.5 * math.cos(math.pi * down)) ** 2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.learning_rate(0.0), betas=(0.9, 0.99), fused=True)

    def denoise(self, noisy: Tensor) -> Tensor:
        if self.estimate == "mu":
            return in_tiles(lambda part: self.network(part, HOLE), noisy, self.tile, blind_reach(HOLE), MULTIPLE)
        level = self._level(noisy)
        return in_tiles(lambda part: self._posterior_mean(part, level), noisy, self.tile, blind_reach(HOLE), MULTIPLE)

    def _posterior_mean(self, noisy: Tensor, level: Tensor) -> Tensor:
        mu, prior = self._split(self.network(noisy, HOLE), noisy)
        weighted, _ = self._solved(prior, self._std(mu, level), noisy.double() - mu)
        shift = prior * weighted if self.diagonal else (prior * weighted[:, None]).sum(2)
        return (mu + shift).to(noisy.dtype)


def _known_level(noise_model: str, sigma: float | None, lam: float | Sequence[float] | None) -> float | None:
    if noise_model == "gaussian":
        return None if sigma is None else max(sigma / 255, LEAST_LEVEL)
    return 1 / lam if isinstance(lam, int | float) else None


def _positive(value: Tensor) -> Tensor:
    return F.softplus(value - LEVEL_SHIFT) + LEAST_LEVEL


def covariance(factors: Tensor, channels: int) -> Tensor:
    """A A^T of an upper triangular A, given row by row: (N, C (C + 1) / 2, H, W) -> (N, C, C, H, W)."""
    entries = list(factors.unbind(1))
    a = [[entries.pop(0) for _ in range(row, channels)] for row in range(channels)]
    rows = []
    for i in range(channels):
        for j in range(channels):
            common = channels - max(i, j)
            rows.append(torch.stack([p * q for p, q in zip(a[i][-common:], a[j][-common:], strict=True)]).sum(0))
    return torch.stack(rows, 1).unflatten(1, (channels, channels))


def solved(matrix: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """matrix^-1 right, (N, C, H, W), and log det matrix, (N, H, W), of positive definite matrices (N, C, C, H, W).

    Entry by entry, not by torch.linalg, which is slow for a million 3 x 3 matrices and can wait for the device.
    """
    lower = _cholesky(matrix)
    channels = len(lower)
    forward: list[Tensor] = []
    for i in range(channels):
        forward.append(_minus(right[:, i], lower[i][:i], forward) / lower[i][i])
    backward: list[Tensor] = []  # the last channel first
    for i in reversed(range(channels)):
        column = [lower[k][i] for k in reversed(range(i + 1, channels))]
        backward.append(_minus(forward[i], column, backward) / lower[i][i])
    log_det = torch.stack([2 * lower[i][i].log() for i in range(channels)]).sum(0)
    return torch.stack(backward[::-1], 1), log_det


def _cholesky(matrix: Tensor) -> list[list[Tensor]]:
    """The rows of L, to the diagonal: matrix = L L^T."""
    lower: list[list[Tensor]] = []
    for i in range(matrix.shape[1]):
        row: list[Tensor] = []
        for j in range(i):
            row.append(_minus(matrix[:, i, j], row, lower[j][:j]) / lower[j][j])
        lower.append([*row, _minus(matrix[:, i, i], row, row).sqrt()])
    return lower


def _minus(start: Tensor, ones: list[Tensor], others: list[Tensor]) -> Tensor:
    """`start` less the sum of products."""
    for one, other in zip(ones, others, strict=True):
        start = start - one * other
    return start
