"""The variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114), convolutional, for 28x28 images."""

import torch
from torch import Tensor, nn


def reparameterize(mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A draw z = mu + sigma * eps from N(mu, exp(logvar)) through which gradients flow: (B, D), (B, D) -> (B, D).

    The noise eps comes from `generator`, on the CPU (arXiv:1312.6114, section 2.4).
    """
    eps = torch.randn(mu.shape, generator=generator).to(mu.device)
    return mu + (0.5 * logvar).exp() * eps


class VAE(nn.Module):
    """q(z|x) = N(mu(x), diag exp(logvar(x))), p(z) = N(0, I), p(x|z) = Bernoulli pixels with logits decode(z).

    Images are (B, 1, 28, 28) in [-1, 1]; codes are (B, latent_dim).
    """

    def __init__(self, latent_dim: int = 20, channels: int = 16, hidden: int = 256):
        super().__init__()
        self.latent_dim = latent_dim
        c = channels
        self.encoder = nn.Sequential(
            nn.Conv2d(1, c, 4, stride=2, padding=1),  # (B, c, 14, 14)
            nn.SiLU(),
            nn.Conv2d(c, 2 * c, 4, stride=2, padding=1),  # (B, 2c, 7, 7)
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(2 * c * 7 * 7, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 2 * latent_dim),  # mu and logvar side by side
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, hidden),
            nn.SiLU(),
            nn.Linear(hidden, 2 * c * 7 * 7),
            nn.SiLU(),
            nn.Unflatten(1, (2 * c, 7, 7)),
            nn.ConvTranspose2d(2 * c, c, 4, stride=2, padding=1),  # (B, c, 14, 14)
            nn.SiLU(),
            nn.ConvTranspose2d(c, 1, 4, stride=2, padding=1),  # (B, 1, 28, 28)
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the log-variance of q(z|x): (B, 1, 28, 28) -> (B, latent_dim), (B, latent_dim)."""
        if x.shape[1:] != (1, 28, 28):
            raise ValueError(f"x has shape {tuple(x.shape)}: expected (B, 1, 28, 28)")
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """The pixel logits of p(x|z): (B, latent_dim) -> (B, 1, 28, 28)."""
        if z.shape[1:] != (self.latent_dim,):
            raise ValueError(f"z has shape {tuple(z.shape)}: expected (B, {self.latent_dim})")
        return self.decoder(z)

    @torch.no_grad()
    def images(self, z: Tensor) -> Tensor:
        """The mean image of p(x|z), in [-1, 1]: (B, latent_dim) -> (B, 1, 28, 28)."""
        return 2 * self.decode(z).sigmoid() - 1

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw one code per image, decode: returns logits (B, 1, 28, 28), mu and logvar (B, latent_dim)."""
        mu, logvar = self.encode(x)
        return self.decode(reparameterize(mu, logvar, generator)), mu, logvar
