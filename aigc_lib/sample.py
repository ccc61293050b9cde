"""Draw samples and walk through latent spaces; the decoder is an argument."""

from collections.abc import Callable

import torch
from torch import Tensor

from aigc_lib.data.toy import Mixture


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


@torch.no_grad()
def fit_prior(
    codes: Tensor,
    components: int = 10,
    steps: int = 30,
    generator: torch.Generator | None = None,
) -> Mixture:
    """Fit a mixture of Gaussians to codes (N, D) by expectation maximisation.

    Sampling from it, and not from N(0, I), is ex-post density estimation (Ghosh et al.
    2020, arXiv:1903.12436).
    """
    n, d = codes.shape
    if not 1 <= components <= n:
        raise ValueError(
            f"components={components}: expected 1 to {n}, the number of codes"
        )
    start = codes[torch.randperm(n, generator=generator)[:components]]
    spread = torch.cov(codes.T).reshape(d, d)
    equal = torch.full((components,), 1 / components)
    mixture = Mixture(equal, start, spread.expand(components, d, d))
    for _ in range(steps):
        # How much each component owns each code: (K, N).
        share = mixture.log_joint(codes).softmax(1).T
        total = share.sum(1).clamp(min=1e-6)
        means = share @ codes / total[:, None]
        second = torch.einsum("kn,nd,ne->kde", share, codes, codes)
        second = second / total[:, None, None]  # (K, D, D)
        square = means[:, :, None] * means[:, None, :]
        covariances = second - square + 1e-3 * torch.eye(d)
        mixture = Mixture(total / total.sum(), means, covariances)
    return mixture


def bilinear(corners: Tensor, u: float, v: float) -> Tensor:
    """A code (D,) between four corners (4, D).

    The corners stand at (u, v) = (0,0), (1,0), (0,1), (1,1).
    """
    if corners.ndim != 2 or len(corners) != 4:
        raise ValueError(f"corners has shape {tuple(corners.shape)}: expected (4, D)")
    top = torch.lerp(corners[0], corners[1], u)
    bottom = torch.lerp(corners[2], corners[3], u)
    return torch.lerp(top, bottom, v)
