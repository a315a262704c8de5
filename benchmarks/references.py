"""Five methods step by step as their authors released them: what ours are timed against, and must equal.

Each has the two verbs of ours, `loss(noisy, progress)` and `denoise(noisy)`, in float32 and contiguous NCHW, over the
same weights: `Layers`, the convolutions of a network in forward order. Networks are written out with plain `F.conv2d`,
so that nothing of `denoisebench.networks` is in them. What a procedure draws comes from its fields: by default drawn as
in the release, and replaced where the draws of ours are to be repeated.

What the releases loop over, and what they do not:

- SDAP: a Python loop shuffles each cell; sub-images are cut one by one and channel by channel, by boolean masks; the
  network runs 25 times, 25 L1 terms are added. Inference: the 4 sub-images of PD are one batch.
- C-BSN (TensorFlow 1): no loop; D_5 is a batch, S_2 one indexing; three forwards, one of them without gradient.
- AP-BSN: PD is one mosaic, made by views; R3 is a loop of 8 forwards.
- Neighbor2Neighbor: masks over all pixels, sub-images cut channel by channel; inference on a square.
- Self2Self+: two convolutions for each gated one, each with its own padding; passes one by one. Without the image
  quality term, whose network is another's.

Left out, in favour of the references: reading the loss after each step, progress bars, the loaders' work on the CPU (the
flips of SDAP, AP-BSN and C-BSN are in, patch by patch). The blind spot's mask is applied in the forward, not to `.data`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

Layers = list[tuple[Tensor, Tensor]]
"""Weight and bias of each convolution."""


def layers_of(tensors: Iterable[Tensor]) -> Layers:
    """Weights and biases by turns, as `parameters()` has them."""
    flat = list(tensors)
    if [t.ndim for t in flat] != [4, 1] * (len(flat) // 2):
        raise ValueError("expected a weight and a bias by turns")
    return list(zip(flat[::2], flat[1::2], strict=True))


def tensors_of(layers: Layers) -> list[Tensor]:
    return [tensor for layer in layers for tensor in layer]


# --- Networks --------------------------------------------------------------------------------------------------------


def dbsn(layers: Layers, x: Tensor, blind: bool = True, module_relu: bool = False) -> Tensor:
    """The dilated blind-spot network: a 1 x 1 convolution, the branches of dilation 2 and 3, four 1 x 1 convolutions."""
    branch = (len(layers) - 5) // 2
    x = F.relu_(F.conv2d(x, *layers[0]))
    two = _branch(layers[1 : 1 + branch], x, 2, blind, module_relu)
    three = _branch(layers[1 + branch : 1 + 2 * branch], x, 3, blind, module_relu)
    x = torch.cat([two, three], dim=1)
    for layer in layers[-4:-1]:
        x = F.relu_(F.conv2d(x, *layer))
    return F.conv2d(x, *layers[-1])


def _branch(layers: Layers, x: Tensor, dilation: int, blind: bool, module_relu: bool) -> Tensor:
    weight, bias = layers[0]
    if blind:
        hole = weight.new_ones(weight.shape[-2:])
        hole[dilation - 1, dilation - 1] = 0
        weight = weight * hole
    x = F.relu_(F.conv2d(x, weight, bias, padding=dilation - 1))
    x = F.relu_(F.conv2d(x, *layers[1]))
    x = F.relu_(F.conv2d(x, *layers[2]))
    for dilated, pointwise in zip(layers[3:-1:2], layers[4:-1:2], strict=True):
        y = F.relu_(F.conv2d(x, *dilated, padding=dilation, dilation=dilation))
        y = F.conv2d(y, *pointwise)
        x = x + (F.relu_(y) if module_relu else y)
    return F.relu_(F.conv2d(x, *layers[-1]))


def unet(layers: Layers, x: Tensor) -> Tensor:
    """The U-Net of Neighbor2Neighbor, for sides that are multiples of 32."""
    left = iter(layers)

    def conv(x: Tensor, padding: int = 1) -> Tensor:
        return F.leaky_relu_(F.conv2d(x, *next(left), padding=padding), 0.2)

    skips = [x]
    x = conv(x)
    for _ in range(5):
        x = F.max_pool2d(conv(x), 2)
        skips.append(x)
    x = conv(skips.pop())
    for _ in range(5):
        x = F.conv_transpose2d(x, *next(left), stride=2)
        x = conv(conv(torch.cat([x, skips.pop()], dim=1)))
    return F.conv2d(conv(conv(x, padding=0), padding=0), *next(left))


def gated_autoencoder(layers: Layers, x: Tensor, dropout: Callable[[Tensor], Tensor]) -> Tensor:
    """The network of Self2Self+, for sides that are multiples of 32 from 64 on; a gated layer's feature, then its gate."""
    left = iter(layers)

    def conv(x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), *next(left))

    def gated(x: Tensor) -> Tensor:
        return F.leaky_relu(conv(x), 0.2) * torch.sigmoid(conv(x))

    skips = [gated(gated(x))]
    for _ in range(5):
        skips.append(gated(F.max_pool2d(skips[-1], 2)))
    x = skips.pop()
    for _ in range(5):
        x = torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()], dim=1)
        x = F.leaky_relu(conv(dropout(x)), 0.2)
        x = F.leaky_relu(conv(dropout(x)), 0.2)
    return conv(x)


