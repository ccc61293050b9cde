"""The autoencoder of latent diffusion: pictures to a small grid of numbers, and back.

Rombach et al. 2022, arXiv:2112.10752: a convolutional VAE whose KL term weighs so
little that it only keeps the latents from running away.
"""

import torch
from torch import Tensor, nn

from aigc_lib.models.vae import reparameterize
from aigc_lib.models.vqvae import Residual

SHRINK = 4  # pixels along an edge for each place of the latents


class KLAutoencoder(nn.Module):
    """q(z|x) = N(mu, exp(logvar)) at each place of a grid, and a decoder of pixels.

    Images (B, channels, H, W) in [-1, 1], H and W multiples of 4, become latents
    (B, D, H/4, W/4). Twice on the way, blocks of 2x2 places move into channels.
    """

    def __init__(self, channels: int = 3, D: int = 4, dim: int = 48, middle: int = 96):
        super().__init__()
        self.channels, self.D = channels, D
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),  # (B, 4 channels, H/2, W/2)
            nn.Conv2d(4 * channels, dim, 3, padding=1),
            Residual(dim),
            nn.PixelUnshuffle(2),  # (B, 4 dim, H/4, W/4)
            nn.Conv2d(4 * dim, middle, 1),
            Residual(middle),
            Residual(middle),
            nn.SiLU(),
            nn.Conv2d(middle, 2 * D, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(D, middle, 3, padding=1),
            Residual(middle),
            Residual(middle),
            nn.Conv2d(middle, 4 * dim, 1),
            nn.PixelShuffle(2),  # (B, dim, H/2, W/2)
            Residual(dim),
            nn.SiLU(),
            nn.Conv2d(dim, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),  # (B, channels, H, W)
        )
        self.to(memory_format=torch.channels_last)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, channels, H, W) -> mu and logvar, (B, D, H/4, W/4) each.

        Raises ValueError for images that the grid does not fit.
        """
        fits = x.ndim == 4 and x.shape[1] == self.channels
        if not fits or x.shape[2] % SHRINK or x.shape[3] % SHRINK:
            raise ValueError(
                f"images have shape {tuple(x.shape)}: expected (B, {self.channels}, "
                f"H, W), H and W multiples of {SHRINK}"
            )
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar.clamp(-30, 20)

    def decode(self, z: Tensor) -> Tensor:
        """Latents (B, D, h, w) -> images (B, channels, 4 h, 4 w), not cut to [-1, 1].

        Raises ValueError for latents of another depth.
        """
        if z.ndim != 4 or z.shape[1] != self.D:
            raise ValueError(
                f"latents have shape {tuple(z.shape)}: expected (B, {self.D}, h, w)"
            )
        return self.decoder(z)

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw one z per image from noise eps, decode: images, mu, logvar."""
        mu, logvar = self.encode(x)
        return self.decode(reparameterize(mu, logvar, eps)), mu, logvar
