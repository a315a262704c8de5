"""A few plain convolutions: the network of several methods that learn from one image."""

from itertools import pairwise

from torch import Tensor, nn


class ConvStack(nn.Module):
    """(N, C, H, W) -> (N, C, H, W) for any H, W: 3 x 3 convolutions with LeakyReLU after each, and a 1 x 1 convolution.

    channels: C. features: width. layers: 3 x 3 convolutions. slope: of LeakyReLU below 0; 0 makes it ReLU.

    Zero padding; PyTorch's default initial weights. ZS-N2N's network (2 layers, 48 features, slope 0.2) has 22,275 parameters
    at C = 3 and 21,313 at C = 1; Noise2Fast's (8 layers, 64 features, slope 0) 260,483 and 259,201.
    """

    def __init__(self, channels: int = 3, features: int = 48, layers: int = 2, slope: float = 0.2) -> None:
        super().__init__()
        if features < 1 or layers < 1:
            raise ValueError(f"method.features and method.layers must be 1 or more, got {features} and {layers}")
        widths = [channels] + [features] * layers
        convs: list[nn.Module] = []
        for before, after in pairwise(widths):
            # In place: the gradient needs the output only, and a step is short of memory bandwidth.
            convs += [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(slope, inplace=True)]
        self.body = nn.Sequential(*convs, nn.Conv2d(features, channels, 1))

    def reset(self) -> None:
        """Draw all weights anew from the global generator."""
        for module in self.body:
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)
