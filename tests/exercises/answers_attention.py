"""Right answers in several forms, and seeded wrong ones with the hint they deserve: the attention chapter."""

import math

import torch
import torch.nn.functional as F

from aigc_lib.exercises import attention as check

__all__ = ["RIGHT", "WRONG", "check"]


def masked(q, k, v, mask, scale):
    return (scale(q) * q @ k.T).masked_fill(~mask, -math.inf).softmax(-1) @ v


def tril(x):
    return torch.ones(len(x), len(x), dtype=torch.bool).tril()


def root(q):
    return q.shape[1] ** -0.5


def core_by_loop(q, k, v):
    rows = []
    for t in range(len(q)):
        weights = torch.softmax(torch.stack([q[t] @ k[s] * root(q) for s in range(t + 1)]), 0)
        rows.append(sum(w * v[s] for s, w in enumerate(weights)))
    return torch.stack(rows)


def core_by_exp(q, k, v):
    e = (q @ k.T * root(q)).exp() * tril(q)
    return e / e.sum(1, keepdim=True) @ v


def mean_by_loop(x, lengths):
    return torch.stack([row[:n].sum(0) / max(int(n), 1) for row, n in zip(x, lengths, strict=True)])


def real(x, lengths, extra=0):
    return (torch.arange(x.shape[1]) < lengths[:, None] + extra)[:, :, None]


def matrix(positions, theta):
    a = positions * theta
    return torch.stack([torch.stack([a.cos(), -a.sin()], -1), torch.stack([a.sin(), a.cos()], -1)], -2)


def turned(x, a):
    return torch.stack([x[:, 0] * a.cos() - x[:, 1] * a.sin(), x[:, 0] * a.sin() + x[:, 1] * a.cos()], 1)


def by_jacobian(alpha, g):
    return torch.stack([(torch.diag(a) - torch.outer(a, a)) @ row for a, row in zip(alpha, g, strict=True)])


def merged(o1, ell1, o2, ell2, weigh):
    w = weigh(torch.stack([ell1, ell2]))[..., None]
    return w[0] * o1 + w[1] * o2


RIGHT = {
    "core": [
        core_by_loop,
        lambda q, k, v: masked(q, k, v, tril(q), root),
        lambda q, k, v: F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0],
        lambda q, k, v: (q @ k.T * root(q) + torch.where(tril(q), 0.0, -1e9)).softmax(1) @ v,
    ],
    "heads": [
        lambda x, nh: x.unflatten(-1, (nh, -1)).transpose(1, 2),
        lambda x, nh: torch.stack(x.chunk(nh, dim=-1), dim=1),
    ],
    "pool": [mean_by_loop, lambda x, n: torch.where(real(x, n), x, 0).sum(1) / n.clamp(min=1)[:, None]],
    "cache_mask": [
        lambda T, S: (torch.arange(S) <= torch.arange(S - T, S)[:, None]).float(),
        lambda T, S: torch.arange(S) <= torch.arange(S - T, S)[:, None],
        lambda T, S: torch.ones(S, S).tril()[S - T :],
    ],
    "turn": [
        lambda x, p, theta: (matrix(p, theta) @ x[:, :, None])[..., 0],
        lambda x, p, theta: turned(x.double(), p.double() * theta),
    ],
    "backward": [by_jacobian, lambda a, g: a * g - a * torch.einsum("ts,ts->t", a, g)[:, None]],
    "merge": [
        lambda *args: merged(*args, weigh=lambda ell: ell.softmax(0)),
        lambda *args: merged(*args, weigh=lambda ell: (ell - ell.logsumexp(0)).exp()),
        lambda *args: merged(*args, weigh=lambda ell: (ell - ell.amax(0)).exp() / (ell - ell.amax(0)).exp().sum(0)),
    ],
}

