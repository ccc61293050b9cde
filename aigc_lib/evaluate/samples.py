"""Distances between two sets of samples, in the feature space of a network.

The network is an argument.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from aigc_lib.evaluate.expect import expect_images, expect_pair, expect_probabilities

Features = Callable[[Tensor], tuple[Tensor, Tensor]]


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The squared Fréchet distance between Gaussians fitted to two sets of features.

    a (N, F), b (M, F). |mu_a - mu_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), in squared
    feature units (Heusel et al. 2017, arXiv:1706.08500, eq. 6). Biased upwards for
    small sets: compare only at equal N. Raises ValueError for sets of different width
    or with fewer than two rows.
    """
    _same_width(a, b)
    a, b = a.double(), b.double()
    mean = (a.mean(0) - b.mean(0)).square().sum()
    cov_a = torch.cov(a.T).reshape(a.shape[1], -1)
    cov_b = torch.cov(b.T).reshape(b.shape[1], -1)
    # tr (C_a C_b)^(1/2) equals the sum of the square roots of the eigenvalues of
    # S C_b S, where S = C_a^(1/2).
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0).sqrt().sum()
    return float(mean + cov_a.trace() + cov_b.trace() - 2 * cross)


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """The share of fakes in the manifold of the reals, and of reals in the fakes'.

    real (N, F), fake (M, F) are features. A manifold is the union of balls around its
    points that reach to their k-th neighbour (Kynkäänniemi et al. 2019,
    arXiv:1904.06991, eqs. 1 and 2).
    """
    _expect_sets(real, fake, k)
    return _inside(fake, real, k), _inside(real, fake, k)


def density_coverage(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """How many balls of the reals hold a fake, and the share of balls that hold any.

    real (N, F), fake (M, F) are features; a ball reaches from a real point to its k-th
    neighbour. Density is the mean number of balls around a fake, divided by k: about 1
    for fakes that are like the reals, and it may be more. Coverage is about
    1 - 2**-k for them, at N = M (Naeem et al. 2020, arXiv:2002.09797, eq. 5, who
    take k = 5). The border belongs to a ball, as in `precision_recall`.
    """
    _expect_sets(real, fake, k)
    radii = _radii(real, k)
    balls, held = 0, torch.zeros(len(real), dtype=torch.bool, device=real.device)
    for part in fake.split(1000):
        inside = torch.cdist(part, real) <= radii  # (1000, N)
        balls += int(inside.sum())
        held |= inside.any(0)
    return balls / (k * len(fake)), float(held.float().mean())


def _expect_sets(real: Tensor, fake: Tensor, k: int) -> None:
    _same_width(real, fake)
    n = min(len(real), len(fake))
    if not 1 <= k < n:
        raise ValueError(f"k={k}: expected 1 to {n - 1}, fewer than the samples")


def _radii(centres: Tensor, k: int) -> Tensor:
    """The distance (N,) of each of `centres` to its k-th nearest other."""
    # k + 1, since the nearest centre of all is the centre itself.
    return torch.cdist(centres, centres).kthvalue(k + 1, dim=1).values


def _inside(points: Tensor, centres: Tensor, k: int) -> float:
    """The share of `points` within the k-th-neighbour radius of any of `centres`."""
    radii = _radii(centres, k)
    hits = [(torch.cdist(part, centres) <= radii).any(1) for part in points.split(1000)]
    return float(torch.cat(hits).float().mean())


def class_entropy(probabilities: Tensor) -> float:
    """The entropy, in nats, of the mean class distribution of probabilities (N, K).

    At most log K, when all classes appear equally. Raises ValueError for rows that are
    no probabilities, such as counts or logits.
    """
    expect_probabilities(probabilities)
    mean = probabilities.double().mean(0)
    return float(torch.special.entr(mean).sum())


def inception_score(probabilities: Tensor) -> float:
    """exp of the mean KL(p(y|x) || p(y)) of class probabilities (N, K); at most K.

    p(y) is the mean of the rows. Salimans et al. 2016, arXiv:1606.03498, section 4.
    Raises ValueError for rows that are no probabilities.
    """
    expect_probabilities(probabilities)
    y = probabilities.double()
    entropies = torch.special.entr(y).sum(1)
    return float((torch.special.entr(y.mean(0)).sum() - entropies.mean()).exp())


def kid(a: Tensor, b: Tensor) -> float:
    """The kernel distance of two sets of features (N, F) and (M, F), unbiased.

    The kernel is (u.v / F + 1)^3. Pairs of a row with itself are left out, so that the
    mean over many draws is right for sets of any size, and a single value may be
    negative (Binkowski et al. 2018, arXiv:1801.01401, section 4). Raises ValueError for
    sets of different width or with fewer than two rows.
    """
    _same_width(a, b)

    def kernel(u: Tensor, v: Tensor) -> Tensor:
        return (u @ v.T / u.shape[1] + 1) ** 3

    def within(u: Tensor) -> Tensor:
        pairs = kernel(u, u)
        return (pairs.sum() - pairs.trace()) / (len(u) * (len(u) - 1))

    a, b = a.double(), b.double()
    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


@torch.no_grad()
def measure(
    fake: Tensor,
    real: Tensor,
    features: Features,
    *,
    k: int = 3,
    neighbours: int = 2000,
) -> dict[str, float]:
    """One row of the scoreboard for images `fake` against held-out images `real`.

    Both are (N, C, H, W) in [-1, 1]. features(images) returns features (N, F) and class
    probabilities (N, K). Precision and recall use the first `neighbours` of each set.
    Returns {"fdd", "precision", "recall", "class_entropy", "n"}. Raises ValueError for
    images in another range, shape or number, and for another pair than features and
    probabilities.
    """
    expect_images(fake, real)
    fake_features, probabilities = expect_pair(features(fake), len(fake))
    real_features, _ = expect_pair(features(real), len(real))
    precision, recall = precision_recall(
        real_features[:neighbours], fake_features[:neighbours], k
    )
    return {
        "fdd": frechet_distance(fake_features, real_features),
        "precision": precision,
        "recall": recall,
        "class_entropy": class_entropy(probabilities),
        "n": len(fake),
    }


def _same_width(a: Tensor, b: Tensor) -> None:
    tables = a.ndim == b.ndim == 2
    if not tables or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"features of shapes {tuple(a.shape)} and {tuple(b.shape)}: "
            f"expected (N, F) and (M, F), N and M at least 2"
        )
    if not (math.isfinite(float(a.sum())) and math.isfinite(float(b.sum()))):
        raise ValueError("features contain values that are not finite")
