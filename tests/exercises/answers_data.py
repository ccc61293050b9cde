"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the data chapter."""

import math

import torch
from torch.distributions import Categorical, MultivariateNormal, Normal, kl_divergence

from aigc_lib.evaluate import frechet_distance, precision_recall
from aigc_lib.exercises import data as check

__all__ = ["RIGHT", "WRONG", "check"]


def density(x, mu, sigma):
    return Normal(mu, sigma).log_prob(x).sum(1)


def kl_by_loop(p, q):
    total = torch.tensor(0.0)
    for a, b in zip(p.tolist(), q.tolist(), strict=True):
        total += a * math.log(a / b) if a > 0 else 0.0
    return total


def terms(p, q):
    return torch.special.xlogy(p, p / q)


def cov(x):
    return torch.cov(x.T, correction=0).reshape(x.shape[1], x.shape[1])


def diagonal(mu1, var1, mu2, var2):
    return ((mu1 - mu2) ** 2 + var1 + var2 - 2 * (var1 * var2).sqrt()).sum()


def by_library(mu1, var1, mu2, var2):
    def points(mu, var):  # 2 D points with exactly this mean and unbiased covariance
        d = len(mu)
        away = torch.eye(d, dtype=torch.float64) * ((2 * d - 1) / 2 * var.double()).sqrt()
        return mu + torch.cat([away, -away])

    return torch.tensor(frechet_distance(points(mu1, var1), points(mu2, var2)))


def precision(real, fake, k):
    radii = torch.cdist(real, real).topk(k + 1, largest=False).values[:, -1]
    return (torch.cdist(fake, real) <= radii).any(1).float().mean()


def precision_by_loop(real, fake, k):
    hits = 0
    for point in fake:
        for centre in real:
            others = sorted((centre - other).norm().item() for other in real if other is not centre)
            if (point - centre).norm().item() <= others[k]:  # others[0]: the centre itself, another view of it
                hits += 1
                break
    return torch.tensor(hits / len(fake), dtype=torch.float64)


RIGHT = {
    "log_density": [
        density,
        lambda x, m, s: MultivariateNormal(m, torch.diag(s**2)).log_prob(x),
        lambda x, m, s: torch.stack([Normal(m, s).log_prob(row).sum() for row in x]).double(),
        lambda x, m, s: (-0.5 * ((x - m) / s) ** 2 - s.log() - 0.5 * math.log(2 * math.pi)).sum(-1),
    ],
    "kl": [
        kl_by_loop,
        lambda p, q: terms(p, q).sum(),
        lambda p, q: (
            kl_divergence(Categorical(p), Categorical(q)) if len(p) > 1 and (p > 0).all() else kl_by_loop(p, q)
        ),
        lambda p, q: torch.nn.functional.kl_div(q.log(), p, reduction="sum"),
        lambda p, q: -(torch.special.xlogy(p, q).sum() + torch.special.entr(p).sum()),
    ],
    "covariance": [
        cov,
        lambda x: x.T @ x / len(x) - torch.outer(x.mean(0), x.mean(0)),
        lambda x: torch.stack([torch.outer(a, a) for a in x.double() - x.double().mean(0)]).mean(0),
        lambda x: torch.einsum("ni,nj->ij", x - x.mean(0), x - x.mean(0)) / x.shape[0],
    ],
    "diagonal_frechet": [
        diagonal,
        by_library,
        lambda a, v, b, w: (a - b) @ (a - b) + (v**0.5 - w**0.5) @ (v**0.5 - w**0.5),
    ],
    "precision": [
        precision,
        precision_by_loop,
        lambda r, f, k: torch.tensor(precision_recall(r, f, k)[0]),
        lambda r, f, k: ((torch.cdist(r, f) <= torch.cdist(r, r).sort().values[:, k, None]).sum(0) > 0).double().mean(),
    ],
}

