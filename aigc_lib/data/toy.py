"""Toy densities in the plane whose log p(x) is known exactly: mixtures of Gaussians."""

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


def ring(modes: int = 8, radius: float = 2.0, std: float = 0.15) -> Mixture:
    """Equal round Gaussians, evenly spaced on a circle around the origin."""
    if modes < 1:
        raise ValueError(f"modes={modes}: expected at least 1")
    angle = torch.arange(modes) * (2 * math.pi / modes)
    return _round(radius * torch.stack([angle.cos(), angle.sin()], 1), std)


def moons(beads: int = 16, std: float = 0.12) -> Mixture:
    """Two interleaved half circles, each of `beads` round Gaussians.

    Together they are centred on the origin.
    """
    if beads < 2:
        raise ValueError(f"beads={beads}: expected at least 2")
    angle = torch.linspace(0, math.pi, beads)
    upper = torch.stack([angle.cos(), angle.sin()], 1) + torch.tensor([-0.5, -0.25])
    return _round(1.5 * torch.cat([upper, -upper]), std)


def lattice(reach: float = 3.0, n: int = 200) -> Tensor:
    """The centres of n x n equal cells that fill the square [-reach, reach]^2.

    Returns (n * n, 2), x fastest. A sum over them times the cell's area,
    (2 * reach / n) ** 2, approximates an integral over the square.
    """
    ticks = (torch.arange(n) + 0.5) * (2 * reach / n) - reach
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], 1)


def _round(means: Tensor, std: float) -> Mixture:
    """Equal weights and the covariance std^2 I for every mean (K, D)."""
    if not std > 0:
        raise ValueError(f"std={std}: expected more than 0")
    k, d = means.shape
    covariances = (std**2 * torch.eye(d)).expand(k, d, d)
    return Mixture(torch.full((k,), 1 / k), means, covariances)
