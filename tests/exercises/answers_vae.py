"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the VAE chapter."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Independent, Normal, kl_divergence

from aigc_lib import losses
from aigc_lib.exercises import vae as check

__all__ = ["RIGHT", "WRONG", "check"]


def kl_by_distributions(mu, logvar):
    prior = Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return kl_divergence(Independent(Normal(mu, (logvar / 2).exp()), 1), Independent(prior, 1))


def kl_by_loop(mu, logvar):
    rows = []
    for m, lv in zip(mu, logvar, strict=True):
        rows.append(sum(-0.5 * (1 + b - a**2 - torch.exp(b)) for a, b in zip(m, lv, strict=True)))
    return torch.stack(rows)


def column_entropy(column):
    p = torch.bincount(column - column.min()).double() / len(column)
    return torch.special.entr(p).sum() / torch.log(torch.tensor(2.0))


def by_naive_logarithms(logits, x):
    p, t = logits.sigmoid(), (x + 1) / 2
    return -(t * p.log() + (1 - t) * (1 - p).log()).sum() / len(x)


def nll(logits, x):
    return losses.bernoulli_nll(logits, x)


RIGHT = {
    "negative_elbo": [
        lambda o, x, kl: F.binary_cross_entropy_with_logits(o, (x + 1) / 2, reduction="sum") / len(x) + kl.mean(),
        lambda o, x, kl: (F.softplus(o) - o * (x + 1) / 2).sum((1, 2, 3)).add(kl).mean(),
    ],
    "free_bits": [
        lambda kl, free: torch.maximum(kl.mean(0), torch.tensor(free)).sum(),
        lambda kl, free: sum(max(column.mean(), torch.tensor(free)) for column in kl.T),
    ],
    "iwae": [
        lambda w: -(torch.logsumexp(w, 0) - math.log(len(w))),
        lambda w: -(w.max(0).values + (w - w.max(0).values).exp().mean(0).log()),
    ],
    "entropy_bits": [
        lambda s: sum(column_entropy(column) for column in s.T),
        lambda s: (
            torch.stack([torch.distributions.Categorical(torch.bincount(c + 9)).entropy() for c in s.T]).sum()
            / math.log(2)
        ),
    ],
    "gaussian_kl": [kl_by_distributions, kl_by_loop, lambda m, v: 0.5 * (v.exp() - v - 1 + m * m).sum(-1).double()],
    "reparameterize": [
        lambda m, v, e: m + torch.sqrt(v.exp()) * e,
        lambda m, v, e: torch.addcmul(m, (v / 2).exp(), e),
        lambda m, v, e: Normal(0.0, 1.0).icdf(Normal(0.0, 1.0).cdf(e.double())) * v.exp().sqrt() + m,
    ],
    "interpolate": [
        lambda a, b, n: torch.stack([torch.lerp(a, b, i / (n - 1)) for i in range(n)]),
        lambda a, b, n: torch.outer(torch.linspace(1, 0, n), a) + torch.outer(torch.linspace(0, 1, n), b),
    ],
}