WRONG = {
    "log_density": [
        (lambda x, m, s: -density(x, m, s), "sign"),
        (lambda x, m, s: density(x, m, s).exp(), "logarithm"),
        (lambda x, m, s: density(x, m, s.sqrt()), "standard deviation"),
        (lambda x, m, s: Normal(m, s).log_prob(x), "per coordinate"),
        (lambda x, m, s: density(x, m, s).sum(), r"shape \(\)"),
        (lambda x, m, s: (-0.5 * ((x - m) / s) ** 2 - s.log()).sum(1), "2 pi is missing"),
        (lambda x, m, s: (-0.5 * ((x - m) / s) ** 2 - 0.5 * math.log(2 * math.pi)).sum(1), "log sigma is missing"),
        (lambda x, m, s: (-0.5 * ((x - m) / s) ** 2 - s.log()).sum(1) - 0.5 * math.log(2 * math.pi), "once per dim"),
        (lambda x, m, s: density(x, m, s) + 1, "off"),
    ],
    "kl": [
        (lambda p, q: -terms(p, q).sum(), "sign"),
        (lambda p, q: terms(p, q).sum() / math.log(2), "bits"),
        (lambda p, q: terms(p, q).mean(), "average over the outcomes"),
        (lambda p, q: terms(p, q), "one value per outcome"),
        (lambda p, q: (p * (p / q).log()).sum(), "costs nothing"),
        (lambda p, q: (q * (q / p).log()).sum(), "other direction"),
        (lambda p, q: -torch.special.xlogy(p, q).sum(), "cross-entropy"),
        (lambda p, q: (p - q).abs().sum(), "off"),
    ],
    "covariance": [
        (lambda x: cov(x) * len(x) / (len(x) - 1), "N - 1"),
        (lambda x: cov(x) * len(x), "sum over the points"),
        (lambda x: x.T @ x / len(x), "mean is not subtracted"),
        (lambda x: (x - x.mean()).T @ (x - x.mean()) / len(x), "each coordinate has its own"),
        (lambda x: torch.diag(cov(x).diagonal()), "Only the diagonal"),
        (lambda x: x.var(0, correction=0), "variances"),
        (lambda x: cov(x.T), "points are the rows"),
        (lambda x: cov(x) + 0.1, "off"),
    ],
    "diagonal_frechet": [
        (lambda a, v, b, w: ((a - b) ** 2 + (v - w) ** 2).sum(), "standard deviations"),
        (lambda a, v, b, w: diagonal(a, v, b, w).sqrt(), "squared distance"),
        (lambda a, v, b, w: diagonal(a, v, b, w) / len(a), "add up"),
        (lambda a, v, b, w: ((a - b) ** 2).sum(), "Only half"),
        (lambda a, v, b, w: ((v.sqrt() - w.sqrt()) ** 2).sum(), "Only half"),
        (lambda a, v, b, w: (a - b).norm() + ((v.sqrt() - w.sqrt()) ** 2).sum(), "must be squared"),
        (lambda a, v, b, w: (a - b) ** 2 + (v.sqrt() - w.sqrt()) ** 2, "per dimension"),
        (lambda a, v, b, w: ((a - b) ** 2 + v + w).sum(), "random plan"),
        (lambda a, v, b, w: ((a - b) ** 2 + v + w - 2 * v * w).sum(), "off"),
    ],
    "precision": [
        (lambda r, f, k: precision(f, r, k), "recall"),
        (lambda r, f, k: precision(r, f, k - 1), "too small"),
        (lambda r, f, k: precision(r, f, k + 1), "too large"),
        (lambda r, f, k: 100 * precision(r, f, k), "per cent"),
        (lambda r, f, k: len(f) * precision(r, f, k), "count"),
        (lambda r, f, k: 1 - precision(r, f, k), "outside"),
        (lambda r, f, k: torch.tensor(1.0), "off"),
        (lambda r, f, k: torch.full((len(f),), 0.5), "one value per fake"),
    ],
}
