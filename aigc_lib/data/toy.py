"""Toy densities in the plane whose log p(x) is known exactly: mixtures of Gaussians."""

import math

import torch
from torch import Tensor

from aigc_lib.data.mixture import Mixture

__all__ = ["Mixture", "lattice", "moons", "ring"]


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
