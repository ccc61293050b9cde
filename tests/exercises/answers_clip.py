"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the chapter on CLIP."""

import torch
import torch.nn.functional as F

from aigc_lib.exercises import clip as check

__all__ = ["RIGHT", "WRONG", "check"]


def norm(x, dim=1):
    return F.normalize(x, dim=dim)


def slope(h, texts, right, tau, *, free=False, inner=None, minus=1.0, weights=None, along=False, power=1):
    """In h; free: the products take h for u; inner: another temperature in the softmax; along: that part is kept."""
    u = h / h.norm()
    p = (texts @ (h if free else u) / (tau if inner is None else inner)).softmax(0) if weights is None else weights
    in_u = (p @ texts - minus * texts[right]) / tau
    return (in_u if along else in_u - u * (u @ in_u)) / h.norm() ** power


def others(h, texts, right, tau):
    """The probabilities, with that of the right text left out."""
    p = (texts @ h / h.norm() / tau).softmax(0)
    return p.index_fill(0, torch.tensor([right]), 0.0)


def by_autograd(h, texts, right, tau):
    h = h.clone().requires_grad_()
    loss = -(texts @ F.normalize(h, dim=0) / tau).log_softmax(0)[right]
    return torch.autograd.grad(loss, h)[0]


def by_matrix(h, texts, right, tau):
    u = h / h.norm()
    jacobian = (torch.eye(len(h)) - torch.outer(u, u)) / h.norm()
    p = torch.exp(texts @ u / tau)
    p = p / p.sum()
    return sum((p[j] - float(j == right)) * jacobian @ texts[j] / tau for j in range(len(texts)))


def by_class(vectors, classes, K, *, units=True, pick=lambda rows: rows.sum(0), last=1):
    rows = norm(vectors) if units else vectors
    found = torch.stack([pick(rows[classes == i]) for i in range(K)])
    return found if last is None else norm(found, last)


def by_scatter(vectors, classes, K):
    """The mean with index_add_ and counts."""
    total = torch.zeros(K, vectors.shape[1]).index_add_(0, classes, norm(vectors))
    mean = total / classes.bincount(minlength=K)[:, None]
    return mean / mean.norm(dim=1, keepdim=True)


def signs(logits):
    return 2 * torch.eye(len(logits)) - 1


def hits(similar, right, k, largest=True):
    return (similar.topk(k, dim=1, largest=largest).indices == right[:, None]).any(1)


def by_sorting(similar, right, k):
    places = similar.argsort(dim=1, descending=True).tolist()
    return torch.tensor(sum(r in row[:k] for row, r in zip(places, right.tolist(), strict=True)) / len(right))


def masked(logits, captions, *, value=float("-inf"), own=True, turn=False):
    out = captions[:, None] == captions
    if own:
        out = out & ~torch.eye(len(logits), dtype=torch.bool)
    logits = logits.T if turn else logits
    return F.cross_entropy(logits.masked_fill(out, value), torch.arange(len(logits)))


def masked_by_loop(logits, captions):
    total = 0.0
    for i in range(len(logits)):
        keep = [j for j in range(len(logits)) if j == i or captions[j] != captions[i]]
        total = total + torch.logsumexp(logits[i, keep], 0) - logits[i, i]
    return total / len(logits)


def spread(logits, captions):
    equal = (captions[:, None] == captions).float()
    return F.cross_entropy(logits, equal / equal.sum(1, keepdim=True))


def simclr(z, tau, *, value=float("-inf"), keep=False, partner=None):
    logits, n = z @ z.T / tau, len(z) // 2
    if not keep:
        logits = logits.masked_fill(torch.eye(2 * n, dtype=torch.bool), value)
    partner = torch.cat([torch.arange(n, 2 * n), torch.arange(n)]) if partner is None else partner
    return F.cross_entropy(logits, partner)


