"""Draw samples and walk through latent spaces; the decoder is an argument."""

from collections.abc import Callable

import torch
from torch import Tensor


@torch.no_grad()
def from_prior(
    decode: Callable[[Tensor], Tensor],
    n: int,
    latent_dim: int,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Decode `n` codes drawn from the prior N(0, I): returns decode(z) for z of shape (n, latent_dim).

    The codes are drawn on the CPU, so that a seed gives the same ones everywhere, then moved to `device`.
    """
    if n < 1 or latent_dim < 1:
        raise ValueError(f"n={n}, latent_dim={latent_dim}: expected both to be at least 1")
    return decode(torch.randn(n, latent_dim, generator=generator).to(device))


def bilinear(corners: Tensor, u: float, v: float) -> Tensor:
    """A code between four: corners (4, D) at (u, v) = (0,0), (1,0), (0,1), (1,1); returns (D,)."""
    if corners.ndim != 2 or len(corners) != 4:
        raise ValueError(f"corners has shape {tuple(corners.shape)}: expected (4, D)")
    top = torch.lerp(corners[0], corners[1], u)
    bottom = torch.lerp(corners[2], corners[3], u)
    return torch.lerp(top, bottom, v)
