"""Draw samples and walk through latent spaces; the decoder is an argument."""

from collections.abc import Callable

import torch
from torch import Tensor

from aigc_lib.data.mixture import Mixture, fit_prior

__all__ = ["bilinear", "fit_prior", "from_prior"]


@torch.no_grad()
def from_prior(
    decode: Callable[[Tensor], Tensor],
    n: int,
    latent_dim: int,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
    prior: Mixture | None = None,
) -> Tensor:
    """Decode `n` codes drawn from the prior: decode(z) for z of shape (n, latent_dim).

    The prior is N(0, I) unless a mixture is given. The codes are drawn on the CPU, so
    that a seed gives the same ones everywhere, then moved to `device`.
    """
    if n < 1 or latent_dim < 1:
        raise ValueError(
            f"n={n}, latent_dim={latent_dim}: expected both to be at least 1"
        )
    if prior is None:
        z = torch.randn(n, latent_dim, generator=generator)
    else:
        z = prior.sample(n, generator)
    return decode(z.to(device))


def bilinear(corners: Tensor, u: float, v: float) -> Tensor:
    """A code (D,) between four corners (4, D).

    The corners stand at (u, v) = (0,0), (1,0), (0,1), (1,1).
    """
    if corners.ndim != 2 or len(corners) != 4:
        raise ValueError(f"corners has shape {tuple(corners.shape)}: expected (4, D)")
    top = torch.lerp(corners[0], corners[1], u)
    bottom = torch.lerp(corners[2], corners[3], u)
    return torch.lerp(top, bottom, v)