def simclr_by_loop(z, tau):
    n, total = len(z) // 2, 0.0
    for i in range(2 * n):
        others = [j for j in range(2 * n) if j != i]
        total = total + torch.logsumexp(z[others] @ z[i] / tau, 0) - z[i] @ z[(i + n) % (2 * n)] / tau
    return total / (2 * n)


RIGHT = {
    "cosines": [
        lambda u, v: norm(u) @ norm(v).T,
        lambda u, v: F.cosine_similarity(u[:, None], v[None], dim=2),
        lambda u, v: torch.einsum("nd,md->nm", u, v) / u.norm(dim=1)[:, None] / v.norm(dim=1),
    ],
    "gradient": [slope, by_autograd, by_matrix],
    "siglip": [
        lambda s: F.softplus(-signs(s) * s).sum(1).mean(),
        lambda s: -F.logsigmoid(signs(s) * s).sum() / len(s),
        lambda s: F.binary_cross_entropy_with_logits(s, torch.eye(len(s)), reduction="sum") / len(s),
    ],
    "recall": [
        lambda s, r, k: hits(s, r, k).float().mean(),
        by_sorting,
        lambda s, r, k: ((s >= s.gather(1, r[:, None])).sum(1) <= k).double().mean(),
    ],
    "ensemble": [
        by_class,
        by_scatter,
        lambda x, c, K: norm(F.one_hot(c, K).float().T @ norm(x)),
    ],
    "duplicates": [masked, masked_by_loop, lambda s, c: masked(s, c, value=-1e9)],
    "nt_xent": [simclr, simclr_by_loop],
}

