"""Right answers in several forms, and seeded wrong ones with the hint they deserve: discrete codes."""

import math

import torch
import torch.nn.functional as F
from torch.distributions import Categorical

from aigc_lib.exercises import vqvae as check

__all__ = ["RIGHT", "WRONG", "check"]


def shares(tokens, K):
    return F.one_hot(tokens.flatten(), K).float().mean(0)


def entropy(tokens, K):
    return torch.special.entr(shares(tokens, K)).sum()


def ema(count, total, z, tokens, decay):
    chosen = F.one_hot(tokens, len(count)).to(z.dtype)
    count = decay * count + (1 - decay) * chosen.sum(0)
    return (decay * total + (1 - decay) * chosen.T @ z) / count[:, None]


def ema_by_index_add(count, total, z, tokens, decay):
    n = torch.zeros_like(count).index_add(0, tokens, torch.ones(len(z)))
    s = torch.zeros_like(total).index_add(0, tokens, z)
    return torch.lerp(total, s, 1 - decay) / torch.lerp(count, n, 1 - decay)[:, None]


def sums(k, z, tokens):
    chosen = F.one_hot(tokens, k).to(z.dtype)
    return chosen.T @ z, chosen.sum(0)


def noise(u):
    return -torch.log(-torch.log(u))


def soft(logits, u, temperature):
    return ((logits + noise(u)) / temperature).softmax(1)


def one_hot(scores):
    return F.one_hot(scores.argmax(1), scores.shape[1]).float()


def through(value, weights):
    return value + weights - weights.detach()


def horner(digits, levels):
    token = 0
    for column, base in reversed(list(zip(digits.T, levels, strict=True))):
        token = token * base + column
    return token


def by_places(digits, levels):
    places = torch.tensor([1, *levels[:-1]]).cumprod(0)
    return digits @ places


def greedy(z, books, again=False):
    found = 0
    for book in books:
        rest = z if again else z - found
        found = found + book[torch.cdist(rest, book).argmin(1)]
    return found


def greedy_by_loop(z, books):
    rows = []
    for row in z:
        rest = row.clone()
        for book in books:
            rest = rest - min(book, key=lambda e, rest=rest: float((rest - e).square().sum()))
        rows.append(row - rest)
    return torch.stack(rows)


def picked(logits, tokens):
    return logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


RIGHT = {
    "perplexity": [
        lambda t, K: entropy(t, K).exp(),
        lambda t, K: Categorical(torch.bincount(t.flatten(), minlength=K).double()).perplexity(),
        lambda t, K: 2 ** -sum(p * p.log2() for p in shares(t, K) if p > 0),
    ],
    "ema_step": [ema, ema_by_index_add],
    "hard_draw": [
        lambda o, u, tau: soft(o, u, tau) + (one_hot(o + noise(u)) - soft(o, u, tau)).detach(),
        lambda o, u, tau: one_hot(soft(o, u, tau)) + soft(o, u, tau) - soft(o, u, tau).detach(),
        lambda o, u, tau: one_hot(o + noise(u)).double() + soft(o.double(), u, tau) - soft(o.double(), u, tau).detach(),
    ],
    "fsq_tokens": [horner, by_places, lambda d, levels: by_places(d, levels).to(torch.int32)],
    "residual": [greedy, greedy_by_loop],
    "image_bits": [
        lambda o, t: -picked(o, t).sum(1) / math.log(2),
        lambda o, t: F.cross_entropy(o.flatten(0, 1), t.flatten(), reduction="none").view(t.shape).sum(1) / math.log(2),
        lambda o, t: -Categorical(logits=o.double()).log_prob(t).sum(-1) / math.log(2),
    ],
}