kl = RIGHT["gaussian_kl"][2]
WRONG = {
    "negative_elbo": [
        (lambda o, x, k: (nll(o, x) + k).sum(), "over the images"),
        (lambda o, x, k: nll(o, x).mean() / 784 + k.mean(), "hidden weight"),
        (lambda o, x, k: (nll(o, x) - k).mean(), "wrong sign"),
        (lambda o, x, k: -(nll(o, x) + k).mean(), "That is the ELBO"),
        (lambda o, x, k: nll(o, x).sum() + k.mean(), "one of the two terms"),
        (lambda o, x, k: by_naive_logarithms(o, x) + k.mean(), "Large logits overflow"),
        (lambda o, x, k: nll(o, x).mean(), "alone"),
        (lambda o, x, k: nll(o, x) + k, "shape"),
        (lambda o, x, k: F.binary_cross_entropy_with_logits(o, x, reduction="sum") / len(x) + k.mean(), "off"),
    ],
    "free_bits": [
        (lambda kl, free: kl.clamp(min=free).mean(0).sum(), "each image"),
        (lambda kl, free: kl.mean(0).clamp(max=free).sum(), "from above"),
        (lambda kl, free: kl.mean(0).sum().clamp(min=free), "clamp the sum|off"),
        (lambda kl, free: (kl.mean(0) - free).clamp(min=0).sum(), "subtract"),
        (lambda kl, free: kl.mean(0).clamp(min=free), "shape"),
    ],
    "iwae": [
        (lambda w: math.log(len(w)) - w.exp().sum(0).log(), "underflow"),
        (lambda w: torch.logsumexp(w, 0) - math.log(len(w)), "sign"),
        (lambda w: math.log(len(w)) - w.max() - (w - w.max()).exp().sum(0).log(), "underflow"),
        (lambda w: -torch.logsumexp(w, 0), "sum the weights"),
        (lambda w: -w.mean(0), "outside"),
        (lambda w: math.log(w.shape[1]) - torch.logsumexp(w, 1), "shape|off|sign|sum"),
    ],
    "entropy_bits": [
        (lambda s: sum(column_entropy(c) for c in s.T) * math.log(2), "nats"),
        (lambda s: sum(column_entropy(c) for c in s.T) / s.shape[1], "average over the latents"),
        (lambda s: -sum(column_entropy(c) for c in s.T), "positive"),
        (lambda s: len(s) * sum(column_entropy(c) for c in s.T), "all images"),
        (lambda s: s.shape[1] * column_entropy(s.flatten()), "one table|off"),
        (lambda s: torch.stack([column_entropy(c) for c in s.T]), "shape"),
    ],
    "gaussian_kl": [
        (lambda m, v: -kl(m, v), "sign"),
        (lambda m, v: 2 * kl(m, v), "factor of two"),
        (lambda m, v: kl(m, v) / m.shape[1], "average over the latent"),
        (lambda m, v: kl(m, v).mean(), r"shape \(\)"),
        (lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v), "sum over the dimensions"),
        (lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v).sum(0), "expected|one value"),
        (lambda m, v: kl(m, 2 * v), "variance"),
        (lambda m, v: kl(m, v) + 0.5, "off"),
    ],
    "reparameterize": [
        (lambda m, v, e: m + v.exp() * e, "square root"),
        (lambda m, v, e: m + v * e, "negative"),
        (lambda m, v, e: m + v.sqrt() * e, "not finite"),
        (lambda m, v, e: m + (0.5 * v).exp() * torch.randn_like(e), "draw none of your own"),
        (lambda m, v, e: Normal(m, (0.5 * v).exp()).sample(), "draw none of your own"),
        (lambda m, v, e: (m + (0.5 * v).exp() * e).detach(), "no gradient flows"),
        (lambda m, v, e: m.detach() + (0.5 * v).exp() * e, "reaches mu"),
        (lambda m, v, e: m + (0.5 * v.detach()).exp() * e, "reaches logvar"),
        (lambda m, v, e: (0.5 * v).exp() * e, "off"),
        (lambda m, v, e: (m + (0.5 * v).exp() * e).sum(1), "shape"),
    ],
    "interpolate": [
        (lambda a, b, n: a + torch.arange(n)[:, None] / n * (b - a), "last one is not z1"),
        (lambda a, b, n: b + torch.linspace(0, 1, n)[:, None] * (a - b), "from z1 to z0"),
        (lambda a, b, n: a[:, None] + torch.linspace(0, 1, n) * (b - a)[:, None], "rows"),
        (lambda a, b, n: a + torch.linspace(0, 1, n + 1)[:-1, None] * (b - a), "last one is not z1"),
        (lambda a, b, n: a + torch.linspace(0, 1, n)[:, None] ** 2 * (b - a), "evenly"),
        (lambda a, b, n: torch.lerp(a, b, 0.5), "shape"),
    ],
}
