"""How many components of a known mixture a set of samples reaches."""

import torch
from torch import Tensor


def modes_held(
    points: Tensor, centres: Tensor, std: float, least: float = 0.02
) -> tuple[int, float]:
    """The number of modes that samples hold, and the share of samples near any mode.

    points (N, D); centres (K, D) of round Gaussians with standard deviation std. A
    point is near a mode within 3 std of its centre, as in Srivastava et al. 2017
    (VEEGAN, arXiv:1705.07761). There one near point is enough. Here the fraction
    `least` of all points must be near, so that a blob over everything holds nothing.
    Read both numbers together: a featureless circle through the centres holds all
    modes, with a small share. Raises ValueError for shapes that do not fit, and unless
    std > 0 and 0 < least <= 1.
    """
    tables = points.ndim == centres.ndim == 2 and len(points) and len(centres)
    if not tables or points.shape[1] != centres.shape[1]:
        raise ValueError(
            f"points {tuple(points.shape)} and centres {tuple(centres.shape)}: "
            f"expected (N, D) and (K, D), N and K at least 1"
        )
    if not (std > 0 and 0 < least <= 1):
        raise ValueError(f"std={std}, least={least}: expected std > 0, 0 < least <= 1")
    near = torch.cdist(points, centres) <= 3 * std  # (N, K)
    held = near.sum(0) >= least * len(points)
    return int(held.sum()), float(near.any(1).float().mean())
