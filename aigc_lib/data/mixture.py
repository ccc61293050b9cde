"""Mixtures of Gaussians: their exact density, samples, and a fit to given points."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of K Gaussians in D dimensions.

    p(x) = sum_k weights[k] N(x; means[k], covariances[k]), with weights (K,), positive,
    of sum 1; means (K, D); covariances (K, D, D), positive definite. Raises ValueError
    for weights that are no probabilities and for shapes that do not fit.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self):
        k, d = self.means.shape
        if self.weights.shape != (k,) or self.covariances.shape != (k, d, d):
            raise ValueError(
                f"weights {tuple(self.weights.shape)} and covariances "
                f"{tuple(self.covariances.shape)}: expected ({k},) and "
                f"({k}, {d}, {d}), as the means are ({k}, {d})"
            )
        total = float(self.weights.sum())
        if not (self.weights >= 0).all() or not math.isclose(total, 1, abs_tol=1e-4):
            raise ValueError(
                f"weights from {float(self.weights.min()):.3g} with sum {total:.4f}: "
                f"expected a sum of 1"
            )

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n points: (n, D). Raises ValueError for n below 1."""
        if n < 1:
            raise ValueError(f"n={n}: expected at least 1 point")
        which = torch.multinomial(
            self.weights, n, replacement=True, generator=generator
        )
        eps = torch.randn(n, self.means.shape[1], generator=generator)
        points = torch.empty_like(eps)
        for k, root in enumerate(torch.linalg.cholesky(self.covariances)):
            points[which == k] = self.means[k] + eps[which == k] @ root.T
        return points

    def log_joint(self, x: Tensor) -> Tensor:
        """log weights[k] N(x; means[k], covariances[k]), in nats: (N, D) -> (N, K)."""
        k, d = self.means.shape
        if x.ndim != 2 or x.shape[1] != d:
            raise ValueError(f"points have shape {tuple(x.shape)}: expected (N, {d})")
        root = torch.linalg.cholesky(self.covariances)
        away = (x - self.means[:, None]).transpose(1, 2)  # (K, D, N)
        white = torch.linalg.solve_triangular(root, away, upper=False)  # (K, D, N)
        squared = white.square().sum(1)  # (K, N)
        log_det = 2 * root.diagonal(dim1=1, dim2=2).log().sum(1)  # (K,)
        log_normal = -0.5 * (squared.T + log_det + d * math.log(2 * math.pi))
        return self.weights.log() + log_normal

    def log_prob(self, x: Tensor) -> Tensor:
        """The exact log-density in nats: (N, D) -> (N,)."""
        return self.log_joint(x).logsumexp(1)


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
