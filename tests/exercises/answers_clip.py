"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the chapter on CLIP."""

import torch
import torch.nn.functional as F

from aigc_lib.exercises import clip as check

__all__ = ["RIGHT", "WRONG", "check"]


def norm(x, dim=1):
    return F.normalize(x, dim=dim)


def slope(image, texts, right, tau, *, inner=None, minus=1.0, weights=None):
    p = (texts @ image / (tau if inner is None else inner)).softmax(0) if weights is None else weights
    return (p @ texts - minus * texts[right]) / tau


def by_autograd(image, texts, right, tau):
    image = image.clone().requires_grad_()
    loss = -(texts @ image / tau).log_softmax(0)[right]
    return torch.autograd.grad(loss, image)[0]


def by_loop(image, texts, right, tau):
    p = torch.exp(texts @ image / tau)
    p = p / p.sum()
    total = torch.zeros_like(image)
    for j in range(len(texts)):
        total += (p[j] - float(j == right)) * texts[j] / tau
    return total


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
    "gradient": [slope, by_autograd, by_loop],
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
        lambda x: norm(x.mean(1)),
        lambda x: x.sum(1) / x.sum(1).norm(dim=1, keepdim=True),
        lambda x: torch.stack([prompts.mean(0) / prompts.mean(0).norm() for prompts in x]),
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
        (lambda u, v, r, tau: tau * slope(u, v, r, tau), "in front is missing"),
        (lambda u, v, r, tau: slope(u, v, r, tau, inner=1.0), "inside the softmax|in front"),
        (lambda *a: slope(*a, minus=0.0), "Only the push"),
        (lambda u, v, r, tau: -v[r] / tau, "Only the pull"),
        (lambda u, v, r, tau: (v.mean(0) - v[r]) / tau, "equally"),
        (lambda u, v, r, tau: v * slope(u, v, r, tau), "each text"),
        (lambda u, v, r, tau: slope(u, v, r, tau).sum(), "shape"),
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
        (lambda x: x.mean(1), "shorter than 1"),
        (lambda x: x.sum(1), "another length"),
        (lambda x: x[:, 0], "first prompt"),
        (lambda x: norm(x.mean(0)), "over the classes"),
        (lambda x: norm(x.mean(1), 0), "columns"),
        (lambda x: norm(x.amax(1)), "largest"),
        (lambda x: norm(x.mean(1)).mean(0), "shape"),
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
