"""The variational autoencoder for 28x28 images.

Kingma & Welling 2014, arXiv:1312.6114.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def reparameterize(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """A draw z = mu + sigma * eps from N(mu, exp(logvar)): three (B, D) -> (B, D).

    eps is standard normal noise. It is an input, so gradients flow to mu and logvar
    (arXiv:1312.6114, section 2.4). mu and logvar may be (1, D), for several draws from
    one Gaussian; raises ValueError when several rows would share one noise.
    """
    z = mu + (0.5 * logvar).exp() * eps
    if z.shape != eps.shape:
        raise ValueError(
            f"eps has shape {tuple(eps.shape)}: expected {tuple(z.shape)}, "
            f"noise of its own for each row"
        )
    return z


class VAE(nn.Module):
    """q(z|x) = N(mu(x), diag exp(logvar(x))), p(z) = N(0, I), p(x|z) = Bernoulli pixels
    with logits decode(z).

    encoder maps images (B, 1, 28, 28) in [-1, 1] to (B, 2 * latent_dim), mu and logvar
    side by side; decoder maps codes (B, latent_dim) to logits (B, 1, 28, 28).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latent_dim: int):
        super().__init__()
        self.encoder, self.decoder, self.latent_dim = encoder, decoder, latent_dim

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the log-variance of q(z|x), from images (B, 1, 28, 28).

        Both have shape (B, latent_dim).
        """
        if x.shape[1:] != (1, 28, 28):
            raise ValueError(f"x has shape {tuple(x.shape)}: expected (B, 1, 28, 28)")
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """The pixel logits of p(x|z): (B, latent_dim) -> (B, 1, 28, 28)."""
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(
                f"z has shape {tuple(z.shape)}: expected (B, {self.latent_dim})"
            )
        return self.decoder(z)

    @torch.no_grad()
    def codes(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A draw from q(z|x) for each image: (B, 1, 28, 28) -> (B, latent_dim).

        The noise is drawn on the CPU, so that a seed gives the same one everywhere.
        """
        mu, logvar = self.encode(x)
        eps = torch.randn(mu.shape, generator=generator).to(x.device)
        return reparameterize(mu, logvar, eps)

    @torch.no_grad()
    def images(self, z: Tensor) -> Tensor:
        """The mean image of p(x|z), in [-1, 1]: (B, latent_dim) -> (B, 1, 28, 28)."""
        return 2 * self.decode(z).sigmoid() - 1

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw one code per image from noise eps (B, latent_dim), decode.

        Returns logits (B, 1, 28, 28), mu (B, latent_dim) and logvar (B, latent_dim).
        """
        if eps.shape != (len(x), self.latent_dim):
            raise ValueError(
                f"eps has shape {tuple(eps.shape)}: "
                f"expected ({len(x)}, {self.latent_dim}), one row per image"
            )
        mu, logvar = self.encode(x)
        return self.decode(reparameterize(mu, logvar, eps)), mu, logvar


def conv_vae(latent_dim: int = 20, channels: int = 48, hidden: int = 256) -> VAE:
    """A small convolutional VAE that works on a 7x7 grid of 4x4-pixel patches.

    Pixels move into channels and back (Shi et al. 2016, arXiv:1609.05158), so no layer
    runs at full resolution, where a CPU spends most of its time on moving memory. Only
    16 channels reach the dense layers, which hold most of the weights.
    """
    encoder = nn.Sequential(
        nn.PixelUnshuffle(4),  # (B, 1, 28, 28) -> (B, 16, 7, 7)
        nn.Conv2d(16, channels, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(channels, 16, 1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(784, hidden),
        nn.SiLU(),
        nn.Linear(hidden, 2 * latent_dim),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, hidden),
        nn.SiLU(),
        nn.Linear(hidden, 784),
        nn.SiLU(),
        nn.Unflatten(1, (16, 7, 7)),
        nn.Conv2d(16, channels, 3, padding=1),
        nn.SiLU(),
        nn.Conv2d(channels, 16, 3, padding=1),
        nn.PixelShuffle(4),  # (B, 16, 7, 7) -> (B, 1, 28, 28)
    )
    return VAE(encoder, decoder, latent_dim)


def mlp_vae(latent_dim: int = 20, hidden: int = 400) -> VAE:
    """The first VAE everybody writes: one hidden layer each way."""
    encoder = nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 2 * latent_dim),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 784),
        nn.Unflatten(1, (1, 28, 28)),
    )
    return VAE(encoder, decoder, latent_dim)


class PeekingVAE(nn.Module):
    """A VAE whose decoder also sees the true pixels above and to the left of each.

    Its encoder and decoder are those of mlp_vae; latent_dim and hidden as there.
    """

    def __init__(self, latent_dim: int = 20, hidden: int = 200):
        super().__init__()
        self.vae, self.latent_dim = mlp_vae(latent_dim, hidden), latent_dim
        self.see = nn.Conv2d(1, 16, 5, padding=2)
        self.tell = nn.Sequential(
            nn.SiLU(), nn.Conv2d(16, 16, 1), nn.SiLU(), nn.Conv2d(16, 1, 1)
        )
        mask = torch.ones(5, 5)
        mask[2, 2:] = mask[3:] = 0  # not itself, not what comes later
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As of VAE: logits (B, 1, 28, 28), mu (B, latent_dim), logvar."""
        logits, mu, logvar = self.vae(x, eps)
        neighbours = F.conv2d(x, self.see.weight * self.mask, self.see.bias, padding=2)
        # A memory layout in which the 1x1 convolutions are three times as fast.
        neighbours = neighbours.contiguous(memory_format=torch.channels_last)
        return logits + self.tell(neighbours), mu, logvar