WRONG = {
    "core": [
        (lambda q, k, v: masked(q, k, v, tril(q), lambda q: 1.0), "not divided"),
        (lambda q, k, v: masked(q, k, v, tril(q), lambda q: 1 / q.shape[1]), "its root"),
        (lambda q, k, v: masked(q, k, v, tril(q), lambda q: len(q) ** -0.5), "expected hs"),
        (lambda q, k, v: masked(q, k, v, tril(q) | True, root), "future"),
        (lambda q, k, v: masked(q, k, v, tril(q).T, root), "hides the past"),
        (lambda q, k, v: masked(q, k, v, tril(q).tril(-1), root).nan_to_num(), "own place|off"),
        (lambda q, k, v: (q @ k.T * root(q)).softmax(1) * tril(q) @ v, "after the softmax"),
        (lambda q, k, v: (q @ k.T * root(q) * tril(q)).softmax(1) @ v, "hidden scores to 0"),
        (core_by_exp, "overflow"),
        (lambda q, k, v: masked(q, k, v, tril(q), root).T, "shape|off"),
        (lambda q, k, v: (q @ k.T * root(q)).softmax(1), "shape"),
    ],
    "heads": [
        (lambda x, nh: x.reshape(len(x), nh, x.shape[1], -1), "mixes the tokens"),
        (lambda x, nh: x.unflatten(-1, (nh, -1)), "exchange two"),
        (lambda x, nh: x.unflatten(-1, (-1, nh)).permute(0, 3, 1, 2), "every nh-th"),
        (lambda x, nh: x.unflatten(-1, (nh, -1)).permute(0, 2, 3, 1), "shape"),
    ],
    "pool": [
        (lambda x, n: x.mean(1), "padding"),
        (lambda x, n: (x * real(x, n)).mean(1), "divide by T"),
        (lambda x, n: (x * real(x, n)).sum(1), "add up"),
        (lambda x, n: (x * real(x, n, 1)).sum(1) / (n + 1)[:, None], "one token too many"),
        (lambda x, n: (x * real(x, n)).sum(1) / n.clamp(min=1)[:, None], "0 \\* nan"),
        (lambda x, n: x.masked_fill(~real(x, n), 0).sum(1) / n[:, None], "what do you divide by"),
        (lambda x, n: x.mean(2), "shape"),
    ],
    "cache_mask": [
        (lambda T, S: torch.ones(T, S).tril(), "at the end"),
        (lambda T, S: torch.ones(T, S), "later"),
        (lambda T, S: torch.ones(T, S).tril(S - T - 1), "own key"),
        (lambda T, S: torch.ones(T, S).tril(S - T + 1), "future|later"),
        (lambda T, S: 1 - torch.ones(T, S).tril(S - T), "exchanged"),
        (lambda T, S: torch.ones(S, T).tril(), "shape"),
    ],
    "turn": [
        (lambda x, p, theta: turned(x, -p * theta), "clockwise"),
        (lambda x, p, theta: turned(x, torch.full_like(p, theta)), "grows with the position"),
        (lambda x, p, theta: turned(x, p.long() * theta), "whole"),
        (lambda x, p, theta: turned(x, torch.deg2rad(p * theta)), "degrees"),
        (
            lambda x, p, t: torch.stack([x[:, 0] * (p * t).cos(), x[:, 1] * (p * t).sin()], 1),
            "both old ones",
        ),
        (
            lambda x, p, t: x * (p * t).cos()[:, None] - x.flip(1) * (p * t).sin()[:, None],
            "signs of both",
        ),
        (
            lambda x, p, t: x * (p * t).cos()[:, None] + x.flip(1) * (p * t).sin()[:, None],
            "signs of both",
        ),
    ],
    "backward": [
        (lambda a, g: a * (1 - a) * g, "only i = j"),
        (lambda a, g: -by_jacobian(a, g), "sign"),
        (lambda a, g: a * (g - g.sum(1, keepdim=True)), "weighted by alpha"),
        (lambda a, g: a * (g - g.mean(1, keepdim=True)), "weighted by alpha|not plain"),
        (lambda a, g: a * (g - (a * g).mean(1, keepdim=True)), "already make it a mean"),
        (lambda a, g: a * (g - (a * g).sum(0)), "over the queries|all rows"),
        (lambda a, g: a * (g - (a * g).sum()), "all rows"),
        (lambda a, g: g - (a * g).sum(1, keepdim=True), "factor"),
        (lambda a, g: a * g, "second term"),
    ],
    "merge": [
        (lambda o1, e1, o2, e2: (o1 + o2) / 2, "equally"),
        (lambda o1, e1, o2, e2: o1 + o2, "sum to 1"),
        (lambda o1, e1, o2, e2: merged(o2, e1, o1, e2, lambda e: e.softmax(0)), "exchanged"),
        (lambda *args: merged(*args, weigh=lambda ell: ell / ell.sum(0)), "logarithm"),
        (lambda *args: merged(*args, weigh=lambda ell: ell.exp() / ell.exp().sum(0)), "overflow"),
        (lambda o1, e1, o2, e2: 0.6 * o1 + 0.4 * o2, "count keys"),
        (lambda o1, e1, o2, e2: e1, "shape"),
    ],
}
