"""The locally aware network of SASL."""

from torch import Tensor, nn

BLOCKS = 6
REDUCTION = 16  # of the channel attention


class _Block(nn.Module):
    """x + two 1 x 1 convolutions of it, weighted per channel by what the mean of the image says."""

    def __init__(self, features: int) -> None:
        super().__init__()
        few = max(features // REDUCTION, 1)
        self.body = nn.Sequential(nn.Conv2d(features, features, 1), nn.ReLU(), nn.Conv2d(features, features, 1))
        self.attention = nn.Sequential(nn.Conv2d(features, few, 1), nn.ReLU(), nn.Conv2d(few, features, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y * self.attention(y.mean(dim=(-2, -1), keepdim=True))


class LAN(nn.Module):
    """(N, C, H, W) -> (N, C, H, W) for any H, W; sees 3 x 3 pixels, and by its channel attention the mean of all others.

    channels: C. features: width. PyTorch's initialisation, zero padding. 94,939 parameters at C = 3, features = 64.
    Source: Li et al., CVPR 2023, arXiv 2303.14934.
    """

    def __init__(self, channels: int = 3, features: int = 64) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Conv2d(channels, features, 1), nn.ReLU(), nn.Conv2d(features, features, 3, padding=1), nn.ReLU()
        )
        self.body = nn.Sequential(*(_Block(features) for _ in range(BLOCKS)), nn.Conv2d(features, features, 1))
        self.tail = nn.Conv2d(features, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        return self.tail(y + self.body(y))
