"""Generators and discriminators of 28x28 images.

There are the two perceptrons of most tutorials, and a convolutional pair.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp_generator(latent_dim: int = 100, eps: float = 1e-5) -> nn.Sequential:
    """Noise (B, latent_dim) -> images (B, 1, 28, 28) in [-1, 1].

    The hidden layers have 128, 256, 512 and 1024 units. eps belongs to BatchNorm;
    tutorials that copy `BatchNorm1d(n, 0.8)` train with eps = 0.8.
    """
    layers = [nn.Linear(latent_dim, 128), nn.LeakyReLU(0.2)]
    for inputs, outputs in [(128, 256), (256, 512), (512, 1024)]:
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, eps=eps)]
        layers += [nn.LeakyReLU(0.2)]
    layers += [nn.Linear(1024, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28))]
    return nn.Sequential(*layers)


def mlp_discriminator() -> nn.Sequential:
    """Images (B, 1, 28, 28) -> logits (B, 1).

    There is no sigmoid at the end, since the losses take logits.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 512),
        nn.LeakyReLU(0.2),
        nn.Linear(512, 256),
        nn.LeakyReLU(0.2),
        nn.Linear(256, 1),
    )


class Generator(nn.Module):
    """Noise (B, latent_dim) -> images (B, 1, 28, 28) in [-1, 1], after DCGAN.

    It doubles the size twice by moving channels into pixels, where DCGAN (Radford et
    al. 2016, arXiv:1511.06434) uses transposed convolutions, so that no layer works at
    full resolution. `extra` is put in at 7x7, such as self-attention.
    """

    def __init__(
        self, latent_dim: int = 64, width: int = 64, extra: nn.Module | None = None
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.body = nn.Sequential(
            nn.Linear(latent_dim, width * 7 * 7, bias=False),
            nn.Unflatten(1, (width, 7, 7)),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            *([] if extra is None else [extra]),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.PixelShuffle(2),  # (B, width / 4, 14, 14)
            nn.BatchNorm2d(width // 4),
            nn.SiLU(),
            nn.Conv2d(width // 4, 4, 3, padding=1),
            nn.PixelShuffle(2),  # (B, 1, 28, 28)
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(
                f"z has shape {tuple(z.shape)}: expected (B, {self.latent_dim})"
            )
        return self.body(z)


class Discriminator(nn.Module):
    """Images (B, channels, 28, 28) -> logits (B,), every image judged by itself.

    So there is no BatchNorm. `norm` wraps each layer with a weight, such as spectral
    normalisation; `extra` is put in at 7x7.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 64,
        norm: Callable[[nn.Module], nn.Module] = lambda layer: layer,
        extra: nn.Module | None = None,
    ):
        super().__init__()
        self.channels = channels
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),  # (B, 4 * channels, 14, 14)
            norm(nn.Conv2d(4 * channels, width // 2, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),  # (B, width / 2, 7, 7)
            norm(nn.Conv2d(width // 2, width, 3, padding=1)),
            nn.LeakyReLU(0.2),
            *([] if extra is None else [extra]),
            norm(nn.Conv2d(width, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),  # (B, width, 3, 3)
            nn.Flatten(),
        )
        self.head = norm(nn.Linear(width * 9, 1))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (self.channels, 28, 28):
            raise ValueError(
                f"x has shape {tuple(x.shape)}: expected (B, {self.channels}, 28, 28)"
            )
        return self.head(self.features(x)).squeeze(1)


class ProjectionDiscriminator(Discriminator):
    """Images (B, 1, 28, 28) and labels (B,) -> logits (B,), a sum of two parts.

    The first says how real the image is. The second, how well the label fits, is the
    inner product of the features with a vector of the label (Miyato & Koyama 2018,
    arXiv:1802.05637, eq. 5).
    """

    def __init__(self, classes: int = 10, width: int = 64):
        super().__init__(width=width)
        self.embed = nn.Embedding(classes, width * 9)
        nn.init.zeros_(self.embed.weight)  # no opinion about labels at first

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.features(x)  # (B, width * 9)
        return self.head(h).squeeze(1) + (self.embed(y) * h).sum(1)


def append_label(z: Tensor, y: Tensor, classes: int = 10) -> Tensor:
    """Noise (B, D) and the label as `classes` more numbers, one of them 1.

    Returns (B, D + classes).
    """
    return torch.cat([z, F.one_hot(y, classes).to(z)], dim=1)


def label_planes(x: Tensor, y: Tensor, classes: int = 10) -> Tensor:
    """Images (B, C, H, W) and the label as `classes` more planes, one of them all 1.

    Returns (B, C + classes, H, W): Mirza & Osindero 2014, arXiv:1411.1784, for
    convolutions.
    """
    planes = F.one_hot(y, classes).to(x)[:, :, None, None].expand(-1, -1, *x.shape[2:])
    return torch.cat([x, planes], dim=1)
