"""The two networks of DCGAN, scaled from images of 64x64 to 28x28.

Radford, Metz & Chintala 2016, arXiv:1511.06434: transposed convolutions in the
generator, strided ones in the discriminator, BatchNorm in both, except where images
come in and go out. Our width is smaller; the paper's networks have two more layers.
"""

import torch
from torch import Tensor, nn


class DCGANGenerator(nn.Module):
    """Noise (B, latent_dim) -> images (B, 1, 28, 28) in [-1, 1]."""

    def __init__(self, latent_dim: int = 100, width: int = 32):
        super().__init__()
        self.latent_dim = latent_dim
        self.body = nn.Sequential(
            nn.Unflatten(1, (latent_dim, 1, 1)),
            nn.ConvTranspose2d(latent_dim, 2 * width, 7, bias=False),
            nn.BatchNorm2d(2 * width),  # (B, 2 * width, 7, 7)
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, padding=1, bias=False),
            nn.BatchNorm2d(width),  # (B, width, 14, 14)
            nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, 2, padding=1),
            nn.Tanh(),  # (B, 1, 28, 28)
        )
        self.apply(normal_weights)

    def forward(self, z: Tensor) -> Tensor:
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(
                f"z has shape {tuple(z.shape)}: expected (B, {self.latent_dim})"
            )
        return self.body(z)


class DCGANDiscriminator(nn.Module):
    """Images (B, 1, 28, 28) -> logits (B,).

    batch_norm=False leaves out the one BatchNorm, so that every image gets a logit of
    its own.
    """

    def __init__(self, width: int = 32, batch_norm: bool = True):
        super().__init__()
        norm = nn.BatchNorm2d(2 * width) if batch_norm else nn.Identity()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, padding=1),  # (B, width, 14, 14)
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, padding=1, bias=not batch_norm),
            norm,  # (B, 2 * width, 7, 7)
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 7),
            nn.Flatten(0),
        )
        self.apply(normal_weights)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != (1, 28, 28):
            raise ValueError(f"x has shape {tuple(x.shape)}: expected (B, 1, 28, 28)")
        return self.body(x)


@torch.no_grad()
def normal_weights(layer: nn.Module) -> None:
    """The paper's initial weights: normal, standard deviation 0.02 (section 4)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, std=0.02)
    if isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, mean=1.0, std=0.02)
