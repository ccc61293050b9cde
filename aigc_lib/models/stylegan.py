"""StyleGAN in miniature: a mapping network, modulated convolutions and noise.

Karras et al. 2019 and 2020.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def modulated_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, demodulate: bool = True
) -> Tensor:
    """A convolution whose input channels are scaled by a style, per sample.

    x (B, I, H, W), weight (O, I, k, k), style (B, I) -> (B, O, H, W). Scaling the
    weight of each sample equals scaling its input; demodulation, which gives each
    scaled filter length 1, equals scaling its output. So one ordinary convolution
    serves the whole batch (Karras et al. 2020, arXiv:1912.04958, eqs. 1 and 3).
    """
    if style.shape != x.shape[:2] or weight.shape[1] != x.shape[1]:
        raise ValueError(
            f"x {tuple(x.shape)}, weight {tuple(weight.shape)}, style "
            f"{tuple(style.shape)}: expected (B, I, H, W), (O, I, k, k) and (B, I)"
        )
    out = F.conv2d(x * style[:, :, None, None], weight, padding=weight.shape[2] // 2)
    if not demodulate:
        return out
    squares = weight.float().square().sum((2, 3))  # (O, I)
    length2 = style.float().square() @ squares.T  # (B, I) @ (I, O) -> (B, O)
    return out * (length2 + 1e-8).rsqrt()[:, :, None, None]


class StyledLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU.

    The noise has a learned strength per channel.
    """

    def __init__(self, inputs: int, outputs: int, style_dim: int):
        super().__init__()
        self.style = nn.Linear(style_dim, inputs)
        # Different styles must differ from the start.
        nn.init.normal_(self.style.weight, std=style_dim**-0.5)
        nn.init.ones_(self.style.bias)  # a style of 1 is an ordinary convolution
        weight = torch.randn(outputs, inputs, 3, 3) / (9 * inputs) ** 0.5
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.full((outputs,), 0.1))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        """x (B, I, H, W), w (B, style_dim), noise (B, 1, H, W) -> (B, O, H, W)."""
        x = modulated_conv2d(x, self.weight, self.style(w))
        x = x + self.strength[:, None, None] * noise + self.bias[:, None, None]
        return F.leaky_relu(x, 0.2)


class SlowLinear(nn.Linear):
    """A linear layer that learns `pace` times as fast: it uses `pace` times its weight.

    (B, inputs) -> (B, outputs). Adam's steps have about the size of the learning rate,
    whatever the gradient, so what the layer uses moves by `pace` of it. The initial
    spread suits a leaky ReLU, which keeps that of the input.
    """

    def __init__(self, inputs: int, outputs: int, pace: float = 0.01):
        super().__init__(inputs, outputs)
        self.pace = pace
        # PyTorch's default would shrink the spread of z from layer to layer.
        nn.init.kaiming_normal_(self.weight, a=0.2)
        nn.init.zeros_(self.bias)
        self.weight.data /= pace

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.pace * self.weight, self.pace * self.bias)


class StyleGenerator(nn.Module):
    """z -> w by a mapping network; w steers each layer, noise maps decide the rest.

    One input (B, latent_dim) holds it all: style_dim numbers for the mapping network,
    which steer the two coarse layers, style_dim more for the two fine ones, then the
    noise maps of the layers. So it is a function of its input, as all generators of the
    course are. The paper mixes two styles in 90 % of its training images, we in all.
    """

    sizes = (7, 7, 14, 14)

    def __init__(self, style_dim: int = 64, width: int = 64):
        super().__init__()
        self.style_dim = style_dim
        self.latent_dim = 2 * style_dim + sum(s * s for s in self.sizes)
        # The pace of the paper (Karras et al. 2019, arXiv:1812.04948, appendix C).
        self.mapping = nn.Sequential(
            SlowLinear(style_dim, 128),
            nn.LeakyReLU(0.2),
            SlowLinear(128, 128),
            nn.LeakyReLU(0.2),
            SlowLinear(128, style_dim),
        )
        self.start = nn.Parameter(torch.randn(1, width, 7, 7))
        half = width // 2
        widths = [(width, width), (width, width), (width, half), (half, half)]
        self.layers = nn.ModuleList(StyledLayer(i, o, style_dim) for i, o in widths)
        self.to_pixels = nn.Conv2d(half, 4, 3, padding=1)

    def split(self, z: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The coarse and the fine style before mapping, and the noise maps.

        Both styles are (B, style_dim), each map is (B, 1, s, s).
        """
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(
                f"z has shape {tuple(z.shape)}: expected (B, {self.latent_dim})"
            )
        parts = [self.style_dim, self.style_dim, *(s * s for s in self.sizes)]
        coarse, fine, *maps = z.split(parts, dim=1)
        pairs = zip(maps, self.sizes, strict=True)
        return coarse, fine, [m.reshape(-1, 1, s, s) for m, s in pairs]

    def map(self, style: Tensor) -> Tensor:
        """The mapping network, after scaling to a mean square of 1.

        (B, style_dim) -> w (B, style_dim).
        """
        scale = (style.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        return self.mapping(style * scale)

    def synthesize(self, ws: list[Tensor], noise: list[Tensor]) -> Tensor:
        """Images (B, 1, 28, 28) in [-1, 1] from a w for each layer and the noise maps.

        Each w is (B, style_dim), each map (B, 1, s, s).
        """
        x = self.start.expand(len(ws[0]), -1, -1, -1)
        for layer, w, n in zip(self.layers, ws, noise, strict=True):
            if n.shape[-1] > x.shape[-1]:
                x = F.interpolate(
                    x, scale_factor=2, mode="bilinear", align_corners=False
                )
            x = layer(x, w, n)
        return F.pixel_shuffle(self.to_pixels(x), 2).tanh()

    def forward(self, z: Tensor) -> Tensor:
        """Images (B, 1, 28, 28) in [-1, 1] from inputs (B, latent_dim).

        An input holds styles and noise side by side.
        """
        coarse, fine, noise = self.split(z)
        a, b = self.map(coarse), self.map(fine)
        return self.synthesize([a, a, b, b], noise)