WRONG = {
    "perplexity": [
        (entropy, "entropy in nats"),
        (lambda t, K: entropy(t, K) / math.log(2), "entropy in bits"),
        (lambda t, K: (entropy(t, K) / math.log(2)).exp(), "mix bits and nats"),
        (lambda t, K: (-entropy(t, K)).exp(), "sign"),
        (lambda t, K: (entropy(t, K) / K).exp(), "average p log p"),
        (lambda t, K: torch.tensor(float(len(t.unique()))), "count the codes"),
        (lambda t, K: (-(shares(t, K) * shares(t, K).log()).sum()).exp(), "share of 0"),
        (lambda t, K: torch.tensor(float(K)), "must give 6"),
        (lambda t, K: shares(t, K), "shape"),
    ],
    "ema_step": [
        (lambda c, s, z, t, g: g * s + (1 - g) * sums(len(c), z, t)[0], "divide it by the averaged count"),
        (lambda c, s, z, t, g: (g * s + (1 - g) * sums(len(c), z, t)[0]) / c[:, None], "old count"),
        (lambda c, s, z, t, g: ema(c, s, z, t, 1 - g), "share of the old"),
        (
            lambda c, s, z, t, g: sums(len(c), z, t)[0] / sums(len(c), z, t)[1].clamp(min=1)[:, None],
            "this batch alone",
        ),
        (lambda c, s, z, t, g: sums(len(c), z, t)[0] / sums(len(c), z, t)[1][:, None], "chosen by nobody|alone"),
        (
            lambda c, s, z, t, g: (s + sums(len(c), z, t)[0]) / (c + sums(len(c), z, t)[1])[:, None],
            "never forget",
        ),
        (
            lambda c, s, z, t, g: (
                g * s / c[:, None] + (1 - g) * sums(len(c), z, t)[0] / sums(len(c), z, t)[1].clamp(min=1)[:, None]
            ),
            "average the vectors",
        ),
        (lambda c, s, z, t, g: ema(c, s, z, t, g).T.contiguous(), "shape|off"),
        (lambda c, s, z, t, g: s / c[:, None], "off"),
    ],
    "hard_draw": [
        (soft, "0 or 1"),
        (lambda o, u, tau: one_hot(o + noise(u)), "no gradient reaches"),
        (lambda o, u, tau: one_hot(o + noise(u)) + 0 * o, "gradient is 0"),
        (lambda o, u, tau: one_hot(o + noise(u)) + o - o.detach(), "past the softmax"),
        (lambda o, u, tau: through(one_hot(o + noise(u)), (o + noise(u)).softmax(1)), "right: the gradient|lacks"),
        (lambda o, u, tau: through(one_hot(o + noise(u)), (o / tau).softmax(1)), "without noise"),
        (lambda o, u, tau: through(one_hot(o + noise(u)), tau * soft(o, u, tau)), "lacks a factor"),
        (lambda o, u, tau: one_hot(o), "no noise|right, but no"),
        (lambda o, u, tau: one_hot(o + u), "uniform numbers|no noise"),
        (lambda o, u, tau: one_hot(o - noise(u)), "wrong sign"),
        (lambda o, u, tau: one_hot(o - torch.log(torch.log(u))), "wrong sign|finite|wins|no noise"),
        (lambda o, u, tau: (o + noise(u)).argmax(1), "shape|floats"),
    ],
    "fsq_tokens": [
        (lambda d, levels: horner(d.flip(1), levels[::-1]), "last number"),
        (lambda d, levels: d.sum(1), "add the numbers"),
        (lambda d, levels: horner(d, levels) + 1, "start at 1"),
        (lambda d, levels: d @ torch.tensor(levels).cumprod(0), "combinations, so expected"),
        (lambda d, levels: d @ 10 ** torch.arange(len(levels)), "combinations, so expected"),
        (lambda d, levels: horner(d, levels).float(), "whole numbers"),
        (lambda d, levels: horner(d, levels).sum(), "shape"),
        (lambda d, levels: d[:, 0], "off: one step"),
    ],
    "residual": [
        (lambda z, books: greedy(z, books, again=True), "gets z itself"),
        (lambda z, books: z, "return z itself"),
        (lambda z, books: z - greedy(z, books), "left over: return"),
        (lambda z, books: books[0][torch.cdist(z, books[0]).argmin(1)], "Take the nearest|off"),
        (lambda z, books: sum(book[torch.cdist(z, book).argmax(1)] for book in books), "off"),
        (lambda z, books: torch.cdist(z, books[0]).argmin(1), "shape|floats"),
    ],
    "image_bits": [
        (lambda o, t: -picked(o, t).sum(1), "in nats"),
        (lambda o, t: -picked(o, t).sum(1) * math.log(2), "by a division"),
        (lambda o, t: -picked(o, t).mean(1) / math.log(2), "average over the tokens: by"),
        (lambda o, t: -picked(o, t).mean(1), "unit is nats"),
        (lambda o, t: picked(o, t).sum(1) / math.log(2), "sign"),
        (lambda o, t: -picked(o, t) / math.log(2), "each token"),
        (lambda o, t: torch.full((len(t),), t.shape[1] * math.log2(o.shape[2])), "uniform prior"),
        (
            lambda o, t: -o.softmax(-1).gather(-1, t[..., None])[..., 0].log2().sum(1),
            "Large logits",
        ),
        (lambda o, t: Categorical(logits=o).entropy().sum(1) / math.log(2), "stands there"),
        (lambda o, t: -picked(o, t).sum() / math.log(2), "shape"),
    ],
}
