"""The discrete VAE of DALL-E 1: a code is drawn, by a softmax with Gumbel noise.

Ramesh et al. 2021, arXiv:2102.12092, section 2.1.
"""

import torch
from torch import Tensor

from aigc_lib.models.vqvae import VQVAE


class DVAE(VQVAE):
    """A VQ-VAE whose encoder gives each code a probability.

    The encoder's output (B, K, h, w) are logits over the codes; `codebook` is a
    `Codebook` of K vectors that the gradient reaches through the softmax.
    """

    def forward(
        self, x: Tensor, noise: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of the pixels, logits of the codes (B, K, h, w), tokens (B, h, w).

        noise (B, K, h, w) from `gumbel`. Each place gets a mean of all vectors,
        weighted by a draw that is nearly one-hot at low temperatures.
        """
        codes = self.encoder(x)
        weights = gumbel_softmax(codes, noise, temperature)  # (B, K, h, w)
        zq = torch.einsum("bkhw,kd->bdhw", weights, self.codebook.vectors)
        return self.decoder(zq), codes, codes.argmax(dim=1)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) in [-1, 1] -> the most probable tokens (B, h, w)."""
        return self.encoder(x).argmax(dim=1)


def gumbel(u: Tensor) -> Tensor:
    """Gumbel noise from uniform numbers in [0, 1), of the same shape."""
    u = u.clamp(min=torch.finfo(u.dtype).tiny)
    return -(-u.log()).clamp(min=1e-7).log()


def gumbel_softmax(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """Weights over dim 1 that are a draw from softmax(logits) as temperature -> 0.

    Jang et al. 2017, arXiv:1611.01144; Maddison et al. 2017, arXiv:1611.00712.
    """
    if not temperature > 0:
        raise ValueError(f"temperature {temperature}: expected more than 0")
    return ((logits + noise) / temperature).softmax(dim=1)