# --- Draws -----------------------------------------------------------------------------------------------------------


def turn_each(x: Tensor) -> Tensor:
    """One of the 8 flips and rotations for each (square) patch, patch by patch."""
    turned = []
    for patch in x:
        draw = int(torch.randint(8, ()))
        patch = torch.rot90(patch, draw % 4, dims=(-2, -1))
        turned.append(patch.flip(-1) if draw >= 4 else patch)
    return torch.stack(turned)


def shuffle_each(x: Tensor, side: int) -> Tensor:
    """A permutation for each cell of RSG, cell by cell: (cells, side * side), cells by image, row and column."""
    rng = np.random.default_rng(int(torch.randint(2**31, ())))
    n, _, height, width = x.shape
    orders = np.zeros((n * (height // side) * (width // side), side * side), np.int64)
    for cell in range(len(orders)):
        order = np.arange(side * side)
        rng.shuffle(order)
        orders[cell] = order
    return torch.from_numpy(orders).to(x.device)


def draw_each(x: Tensor, side: int) -> Tensor:
    """A pixel of each cell of S_2: (cells,)."""
    n, _, height, width = x.shape
    return torch.randint(side * side, (n * (height // side) * (width // side),), device=x.device)


def pair_each(x: Tensor) -> Tensor:
    """Two neighbours of each 2 x 2 cell: (cells, 2)."""
    n, _, height, width = x.shape
    pairs = torch.tensor([[0, 1], [0, 2], [1, 3], [2, 3], [1, 0], [2, 0], [3, 1], [3, 2]], device=x.device)
    return pairs[torch.randint(8, (n * (height // 2) * (width // 2),), device=x.device)]


def replace_each(x: Tensor) -> Tensor:
    """Which values R3 takes from the noisy image."""
    return torch.rand_like(x) < 0.16


def keep_each(x: Tensor, drop: float) -> Tensor:
    """A Bernoulli mask, made by the dropout of ones, as Self2Self+ does it."""
    return F.dropout(torch.ones_like(x), drop, training=True) * (1 - drop)


# --- Methods ---------------------------------------------------------------------------------------------------------


@dataclass
class Reference:
    layers: Layers

    def parameters(self) -> list[Tensor]:
        return tensors_of(self.layers)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        raise NotImplementedError

    def denoise(self, noisy: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass
class SDAP(Reference):
    turned: Callable[[Tensor], Tensor] = turn_each
    orders: Callable[[Tensor, int], Tensor] = shuffle_each
    side: int = 5

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        y, count = self.turned(noisy), self.side**2
        n, channels, height, width = y.shape
        orders = self.orders(y, self.side)
        y_sub = y.new_zeros(count, n, channels, height // self.side, width // self.side)
        first = torch.arange(len(orders), device=y.device) * count
        for j in range(count):
            chosen = torch.zeros(len(orders) * count, dtype=torch.bool, device=y.device)
            chosen[first + orders[:, j]] = True
            y_sub[j] = cut(y, chosen, self.side)
        f_sub = torch.zeros_like(y_sub)
        for j in range(count):
            f_sub[j] = dbsn(self.layers, y_sub[j])
        loss = y.new_zeros(())
        for j in range(count):
            loss = loss + F.l1_loss(f_sub[j], y_sub[(j + 1) % count])
        return loss

    def denoise(self, noisy: Tensor) -> Tensor:
        n, channels, height, width = noisy.shape
        cells = noisy.view(n, channels, height // 2, 2, width // 2, 2)
        y_sub = cells.permute(0, 3, 5, 1, 2, 4).reshape(4 * n, channels, height // 2, width // 2)
        f_sub = dbsn(self.layers, y_sub).view(n, 2, 2, channels, height // 2, width // 2)
        return f_sub.permute(0, 3, 4, 1, 5, 2).reshape(noisy.shape)


def cut(x: Tensor, chosen: Tensor, side: int) -> Tensor:
    """The sub-image of the chosen pixels, one of each cell, channel by channel; chosen: (cells * side * side,)."""
    n, channels, height, width = x.shape
    result = x.new_zeros(n, channels, height // side, width // side)
    for channel in range(channels):
        pixels = F.unfold(x[:, channel : channel + 1], side, stride=side).transpose(1, 2).reshape(-1)
        result[:, channel] = pixels[chosen].view(n, height // side, width // side)
    return result


@dataclass
class CBSN(Reference):
    turned: Callable[[Tensor], Tensor] = turn_each
    pixels: Callable[[Tensor, int], Tensor] = draw_each

    def network(self, x: Tensor, blind: bool) -> Tensor:
        return dbsn(self.layers, x, blind, module_relu=True)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        x, _, _ = normalised(self.turned(noisy))
        f_b = from_batch(self.network(to_batch(x, 5), True), 5)
        f_u = self.network(x, False)
        draw = self.pixels(x, 2)
        with torch.no_grad():
            target = self.network(pick(x, draw, 2), True)
        invariance = F.l1_loss(pick(f_u, draw, 2), target)
        return F.l1_loss(f_b, x) + min(progress / 0.4, 1.0) * (F.l1_loss(f_u, x) + 2.0 * invariance)

    def denoise(self, noisy: Tensor) -> Tensor:
        x, mean, std = normalised(noisy)
        return self.network(F.pad(x, (32, 32, 32, 32), mode="reflect"), False)[..., 32:-32, 32:-32] * std + mean


def normalised(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean = x.mean(dim=(2, 3), keepdim=True)
    std = (x - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
    std = std.clamp(min=1 / (x.shape[2] * x.shape[3]) ** 0.5)
    return (x - mean) / std, mean, std


def to_batch(x: Tensor, side: int) -> Tensor:
    """The sub-lattices of stride `side` as a batch, the position in the cell first."""
    n, channels, height, width = x.shape
    cells = x.view(n, channels, height // side, side, width // side, side)
    return cells.permute(3, 5, 0, 1, 2, 4).reshape(side * side * n, channels, height // side, width // side)


def from_batch(x: Tensor, side: int) -> Tensor:
    n, channels, height, width = x.shape[0] // side**2, *x.shape[1:]
    cells = x.view(side, side, n, channels, height, width)
    return cells.permute(2, 3, 4, 0, 5, 1).reshape(n, channels, height * side, width * side)


def pick(x: Tensor, draw: Tensor, side: int) -> Tensor:
    """S_2: of each cell the drawn pixel."""
    n, channels, height, width = x.shape
    cells = x.view(n, channels, height // side, side, width // side, side).permute(0, 2, 4, 3, 5, 1)
    picked = cells.reshape(-1, side * side, channels)[torch.arange(len(draw), device=x.device), draw]
    return picked.view(n, height // side, width // side, channels).permute(0, 3, 1, 2)


@dataclass
class APBSN(Reference):
    turned: Callable[[Tensor], Tensor] = turn_each
    replaced: Callable[[Tensor], Tensor] = replace_each

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        x = 255 * self.turned(noisy)
        return F.l1_loss(self.mosaic(x, 5), x)

    def mosaic(self, x: Tensor, stride: int, pad: int = 2) -> Tensor:
        """PD into one image of framed tiles, the network, and back."""
        n, channels, height, width = x.shape
        rows, columns = height // stride, width // stride
        tiles = F.pad(F.pixel_unshuffle(x, stride), (pad, pad, pad, pad))
        tiles = tiles.view(n, channels, stride, stride, rows + 2 * pad, columns + 2 * pad).permute(0, 1, 2, 4, 3, 5)
        y = dbsn(self.layers, tiles.reshape(n, channels, height + 2 * pad * stride, width + 2 * pad * stride))
        tiles = y.view(n, channels, stride, rows + 2 * pad, stride, columns + 2 * pad).permute(0, 1, 2, 4, 3, 5)
        tiles = tiles.reshape(n, channels * stride**2, rows + 2 * pad, columns + 2 * pad)
        return F.pixel_shuffle(tiles[..., pad:-pad, pad:-pad], stride)

    def denoise(self, noisy: Tensor) -> Tensor:
        x = 255 * noisy
        denoised = self.mosaic(x, 2)
        refined = x.new_empty(*x.shape, 8)
        for t in range(8):
            chosen = self.replaced(x)
            mixed = denoised.clone()
            mixed[chosen] = x[chosen]
            refined[..., t] = dbsn(self.layers, F.pad(mixed, (2, 2, 2, 2), mode="reflect"))[..., 2:-2, 2:-2]
        return refined.mean(dim=-1) / 255


@dataclass
class Neighbor2Neighbor(Reference):
    pairs: Callable[[Tensor], Tensor] = pair_each

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        pairs = self.pairs(noisy)
        first, masks = 4 * torch.arange(len(pairs), device=noisy.device), []
        for k in range(2):
            chosen = torch.zeros(4 * len(pairs), dtype=torch.bool, device=noisy.device)
            chosen[first + pairs[:, k]] = True
            masks.append(chosen)
        g1_noisy, g2_noisy = cut(noisy, masks[0], 2), cut(noisy, masks[1], 2)
        with torch.no_grad():
            denoised = unet(self.layers, noisy)
        g1_denoised, g2_denoised = cut(denoised, masks[0], 2), cut(denoised, masks[1], 2)
        difference = unet(self.layers, g1_noisy) - g2_noisy
        epoch = int(100 * progress) + 1
        regularization = torch.mean((difference - (g1_denoised - g2_denoised)) ** 2)
        return torch.mean(difference**2) + 2.0 * epoch / 100 * regularization

    def denoise(self, noisy: Tensor) -> Tensor:
        height, width = noisy.shape[-2:]
        side = (max(height, width) + 31) // 32 * 32
        square = F.pad(noisy, (0, side - width, 0, side - height), mode="reflect")
        return unet(self.layers, square)[..., :height, :width]


@dataclass
class Self2SelfPlus(Reference):
    drop: float
    passes: int
    mask: Callable[[Tensor], Tensor]
    dropout: Callable[[Tensor], Tensor]

    @classmethod
    def drawing(cls, layers: Layers, drop: float, passes: int) -> "Self2SelfPlus":
        """With draws of its own."""
        return cls(layers, drop, passes, lambda x: keep_each(x, drop), lambda x: F.dropout(x, drop, training=True))

    def masked_pass(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
        mask = self.mask(noisy)
        return mask, gated_autoencoder(self.layers, torch.cat([mask, mask * noisy], dim=1), self.dropout)

    def loss(self, noisy: Tensor, progress: float) -> Tensor:
        mask, predicted = self.masked_pass(noisy)
        return torch.abs((predicted - noisy) * (1 - mask)).sum() / (1 - mask).sum()

    def denoise(self, noisy: Tensor) -> Tensor:
        """What is done after the training: the mean of the passes, one by one."""
        total = torch.zeros_like(noisy)
        for _ in range(self.passes):
            total += self.masked_pass(noisy)[1]
        return total / self.passes


# --- Scores ----------------------------------------------------------------------------------------------------------


def scores(denoised: Tensor, clean: Tensor) -> tuple[Sequence[float], Sequence[float]]:
    """PSNR and SSIM of the clipped images by scikit-image, image by image; its SSIM leaves out a border of 5 by itself."""
    psnr_db, ssim = [], []
    for image, reference in zip(denoised.clamp(0, 1).double().cpu(), clean.double().cpu(), strict=True):
        one, other = image.permute(1, 2, 0).numpy(), reference.permute(1, 2, 0).numpy()
        psnr_db.append(float(peak_signal_noise_ratio(other, one, data_range=1.0)))
        similarity = structural_similarity(
            other, one, channel_axis=-1, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        ssim.append(float(similarity))  # type: ignore[arg-type]  it returns maps as well if asked to
    return psnr_db, ssim