WRONG = {
    "cosines": [
        (lambda u, v: u @ v.T, "lengths are still"),
        (lambda u, v: norm(u) @ v.T, "texts keep"),
        (lambda u, v: u @ norm(v).T, "images keep"),
        (lambda u, v: norm(v) @ norm(u).T, "turned over"),
        (lambda u, v: u @ v.T / u.norm() / v.norm(), "whole table"),
        (lambda u, v: norm(u, 0) @ norm(v, 0).T, "columns"),
        (lambda u, v: u.softmax(1) @ v.softmax(1).T, "softmax"),
        (lambda u, v: 1 - norm(u) @ norm(v).T, "itself must give 1"),
    ],
    "gradient": [
        (lambda *a: -slope(*a), "sign"),
        (lambda *a: slope(*a, along=True, power=0), "slope in u"),
        (lambda *a: slope(*a, along=True), "part along u is still"),
        (lambda *a: slope(*a, power=0), r"Divide by \|h\|"),
        (lambda *a: slope(*a, power=-1), r"multiply by \|h\|"),
        (lambda h, v, r, tau: tau * slope(h, v, r, tau), "in front is missing"),
        (lambda *a: slope(*a, free=True, along=True, power=0), "h for u"),
        (lambda *a: slope(*a, free=True), "softmax sees h"),
        (lambda h, v, r, tau: slope(h, v, r, tau, inner=1.0), "lacks the tau"),
        (lambda *a: slope(*a, along=True) - slope(*a), "take it away"),
        (lambda *a: slope(*a, minus=0.0), "Only the push"),
        (lambda h, v, r, tau: slope(h, v, r, tau, weights=torch.zeros(len(v))), "Only the pull"),
        (lambda h, v, r, tau: slope(h, v, r, tau, weights=torch.full((len(v),), 1 / len(v))), "equally"),
        (lambda h, v, r, tau: slope(h, v, r, tau, weights=others(h, v, r, tau)), "also stands in the mean"),
        (lambda h, v, r, tau: v * slope(h, v, r, tau), "each text"),
        (lambda *a: slope(*a).sum(), "shape"),
        (lambda *a: slope(*a) + 1, "only its part across"),
    ],
    "siglip": [
        (lambda s: -F.softplus(-signs(s) * s).sum(1).mean(), "sign"),
        (lambda s: F.softplus(-signs(s) * s).mean(), "average over all"),
        (lambda s: F.softplus(-signs(s) * s).sum(), "sum over the images"),
        (lambda s: F.softplus(signs(s) * s).sum(1).mean(), "answer no"),
        (lambda s: F.softplus(-s.diagonal()).mean(), "Only the right"),
        (lambda s: F.softplus(-s).sum(1).mean(), "yes everywhere"),
        (lambda s: F.cross_entropy(s, torch.arange(len(s))), "InfoNCE"),
        (lambda s: -(signs(s) * s).sigmoid().log().sum(1).mean(), "overflow"),
        (lambda s: F.softplus(-signs(s) * s).sum(1), "shape"),
    ],
    "recall": [
        (lambda s, r, k: hits(s, r, k), "each row"),
        (lambda s, r, k: hits(s, r, k).sum(), "count the hits"),
        (lambda s, r, k: hits(s, r, k).sum().float(), "count the hits"),
        (lambda s, r, k: hits(s, r, 1).float().mean(), "best column only|too early"),
        (lambda s, r, k: 1 - hits(s, r, k).float().mean(), "miss"),
        (lambda s, r, k: torch.tensor(0.123), "off"),
    ],
    "ensemble": [
        (lambda *a: by_class(*a, units=False), "Longer prompts"),
        (lambda *a: by_class(*a, pick=lambda rows: rows.mean(0), last=None), "shorter than 1"),
        (lambda *a: by_class(*a, last=None), "another length"),
        (lambda *a: by_class(*a, units=False, pick=lambda rows: rows.mean(0), last=None), "Nothing is normalised"),
        (lambda x, c, K: by_class(x, c, K, last=None) * K / len(x), "numbers of their own"),
        (lambda *a: by_class(*a, pick=lambda rows: rows[0]), "first prompt"),
        (lambda *a: by_class(*a, pick=lambda rows: rows[-1]), "last prompt"),
        (lambda x, c, K: norm(norm(x).mean(0, keepdim=True)).expand(K, -1), "over all classes"),
        (lambda x, c, K: by_class(x, c.sort().values, K), "any order"),
        (lambda *a: by_class(*a, pick=lambda rows: rows.mean(0), last=0), "columns"),
        (lambda *a: by_class(*a, pick=lambda rows: rows.amax(0)), "largest"),
        (lambda x, c, K: norm(x), "each prompt"),
        (lambda *a: by_class(*a).mean(0), "shape"),
    ],
    "duplicates": [
        (lambda s, c: F.cross_entropy(s, torch.arange(len(s))), "still count"),
        (lambda s, c: masked(s, c, own=False), "keep its own"),
        (lambda s, c: masked(s, c, value=0.0), "no removal"),
        (lambda s, c: masked(s, c, turn=True), "Rows are images"),
        (spread, "further right answers"),
        (lambda s, c: len(s) * masked(s, c), "sum over the images"),
        (lambda s, c: -masked(s, c), "sign"),
        (lambda s, c: torch.stack([masked(s, c)] * len(s)), "each image"),
    ],
    "nt_xent": [
        (lambda z, tau: simclr(z, tau, keep=True), "itself"),
        (lambda z, tau: simclr(z, tau, value=0.0), "no removal"),
        (lambda z, tau: simclr(z, 1.0), "temperature is missing|off"),
        (lambda z, tau: simclr(z, 1 / tau), "multiply|temperature is missing|off"),
        (lambda z, tau: simclr(z, tau, partner=torch.arange(len(z)) ^ 1), "neighbour|off"),
        (lambda z, tau: -simclr(z, tau), "sign"),
        (lambda z, tau: len(z) * simclr(z, tau), "sum over the views"),
        (
            lambda z, tau: F.cross_entropy(z[: len(z) // 2] @ z[len(z) // 2 :].T / tau, torch.arange(len(z) // 2)),
            "same half",
        ),
        (lambda z, tau: simclr(z, tau) * torch.ones(len(z)), "each view"),
    ],
}
